"""A small traced world that the tests of this folder share: the kernels are compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ray_tracing import require_tracer

from channelbench.generation import make_spec
from channelbench.spec import ScenarioSpec, SizesSpec

SMALL = {
    "samples_per_source": 10_000,
    "max_depth": 2,
    "diffraction": False,
    "users_per_solve": 8,
    "sub6.num_slots": 3,
    "sub6.num_subcarriers": 16,
    "mmwave.num_subcarriers": 16,
    "mmwave.array.columns": 16,
}


@pytest.fixture(scope="session")
def street() -> Callable[..., ScenarioSpec]:
    """``street(state="los", **assignments)``: few users of the street canyon, few rays, few subcarriers."""
    require_tracer()

    def make(state: str = "los", **assignments: Any) -> ScenarioSpec:
        sizes = SizesSpec(train=20, val=8, test=8)
        return make_spec("umi", source="raytraced", state=state, sizes=sizes, assignments=SMALL | assignments)

    return make
