"""The weighted-MMSE iteration for the sum rate, 20 times from MRT beams, as the paper."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._precoder import Precoder
from channelbench.card import Card
from channelbench.solvers.wmmse import wmmse

__all__ = ["WMMSE"]


class WMMSE(Precoder):
    """The weighted-MMSE iteration for the sum rate, 20 times from MRT beams, as the paper."""

    card = Card(
        name="wmmse",
        title="WMMSE, 20 iterations",
        description="The weighted-MMSE iteration for the sum rate, 20 times from MRT beams, as the paper.",
        reference="Multi-task PHY LLM, section V-C; Christensen et al. 2008, Weighted sum-rate maximization",
        family="classical",
    )

    def beams(
        self, h: NDArray[np.complex64], power: NDArray[np.float64], noise_var: NDArray[np.float64]
    ) -> NDArray[Any]:
        return wmmse(h, power, noise_var, iterations=20)
