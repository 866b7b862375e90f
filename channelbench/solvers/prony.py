"""Linear prediction of time series that share their exponentials: vector Prony.

A channel whose paths have Dopplers ν_k is ``Σ_k c_k z_k^t`` in every coefficient: z_k = e^{j2πν_k Δt} is common to
all subcarriers and antennas, the amplitudes c_k are their own. Hence one set of prediction coefficients for all of
them, ``y_t = Σ_l a_l y_{t−l}``, whose characteristic polynomial has the roots z_k. All that the coefficients need of
the series is their joint covariance over slots, so that a drop is a small matrix however many series it has.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["extrapolation_weights", "prediction_coefficients", "roots", "slot_covariance"]

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]


def slot_covariance(y: NDArray[np.complexfloating], noise: NDArray[np.floating]) -> Complex:
    """Forward–backward covariance over slots, without the noise's part, ``[batch, slots, slots]``.

    Exponentials of constant modulus look the same backwards in time and conjugated, which doubles the series. What is
    left after the noise is subtracted is made positive semi-definite.

    Args:
        y: Series ``[batch, slots, series]``.
        noise: Variance of the noise, the mean over series, ``[batch]``.
    """
    series = max(1, y.shape[2])
    # In single precision the last bits, which hang on the processor, decide where weak exponentials lie.
    y = y.astype(np.complex128)
    covariance = y @ y.conj().swapaxes(1, 2) / series
    covariance = (covariance + covariance[:, ::-1, ::-1].conj()) / 2
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values - np.asarray(noise, np.float64)[:, None], 0)
    clean: Complex = (vectors * values[:, None, :]) @ vectors.conj().swapaxes(1, 2)
    return clean


def prediction_coefficients(covariance: Complex, order: int, ridge: NDArray[np.floating]) -> Complex:
    """``a`` that minimise ``Σ_t |y_t − Σ_l a_l y_{t−l}|² + ridge·Σ_l |a_l|²``, ``[batch, order]``.

    Args:
        covariance: Of slots, ``[batch, slots, slots]``.
        order: Coefficients, fewer than slots, at least one.
        ridge: In units of the covariance, ``[batch]``; an unnoticeable one is added, since more coefficients than
            exponentials leave some undetermined.
    """
    slots = covariance.shape[1]
    lags = np.stack([covariance[:, order - lag : slots - lag] for lag in range(order + 1)], axis=1)
    # sums[l, m] = Σ_t E[y_{t−l} y*_{t−m}]: the diagonals of shifted blocks.
    sums = np.stack(
        [np.trace(lags[:, :, :, order - lag : slots - lag], axis1=2, axis2=3) for lag in range(order + 1)], axis=2
    )
    normal = sums[:, 1:, 1:].swapaxes(1, 2)
    level = np.trace(normal, axis1=1, axis2=2).real / order
    least = np.maximum(1e-12 * level, np.finfo(float).tiny)
    normal = normal + (np.asarray(ridge, np.float64) + least)[:, None, None] * np.eye(order)
    found: Complex = np.linalg.solve(normal, sums[:, 0, 1:, None])[..., 0]
    return found


def roots(coefficients: Complex) -> Complex:
    """Roots of ``z^p − Σ_l a_l z^{p−l}``, those outside the unit circle moved onto it, ``[batch, p]``.

    On or within the circle no exponential grows: a prediction is bounded by its amplitudes at the first slot.
    """
    batch, order = coefficients.shape
    companion = np.zeros((batch, order, order), np.complex128)
    companion[:, 0] = coefficients
    companion[:, np.arange(1, order), np.arange(order - 1)] = 1
    found = np.linalg.eigvals(companion)
    return found / np.maximum(np.abs(found), 1)


def extrapolation_weights(z: Complex, seen: Real, wanted: Real) -> Complex:
    """Weights ``[batch, wanted, seen]`` that fit ``Σ_k c_k z_k^t`` to seen slots and read it at wanted ones.

    Args:
        z: Roots ``[batch, order]``.
        seen, wanted: Times in slots; the first seen one is 0, others are not negative.
    """
    basis, ahead = _powers(z, seen), _powers(z, wanted)
    adjoint = basis.conj().swapaxes(1, 2)
    # Roots may coincide; the amplitudes of those that do are then the smallest that fit.
    gram = adjoint @ basis + 1e-12 * len(seen) * np.eye(z.shape[1])
    weights: Complex = ahead @ np.linalg.solve(gram, adjoint)
    return weights


def _powers(z: Complex, times: Real) -> Complex:
    """``z_k^t``, ``[batch, times, order]``; 0⁰ is 1."""
    modulus, angle = np.abs(z)[:, None], np.angle(z)[:, None]
    powers: Complex = modulus ** times[:, None] * np.exp(1j * angle * times[:, None])
    return powers
