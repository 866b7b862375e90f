"""Exact maximum likelihood on a lattice by depth-first search, compiled: numba takes a second to load.

With y = QRx + n, R upper triangular, ``‖z − Rx‖²``, z = Qᴴy, is a sum of one term per row, and what the last rows sum
to bounds what any completion costs. The search (Schnorr and Euchner 1994; Agrell et al. 2002, section III) takes the
cheapest level first, goes back where a partial sum reaches the best total, and so ends with the best of all points.
Each user is two rows, since R with a real diagonal keeps real and imaginary part of a user apart: √M levels a row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest_levels"]

Reals = NDArray[np.float64]


def _compiled(function: Callable[..., Any]) -> Any:
    """Compiled when it is first called, or from numba's cache."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no writable folder for the cache: compile anew in each process
        return numba.njit(**options)(function)


@_compiled
def _expand(row: int, r: Reals, z: Reals, point: Reals, levels: Reals, count: int, order: Any, cost: Any) -> None:
    """Costs of the levels of a row, given the rows below it, and the levels by their cost."""
    rest = z[row]
    for later in range(row + 1, len(z)):
        rest -= r[row, later] * point[later]
    for level in range(count):
        value = (rest - r[row, row] * levels[level]) ** 2
        place = level
        while place > 0 and cost[place - 1] > value:
            cost[place], order[place] = cost[place - 1], order[place - 1]
            place -= 1
        cost[place], order[place] = value, level


@_compiled
def nearest_levels(
    r: Reals, z: Reals, levels: Reals, counts: NDArray[np.int64], most_visits: int, best: NDArray[np.int64]
) -> bool:
    """The levels x that minimise ``‖z − Rx‖²``.

    Args:
        r: Upper triangular, ``[groups, rows, rows]``.
        z: ``[groups, uses, rows]``.
        levels: What a row's x may be, ``[rows, most levels]``.
        counts: How many levels a row has, ``[rows]``.
        most_visits: Partial and whole points that a search may visit.
        best: Where to write numbers of levels, ``[groups, uses, rows]``.

    Returns:
        Whether all searches came to their end.
    """
    groups, uses, rows = z.shape
    order = np.zeros((rows, levels.shape[1]), np.int64)
    cost = np.zeros((rows, levels.shape[1]))
    tried, chosen = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    point, partial = np.zeros(rows), np.zeros(rows + 1)
    for group in range(groups):
        for use in range(uses):
            least, row, visited = np.inf, rows - 1, 0
            tried[row] = 0
            _expand(row, r[group], z[group, use], point, levels[row], counts[row], order[row], cost[row])
            while row < rows:
                place = tried[row]
                if place == counts[row] or not partial[row + 1] + cost[row, place] < least:
                    row += 1
                    continue
                visited += 1
                if visited > most_visits:
                    return False
                tried[row] += 1
                chosen[row] = order[row, place]
                if row == 0:
                    least = partial[1] + cost[0, place]
                    best[group, use] = chosen
                    continue
                point[row] = levels[row, chosen[row]]
                partial[row] = partial[row + 1] + cost[row, place]
                row -= 1
                tried[row] = 0
                _expand(row, r[group], z[group, use], point, levels[row], counts[row], order[row], cost[row])
    return True
