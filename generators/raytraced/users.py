"""The users of a block, one after the other: where they are, how they move, and the paths that reach them.

Candidates are drawn and traced in groups of ``users_per_solve``, always the same ones, and those that are reached are
the block's users in the order of candidates. So a row depends on spec, seed, split and block alone, however many rows
are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.raytraced.places import Places, longest_m, places_of, unit_of, within
from channelbench.generators.raytraced.tracing import Rays
from channelbench.generators.raytraced.worlds import World, world_of
from channelbench.spec import SPLITS, BandSpec, ScenarioSpec

if TYPE_CHECKING:
    from channelbench.generators.raytraced.source import RaytracedSource

__all__ = ["User", "users_of"]

MOST_DRAWS = 200
"""Rounds of candidates for one group, and groups in which nobody is reached, after which there is no coverage."""


@dataclass(frozen=True, kw_only=True)
class User:
    """A user that is reached.

    Attributes:
        position: In the scene at slot 0, m, ``[3]``.
        velocity: In the scene, m/s, ``[3]``.
        unit: The square that the user starts in.
        rejected: Candidates refused since the user before.
        rays: Paths at slot 0, all of receiver 0.
        later: By band, paths at each further slot, where each slot is traced.
    """

    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    unit: int
    rejected: int
    rays: Rays
    later: dict[str, list[Rays]]


class _Block:
    """A block's users as far as anybody has asked for them."""

    def __init__(self, spec: ScenarioSpec, split: str, index: int, seed: int) -> None:
        self._found: list[User] = []
        self._more = _draw(spec, split, index, seed)

    def upto(self, number: int) -> list[User]:
        while len(self._found) < number:
            self._found.append(next(self._more))
        return self._found[:number]


@lru_cache(maxsize=4)
def _block(identity: str, split: str, index: int, seed: int) -> list[_Block]:
    return []


def users_of(spec: ScenarioSpec, split: str, index: int, seed: int, stop: int) -> list[User]:
    """The first ``stop`` users of a block.

    Raises:
        RequestError: nobody is reached, or there are more paths than the solver has room for.
    """
    kept = _block(spec.identity(), split, index, seed)
    if not kept:
        kept.append(_Block(spec, split, index, seed))
    try:
        return kept[0].upto(stop)
    except BaseException:
        kept.clear()  # a generator that has raised gives nothing more
        raise


def _draw(spec: ScenarioSpec, split: str, index: int, seed: int) -> Iterator[User]:
    world, places, source = world_of(spec), places_of(spec), cast("RaytracedSource", spec.source)
    carriers = {name: band.carrier_hz for name, band in spec.bands.items()}
    refused, idle = 0, 0
    for group in count():
        key = (SPLITS.index(split), index, group)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
        position, velocity, before = _candidates(spec, split, world, places, rng)
        rays = world.trace(position, carriers, source.settings)
        reached = np.array([_is_reached(spec, _of(rays, which)) for which in range(len(position))])
        later = _later(spec, world, position[reached], velocity[reached]) if source.retrace else {}
        units, order = unit_of(position[:, :2], source.unit_m), np.cumsum(reached) - 1
        for which in range(len(position)):
            refused += before[which]
            if not reached[which]:
                refused += 1
                continue
            yield User(
                position=position[which],
                velocity=velocity[which],
                unit=int(units[which]),
                rejected=refused,
                rays=_of(rays, which),
                later={band: [_of(slot, int(order[which])) for slot in slots] for band, slots in later.items()},
            )
            refused = 0
        idle = 0 if reached.any() else idle + 1
        if idle * len(position) >= MOST_DRAWS:
            raise _not_reached(spec, split, idle * len(position), position)


def _not_reached(spec: ScenarioSpec, split: str, tried: int, position: NDArray[np.float64]) -> RequestError:
    """What to say where nobody is reached: with the option that reaches most of the last group, which is tried."""
    source = cast("RaytracedSource", spec.source)
    left = [name for name in ("diffraction", "scattering", "refraction") if not getattr(source, name)]
    reached = {name: _count_reached(spec.replace({name: True}), position) for name in left if source.max_depth}
    best = max(reached, key=reached.__getitem__, default="")
    got = f"none of {tried} users of {split}, {spec.state}, is reached"
    if best and reached[best]:
        remedy = f"`--set {best}=true` reaches {reached[best]} of {len(position)}"
    else:
        remedy = "another state, bs_position_m or larger max_depth" + "".join(f", not {name}" for name in reached)
    return RequestError("scene", expected=f"coverage where users are ({remedy})", got=got)


