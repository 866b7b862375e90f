"""Path loss of TR 38.901, Table 7.4.1-1, in closed form: what a spec's mean path loss will be, before it is drawn.

Datasets take theirs from Sionna's scenarios, which tests compare with this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from channelbench.ranges import SPEED_OF_LIGHT, Ranges, distances, free_space_db
from channelbench.ranges import states as states_of
from channelbench.spec import ScenarioSpec

__all__ = ["RMA", "UMA", "UMI", "PathLoss", "above_free_space_db", "rma_db", "uma_db", "umi_db"]

Array = NDArray[np.float64]
State = Literal["los", "nlos"]
PathLoss = Callable[[Array, float, float, float, State], Array]
"""dB of 2-D distances in m, carrier in Hz, heights of base station and user in m, and state."""

_TABLE = "TR 38.901 Table 7.4.1-1 for"
UMA = Ranges(
    reference=f"{_TABLE} UMa",
    bs_height_m=(25.0, 25.0),
    ue_height_m=(1.5, 22.5),
    distance_m={"los": (10.0, 5e3), "nlos": (10.0, 5e3)},
    carrier_hz=(0.5e9, 100e9),
)
UMI = Ranges(
    reference=f"{_TABLE} UMi",
    bs_height_m=(10.0, 10.0),
    ue_height_m=(1.5, 22.5),
    distance_m={"los": (10.0, 5e3), "nlos": (10.0, 5e3)},
    carrier_hz=(0.5e9, 100e9),
    ue_above_bs=True,  # on upper floors across the street: the table's heights are made for it
)
RMA = Ranges(
    reference=f"{_TABLE} RMa",
    bs_height_m=(10.0, 150.0),
    ue_height_m=(1.0, 10.0),
    distance_m={"los": (10.0, 10e3), "nlos": (10.0, 5e3)},
    carrier_hz=(0.5e9, 30e9),  # note 2
)

STREET_M, BUILDING_M = 20.0, 5.0
"""Width of RMa's streets and height of its buildings: the table's averages, and Sionna's."""


def above_free_space_db(spec: ScenarioSpec, path_loss: PathLoss) -> dict[tuple[str, State], float]:
    """By band and state: mean path loss over the users less that of free space, dB, without shadow fading."""
    away = distances(spec)
    reach = np.hypot(away, spec.bs_height_m - spec.ue_height_m)
    return {
        (name, state): float(
            np.mean(
                path_loss(away, band.carrier_hz, spec.bs_height_m, spec.ue_height_m, state)
                - free_space_db(reach, band.carrier_hz)
            )
        )
        for name, band in spec.bands.items()
        for state in states_of(spec)
    }


def uma_db(distance_m: Array, carrier_hz: float, bs_m: float, ue_m: float, state: State) -> Array:
    """UMa; users above 13 m by the mean over the environment heights of note 1."""
    heights = np.arange(12.0, max(ue_m - 1.5, 12.0) + 1e-9, 3.0)
    steep = 1.25 * (distance_m / 100) ** 3 * np.exp(-distance_m / 150)
    above = np.where(distance_m > 18, steep, 0.0) * max((ue_m - 13) / 10, 0.0) ** 1.5
    low = 1 / (1 + above)
    total = low * _uma_at(distance_m, carrier_hz, bs_m, ue_m, state, 1.0)
    if ue_m >= 13:
        for height in heights:
            total = total + (1 - low) / len(heights) * _uma_at(distance_m, carrier_hz, bs_m, ue_m, state, height)
    return total


def _uma_at(distance_m: Array, carrier_hz: float, bs_m: float, ue_m: float, state: State, height_m: float) -> Array:
    los = _two_slopes(distance_m, carrier_hz, bs_m, ue_m, height_m, 28.0, 22.0, 9.0)
    if state == "los":
        return los
    reach = np.hypot(distance_m, bs_m - ue_m)
    return np.maximum(los, 13.54 + 39.08 * np.log10(reach) + 20 * np.log10(carrier_hz / 1e9) - 0.6 * (ue_m - 1.5))


def umi_db(distance_m: Array, carrier_hz: float, bs_m: float, ue_m: float, state: State) -> Array:
    """UMi street canyon."""
    los = _two_slopes(distance_m, carrier_hz, bs_m, ue_m, 1.0, 32.4, 21.0, 9.5)
    if state == "los":
        return los
    reach = np.hypot(distance_m, bs_m - ue_m)
    return np.maximum(los, 22.4 + 35.3 * np.log10(reach) + 21.3 * np.log10(carrier_hz / 1e9) - 0.3 * (ue_m - 1.5))


def _two_slopes(
    distance_m: Array,
    carrier_hz: float,
    bs_m: float,
    ue_m: float,
    height_m: float,
    at_1_m: float,
    slope: float,
    bend: float,
) -> Array:
    """PL1 up to the breakpoint and PL2 beyond it; ``height_m`` is that of the environment."""
    reach = np.hypot(distance_m, bs_m - ue_m)
    breakpoint_m = 4 * (bs_m - height_m) * (ue_m - height_m) * carrier_hz / SPEED_OF_LIGHT
    carrier_db = at_1_m + 20 * np.log10(carrier_hz / 1e9)
    near = carrier_db + slope * np.log10(reach)
    # Without a breakpoint (a user of 1 m and a base station as high) the far slope has no beginning.
    bent = breakpoint_m**2 + (bs_m - ue_m) ** 2
    far = carrier_db + 40 * np.log10(reach) - bend * np.log10(bent) if bent > 0 else np.full_like(reach, np.inf)
    return np.asarray(np.where(distance_m < breakpoint_m, near, far), np.float64)


def rma_db(distance_m: Array, carrier_hz: float, bs_m: float, ue_m: float, state: State) -> Array:
    """RMa."""
    ghz, reach = carrier_hz / 1e9, np.hypot(distance_m, bs_m - ue_m)
    breakpoint_m = 2 * np.pi * bs_m * ue_m * carrier_hz / SPEED_OF_LIGHT

    def near(away: Array | float) -> Array:
        first = min(0.03 * BUILDING_M**1.72, 10.0) * np.log10(away) - min(0.044 * BUILDING_M**1.72, 14.77)
        last = 0.002 * np.log10(BUILDING_M) * away
        return np.asarray(20 * np.log10(40 * np.pi * away * ghz / 3) + first + last, np.float64)

    los = np.where(distance_m < breakpoint_m, near(reach), near(breakpoint_m) + 40 * np.log10(reach / breakpoint_m))
    if state == "los":
        return los
    nlos = (
        161.04
        - 7.1 * np.log10(STREET_M)
        + 7.5 * np.log10(BUILDING_M)
        - (24.37 - 3.7 * (BUILDING_M / bs_m) ** 2) * np.log10(bs_m)
        + (43.42 - 3.1 * np.log10(bs_m)) * (np.log10(reach) - 3)
        + 20 * np.log10(ghz)
        - (3.2 * np.log10(11.75 * ue_m) ** 2 - 4.97)
    )
    return np.maximum(los, nlos)
