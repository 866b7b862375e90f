"""Where channel coefficients lie: frequencies, times and antennas of what is observed and of what is wanted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BeamGrid", "ChannelGrid", "Grid"]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where the observed coefficients lie.

    Attributes:
        carrier_hz: Carrier of the observed band, Hz.
        subcarrier_hz: Observed subcarriers, absolute Hz, ``[observed subcarriers]``.
        slot_s: Observed slots, s, ``[observed slots]``.
        antenna_position: Element positions in carrier wavelengths, ``[antennas, 3]``.
    """

    carrier_hz: float
    subcarrier_hz: NDArray[np.float64]
    slot_s: NDArray[np.float64]
    antenna_position: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ChannelGrid(Grid):
    """And where the wanted coefficients lie, on the same antennas.

    Attributes:
        target_subcarrier_hz: Hz, ``[wanted subcarriers]``.
        target_slot_s: s, ``[wanted slots]``.
    """

    target_subcarrier_hz: NDArray[np.float64]
    target_slot_s: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BeamGrid(Grid):
    """And the codebook, of another array, from which a beam is wanted.

    Attributes:
        num_beams: Beams of the DFT codebook.
        num_beam_antennas: Elements of the array that forms them, in one row parallel to the observed array's rows.
        beam_spacing_wavelengths: Between its elements, in wavelengths of its own carrier.
        beam_carrier_hz: That carrier, Hz.
    """

    num_beams: int
    num_beam_antennas: int
    beam_spacing_wavelengths: float
    beam_carrier_hz: float
