"""The weighted-MMSE iteration until it stands still, from several starts; the best is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._precoder import Precoder
from channelbench.card import Card
from channelbench.solvers.wmmse import wmmse_converged

__all__ = ["ConvergedWMMSE"]


class ConvergedWMMSE(Precoder):
    """The weighted-MMSE iteration until it stands still, from several starts; the best is kept."""

    card = Card(
        name="wmmse_converged",
        title="WMMSE, converged",
        description="The weighted-MMSE iteration until it stands still, from several starts; the best is kept.",
        reference="Shi et al. 2011, An iteratively weighted MMSE approach",
        family="classical",
    )

    def beams(
        self, h: NDArray[np.complex64], power: NDArray[np.float64], noise_var: NDArray[np.float64]
    ) -> NDArray[Any]:
        return wmmse_converged(h, power, noise_var).w
