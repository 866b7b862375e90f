"""LLM4CP: a pretrained language model fine-tuned in its layer norms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from channelbench.card import Card
from channelbench.contracts import FitContext, FitData
from channelbench.models._language import LanguageMethod, trunk_of
from channelbench.presets import preset_of
from channelbench.tasks.link.observations import BeamObservation, ChannelObservation, LinkObservation, ScalarObservation

if TYPE_CHECKING:
    from torch import nn

    from channelbench.models.networks.backbones import Backbone

__all__ = ["LLM4CP"]


class LLM4CP(LanguageMethod):
    """One network per task; see ``networks.llm4cp``."""

    card = Card(
        name="llm4cp",
        title="LLM4CP",
        description="A language model over one antenna's patches of slots, trained in its layer norms and positions.",
        reference="Liu et al. 2024 (LLM4CP); LLM4WM, section V-A2 and Table IV, which fits it to each task",
        family="llm",
        extra="llm",
        notes=(
            "As published: delay and frequency branches with squeeze-excitation blocks, patches of four slots, the "
            "language model's first layers frozen but for layer norms and position embedding, one antenna at a time. "
            "The public code normalises by the mean and deviation of the whole batch, which makes a prediction depend "
            "on its neighbours: that is not copied. Ours: the slots of a patch are channels of the convolutions and "
            "then one token; the network corrects the aligned linear start that all our networks share; in BF, DE and "
            "PE, which have one slot, antennas take the place of slots, and one linear answers, which is given what "
            "can be read without the network too: the spatial covariance (BF), power profiles, power and noise (DE, "
            "PE). In CE, CP and PF a training step takes one antenna of each sample, so of as many samples as other "
            "rows see it sees one antenna's part. 16 channels and three layers of the language model instead of 64 and "
            "six in the quick preset."
        ),
    )
    observes = (ChannelObservation, BeamObservation, ScalarObservation)

    def fit(self, data: FitData, context: FitContext) -> None:
        from channelbench.models.networks.fitting import at_task, fit_network

        for task, splits in data.items():
            identity = {**self.identity(context), "task": task}

            def build(example: LinkObservation, identity: dict[str, Any] = identity) -> nn.Module:
                module = self.build(example, context)
                # A folder may hold other weights the next time: what was loaded is known only now.
                identity["weights"] = trunk_of(module).description
                return module

            fitted = fit_network(build, splits, context=at_task(context, task), identity=identity)
            self._fitted[task], self._weights = fitted, identity["weights"]

    def build(self, example: LinkObservation, context: FitContext) -> nn.Module:
        """The untrained network for a task, its shapes and loss taken from an observation of one sample."""
        from channelbench.models.networks.trunks import build_on_trunk

        channels = 16 if preset_of(context.preset).is_narrow else 64
        return build_on_trunk(
            self.trunk,
            lambda trunk: _network(example, trunk, channels),
            context=context,
            trainable="layernorm",
        )


def _network(example: LinkObservation, trunk: Backbone, channels: int) -> nn.Module:
    from channelbench.models.networks.llm4cp import BeamLLM4CP, ReconstructionLLM4CP, ScalarLLM4CP
    from channelbench.models.networks.reconstruction import ReconstructionShape

    if isinstance(example, ChannelObservation):
        return ReconstructionLLM4CP(ReconstructionShape.of(example.grid), trunk, channels=channels)
    _, _, subcarriers, antennas = example.h.shape
    if isinstance(example, BeamObservation):
        return BeamLLM4CP(subcarriers, antennas, example.grid.num_beams, trunk, channels=channels)
    return ScalarLLM4CP(subcarriers, antennas, example.loss, trunk, channels=channels)
