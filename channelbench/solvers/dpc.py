"""Sum capacity of the MIMO broadcast channel (dirty paper coding): what no precoder exceeds, batched over groups.

Conventions are those of ``precoding``; channels are scaled by √(P/σ²), so that power and noise are 1. By duality with
the multiple access channel, for users with one antenna (Vishwanath, Jindal and Goldsmith, IEEE Trans. Inf. Theory 49,
2003; Viswanath and Tse, same issue)

    C = max f(q),  f(q) = log₂ det(I + Σ_k q_k h_k h_kᴴ),  q ≥ 0,  Σ_k q_k = 1.

Iterative water-filling (Jindal, Rhee, Vishwanath, Jafar and Goldsmith, IEEE Trans. Inf. Theory 51, 2005): each user
sees the others as noise, all fill the water of their gains x_k together, to powers p, and q moves towards p. By a share
of 1/K it converges provably; along the same line a Newton step is tried as well, and the better of both is taken.

f is concave with the gradient ``y_k = h_kᴴ(I + Σ_j q_j h_j h_jᴴ)⁻¹h_k``, hence ``C ≤ f(q) + max_k y_k − Σ_k q_k y_k``
for any q: an upper bound at every iteration, which comes down to f(q) at the optimum. f is the lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channelbench.solvers.precoding import scaled_gram, waterfill
from channelbench.solvers.small import chunks, inverse, product

__all__ = ["SumCapacity", "sum_capacity"]

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]


@dataclass(frozen=True)
class SumCapacity:
    """The sum capacity between two bounds, in bits per channel use.

    Attributes:
        capacity: What is achieved, ``[groups]``.
        bound: What is not exceeded, ``[groups]``.
        uplink: Shares q of P in the dual uplink, ``[groups, K]``.
    """

    capacity: Real
    bound: Real
    uplink: Real

    @property
    def gap(self) -> Real:
        """Duality gap in bits, ``[groups]``."""
        return self.bound - self.capacity


def sum_capacity(
    h: NDArray[np.complexfloating],
    power: ArrayLike,
    noise_var: ArrayLike,
    tolerance: float = 1e-6,
    max_iterations: int = 2000,
) -> SumCapacity:
    """The largest sum rate of any coding, linear or not.

    Args:
        h: Channels ``[groups, K, N]``.
        power: P, a number or ``[groups]``.
        noise_var: σ², positive, a number or ``[groups]``.
        tolerance: It ends for a group when the duality gap is below so many bits.
        max_iterations: Where it ends at the latest.
    """
    scaled, matrix, raised = scaled_gram(h, power, noise_var)
    rate, gap, q = np.empty(len(h)), np.empty(len(h)), np.empty(h.shape[:2])
    for part in chunks(len(h), h.shape[1]):
        rate[part], gap[part], shares = _maximise(matrix[..., part], tolerance * np.log(2), max_iterations)
        q[part] = shares.T
    # A noise that is lower by a factor a raises every eigenvalue of the covariance by a at most.
    bound = rate + gap + min(h.shape[1:]) * np.log(raised)
    above = raised > 1
    if above.any():
        rate[above], gap[above] = _by_singular_values(scaled[above] * np.sqrt(raised[above])[:, None, None], q[above])
        bound[above] = np.minimum(bound[above], rate[above] + gap[above])
    return SumCapacity(rate / np.log(2), np.maximum(bound, rate) / np.log(2), q)


def _by_singular_values(scaled: Complex, q: Real) -> tuple[Real, Real]:
    """f in nats and its gap ``[groups]``, from the channels themselves, which keep all digits at any SNR."""
    left, values, right = np.linalg.svd(scaled * np.sqrt(q)[..., None], full_matrices=False)
    share = values**2 / (1 + values**2)
    qy = np.einsum("gki,gi->gk", np.abs(left) ** 2, share)  # q_k y_k
    # y_k of users without power: what of their channels lies in the others' span counts 1/(1 + s²), the rest fully.
    along = scaled @ right.conj().swapaxes(1, 2)
    rest = scaled - along @ right
    idle = np.einsum("gki,gi->gk", np.abs(along) ** 2, 1 / (1 + values**2)) + np.sum(np.abs(rest) ** 2, axis=2)
    y = np.where(q > 0, qy / np.where(q > 0, q, 1), idle)
    return np.log1p(values**2).sum(axis=1), np.maximum(y.max(axis=1) - qy.sum(axis=1), 0)


@dataclass(frozen=True)
class _Point:
    """f at some powers, in nats, and what follows of the same inverse; groups last.

    Attributes:
        q: Powers ``[K, groups]``.
        rate: f(q), ``[groups]``.
        y: Its gradient, ``[K, groups]``.
        x: Gains that each user has with the others as noise, ``[K, groups]``.
        curvature: Its negative Hessian ``|h_kᴴ(…)⁻¹h_j|²``, ``[K, K, groups]``.
    """

    q: Real
    rate: Real
    y: Real
    x: Real
    curvature: Real

    @classmethod
    def at(cls, matrix: Complex, q: Real) -> _Point:
        system = matrix * q
        np.einsum("kkg->kg", system)[:] += 1
        inverted, pivots = inverse(system)
        form = product(inverted, matrix)
        y = np.abs(np.einsum("kkg->kg", form))
        rest = np.abs(np.einsum("kkg->kg", inverted))  # 1 − q_k y_k, without the subtraction
        x = y / np.where(rest > 0, rest, 1)
        return cls(q, np.log(pivots).sum(axis=0), y, x, form.real**2 + form.imag**2)

    @property
    def gap(self) -> Real:
        """By how much f may still rise, ``[groups]``."""
        return np.maximum(self.y.max(axis=0) - np.sum(self.q * self.y, axis=0), 0)

    def only(self, kept: NDArray[np.bool_]) -> _Point:
        """Some of the groups."""
        return _Point(self.q[:, kept], self.rate[kept], self.y[:, kept], self.x[:, kept], self.curvature[..., kept])


def _maximise(matrix: Complex, tolerance: float, max_iterations: int) -> tuple[Real, Real, Real]:
    """f in nats, its gap ``[groups]``, and q ``[K, groups]``."""
    size, groups = matrix.shape[1:]
    point = _Point.at(matrix, np.full((size, groups), 1 / size))
    rate, gap, q = point.rate.copy(), point.gap.copy(), point.q.copy()
    active = np.arange(groups)
    for _ in range(max_iterations):
        left = point.gap > tolerance
        if not left.any():
            break
        if not left.all():
            active, matrix, point = active[left], matrix[..., left], point.only(left)
        point = _step(matrix, point)
        rate[active], gap[active], q[:, active] = point.rate, point.gap, point.q
    return rate, gap, q


def _step(matrix: Complex, point: _Point) -> _Point:
    """Towards the water level, as far as Newton says or 1/K of the way."""
    direction = waterfill(point.x.T, 1.0).T - point.q
    slope = np.sum(direction * point.y, axis=0)
    bend = np.einsum("kg,kjg,jg->g", direction, point.curvature, direction)
    newton = np.clip(slope / np.where(bend > 0, bend, 1), 0, 1)
    average = _Point.at(matrix, point.q + direction / len(direction))
    trial = _Point.at(matrix, point.q + newton * direction)
    better = trial.rate > average.rate
    return _Point(*(np.where(better, getattr(trial, n), getattr(average, n)) for n in _Point.__dataclass_fields__))
