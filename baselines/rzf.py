"""Regularised zero forcing at equal power: what others hear against the user's own gain."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._precoder import Precoder
from channelbench.card import Card
from channelbench.solvers.precoding import rzf

__all__ = ["RZF"]


class RZF(Precoder):
    """Regularised zero forcing at equal power: what others hear against the user's own gain."""

    card = Card(
        name="rzf",
        title="RZF",
        description="Regularised zero forcing at equal power: what others hear against the user's own gain.",
        reference="Peel, Hochwald and Swindlehurst 2005, A vector-perturbation technique, part I",
        family="classical",
    )

    def beams(
        self, h: NDArray[np.complex64], power: NDArray[np.float64], noise_var: NDArray[np.float64]
    ) -> NDArray[Any]:
        return rzf(h, power, noise_var)
