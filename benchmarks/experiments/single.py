"""The plain run: fitted and scored on one dataset."""

from __future__ import annotations

from channelbench.card import Card
from channelbench.experiment import Experiment, Plan, Stage
from channelbench.spec import ScenarioSpec

__all__ = ["Single"]


class Single(Experiment):
    """One stage, on the dataset that the run is given."""

    card = Card(
        name="single",
        description="Every method fitted on the training split of one dataset and scored on its test split.",
        reference="the protocol's own",
        family="experiment",
    )

    def plan(self, spec: ScenarioSpec, seed: int) -> Plan:
        return Plan(stages=(Stage(),))
