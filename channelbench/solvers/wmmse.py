"""Weighted minimum mean square error (WMMSE) precoding: stationary points of the sum rate, batched over groups.

Conventions are those of ``precoding``. With receivers u_k, weights ω_k and beams v_k, the three updates

    u_k = h_kᴴv_k / (Σ_j |h_kᴴv_j|² + n_k),   ω_k = 1/(1 − u_k* h_kᴴv_k) = 1 + SINR_k,
    v_k = (βI + Σ_j d_j h_j h_jᴴ)⁻¹ h_k u_k ω_k,   d_k = |u_k|² ω_k

never lower the sum rate (Shi, Razaviyayn, Luo and He, IEEE Trans. Signal Process. 59, 2011). There β is the multiplier
of the power, found by bisection. Here n_k is ``σ² Σ_j‖v_j‖²/P`` and ``β = (σ²/P) Σ_j d_j``: the rate of v at noise n is
that of v scaled to power P at noise σ², and more power never hurts, so the problem without a constraint has the same
maxima. At its stationary points β is the multiplier, hence the fixed points are those of the algorithm with bisection;
nothing is searched (Christensen, Agarwal, de Carvalho and Cioffi, IEEE Trans. Wireless Commun. 7, 2008; Zhao, Lu, Shi
and Luo, IEEE Trans. Signal Process. 71, 2023). A group of channels scaled by √(P/σ²), and v by its power, leaves
``n_k = 1`` and ``β = Σ_j d_j``. Beams are ``v = A h``, and by the push-through identity

    A = diag(uω) (βI + R diag(d))⁻¹,   R = h hᴴ,

a product of K × K matrices, whatever the number of antennas. Phases of beams are free, and u_kω_k is taken as real: an
iteration is a map of 2K positive numbers, u_kω_k and d_k. It converges slowly at high SNR, so on the way to a fixed
point their logarithms are extrapolated by SQUAREM (Varadhan and Roland, Scand. J. Stat. 35, 2008) wherever that raises
the rate: fixed points stay what they are, and the rate never falls.

A start without a beam for some user keeps that user without one: the users who are served are part of the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channelbench.solvers.precoding import at_power, gram, mrt, per_group, rzf, scaled_gram, sum_rate, unit_rows, zf
from channelbench.solvers.small import chunks, groups_first, groups_last, inverse, product

__all__ = ["STARTS", "Converged", "Start", "structure_labels", "wmmse", "wmmse_converged"]

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]
Start = Literal["matched", "mrt", "zf", "rzf", "random", "subsets"]

STARTS: tuple[Start, ...] = ("mrt", "zf", "rzf", "random", "subsets")

CHECKED_EVERY = 5
"""Cycles of three iterations between two looks at who has converged."""

_RELATIVE_RANK = 1e-12
"""What is left of a channel's power, relative to the strongest channel, is a rounding error below it."""

LARGEST_LOG = 100.0
"""Of an extrapolated number, so that squares of it stay in range."""


@dataclass(frozen=True)
class Converged:
    """The best of several starts.

    Attributes:
        w: Precoders ``[groups, K, N]``.
        rate: Their sum rates in bits per channel use, ``[groups]``.
        converged: Whether that start has met the tolerance, ``[groups]``.
        start: Which start it was, ``[groups]``; an index into ``names``.
        names: Names of the starts.
    """

    w: Complex
    rate: Real
    converged: NDArray[np.bool_]
    start: NDArray[np.intp]
    names: tuple[str, ...]


