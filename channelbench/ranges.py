"""What a scenario's formulas hold for, and what of a spec lies outside: said by whoever knows the scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from channelbench.bands import BandSpec
from channelbench.errors import RequestError
from channelbench.spec import ScenarioSpec

__all__ = ["Ranges", "distances", "free_space_db", "idle_fields", "near_field"]

SPEED_OF_LIGHT = 299_792_458.0

NEAR_SHARE = 0.01
"""Users within the Rayleigh distance that are not worth a word."""

State = Literal["los", "nlos"]
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """The ranges of a scenario, ends included.

    Attributes:
        reference: Where they stand, for the messages.
        bs_height_m: Of the base station, m.
        ue_height_m: Of the user, m.
        distance_m: Base station to user, 2-D, m, with and without a line of sight.
        carrier_hz: Hz.
        ue_above_bs: Whether a user may be as high as the base station, or higher.
    """

    reference: str
    bs_height_m: Range
    ue_height_m: Range
    distance_m: Mapping[State, Range]
    carrier_hz: Range
    ue_above_bs: bool = False

    def outside(self, spec: ScenarioSpec) -> list[str]:
        """What of a spec lies outside, one line for each field."""
        asked = [
            ("bs_height_m", spec.bs_height_m, self.bs_height_m, "m", ""),
            ("ue_height_m", spec.ue_height_m, self.ue_height_m, "m", ""),
        ]
        for state in states(spec):
            words = {"los": " in line of sight", "nlos": " without line of sight"}[state]
            for field, value in (("min_distance_m", spec.min_distance_m), ("max_distance_m", spec.max_distance_m)):
                asked.append((field, value, self.distance_m[state], "m", words))
        for name, band in spec.bands.items():
            low, high = self.carrier_hz
            asked.append((f"{name}.carrier_hz", band.carrier_hz / 1e9, (low / 1e9, high / 1e9), "GHz", ""))
        lines = [
            f"{field}: {value:g} {unit} is outside the {_words(allowed)} {unit} of {self.reference}{words}"
            for field, value, allowed, unit, words in asked
            if not allowed[0] <= value <= allowed[1]
        ]
        return list(dict.fromkeys(lines))

    def check(self, spec: ScenarioSpec) -> None:
        """Refuse users above the base station where the formulas have none.

        Raises:
            RequestError: there are.
        """
        if spec.ue_height_m >= spec.bs_height_m and not self.ue_above_bs:
            raise RequestError(
                "ue_height_m",
                expected=f"less than bs_height_m ({spec.bs_height_m:g}) in {self.reference}",
                got=spec.ue_height_m,
            )


def _words(allowed: Range) -> str:
    low, high = allowed
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def states(spec: ScenarioSpec) -> tuple[State, ...]:
    """Whether users of a spec have a line of sight, or some have."""
    return ("los", "nlos") if spec.state == "random" else (spec.state,)


def distances(spec: ScenarioSpec, number: int = 1000) -> NDArray[np.float64]:
    """2-D distances in m that share the users' area equally, ``[number]``: their mean is that over all users."""
    share = (np.arange(number) + 0.5) / number
    return np.sqrt(spec.min_distance_m**2 + share * (spec.max_distance_m**2 - spec.min_distance_m**2))


def free_space_db(distance_m: NDArray[np.float64], carrier_hz: float) -> NDArray[np.float64]:
    """Path loss of free space in dB, 20·log10(4π·d·f/c), of 3-D distances in m (ITU-R P.525)."""
    return np.asarray(20 * np.log10(4 * pi * distance_m * carrier_hz / SPEED_OF_LIGHT), np.float64)


def rayleigh_m(band: BandSpec) -> float:
    """Rayleigh distance 2·D²/λ in m, from where on a wave is plane for an array of the diagonal D."""
    array, wavelength = band.array, SPEED_OF_LIGHT / band.carrier_hz
    return 2 * (array.rows**2 + array.columns**2) * array.spacing_wavelengths**2 * wavelength


def near_field(spec: ScenarioSpec) -> list[str]:
    """One line for each band whose users stand within the Rayleigh distance, where waves are summed as plane ones; of
    fewer than a hundredth of them nothing is said."""
    away = np.hypot(distances(spec), spec.bs_height_m - spec.ue_height_m)
    lines = []
    for name, band in spec.bands.items():
        limit = rayleigh_m(band)
        if (share := float(np.mean(away < limit))) >= NEAR_SHARE:
            size = f"{band.array.rows}×{band.array.columns} elements at {band.carrier_hz / 1e9:g} GHz"
            lines.append(
                f"{name}.array: {100 * share:.3g} % of the users stand within the Rayleigh distance of {limit:.4g} m "
                f"({size}), where the plane waves of this dataset do not hold"
            )
    return lines


def idle_fields(spec: ScenarioSpec) -> list[str]:
    """Fields of the bands that were changed and change no channel, one line each, whatever the scenario."""
    return [
        f"{name}.num_beams: has no effect on the channels, only on tasks that choose beams of this band"
        for name, band in spec.bands.items()
        if band.num_beams != BandSpec.model_fields["num_beams"].default
    ]
