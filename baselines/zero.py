"""The answer that there is no channel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._common import channel_shape
from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.tasks.link.observations import ChannelObservation

__all__ = ["Zero"]


class Zero(Method):
    """Predicts zeros, NMSE 1: what fades unpredictably is best answered so."""

    card = Card(
        name="zero",
        title="Zero",
        description="Predicts a channel of zeros, which scores NMSE 1.",
        reference="trivial answer",
        family="floor",
    )
    observes = (ChannelObservation,)

    def predict(self, task: str, observation: ChannelObservation) -> NDArray[Any]:
        return np.zeros(channel_shape(observation), np.complex64)
