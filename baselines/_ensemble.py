"""What a training split tells of all its drops together: how they decorrelate over time and over frequency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._common import in_batches, signal_power
from channelbench.contracts import Target, TaskSplit
from channelbench.solvers.profile import largest_doppler
from channelbench.tasks.link.observations import ChannelObservation

__all__ = ["Ensemble", "ensemble_of"]


@dataclass(frozen=True)
class Ensemble:
    """Attributes:
    doppler_hz: Largest Doppler.
    lags_hz: Differences of wanted subcarriers, ``[lags]``.
    correlation: ``E h(f+lag) h*(f)`` at these, at mean power 1, ``[lags]``.
    """

    doppler_hz: float
    lags_hz: NDArray[np.float64]
    correlation: NDArray[np.complex128]


def ensemble_of(train: TaskSplit) -> Ensemble:
    """Statistics of the clean targets of a training split, each sample at unit power."""
    covariance: Any = 0.0
    vectors = 0
    turned = np.zeros(2)
    for observation, target in in_batches(train):
        h = _at_unit_power(target.value, _mean_power(target.value))
        rows = np.moveaxis(h, 2, -1).reshape(-1, h.shape[2])
        covariance = covariance + rows.T @ rows.conj()
        vectors += len(rows)
        turned += _turned(observation, target)
    grid = observation.grid
    times = grid.target_slot_s if len(grid.target_slot_s) > 1 else grid.slot_s
    lags, correlation = _by_lag(grid.target_subcarrier_hz, covariance / max(vectors, 1))
    return Ensemble(
        doppler_hz=largest_doppler(turned[0] / turned[1], np.diff(times).min()) if turned[1] > 0 else 0.0,
        lags_hz=lags,
        correlation=correlation,
    )


def _turned(observation: ChannelObservation, target: Target) -> NDArray[np.float64]:
    """Sums of ``Re h(t+Δt) h*(t)`` over the closest slots, and of ``|h(t)|²`` there, ``[2]``; nothing of single slots.

    Where a single slot is wanted, what is observed has to tell, less its noise.
    """
    h, slot_s, noise = target.value, observation.grid.target_slot_s, np.zeros(len(observation))
    power = _mean_power(h)
    if len(slot_s) < 2:
        h, slot_s, noise = observation.h, observation.grid.slot_s, observation.noise_var.astype(np.float64)
        power = signal_power(observation)
    steps = np.diff(slot_s)
    if not len(steps):
        return np.zeros(2)
    first = np.flatnonzero(steps <= steps.min() * (1 + 1e-6))
    unit = _at_unit_power(h, power)
    before = unit[:, first]
    unseen = float(np.sum(noise[power > 0] / power[power > 0])) * before[0].size
    return np.array([np.vdot(before, unit[:, first + 1]).real, np.vdot(before, before).real - unseen])


def _mean_power(h: NDArray[np.complex64]) -> NDArray[np.float64]:
    return np.asarray(np.mean(np.abs(h) ** 2, axis=(1, 2, 3), dtype=np.float64))


def _at_unit_power(h: NDArray[np.complex64], power: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Samples divided by the root of their power; those without any stay zero."""
    scale = np.where(power > 0, 1 / np.sqrt(np.where(power > 0, power, 1)), 0)
    scaled: NDArray[np.complex64] = h * scale.astype(np.float32)[:, None, None, None]
    return scaled


def _by_lag(
    frequencies: NDArray[np.float64], covariance: NDArray[np.complexfloating]
) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Means of a covariance over pairs of equal difference: differences from 0 up, and the means."""
    upper, lower = np.tril_indices(len(frequencies))
    lag = frequencies[upper] - frequencies[lower]
    finest = np.diff(frequencies).min() if len(frequencies) > 1 else 1.0
    keys, places = np.unique(np.round(lag / finest, 3), return_inverse=True)
    counts = np.bincount(places)
    values = covariance[upper, lower]
    means = np.bincount(places, values.real) / counts + 1j * np.bincount(places, values.imag) / counts
    return keys * finest, means
