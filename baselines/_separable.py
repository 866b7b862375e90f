"""Separable LMMSE filters for channel tasks, with covariances from a training split.

The covariance of ``h[slot, subcarrier, antenna]`` over the training drops is modelled as a Kronecker product of one
factor per axis. Its few parameters are known well after hundreds of drops, where a covariance of all coefficients of
an observation (1024 × 1024 in CE) would need tens of thousands: with 2000 UMa drops, a joint factor for frequency and
antennas scored worse in CE, CP and PF, in LOS and in NLOS, and the full covariance worse still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._common import in_batches, signal_power
from channelbench.contracts import Target, TaskSplit
from channelbench.solvers.lmmse import SeparableFilter, apply_separable, project_psd, separable_error, separable_filter
from channelbench.tasks.link.observations import ChannelObservation

__all__ = ["error_variance", "estimate", "fit_filter"]

Factor = tuple[NDArray[np.complex128], NDArray[np.complex128]]


def fit_filter(train: TaskSplit) -> SeparableFilter:
    """The filter whose time, frequency and antenna covariances are those of a training split."""
    sums: list[_Axis] = []
    for observation, target in in_batches(train):
        if not sums:
            sums = [_Axis.of(axis, *coordinates) for axis, coordinates in enumerate(_coordinates(observation))]
        noisy, clean, noise_var = _normalised(observation, target)
        for axis in sums:
            axis.add(noisy, clean, noise_var, sums)
    parts = [axis.factor() for axis in sums]
    return separable_filter([factor for factor, _ in parts], [prior for _, prior in parts])


def estimate(prepared: SeparableFilter, observation: ChannelObservation) -> NDArray[np.complex64]:
    """LMMSE estimate of the target coefficients; samples are scaled to unit power for it and back."""
    power = signal_power(observation)
    scale = np.where(power > 0, power, 1)
    y = observation.h / np.sqrt(scale).astype(np.float32)[:, None, None, None]
    guess = apply_separable(prepared, y, observation.noise_var / scale)
    guess *= np.sqrt(scale).astype(np.float32)[:, None, None, None]
    return guess.astype(np.complex64, copy=False)


def error_variance(prepared: SeparableFilter, observation: ChannelObservation) -> NDArray[np.float32]:
    """Variance of the complex errors of ``estimate`` as the training covariance has it."""
    power = signal_power(observation)
    scale = np.where(power > 0, power, 1)
    error = separable_error(prepared, observation.noise_var / scale)
    return (error * scale[:, None, None, None]).astype(np.float32)


def _coordinates(observation: ChannelObservation) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Observed and target coordinates of each axis."""
    grid, antennas = observation.grid, np.arange(observation.h.shape[-1], dtype=np.float64)
    return [
        (grid.slot_s, grid.target_slot_s),
        (grid.subcarrier_hz, grid.target_subcarrier_hz),
        (antennas, antennas),
    ]


def _normalised(
    observation: ChannelObservation, target: Target
) -> tuple[NDArray[np.complex64], NDArray[np.complex64], NDArray[np.float64]]:
    """Noisy and clean coefficients and noise variance of the batch's samples at unit power.

    Scaling to unit power weighs samples as the mean of their normalised errors does.
    """
    power = signal_power(observation)
    used = power > 0
    scale = (1 / np.sqrt(power[used])).astype(np.float32)[:, None, None, None]
    noisy: NDArray[np.complex64] = np.multiply(observation.h[used], scale, dtype=np.complex64)
    clean: NDArray[np.complex64] = np.multiply(target.value[used], scale, dtype=np.complex64)
    return noisy, clean, observation.noise_var[used] / power[used]


@dataclass
class _Axis:
    """Sums towards the covariance along one axis, over observed and target coordinates together.

    Where all observed coordinates are target coordinates too, the clean target alone tells their covariance. Where
    they are apart (coming slots, the other half of the band), the noisy observation and the clean target are joined.

    Attributes:
        axis: 0 time, 1 frequency, 2 antennas.
        seen: Positions of the observed coordinates in the joint list.
        wanted: Positions of the target coordinates in the joint list.
        joined: Whether the joint list is the observed coordinates followed by the target's.
        total: Sum of outer products, ``[joint, joint]``.
        count: Outer products in the sum.
        noise: Sum of their noise variances.
    """

    axis: int
    seen: NDArray[np.int64]
    wanted: NDArray[np.int64]
    joined: bool
    total: NDArray[np.complex128]
    count: int = 0
    noise: float = 0.0

    @classmethod
    def of(cls, axis: int, observed: NDArray[np.float64], target: NDArray[np.float64]) -> _Axis:
        if np.isin(observed, target).all():
            seen, wanted, joined = np.searchsorted(target, observed), np.arange(len(target)), False
        else:
            seen = np.arange(len(observed))
            wanted, joined = len(observed) + np.arange(len(target)), True
        size = len(target) + (len(observed) if joined else 0)
        return cls(axis, seen, wanted, joined, np.zeros((size, size), np.complex128))

    def add(
        self,
        noisy: NDArray[np.complex64],
        clean: NDArray[np.complex64],
        noise_var: NDArray[np.float64],
        axes: list[_Axis],
    ) -> None:
        values = clean
        if self.joined:
            # The clean part is cut to the observed coordinates of the other axes, so that the two parts line up.
            for other in axes:
                if other is not self:
                    clean = np.take(clean, other.seen, axis=other.axis + 1)
            values = np.concatenate([noisy, clean], axis=self.axis + 1)
            vectors_per_sample = math.prod(noisy.shape[1:]) // noisy.shape[self.axis + 1]
            self.noise += float(noise_var.sum()) * vectors_per_sample
        rows = np.moveaxis(values, self.axis + 1, -1).reshape(-1, len(self.total))
        self.total += rows.T @ rows.conj()
        self.count += len(rows)

    def factor(self) -> tuple[Factor, NDArray[np.float64]]:
        """Covariance of the observed coordinates at mean power 1, of the target's with them, and the target's own
        variances."""
        covariance = self.total / max(self.count, 1)
        if self.joined:
            covariance[self.seen, self.seen] -= self.noise / max(self.count, 1)
        covariance = project_psd(covariance)
        observed = covariance[np.ix_(self.seen, self.seen)]
        power = max(float(observed.diagonal().real.mean()), np.finfo(float).tiny)
        cross = covariance[np.ix_(self.wanted, self.seen)] / power
        return (observed / power, cross), covariance.diagonal().real[self.wanted] / power
