"""Further tables for the page: what somebody else's report adds below the leaderboard."""

from __future__ import annotations

import math
from dataclasses import dataclass

from channelbench.leaderboard.pictures import Picture

__all__ = ["Section", "SectionCell", "SectionColumn", "SectionGroup", "SectionRow"]


@dataclass(frozen=True, kw_only=True)
class SectionColumn:
    """A head: ``better`` is ``high``, ``low`` or ``text`` and says which way a click sorts first; what ``hint`` says of
    it stands below the table."""

    label: str
    unit: str = ""
    better: str = "low"
    hint: str = ""

    @property
    def arrow(self) -> str:
        """Which way is better; empty for words."""
        return {"high": "↑", "low": "↓"}.get(self.better, "")


@dataclass(frozen=True, kw_only=True)
class SectionCell:
    """One entry, in words: our value with its interval, and what is published beside it.

    Attributes:
        text: The value; a dash where there is none.
        interval: Its 95 % interval.
        remark: A few words below it.
        published: The published number, without a label.
        note: Why the value is missing, or what else to know: a footnote of the table.
        value: The number that sorts; NaN for words and for what is missing.
    """

    text: str = "–"
    interval: str = ""
    remark: str = ""
    published: str = ""
    note: str = ""
    value: float = math.nan

    @property
    def sort(self) -> str:
        """The number as the page's script reads it; words sort by themselves."""
        return "" if math.isnan(self.value) else repr(self.value).replace("inf", "Infinity")


@dataclass(frozen=True, kw_only=True)
class SectionRow:
    """One row; ``detail`` stands small below the title, ``family`` gives its dot a colour."""

    title: str
    cells: tuple[SectionCell, ...]
    family: str = "other"
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class SectionGroup:
    """Rows under one heading; an empty title has none."""

    rows: tuple[SectionRow, ...]
    title: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table with a text and a picture.

    Attributes:
        name: What files of it are called.
        title: Its heading.
        text: What it is, what the published numbers are, and what to beware of.
        columns: Heads of all but the first column.
        groups: Its rows, each with as many cells as there are columns.
        picture: A drawn one, or an SVG element without scripts and outer references, put into the page as it stands; or
            nothing.
        csv: The same numbers for programs, one line of heads first.
        first: The head of the first column.
        published: What the published numbers are called, e.g. ``paper``.
    """

    name: str
    title: str
    text: str
    columns: tuple[SectionColumn, ...] = ()
    groups: tuple[SectionGroup, ...] = ()
    picture: str | Picture | None = None
    csv: str = ""
    first: str = "Method"
    published: str = "paper"

    @property
    def svg(self) -> str:
        """The picture as an SVG element; empty without one."""
        return self.picture.svg if isinstance(self.picture, Picture) else self.picture or ""

    def __post_init__(self) -> None:
        for row in (row for group in self.groups for row in group.rows):
            if len(row.cells) != len(self.columns):
                raise ValueError(
                    f"{self.name}: {len(row.cells)} cells of {row.title!r} under {len(self.columns)} heads"
                )
