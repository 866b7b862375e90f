"""Linear precoding for K single-antenna users and N antennas, in closed form and batched over groups of users.

Row k of ``h [groups, K, N]`` is user k's channel h_k, row k of a precoder ``w [groups, K, N]`` the beam w_k; user k
receives ``Σ_j h_kᴴ w_j s_j + n`` with symbols of unit power and noise of variance σ². The power of a precoder is
Σ_k ‖w_k‖².

Beams lie in the span of the channels, ``w = A h``, so that everything but the last product is made of K × K matrices:
the Gram matrix ``R = h hᴴ`` (the conjugate of h_jᴴh_k) and A. Users are scaled to unit channels first, since the
direction of a beam does not depend on the scale of its channel: with ``ρ = R`` of unit channels and
``μ_k = λ_k ‖h_k‖²/σ²``, all directions here are the rows of

    Q⁻¹ u,   Q_kj = δ_kj + (1 − δ_kj) ρ_kj t_j,   t_j = μ_j/(1 + μ_j),

u the unit channels: t = 0 is MRT, t = 1 ZF. Where Q is close to singular (more users than antennas, users in the same
place), the singular values of the channels are filtered instead, which is the pseudo-inverse for ZF.

Every problem is one of ``√(P/σ²) h`` alone. What has no answer gets the obvious one: a user with a channel of zeros
has no beam and rate 0, and no power gives beams of zeros.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channelbench.solvers.small import chunks, groups_first, groups_last, inverse

__all__ = [
    "at_power",
    "audible",
    "gains",
    "gram",
    "mrt",
    "per_group",
    "rzf",
    "scaled_gram",
    "sinr",
    "structure",
    "sum_rate",
    "unit_rows",
    "waterfill",
    "zf",
]

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]

LARGEST_INVERSE = 1e8
"""Of an entry of Q⁻¹. Beyond it, half of the digits of a Gram matrix are lost and the channels themselves are used."""

LARGEST_SNR = 1e8
"""See ``scaled_gram``."""

SMALLEST, SMALLEST_SHARE = 1e-140, 1e-15
"""Norms of channels below which they are 0: in any case, and relative to the strongest of the group."""

RELATIVE_RANK = 1e-12
"""Singular values below this share of the largest are rounding errors of zero."""


def per_group(value: ArrayLike, groups: int, name: str, *, positive: bool = False) -> Real:
    """A number, or one per group, as ``[groups]``.

    Raises:
        ValueError: A value is not finite, is negative, or is 0 where it has to be positive.
    """
    found = np.broadcast_to(np.asarray(value, np.float64), (groups,))
    if not np.all(np.isfinite(found) & ((found > 0) if positive else (found >= 0))):
        raise ValueError(f"{name} must be finite and {'positive' if positive else 'not negative'}")
    return found


def gram(h: NDArray[np.complexfloating]) -> Complex:
    """``R = h hᴴ``, Hermitian, ``[groups, K, K]``; ``R_kj`` is the conjugate of h_kᴴh_j."""
    wide = np.asarray(h, np.complex128)
    found: Complex = wide @ wide.conj().swapaxes(1, 2)
    return found


def audible(h: NDArray[np.complexfloating]) -> Complex:
    """Channels in double precision; what is 300 dB below the group's strongest is 0, since its square has no digits."""
    wide = np.asarray(h, np.complex128)
    norms = np.sqrt(_squares(wide, "gkn,gkn->gk"))
    least = np.maximum(SMALLEST_SHARE * norms.max(axis=1, initial=0, keepdims=True), SMALLEST)
    quiet = norms < least
    return np.where(quiet[..., None], 0, wide) if quiet.any() else wide


def _squares(values: Complex, sums: str) -> Real:
    """Sums of squared magnitudes, in one pass over the real and imaginary parts."""
    parts = np.ascontiguousarray(values).view(np.float64)
    found: Real = np.einsum(sums, parts, parts)
    return found


