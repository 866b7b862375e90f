"""Beams that the other users of the group do not hear, at equal power."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._precoder import Precoder
from channelbench.card import Card
from channelbench.solvers.precoding import zf

__all__ = ["ZF"]


class ZF(Precoder):
    """Beams that the other users of the group do not hear, at equal power."""

    card = Card(
        name="zf",
        title="ZF",
        description="Beams that the other users of the group do not hear, at equal power.",
        reference="Multi-task PHY LLM, section V-C; Wiesel, Eldar and Shamai 2008, Zero-forcing precoding",
        family="classical",
    )

    def beams(
        self, h: NDArray[np.complex64], power: NDArray[np.float64], noise_var: NDArray[np.float64]
    ) -> NDArray[Any]:
        return zf(h, power, noise_var)