def _count_reached(spec: ScenarioSpec, position: NDArray[np.float64]) -> int:
    carriers = {name: band.carrier_hz for name, band in spec.bands.items()}
    rays = world_of(spec).trace(position, carriers, cast("RaytracedSource", spec.source).settings)
    return sum(_is_reached(spec, _of(rays, which)) for which in range(len(position)))


def _candidates(
    spec: ScenarioSpec, split: str, world: World, places: Places, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[int]]:
    """Positions and velocities of one group, and how many were refused before each."""
    source = cast("RaytracedSource", spec.source)
    wanted, positions, velocities, before, since = source.users_per_solve, [], [], [], 0
    for _ in range(MOST_DRAWS):
        position, velocity, fine = _round(spec, split, world, places, rng)
        for each, moving, good in zip(position, velocity, fine, strict=True):
            since += not good
            if good:
                positions.append(each)
                velocities.append(moving)
                before.append(since)
                since = 0
            if len(positions) == wanted:
                return np.array(positions), np.array(velocities), before
    way = f"ways of up to {longest_m(spec):.3g} m that stay in the areas of {split} and meet no wall"
    raise RequestError("area_m", expected=way, got="none found (larger areas, fewer or shorter slots)")


def _round(
    spec: ScenarioSpec, split: str, world: World, places: Places, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Candidates, and whether their way is under the open sky and through no wall."""
    source = cast("RaytracedSource", spec.source)
    size, own = 4 * source.users_per_solve, places.of[split]
    chosen = own[rng.integers(len(own), size=size)]
    start = places.centre[chosen] + rng.uniform(-places.jitter_m, places.jitter_m, (size, 2))
    heading, speed = rng.uniform(-np.pi, np.pi, size), rng.uniform(spec.speed_min_mps, spec.speed_max_mps, size)
    if split == "test" and spec.test_speeds_mps:
        speed = rng.choice(np.asarray(spec.test_speeds_mps, np.float64), size)
    duration = max((band.num_slots - 1) * band.slot_s for band in spec.bands.values())
    stop = start + (speed * duration)[:, None] * np.column_stack([np.cos(heading), np.sin(heading)])
    ground = np.column_stack([world.ground(start), world.ground(stop)])
    fine = np.isfinite(ground).all(axis=1)
    fine &= within(world, start, spec.min_distance_m, spec.max_distance_m, spec.sector_deg)
    if source.split == "area":
        fine &= _stays(start, stop, places.area_m, source.guard_m)
    ground = np.where(fine[:, None], ground, 0.0)
    first = np.column_stack([start, ground[:, 0] + spec.ue_height_m]).astype(np.float32).astype(np.float64)
    last = np.column_stack([stop, ground[:, 1] + spec.ue_height_m])
    fine &= world.clear(first, last)
    slope = (last[:, 2] - first[:, 2]) / duration if duration > 0 else np.zeros(size)
    return first, np.column_stack([speed * np.cos(heading), speed * np.sin(heading), slope]), fine


def _stays(start: NDArray[np.float64], stop: NDArray[np.float64], area_m: float, guard_m: float) -> NDArray[np.bool_]:
    """Whether both ends of a way, and so all of it, are in one area."""
    period = area_m + guard_m
    tile = np.floor(start / period)
    ends = [np.all((end >= tile * period) & (end <= tile * period + area_m), axis=1) for end in (start, stop)]
    return ends[0] & ends[1]


def _of(rays: Rays, receiver: int) -> Rays:
    rows = np.flatnonzero(rays.receiver == receiver)
    return Rays(
        receiver=np.zeros(len(rows), np.int64),
        vertices=rays.vertices[rows],
        interactions=rays.interactions[rows],
        amplitude={band: each[rows] for band, each in rays.amplitude.items()},
    )


def _is_reached(spec: ScenarioSpec, rays: Rays) -> bool:
    """Whether paths of both bands reach a user of the state that is asked for."""
    if not all(np.any(np.abs(each) > 0) for each in rays.amplitude.values()):
        return False
    los = bool(np.any(rays.interactions == 0))
    return spec.state == "random" or los == (spec.state == "los")


def _later(
    spec: ScenarioSpec, world: World, position: NDArray[np.float64], velocity: NDArray[np.float64]
) -> dict[str, list[Rays]]:
    """Paths at each slot after the first, by band."""
    source = cast("RaytracedSource", spec.source)

    def at(name: str, band: BandSpec, slot: int) -> Rays:
        there = position + slot * band.slot_s * velocity
        return world.trace(there, {name: band.carrier_hz}, source.settings)

    if not len(position):
        return {}
    return {name: [at(name, band, slot) for slot in range(1, band.num_slots)] for name, band in spec.bands.items()}
