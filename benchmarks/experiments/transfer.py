"""The fits of a run, scored on other datasets as they are and after training on a share of them.

LLM4WM, section V-C (Table V), asks both of a change of scenario and of carrier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from channelbench import registry
from channelbench.card import Card
from channelbench.experiment import Experiment, Plan, PlannedDataset, Stage
from channelbench.spec import ScenarioSpec, defaults, parse_assignments

__all__ = ["Transfer", "target_spec"]

ZERO_SHOT, TRANSFER = "zero-shot", "transfer"
"""Settings, and the names of their folders below a target's."""


class Transfer(Experiment):
    """A run on its own dataset, then two stages for each target: ``<target>/zero-shot`` scores these fits on the
    target's test split, ``<target>/transfer`` those that went on from them on a share of its training split."""

    card = Card(
        name="transfer",
        description="The fits of a run on other datasets: as they are, and after training on a share of their data.",
        reference="LLM4WM, section V-C",
        family="experiment",
    )

    targets: Mapping[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")], Mapping[str, str]] = Field(min_length=1)
    """The targets by name: what differs from the source's spec, as ``--set`` takes it, e.g. ``{"rma-1.9": {"scenario":
    "rma"}, "uma-2.4": {"sub6.carrier_hz": "2.4e9"}}``."""
    share: float = Field(0.1, gt=0, le=1)
    """Share of a target's training and validation splits that a transferred fit sees."""

    def plan(self, spec: ScenarioSpec, seed: int) -> Plan:
        """Raises: RequestError: a target that cannot be made from this source."""
        return Plan(
            stages=(Stage(), *(stage for target in self.targets for stage in self._stages(target))),
            datasets={
                _dataset(target): PlannedDataset(spec=target_spec(spec, overrides))
                for target, overrides in self.targets.items()
            },
        )

    def _stages(self, target: str) -> Iterator[Stage]:
        there = _dataset(target)
        yield Stage(folder=f"{target}/{ZERO_SHOT}", fits="", test=there, setting=ZERO_SHOT)
        yield Stage(
            folder=f"{target}/{TRANSFER}",
            train=there,
            test=there,
            share=self.share,
            start="",
            setting=f"{TRANSFER} {100 * self.share:g} %",
        )


def _dataset(target: str) -> str:
    return f"to-{target}"


def target_spec(source: ScenarioSpec, overrides: Mapping[str, str]) -> ScenarioSpec:
    """The spec of a target: the source's with what differs, another scenario's own geometry, another system's bands.

    Args:
        source: The spec of the dataset that fits come from; its sizes, system and state are the target's too.
        overrides: Dotted fields and values as ``--set`` takes them, and ``scenario``.

    Raises:
        RequestError: a field, value or scenario that does not exist.
    """
    changes: dict[str, Any] = parse_assignments([f"{field}={value}" for field, value in overrides.items()])
    if "scenario" in changes:
        # All of it, where ``replace`` keeps the geometry that a source has been given.
        maker = registry.find("generators", str(changes["scenario"]), source=source.source.name)
        usual = defaults(str(changes["scenario"]), changes.get("system", source.system), source.source.name)
        changes = {field: usual[field] for field in maker.geometry} | changes
    return source.replace(changes)
