"""Sionna's scenarios: where links are placed, and where the parameters of TR 38.901's tables come from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.tr38901.drops import Drops, Streams
from channelbench.spec import BLOCK_SIZE, ScenarioSpec

__all__ = ["PRECISION", "Remembered", "links", "scenario_options", "set_topologies", "torch_seed"]

PRECISION = "double"
"""In single precision Sionna's own 2πd/λ is off by 1e-2 to 1e-1; drawing in double costs a fifth of the drawing."""


def scenario_options(carrier_hz: float, table_version: str) -> dict[str, Any]:
    """The arguments that all of Sionna's scenarios take, for the CPU in ``PRECISION``.

    Scenarios ask for arrays, on which rays do not depend: a single upright omnidirectional element at both ends.

    Args:
        carrier_hz: Hz.
        table_version: Of TR 38.901, ``16.1`` or ``19.2``.
    """
    from sionna.phy.channel.tr38901 import PanelArray

    here: dict[str, Any] = {"precision": PRECISION, "device": "cpu"}
    element = PanelArray(1, 1, "single", "V", "omni", carrier_hz, **here)
    return {
        "carrier_frequency": carrier_hz,
        "ut_array": element,
        "bs_array": element,
        "direction": "downlink",
        "spec_version": table_version,
        **here,
    }


def links(tensor: Any) -> NDArray[np.float64]:
    """``[links, 1, 1, ...]`` of Sionna to ``[links, ...]``."""
    return tensor.numpy()[:, 0, 0]


def torch_seed(stream: np.random.SeedSequence) -> int:
    """A seed for torch's generators."""
    return int(stream.generate_state(1, np.uint64)[0])


class Remembered:
    """``scenario.get_param`` that gives a parameter of the tables again, as long as all links are in one ``state``,
    instead of making it anew for each link of each topology."""

    def __init__(self, scenario: Any) -> None:
        self.make = scenario.get_param
        self.state: bool | None = None
        self.known: dict[tuple[str, bool], Any] = {}
        scenario.get_param = self

    def __call__(self, name: str) -> Any:
        if self.state is None:
            return self.make(name)
        key = (name, self.state)
        if key not in self.known:
            self.known[key] = self.make(name)
        return self.known[key]


def set_topologies(
    spec: ScenarioSpec, drops: Drops, streams: Streams, scenarios: dict[str, Any], generator: Any
) -> NDArray[np.bool_]:
    """Place the links, one user and one base station each, and settle who sees whom; returns ``los`` ``[links]``.

    Args:
        spec: ``state`` is read.
        drops: The links.
        streams: The random streams of the block.
        scenarios: By band, the anchor first.
        generator: Sionna's random generator.
    """
    import torch

    zeros = torch.zeros(BLOCK_SIZE, 1, 3, dtype=torch.float64)
    nobody = torch.zeros(BLOCK_SIZE, 1, dtype=torch.bool)
    anchor = next(iter(scenarios.values()))
    place: dict[str, Any] = {
        "ut_loc": torch.from_numpy(drops.position)[:, None],
        "bs_loc": torch.from_numpy(drops.bs_position).expand(BLOCK_SIZE, 1, 3),
        "ut_orientations": zeros,
        "bs_orientations": zeros,
        "ut_velocities": torch.from_numpy(drops.velocity)[:, None],
        # Outdoor scenarios have their users outdoors; in offices and halls there is no outside.
        "in_state": ~nobody if anchor.scenario_kind in ("inh", "inf") else nobody,
    }
    if anchor.scenario_kind == "rma":
        place["in_car"] = nobody  # Sionna otherwise puts every rural user into a car, with its penetration loss

    def settle(scenario: Any, los: NDArray[np.bool_]) -> None:
        # Each band draws the same environment heights (UMa, users above 13 m): they belong to the place.
        generator.manual_seed(torch_seed(streams.environment))
        if isinstance(scenario.get_param, Remembered):
            scenario.get_param.state = bool(los[0]) if los.all() or not los.any() else None
        # Copies: a scenario keeps what it is given, and writes the next topology over it.
        scenario.set_topology(
            **{name: value.clone(memory_format=torch.contiguous_format) for name, value in place.items()},
            los=torch.tensor(los)[:, None, None],
        )

    los = np.full(BLOCK_SIZE, spec.state == "los")
    settle(anchor, los)
    if spec.state == "random":
        # Table 7.4.2-1; a probability of the place, not of the carrier, so one draw serves all bands.
        probability = anchor.los_probability.numpy().reshape(BLOCK_SIZE)
        los = np.random.default_rng(streams.los).random(BLOCK_SIZE) < probability
        settle(anchor, los)
    for scenario in list(scenarios.values())[1:]:
        settle(scenario, los)
    return los