def wmmse(
    h: NDArray[np.complexfloating],
    power: ArrayLike,
    noise_var: ArrayLike,
    iterations: int = 20,
    start: Start | NDArray[np.complexfloating] = "matched",
) -> Complex:
    """The precoder after so many iterations, at full power.

    Args:
        h: Channels ``[groups, K, N]``.
        power: P, a number or ``[groups]``.
        noise_var: σ², positive, a number or ``[groups]``.
        iterations: How many, at least 1.
        start: ``matched`` (``w ∝ h``, a stronger user with more power), ``mrt`` (all users with the same), ``zf``,
            ``rzf`` or ``random``, or a precoder ``[groups, K, N]``.

    Returns:
        Precoder ``[groups, K, N]``; 0 for users without a channel or without a beam in the start.
    """
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, not {iterations}")
    if not isinstance(start, np.ndarray) and start == "subsets":
        raise ValueError("start must be one precoder; subsets are several")
    total = per_group(power, len(h), "power")
    noise = per_group(noise_var, len(h), "noise_var", positive=True)
    w = np.empty(h.shape, np.complex128)
    for part in chunks(len(h), h.shape[1]):  # antennas too, so that nothing of the size of h is made anew
        first = start[part] if isinstance(start, np.ndarray) else start
        w[part] = _iterated(h[part], total[part], noise[part], iterations, first)
    return w


def _iterated(
    h: NDArray[np.complexfloating],
    power: Real,
    noise_var: Real,
    iterations: int,
    start: Start | NDArray[np.complexfloating],
) -> Complex:
    """``wmmse`` of a few groups."""
    scaled, matrix, _raised = scaled_gram(h, power, noise_var)
    if not isinstance(start, np.ndarray) and start == "matched":
        received = _matched(matrix)
    else:
        first = start if isinstance(start, np.ndarray) else _starts(h, power, noise_var, (start,))[start]
        received = _received(scaled, first)
    state = _state(received)
    for _ in range(iterations - 1):
        state = _state(_beams(matrix, state).received)
    return _precoder(_beams(matrix, state).coefficients, scaled, power)


def wmmse_converged(
    h: NDArray[np.complexfloating],
    power: ArrayLike,
    noise_var: ArrayLike,
    starts: Sequence[Start] = STARTS,
    tolerance: float = 1e-8,
    max_iterations: int = 6000,
) -> Converged:
    """Iterate from several starts until beams stand still, and keep the best for each group.

    Args:
        h: Channels ``[groups, K, N]``.
        power: P, a number or ``[groups]``.
        noise_var: σ², positive, a number or ``[groups]``.
        starts: Names as of ``wmmse``, or ``subsets``. ``random`` are the same combinations of channels for all
            groups; ``subsets`` serve, by RZF, only the first of K − 1, K − 2, … ⌊K/2⌋ users, taken greedily by what
            their channels add to the span of those before.
        tolerance: A group is done when an iteration changes no received amplitude by more than this share of the
            largest.
        max_iterations: Where it ends at the latest.
    """
    scaled, matrix, _raised = scaled_gram(h, power, noise_var)
    first = _starts(h, power, noise_var, starts)
    groups = len(h)
    best = Converged(
        np.zeros(scaled.shape, np.complex128),
        np.full(groups, -1.0),
        np.zeros(groups, bool),
        np.zeros(groups, np.intp),
        tuple(first),
    )
    for index, beams in enumerate(first.values()):
        coefficients, done = _converge(matrix, _received(scaled, beams), tolerance, max_iterations)
        w = _precoder(coefficients, scaled, power)
        rate = sum_rate(h, w, noise_var)
        better = rate > best.rate
        best.w[better], best.rate[better], best.converged[better] = w[better], rate[better], done[better]
        best.start[better] = index
    return best


def structure_labels(
    h: NDArray[np.complexfloating], w: NDArray[np.complexfloating], power: ArrayLike, noise_var: ArrayLike
) -> tuple[Real, Real]:
    """p and λ, ``[groups, K]``, with which ``precoding.structure`` gives a fixed point of WMMSE back.

    ``p_k = ‖w_k‖²`` and ``λ_k = P |u_k|²ω_k / Σ_j |u_j|²ω_j``. Of a precoder that is no fixed point, the structure
    with this λ has the directions of the next iteration.

    Args:
        h: Channels ``[groups, K, N]``.
        w: Precoder ``[groups, K, N]`` of full power.
        power: P, a number or ``[groups]``.
        noise_var: σ², positive, a number or ``[groups]``.

    Returns:
        p, and λ, which sums to P; where nobody receives anything it is the same for all.
    """
    scaled, _matrix, _raised = scaled_gram(h, power, noise_var)
    _amplitudes, weights = _state(_received(scaled, w))
    summed = weights.sum(axis=0)
    share = np.where(summed > 0, weights / np.where(summed > 0, summed, 1), 1 / max(1, len(weights)))
    p: Real = np.sum(np.abs(np.asarray(w, np.complex128)) ** 2, axis=2)
    return p, np.ascontiguousarray((share * per_group(power, len(h), "power")).T)


