"""The tables of a leaderboard, from a single entry up: what they hold, not how it comes about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from channelbench.conditions import DEFAULT
from channelbench.families import family_of
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.ranking import Rank, anchors_usable
from channelbench.results import Result

__all__ = ["Column", "Entry", "Row", "State", "Table"]

State = Literal["ok", "failed", "not run", "not supported"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One method on one task under one condition, over all its seeds.

    Attributes:
        state: ``ok`` only if no seed failed and none is missing: an incomplete entry has no score.
        detail: What failed, or how many seeds there are.
        scores: ``{metric: estimate}``, with the spread between trainings in their intervals as far as it is known.
        results: The cells, by seed.
        missing_seeds: Seeds that the run asks for and that have no cell.
        skill: The primary score between floor (0) and ceiling (1).
        rank: The places that it may have among contestants on the primary metric; ``None`` of a contestant whose spread
            between trainings nobody knows.
        gain: The share of the start's error that it removes, on the primary score; see ``leaderboard.gain``.
        least: Of the primary metric; see ``Metric.least``.
        member: Which method of a bundle this is the entry of: score, skill and rank are that method's.
    """

    state: State
    detail: str = ""
    scores: Mapping[str, Estimate] = field(default_factory=dict)
    results: tuple[Result, ...] = ()
    missing_seeds: tuple[int, ...] = ()
    skill: Estimate | None = None
    rank: Rank | None = None
    gain: Estimate | None = None
    least: float | None = None
    member: str = ""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One task: its primary metric and the two anchors of its skill."""

    task: str
    metric: str
    unit: str
    higher_is_better: bool
    metrics: Mapping[str, tuple[str, bool]]
    """``{metric: (unit, higher is better)}``, the primary one first."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """What the metrics are called, where the cells say so."""
    condition: str = DEFAULT
    """Label of its cells."""
    least: float | None = None
    """See ``Metric.least``."""
    varied: bool = True
    """Whether these are the table's conditions; else the task has no such condition, and its own are shown."""
    floor: tuple[str, Estimate] | None = None
    ceiling: tuple[str, Estimate] | None = None
    limit: tuple[str, Estimate] | None = None
    """The best reference that knows which samples it sees: what is within reach, where the ceiling is the ideal."""

    @property
    def has_skill(self) -> bool:
        """Whether floor and ceiling are there and apart, so that a score between them says something."""
        return anchors_usable(self.floor and self.floor[1], self.ceiling and self.ceiling[1])


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method or bundle over all tasks."""

    method: str
    title: str
    family: str
    entries: Mapping[str, Entry]
    seeds: int = 1
    overall: Estimate | None = None
    rank: Rank | None = None

    @property
    def covered(self) -> int:
        """Tasks with a complete score."""
        return sum(entry.state == "ok" for entry in self.entries.values())

    @property
    def is_contestant(self) -> bool:
        """Whether it is ranked."""
        return family_of(self.family).ranked


@dataclass(frozen=True, kw_only=True)
class Table:
    """All rows under one condition: contestants, references, floors, ceiling; best first within each group.

    Attributes:
        condition: Its label.
        changes: What differs from the tasks' own conditions.
        overall: The tasks whose mean skill is the overall one.
    """

    condition: str
    changes: Mapping[str, bool | int | float | str | None]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    overall: tuple[str, ...] = ()

    @property
    def has_gains(self) -> bool:
        """Whether any row is compared with the start."""
        return any(entry.gain is not None for row in self.rows for entry in row.entries.values())

    @property
    def noisy(self) -> bool:
        """Whether targets carry noise."""
        return bool(self.changes.get("paper_compat", False))
