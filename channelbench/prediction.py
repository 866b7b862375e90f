"""What counts as a prediction: the shape that the task's kind asks for, and no NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Observation, Target, Task

__all__ = ["InvalidPrediction", "check_prediction"]


class InvalidPrediction(ValueError):
    """What a method returned is no prediction: of the wrong shape, or not finite."""


def check_prediction(task: Task, prediction: Any, observation: Observation, target: Target) -> NDArray[Any]:
    """The prediction as an array.

    Raises:
        InvalidPrediction: saying what is wrong with it.
    """
    array = np.asarray(prediction)
    expected = (len(target.value), observation.grid.num_beams) if task.kind == "beam" else target.value.shape
    if array.shape != expected:
        raise InvalidPrediction(f"prediction has shape {array.shape}, expected {expected}")
    if array.dtype.kind not in ("fciu" if task.kind == "channel" else "fiu"):
        raise InvalidPrediction(f"prediction has dtype {array.dtype}, expected numbers")
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if bad.any():
        raise InvalidPrediction(f"prediction is NaN or infinite for {int(bad.sum())} of {len(array)} samples")
    return array
