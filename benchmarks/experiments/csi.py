"""Channels that are predicted first, and then precoded for: what a prediction is worth to a transmitter."""

from __future__ import annotations

from pydantic import Field

from channelbench.card import Card
from channelbench.experiment import Experiment, Plan, Stage
from channelbench.spec import ScenarioSpec

__all__ = ["CSI"]


class CSI(Experiment):
    """One stage predicts channels and keeps what it predicts; ``precoding`` designs beams for that, and scores them on
    the channels as they turn out to be."""

    card = Card(
        name="csi",
        description="Channels are predicted, then precoded for: rates on the channels as they turn out to be.",
        reference="the protocol's own",
        family="experiment",
    )

    predicted: tuple[str, ...] = Field(min_length=1)
    """Names of the tasks of the first stage."""
    precoded: tuple[str, ...] = Field(min_length=1)
    """Of the second."""

    def plan(self, spec: ScenarioSpec, seed: int) -> Plan:
        return Plan(
            stages=(
                Stage(tasks=self.predicted, keeps_predictions=True),
                Stage(folder="precoding", tasks=self.precoded, reads="", setting="designed for these channels"),
            )
        )
