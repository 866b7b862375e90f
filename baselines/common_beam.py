"""The beams in the order of how often they were best in training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._common import target_values
from channelbench.card import Card
from channelbench.contracts import FitContext, FitData, Method
from channelbench.tasks.link.observations import BeamObservation

__all__ = ["CommonBeam"]


class CommonBeam(Method):
    """Scores each beam by its training frequency, so that the most common beam is chosen always."""

    card = Card(
        name="common_beam",
        title="Most common beam",
        description="Scores each beam by how often it was the best one in training, whatever is observed.",
        reference="trivial answer",
        family="floor",
    )
    observes = (BeamObservation,)

    def __init__(self) -> None:
        self._frequency = np.empty(0, np.float32)

    def fit(self, data: FitData, context: FitContext) -> None:
        for train, _ in data.values():
            best = target_values(train).astype(np.int64)
            num_beams = train.observe([0])[0].grid.num_beams
            self._frequency = (np.bincount(best, minlength=num_beams) / len(best)).astype(np.float32)

    def predict(self, task: str, observation: BeamObservation) -> NDArray[Any]:
        return np.tile(self._frequency, (len(observation), 1))
