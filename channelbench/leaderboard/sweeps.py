"""Conditions of which one number was varied: a curve of every task over it, in place of as many tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from channelbench.families import BUNDLE, CEILING
from channelbench.leaderboard import labels
from channelbench.leaderboard.board import Board, Column, Row, Table
from channelbench.leaderboard.catalogue import task_entry
from channelbench.leaderboard.curves import Line, LinesPanel, Point, lines
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.pictures import Picture

__all__ = ["Curve", "curves", "swept_tables"]

LEAST_STEPS = 3
"""Fewer values of a condition make no curve."""

_LOG_FROM = 8.0


@dataclass(frozen=True)
class Curve:
    """The picture of one task over one condition.

    Attributes:
        left_out: Who is not in it, being far worse than the trivial answers.
    """

    task: str
    field: str
    picture: Picture
    left_out: tuple[str, ...] = ()
    panels: int = 1


@dataclass(frozen=True)
class _Sweep:
    field: str
    fixed: Mapping[str, Any]
    tables: Mapping[float, Table]


def swept_tables(board: Board) -> set[str]:
    """Labels of the conditions that are a step of some curve."""
    tasks = board.manifest.tasks
    return {t.condition for task in tasks for sweep in _sweeps(board, task) for t in sweep.tables.values()}


def curves(board: Board) -> list[Curve]:
    """One of each task and each of its conditions that takes three values or more, all else being equal."""
    found = []
    for task in board.manifest.tasks:
        by_field: dict[str, list[_Sweep]] = {}
        for sweep in _sweeps(board, task):
            by_field.setdefault(sweep.field, []).append(sweep)
        found += [curve for field, each in by_field.items() if (curve := _curve(task, field, each)) is not None]
    return found


def _sweeps(board: Board, task: str) -> list[_Sweep]:
    """Tables that differ in one number of a task's conditions alone."""
    own = task_entry(board.manifest, task).fields
    full = [({**own, **table.changes}, table) for table in board.tables if _column(table, task).varied]
    names = dict.fromkeys(name for conditions, _ in full for name in conditions)
    found: list[_Sweep] = []
    for name in names:
        groups: dict[str, dict[float, tuple[Mapping[str, Any], Table]]] = {}
        for conditions, table in full:
            value = conditions.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                rest = {key: other for key, other in conditions.items() if key != name}
                groups.setdefault(repr(sorted(rest.items())), {})[float(value)] = (rest, table)
        for group in groups.values():
            if len(group) >= LEAST_STEPS:
                steps = dict(sorted(group.items()))
                fixed = next(iter(steps.values()))[0]
                found.append(_Sweep(name, fixed, {value: table for value, (_, table) in steps.items()}))
    return found


def _column(table: Table, task: str) -> Column:
    return next(column for column in table.columns if column.task == task)


def _curve(task: str, field: str, sweeps: Sequence[_Sweep]) -> Curve | None:
    column = _column(next(iter(sweeps[0].tables.values())), task)
    metric = column.titles.get(column.metric) or labels.metric_label(column.metric)
    unit = labels.unit(column.unit)
    left_out: dict[str, None] = {}
    drawn = [(sweep, _lines(sweep, task, left_out)) for sweep in sweeps]
    log = _log([p.score for _, each in drawn for line in each if not line.limit for p in line.points], column)
    panels = [
        LinesPanel(_title(sweep, sweeps), tuple(line for line in each if not log or _is_positive(line)))
        for sweep, each in drawn
    ]
    name, of_axis = labels.axis(field)
    if all(line.limit for panel in panels for line in panel.lines):
        return None
    picture = lines(
        panels,
        f"{name}, {of_axis}" if of_axis else name,
        f"{labels.task_code(task)}: {metric}{', ' + unit if unit else ''}",
        f"{labels.task_code(task)}: {metric} by {name}. {_summary(panels, bool(column.higher_is_better))}",
        log=log,
        width=480 * min(len(panels), 2),
        height=310,
    )
    return None if picture is None else Curve(task, field, picture, tuple(left_out), len(panels))


def _title(sweep: _Sweep, sweeps: Sequence[_Sweep]) -> str:
    """What tells a panel from the others."""
    apart = {name: value for name, value in sweep.fixed.items() if any(s.fixed.get(name) != value for s in sweeps)}
    words = (f"{name}={_word(value)}" for name, value in apart.items())
    return labels.condition_title(",".join(words)) if apart else ""


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _lines(sweep: _Sweep, task: str, left_out: dict[str, None]) -> list[Line]:
    """Contestants, and what bounds them: the best reference that knows its samples, and the ideal."""
    titles = {row.method: row for table in sweep.tables.values() for row in table.rows}
    columns = {value: _column(table, task) for value, table in sweep.tables.items()}
    limits = {column.limit[0] for column in columns.values() if column.limit is not None}
    shown = []
    for method, row in titles.items():
        bound = method in limits or row.family == CEILING
        if row.family == BUNDLE or not (row.is_contestant or bound):
            continue
        points = tuple(Point(value, _score(table, method, columns[value])) for value, table in sweep.tables.items())
        scored = [(p.score, columns[p.x]) for p in points if p.score is not None]
        if scored and all(_far(score, column) for score, column in scored):
            left_out[row.title] = None
        elif scored:
            shown.append(Line(row.title, row.family, points, limit=bound))
    return shown


def _score(table: Table, method: str, column: Column) -> Estimate | None:
    row: Row | None = next((row for row in table.rows if row.method == method), None)
    entry = None if row is None else row.entries[column.task]
    return None if entry is None or entry.state != "ok" else entry.scores.get(column.metric)


def _far(score: Estimate, column: Column) -> bool:
    """Further below the floor than the ceiling is above it."""
    if not column.has_skill or column.floor is None or column.ceiling is None:
        return False
    floor = column.floor[1].value
    return (score.value - floor) / (floor - column.ceiling[1].value) > 1


def _is_positive(line: Line) -> bool:
    """Whether a logarithmic axis can show it: an ideal of 0 is below any."""
    return all(point.score is None or point.score.value > 0 for point in line.points)


def _log(scores: Sequence[Estimate | None], column: Column) -> bool:
    values = [score.value for score in scores if score is not None and math.isfinite(score.value)]
    positive = [value for value in values if value > 0]
    return not column.higher_is_better and len(positive) > 1 and max(positive) >= _LOG_FROM * min(positive)


def _summary(panels: Sequence[LinesPanel], higher: bool) -> str:
    """Who is best at each step, for who cannot see it."""
    parts = []
    for panel in panels:
        best: dict[float, tuple[float, str]] = {}
        for line in panel.lines:
            for point in () if line.limit else line.points:
                if point.score is not None:
                    candidate = (-point.score.value if higher else point.score.value, line.title)
                    best[point.x] = min(best.get(point.x, candidate), candidate)
        parts += [f"{panel.title + ', ' if panel.title else ''}{x:g}: best is {name}" for x, (_, name) in best.items()]
    return "; ".join(parts)
