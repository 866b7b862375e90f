"""The leaderboard as a tidy table: one row per method, task, condition, metric and seed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from channelbench.costs import COSTS
from channelbench.families import BUNDLE
from channelbench.leaderboard import entrants, labels
from channelbench.leaderboard.board import Board, Column, Entry, Row, Table
from channelbench.leaderboard.catalogue import task_entry
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.gain import same_as_start
from channelbench.results import Result

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "as_csv", "tidy"]

_COSTS = tuple(column.key for column in COSTS.values() if column.shown)

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With what text may not begin in a spreadsheet."""

COLUMNS = (
    *("method", "title", "family", "task", "conditions", "snr_db", "paper_compat", "metric", "unit"),
    *("higher_is_better", "primary", "seed", "status", "error", "value", "low", "high", "num_test"),
    *("mean", "mean_low", "mean_high", "seed_spread"),
    *("floor", "ceiling", "skill", "rank_low", "rank_high"),
    *("gain_over_start", "gain_low", "gain_high", "same_as_start", "remark"),
    *("overall_skill", "overall_rank_low", "overall_rank_high", "tasks_covered"),
    *_COSTS,
    *("weights", "device", "hardware", "arithmetic", "suite", "preset", "dataset", "train_digest", "test_digest"),
    *("versions", "created", "derived_costs", "code"),
)
"""Columns of the table. ``status`` is ``ok``, ``failed`` or ``not run``. ``low`` to ``high`` is the interval of the
row's own seed, over the drops alone; ``mean_low`` to ``mean_high`` that of the mean over seeds, with the spread between
trainings in it as far as ``seed_spread`` says: ``own``, ``pooled`` with comparable rows, ``unknown`` (nothing of it),
or empty where nothing is trained. On rows of the primary metric ``floor`` and ``ceiling`` are the anchors, ``skill``
that of the row's own seed, ``rank_low`` to ``rank_high`` the places that the method may have in the task, and
``gain_over_start`` the share of the start's error that the method removes, with its interval (``leaderboard.gain``).
``same_as_start`` counts the cases that the row's own fit answers as it would without its network, and ``remark`` says
so where these are all, and has what the dataset's source says of every row. The ``overall_`` columns repeat the
method's; bundles are means of rows that stand here already and have none. ``code`` is ``same``, ``changed`` or ``not
installed`` beside the code that is here, and ``unknown`` where the cell does not say. ``derived_costs`` names latencies
that were worked out from the scoring time."""


def tidy(board: Board) -> pd.DataFrame:
    """The whole leaderboard, with the columns of ``COLUMNS``, those of who entered the methods where a cell says so,
    and any further cost that cells report.

    Combinations that a method does not support have no row. Integers that may be absent are ``Int64``.
    """
    import pandas as pd

    records = [record for table in board.tables for row in table.rows for record in _of_row(board, table, row)]
    if words := labels.source_remark(board.manifest.dataset.spec):
        for record in records:
            record["remark"] = f"{record['remark']}; {words}" if record.get("remark") else words
    extra = sorted({key for result in board.results for key in result.costs} - set(_COSTS))
    frame = pd.DataFrame.from_records(records, columns=[*COLUMNS, *entrants.shown(board.results), *extra])
    types = {
        "seed": "Int64",
        "num_test": "Int64",
        "same_as_start": "Int64",
        "rank_low": "Int64",
        "rank_high": "Int64",
        "overall_rank_low": "Int64",
        "overall_rank_high": "Int64",
        "tasks_covered": "Int64",
    }
    return frame.astype(types)


