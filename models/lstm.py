"""LSTM for channel reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from channelbench.card import Card
from channelbench.models._small import SmallNetwork
from channelbench.tasks.link.observations import ChannelObservation, LinkObservation

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LSTM"]


class LSTM(SmallNetwork):
    """Four LSTM layers over slots; see ``networks.lstm``."""

    card = Card(
        name="lstm",
        title="LSTM",
        description="Four LSTM layers over slots reconstruct channels (estimation, time and frequency prediction).",
        reference="LLM4WM, section V-A2; 1.17 M parameters (Table VII)",
        family="small",
        notes=(
            "The papers fix four layers and the parameter count. Ours: samples are divided by their RMS, mean "
            "angle and phase are taken out and put back, and the part that is constant up to the mean Doppler is "
            "continued by itself. What the layers correct is a trained linear resampling of the rest over slots, "
            "subcarriers and antennas that starts as interpolation; after a quick training it does most of the "
            "work. Groups of eight antennas are samples of their own. Narrower in the quick preset."
        ),
    )
    observes = (ChannelObservation,)
    sizes: ClassVar[dict[str, dict[type[LinkObservation], int]]] = {
        "quick": {ChannelObservation: 64},
        "full": {ChannelObservation: 131},
    }

    cell: ClassVar[Literal["LSTM", "GRU", "RNN"]] = "LSTM"

    def build(self, example: ChannelObservation, preset: str) -> nn.Module:
        from channelbench.models.networks.lstm import ReconstructionRecurrent
        from channelbench.models.networks.reconstruction import ReconstructionShape

        width = self.width(example, preset)
        return ReconstructionRecurrent(ReconstructionShape.of(example.grid), width=width, cell=self.cell)