@dataclass(frozen=True)
class _Beams:
    """Beams of power 1 at noise 1, groups last.

    Attributes:
        coefficients: A, ``[beam, channel, groups]``.
        received: Amplitudes ``[beam, user, groups]``.
        rate: Sum rates in nats, ``[groups]``.
    """

    coefficients: Complex
    received: Complex
    rate: Real


def _received(scaled: Complex, w: NDArray[np.complexfloating]) -> Complex:
    """Amplitudes of a precoder, scaled to power 1, at every user, ``[beam, user, groups]``."""
    return groups_last(at_power(np.asarray(w, np.complex128), 1.0) @ scaled.conj().swapaxes(1, 2))


def _matched(matrix: Complex) -> Complex:
    """What ``_received`` gives for ``w ∝ h``: the Gram matrix itself."""
    power = np.einsum("kkg->g", matrix).real
    return matrix / np.sqrt(np.where(power > 0, power, 1))


def _precoder(coefficients: Complex, scaled: Complex, power: ArrayLike) -> Complex:
    """``A h`` at power P, ``[groups, K, N]``."""
    return at_power(groups_first(coefficients) @ scaled, power)


def _powers(received: Complex) -> tuple[Real, Real]:
    """Of signals, and of interference and noise, ``[K, groups]``."""
    powers = received.real**2 + received.imag**2
    signal = np.einsum("kkg->kg", powers).copy()
    np.einsum("kkg->kg", powers)[:] = 0
    return signal, powers.sum(axis=0) + 1


def _state(received: Complex) -> tuple[Real, Real]:
    """``u_kω_k`` and ``d_k = |u_k|²ω_k`` of these amplitudes, ``[K, groups]``."""
    signal, disturbance = _powers(received)
    return np.sqrt(signal) / disturbance, signal / (signal + disturbance) / disturbance


def _beams(matrix: Complex, state: tuple[Real, Real]) -> _Beams:
    """The beams that minimise the weighted error, at power 1."""
    amplitudes, weights = state
    ridge = weights.sum(axis=0)
    system = matrix * weights
    np.einsum("kkg->kg", system)[:] += np.where(ridge > 0, ridge, 1)
    coefficients = inverse(system)[0]
    coefficients *= amplitudes[:, None]
    received = product(coefficients, matrix)
    power = np.einsum("kjg,kjg->g", received.real, coefficients.real)
    power += np.einsum("kjg,kjg->g", received.imag, coefficients.imag)
    scale = 1 / np.sqrt(np.where(power > 0, power, 1))
    coefficients *= scale
    received *= scale
    signal, disturbance = _powers(received)
    return _Beams(coefficients, received, np.log1p(signal / disturbance).sum(axis=0))


