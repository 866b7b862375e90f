"""What methods see of a link, by what is wanted of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Observation
from channelbench.grid import BeamGrid, ChannelGrid, Grid

__all__ = [
    "BeamObservation",
    "ChannelObservation",
    "LaterSlotsObservation",
    "LinkObservation",
    "SameSlotsObservation",
    "ScalarObservation",
]


@dataclass(frozen=True, kw_only=True)
class LinkObservation(Observation):
    """Noisy channel coefficients of one band.

    Attributes:
        h: ``[batch, slots, subcarriers, antennas]``, complex64.
        noise_var: Variance of the complex noise on each coefficient of ``h``, ``[batch]``, float32.
        grid: Where the coefficients lie.
        loss: What an answer is judged by; see ``Task.loss``.
    """

    h: NDArray[np.complex64]
    noise_var: NDArray[np.float32]
    grid: Grid
    loss: str = ""

    @property
    def power_db(self) -> NDArray[np.float32]:
        """10·log10 of the mean of ``|h|²`` per sample, ``[batch]``."""
        power = np.mean(np.abs(self.h) ** 2, axis=(1, 2, 3), dtype=np.float64)
        return (10 * np.log10(np.maximum(power, 1e-30))).astype(np.float32)

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """Shape of the answer for one sample."""
        return ()

    def __len__(self) -> int:
        return len(self.h)


@dataclass(frozen=True, kw_only=True)
class ChannelObservation(LinkObservation):
    """Coefficients at other points of the grid are wanted, ``[batch, wanted slots, wanted subcarriers, antennas]``,
    complex."""

    grid: ChannelGrid

    @property
    def answer_shape(self) -> tuple[int, ...]:
        return len(self.grid.target_slot_s), len(self.grid.target_subcarrier_hz), self.h.shape[-1]


@dataclass(frozen=True, kw_only=True)
class SameSlotsObservation(ChannelObservation):
    """Other subcarriers of the observed slots are wanted."""


@dataclass(frozen=True, kw_only=True)
class LaterSlotsObservation(ChannelObservation):
    """Slots after the observed ones are wanted."""


@dataclass(frozen=True, kw_only=True)
class BeamObservation(LinkObservation):
    """A score for each beam of another array is wanted, ``[batch, beams]``; the highest is the choice."""

    grid: BeamGrid

    @property
    def answer_shape(self) -> tuple[int, ...]:
        return (self.grid.num_beams,)


@dataclass(frozen=True, kw_only=True)
class ScalarObservation(LinkObservation):
    """One number is wanted, ``[batch]``."""
