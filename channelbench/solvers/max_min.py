"""Max–min fair precoding: the largest SINR that all users can have at once, batched over groups.

Conventions are those of ``precoding``; channels are scaled by √(P/σ²), so that power and noise are 1. By the duality of
uplink and downlink both reach the same SINRs at the same total power. In the uplink, with powers q and the best
receiver for each user,

    SINR_k = q_k x_k(q),   x_k(q) = h_kᴴ (I + Σ_{j≠k} q_j h_j h_jᴴ)⁻¹ h_k,

and 1/x_k is concave, increasing and positive, so ``q_k ∝ 1/x_k(q)``, scaled to ``Σ q = 1``, converges at a geometric
rate to the only fixed point, where all SINRs are equal: the optimum (Nuzman, INFOCOM 2007; Tan, Chiang and Srikant,
IEEE/ACM Trans. Netw. 19, 2011). On the way the least SINR is reached and the largest cannot be exceeded, so that both
bracket the optimum. Beams of the downlink are the receivers of the uplink, and its powers solve the linear equations
``SINR_k = γ`` (Schubert and Boche, IEEE Trans. Veh. Technol. 53, 2004; Wiesel, Eldar and Shamai, IEEE Trans. Signal
Process. 54, 2006).

It does not matter how many users there are. Those whose channel is 0 are left out; the SINR of their group is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channelbench.solvers.precoding import at_power, scaled_gram, sinr
from channelbench.solvers.small import chunks, groups_first, inverse, product

__all__ = ["MaxMin", "max_min"]

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]


@dataclass(frozen=True)
class MaxMin:
    """Max–min fair precoders.

    Attributes:
        w: Precoders ``[groups, K, N]``.
        sinr: The SINR that all users have, linear, ``[groups]``: the least one, measured. 0 where a user has no
            channel.
        bound: What no precoder exceeds, ``[groups]``.
    """

    w: Complex
    sinr: Real
    bound: Real


def max_min(
    h: NDArray[np.complexfloating],
    power: ArrayLike,
    noise_var: ArrayLike,
    tolerance: float = 1e-8,
    max_iterations: int = 2000,
) -> MaxMin:
    """Maximise the least SINR.

    Args:
        h: Channels ``[groups, K, N]``.
        power: P, a number or ``[groups]``.
        noise_var: σ², positive, a number or ``[groups]``.
        tolerance: It ends for a group when its bounds differ by less than this share.
        max_iterations: Where it ends at the latest.
    """
    scaled, matrix, raised = scaled_gram(h, power, noise_var)
    coefficients = np.empty_like(matrix)
    bound = np.empty(len(h))
    for part in chunks(len(h), h.shape[1]):
        here = matrix[..., part]
        uplink, low, bound[part] = _uplink(here, tolerance, max_iterations)
        coefficients[..., part] = _downlink(here, uplink, low)
    w = at_power(groups_first(coefficients) @ scaled, power)
    everybody = np.all(np.any(scaled != 0, axis=2), axis=1)
    # A noise that is lower by some factor raises no SINR by more than that.
    return MaxMin(w, sinr(h, w, noise_var).min(axis=1), np.where(everybody, bound * raised, 0))


def _uplink(matrix: Complex, tolerance: float, max_iterations: int) -> tuple[Real, Real, Real]:
    """q ``[K, groups]``, and the least and the largest SINR of those who have a channel."""
    heard = np.einsum("kkg->kg", matrix).real > 0
    powers = heard / np.maximum(heard.sum(axis=0), 1)
    low, high = np.zeros(powers.shape[1]), np.zeros(powers.shape[1])
    active = np.flatnonzero(heard.any(axis=0))
    here, q, heard = matrix[..., active], powers[:, active], heard[:, active]
    for _ in range(max_iterations):
        gain = _gains(here, q)
        powers[:, active] = q
        low[active] = np.where(heard, q * gain, np.inf).min(axis=0, initial=np.inf)
        high[active] = np.where(heard, q * gain, 0).max(axis=0, initial=0)
        left = high[active] - low[active] > tolerance * high[active]
        if not left.any():
            break
        if not left.all():
            active, here, q, heard, gain = active[left], here[..., left], q[:, left], heard[:, left], gain[:, left]
        q = np.where(heard, 1 / np.where(heard, gain, 1), 0)
        q /= q.sum(axis=0)
    return powers, low, high


def _gains(matrix: Complex, q: Real) -> Real:
    """``x_k(q)``, ``[K, groups]``: without q_k in the covariance, y_k becomes ``y_k/(1 − q_k y_k)``."""
    inverted = inverse(_system(matrix, q))[0]
    y = np.abs(np.einsum("kig,ikg->kg", inverted, matrix))
    rest = np.abs(np.einsum("kkg->kg", inverted).real)  # 1 − q_k y_k, without the subtraction
    return np.where(rest > 0, y / np.where(rest > 0, rest, 1), y)


def _system(matrix: Complex, q: Real) -> Complex:
    """``I + R diag(q)``."""
    system = matrix * q
    np.einsum("kkg->kg", system)[:] += 1
    return system


def _downlink(matrix: Complex, q: Real, target: Real) -> Complex:
    """A of beams with total power 1 at which every user has the target SINR, ``[K, K, groups]``."""
    beams = inverse(_system(matrix, q))[0]
    received = product(beams, matrix)
    length = np.sqrt(np.maximum(np.einsum("kjg,kjg->kg", received, beams.conj()).real, 0))
    scale = np.where(length > 0, 1 / np.where(length > 0, length, 1), 0)[:, None]
    beams, received = beams * scale, received * scale
    powers = (received.real**2 + received.imag**2).transpose(1, 0, 2)
    # p_k F_kk/γ − Σ_{j≠k} p_j F_kj = 1: an M-matrix, for which elimination needs no pivoting either.
    own = np.einsum("kkg->kg", powers).copy()
    equations = -powers
    heard = own * (target > 0) > 0
    np.einsum("kkg->kg", equations)[:] = np.where(heard, own / np.where(target > 0, target, 1), 1)
    p = np.maximum(inverse(equations)[0].sum(axis=1), 0) * heard
    total = p.sum(axis=0)
    found: Complex = beams * np.sqrt(p / np.where(total > 0, total, 1))[:, None]
    return found
