"""What methods on a language model share: which trunk they run on, their controls as variants, and what they say of it.

A method is a class per variant: ``llm4cp`` runs on the backbone that was asked for, ``llm4cp+random`` on one of its
shape with random weights. An option sets attributes of the class, and its words go on the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from channelbench.contracts import FitContext
from channelbench.errors import RequestError
from channelbench.models._fitted import NetworkMethod

if TYPE_CHECKING:
    from torch import nn

    from channelbench.models.networks.backbones import Backbone
    from channelbench.models.networks.trunks import TrunkKind

__all__ = ["TRUNK_OPTIONS", "LanguageMethod", "Option", "trunk_of"]


@dataclass(frozen=True, kw_only=True)
class Option:
    """A way in which a variant differs.

    Attributes:
        title: A few words that follow the method's title, e.g. ``random trunk``.
        notes: A sentence or more for the card.
        attributes: Attributes of the class that are set. Options that set the same one exclude each other.
    """

    title: str
    notes: str
    attributes: Mapping[str, Any]


TRUNK_OPTIONS: Mapping[str, Option] = {
    "random": Option(
        title="random trunk",
        notes="Control: the trunk has the backbone's shape and random weights, frozen where the method freezes them.",
        attributes={"trunk": "random"},
    ),
    "none": Option(
        title="no trunk",
        notes="Control: there is no trunk; embeddings, of the backbone's width, go on as they are.",
        attributes={"trunk": "none"},
    ),
    "scratch": Option(
        title="trunk from scratch",
        notes=(
            "Control: the trunk is an encoder of four layers that is trained as a whole, as wide as it takes to train "
            "as many parameters as the method on its backbone does (within 5 %)."
        ),
        attributes={"trunk": "scratch"},
    ),
}
"""The controls that every row on a language model stands beside."""


class LanguageMethod(NetworkMethod):
    """A method on a trunk. ``FitContext.backbone`` names the language model, ``trunk`` says what is made of it.

    When subclasses fit, they set ``_weights`` to the ``description`` of ``trunk_of`` their network, and put that and
    ``identity`` into what tells their checkpoints apart; one with more options than the trunk's overrides
    ``variants`` and ``option``.
    """

    variants: ClassVar[tuple[str, ...]] = tuple(TRUNK_OPTIONS)
    trunk: ClassVar[TrunkKind] = "pretrained"

    _weights: str = ""

    @classmethod
    def option(cls, name: str) -> Option | None:
        """What an option stands for; ``None`` where there is no such option."""
        return TRUNK_OPTIONS.get(name)

    @classmethod
    def variant(cls, options: tuple[str, ...]) -> type[Self]:
        """The class of a combination of options."""
        chosen: dict[str, Option] = {}
        set_by: dict[str, str] = {}
        for name in options:
            option = cls.option(name)
            if option is None:
                raise RequestError("method", expected=f"an option of {cls.card.name}", got=name, choices=cls.variants)
            for attribute in option.attributes:
                if attribute in set_by:
                    other = f"{set_by[attribute]}+{name}"
                    raise RequestError("method", expected="options that do not exclude each other", got=other)
                set_by[attribute] = name
            chosen[name] = option
        attributes = {key: value for option in chosen.values() for key, value in option.attributes.items()}
        titles = [option.title for option in chosen.values()]
        card = cls.card.model_copy(
            update={
                "name": "+".join((cls.card.name, *chosen)),
                "title": ", ".join((cls.card.label, *titles)),
                "description": f"{cls.card.description.removesuffix('.')}; here: {', '.join(titles)}.",
                "notes": " ".join((*(option.notes for option in chosen.values()), cls.card.notes)),
            }
        )
        made = {**attributes, "card": card, "variants": (), "__module__": cls.__module__, "__doc__": cls.__doc__}
        return type("".join((cls.__name__, *(f"_{name.replace('-', '_')}" for name in chosen))), (cls,), made)

    @classmethod
    def check(cls, context: FitContext) -> None:
        """Load one layer of the trunk: a package, weights or a network that are missing show before a run begins.

        Raises:
            RequestError: they are, or the backbone is no language model.
        """
        name = context.backbone
        if name in ("scratch", "none"):
            plain = cls.card.name.partition("+")[0]
            raise RequestError(
                "--backbone",
                expected=f"a language model; without one, ask for the method {plain}+{name}",
                got=name,
            )
        # The controls need the backbone's shape and none of its weights.
        _load(name if cls.trunk == "pretrained" else f"random:{name.removeprefix('random:')}", context.preset)

    @property
    def weights(self) -> str:
        return self._weights

    @property
    def precision(self) -> str:
        from channelbench.models.networks.precision import has_bfloat16

        device = next(iter(self._fitted.values())).device.partition(":")[0]
        return "the trunk trained in bfloat16" if self.trunk != "none" and has_bfloat16(device) else ""

    def costs(self, task: str) -> dict[str, float]:
        """Also ``unused_parameters``: what of the language model was left out because embeddings never pass it
        (vocabulary and pooling). It is not in ``total_parameters``; papers count it in their totals."""
        return super().costs(task) | {"unused_parameters": trunk_of(self._of(task).module).unused_parameters}

    @classmethod
    def identity(cls, context: FitContext) -> dict[str, Any]:
        """What tells a checkpoint on this trunk from one on another."""
        return {"method": cls.card.name, "trunk": cls.trunk, "backbone": context.backbone}


@cache
def _load(name: str, preset: str) -> None:
    """Once for all methods of a request that run on the same backbone."""
    from channelbench.models.networks.backbones import load_backbone
    from channelbench.models.networks.trunks import trunk_layers

    load_backbone(name, layers=trunk_layers(preset))


def trunk_of(module: nn.Module) -> Backbone:
    """The trunk within a network."""
    from channelbench.models.networks.backbones import Backbone

    return next(part for part in module.modules() if isinstance(part, Backbone))
