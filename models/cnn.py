"""CNN for channel reconstruction and beam prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from channelbench.card import Card
from channelbench.models._small import SmallNetwork
from channelbench.presets import preset_of
from channelbench.tasks.link.observations import BeamObservation, ChannelObservation, LinkObservation

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CNN"]


class CNN(SmallNetwork):
    """Ten 3×3 convolutions; see ``networks.cnn``."""

    card = Card(
        name="cnn",
        title="CNN",
        description="Ten 3×3 convolutions over the time–frequency image of all antennas.",
        reference="LLM4WM, section V-A2 after Safari et al.; 2.14 M parameters (Table VII)",
        family="small",
        notes=(
            "The papers fix ten convolutions of 3×3 and the parameter count. Ours: samples are divided by their RMS, "
            "mean angle and phase are taken out and put back, and the part that is constant up to the mean Doppler is "
            "continued by itself. What the convolutions correct is a trained linear resampling of the rest onto the "
            "whole grid that starts as interpolation; after a quick training it does most of the work. Neighbouring "
            "points (1 × 4, in the larger presets 2 × 4) are folded into channels. Groups of eight antennas are "
            "samples of their own. BF has one slot: its image is subcarriers × antennas, its scores count "
            "from the strongest path's beam. Narrower in the quick preset."
        ),
    )
    observes = (
        ChannelObservation,
        BeamObservation,
    )
    sizes: ClassVar[dict[str, dict[type[LinkObservation], int]]] = {
        "quick": {ChannelObservation: 32, BeamObservation: 32},
        "full": {ChannelObservation: 156, BeamObservation: 150},
    }

    def build(self, example: ChannelObservation | BeamObservation, preset: str) -> nn.Module:
        from channelbench.models.networks.cnn import BeamCNN, ReconstructionCNN
        from channelbench.models.networks.reconstruction import ReconstructionShape

        width = self.width(example, preset)
        if isinstance(example, BeamObservation):
            return BeamCNN(example.h.shape[-1], example.grid.num_beams, width=width, fold=4)
        # A finer image where it is cheap: a narrow network makes more of it than a wide one needs.
        patch = (1, 4) if preset_of(preset).is_narrow else (2, 4)
        return ReconstructionCNN(ReconstructionShape.of(example.grid), width=width, patch=patch)
