"""Wiener prediction with covariances from training data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._separable import error_variance, estimate, fit_filter
from channelbench.card import Card
from channelbench.contracts import FitContext, FitData, Method
from channelbench.solvers.lmmse import SeparableFilter
from channelbench.tasks.link.observations import LaterSlotsObservation

__all__ = ["Wiener"]


class Wiener(Method):
    """The best linear predictor if every drop had the training set's covariance."""

    card = Card(
        name="wiener",
        title="Wiener",
        description="Linear prediction of coming slots with the training set's covariance, denoising on the way.",
        reference="Wiener 1949, Extrapolation, Interpolation and Smoothing of Stationary Time Series",
        family="classical",
        notes=(
            "Our choices: the covariance is a Kronecker product of time, frequency and antenna factors, so that the "
            "predictor denoises over subcarriers and antennas as it extrapolates in time; each sample's own noise "
            "variance enters the filter. It knows the ensemble's Doppler spectrum, not the drop's."
        ),
    )
    observes = (LaterSlotsObservation,)

    def __init__(self) -> None:
        self._filters: dict[str, SeparableFilter] = {}

    def fit(self, data: FitData, context: FitContext) -> None:
        for task, (train, _) in data.items():
            self._filters[task] = fit_filter(train)

    def predict(self, task: str, observation: LaterSlotsObservation) -> NDArray[Any]:
        return estimate(self._filters[task], observation)

    def error_variance(self, task: str, observation: LaterSlotsObservation) -> NDArray[np.float32]:
        return error_variance(self._filters[task], observation)
