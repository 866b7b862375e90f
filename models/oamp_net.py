"""OAMP-Net2 for detection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from channelbench.card import Card
from channelbench.models._group_network import GroupNetworkMethod
from channelbench.tasks.multiuser.observations import DetectionObservation

if TYPE_CHECKING:
    from torch import nn

__all__ = ["OAMPNet"]


class OAMPNet(GroupNetworkMethod):
    """Unfolded orthogonal AMP; see ``networks.oamp_net``."""

    card = Card(
        name="oamp_net",
        title="OAMP-Net2",
        description="Ten unfolded steps of orthogonal approximate message passing, four trained numbers in each.",
        reference="He, Wen, Jin and Li 2020, Model-driven deep learning for MIMO detection",
        family="small",
        notes=(
            "As published: linear MMSE filters scaled to tr(WH) = K, posterior means over the constellation, and four "
            "scalars a layer, which begin as plain OAMP. Ours: ten layers, v² as the mean over the 8 uses of a case, a "
            "floor of 1e-4 under the variances, filters on the modes of HᴴH. Decisions and likelihood ratios are those "
            "of the last layer's linear estimate and its own variance."
        ),
    )
    observes = (DetectionObservation,)

    def build(self, example: DetectionObservation, preset: str) -> nn.Module:
        from channelbench.models.networks.oamp_net import OAMPNet as Network

        return Network(example.modulation)
