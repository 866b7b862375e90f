"""CNN for precoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from channelbench.card import Card
from channelbench.models._group_network import GroupNetworkMethod
from channelbench.presets import preset_of
from channelbench.tasks.multiuser.observations import PrecodingObservation

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CNNPrecoder"]


class CNNPrecoder(GroupNetworkMethod):
    """Powers and λ of the optimal structure by two convolutions; see ``networks.precoding_cnn``."""

    card = Card(
        name="cnn_precoder",
        title="CNN precoder",
        description="Two 3×3 convolutions over users × antennas say p and λ of the optimal structure of beams.",
        reference="Xia et al. 2020, A deep learning framework for optimization of MISO downlink beamforming",
        family="small",
        notes=(
            "From the paper: two convolutions of 8 kernels with batch normalisation, zeros for users who are not there "
            "(8 rows, or as many as a group has), labels of WMMSE after 20 iterations, then −sum rate. Ours: the first "
            "0.3 of the steps are supervised, by the mean squared error of the shares of P; labels of the max-min "
            "optimum and −least rate where that is the task; p and λ are softmaxes, so that both sum to P; a hidden "
            "dense layer; users in the order of their channels' power, real at the first antenna; power and noise "
            "enter as log2(1 + P‖h‖²/σ²) of each user. What it corrects is p = λ = P/K, regularised zero forcing."
        ),
    )
    observes = (PrecodingObservation,)
    supervised: ClassVar[float] = 0.3

    def build(self, example: PrecodingObservation, preset: str) -> nn.Module:
        from channelbench.models.networks.precoding_cnn import PrecodingCNN

        _, _, users, antennas = example.h.shape
        width = 128 if preset_of(preset).is_narrow else 256
        return PrecodingCNN(antennas, users, width=width, supervised=self.supervised)
