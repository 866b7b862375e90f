"""Bilinear interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.solvers.interpolation import apply_along, linear_weights
from channelbench.tasks.link.observations import ChannelObservation

__all__ = ["BilinearInterpolation"]


class BilinearInterpolation(Method):
    """Takes the noisy coefficients as a time–frequency image: straight lines between samples, held beyond the last."""

    card = Card(
        name="bi",
        title="BI",
        description="Bilinear interpolation of the time–frequency image; beyond its edges the outermost sample holds.",
        reference="LLM4WM, section V-B (baseline BI)",
        family="classical",
        notes=(
            "Complex coefficients are interpolated, not magnitude and phase. The paper does not say how BI treats the "
            "edges: here the outermost sample holds, on subcarriers beyond the last pilot, in coming slots and in the "
            "upper half band. Coming slots are then the last one repeated, as in the floor. A line through the last "
            "two samples multiplies their noise and loses to predicting zero."
        ),
    )
    observes = (ChannelObservation,)

    def predict(self, task: str, observation: ChannelObservation) -> NDArray[Any]:
        grid, h = observation.grid, observation.h
        if not np.array_equal(grid.slot_s, grid.target_slot_s):
            h = apply_along(linear_weights(grid.slot_s, grid.target_slot_s), h, axis=1)
        return apply_along(linear_weights(grid.subcarrier_hz, grid.target_subcarrier_hz), h, axis=2)
