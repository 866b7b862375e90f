"""Cross-stitch networks: all tasks together, and each alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from channelbench.card import Card
from channelbench.contracts import FitContext, FitData
from channelbench.models._fitted import NetworkMethod, OneByOne
from channelbench.presets import preset_of
from channelbench.tasks.link.observations import BeamObservation, ChannelObservation, ScalarObservation

if TYPE_CHECKING:
    from channelbench.models.networks.fitting import Fitted

__all__ = ["CrossStitch", "CrossStitchSingle"]

QUICK, FULL = {"width": 16, "fold": 4}, {"width": 32, "fold": 8}
"""Channels of a tower, and subcarriers that make up a pixel of BF, DE and PE."""


class CrossStitch(NetworkMethod):
    """One residual tower per task, mixed after every stage; see ``networks.cross_stitch``."""

    card = Card(
        name="cross_stitch",
        title="Cross-stitch",
        description="A residual tower per task; after each stage every tower goes on with a learned mix of them all.",
        reference="Misra et al., Cross-stitch networks for multi-task learning, CVPR 2016; LLM4WM, section V-A2",
        family="multi-task",
        notes=(
            "The papers fix residual towers, the mixture after each stage and its start near the identity (.9 of a "
            "tower's own activations). Ours, for want of a published size: four stages of one residual block of two "
            "3×3 convolutions, 32 channels a tower (16 in the quick preset), no normalisation layers, one mixture for "
            "all channels, a 3×3 convolution into the towers and a head per task. What the towers correct is what the "
            "other small networks correct: a trained linear resampling (CE, CP, PF), the strongest path's beam (BF), a "
            "curve in the received power (DE, PE). Images are slots × subcarriers in patches of 2 × 4, or subcarriers "
            "× antennas in patches of 8 × 1 (4 × 1 in the quick preset). Task losses are weighted by DWA over epochs, "
            "of which the quick preset has less than two: there all weights stay 1."
        ),
    )
    observes = (ChannelObservation, BeamObservation, ScalarObservation)
    joint = True

    def fit(self, data: FitData, context: FitContext) -> None:
        self._fitted |= self._fit_together(data, context)

    def _fit_together(self, data: FitData, context: FitContext) -> dict[str, Fitted]:
        from channelbench.models.networks.cross_stitch import CrossStitchNetwork
        from channelbench.models.networks.joint import fit_jointly

        size = QUICK if preset_of(context.preset).is_narrow else FULL
        return fit_jointly(
            lambda examples: CrossStitchNetwork(examples, **size),
            data,
            context=context,
            identity={"method": self.card.name},
        )


class CrossStitchSingle(OneByOne, CrossStitch):
    """The same network fitted to each task alone: one tower and nothing to mix."""

    card = Card(
        name="cross_stitch(s)",
        title="Cross-stitch(s)",
        description="The residual tower of the cross-stitch network, fitted to each task alone.",
        reference=CrossStitch.card.reference,
        family="multi-task",
        notes="One tower, its way in and its head, as in the cross-stitch network: nothing is mixed.",
    )
