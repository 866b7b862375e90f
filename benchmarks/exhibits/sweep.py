"""A metric of one task over one of its conditions: curves of all methods, and the table beside them.

A subclass is one figure: its task, the condition, and what is drawn. What else differs between cells of the task, such
as how users are grouped, makes panels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from channelbench.benchmarks.exhibits.cells import csv_text, record
from channelbench.exhibit import Exhibit
from channelbench.families import BUNDLE
from channelbench.leaderboard.board import Row
from channelbench.leaderboard.curves import Line, LinesPanel, Point, lines
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.numbers import decimals, fixed, interval
from channelbench.leaderboard.sections import Section, SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.views import Run, View

__all__ = ["Part", "Setting", "Sweep", "Swept", "SweptRow", "settings", "shown_rows", "task_views", "titles_of"]

_WORDS = {
    "users": "{} users",
    "grouping": "{} users",
    "power_dbw": "{} dBW",
    "snr_db": "{} dB",
    "csi_snr_db": "CSI at {} dB",
    "slot": "{} slot",
}
"""Of conditions, where their name and value do not say it as well."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One section of a sweep.

    Attributes:
        name: Of the section and its files.
        title: Its heading.
        metric: What is drawn.
        label: What the metric is called, with its unit.
        text: What it is, and what the paper says.
        log: Whether decades count.
        lowest: What is not told from 0 in the picture: below it, the axis would show nothing but rounding.
        without: Families that are not shown, such as a ceiling that is exact.
    """

    name: str
    title: str
    metric: str
    label: str
    text: str
    log: bool = False
    lowest: float = 0.0
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """Cells of a task that differ in the swept condition alone.

    Attributes:
        fixed: Its other conditions, in full.
        views: The run at each value, in their order.
    """

    fixed: Mapping[str, Any]
    views: Mapping[float, View]


@dataclass(frozen=True)
class SweptRow:
    """A method at every step; ``notes`` say why a value is missing."""

    method: str
    title: str
    family: str
    points: tuple[Point, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Swept:
    """What one panel shows."""

    title: str
    steps: tuple[float, ...]
    rows: tuple[SweptRow, ...]

    @cached_property
    def scores(self) -> list[Estimate]:
        """All that have intervals."""
        return [p.score for row in self.rows for p in row.points if p.score is not None and p.below is None]


class Sweep(Exhibit):
    """The sections, where the task has a cell.

    Attributes:
        task: Whose cells.
        field: Which of its conditions is on the horizontal axis.
        axis: What that is called, with its unit.
        trained: The range of it that training sees, if it has one.
        parts: The sections.
    """

    task: ClassVar[str]
    field: ClassVar[str]
    axis: ClassVar[str]
    trained: ClassVar[tuple[float, float] | None] = None
    parts: ClassVar[tuple[Part, ...]]

    def sections(self, run: Run) -> list[Section]:
        found = ((part, [s for s in self.swept(run, part) if s.rows]) for part in self.parts)
        return [self._section(part, swept) for part, swept in found if swept]

    def swept(self, run: Run, part: Part) -> list[Swept]:
        """The panels; by default one for each setting of the task's other conditions."""
        found = settings(run, self.task, self.field)
        titles = titles_of([setting.fixed for setting in found])
        return [
            Swept(title, tuple(setting.views), tuple(_rows(setting.views, self.task, part)))
            for title, setting in zip(titles, found, strict=True)
        ]

    def _section(self, part: Part, swept: Sequence[Swept]) -> Section:
        steps = sorted({step for each in swept for step in each.steps})
        return Section(
            name=part.name,
            title=part.title,
            text=part.text + self._beyond(steps),
            columns=tuple(SectionColumn(label=_number(step), unit=self._unit(part, step)) for step in steps),
            groups=tuple(SectionGroup(title=each.title, rows=_table(each, steps, part)) for each in swept),
            picture=lines(
                [LinesPanel(s.title, tuple(Line(r.title, r.family, r.points) for r in s.rows)) for s in swept],
                self.axis,
                part.label,
                f"{part.title}: {part.label} by {self.axis}",
                log=part.log,
                lowest=part.lowest,
                trained=self.trained,
            ),
            csv=csv_text([item for each in swept for item in self._records(part, each)]),
        )

    def _beyond(self, steps: Iterable[float]) -> str:
        beyond = [_number(step) for step in steps if not self._is_trained(step)]
        return f" No training sees {self.axis} of {', '.join(beyond)}." if beyond else ""

    def _is_trained(self, step: float) -> bool:
        return self.trained is None or self.trained[0] <= step <= self.trained[1]

    def _unit(self, part: Part, step: float) -> str:
        return part.label if self._is_trained(step) else f"{part.label}, outside training"

    def _records(self, part: Part, swept: Swept) -> list[dict[str, object]]:
        return [
            record(point.score, setting=swept.title, method=row.method, metric=part.metric, **{self.field: point.x})
            | {"resolution": point.below}
            for row in swept.rows
            for point in row.points
        ]