def _converge(
    matrix: Complex, received: Complex, tolerance: float, max_iterations: int
) -> tuple[Complex, NDArray[np.bool_]]:
    """A of fixed points, ``[K, K, groups]``, and which of them are that to the tolerance."""
    found, done = np.empty_like(matrix), np.zeros(matrix.shape[2], bool)
    for part in chunks(matrix.shape[2], len(matrix)):
        active = np.arange(part.start, part.stop)
        here, state = matrix[..., active], _state(received[..., active])
        for cycle in range(max(1, max_iterations // 3)):
            state, beams, moved = _cycle(here, state)
            if cycle % CHECKED_EVERY == 0 or cycle == max_iterations // 3 - 1:
                found[..., active], done[active] = beams.coefficients, moved <= tolerance
                left = moved > tolerance
                active, here = active[left], here[..., left]
                state = state[0][:, left], state[1][:, left]
                if not len(active):
                    break
    return found, done


def _cycle(matrix: Complex, state: tuple[Real, Real]) -> tuple[tuple[Real, Real], _Beams, Real]:
    """Two iterations and an extrapolation: the next state, the beams on the way, and how much they moved."""
    before = _beams(matrix, state)
    second = _state(before.received)
    beams = _beams(matrix, second)
    third = _state(beams.received)
    further = _extrapolated(np.stack(state), np.stack(second), np.stack(third))
    trial = _beams(matrix, (further[0], further[1]))
    better = trial.rate > beams.rate
    further = np.where(better, np.stack(_state(trial.received)), np.stack(third))
    size = np.abs(beams.received).max(axis=(0, 1))
    moved = np.abs(beams.received - before.received).max(axis=(0, 1)) / np.where(size > 0, size, 1)
    return (further[0], further[1]), beams, moved


def _extrapolated(first: Real, second: Real, third: Real) -> Real:
    """SQUAREM's third scheme on the logarithms; zeros stay."""
    positive = (first > 0) & (second > 0) & (third > 0)
    logs = [np.log(np.where(positive, each, 1)) for each in (first, second, third)]
    change, bend = logs[1] - logs[0], logs[2] - 2 * logs[1] + logs[0]
    length, curvature = (np.sqrt(np.sum(each**2, axis=(0, 1))) for each in (change, bend))
    step = np.maximum(1, length / np.where(curvature > 0, curvature, np.maximum(length, 1)))
    log = np.clip(logs[0] + 2 * step * change + step**2 * bend, -LARGEST_LOG, LARGEST_LOG)
    return np.where(positive, np.exp(log), third)


def _starts(
    h: NDArray[np.complexfloating], power: ArrayLike, noise_var: ArrayLike, names: Sequence[Start]
) -> dict[str, Complex]:
    """Precoders by name; ``subsets`` gives several."""
    found: dict[str, Complex] = {}
    for name in names:
        if name in ("matched", "mrt"):
            found[name] = np.asarray(h, np.complex128) if name == "matched" else mrt(h, power)
        elif name in ("zf", "rzf"):
            found[name] = zf(h, power, noise_var) if name == "zf" else rzf(h, power, noise_var)
        elif name == "random":
            found[name] = _random(h)
        elif name == "subsets":
            found |= _subsets(h, power, noise_var)
        else:
            raise ValueError(f"starts must be of {', '.join(get_args(Start))}, not {name!r}")
    return found


def _random(h: NDArray[np.complexfloating]) -> Complex:
    """The same random combinations of every group's unit channels, so that no answer depends on the batch."""
    size = h.shape[1]
    draws = np.random.default_rng(size).standard_normal((2, size, size))
    combinations: Complex = (draws[0] + 1j * draws[1]) @ unit_rows(np.asarray(h, np.complex128))
    return combinations


def _subsets(h: NDArray[np.complexfloating], power: ArrayLike, noise_var: ArrayLike) -> dict[str, Complex]:
    """RZF for the first of K − 1, … ⌊K/2⌋ users, beams of 0 for the others."""
    size = h.shape[1]
    rank = _greedy_ranks(gram(h))
    return {
        f"subset {count}": rzf(np.where((rank < count)[..., None], h, 0), power, noise_var)
        for count in range(size - 1, max(1, size // 2) - 1, -1)
    }


def _greedy_ranks(matrix: Complex) -> NDArray[np.intp]:
    """In which place each user comes when next is who adds most to the span: a pivoted Cholesky, ``[groups, K]``.

    Source: T. Yoo and A. Goldsmith, IEEE J. Sel. Areas Commun. 24 (2006), without their test of orthogonality.
    """
    groups, size = matrix.shape[:2]
    left, every = matrix.copy(), np.arange(groups)
    ranks = np.full((groups, size), -1)
    largest = np.einsum("gkk->gk", matrix).real.max(axis=1, initial=0)
    for place in range(size):
        remaining = np.where(ranks < 0, np.einsum("gkk->gk", left).real, -np.inf)
        chosen = remaining.argmax(axis=1)
        ranks[every, chosen] = place
        pivot = left[every, chosen, chosen].real
        usable = pivot > _RELATIVE_RANK * largest
        column = left[every, :, chosen] * (usable / np.sqrt(np.where(usable, pivot, 1)))[:, None]
        left -= column[:, :, None] * column[:, None].conj()
    return ranks
