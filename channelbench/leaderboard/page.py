"""The page: views of a board, in words and percentages, for a template that computes nothing."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from channelbench.costs import COSTS, LATENCY_BATCHES
from channelbench.families import BUNDLE, CEILING, FAMILIES, family_of, palette
from channelbench.leaderboard import cards, gain, labels, provenance
from channelbench.leaderboard.board import Board, Column, Entry, Row, Table
from channelbench.leaderboard.estimate import MIN_SEEDS, Estimate
from channelbench.leaderboard.figures import ROW_PX, TOP_PX, draw
from channelbench.leaderboard.numbers import decimals, fixed, interval, quantity
from channelbench.leaderboard.sections import Section
from channelbench.results import Result

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["render"]

_CONTESTANTS = ("Contestants", "by mean skill over all tasks; incomplete rows follow")
_VARIED = "the tasks that have the condition"
_GROUPS = (_CONTESTANTS, *((family.plural, family.note) for family in FAMILIES.values() if not family.ranked))
_SHA256 = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


@dataclass(frozen=True, kw_only=True)
class CellView:
    """One score of the main table or of a table of all metrics. ``sort`` is empty where there is none."""

    state: str
    sort: str = ""
    value: str = ""
    unit: str = ""
    interval: str = ""
    skill: str = ""
    bar: str = "0%"
    rank: str = ""
    best: bool = False
    detail: str = ""
    traceback: str = ""
    caution: str = ""
    note: str = ""
    gain: str = ""
    gain_interval: str = ""
    gain_hint: str = ""
    gain_shown: bool = False


@dataclass(frozen=True, kw_only=True)
class RowView:
    """One row of any table."""

    title: str
    family: str
    family_label: str
    tag: str
    tag_hint: str
    seeds: str
    weights: str
    detail: str
    rank: str
    sort_rank: str
    overall: CellView
    cells: tuple[CellView, ...]


def render(board: Board, sections: Sequence[Section] = (), remarks: Sequence[str] = ()) -> str:
    """The whole page, with everything it needs inside: the leaderboard, then ``sections``; ``remarks`` at its top."""
    families = dict.fromkeys(row.family for table in board.tables for row in table.rows)
    known = [*(f for f in FAMILIES if f in families), *(f for f in families if f not in FAMILIES)]
    return _template().render(
        title="channelbench leaderboard",
        header=cards.header(board),
        notes=[*provenance.notes(board.results, board.left_out, board.unchecked, board.code), *remarks],
        dataset=cards.dataset(board.manifest.dataset),
        every_row=labels.source_remark(board.manifest.dataset.spec),
        protocol=cards.protocol(board),
        about=cards.methods(board),
        families=[(family, family_of(family).title) for family in known],
        panels=[_panel(index, board, table) for index, table in enumerate(board.tables)],
        sections=sections,
        palettes={"light": palette(), "dark": palette(dark=True)},
        marks=FAMILIES.values(),
        batches=" and of ".join(str(batch) for batch in LATENCY_BATCHES),
        plot={"row": ROW_PX, "top": TOP_PX},
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("channelbench.leaderboard", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")


def _panel(index: int, board: Board, table: Table) -> dict[str, Any]:
    places = {
        column.task: decimals([e for row in table.rows if (e := row.entries[column.task].scores.get(column.metric))])
        for column in table.columns
    }
    groups = [
        {
            "name": name,
            "note": note.replace("all tasks", _counted(table)),
            "rows": [_row(row, table, places) for row in table.rows if _group(row) == place],
        }
        for place, (name, note) in enumerate(_GROUPS)
    ]
    return {
        "id": f"condition-{index}",
        "title": labels.condition_title(table.condition),
        "sentence": cards.conditions(board, table),
        "notes": [note for note in _notes(table) if note],
        "has_gains": table.has_gains,
        "overall": _overall_head(table),
        "columns": [_head(board, column) for column in table.columns],
        "groups": [group for group in groups if group["rows"]],
        "tasks": [_task(index, board, table, column) for column in table.columns],
        "costs": _costs(table),
    }


def _counted(table: Table) -> str:
    """The tasks of the overall skill, in words."""
    varied = [column.task for column in table.columns if column.varied]
    if len(table.overall) < len(varied):
        return ", ".join(map(labels.task_code, table.overall))
    return "all tasks" if len(varied) == len(table.columns) else _VARIED


def _overall_head(table: Table) -> dict[str, str]:
    number, all_of_them = len(table.overall), len(table.overall) == len(table.columns)
    return {
        "unit": "mean skill" if all_of_them else f"mean skill, {number} task{'s' if number != 1 else ''}",
        "hint": f"Mean skill over {', '.join(map(labels.task_code, table.overall))}",
    }


def _notes(table: Table) -> tuple[str, ...]:
    return cards.noise_floor(table) if table.noisy else "", cards.unranked(table), cards.adds_nothing(table)


def _head(board: Board, column: Column) -> dict[str, str]:
    return {
        "code": labels.task_code(column.task),
        "title": cards.task(board, column),
        "note": "" if column.varied else "at its own conditions",
        "metric": column.titles.get(column.metric) or labels.metric_label(column.metric),
        "unit": labels.unit(column.unit),
        "better": "high" if column.higher_is_better else "low",
        "arrow": "↑" if column.higher_is_better else "↓",
    }


def _row(row: Row, table: Table, places: Mapping[str, int]) -> RowView:
    return RowView(
        **_identity(row),
        rank=str(row.rank or ""),
        sort_rank=_sort_rank(row),
        overall=_overall(row, table.overall),
        cells=tuple(_cell(row, column, places[column.task]) for column in table.columns),
    )


def _identity(row: Row) -> dict[str, str]:
    result = next((r for entry in row.entries.values() for r in entry.results), None)
    members = dict.fromkeys(entry.member for entry in row.entries.values() if entry.member)
    family = family_of(row.family)
    trained = any(score.seeds for entry in row.entries.values() for score in entry.scores.values())
    seeded = family.seeded or trained
    seeds = f"{row.seeds} seed{'s' if row.seeds > 1 else ''}" if seeded else ""
    detail = " + ".join(members) if members else result.reference if result else ""
    return {
        "title": row.title,
        "family": row.family,
        "family_label": family.title if family.ranked else "",
        "tag": seeds if row.seeds < MIN_SEEDS else "",
        "tag_hint": _tag_hint(row),
        "seeds": seeds if row.seeds >= MIN_SEEDS else "",
        "weights": _SHA256.sub(r"\1…", cards.weights(row)),  # in full below, with the method
        "detail": detail,
    }


def _tag_hint(row: Row) -> str:
    """Where rows of few seeds have the spread between trainings from."""
    scores = [score for entry in row.entries.values() for score in entry.scores.values() if score.seeds]
    unknown = sum(score.spread_unknown for score in scores)
    if not scores or unknown == len(scores):
        return f"Too few seeds: {cards.UNKNOWN_SPREAD}"
    borrowed = "Few seeds: the spread between trainings is that of comparable rows"
    return f"{borrowed}, where there are any" if unknown else borrowed


def _overall(row: Row, tasks: Sequence[str]) -> CellView:
    if row.overall is None:
        covered = sum(row.entries[task].state == "ok" for task in tasks)
        return CellView(state="partial", value=f"{covered}/{len(tasks)} tasks", sort="")
    return CellView(
        state="ok",
        sort=_sort(row.overall.value),
        value=fixed(row.overall.value, 3),
        interval="" if family_of(row.family).anchor else interval(row.overall, 3),
        bar=_bar(row.overall),
        caution=_caution(row.overall),
    )


def _cell(row: Row, column: Column, places: int) -> CellView:
    entry = row.entries[column.task]
    worth = None if family_of(row.family).anchor else entry.skill  # 0 and 1 by definition: no bar
    score = entry.scores.get(column.metric)
    if entry.state != "ok" or score is None:
        return _blank(entry)
    return CellView(
        **_gain(entry),
        state="ok",
        sort=_sort(score.value),
        value=fixed(score.value, places),
        unit=labels.unit(column.unit),
        interval=interval(score, places),
        skill="" if worth is None else fixed(worth.value, 2),
        bar="0%" if worth is None else _bar(worth),
        rank=str(entry.rank or ""),
        best=entry.rank is not None and entry.rank.low == 1,
        detail=entry.member,
        caution=_caution(score),
    )


def _gain(entry: Entry) -> dict[str, Any]:
    """What is gained over the start, in a line; or that the answers are those of the fit's own start."""
    same = gain.same_as_start(entry.results)
    adds_nothing = bool(entry.results) and all(result.adds_nothing for result in entry.results)
    if entry.gain is None:
        return {"gain": "= its start", "gain_hint": same} if adds_nothing else {}
    short, whole = gain.words(entry.gain)
    shown = gain.is_shown(entry.gain) and not adds_nothing
    caution = f"; {cards.UNKNOWN_SPREAD}" if entry.gain.spread_unknown else ""
    return {
        "gain": "= its start" if adds_nothing else short,
        "gain_interval": whole.removeprefix(short).strip() if shown and whole.startswith(short) else "",
        "gain_hint": "; ".join(part for part in (same, f"{whole} of the start’s error removed{caution}") if part),
        "gain_shown": shown,
    }


