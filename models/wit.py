"""WiT for distance and path loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from channelbench.card import Card
from channelbench.models._small import SmallNetwork
from channelbench.presets import preset_of
from channelbench.tasks.link.observations import LinkObservation, ScalarObservation

if TYPE_CHECKING:
    from torch import nn

__all__ = ["WiT"]


class WiT(SmallNetwork):
    """Six encoder layers over subcarriers; see ``networks.wit``."""

    card = Card(
        name="wit",
        title="WiT",
        description="Six transformer layers over the subcarriers of one slot read distance and path loss.",
        reference="Salihu et al., 2022, as compared in LLM4WM, section V-A2; 19.19 M parameters (Table VII)",
        family="small",
        notes=(
            "The papers fix subcarriers as tokens and the parameter count, which six layers of width 512 with eight "
            "heads and a feed-forward width of 2048 meet, with a head 512 → 512 → 1 on the mean token. That is the "
            "paper preset; on two CPU cores a step of it takes seconds, so the standard preset is 192 wide and the "
            "quick one 64. Ours: tokens of the channel turned so that its strongest path has no delay, angle or phase, "
            "fixed sinusoidal positions, pre-norm; power, noise and the shares of power by delay and angle join the "
            "mean token through one linear layer (.2 % of the parameters); the answer corrects a least-squares curve "
            "in the received power (noise subtracted) and the strongest path's share. A dropout of 0.1 but in the "
            "quick preset."
        ),
    )
    observes = (ScalarObservation,)
    sizes: ClassVar[dict[str, dict[type[LinkObservation], int]]] = {
        "narrow": {ScalarObservation: 64},
        "medium": {ScalarObservation: 192},
        "published": {ScalarObservation: 512},
    }

    def build(self, example: ScalarObservation, preset: str) -> nn.Module:
        from channelbench.models.networks.wit import WiT as Network

        _, _, subcarriers, antennas = example.h.shape
        dropout = 0.0 if preset_of(preset).is_narrow else 0.1
        return Network(example.loss, subcarriers, antennas, width=self.width(example, preset), dropout=dropout)

    def width(self, example: LinkObservation, preset: str) -> int:
        return self.sizes[preset_of(preset).width][ScalarObservation]
