"""What soil does to waves: Recommendation ITU-R P.527, from 1 to 1000 GHz.

Sionna's ``*_ground`` materials are those of P.2040, which end at 10 GHz; a scene for 28 GHz needs others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["LOAM", "Soil", "pure_water"]

_VACUUM_PERMITTIVITY = 8.8541878128e-12
"""F/m."""


def pure_water(frequency_hz: float, celsius: float) -> complex:
    """Relative permittivity ε′ − jε″ of water without salt: two Debye relaxations (P.527-4, equations 11 to 19).

    Args:
        frequency_hz: Up to 1000 GHz.
        celsius: From −4 to 40 °C.
    """
    f, cold = frequency_hz / 1e9, 300 / (celsius + 273.15) - 1
    static, infinite = 77.66 + 103.3 * cold, 3.52 - 7.52 * cold
    middle = 0.0671 * static
    first_ghz = 20.20 - 146.4 * cold + 316 * cold**2
    second_ghz = 39.8 * first_ghz
    return complex(
        (static - middle) / (1 + 1j * f / first_ghz) + (middle - infinite) / (1 + 1j * f / second_ghz) + infinite
    )


@dataclass(frozen=True, kw_only=True)
class Soil:
    """Moist soil as a mixture of four: sand, clay, silt and water (P.527-4, equations 41 to 51).

    Attributes:
        sand, clay: Percent of the dry mass; the rest is silt.
        specific_gravity: Of the dry constituents, relative to water.
        water: Volumetric water content, m³ per m³.
        celsius: Temperature.
    """

    sand: float
    clay: float
    specific_gravity: float
    water: float
    celsius: float = 15.0

    @property
    def bulk_density(self) -> float:
        """Of the dry soil, g/cm³, by the recommendation's approximation."""
        silt = 100 - self.sand - self.clay
        return float(1.07256 + 0.078886 * np.log(self.sand) + 0.038753 * np.log(self.clay) + 0.032732 * np.log(silt))

    def permittivity(self, frequency_hz: float) -> complex:
        """Relative permittivity ε′ − jε″."""
        f, dense, solid = frequency_hz / 1e9, self.bulk_density, self.specific_gravity
        low = 0.0467 + 0.2204 * dense - 0.004111 * self.sand - 0.006614 * self.clay
        high = -1.645 + 1.939 * dense - 0.0225622 * self.sand + 0.01594 * self.clay
        relaxed = (low - high) / (1 + (f / 1.35) ** 2)
        conducting = 18 / f * (solid - dense) / (solid * self.water)
        water = pure_water(frequency_hz, self.celsius)
        real = water.real + f / 1.35 * relaxed * conducting
        imaginary = -water.imag + (high + relaxed) * conducting

        a = 0.65
        real_power = 1.2748 - 0.00519 * self.sand - 0.00152 * self.clay
        imaginary_power = 1.33797 - 0.00603 * self.sand - 0.00166 * self.clay
        grains = (1.01 + 0.44 * solid) ** 2 - 0.062
        mixed = 1 + dense / solid * (grains**a - 1) + self.water**real_power * real**a - self.water
        lost = self.water**imaginary_power * imaginary**a
        return complex(mixed ** (1 / a), -(lost ** (1 / a)))

    def electrical(self, frequency_hz: float) -> tuple[float, float]:
        """Real relative permittivity, and conductivity in S/m: what a radio material of Sionna is made of."""
        permittivity = self.permittivity(frequency_hz)
        return permittivity.real, float(-2 * np.pi * frequency_hz * _VACUUM_PERMITTIVITY * permittivity.imag)


LOAM = Soil(sand=41.96, clay=8.53, specific_gravity=2.70, water=0.2)
"""The loam of P.527-4, Table 1, moist as a meadow is between rains."""
