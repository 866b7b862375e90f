"""What somebody else has written."""

from __future__ import annotations

import numpy as np

from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.tasks.link.observations import SameSlotsObservation


class Zeros(Method):
    """A third party's method."""

    card = Card(
        name="third_party",
        description="Answers zero to everything.",
        reference="none",
        family="classical",
    )
    observes = (SameSlotsObservation,)

    def predict(self, task, observation):
        grid = observation.grid
        return np.zeros((len(observation), len(grid.target_slot_s), len(grid.target_subcarrier_hz), 8), np.complex64)
