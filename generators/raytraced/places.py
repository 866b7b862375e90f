"""Where users of each split may stand: squares of ground under the open sky, shared out between the splits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.raytraced.worlds import World, world_of
from channelbench.spec import SPLITS

if TYPE_CHECKING:
    from channelbench.generators.raytraced.source import RaytracedSource
    from channelbench.spec import ScenarioSpec

__all__ = ["SHARES", "Places", "places_of"]

SHARES = {"train": 10, "val": 2, "test": 3}
"""How places are shared out, as ``--samples`` shares out samples."""

MOST_CELLS = 250_000
"""Of the grid of places."""

USUAL_AREAS_M = (100.0, 50.0, 20.0, 10.0)
"""Sides of areas that are tried where none is given."""

FEWEST = 20
"""Places of an area that are worth having."""


@dataclass(frozen=True, eq=False)
class Places:
    """A grid over the scene, and whose each place is.

    Attributes:
        pitch_m: Between neighbours of the grid.
        jitter_m: How far users stand from the middle of their place in x and y, at most.
        centre: Middles of the places, in the scene, m, ``[places, 2]``.
        area_m: Side of the areas; 0 where users are interleaved.
        unit: Square of ``unit_m`` that each is in, ``[places]``.
        of: Numbers of each split's places.
    """

    pitch_m: float
    jitter_m: float
    centre: NDArray[np.float64]
    area_m: float
    unit: NDArray[np.int64]
    of: dict[str, NDArray[np.int64]]


def places_of(spec: ScenarioSpec) -> Places:
    """The places of a spec. They hang on the spec alone, so that one seed's training area is no other's test area.

    Raises:
        RequestError: a split has none.
    """
    world, source = world_of(spec), cast("RaytracedSource", spec.source)
    reach = spec.min_distance_m, spec.max_distance_m, spec.sector_deg, spec.ue_height_m
    layout = (
        source.split,
        source.area_m,
        source.guard_m,
        source.unit_m,
        source.separation_m(spec.bands),
        longest_m(spec),
    )
    return _places(world, spec.state, reach, layout)


def longest_m(spec: ScenarioSpec) -> float:
    """How far a user goes during the slots of a sample, at most, m."""
    fastest = max(spec.speed_max_mps, *spec.test_speeds_mps, 0.0)
    return fastest * max((band.num_slots - 1) * band.slot_s for band in spec.bands.values())


def unit_of(xy: NDArray[np.float64], unit_m: float) -> NDArray[np.int64]:
    """The square that points of the scene are in, ``[points, 2]`` to ``[points]``."""
    x, y = np.floor(xy / unit_m).astype(np.int64).T + 2**19
    return x * 2**20 + y


def squares(xy: NDArray[np.float64], side_m: float) -> NDArray[np.int64]:
    """Numbers from 0 of the squares that points are in, ``[points, 2]`` to ``[points]``."""
    return np.unique(unit_of(xy, side_m), return_inverse=True)[1].reshape(-1).astype(np.int64)


def linked(xy: NDArray[np.float64], apart_m: float) -> NDArray[np.int64]:
    """Numbers from 0 of the groups that points form, ``[points, 2]`` to ``[points]``: points of two groups are
    ``apart_m`` or more from each other.

    Points are linked by the cells of a tenth of that which they are in, so that thousands in one street are few; cells
    are linked where none of their points can be ``apart_m`` from each other.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    cell_m = apart_m / 10
    cells, which = np.unique(np.floor(xy / cell_m), axis=0, return_inverse=True)
    pairs = KDTree(cells * cell_m).query_pairs(apart_m - cell_m * np.sqrt(2), output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(cells), len(cells)))
    return connected_components(graph, directed=False)[1][which.reshape(-1)].astype(np.int64)


@lru_cache(maxsize=8)
def _places(world: World, state: str, reach: tuple[float, ...], layout: tuple[Any, ...]) -> Places:
    split, area_m, guard_m, unit_m, apart_m, longest = layout
    pitch, xy, ground = _grid(world, reach)
    if state != "random" and len(xy):
        user = np.column_stack([xy, ground + reach[3]])
        seen = world.clear(np.broadcast_to(world.transmitter, user.shape), user)
        xy = xy[seen == (state == "los")]
    if not len(xy):
        words = {"los": "in line of sight", "nlos": "out of sight", "random": "under the open sky"}[state]
        got = f"none {words} between {reach[0]:g} and {reach[1]:g} m in the sector"
        raise RequestError("scene", expected="places for users", got=got)
    if split == "interleaved":
        jitter = (pitch - apart_m - 2 * longest) / 2
        if jitter < 0:
            got = f"ways of up to {longest:.3g} m, which cross"
            raise RequestError("split", expected="area for users that go so far", got=got)
        area_m, shares = 0.0, _interleaved(xy, pitch)
    else:
        jitter = pitch / 2
        area_m, shares = _largest_areas(xy, USUAL_AREAS_M if area_m is None else (area_m,), guard_m)
    jitter = min(jitter, 0.45 * pitch)
    if not _all_have(shares):
        got = f"fewer than three areas of {area_m:g} m, {guard_m:g} m apart, with users {state}"
        raise RequestError("area_m", expected="areas for train, val and test", got=got)
    numbers = {name: np.flatnonzero(shares == code) for code, name in enumerate(SPLITS)}
    return Places(pitch, jitter, xy, area_m, unit_of(xy, unit_m), numbers)


