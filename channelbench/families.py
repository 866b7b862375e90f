"""The families of methods: who is ranked, whose fits depend on the seed, how the page and the docs show them.

Everything that shows or checks a family reads this table; a further family is a further line of it. The table is
closed: a family decides whether its methods are ranked, and no plugin decides that of itself. A card of another family
is refused; cells of another family, from a newer version, are shown as contestants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["BUNDLE", "CEILING", "CLASSICAL", "FAMILIES", "FLOOR", "LLM", "MULTI_TASK", "REFERENCE", "SMALL", "Family"]
__all__ += ["declared", "family_of", "palette"]

CLASSICAL, SMALL, MULTI_TASK, LLM = "classical", "small", "multi-task", "llm"
BUNDLE, REFERENCE, FLOOR, CEILING = "bundle", "reference", "floor", "ceiling"


@dataclass(frozen=True, kw_only=True)
class Family:
    """One line of the table.

    Attributes:
        name: As cards and result cells have it.
        title: Of one method of it, on the page.
        plural: Of all of them: a heading of the docs, and of the page's group where they are not ranked.
        note: What the heading says of them.
        colours: Of their marks, ``(light, dark)``; without any, the page's grey.
        ranked: Whether they are contestants: ranks, costs, pictures' filled dots.
        anchor: Whether their score defines skill 0 or 1, and is no skill itself.
        seeded: Whether another seed is another fit.
        timed: Whether the latency of a prediction is measured.
        genie: Whether they may be told which samples they see.
        backbone: Whether they are built on a language model, which a run names and compares with its controls.
        declared: Whether a method's card may say it; the others are made by the protocol itself.
    """

    name: str
    title: str
    plural: str = ""
    note: str = ""
    colours: tuple[str, str] | None = None
    ranked: bool = True
    anchor: bool = False
    seeded: bool = False
    timed: bool = True
    genie: bool = False
    backbone: bool = False
    declared: bool = True

    @property
    def heading(self) -> str:
        """Of a section of the docs."""
        return f"{self.plural}: {self.note}" if self.note else self.plural


_LINES = (
    Family(name=CLASSICAL, title="Classical", plural="Classical methods", colours=("#2f6db3", "#6ba6e8")),
    Family(name=SMALL, title="Small network", plural="Small networks", colours=("#2c8a57", "#5fc08c"), seeded=True),
    Family(
        name=MULTI_TASK,
        title="Multi-task network",
        plural="Multi-task networks",
        colours=("#b8741a", "#e0a24e"),
        seeded=True,
    ),
    Family(
        name=LLM,
        title="LLM",
        plural="Language models",
        colours=("#a03c86", "#d580bf"),
        seeded=True,
        backbone=True,
    ),
    Family(name=BUNDLE, title="Bundle", colours=("#5b6673", "#a7b1bc"), timed=False, declared=False),
    Family(
        name=REFERENCE,
        title="Reference",
        plural="References",
        note="know what no contestant may, or show what a part does alone; unranked",
        ranked=False,
        timed=False,
        genie=True,
    ),
    Family(
        name=FLOOR,
        title="Floor",
        plural="Floors",
        note="trivial answers; the best of each task has skill 0",
        ranked=False,
        anchor=True,
        timed=False,
    ),
    Family(
        name=CEILING,
        title="Ceiling",
        plural="Ceiling",
        note="what no method can beat; skill 1",
        ranked=False,
        anchor=True,
        timed=False,
        declared=False,
    ),
)

FAMILIES: Mapping[str, Family] = MappingProxyType({family.name: family for family in _LINES})
"""By name, in the order of the page: contestants first."""


def family_of(name: str) -> Family:
    """The family called ``name``; of a name that this version does not know, a contestant of that name."""
    return FAMILIES.get(name) or Family(name=name, title=name.capitalize())


def declared() -> tuple[str, ...]:
    """The names that a method's card may have."""
    return tuple(family.name for family in FAMILIES.values() if family.declared)


def palette(*, dark: bool = False) -> dict[str, str]:
    """``{family: colour}`` of those that have one, on a light or a dark page."""
    return {family.name: family.colours[dark] for family in FAMILIES.values() if family.colours is not None}
