"""Transformer for channel reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from channelbench.card import Card
from channelbench.models._small import SmallNetwork
from channelbench.tasks.link.observations import ChannelObservation, LinkObservation

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Transformer"]


class Transformer(SmallNetwork):
    """Three encoder and two decoder layers over slots; see ``networks.transformer``."""

    card = Card(
        name="transformer",
        title="Transformer",
        description="Three encoder and two decoder layers over slots answer for all wanted slots at once.",
        reference="Jiang, Cui, Ng, Dai, IEEE JSAC 2022, as compared in LLM4WM, section V-A2",
        family="small",
        notes=(
            "The papers fix three encoders, two decoders and parallel prediction: the decoder is given the last twelve "
            "observed slots and four zeros, and all wanted slots come out in one pass. Ours: the widths (128 in the "
            "quick preset, 256 in the others; LLM4WM does not give them), eight heads, feed-forward networks four "
            "times as wide, pre-norm, GELU, fixed sinusoidal positions, no causal mask; for CE and PF, where no slot "
            "is unknown, the decoder is given the slots of the linear start; other numbers of slots keep three known "
            "ones to an unknown. Samples are divided by their RMS, mean angle and phase are taken out and put back, "
            "and the part that is constant up to the mean Doppler is continued by itself. What the layers correct is a "
            "trained linear resampling of the rest over slots, subcarriers and antennas that starts as interpolation, "
            "by answers that are scaled by 0.3. "
            "Groups of eight antennas are samples of their own."
        ),
    )
    observes = (ChannelObservation,)
    sizes: ClassVar[dict[str, dict[type[LinkObservation], int]]] = {
        "quick": {ChannelObservation: 128},
        "full": {ChannelObservation: 256},
    }

    def build(self, example: ChannelObservation, preset: str) -> nn.Module:
        from channelbench.models.networks.reconstruction import ReconstructionShape
        from channelbench.models.networks.transformer import ReconstructionTransformer

        return ReconstructionTransformer(ReconstructionShape.of(example.grid), width=self.width(example, preset))
