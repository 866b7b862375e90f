"""The nearest observed subcarrier, repeated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.solvers.interpolation import nearest
from channelbench.tasks.link.observations import SameSlotsObservation

__all__ = ["Repeat"]


class Repeat(Method):
    """Copies the nearest observed subcarrier: the nearest pilot (CE), the band's edge (PF)."""

    card = Card(
        name="repeat",
        title="Repeat nearest pilot",
        description="Predicts every subcarrier as the nearest one that was observed, noise included.",
        reference="trivial answer",
        family="floor",
    )
    observes = (SameSlotsObservation,)

    def predict(self, task: str, observation: SameSlotsObservation) -> NDArray[Any]:
        grid = observation.grid
        return np.ascontiguousarray(observation.h[:, :, nearest(grid.subcarrier_hz, grid.target_subcarrier_hz)])
