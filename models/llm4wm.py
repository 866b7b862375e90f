"""LLM4WM: one frozen language model for six channel tasks, and the same on one task alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import FitContext, FitData
from channelbench.models._fitted import OneByOne
from channelbench.models._language import TRUNK_OPTIONS, LanguageMethod, Option, trunk_of
from channelbench.presets import preset_of
from channelbench.tasks.link.observations import BeamObservation, ChannelObservation, LinkObservation, ScalarObservation

if TYPE_CHECKING:
    from channelbench.models.networks.llm4wm import LLM4WMNetwork, Tuning

__all__ = ["LLM4WM", "LLM4WMSingle"]

EXPERTS = {"tune": "experts", "rank": 8, "experts": 8}
"""What the method has unless an option says otherwise."""

ABLATIONS: Mapping[str, Option] = {
    "no-adapter-in": Option(
        title="no input adapter",
        notes="Ablation: no residual blocks before the trunk; two linears fit the shapes.",
        attributes={"adapter_in": False},
    ),
    "no-adapter-out": Option(
        title="no output adapter",
        notes="Ablation: no residual blocks after the trunk; two linears fit the shapes.",
        attributes={"adapter_out": False},
    ),
    "no-adapter": Option(
        title="no adapters",
        notes="Ablation: no residual blocks on either side of the trunk; two linears each fit the shapes.",
        attributes={"adapter_in": False, "adapter_out": False},
    ),
    "frozen": Option(
        title="frozen trunk",
        notes="Ablation: the trunk gets no MoE-LoRA; the second stage trains heads and linear starts alone.",
        attributes={**EXPERTS, "tune": "nothing"},
    ),
    "lora": Option(
        title="plain LoRA",
        notes="Ablation: one LoRA for all tasks, of the rank of all experts together, takes the place of MoE-LoRA.",
        attributes={"tune": "lora"},
    ),
    "raw": Option(
        title="raw input",
        notes=(
            "Ablation: nothing is aligned and nothing known beforehand. The network sees the normalised channel as it "
            "is, zero where there is no pilot, and answers the whole channel, the scores of beams, or the deviation "
            "from the mean. BF sees the covariance of the unturned channel; DE and PE keep their power features."
        ),
        attributes={"aligned": False},
    ),
}

NOTES = (
    "As published: a token per slot (CE, CP, PF) or the angle domain (BF, DE, PE); adapters of two linears, four "
    "residual blocks (so many fit the published counts) and GELU before and after the trunk; a frozen trunk with "
    "MoE-LoRA of eight experts of rank 8 on its feed-forward linears and a softmax gate per task; three-layer "
    "convolutional and perceptron heads; two stages (adapters and heads, then MoE-LoRA and heads); NMSE, cross-entropy "
    "and dynamic weight average. Ours, because the paper does not say or because it serves: the network corrects the "
    "aligned linear start that all our networks share, trained in both stages, and in DE and PE the least-squares "
    "curve (absolute and squared error in its unit); in BF, DE and PE the delay domain takes the place of frequency, "
    "and tokens are standardised by training samples; in BF the rows of the spatial covariance are tokens too; the "
    "perceptron is given beside the features what it reads from (BF the covariance, DE and PE power profiles, power "
    "and noise); the convolutional head fits the shape first and convolves after, and its answers are scaled by 0.3; "
    "eight tokens, in the paper preset sixteen; half of the steps for each stage; residual blocks and heads start at "
    "zero. The weight average takes its means over epochs, or over a sixth of a stage where that is less (10 steps in "
    "the quick preset, 66 in standard), and begins anew with the second stage; LLM4WM(s) has nothing to weigh. Three "
    "layers of the language model, two residual blocks and narrower heads in the quick preset."
)


class LLM4WM(LanguageMethod):
    """All tasks on one trunk; see ``networks.llm4wm``."""

    card = Card(
        name="llm4wm",
        title="LLM4WM",
        description="Six tasks on one frozen language model, with adapters per task and a mixture of LoRA experts.",
        reference="Liu et al. 2025 (LLM4WM), sections IV and V, Tables III and IV",
        family="llm",
        extra="llm",
        notes=NOTES,
    )
    observes = (ChannelObservation, BeamObservation, ScalarObservation)
    joint = True
    variants: ClassVar[tuple[str, ...]] = (*TRUNK_OPTIONS, *ABLATIONS, "rankN", "expertsN")
    adapter_in: ClassVar[bool] = True
    adapter_out: ClassVar[bool] = True
    tune: ClassVar[Tuning] = "experts"
    rank: ClassVar[int] = 8
    experts: ClassVar[int] = 8
    aligned: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[str, dict[str, NDArray[np.float32]]] = {}

    @classmethod
    def option(cls, name: str) -> Option | None:
        if number := re.fullmatch(r"(rank|experts)([1-9]\d{0,2})", name):
            what, value = number[1], int(number[2])
            words = f"rank {value}" if what == "rank" else f"{value} experts"
            return Option(title=words, notes=f"MoE-LoRA has {words}.", attributes={what: value})
        if name in ("none", "scratch"):
            # They have no experts: by setting the same attributes they exclude the options about these.
            control = TRUNK_OPTIONS[name]
            return replace(control, attributes={**EXPERTS, **control.attributes})
        return TRUNK_OPTIONS.get(name) or ABLATIONS.get(name)

    def fit(self, data: FitData, context: FitContext) -> None:
        from channelbench.models.networks.joint import fit_jointly
        from channelbench.models.networks.llm4wm import LEAST_MEANS, stages

        identity = self.identity(context)

        def build(examples: Mapping[str, LinkObservation]) -> LLM4WMNetwork:
            network = self.build(examples, context)
            identity["weights"] = trunk_of(network).description
            self._before |= _gates(network)
            return network

        self._fitted |= fit_jointly(
            build, data, context=context, identity=identity, stages=stages(), least_means=LEAST_MEANS
        )
        self._weights = identity["weights"]

    def build(self, examples: Mapping[str, LinkObservation], context: FitContext) -> LLM4WMNetwork:
        """The untrained network for tasks whose observations look like ``examples``."""
        from channelbench.models.networks.llm4wm import LLM4WMNetwork, LLM4WMSizes
        from channelbench.models.networks.trunks import build_on_trunk

        preset = preset_of(context.preset)
        sizes = LLM4WMSizes(
            tokens=16 if preset.width == "published" else 8,
            blocks=2 if preset.is_narrow else 4,
            image_width={"narrow": 8, "medium": 16, "published": 32}[preset.width],
            vector_width=256 if preset.is_narrow else 768,
            experts=self.experts,
            rank=self.rank,
            adapter_in=self.adapter_in,
            adapter_out=self.adapter_out,
            aligned=self.aligned,
        )
        network = build_on_trunk(
            self.trunk,
            lambda trunk: LLM4WMNetwork(examples, trunk, sizes, tune=self.tune, seed=context.seed),
            context=context,
        )
        assert isinstance(network, LLM4WMNetwork)
        return network

    def artefacts(self, task: str) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        """``experts``: the weights with which the gate mixes the experts for a task, before and after training, as
        ``initial`` and ``final`` ``[layers, experts]`` float32, and the names of the ``layers``; nothing without
        MoE-LoRA."""
        after = _gates(cast("LLM4WMNetwork", self._of(task).module.network)).get(task, {})
        if not after:
            return {}
        before = self._before[task]
        return {
            "experts": {
                "layers": np.array(list(after)),
                "initial": np.stack([before[layer] for layer in after]),
                "final": np.stack(list(after.values())),
            }
        }


def _gates(network: LLM4WMNetwork) -> dict[str, dict[str, NDArray[np.float32]]]:
    """The weights of the experts, ``{task: {layer: [experts]}}``; no layers without MoE-LoRA."""
    layers = network.expert_weights()
    return {
        task: {layer: weights[row].copy() for layer, weights in layers.items()}
        for row, task in enumerate(network.tasks)
    }


class LLM4WMSingle(OneByOne, LLM4WM):
    """LLM4WM on one task at a time: the gate has one task to choose for."""

    card = Card(
        name="llm4wm(s)",
        title="LLM4WM(s)",
        description="LLM4WM fitted to each task alone.",
        reference="Liu et al. 2025 (LLM4WM), Table IV and Fig. 5",
        family="llm",
        extra="llm",
        notes=NOTES,
    )
