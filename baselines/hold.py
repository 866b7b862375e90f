"""The last observed slot, held."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._common import channel_shape
from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.solvers.interpolation import nearest
from channelbench.tasks.link.observations import LaterSlotsObservation

__all__ = ["Hold"]


class Hold(Method):
    """Repeats the last observed slot, noise included."""

    card = Card(
        name="hold",
        title="Hold last slot",
        description="Predicts every coming slot as the last one that was observed, noise included.",
        reference="trivial answer",
        family="floor",
        notes="Where only pilot subcarriers are observed, the nearest one is repeated.",
    )
    observes = (LaterSlotsObservation,)

    def predict(self, task: str, observation: LaterSlotsObservation) -> NDArray[Any]:
        grid = observation.grid
        last = observation.h[:, -1:, nearest(grid.subcarrier_hz, grid.target_subcarrier_hz)]
        return np.broadcast_to(last, channel_shape(observation)).copy()
