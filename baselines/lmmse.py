"""LMMSE channel estimation with covariances from training data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._separable import error_variance, estimate, fit_filter
from channelbench.card import Card
from channelbench.contracts import FitContext, FitData, Method
from channelbench.solvers.lmmse import SeparableFilter
from channelbench.tasks.link.observations import SameSlotsObservation

__all__ = ["LMMSE"]


class LMMSE(Method):
    """The best linear estimate if every drop had the training set's covariance."""

    card = Card(
        name="lmmse",
        title="LMMSE",
        description="LMMSE estimation with the training set's covariance over time, frequency and antennas.",
        reference="Edfors et al. 1998, OFDM channel estimation by singular value decomposition, Eq. 4",
        family="classical",
        notes=(
            "Our choices: the covariance is a Kronecker product of time, frequency and antenna factors; samples are "
            "scaled to unit power by their received power less the noise variance; each sample's own noise variance "
            "enters the filter. It knows the ensemble, not the drop."
        ),
    )
    observes = (SameSlotsObservation,)

    def __init__(self) -> None:
        self._filters: dict[str, SeparableFilter] = {}

    def fit(self, data: FitData, context: FitContext) -> None:
        for task, (train, _) in data.items():
            self._filters[task] = fit_filter(train)

    def predict(self, task: str, observation: SameSlotsObservation) -> NDArray[Any]:
        return estimate(self._filters[task], observation)

    def error_variance(self, task: str, observation: SameSlotsObservation) -> NDArray[np.float32]:
        return error_variance(self._filters[task], observation)
