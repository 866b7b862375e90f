"""What K users sent, from what N antennas received: y = Hx + n with symbols x of unit power and noise CN(0, σ²I).

Shapes are the same throughout: ``h`` ``[groups, N, K]``, held for the ``uses`` of ``y`` ``[groups, uses, N]``, and one
``noise_var`` σ² a group. All of it may be zero, singular, of more users than antennas, and σ² anything from 0 to
infinity: answers are finite. What nothing is known of is estimated as 0; where σ² is infinite, y is not looked at.
Linear detectors and posterior work on the K × K Gram matrix, whose eigenvalues are taken for zero below
``RELATIVE_RANK`` of the largest. Arithmetic is float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.solvers.constellation import Constellation

__all__ = ["LinearDetection", "Posterior", "lmmse", "matched_filter_bound", "maximum_likelihood", "posterior", "zf"]

Complex = NDArray[np.complex128]
Reals = NDArray[np.float64]
GivenComplex = NDArray[np.complexfloating]

RELATIVE_RANK = 1e-13
LARGEST = 1e30
"""Error variances end here, and so does what small gains are divided by."""

LEAST_NOISE = 1e-12
"""Of the mean power of a user at all antennas: less noise counts as this in posteriors."""

MOST_SUMMED = 65_536
"""Candidates M^K that ``posterior`` sums, and that ``maximum_likelihood`` may have to go through one by one."""

MOST_SEARCHED = 2**32
"""Candidates M^K that ``maximum_likelihood`` searches, of which it visits a few."""

CHUNK = 2**21
"""Numbers in the largest array that is worked on at once."""


# --- linear detectors ---


@dataclass(frozen=True)
class LinearDetection:
    """Linear estimates of the symbols.

    Attributes:
        estimate: What the filter gives, ``[groups, uses, K]``; of the MMSE filter the one of least squared error,
            shrunk towards 0.
        unbiased: The estimate by its gain: x plus an error that is uncorrelated with it, ``[groups, uses, K]``.
            Constellations are compared with this one.
        error_variance: Of ``unbiased``, noise and interference together, ``[groups, K]``; at most ``LARGEST``.
    """

    estimate: Complex
    unbiased: Complex
    error_variance: Reals


def zf(h: GivenComplex, y: GivenComplex, noise_var: NDArray[np.floating]) -> LinearDetection:
    """Zero forcing, ``x̂ = H⁺y``. Where H has not the rank K, gains ``(H⁺H)_kk`` are below 1 and users interfere.

    Raises:
        RequestError: shapes that do not fit, or a σ² that is negative or no number.
    """
    h, y, noise = _checked(h, y, noise_var)
    values, vectors = _modes(h)
    inverse = np.divide(1, values, out=np.zeros_like(values), where=values > 0)
    share = np.abs(vectors) ** 2
    gain = _mix(share, (values > 0).astype(np.float64))
    interference = _mix(share, (values == 0).astype(np.float64))
    # Gains of rounding errors only: their square is still above the smallest number.
    safe = np.maximum(gain, 1 / LARGEST)
    variance = interference / safe + np.minimum(noise, LARGEST)[:, None] * _mix(share, inverse) / safe**2
    return _filtered(h, y, vectors, inverse, gain, variance)


def lmmse(h: GivenComplex, y: GivenComplex, noise_var: NDArray[np.floating]) -> LinearDetection:
    """Least mean squared error of linear estimates, ``x̂ = (HᴴH + σ²I)⁻¹Hᴴy``.

    User k's gain is ``μ_k = ((HᴴH + σ²I)⁻¹HᴴH)_kk``, and the error of ``x̂_k/μ_k`` has the variance ``(1 − μ_k)/μ_k``.
    At σ² = 0 this is zero forcing.

    Raises:
        RequestError: shapes that do not fit, or a σ² that is negative or no number.
    """
    h, y, noise = _checked(h, y, noise_var)
    values, vectors = _modes(h)
    total = values + np.minimum(noise, 1e300)[:, None]
    inverse = np.divide(1, total, out=np.zeros_like(values), where=values > 0)
    share = np.abs(vectors) ** 2
    blocked = np.divide(total - values, total, out=np.ones_like(values), where=values > 0)
    gain = _mix(share, values * inverse)
    variance = _mix(share, blocked) / np.maximum(gain, 1 / LARGEST)
    return _filtered(h, y, vectors, inverse, gain, variance)


def _checked(h: Any, y: Any, noise_var: Any) -> tuple[Complex, Complex, Reals]:
    """In double precision, y as 0 where the noise is infinite."""
    h, y = np.asarray(h, np.complex128), np.asarray(y, np.complex128)
    noise = np.asarray(noise_var, np.float64)
    if h.ndim != 3 or y.ndim != 3 or y.shape[::2] != h.shape[:2] or noise.shape != h.shape[:1]:
        expected = "h [groups, N, K], y [groups, uses, N] and noise_var [groups]"
        raise RequestError("h", expected=expected, got=(h.shape, y.shape, noise.shape))
    if not (noise >= 0).all():
        raise RequestError("noise_var", expected="variances from 0 to infinity", got=float(noise[~(noise >= 0)][0]))
    return h, np.where(np.isinf(noise)[:, None, None], 0, y), noise


def _modes(h: Complex) -> tuple[Reals, Complex]:
    """Eigenvalues of the Gram matrix, zero where they are rounding errors, and eigenvectors."""
    values, vectors = np.linalg.eigh(_adjoint(h) @ h)
    return np.where(values > RELATIVE_RANK * values[:, -1:], values, 0), vectors


def _adjoint(matrices: Complex) -> Complex:
    return matrices.conj().swapaxes(1, 2)


def _mix(share: Reals, modes: Reals) -> Reals:
    """``Σ_i |V_ki|² m_i``: the diagonal of ``V diag(m) Vᴴ``, ``[groups, K]``."""
    return (share @ modes[..., None])[..., 0]


def _filtered(
    h: Complex, y: Complex, vectors: Complex, inverse: Reals, gain: Reals, variance: Reals
) -> LinearDetection:
    """``V diag(inverse) Vᴴ Hᴴ y`` and that by its gain."""
    weights = (vectors * inverse[:, None]) @ _adjoint(vectors)
    estimate = (y @ h.conj()) @ weights.swapaxes(1, 2)
    return LinearDetection(
        estimate=estimate,
        unbiased=estimate / np.maximum(gain, 1 / LARGEST)[:, None],
        error_variance=np.minimum(variance, LARGEST),
    )


# --- maximum likelihood ---


def maximum_likelihood(
    h: GivenComplex, y: GivenComplex, constellation: Constellation, *, most_visits: int = 2**40
) -> NDArray[np.int64]:
    """The points that minimise ``‖y − Hx‖²`` over all M^K candidates: exact, by the search of ``sphere``.

    Its time depends on H and the noise: it is long where users are alike, antennas few, and noise is strong. Any of
    candidates that are equally likely may be the answer.

    Args:
        h, y, constellation: As above; y finite.
        most_visits: Points, whole and partial, that the search for the answer to one y may visit, some tens of
            nanoseconds each.

    Returns:
        Numbers of points, ``[groups, uses, K]``.

    Raises:
        RequestError: more than ``MOST_SEARCHED`` candidates, or ``MOST_SUMMED`` where there are more users than
            antennas, most of which then have to be visited; a search that is longer than ``most_visits``; shapes that
            do not fit.
    """
    h, y, _ = _checked(h, y, np.zeros(len(h)))
    _few_enough(constellation, h.shape[2], MOST_SEARCHED if h.shape[1] >= h.shape[2] else MOST_SUMMED)
    step = max(1, CHUNK // max(h[:1].size, y[:1].size, 1))
    pieces = [_searched(h[i : i + step], y[i : i + step], constellation, most_visits) for i in range(0, len(h), step)]
    return np.concatenate(pieces) if pieces else np.empty((*y.shape[:2], h.shape[2]), np.int64)


def _few_enough(constellation: Constellation, users: int, most: int) -> None:
    candidates = len(constellation.points) ** users
    if candidates > most:
        got = f"{users} users of {constellation.name}: {candidates}"
        raise RequestError("users", expected=f"at most {most} candidates", got=got)


def _searched(h: Complex, y: Complex, constellation: Constellation, most_visits: int) -> NDArray[np.int64]:
    from channelbench.solvers.sphere import nearest_levels

    users, axes = h.shape[2], constellation.axes
    permutation = _weakest_first(h)
    r, z = _triangular(np.take_along_axis(h, permutation[:, None], axis=2), y)
    counts = np.array([len(levels) for levels in axes] * users)
    levels = np.zeros((2 * users, counts.max(initial=1)))
    for axis, values in enumerate(axes):
        levels[axis::2, : len(values)] = values
    labels = np.zeros(z.shape, np.int64)
    if not nearest_levels(r, z, levels, counts, most_visits, labels):
        expected = f"channels of which a search visits at most {most_visits} points"
        raise RequestError("users", expected=expected, got=f"{users} users, {h.shape[1]} antennas")
    points = constellation.index(labels[..., 0::2], labels[..., 1::2])
    return np.take_along_axis(points, np.argsort(permutation, axis=1)[:, None], axis=2)


def _weakest_first(h: Complex) -> NDArray[np.int64]:
    """An order of the users in which each has the least power outside the span of those before it, ``[groups, K]``: the
    sorted QR of Wübben et al. (2001). The last ones, which the search decides first, are then the surest."""
    remaining = _adjoint(h) @ h
    groups, users = np.arange(len(h)), h.shape[2]
    order = np.empty((len(h), users), np.int64)
    power = np.diagonal(remaining, axis1=1, axis2=2).real.copy()
    for place in range(users):
        order[:, place] = chosen = power.argmin(axis=1)
        column, pivot = remaining[groups, :, chosen], power[groups, chosen]
        scale = np.divide(1, pivot, out=np.zeros_like(pivot), where=pivot > 0)
        remaining -= scale[:, None, None] * column[:, :, None] * column[:, None].conj()
        power = np.where(np.isinf(power), np.inf, np.diagonal(remaining, axis1=1, axis2=2).real)
        power[groups, chosen] = np.inf
    return order


def _triangular(h: Complex, y: Complex) -> tuple[Reals, Reals]:
    """R and z = Qᴴy in real numbers, two rows and columns a user; rows beyond the antennas are zero."""
    users = h.shape[2]
    q, upper = np.linalg.qr(h)
    r, z = np.zeros((len(h), users, users), complex), np.zeros((*y.shape[:2], users), complex)
    r[:, : upper.shape[1]], z[..., : upper.shape[1]] = upper, y @ q.conj()
    diagonal = np.diagonal(r, axis1=1, axis2=2)
    size = np.abs(diagonal)
    turn = np.divide(diagonal.conj(), size, out=np.ones_like(diagonal), where=size > 0)
    r, z = r * turn[..., None], z * turn[:, None]
    real = np.zeros((len(h), 2 * users, 2 * users))
    real[:, 0::2, 0::2] = real[:, 1::2, 1::2] = r.real
    real[:, 1::2, 0::2], real[:, 0::2, 1::2] = r.imag, -r.imag
    return real, np.stack([z.real, z.imag], axis=-1).reshape(*y.shape[:2], 2 * users)


# --- the posterior of each symbol ---


@dataclass(frozen=True)
class Posterior:
    """What is known of each symbol when all points were equally likely before.

    Attributes:
        probabilities: Of the constellation's points, ``[groups, uses, K, M]``.
        constellation: What was sent.
    """

    probabilities: Reals
    constellation: Constellation

    @property
    def mean(self) -> Complex:
        """The estimate of least squared error, ``[groups, uses, K]``."""
        return self.probabilities @ self.constellation.points

    @property
    def variance(self) -> Reals:
        """Of the symbol around ``mean``, ``[groups, uses, K]``."""
        distance = np.abs(self.mean[..., None] - self.constellation.points) ** 2
        return np.einsum("...m,...m->...", self.probabilities, distance)

    @property
    def decision(self) -> NDArray[np.int64]:
        """The likeliest point of each symbol, ``[groups, uses, K]``: no detector has a lower symbol error rate."""
        return self.probabilities.argmax(axis=-1)

    @property
    def llrs(self) -> Reals:
        """``log p(b = 1) − log p(b = 0)`` of each bit, ``[groups, uses, K, log2 M]``, within ±691: probabilities below
        10⁻³⁰⁰ count as that."""
        bits = self.constellation.bits.astype(np.float64)
        one, zero = self.probabilities @ bits, self.probabilities @ (1 - bits)
        return np.log(np.maximum(one, 1e-300)) - np.log(np.maximum(zero, 1e-300))


def posterior(
    h: GivenComplex, y: GivenComplex, noise_var: NDArray[np.floating], constellation: Constellation
) -> Posterior:
    """``p(x_k | y)`` of each symbol, by the sum over all M^K candidates. Exact, but for σ² below ``LEAST_NOISE``.

    Raises:
        RequestError: more than ``MOST_SUMMED`` candidates; shapes that do not fit; a σ² that is negative or no number.
    """
    h, y, noise = _checked(h, y, noise_var)
    users, size = h.shape[2], len(constellation.points)
    _few_enough(constellation, users, MOST_SUMMED)
    gram, matched = _adjoint(h) @ h, y @ h.conj()
    power = np.einsum("gkk->g", gram).real / max(users, 1)
    noise = np.maximum(noise, np.maximum(LEAST_NOISE * power, np.finfo(float).tiny))
    halves = [_candidates(constellation, number) for number in (users // 2, users - users // 2)]
    probabilities = np.empty((*matched.shape, size))
    step = max(1, CHUNK // size**users)
    for group in range(len(h)):
        cross = _cross_terms(gram[group], halves) / noise[group]
        for use in range(0, y.shape[1], step):
            now = slice(use, use + step)
            probabilities[group, now] = _marginals(gram[group], matched[group, now], noise[group], halves, cross, size)
    return Posterior(probabilities=probabilities, constellation=constellation)


def _candidates(constellation: Constellation, users: int) -> Complex:
    """All that some users may send, the last one's symbol changing fastest, ``[M^users, users]``."""
    size = len(constellation.points)
    numbers = np.arange(size**users)[:, None] // size ** np.arange(users)[::-1] % size
    return constellation.points[numbers]


