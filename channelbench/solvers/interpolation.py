"""Interpolation of sampled channels as weight matrices, so that a whole batch is one matrix product per axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["apply_along", "linear_weights", "nearest"]


def linear_weights(known: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights ``[wanted, known]`` of linear interpolation; beyond the ends the outermost sample holds.

    That is what ``numpy.interp`` does. A line through the last two samples would multiply their noise by the square of
    how far it is drawn.

    Args:
        known: Increasing coordinates of the samples. A single sample is held.
        wanted: Coordinates of the values to compute, anywhere.
    """
    if len(known) == 1:
        return np.ones((len(wanted), 1))
    left = np.clip(np.searchsorted(known, wanted, side="right") - 1, 0, len(known) - 2)
    fraction = np.clip((wanted - known[left]) / (known[left + 1] - known[left]), 0, 1)
    weights = np.zeros((len(wanted), len(known)))
    rows = np.arange(len(wanted))
    weights[rows, left] = 1 - fraction
    weights[rows, left + 1] = fraction
    return weights


def nearest(known: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the sample nearest to each wanted coordinate, the earlier one of two equally near, ``[wanted]``."""
    return np.abs(wanted[:, None] - known[None, :]).argmin(axis=1)


def apply_along(
    matrix: NDArray[np.number], values: NDArray[np.complexfloating], axis: int
) -> NDArray[np.complexfloating]:
    """``matrix [rows, n]`` times ``values`` along ``axis`` (of length n), in the precision of ``values``."""
    moved = np.moveaxis(values, axis, -1)
    kind = moved.dtype if np.iscomplexobj(matrix) else moved.real.dtype
    return np.moveaxis(moved @ matrix.T.astype(kind), -1, axis)
