"""A block's rows: its users' paths in all bands, and what a dataset holds of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generator import Block
from channelbench.generators.evaluate.exact import evaluate
from channelbench.generators.evaluate.paths import ArrivingPaths
from channelbench.generators.raytraced.links import first_delay_s, gains, paths_of, statistics, sum_slots
from channelbench.generators.raytraced.tracing import Rays
from channelbench.generators.raytraced.users import User, users_of
from channelbench.generators.raytraced.worlds import World, world_of
from channelbench.spec import SPLITS, BandSpec, ScenarioSpec

if TYPE_CHECKING:
    from channelbench.generators.raytraced.source import RaytracedSource

__all__ = ["Drawn", "columns", "draw"]

_ONE_AT_A_TIME = RLock()
"""Dr.Jit's variables and a scene's carrier are the process's."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What is drawn of rows of a block.

    Attributes:
        world: Their scene.
        users: Of each row.
        velocity: In the scene, m/s, ``[rows, 3]``.
        reference_s: What delays count from, ``[rows]``.
        gain: By band, Σ|a_p|² of each row, ``[rows]``, of retraced slots in the mean.
        paths: By band, at slot 0.
    """

    world: World
    users: list[User]
    velocity: NDArray[np.float64]
    reference_s: NDArray[np.float64]
    gain: dict[str, NDArray[np.float64]]
    paths: dict[str, ArrivingPaths]


def draw(source: RaytracedSource, spec: ScenarioSpec, block: Block, seed: int) -> Drawn:
    """The users of rows of a block, and their paths."""
    with _ONE_AT_A_TIME:
        world = world_of(spec)
        users = users_of(spec, block.split, block.index, seed, block.stop)[block.start :]
    velocity = np.array([user.velocity for user in users])
    rays = [user.rays for user in users]
    reference = first_delay_s(rays) if source.delays == "first" else np.zeros(len(users))
    gain = {band: np.mean([gains(slot, band) for slot in _slots(users, band)], axis=0) for band in spec.bands}
    paths = {
        name: paths_of(rays, world, name, band.carrier_hz, velocity, reference, gain[name])
        for name, band in spec.bands.items()
    }
    return Drawn(world=world, users=users, velocity=velocity, reference_s=reference, gain=gain, paths=paths)


def columns(source: RaytracedSource, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, NDArray[Any]]:
    """All variables of rows of a block, by name, ``[block.num_samples, …]`` each."""
    drawn = draw(source, spec, block, seed)
    world, users, split = drawn.world, drawn.users, SPLITS.index(block.split)
    position = world.placed(np.array([user.position for user in users]))
    values: dict[str, NDArray[Any]] = {
        "ue_position": position,
        "ue_velocity": world.turned(drawn.velocity),
        "distance_m": np.linalg.norm(position - [0.0, 0.0, spec.bs_height_m], axis=1),
        "los": drawn.paths["sub6"].los,
        "drop": split * 2**40 + np.array([user.unit for user in users], np.int64),
        "block": np.full(len(users), block.index),
        "split": np.full(len(users), split),
        "rejected": np.array([user.rejected for user in users], np.int32),
        "first_delay_s": first_delay_s([user.rays for user in users]),
    }
    for name, band in spec.bands.items():
        found = statistics(drawn.paths[name], 10 * np.log10(drawn.gain[name]))
        values |= {f"{key}_{name}": value for key, value in found.items()}
        if source.retrace:
            values |= _tracks(source, drawn, name, band)
        else:
            values[f"h_{name}"] = evaluate(drawn.paths[name], band, squint=source.squint)
    return values


def _tracks(source: RaytracedSource, drawn: Drawn, name: str, band: BandSpec) -> dict[str, NDArray[Any]]:
    """Channels of slots that are traced each, and where the user is at each and with which path gain."""
    world, slots = drawn.world, _slots(drawn.users, name)
    reference = drawn.reference_s  # one clock for all slots of a sample
    traced = [
        paths_of(rays, world, name, band.carrier_hz, drawn.velocity, reference, drawn.gain[name]) for rays in slots
    ]
    start = np.array([user.position for user in drawn.users])
    away = [start + slot * band.slot_s * drawn.velocity for slot in range(band.num_slots)]
    gain = np.column_stack([gains(rays, name) for rays in slots])
    with np.errstate(divide="ignore"):
        gain_db = np.where(gain > 0, 10 * np.log10(gain), np.nan)
    return {
        f"h_{name}": sum_slots(traced, band, squint=source.squint),
        f"slot_position_{name}": world.placed(np.stack(away, axis=1)),
        f"slot_path_gain_db_{name}": gain_db,
    }


def _slots(users: Sequence[User], band: str) -> list[list[Rays]]:
    """Rays of all users, slot by slot: those of slot 0 alone where no slot is traced again."""
    later = [user.later.get(band, []) for user in users]
    return [[user.rays for user in users], *([slots[k] for slots in later] for k in range(len(later[0])))]