def _caution(score: Estimate) -> str:
    """What an interval lacks; empty where it lacks nothing."""
    return cards.UNKNOWN_SPREAD if score.spread_unknown else ""


def _sort_rank(row: Row) -> str:
    """By the best place, then by the worst."""
    return "" if row.rank is None else repr(row.rank.low + row.rank.high * 1e-6)


def _sort(value: float) -> str:
    """A number as the page's script reads it."""
    return "" if math.isnan(value) else repr(value).replace("inf", "Infinity")


def _blank(entry: Entry) -> CellView:
    state = {"not run": "not-run", "not supported": "unsupported"}.get(entry.state, "failed")
    traceback = next((cell.traceback for cell in entry.results if cell.traceback), "")
    return CellView(state=state, detail=entry.detail, traceback=traceback)


def _bar(skill: Estimate) -> str:
    share = skill.value if math.isfinite(skill.value) else 0.0
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"


def _task(index: int, board: Board, table: Table, column: Column) -> dict[str, Any]:
    ceiling = "noise floor" if table.noisy and cards.is_noisy(column) else CEILING
    metrics = list(column.metrics)
    rows = [row for row in table.rows if row.family != BUNDLE and row.entries[column.task].state != "not supported"]
    sign = -1 if column.higher_is_better else 1
    rows.sort(key=lambda row: (_group(row), sign * _primary_value(row, column)))
    places = {m: decimals([e for row in rows if (e := row.entries[column.task].scores.get(m))]) for m in metrics}
    return {
        **_head(board, column),
        "id": f"condition-{index}-{column.task}",
        "anchors": cards.anchors(table, column),
        "figure": draw(column, table.rows, ceiling),
        "metrics": [
            {
                "label": column.titles.get(metric) or labels.metric_label(metric),
                "unit": labels.unit(unit),
                "better": "high" if higher else "low",
                "arrow": "↑" if higher else "↓",
            }
            for metric, (unit, higher) in column.metrics.items()
        ],
        "rows": [
            {**_identity(row), "cells": [_metric_cell(row.entries[column.task], m, places[m]) for m in metrics]}
            for row in rows
        ],
    }


