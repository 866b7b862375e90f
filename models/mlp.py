"""MLP for beam prediction, distance and path loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from channelbench.card import Card
from channelbench.contracts import Observation
from channelbench.models._small import SmallNetwork

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MLP"]


class MLP(SmallNetwork):
    """Three hidden layers; see ``networks.mlp``."""

    card = Card(
        name="mlp",
        title="MLP",
        description="Three hidden layers on what the channel looks like from its strongest path.",
        reference="LLM4WM, section V-A2; 1.29 M parameters (Table VII)",
        family="small",
        tasks=("bf", "de", "pe"),
        notes=(
            "The papers fix the parameter count alone. Ours: three hidden layers; features are shares of power by "
            "delay and by angle, counted from the strongest path, for BF also the complex delay–antenna map; BF scores "
            "count from the strongest path's beam; DE and PE correct a least-squares curve in the received power "
            "(noise subtracted) and the strongest path's share. Narrower in the quick preset."
        ),
    )
    sizes: ClassVar[dict[str, dict[str, int]]] = {
        "quick": {"bf": 128, "de": 128, "pe": 128},
        "full": {"bf": 533, "de": 784, "pe": 784},
    }

    def build(self, task: str, example: Observation, preset: str) -> nn.Module:
        from channelbench.models.networks.mlp import BeamMLP, ScalarMLP

        _, _, subcarriers, antennas = example.h.shape
        width, dropout = self.width(task, preset), 0.1 if preset in ("standard", "paper") else 0.0
        if task == "bf":
            return BeamMLP(subcarriers, antennas, example.grid.num_beams, width=width, dropout=dropout)
        objective = "absolute" if task == "de" else "squared"
        return ScalarMLP(subcarriers, antennas, objective, width=width, dropout=dropout)  # type: ignore[arg-type]
