"""MLP for beam prediction, distance and path loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from channelbench.card import Card
from channelbench.models._small import SmallNetwork
from channelbench.presets import preset_of
from channelbench.tasks.link.observations import BeamObservation, LinkObservation, ScalarObservation

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
        notes=(
            "The papers fix the parameter count alone. Ours: three hidden layers; features are shares of power by "
            "delay and by angle, counted from the strongest path, for BF also the complex delay–antenna map; BF scores "
            "count from the strongest path's beam; DE and PE correct a least-squares curve in the received power "
            "(noise subtracted) and the strongest path's share. Narrower, and without its dropout of 0.1, in the quick "
            "preset."
        ),
    )
    observes = (
        BeamObservation,
        ScalarObservation,
    )
    sizes: ClassVar[dict[str, dict[type[LinkObservation], int]]] = {
        "quick": {BeamObservation: 128, ScalarObservation: 128},
        "full": {BeamObservation: 533, ScalarObservation: 784},
    }

    def build(self, example: BeamObservation | ScalarObservation, preset: str) -> nn.Module:
        from channelbench.models.networks.mlp import BeamMLP, ScalarMLP

        _, _, subcarriers, antennas = example.h.shape
        width, dropout = self.width(example, preset), 0.0 if preset_of(preset).is_narrow else 0.1
        if isinstance(example, BeamObservation):
            return BeamMLP(subcarriers, antennas, example.grid.num_beams, width=width, dropout=dropout)
        return ScalarMLP(subcarriers, antennas, example.loss, width=width, dropout=dropout)
