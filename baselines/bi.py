"""Bilinear interpolation and extrapolation."""

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
    """Takes the noisy coefficients as a time–frequency image and goes on along straight lines in both directions."""

    card = Card(
        name="bi",
        title="BI",
        description="Bilinear interpolation of the time–frequency image; predictions extend the last two samples.",
        reference="LLM4WM, section V-B (baseline BI)",
        family="classical",
        notes=(
            "Complex coefficients are interpolated, not magnitude and phase. The paper does not say how BI treats the "
            "edges: here subcarriers beyond the last pilot, coming slots and the upper half band all continue the line "
            "through the last two samples, which multiplies noise and loses to predicting zero far from them."
        ),
    )
    observes = (ChannelObservation,)

    def predict(self, task: str, observation: ChannelObservation) -> NDArray[Any]:
        grid, h = observation.grid, observation.h
        if not np.array_equal(grid.slot_s, grid.target_slot_s):
            h = apply_along(linear_weights(grid.slot_s, grid.target_slot_s), h, axis=1)
        return apply_along(linear_weights(grid.subcarrier_hz, grid.target_subcarrier_hz), h, axis=2)
