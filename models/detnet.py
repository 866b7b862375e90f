"""DetNet for detection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from channelbench.card import Card
from channelbench.models._group_network import GroupNetworkMethod
from channelbench.presets import preset_of
from channelbench.tasks.multiuser.observations import DetectionObservation

if TYPE_CHECKING:
    from torch import nn

__all__ = ["DetNet"]


class DetNet(GroupNetworkMethod):
    """Unfolded projected gradient descent; see ``networks.detnet``."""

    card = Card(
        name="detnet",
        title="DetNet",
        description="Thirty unfolded steps of projected gradient descent, the projection learned.",
        reference="Samuel, Diskin and Wiesel 2019, Learning to detect",
        family="small",
        notes=(
            "From the paper: 30 layers on real coordinates, each a gradient step and a small network that chooses a "
            "level softly and hands on a memory; nine tenths of each layer are the one before; loss Σ log(l)·MSE. "
            "Ours: weights are shared by all coordinates, so that any number of users goes without padding; gradients "
            "are divided by diag(HᵀH) + σ²; each coordinate also sees its own SNR and the number of users; the "
            "network corrects the distances from the levels, so that training begins at gradient descent with a soft "
            "projection. The quick preset has 10 layers, of which each keeps 0.9³ of the one before. Error variances "
            "are the mean squared errors on the validation split by SNR, in five bins of 3 dB."
        ),
    )
    observes = (DetectionObservation,)

    def build(self, example: DetectionObservation, preset: str) -> nn.Module:
        from channelbench.models.networks.detnet import PUBLISHED_LAYERS
        from channelbench.models.networks.detnet import DetNet as Network

        narrow = preset_of(preset).is_narrow
        return Network(example.modulation, layers=10 if narrow else PUBLISHED_LAYERS, width=32 if narrow else 64)
