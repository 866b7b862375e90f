"""The multi-task physical-layer LLM: precoding, detection and prediction by one network, and on one task alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import FitContext, FitData, Observation
from channelbench.models._fitted import OneByOne
from channelbench.models._language import TRUNK_OPTIONS, LanguageMethod, Option, trunk_of
from channelbench.presets import preset_of
from channelbench.tasks.link.observations import LaterSlotsObservation
from channelbench.tasks.multiuser.observations import DetectionObservation, PrecodingObservation

if TYPE_CHECKING:
    from channelbench.models.networks.phy_llm.adaptation import Storage
    from channelbench.models.networks.phy_llm.fitting import Curves
    from channelbench.models.networks.phy_llm.network import PhyLLMNetwork

__all__ = ["PhyLLM", "PhyLLMSingle"]

OPTIONS: Mapping[str, Option] = {
    "raw": Option(
        title="raw input",
        notes=(
            "As published in what is known beforehand: detectors are given no LMMSE estimate and answer the symbols, "
            "predictors see the normalised channel and answer the whole of it, precoders see channels, power and noise "
            "alone."
        ),
        attributes={"aligned": False},
    ),
    "no-prompt": Option(
        title="no instruction",
        notes="Ablation: no instruction in words goes before the data.",
        attributes={"instructed": False},
    ),
    "loftq": Option(
        title="LoftQ",
        notes=(
            "All matrices of the trunk are stored in four bits (NF4, blocks of 64) and dequantised when they are used; "
            "those of queries and values together with the start of their LoRA, by five alternations (LoftQ)."
        ),
        attributes={"storage": "loftq"},
    ),
    "nf4": Option(
        title="plain four bits",
        notes="All matrices of the trunk are stored in four bits (NF4, blocks of 64); LoRA begins as usual.",
        attributes={"storage": "nf4"},
    ),
    "q4": Option(
        title="uniform four bits",
        notes="All matrices of the trunk are stored in four bits, uniform, in blocks of 64; LoRA begins as usual.",
        attributes={"storage": "q4"},
    ),
    "merged": Option(
        title="merged and quantised again",
        notes="For deployment: after training, LoRA is merged into the trunk and its matrices go into four bits (NF4).",
        attributes={"deployed": True},
    ),
}

NOTES = (
    "As published: an instruction in words before the data, embedded by the language model itself and dropped after "
    "it; a transformer of three blocks over users, two numbers of each of which, scaled to the power, make beams by "
    "the structure of the optimum; perceptrons on the channel and on eight receptions; patches of one antenna's slots "
    "through CSI attention; two-layer decoders; LoRA of rank 8 on queries and values of a frozen trunk; one task at "
    "each step; precoding supervised by 20 iterations of WMMSE before it learns by rates. Ours, because the paper "
    "does not say or because it serves: texts of our own in a long and a short form, of which the quick and standard "
    "presets take the short (at most 16 tokens); users and uses are tokens of their own in detection, and each pair "
    "is read by the decoder, so that any number of users will do; power over noise, strength and the SINR of "
    "regularised zero forcing stand beside a user's channel; shares of power by softmax, so that a decoder that says "
    "0 is regularised zero forcing; it corrects the LMMSE estimate, in units of its error, and beside the tokens the "
    "decoder is given that estimate and error, the posterior mean and spread of each symbol by them, and what a "
    "matched filter finds when all users' posterior means are taken out; in prediction it corrects the aligned linear "
    "start that all our networks share; patches of four slots and four CSI attentions, α = 2r, NMSE for prediction, "
    "of eight antennas of each sample at a step, "
    "30 % of precoding's steps supervised (by max-min optima where fairness is wanted), rates per user as loss; "
    "decisions and LLRs of detection by what the validation split says at each SNR. Every task has as many steps as "
    "in a fit to it alone, in random order; the weights kept have the least mean logarithm of errors and of gaps of "
    "rates to a bound. Three layers of the language model and narrower encoders in the quick preset."
)


class PhyLLM(LanguageMethod):
    """All tasks on one trunk; see ``networks.phy_llm``."""

    card = Card(
        name="phy_llm",
        title="Multi-task PHY LLM",
        description="Precoding, detection and prediction by one frozen language model with LoRA, told in words which.",
        reference="Multi-task PHY LLM, sections III and IV",
        family="llm",
        extra="llm",
        notes=NOTES,
    )
    observes = (PrecodingObservation, DetectionObservation, LaterSlotsObservation)
    joint = True
    variants: ClassVar[tuple[str, ...]] = (*TRUNK_OPTIONS, *OPTIONS)
    aligned: ClassVar[bool] = True
    instructed: ClassVar[bool] = True
    storage: ClassVar[Storage] = "full"
    deployed: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._network_costs: dict[str, Mapping[str, float]] = {}
        self._curves: dict[str, Curves] = {}

    @classmethod
    def option(cls, name: str) -> Option | None:
        if name in ("none", "scratch"):
            # They have no vocabulary, no LoRA and nothing frozen: by setting the same attributes they exclude the
            # options about these.
            control, plain = TRUNK_OPTIONS[name], {"instructed": False, "storage": "full", "deployed": False}
            notes = f"{control.notes} It is told nothing in words."
            return replace(control, notes=notes, attributes={**plain, **control.attributes})
        return TRUNK_OPTIONS.get(name) or OPTIONS.get(name)

    def fit(self, data: FitData, context: FitContext) -> None:
        from channelbench.models.networks.phy_llm.fitting import fit_in_turns

        identity = self.identity(context)

        def build(examples: Mapping[str, Observation]) -> PhyLLMNetwork:
            network = self.build(examples, context)
            identity["weights"] = trunk_of(network).description
            identity["prompts"] = "" if network.prompts is None else network.prompts.description
            return network

        fitted = fit_in_turns(build, data, context=context, identity=identity, deploys=self.deployed)
        self._fitted |= fitted.tasks
        self._network_costs |= dict.fromkeys(data, fitted.costs)
        self._curves |= dict.fromkeys(data, fitted.curves)
        self._weights = identity["weights"]

    def build(self, examples: Mapping[str, Observation], context: FitContext) -> PhyLLMNetwork:
        """The untrained network for tasks whose observations look like ``examples``."""
        from channelbench.models.networks.phy_llm.branch import Sizes
        from channelbench.models.networks.phy_llm.network import PhyLLMNetwork
        from channelbench.models.networks.trunks import build_on_trunk

        preset = preset_of(context.preset)
        sizes = Sizes(
            encoder={"narrow": 64, "medium": 128, "published": 256}[preset.width],
            decoder={"narrow": 128, "medium": 256, "published": 512}[preset.width],
            prompt_tokens=preset.prompt_tokens if self.instructed else 0,
            aligned=self.aligned,
        )
        network = build_on_trunk(
            self.trunk,
            lambda trunk: PhyLLMNetwork(examples, trunk, sizes, storage=self.storage),
            context=context,
            words=self.instructed,
        )
        assert isinstance(network, PhyLLMNetwork)
        return network

    def costs(self, task: str) -> dict[str, float]:
        """Also ``trunk_stored_bytes`` and ``trunk_fp16_bytes``: of the trunk as it is stored, and in half precision."""
        return super().costs(task) | dict(self._network_costs[task])

    def artefacts(self, task: str) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        """``loss``: the ``training`` loss of the task, float32, after so many of its ``steps``, int64."""
        return {"loss": self._curves[task].curve(task)}


class PhyLLMSingle(OneByOne, PhyLLM):
    """The multi-task PHY LLM on one task at a time."""

    card = Card(
        name="phy_llm(s)",
        title="PHY LLM(s)",
        description="The multi-task PHY LLM fitted to each task alone.",
        reference="Multi-task PHY LLM, section V",
        family="llm",
        extra="llm",
        notes=NOTES,
    )