def _group(row: Row) -> int:
    """The place in ``_GROUPS``."""
    family = family_of(row.family)
    return _GROUPS.index(_CONTESTANTS if family.ranked else (family.plural, family.note))


def _primary_value(row: Row, column: Column) -> float:
    """The primary score; without one a row comes last among its group, whatever the direction."""
    score = row.entries[column.task].scores.get(column.metric)
    return score.value if score is not None else math.inf * (-1 if column.higher_is_better else 1)


def _metric_cell(entry: Entry, metric: str, places: int) -> CellView:
    score = entry.scores.get(metric)
    if score is None:
        return _blank(entry) if entry.state != "ok" else CellView(state="unsupported")
    return CellView(
        state="ok",
        sort=_sort(score.value),
        value=fixed(score.value, places),
        interval=interval(score, places),
        caution=_caution(score),
        note="; ".join(dict.fromkeys(r.scores[metric].note for r in entry.results if r.scores[metric].note)),
    )


def _costs(table: Table) -> dict[str, Any]:
    """Medians over seeds, one row per method and task; columns that nobody measured are left out."""
    rows = [
        (row, column, entry.results)
        for row in table.rows
        for column in table.columns
        if row.is_contestant and row.family != BUNDLE and (entry := row.entries[column.task]).state == "ok"
    ]
    found = {key for _, _, results in rows for result in results for key in result.costs}
    shown = [cost for cost in COSTS.values() if cost.shown and cost.key in found]
    return {
        "heads": [
            {
                "label": cost.title,
                "unit": cost.unit,
                "better": "low" if cost.lower_is_better else "high",
                "hint": cost.description,
            }
            for cost in shown
        ],
        "rows": [
            {
                **_identity(row),
                "task": labels.task_code(column.task),
                "device": ", ".join(dict.fromkeys(r.device for r in results)),
                "hardware": ", ".join(dict.fromkeys(r.hardware for r in results)),
                "cells": [_cost(cost.key, results) for cost in shown],
            }
            for row, column, results in rows
        ],
    }


def _cost(key: str, results: Sequence[Result]) -> dict[str, Any]:
    values = [result.costs[key] for result in results if key in result.costs]
    if not values:
        return {"sort": "", "value": quantity(None), "hint": ""}
    derived = any(key in result.derived_costs for result in results)
    value = statistics.median(values)
    hint = "not timed: the scoring time per sample, times the batch" if derived else ""
    return {"sort": _sort(value), "value": f"≈ {quantity(value)}" if derived else quantity(value), "hint": hint}
