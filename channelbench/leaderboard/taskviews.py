"""What the page shows of one task below the main table, and of what its results cost."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from channelbench.costs import COSTS
from channelbench.families import BUNDLE, CEILING
from channelbench.leaderboard import cards, gain, labels, verdict
from channelbench.leaderboard.board import Board, Column, Entry, Row, Table
from channelbench.leaderboard.figures import draw
from channelbench.leaderboard.numbers import decimals, quantity
from channelbench.leaderboard.rowviews import CellView, blank, caution, identity, scored, sort_key
from channelbench.results import Result

__all__ = ["cost_columns", "head", "task"]


def head(board: Board, column: Column) -> dict[str, str]:
    """The head of a task's column."""
    return {
        "code": labels.task_code(column.task),
        "title": "" if (title := cards.task(board, column)) == labels.task_code(column.task) else title,
        "note": "" if column.varied else "at its own conditions",
        "metric": column.titles.get(column.metric) or labels.metric_label(column.metric),
        "unit": labels.unit(column.unit),
        **_direction(column.higher_is_better),
    }


def _direction(higher: bool) -> dict[str, str]:
    return {"better": "high" if higher else "low", "arrow": "↑" if higher else "↓"}


def task(panel: str, board: Board, table: Table, column: Column, group_of: Callable[[Row], int]) -> dict[str, Any]:
    """One task's section: verdict, picture, all metrics. ``group_of`` says where a row stands."""
    ceiling = "noise floor" if table.noisy and cards.is_noisy(column) else CEILING
    rows = [row for row in table.rows if row.family != BUNDLE and row.entries[column.task].state != "not supported"]
    sign = -1 if column.higher_is_better else 1
    rows.sort(key=lambda row: (group_of(row), sign * _primary_value(row, column)))
    places = {
        metric: decimals([e for row in rows if (e := row.entries[column.task].scores.get(metric))])
        for metric in column.metrics
    }
    gains = any(_gain(row.entries[column.task]) is not None for row in rows)
    heads = [
        {
            "label": column.titles.get(metric) or labels.metric_label(metric),
            "unit": labels.unit(unit),
            **_direction(higher),
        }
        for metric, (unit, higher) in column.metrics.items()
    ]
    if gains:
        heads.append({"label": "Gain over the start", "unit": "of its error", **_direction(True)})
    return {
        **head(board, column),
        "id": f"{panel}-{column.task}",
        "verdict": verdict.of_task(table, column),
        "anchors": cards.anchors(table, column),
        "figure": draw(column, table.rows, ceiling),
        "metrics": heads,
        "rows": [
            {
                **identity(row),
                "cells": [
                    *(_metric_cell(row.entries[column.task], metric, places[metric]) for metric in column.metrics),
                    *([_gain(row.entries[column.task]) or CellView(state="none")] if gains else []),
                ],
            }
            for row in rows
        ],
    }


def _primary_value(row: Row, column: Column) -> float:
    """The primary score; without one a row comes last among its group, whatever the direction."""
    score = row.entries[column.task].scores.get(column.metric)
    return score.value if score is not None else math.inf * (-1 if column.higher_is_better else 1)


def _metric_cell(entry: Entry, metric: str, places: int) -> CellView:
    score = entry.scores.get(metric)
    if score is None:
        return blank(entry) if entry.state != "ok" else CellView(state="unsupported")
    return scored(
        score,
        places,
        caution=caution(score),
        note="; ".join(dict.fromkeys(r.scores[metric].note for r in entry.results if r.scores[metric].note)),
    )


def _gain(entry: Entry) -> CellView | None:
    """What is gained over the start; or that the answers are those of the fit's own start."""
    same = gain.same_as_start(entry.results)
    adds_nothing = bool(entry.results) and all(result.adds_nothing for result in entry.results)
    if entry.gain is None:
        return CellView(state="ok", value="= its start", note=same, kind="none") if adds_nothing else None
    short, whole = gain.words(entry.gain)
    shown = gain.is_shown(entry.gain) and not adds_nothing
    return CellView(
        state="ok",
        sort=sort_key(entry.gain.value),
        value="= its start" if adds_nothing else short,
        interval=whole if not shown or not whole.startswith(short) else whole.removeprefix(short).strip(),
        note=same,
        caution=caution(entry.gain),
        kind="" if shown else "none",
    )


def cost_columns(table: Table) -> dict[str, Any]:
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
            {"label": cost.title, "unit": cost.unit, "better": "low" if cost.lower_is_better else "high"}
            for cost in shown
        ],
        "words": [(cost.title, cost.description) for cost in shown],
        "rows": [
            {
                **identity(row),
                "task": labels.task_code(column.task),
                "device": ", ".join(dict.fromkeys(r.device for r in results)),
                "hardware": ", ".join(dict.fromkeys(r.hardware for r in results)),
                "cells": [_cost(cost.key, results) for cost in shown],
            }
            for row, column, results in rows
        ],
        "hardware": sorted({r.hardware for _, _, results in rows for r in results if r.hardware}),
    }


def _cost(key: str, results: Sequence[Result]) -> dict[str, str]:
    values = [result.costs[key] for result in results if key in result.costs]
    if not values:
        return {"sort": "", "value": quantity(None)}
    derived = any(key in result.derived_costs for result in results)
    value = statistics.median(values)
    return {"sort": sort_key(value), "value": f"≈ {quantity(value)}" if derived else quantity(value)}