def as_csv(frame: pd.DataFrame) -> bytes:
    """The table as a CSV file. Text that a spreadsheet would take for a formula, as a title or an error of somebody
    else's may begin, has an apostrophe before it, which makes it text there."""
    inert = frame.copy()
    for name in frame.select_dtypes(include=["object", "string"]):
        inert[name] = frame[name].map(_inert)
    return inert.to_csv(index=False).encode()


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _of_row(board: Board, table: Table, row: Row) -> Iterator[dict[str, Any]]:
    if row.family == BUNDLE:
        return
    for column in table.columns:
        if not column.varied and (table.condition, column.condition) not in _first_shown(board, column.task):
            continue
        entry = row.entries[column.task]
        varied = {**task_entry(board.manifest, column.task).fields, **(table.changes if column.varied else {})}
        shared = {
            "method": row.method,
            "title": row.title,
            "family": row.family,
            "task": column.task,
            "conditions": column.condition,
            "snr_db": varied.get("snr_db"),
            "paper_compat": varied.get("paper_compat"),
            "suite": board.manifest.suite,
            "preset": board.manifest.preset,
            "dataset": board.manifest.dataset.digest,
            "overall_skill": None if row.overall is None else row.overall.value,
            "overall_rank_low": None if row.rank is None else row.rank.low,
            "overall_rank_high": None if row.rank is None else row.rank.high,
            "tasks_covered": row.covered,
        }
        for result in entry.results:
            code = board.code.get(result.name)
            yield from ({**shared, **record, "code": code} for record in _of_cell(column, entry, result))
        for seed in entry.missing_seeds:
            yield {**shared, **_primary(column), "seed": seed, "status": "not run", "error": entry.detail}


def _first_shown(board: Board, task: str) -> set[tuple[str, str]]:
    """``(table, condition of the task's cells)`` of the table that shows these cells first: they stand here once."""
    first: dict[str, str] = {}
    for table in sorted(board.tables, key=lambda table: not _column_of(table, task).varied):
        first.setdefault(_column_of(table, task).condition, table.condition)
    return {(table, condition) for condition, table in first.items()}


def _column_of(table: Table, task: str) -> Column:
    return next(column for column in table.columns if column.task == task)


def _of_cell(column: Column, entry: Entry, result: Result) -> Iterator[dict[str, Any]]:
    cell = {
        **result.costs,
        "seed": result.seed,
        "status": result.status,
        "error": result.error,
        "num_test": result.num_test,
        "same_as_start": result.same_as_start,
        "remark": same_as_start([result]) if result.adds_nothing else None,
        "derived_costs": " ".join(result.derived_costs) or None,
        "weights": result.weights or None,
        **{name: getattr(result, name) or None for name in entrants.COLUMNS},
        "device": result.device,
        "hardware": result.hardware,
        "arithmetic": result.arithmetic or None,
        "train_digest": result.train_digest,
        "test_digest": result.test_digest,
        "versions": json.dumps(dict(result.versions), sort_keys=True),
        "created": result.created,
    }
    if result.status == "failed":
        yield {**cell, **_primary(column)}
    for name, score in result.scores.items():
        record = {
            **cell,
            "metric": name,
            "unit": score.unit,
            "higher_is_better": score.higher_is_better,
            "primary": name == column.metric,
            "value": score.value,
            "low": score.low,
            "high": score.high,
        }
        if score.note:
            record["remark"] = score.note
        record |= _over_seeds(entry.scores[name]) if name in entry.scores else {}
        yield record | (_standing(column, entry, result.seed) if name == column.metric else {})


def _primary(column: Column) -> dict[str, Any]:
    return {
        "metric": column.metric,
        "unit": column.unit,
        "higher_is_better": column.higher_is_better,
        "primary": True,
    }


def _over_seeds(score: Estimate) -> dict[str, Any]:
    spread = score.spread
    known = "unknown" if spread is None else "pooled" if spread.pooled else "own"
    return {
        "mean": score.value,
        "mean_low": score.low,
        "mean_high": score.high,
        "seed_spread": known if score.seeds else None,
    }


def _standing(column: Column, entry: Entry, seed: int) -> dict[str, Any]:
    return {
        "floor": None if column.floor is None else column.floor[1].value,
        "ceiling": None if column.ceiling is None else column.ceiling[1].value,
        "skill": None if entry.skill is None else entry.skill.by_seed.get(seed),
        "rank_low": None if entry.rank is None else entry.rank.low,
        "rank_high": None if entry.rank is None else entry.rank.high,
        "gain_over_start": None if entry.gain is None else entry.gain.value,
        "gain_low": None if entry.gain is None else entry.gain.low,
        "gain_high": None if entry.gain is None else entry.gain.high,
    }
