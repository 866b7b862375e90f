"""Beams of the largest SINR that all users of a group can have: the max-min optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._precoder import Precoder
from channelbench.card import Card
from channelbench.solvers.max_min import max_min

__all__ = ["MaxMin"]


class MaxMin(Precoder):
    """Beams of the largest SINR that all users of a group can have: the max-min optimum."""

    card = Card(
        name="max_min",
        title="Max-min SINR",
        description="Beams of the largest SINR that all users of a group can have: the max-min optimum.",
        reference="Wiesel, Eldar and Shamai 2006, Linear precoding via conic optimization",
        family="classical",
    )

    def beams(
        self, h: NDArray[np.complex64], power: NDArray[np.float64], noise_var: NDArray[np.float64]
    ) -> NDArray[Any]:
        return max_min(h, power, noise_var).w
