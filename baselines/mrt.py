"""Each beam is its user's channel, at equal power, whatever the others hear of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._precoder import Precoder
from channelbench.card import Card
from channelbench.solvers.precoding import mrt

__all__ = ["MRT"]


class MRT(Precoder):
    """Each beam is its user's channel, at equal power, whatever the others hear of it."""

    card = Card(
        name="mrt",
        title="MRT",
        description="Each beam is its user's channel, at equal power, whatever the others hear of it.",
        reference="Lo 1999, Maximum ratio transmission",
        family="floor",
    )

    def beams(
        self, h: NDArray[np.complex64], power: NDArray[np.float64], noise_var: NDArray[np.float64]
    ) -> NDArray[Any]:
        return mrt(h, power)