def scaled_gram(
    h: NDArray[np.complexfloating], power: ArrayLike, noise_var: ArrayLike
) -> tuple[Complex, Complex, Real]:
    """Channels scaled so that power and noise are 1, and their Gram matrices.

    What is best for them is, times √P, best for the channels themselves. Where a user alone would have an SNR above
    80 dB, the noise is raised until it is 80 dB: beyond, the products of Gram matrices have too few digits left.

    Returns:
        Scaled channels ``[groups, K, N]``, Gram matrices with the groups last ``[K, K, groups]``, and by which factor
        the noise was raised, ``[groups]``, at least 1.
    """
    heard = audible(h)
    with np.errstate(over="ignore"):
        ratio = per_group(power, len(h), "power") / per_group(noise_var, len(h), "noise_var", positive=True)
    strongest = _squares(heard, "gkn,gkn->gk").max(axis=1, initial=0)
    raised = np.maximum(1, np.minimum(ratio, np.finfo(float).max) * strongest / LARGEST_SNR)
    scaled = heard * np.sqrt(ratio / raised)[:, None, None]
    return scaled, groups_last(gram(scaled)), raised


def at_power(w: Complex, power: ArrayLike) -> Complex:
    """A precoder scaled to power P; one of zeros stays."""
    length = np.sqrt(_squares(w, "gkn,gkn->g"))
    factor = np.sqrt(per_group(power, len(w), "power")) / np.where(length > 0, length, 1)
    return w * factor[:, None, None]


def gains(h: NDArray[np.complexfloating], w: NDArray[np.complexfloating]) -> Real:
    """Power ``|h_kᴴ w_j|²`` of beam j at user k, ``[groups, user k, beam j]``."""
    amplitudes = np.asarray(h, np.complex128).conj() @ np.asarray(w, np.complex128).swapaxes(1, 2)
    found: Real = amplitudes.real**2 + amplitudes.imag**2
    return found


def sinr(h: NDArray[np.complexfloating], w: NDArray[np.complexfloating], noise_var: ArrayLike) -> Real:
    """Signal to interference and noise ratio of each user, linear, ``[groups, K]``.

    Args:
        h: Channels ``[groups, K, N]``.
        w: Precoder ``[groups, K, N]``.
        noise_var: σ², positive, a number or ``[groups]``.
    """
    noise = per_group(noise_var, len(h), "noise_var", positive=True)
    received = gains(h, w)
    signal = np.einsum("gkk->gk", received).copy()
    np.einsum("gkk->gk", received)[:] = 0  # rather than subtracted, which would round at the signal's size
    return signal / (received.sum(axis=2) + noise[:, None])


def sum_rate(h: NDArray[np.complexfloating], w: NDArray[np.complexfloating], noise_var: ArrayLike) -> Real:
    """``Σ_k log₂(1 + SINR_k)`` in bits per channel use, ``[groups]``; arguments as of ``sinr``."""
    found: Real = np.log1p(sinr(h, w, noise_var)).sum(axis=1) / np.log(2)
    return found