def settings(run: Run, task: str, field: str) -> list[Setting]:
    """The cells of a task by the values of one condition, for each setting of the others, as the run states them."""
    found: dict[tuple[tuple[str, Any], ...], dict[float, View]] = {}
    for view, conditions in task_views(run, task):
        if field in conditions:
            fixed = tuple((name, value) for name, value in conditions.items() if name != field)
            found.setdefault(fixed, {}).setdefault(float(conditions[field]), view)
    return [Setting(dict(fixed), dict(sorted(views.items()))) for fixed, views in found.items()]


def task_views(run: Run, task: str) -> list[tuple[View, dict[str, Any]]]:
    """Each condition under which a task has cells, once, with all its fields."""
    entry = run.board.manifest.task_entries.get(task)
    defaults = dict(entry.fields) if entry is not None else {}
    changes = {r.condition: r.conditions for r in run.board.results if r.task == task}
    seen: dict[str, View] = {}
    for view in run.all_views:
        label = next((column.condition for column in view.table.columns if column.task == task), None)
        if label in changes:
            seen.setdefault(label, view)
    return [(view, {**defaults, **changes[label]}) for label, view in seen.items()]


def titles_of(fixed: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each setting in words: what differs between them; nothing of a single one."""
    names = dict.fromkeys(name for each in fixed for name in each)
    varying = [name for name in names if len({each.get(name) for each in fixed}) > 1]
    return [", ".join(_said(name, each.get(name)) for name in varying) for each in fixed]


def _said(name: str, value: Any) -> str:
    shown = _number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    return _WORDS.get(name, f"{name.replace('_', ' ')} {{}}").format(shown)


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _rows(views: Mapping[float, View], task: str, part: Part) -> Iterable[SweptRow]:
    """The methods that have a cell of the task in one of the views, in the order of the first."""
    known = {row.method: row for view in views.values() for row in shown_rows(view, part)}
    for method, row in known.items():
        if not any((e := view.entry(method, task)) is not None and e.results for view in views.values()):
            continue
        points = tuple(_point(view, method, task, part, step) for step, view in views.items())
        notes = tuple(view.missing(method, task) for view in views.values())
        yield SweptRow(method, row.title, row.family, points, notes)


def shown_rows(view: View, part: Part) -> list[Row]:
    """The methods that a part may show; bundles are rows that stand there already."""
    return [row for row in view.table.rows if row.family not in (BUNDLE, *part.without)]


def _point(view: View, method: str, task: str, part: Part, step: float) -> Point:
    score = view.score(method, task, part.metric)
    if score is None:
        return Point(step, None)
    least = view.least(method, task, part.metric) or 0.0
    below = max(least, part.lowest) if part.log else 0.0
    return Point(step, score, below if part.log and score.value < below else None)


def _table(swept: Swept, steps: Sequence[float], part: Part) -> tuple[SectionRow, ...]:
    digits = decimals(swept.scores)
    rows = []
    for row in swept.rows:
        known = {point.x: (point, note) for point, note in zip(row.points, row.notes, strict=True)}
        missing = Point(math.nan, None), "not run"
        cells = tuple(_cell(*known.get(step, missing), digits, part.log) for step in steps)
        rows.append(SectionRow(title=row.title, cells=cells, family=row.family))
    return tuple(rows)


def _cell(point: Point, note: str, digits: int, log: bool) -> SectionCell:
    score = point.score
    if score is None:
        return SectionCell(note=note)
    if point.below is not None:
        return SectionCell(text=f"< {point.below:.1e}", remark="" if score.value else "no error", value=score.value)
    if log:
        spread = "" if score.low == score.high else f"{score.low:.2g}–{score.high:.2g}"
        spread = f"[{spread}]" if spread and score.spread_unknown else spread
        return SectionCell(text=f"{score.value:.3g}", interval=spread, value=score.value)
    return SectionCell(text=fixed(score.value, digits), interval=interval(score, digits), value=score.value)
