"""Trees: crowns that take power from what goes through them, by Recommendation ITU-R P.833.

They are no surfaces of the scene. A crown of leaves has none, and a tracer that refracts through two shells per tree
spends its depth on them and finds few: the path is there with or without leaves, so it is traced without, and its
length in crowns weakens it afterwards, in each band by its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_DB", "Crowns", "foliage_db", "specific_attenuation_db"]

MOST_DB = 34.1
"""What leaves take at most, whatever the length: A_m of P.833-9, Table 1 (2117.5 MHz). What goes around a crown is
stronger than what goes through a thicker one. The table ends at 2.1 GHz; at 28 GHz its last value is assumed."""


def specific_attenuation_db(frequency_hz: float) -> float:
    """Specific attenuation γ in dB/m of leaves in vertical polarisation: the line of P.833-9, Figure 2, which goes
    through 0.2 dB/m at 1 GHz and 6 dB/m at 30 GHz on its logarithmic axes, and so is proportional to frequency."""
    return 0.2 * frequency_hz / 1e9


def foliage_db(length_m: NDArray[np.float64], frequency_hz: float) -> NDArray[np.float64]:
    """Loss in dB of ``length_m`` metres through leaves: A_m·(1 − e^{−dγ/A_m}), P.833-9, equation 1."""
    return MOST_DB * -np.expm1(-np.asarray(length_m) * specific_attenuation_db(frequency_hz) / MOST_DB)


@dataclass(frozen=True)
class Crowns:
    """Spheroids with a vertical axis.

    Attributes:
        centre: m, ``[crowns, 3]``.
        radius: Horizontal half-axis, m, ``[crowns]``.
        half_height: Vertical half-axis, m, ``[crowns]``.
    """

    centre: NDArray[np.float64]
    radius: NDArray[np.float64]
    half_height: NDArray[np.float64]

    def length_m(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far straight segments run inside of crowns, in m, ``[segments]``; where crowns overlap, in each.

        Args:
            start, end: m, ``[segments, 3]``.
        """
        from channelbench.generators.raytraced._foliage_loops import add_lengths

        total = np.zeros(len(start))
        add_lengths(
            *(np.ascontiguousarray(each, np.float64) for each in (start, end)),
            *(np.ascontiguousarray(each, np.float64) for each in (self.centre, self.radius, self.half_height)),
            total,
        )
        return total
