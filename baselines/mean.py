"""The training mean, whatever is observed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._common import target_values
from channelbench.card import Card
from channelbench.contracts import FitContext, FitData, Method
from channelbench.tasks.link.observations import ScalarObservation

__all__ = ["Mean"]


class Mean(Method):
    """Predicts the mean of the training targets: the constant with the least squared error."""

    card = Card(
        name="mean",
        title="Training mean",
        description="Predicts the mean of the training targets (metres, decibels) for every sample.",
        reference="trivial answer",
        family="floor",
    )
    observes = (ScalarObservation,)

    def __init__(self) -> None:
        self._constant: dict[str, float] = {}

    def fit(self, data: FitData, context: FitContext) -> None:
        for task, (train, _) in data.items():
            self._constant[task] = float(target_values(train).mean())

    def predict(self, task: str, observation: ScalarObservation) -> NDArray[Any]:
        return np.full(len(observation), self._constant[task], np.float32)
