"""Gentle hills: a grid of triangles whose heights are a sum of waves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Terrain", "make_terrain"]

_WAVES = 24


@dataclass(frozen=True)
class Terrain:
    """A square with its centre at (0, 0), cut into square cells of two triangles each.

    Attributes:
        axis: Positions of grid lines in x and in y, m, ``[n]``.
        height: m, ``[n (y), n (x)]``, in whole millimetres.
    """

    axis: NDArray[np.float64]
    height: NDArray[np.float64]

    def at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height of the ground in m, on the triangles themselves; outside, that of the nearest edge."""
        size, cells = self.axis[1] - self.axis[0], len(self.axis) - 1
        across, up = (np.clip((np.asarray(v) - self.axis[0]) / size, 0, cells) for v in (x, y))
        i, j = (np.minimum(v.astype(np.intp), cells - 1) for v in (across, up))
        u, v = across - i, up - j
        low, right, top, far = (self.height[j + b, i + a] for a, b in ((0, 0), (1, 0), (0, 1), (1, 1)))
        # The diagonal goes from (0, 0) to (1, 1) of each cell.
        below = low + u * (right - low) + v * (far - right)
        above = low + u * (far - top) + v * (top - low)
        return np.where(u >= v, below, above)

    def triangles(self) -> NDArray[np.float64]:
        """Corners, counter-clockwise from above, ``[triangles, 3, xyz]``."""
        x, y = np.meshgrid(self.axis, self.axis)
        point = np.stack([x, y, self.height], axis=-1)
        low, right, top, far = point[:-1, :-1], point[:-1, 1:], point[1:, :-1], point[1:, 1:]
        return np.stack([np.stack([low, right, far], -2), np.stack([low, far, top], -2)], axis=2).reshape(-1, 3, 3)


def make_terrain(
    area_m: float, cell_m: float, hill_m: float, hill_length_m: float, rng: np.random.Generator
) -> Terrain:
    """Hills of standard deviation ``hill_m`` and wavelengths around ``hill_length_m``; the ground at (0, 0) is at 0."""
    cells = max(2, 2 * round(area_m / cell_m / 2))  # an even number, so that (0, 0) is on the grid
    axis = np.linspace(-area_m / 2, area_m / 2, cells + 1)
    heading, phase = 2 * np.pi * rng.random((2, _WAVES))
    number = 2 * np.pi / hill_length_m * (0.5 + rng.random(_WAVES))
    kx, ky = number * np.cos(heading), number * np.sin(heading)
    x, y = np.meshgrid(axis, axis)
    waves = np.cos(kx * x[..., None] + ky * y[..., None] + phase).sum(axis=-1)
    height = hill_m * np.sqrt(2 / _WAVES) * waves
    # Whole millimetres: the last bit of a cosine differs between processors.
    return Terrain(axis=axis, height=np.round(height - height[cells // 2, cells // 2], 3) + 0.0)
