"""Houses of a village: boxes with flat or pitched roofs, somewhere, turned somehow, none in another."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.raytraced.terrain import Terrain

__all__ = ["MATERIALS", "Houses", "make_houses", "scatter"]

MATERIALS = ("brick", "wood", "concrete")
"""Of P.2040, Table 3: each holds at 1.9, 2.4 and 28 GHz. A house is of one material, walls and roof."""
_SHARES = (0.5, 0.3, 0.2)

# Corners 0–3 at the bottom and 4–7 at the eaves, counter-clockwise from above, and ridge ends 8 and 9 over the short
# sides 7–4 and 5–6; triangles counter-clockwise from outside.
_WALLS = [(a, b, b + 4, a, b + 4, a + 4) for a, b in ((0, 1), (1, 2), (2, 3), (3, 0))]
_FLAT = np.reshape([*_WALLS, (4, 5, 6, 4, 6, 7)], (-1, 3))
_PITCHED = np.reshape(
    [*sum(_WALLS, ()), *(4, 5, 9), *(4, 9, 8), *(6, 7, 8), *(6, 8, 9), *(7, 4, 8), *(5, 6, 9)], (-1, 3)
)


@dataclass(frozen=True)
class Houses:
    """Attributes:
    footprint: Corners, counter-clockwise, the longer sides first, m, ``[houses, 4, xy]``.
    base, eaves, ridge: Heights, m, ``[houses]``; a flat roof's ridge is its eaves.
    material: Index into ``MATERIALS``, ``[houses]``.
    """

    footprint: NDArray[np.float64]
    base: NDArray[np.float64]
    eaves: NDArray[np.float64]
    ridge: NDArray[np.float64]
    material: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.base)

    def contain(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether points are inside of a footprint, ``[points]``."""
        point = np.stack([np.ravel(x), np.ravel(y)], axis=-1)
        inside = np.zeros(len(point), bool)
        for corners in self.footprint:
            side = np.roll(corners, -1, axis=0) - corners
            away = point[:, None] - corners
            inside |= np.all(side[:, 0] * away[..., 1] - side[:, 1] * away[..., 0] >= 0, axis=-1)
        return inside.reshape(np.shape(x))

    def mesh(self, material: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Vertices ``[vertices, xyz]`` and triangles ``[triangles, 3]`` of all houses of one material. The triangles of
        one house share its vertices: its edges are wedges, around which waves bend."""
        vertices: list[NDArray[np.float64]] = []
        triangles: list[NDArray[np.int32]] = []
        first = 0
        for house in np.flatnonzero(self.material == material):
            corner, pitched = self.footprint[house], self.ridge[house] > self.eaves[house]
            level = [np.full((4, 1), height[house]) for height in (self.base, self.eaves)]
            points = [np.hstack([corner, z]) for z in level]
            if pitched:
                middle = (corner[[3, 1]] + corner[[0, 2]]) / 2
                points.append(np.hstack([middle, np.full((2, 1), self.ridge[house])]))
            vertices.append(np.concatenate(points))
            triangles.append((first + (_PITCHED if pitched else _FLAT)).astype(np.int32))
            first += len(vertices[-1])
        if not vertices:
            return np.zeros((0, 3)), np.zeros((0, 3), np.int32)
        return np.concatenate(vertices), np.concatenate(triangles)


def scatter(
    radius: NDArray[np.float64], half_m: float, clear: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Centres of circles of which none touches another or one of ``clear``, m, ``[count, xy]``. Each is thrown up to 50
    times; where it never fits, its centre is NaN.

    Args:
        radius: m, ``[count]``.
        half_m: Coordinates lie between ``−half_m`` and this.
        clear: Circles ``(x, y, radius)`` to stay out of, m, ``[circles, 3]``.
        rng: Where numbers come from.
    """
    cell = 2 * max(radius.max(initial=1.0), clear[:, 2].max(initial=1.0))
    taken: dict[tuple[int, ...], list[tuple[float, float, float]]] = {}

    def keep(x: float, y: float, r: float) -> None:
        taken.setdefault((int(x // cell), int(y // cell)), []).append((x, y, r))

    for x, y, r in clear:
        keep(x, y, r)
    centre = np.full((len(radius), 2), np.nan)
    for index, r in enumerate(radius):
        for x, y in (2 * rng.random((50, 2)) - 1) * half_m:
            around = product(*(range(int(v // cell) - 1, int(v // cell) + 2) for v in (x, y)))
            near = (circle for key in around for circle in taken.get(key, ()))
            if all((x - a) ** 2 + (y - b) ** 2 >= (r + c) ** 2 for a, b, c in near):
                keep(x, y, r)
                centre[index] = x, y
                break
    return centre


def make_houses(
    count: int, pitched_share: float, terrain: Terrain, clear: NDArray[np.float64], rng: np.random.Generator
) -> Houses:
    """Houses 8 to 16 m long, 7 to 10 m deep, of one or two storeys: eaves 3 to 6 m above the highest ground that
    they touch, so that roofs are about as high as RMa's buildings (5 m, TR 38.901, Table 7.4.1-1)."""
    length, depth = 8 + 8 * rng.random(count), 7 + 3 * rng.random(count)
    length = np.maximum(length, depth)
    rise, turn, slope, kind, what = rng.random((5, count))
    radius = np.hypot(length, depth) / 2 + 2.5  # 5 m from house to house at least
    place = scatter(radius, terrain.axis[-1] - 20, clear, rng)
    kept = ~np.isnan(place[:, 0])
    place, length, depth, rise, turn, slope, kind, what = (
        v[kept] for v in (place, length, depth, rise, turn, slope, kind, what)
    )

    corner = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2 * np.stack([length, depth], axis=-1)[:, None]
    cosine, sine = np.cos(2 * np.pi * turn)[:, None], np.sin(2 * np.pi * turn)[:, None]
    turned = np.stack(
        [cosine * corner[..., 0] - sine * corner[..., 1], sine * corner[..., 0] + cosine * corner[..., 1]], axis=-1
    )
    footprint = np.round(place[:, None] + turned, 3)
    touched = np.concatenate([footprint, (footprint + np.roll(footprint, 1, axis=1)) / 2, place[:, None]], axis=1)
    ground = terrain.at(touched[..., 0], touched[..., 1])
    eaves = ground.max(axis=1) + 3 + 3 * rise
    pitched = kind < pitched_share
    return Houses(
        footprint=footprint,
        base=np.round(ground.min(axis=1) - 0.5, 3),
        eaves=np.round(eaves, 3),
        ridge=np.round(np.where(pitched, eaves + depth / 2 * np.tan(np.deg2rad(25 + 20 * slope)), eaves), 3),
        material=np.searchsorted(np.cumsum(_SHARES)[:-1], what, side="right"),
    )