def _grid(world: World, reach: tuple[float, ...]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Pitch, places under the open sky within reach, and the height of the ground there."""
    least, most, sector_deg, _ = reach
    low = np.maximum(world.lowest[:2], world.origin[:2] - most)
    high = np.minimum(world.highest[:2], world.origin[:2] + most)
    extent = np.maximum(high - low, 0)
    pitch = float(np.ceil(max(1.0, np.sqrt(extent.prod() / MOST_CELLS))))
    axes = [np.arange(np.floor(low[k] / pitch), np.ceil(high[k] / pitch)) * pitch + pitch / 2 for k in range(2)]
    xy = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    xy = xy[within(world, xy, least, most, sector_deg)]
    ground = world.ground(xy) if len(xy) else np.zeros(0)
    open_sky = np.isfinite(ground)
    return pitch, xy[open_sky], ground[open_sky]


def within(world: World, xy: NDArray[np.float64], least: float, most: float, sector_deg: float) -> NDArray[np.bool_]:
    """Whether points of the scene are in the sector and the range of distances, ``[points]``."""
    away = world.turned(np.column_stack([xy - world.origin[:2], np.zeros(len(xy))]))
    distance = np.hypot(away[:, 0], away[:, 1])
    azimuth = np.abs(np.degrees(np.arctan2(away[:, 1], away[:, 0])))
    return (distance >= least) & (distance <= most) & (azimuth <= sector_deg / 2)


def _interleaved(xy: NDArray[np.float64], pitch: float) -> NDArray[np.int64]:
    """Splits of single places, by a hash of where they are."""
    x, y = (np.floor(xy / pitch).astype(np.int64) + 2**31).astype(np.uint64).T
    mixed = (x * np.uint64(0x9E3779B97F4A7C15)) ^ (y * np.uint64(0xC2B2AE3D27D4EB4F))
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    part = (mixed >> np.uint64(33)).astype(np.int64) % sum(SHARES.values())
    return np.searchsorted(np.cumsum(list(SHARES.values())), part, side="right").astype(np.int64)


def _all_have(shares: NDArray[np.int64]) -> bool:
    return all(np.any(shares == code) for code in range(len(SPLITS)))


def _largest_areas(
    xy: NDArray[np.float64], sides_m: tuple[float, ...], guard_m: float
) -> tuple[float, NDArray[np.int64]]:
    """The first of these sides that leaves each split an area, else the last, and whose each place is then."""
    for side_m in sides_m:
        shares = _areas(xy, side_m, guard_m)
        if _all_have(shares):
            break
    return side_m, shares


def _areas(xy: NDArray[np.float64], area_m: float, guard_m: float) -> NDArray[np.int64]:
    """Splits of whole areas, squares that are a guard apart; −1 between them. The largest comes first, each goes to the
    split that lacks most of its share."""
    period = area_m + guard_m
    tile = np.floor(xy / period).astype(np.int64)
    inside = np.all(xy - tile * period <= area_m, axis=1)
    number = (tile[:, 0] + 2**20) * 2**21 + tile[:, 1] + 2**20
    found, counts = np.unique(number[inside], return_counts=True)
    if not len(found):  # a few places between the areas
        return np.full(len(xy), -1)
    order = np.lexsort((found, -counts))
    order = order[counts[order] >= min(FEWEST, int(counts.max(initial=0)))]
    total, given = counts[order].sum(), dict.fromkeys(SPLITS, 0)
    owner: dict[int, int] = {}
    for which in order:
        lacking = {name: SHARES[name] / sum(SHARES.values()) * total - given[name] for name in SPLITS}
        chosen = max(SPLITS, key=lacking.__getitem__)
        empty = [name for name in ("test", "val") if not given[name]]
        if given["train"] and empty:
            chosen = empty[0]
        given[chosen] += int(counts[which])
        owner[int(found[which])] = SPLITS.index(chosen)
    shares = np.array([owner.get(int(each), -1) for each in found], np.int64)
    return np.where(inside, shares[np.clip(np.searchsorted(found, number), 0, len(found) - 1)], -1)
