"""The aligned start that all networks correct, without any network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from channelbench.card import Card
from channelbench.contracts import FitContext, FitData
from channelbench.models._fitted import NetworkMethod
from channelbench.tasks.link.observations import (
    BeamObservation,
    ChannelObservation,
    LinkObservation,
    ScalarObservation,
)
from channelbench.tasks.multiuser.observations import DetectionObservation, GroupObservation, PrecodingObservation

if TYPE_CHECKING:
    from torch import nn

__all__ = ["AlignedStart"]


class AlignedStart(NetworkMethod):
    """The frame of ``networks.reconstruction`` or ``networks.sensing`` alone; see ``networks.start``."""

    card = Card(
        name="start",
        title="Aligned start",
        description="What every network here corrects, without a network: a trained linear start, or a curve.",
        reference="the protocol's own",
        family="reference",
        notes=(
            "The frame that all networks stand in, its network always answering 0, fitted on the common training path: "
            "three resampling matrices that begin as linear interpolation, after mean angle, Doppler and phase are "
            "taken out (CE, CP, PF); the strongest path's beam, with one trained sharpness (BF); a least-squares curve "
            "in the received power and the strongest path's share, with nothing to train (DE, PE); regularised zero "
            "forcing (PRE) and LMMSE symbols (DET). What a network gains is its difference to this row."
        ),
    )
    observes = (ChannelObservation, BeamObservation, ScalarObservation, PrecodingObservation, DetectionObservation)

    def fit(self, data: FitData, context: FitContext) -> None:
        from channelbench.models.networks.fitting import at_task, fit_network
        from channelbench.models.networks.groups import fit_groups
        from channelbench.models.networks.start import GroupStart

        for task, splits in data.items():
            here, identity = at_task(context, task), {"method": self.card.name, "task": task}
            if issubclass(splits[0].task.observation, GroupObservation):
                self._fitted[task] = fit_groups(lambda _: GroupStart(), splits, context=here, identity=identity)
            else:
                self._fitted[task] = fit_network(self.build, splits, context=here, identity=identity)

    def build(self, example: LinkObservation) -> nn.Module:
        """The untrained start for a task, its shapes and loss taken from an observation of one sample."""
        from channelbench.models.networks.joint import task_frame
        from channelbench.models.networks.start import StartNetwork

        return StartNetwork(task_frame(example))

    def predict_start(self, task: str, observation: LinkObservation) -> Any:
        """None: there is nothing to tell apart from it."""
        return None
