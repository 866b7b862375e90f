"""Compiled loops over segments and crowns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.evaluate.compiled import compiled

__all__ = ["add_lengths"]

Reals = NDArray[np.float64]


@compiled
def add_lengths(start: Reals, end: Reals, centre: Reals, radius: Reals, half_height: Reals, total: Reals) -> None:
    """Each segment against each crown: most are told apart by how far the crown is from the segment's line, seen from
    above, before anything is divided."""
    for s in range(start.shape[0]):
        x, y, z = start[s, 0], start[s, 1], start[s, 2]
        dx, dy, dz = end[s, 0] - x, end[s, 1] - y, end[s, 2] - z
        flat = dx * dx + dy * dy
        length = np.sqrt(flat + dz * dz)
        for c in range(centre.shape[0]):
            ox, oy, r = x - centre[c, 0], y - centre[c, 1], radius[c]
            across = ox * dy - oy * dx
            if across * across >= r * r * flat and ox * ox + oy * oy >= r * r:
                continue
            # Where the crown is a ball of radius 1 at 0.
            h = half_height[c]
            oz = (z - centre[c, 2]) / h
            a = flat / (r * r) + (dz / h) ** 2
            b = (ox * dx + oy * dy) / (r * r) + oz * dz / h
            square = b * b - a * ((ox * ox + oy * oy) / (r * r) + oz * oz - 1)
            if square > 0:
                root = np.sqrt(square)
                enter, leave = max((-b - root) / a, 0.0), min((-b + root) / a, 1.0)
                total[s] += max(leave - enter, 0.0) * length
