"""Small specs and drawn blocks for the generators' tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from channelbench.generator import Block
from channelbench.generators.evaluate.paths import DrawnPaths
from channelbench.generators.tr38901.drops import Drops, Streams
from channelbench.generators.tr38901.rays import BandRays, draw_rays
from channelbench.generators.tr38901.scenarios import scenario_options
from channelbench.registry import create
from channelbench.spec import SYSTEMS, ScenarioSpec, preset_sizes

MakeSpec = Callable[..., ScenarioSpec]


@pytest.fixture(scope="session")
def make_spec() -> MakeSpec:
    """``make_spec("uma", "dualband", state="nlos", **{"sub6.num_slots": 2})``."""

    def make(scenario: str = "uma", system: str = "dualband", **changes: Any) -> ScenarioSpec:
        geometry = create("generators", scenario).geometry
        fields = {**geometry, "scenario": scenario, "system": system, "engine": "fast", **SYSTEMS[system]}
        return ScenarioSpec(**fields, sizes=preset_sizes(system, "quick")).replace(changes)

    return make


@dataclass(frozen=True)
class DrawnBlock:
    spec: ScenarioSpec
    drops: Drops
    rays: dict[str, BandRays]
    paths: dict[str, DrawnPaths]


@pytest.fixture(scope="session")
def draw(make_spec: MakeSpec) -> Callable[..., DrawnBlock]:
    """Drops, rays and paths of one block, without its channels."""

    def make(scenario: str = "uma", system: str = "dualband", *, index: int = 0, **changes: Any) -> DrawnBlock:
        spec = make_spec(scenario, system, **changes)
        drawn = create("generators", scenario).draw(spec, Block(split="train", index=index), 1)
        return DrawnBlock(spec, *drawn)

    return make


@pytest.fixture(scope="session")
def draw_at(make_spec: MakeSpec) -> Callable[..., dict[str, BandRays]]:
    """Rays of users placed along +x at the given 2-D distances, in turn; 200 links in all."""

    def make(scenario: str, distances: list[float], **changes: Any) -> dict[str, BandRays]:
        spec = make_spec(scenario, **changes)
        generator = create("generators", scenario)
        position = np.zeros((200, 3))
        position[:, 0] = np.resize(distances, 200)
        position[:, 2] = spec.ue_height_m
        drops = Drops(
            bs_position=np.array([0.0, 0.0, spec.bs_height_m]),
            position=position,
            velocity=np.zeros((200, 3)),
            identifier=np.arange(200),
        )
        streams = Streams.of(Block(split="train", index=0), 3, len(spec.bands))

        def build(carrier_hz: float) -> Any:
            return generator.build_scenario(spec, scenario_options(carrier_hz, spec.source.table_version))

        return draw_rays(spec, drops, streams, build)

    return make
