"""Beams that the other users do not hear, with the best powers for the sum rate of such beams."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._precoder import Precoder
from channelbench.card import Card
from channelbench.solvers.precoding import zf

__all__ = ["ZFWaterfilling"]


class ZFWaterfilling(Precoder):
    """Beams that the other users do not hear, with the best powers for the sum rate of such beams."""

    card = Card(
        name="zf_waterfilling",
        title="ZF, water-filled",
        description="Beams that the other users do not hear, with the best powers for the sum rate of such beams.",
        reference="Wiesel, Eldar and Shamai 2008, Zero-forcing precoding and generalized inverses",
        family="classical",
    )

    def beams(
        self, h: NDArray[np.complex64], power: NDArray[np.float64], noise_var: NDArray[np.float64]
    ) -> NDArray[Any]:
        return zf(h, power, noise_var, power_allocation="waterfilling")
