"""Propagation paths with their phases, which the sums of this package turn into channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generator import Paths

__all__ = ["SPEED_OF_LIGHT", "ArrivingPaths", "DrawnPaths"]

SPEED_OF_LIGHT = 299_792_458.0
"""m/s."""


@dataclass(frozen=True, kw_only=True)
class DrawnPaths(Paths):
    """Paths with what one draw adds to them.

    Attributes:
        phase: Phase at the array's centre, the carrier and time 0, radian, ``[batch, paths]``.
        aod: Azimuths of departure, radian, ``[batch, paths]``.
        aod_phasor, aoa_phasor: ``e^{jφ}`` of the azimuths of departure and arrival, ``[batch, paths]``.
        los: ``[batch]``.
    """

    phase: NDArray[np.float64]
    aod: NDArray[Any]
    aod_phasor: NDArray[Any]
    aoa_phasor: NDArray[Any]
    los: NDArray[np.bool_]

    def without_phases(self) -> Paths:
        """What is known of a drop but for its phases."""
        return Paths(
            power=self.power,
            delay_s=self.delay_s,
            doppler_hz=self.doppler_hz.astype(np.float64),
            direction=self.direction.astype(np.float64),
        )


@dataclass(frozen=True, kw_only=True)
class ArrivingPaths(DrawnPaths):
    """Paths with all that is known of where they come from.

    Attributes:
        zoa: Zenith angles of arrival, radian, ``[batch, paths]``.
    """

    zoa: NDArray[np.float64]