def unit_rows(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows of norm 1, along the last axis; rows of zeros stay."""
    largest = np.maximum(np.abs(rows.real), np.abs(rows.imag)).max(axis=-1, keepdims=True, initial=0)
    scaled = rows / np.where(largest > 0, largest, 1)  # so that no square is out of range
    norms = np.linalg.norm(scaled, axis=-1, keepdims=True)
    return scaled / np.where(norms > 0, norms, 1)


def waterfill(gains: NDArray[np.floating], power: ArrayLike) -> Real:
    """The powers that maximise ``Σ_k log(1 + g_k p_k)`` under ``Σ_k p_k ≤ P``: ``p_k = max(0, ν − 1/g_k)``.

    Args:
        gains: g, not negative, ``[groups, K]``.
        power: P, a number or ``[groups]``.

    Returns:
        p ``[groups, K]``; it sums to P, or to 0 where every gain is 0.

    Source: D. Tse and P. Viswanath, Fundamentals of Wireless Communication, section 5.3.3.
    """
    total = per_group(power, len(gains), "power")
    with np.errstate(divide="ignore", over="ignore"):
        depths = 1 / np.asarray(gains, np.float64)
    order = np.argsort(depths, axis=1, kind="stable")
    sorted_depths = np.take_along_axis(depths, order, axis=1)
    counts = np.arange(1, depths.shape[1] + 1)
    with np.errstate(invalid="ignore"):
        # With the m best users the worst of them gets (P − Σ_{i<m} (depth_m − depth_i))/m: it has to be positive.
        spent = sorted_depths * counts - np.cumsum(sorted_depths, axis=1)
    served = (spent < total[:, None]) & np.isfinite(sorted_depths)
    used = np.where(served, sorted_depths, 0)
    number = np.maximum(served.sum(axis=1, keepdims=True), 1)
    last = used.max(axis=1, keepdims=True, initial=0)
    # Relative to the worst user served, since depths may be far larger than P.
    lead = np.where(served, last - used, 0)
    powers = np.where(served, lead + (total[:, None] - lead.sum(axis=1, keepdims=True)) / number, 0)
    found = np.empty_like(powers)
    np.put_along_axis(found, order, powers, axis=1)
    return np.maximum(found, 0)


def mrt(h: NDArray[np.complexfloating], power: ArrayLike) -> Complex:
    """Maximum ratio transmission ``w_k ∝ h_k``, equal power for every user whose channel is not 0.

    Args:
        h: Channels ``[groups, K, N]``.
        power: P, a number or ``[groups]``.

    Returns:
        Precoder ``[groups, K, N]``.
    """
    beams = unit_rows(audible(h))
    return beams * np.sqrt(_equal(np.any(beams != 0, axis=2), per_group(power, len(h), "power")))[..., None]


def zf(
    h: NDArray[np.complexfloating],
    power: ArrayLike,
    noise_var: ArrayLike,
    power_allocation: Literal["equal", "waterfilling"] = "equal",
) -> Complex:
    """Zero forcing: the normalised columns of the channels' pseudo-inverse.

    Args:
        h: Channels ``[groups, K, N]``.
        power: P, a number or ``[groups]``.
        noise_var: σ², positive, a number or ``[groups]``; equal power does not depend on it.
        power_allocation: ``equal`` for all users whose channel is not 0, or ``waterfilling``, which is the best there
            is where no interference is left.

    Returns:
        Precoder ``[groups, K, N]``.
    """
    if power_allocation not in ("equal", "waterfilling"):
        raise ValueError(f"power_allocation must be equal or waterfilling, not {power_allocation!r}")
    total, noise = per_group(power, len(h), "power"), per_group(noise_var, len(h), "noise_var", positive=True)
    beams, own = _directions(h, np.full(h.shape[:2], np.inf), np.ones(len(h)))
    if power_allocation == "equal":
        return beams * np.sqrt(_equal(own > 0, total))[..., None]
    # In units of P, so that neither a tiny noise nor a tiny power is out of range.
    shares = waterfill(own * (total / noise)[:, None], 1.0)
    return beams * np.sqrt(shares * total[:, None])[..., None]


def rzf(h: NDArray[np.complexfloating], power: ArrayLike, noise_var: ArrayLike) -> Complex:
    """Regularised zero forcing with equal power for every user whose channel is not 0.

    The directions are those of ``hᴴ(h hᴴ + (Kσ²/P) I)⁻¹``: the structure of the optimum at equal λ and equal p.

    Args:
        h: Channels ``[groups, K, N]``.
        power: P, a number or ``[groups]``.
        noise_var: σ², positive, a number or ``[groups]``.

    Returns:
        Precoder ``[groups, K, N]``.

    Source: C. Peel, B. Hochwald and A. Swindlehurst, IEEE Trans. Commun. 53 (2005); E. Björnson, M. Bengtsson and
    B. Ottersten, IEEE Signal Process. Mag. 31 (2014).
    """
    total = per_group(power, len(h), "power")
    equal = np.repeat(total[:, None] / max(1, h.shape[1]), h.shape[1], axis=1)
    beams, own = _directions(h, equal, per_group(noise_var, len(h), "noise_var", positive=True))
    return beams * np.sqrt(_equal(own > 0, total))[..., None]


def structure(
    h: NDArray[np.complexfloating], p: NDArray[np.floating], lam: NDArray[np.floating], noise_var: ArrayLike
) -> Complex:
    """The form of every optimal precoder: ``w_k = √p_k v_k/‖v_k‖`` with ``v_k = (I + Σ_j λ_j/σ² h_j h_jᴴ)⁻¹ h_k``.

    Args:
        h: Channels ``[groups, K, N]``.
        p: Powers of the beams, not negative, ``[groups, K]``.
        lam: λ, not negative, ``[groups, K]``; in the optimum it sums to P as p does.
        noise_var: σ², positive, a number or ``[groups]``.

    Returns:
        Precoder ``[groups, K, N]``.

    Source: E. Björnson, M. Bengtsson and B. Ottersten, IEEE Signal Process. Mag. 31 (2014), Eq. 11.
    """
    noise = per_group(noise_var, len(h), "noise_var", positive=True)
    beams, _own = _directions(h, np.asarray(lam, np.float64), noise)
    return beams * np.sqrt(np.asarray(p, np.float64))[..., None]


def _equal(served: NDArray[np.bool_], total: Real) -> Real:
    """Equal powers of those who are served, ``[groups, K]``."""
    share: Real = served * (total / np.maximum(served.sum(axis=1), 1))[:, None]
    return share


def _directions(h: NDArray[np.complexfloating], lam: Real, noise: Real) -> tuple[Complex, Real]:
    """Unit beams at these λ (infinite: zero forcing), and the gain ``|h_kᴴ v_k|²`` of each by its own user."""
    wide = audible(h)
    matrix = gram(wide)
    coefficients, own = np.empty_like(matrix), np.empty(matrix.shape[:2])
    sound = np.empty(len(wide), bool)
    for part in chunks(len(wide), wide.shape[1]):
        found = _coefficients(groups_last(matrix[part]), lam[part].T, noise[part])
        coefficients[part], own[part], sound[part] = groups_first(found[0]), found[1].T, found[2]
    beams: Complex = coefficients @ wide
    for g in np.flatnonzero(~sound):
        beams[g] = _filtered(wide[g], lam[g], noise[g])
        own[g] = np.abs(np.sum(wide[g].conj() * beams[g], axis=1)) ** 2
    return beams, own


def _coefficients(matrix: Complex, lam: Real, noise: Real) -> tuple[Complex, Real, NDArray[np.bool_]]:
    """A of unit beams ``A h``, their users' gains, and where both can be relied on; groups last."""
    size = len(matrix)
    power = np.einsum("kkg->kg", matrix).real
    scale = np.sqrt(power)
    scale = np.where(scale > 0, scale, 1)
    matrix = matrix / (scale[:, None] * scale)
    with np.errstate(over="ignore", invalid="ignore"):
        strength = np.where(power > 0, lam * power / noise, 0)
        share = np.where(np.isinf(strength), 1, strength / (1 + strength))
    system = matrix * share
    system[np.arange(size), np.arange(size)] = 1
    inverted, pivots = inverse(system)
    sound = np.all(np.isfinite(pivots), axis=0) & (np.abs(inverted).max(axis=(0, 1), initial=0) < LARGEST_INVERSE)
    inverted = np.where(sound, inverted, 0)
    return *_normalised(inverted, matrix, power, scale), sound


def _normalised(rows: Complex, matrix: Complex, power: Real, scale: Real) -> tuple[Complex, Real]:
    """Coefficients of unit beams from those of any length, and the gains."""
    received = np.zeros_like(rows)
    for k in range(len(rows)):
        received += rows[:, k, None] * matrix[k]
    length = np.sqrt(np.maximum(np.sum((received * rows.conj()).real, axis=1), 0))
    length = np.where(length > 0, length, 1)
    own = np.where(power > 0, power * np.abs(np.einsum("kkg->kg", received) / length) ** 2, 0)
    used = np.where((power > 0), 1 / length, 0)
    return rows * used[:, None] / scale, own


def _filtered(h: Complex, lam: Real, noise: float) -> Complex:
    """Unit beams of one group by singular values: ``(I + BᴴB)⁻¹ h_k`` with the rows ``√(λ/σ²) h_k`` of B."""
    zero_forcing = bool(np.all(np.isinf(lam)))
    loads = np.ones(len(h)) if zero_forcing else np.sqrt(lam / noise)
    weighted = loads[:, None] * h
    left, values, right = np.linalg.svd(weighted, full_matrices=False)
    kept = values > RELATIVE_RANK * values.max(initial=0)
    left, values, right = left[:, kept], values[kept], right[kept]
    beams = (left / (values + (0 if zero_forcing else 1 / values))) @ right
    # What λ_k hardly touches is nearly h_k, which B may not contain.
    weak = np.sum(np.abs(weighted) ** 2, axis=1) < (0 if zero_forcing else 1)
    parts = h[weak] @ right.conj().T
    beams[weak] = h[weak] - (parts * (values**2 / (1 + values**2))) @ right
    beams[~np.any(h != 0, axis=1)] = 0
    return np.asarray(unit_rows(beams))