def _cross_terms(gram: Complex, halves: list[Complex]) -> Reals:
    """``2 Re aᴴG_ab b`` of the candidates of both halves of the users, ``[M^a, M^b]``."""
    split = halves[0].shape[1]
    left = halves[0].conj() @ gram[:split, split:]
    return 2 * (left.real @ halves[1].real.T - left.imag @ halves[1].imag.T)


def _marginals(gram: Complex, matched: Complex, noise: float, halves: list[Complex], cross: Reals, size: int) -> Reals:
    """Probabilities of each user's points, ``[uses, K, M]``.

    ``‖y − Hx‖² = ‖y‖² + xᴴGx − 2 Re xᴴHᴴy``, of which the part of each half of the users is a vector, and one matrix
    that does not depend on y says the rest.
    """
    split, parts = halves[0].shape[1], []
    for points, part in zip(halves, (slice(None, split), slice(split, None)), strict=True):
        power = ((points.conj() @ gram[part, part]) * points).sum(axis=1).real
        parts.append((power - 2 * (matched[:, part] @ points.conj().T).real) / noise)
    exponent = -cross - parts[0][:, :, None] - parts[1][:, None]
    exponent -= exponent.max(axis=(1, 2), keepdims=True)
    weight = np.exp(exponent, out=exponent)
    sums = [weight.sum(axis=2), weight.sum(axis=1)]
    users = [points.shape[1] for points in halves]
    marginals = np.concatenate([_each_user(*pair, size) for pair in zip(sums, users, strict=True)], axis=1)
    return marginals / marginals.sum(axis=-1, keepdims=True)


