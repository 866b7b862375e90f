"""What counts as a prediction: numbers of the shape that the task asks for, none of them NaN or infinite."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["InvalidPrediction", "as_numbers"]


class InvalidPrediction(ValueError):
    """What a method returned is no prediction: of the wrong shape, or not finite."""


def as_numbers(prediction: Any, shape: tuple[int, ...], *, allow_complex: bool = False) -> NDArray[Any]:
    """The prediction as an array of ``shape``.

    Raises:
        InvalidPrediction: it has another shape, is masked, holds no numbers, or some that are NaN or infinite.
    """
    if np.ma.isMaskedArray(prediction):
        raise InvalidPrediction("prediction is a masked array, expected numbers for every case")
    array = np.asarray(prediction)
    if array.shape != shape:
        raise InvalidPrediction(f"prediction has shape {array.shape}, expected {shape}")
    if array.dtype.kind not in ("fciu" if allow_complex else "fiu"):
        raise InvalidPrediction(f"prediction has dtype {array.dtype}, expected numbers")
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if bad.any():
        raise InvalidPrediction(f"prediction is NaN or infinite for {int(bad.sum())} of {len(array)} samples")
    return array
