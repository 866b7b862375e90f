"""What the rural scene is made of is set like every field, and specs that leave it alone are the same as ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ray_tracing import require_tracer

from channelbench.errors import RequestError
from channelbench.generation import make_spec
from channelbench.generators.raytraced.rural import Rural, landscape
from channelbench.generators.raytraced.worlds import world_of
from channelbench.spec import ScenarioSpec

BEFORE = "0abb3e0303e380eafe19f95b90101aeb8fe665aefb98f3822dfbd274eb6ebe98"
"""Of the default spec, before the land had fields."""


def _spec(**fields: Any) -> ScenarioSpec:
    return make_spec("rma", source="raytraced", assignments=fields)


def test_a_spec_without_its_own_land_is_what_it_was() -> None:
    spec = _spec()
    assert spec.identity() == BEFORE
    assert _spec(**{"land.houses_per_km2": 80}).identity() == BEFORE
    record = spec.flat()
    del record["land"]
    assert ScenarioSpec.from_record(record) == spec


def test_another_land_is_another_spec_that_says_so() -> None:
    spec = _spec(**{"land.houses_per_km2": 150, "land.scene_seed": 7})
    assert spec.source.rural == Rural(houses_per_km2=150, scene_seed=7)  # type: ignore[attr-defined]
    assert spec.identity() != BEFORE
    assert ScenarioSpec.from_record(spec.flat()) == spec
    assert spec.source.label.endswith("houses_per_km2 150, scene_seed 7")
    assert _spec().differences(spec) == ["land.houses_per_km2: 80.0 → 150.0", "land.scene_seed: 1 → 7"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"land.houses_per_km2": -1}, "land.houses_per_km2"),
        ({"land.lakes": 1}, "land.lakes"),
        ({"land": 3}, "land"),
        ({"land.hill_m": 2, "scene": "munich"}, "land"),
    ],
)
def test_land_that_cannot_be(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as caught:
        _spec(**fields)
    assert caught.value.field == field


def test_users_stand_on_the_land_that_is_asked_for() -> None:
    require_tracer()
    small = {"land.area_m": 400.0, "land.houses_per_km2": 20.0, "land.hill_m": 9.0, "land.hill_length_m": 200.0}
    spec = _spec(**small)
    land, xy = landscape(spec.source.rural), np.random.default_rng(0).uniform(-190, 190, (200, 2))  # type: ignore[attr-defined]
    ground, world = land.ground_m(*xy.T), world_of(spec)
    np.testing.assert_allclose(world.surfaces(xy)[1], ground, atol=1e-2)
    assert np.ptp(ground) > 5  # which the usual hills have not
    np.testing.assert_allclose(world.highest[:2], 200)
