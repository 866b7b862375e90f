"""What several baselines share: walking through a split, and the shape of a channel prediction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Target, TaskSplit
from channelbench.spec import BLOCK_SIZE
from channelbench.tasks.link.observations import ChannelObservation, LinkObservation

__all__ = ["channel_shape", "in_batches", "signal_power", "target_values"]


def in_batches(split: TaskSplit, size: int = BLOCK_SIZE) -> Iterator[tuple[Any, Target]]:
    """Observations and targets of a whole split, ``size`` samples at a time: some splits do not fit in memory."""
    for start in range(0, len(split), size):
        yield split.observe(np.arange(start, min(start + size, len(split))))


def target_values(split: TaskSplit) -> NDArray[np.float64]:
    """All scalar targets (or beam indices) of a split, ``[samples]``."""
    return np.concatenate([np.asarray(target.value, np.float64) for _, target in in_batches(split)])


def channel_shape(observation: ChannelObservation) -> tuple[int, int, int, int]:
    """``(batch, target slots, target subcarriers, antennas)``."""
    grid = observation.grid
    return len(observation), len(grid.target_slot_s), len(grid.target_subcarrier_hz), observation.h.shape[-1]


def signal_power(observation: LinkObservation) -> NDArray[np.float64]:
    """Estimate of each sample's mean ``|h|²``: received power less the noise variance, ``[batch]``.

    Where noise leaves less than a hundredth of what was received, that hundredth is kept: the estimate stays positive
    for logarithms and divisions. Only a sample of zeros gives zero.
    """
    received = np.mean(observation.h.real**2 + observation.h.imag**2, axis=(1, 2, 3), dtype=np.float64)
    return np.maximum(received - observation.noise_var, 0.01 * received)