def _each_user(weight: Reals, users: int, size: int) -> Reals:
    """Sums over the other users of the same half, ``[uses, users, M]``, of ``[uses, M^users]``."""
    shaped = weight.reshape(-1, *[size] * users)
    each = [shaped.sum(axis=tuple(1 + other for other in range(users) if other != user)) for user in range(users)]
    return np.stack(each, axis=1) if each else np.empty((len(weight), 0, size))


# --- a bound ---


def matched_filter_bound(
    h: GivenComplex, noise_var: NDArray[np.floating], constellation: Constellation
) -> NDArray[np.float64]:
    """Expected symbol error rate of each user if no other sent anything; no detector is below it on average.

    At ``γ = ‖h_k‖²/σ²`` an axis of L levels d apart is wrong with probability ``2(1 − 1/L) Q(√(γ/2) d)`` (Proakis,
    Digital Communications, section 4.3): d is ``√(6/(M − 1))`` for square QAM.

    Returns:
        ``[groups, K]``; 0 without noise, and ``1 − 1/M`` where nothing is received.
    """
    from scipy.special import erfc

    power = np.sum(np.abs(np.asarray(h, np.complex128)) ** 2, axis=1)
    noise = np.broadcast_to(np.asarray(noise_var, np.float64)[:, None], power.shape)
    snr = np.divide(power, noise, out=np.full(power.shape, np.inf), where=noise > 0)
    snr[power == 0] = 0
    wrong = np.zeros(power.shape)
    for levels in constellation.axes:
        if len(levels) > 1:
            distance = np.diff(np.sort(levels))[0]
            on_axis = (1 - 1 / len(levels)) * erfc(np.sqrt(snr) * distance / 2)
            wrong += on_axis - wrong * on_axis
    return wrong
