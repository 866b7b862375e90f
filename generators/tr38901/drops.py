"""Where the users of a block stand and how they move, and the random streams that a block is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generator import Block
from channelbench.spec import BLOCK_SIZE, SPLITS, ScenarioSpec

__all__ = ["Drops", "Streams", "draw_drops"]


@dataclass(frozen=True, kw_only=True)
class Streams:
    """Independent random streams of one block, one for each thing that is drawn.

    Separate streams keep what is common to datasets common: adding a second band or forcing the line-of-sight state
    moves no user and changes no ray of the first band.
    """

    drops: np.random.SeedSequence
    los: np.random.SeedSequence
    environment: np.random.SeedSequence
    large_scale: np.random.SeedSequence
    rays: np.random.SeedSequence
    phases: tuple[np.random.SeedSequence, ...]
    shadowing: np.random.SeedSequence

    @classmethod
    def of(cls, block: Block, seed: int, num_bands: int) -> Streams:
        """The streams of a block: they depend on seed, split and block index alone.

        ``spawn_key`` is essential: ``SeedSequence((5, 0))`` equals ``SeedSequence(5)``.
        """
        root = np.random.SeedSequence(seed, spawn_key=(SPLITS.index(block.split), block.index))
        drops, los, environment, large_scale, rays, phases, shadowing = root.spawn(7)
        return cls(
            drops=drops,
            los=los,
            environment=environment,
            large_scale=large_scale,
            rays=rays,
            phases=tuple(phases.spawn(num_bands)),
            shadowing=shadowing,
        )


@dataclass(frozen=True, kw_only=True)
class Drops:
    """The links of one block, always ``BLOCK_SIZE`` of them.

    Attributes:
        bs_position: Base station, m, ``[3]``.
        position: Users, m, ``[links, 3]``.
        velocity: Of the users, m/s, ``[links, 3]``.
        identifier: Unique within a dataset, ``[links]``.
    """

    bs_position: NDArray[np.float64]
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    identifier: NDArray[np.int64]

    @property
    def offset(self) -> NDArray[np.float64]:
        """Base station to user, m, ``[links, 3]``."""
        return self.position - self.bs_position

    @property
    def distance_m(self) -> NDArray[np.float64]:
        """3-D distance, ``[links]``."""
        return np.linalg.norm(self.offset, axis=-1)

    def columns(self, block: Block) -> dict[str, Any]:
        """What a dataset holds of the block's rows whatever their channels are, ``[block.num_samples, …]`` each."""
        rows = slice(block.start, block.stop)
        return {
            "ue_position": self.position[rows],
            "ue_velocity": self.velocity[rows],
            "distance_m": self.distance_m[rows],
            "drop": self.identifier[rows],
            "block": np.full(block.num_samples, block.index),
            "split": np.full(block.num_samples, SPLITS.index(block.split)),
        }


def draw_drops(spec: ScenarioSpec, block: Block, stream: np.random.SeedSequence) -> Drops:
    """Users uniform in area over the sector around +x, each moving straight on in a random horizontal direction.

    Args:
        spec: Heights, distances, sector and speeds are read.
        block: Drawn whole, whatever its rows.
        stream: Of random numbers, ``Streams.drops``.
    """
    rng = np.random.default_rng(stream)
    # The area within distance d grows with d²: d² is what is uniform.
    distance = np.sqrt(rng.uniform(spec.min_distance_m**2, spec.max_distance_m**2, BLOCK_SIZE))
    azimuth = np.radians(rng.uniform(-spec.sector_deg / 2, spec.sector_deg / 2, BLOCK_SIZE))
    heading = rng.uniform(-np.pi, np.pi, BLOCK_SIZE)
    speed = rng.uniform(spec.speed_min_mps, spec.speed_max_mps, BLOCK_SIZE)

    in_split = block.index * BLOCK_SIZE + np.arange(BLOCK_SIZE)
    if block.split == "test" and spec.test_speeds_mps:
        speed = np.asarray(spec.test_speeds_mps, dtype=np.float64)[in_split % len(spec.test_speeds_mps)]

    height = np.full(BLOCK_SIZE, spec.ue_height_m)
    return Drops(
        bs_position=np.array([0.0, 0.0, spec.bs_height_m]),
        position=np.stack([distance * np.cos(azimuth), distance * np.sin(azimuth), height], axis=-1),
        velocity=np.stack([speed * np.cos(heading), speed * np.sin(heading), np.zeros(BLOCK_SIZE)], axis=-1),
        identifier=SPLITS.index(block.split) * 2**40 + in_split.astype(np.int64),
    )
