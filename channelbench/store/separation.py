"""How far users of different splits are apart, where their source promises it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["too_near"]

ROUNDING = 1e-6
"""Of positions in float32, as a share of their distance from the origin."""


def too_near(position: Mapping[str, NDArray[Any]], apart_m: float) -> Iterator[str]:
    """Pairs of splits that have users nearer to each other than promised, one line each.

    Args:
        position: Of the users of each split, m, ``[users, 3]``.
        apart_m: What is promised; of 0 nothing is looked at.
    """
    from scipy.spatial import cKDTree

    if not apart_m:
        return
    trees = {split: cKDTree(np.asarray(places, np.float64)) for split, places in position.items() if len(places)}
    for first, second in combinations(trees, 2):
        distance, _ = trees[second].query(trees[first].data)
        allowed = apart_m - ROUNDING * (np.abs(trees[first].data).max(initial=0) + np.abs(trees[second].data).max())
        if near := int(np.count_nonzero(distance < allowed)):
            least = f"{distance.min():.4g} m, where {apart_m:.4g} m are promised"
            yield f"{near} users of {first} are too near to users of {second}: down to {least}"
