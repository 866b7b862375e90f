"""A plain network for detection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from channelbench.card import Card
from channelbench.models._group_network import GroupNetworkMethod
from channelbench.presets import preset_of
from channelbench.tasks.multiuser.observations import DetectionObservation

if TYPE_CHECKING:
    from torch import nn

__all__ = ["DNNDetector"]


class DNNDetector(GroupNetworkMethod):
    """Symbols from (H, y) by three hidden layers; see ``networks.dnn_detector``."""

    card = Card(
        name="dnn_detector",
        title="DNN detector",
        description="A multi-layer perceptron from channels and receptions to symbols, without a formula in it.",
        reference="Multi-task PHY LLM, section V-D",
        family="small",
        notes=(
            "The paper says that it maps channels and receptions to data, and no more. Ours: three hidden layers, the "
            "same at each of the 8 uses, whose channels are the same; H and y are divided by the RMS of H, columns of "
            "users who are not there are zero (8 columns, or as many as a group has), and the SNR comes beside them; "
            "mean squared error. Error variances are the mean squared errors on the validation split by SNR, in five "
            "bins of 3 dB."
        ),
    )
    observes = (DetectionObservation,)

    def build(self, example: DetectionObservation, preset: str) -> nn.Module:
        from channelbench.models.networks.dnn_detector import DNNDetector as Network

        _, antennas, users = example.h.shape
        return Network(antennas, users, width=128 if preset_of(preset).is_narrow else 512)
