"""What training channels tell of delays and Dopplers: a power-delay profile and how fast paths rotate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["largest_doppler", "power_delay_profile"]

SHORTEST_S, EXPONENTIALS = 5e-9, 9
"""Time constants are 5 ns to 1.28 µs, each twice the one before."""

SMALLEST_SHARE = 1e-6
"""Of the whole power, at every delay."""

DOPPLER_MARGIN = 1.1


def power_delay_profile(
    lags_hz: NDArray[np.float64], correlation: NDArray[np.complex128], delays: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of the power at each delay, ``[delays]``: non-negative least squares of a correlation over frequency.

    The profile is a sum of exponentials that go round the period, and of what arrives at once.

    Args:
        lags_hz: ``[lags]``.
        correlation: ``E h(f+lag) h*(f)`` there, ``[lags]``.
        delays: All that are possible, in s, equally spaced from 0.
    """
    from scipy.optimize import nnls

    # Σ_m e^{−(τ+mT)/constant}, one that goes round the period T, is e^{−τ/constant} but for a factor.
    shapes = np.exp(-delays[:, None] / (SHORTEST_S * 2.0 ** np.arange(EXPONENTIALS)))
    shapes = np.hstack([np.eye(len(delays), 1), shapes / shapes.sum(axis=0)])
    seen = np.exp(-2j * np.pi * np.outer(lags_hz, delays)) @ shapes
    weights, _ = nnls(np.vstack([seen.real, seen.imag]), np.concatenate([correlation.real, correlation.imag]))
    profile = shapes @ weights
    if not profile.sum() > 0:
        return np.full(len(delays), 1 / len(delays))
    profile = np.maximum(profile / profile.sum(), SMALLEST_SHARE)
    return np.asarray(profile / profile.sum())


def largest_doppler(correlation: float, step_s: float) -> float:
    """Doppler in Hz that holds those of an ensemble, from how alike its slots are.

    Where Dopplers are those of paths from everywhere in the plane the correlation is ``J0(2πf_D Δt)`` (Clarke 1968);
    up to its first minimum it is inverted, and a tenth is added.

    Args:
        correlation: ``Re E h(t+Δt) h*(t) / E|h|²``.
        step_s: Δt in s.

    Returns:
        At most half a turn per step; 0 where nothing rotates.
    """
    from scipy.special import j0

    phases = np.linspace(0, 3.8317, 2048)
    phase = float(np.interp(-correlation, -j0(phases), phases))
    return min(DOPPLER_MARGIN * phase / (2 * np.pi * step_s), 0.5 / step_s)
