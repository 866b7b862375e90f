"""From what commands know to what ``--json`` says; see ``answers``."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from channelbench.cli.answers import (
    AnchorModel,
    Answer,
    BoardModel,
    ColumnModel,
    MethodModel,
    PlanModel,
    ScoreModel,
    StageModel,
    TableModel,
)
from channelbench.costs import COSTS
from channelbench.families import BUNDLE
from channelbench.leaderboard import labels, verdict
from channelbench.leaderboard.entries import Column, Row, Table

if TYPE_CHECKING:
    from channelbench.benchmarks.exhibits import Written
    from channelbench.benchmarks.plan import RunPlan
    from channelbench.leaderboard.estimate import Estimate
    from channelbench.results import Result

__all__ = ["answer", "board_model", "plan_model"]


def answer(found: Answer) -> None:
    """Write it on standard output."""
    typer.echo(json.dumps(found.document(), ensure_ascii=False))


def plan_model(plan: RunPlan) -> PlanModel:
    """What a run is about to do."""
    return PlanModel(
        suite=plan.suite,
        preset=plan.preset,
        dataset=plan.data.path,
        samples=plan.data.samples,
        digest=plan.data.digest,
        device=plan.device,
        where=plan.where,
        share=plan.share,
        cells=plan.cells,
        stages=[
            StageModel(
                folder=stage.folder,
                dataset=stage.data.path,
                cells=stage.cells,
                there=stage.there,
                stale=stage.stale,
                fits=stage.fits,
                learned=stage.learned,
            )
            for stage in plan.stages
        ],
        makes=[data.path for data in (plan.data, *plan.further) if not data.digest],
        skipped=dict(plan.skipped),
        seconds=plan.time.seconds if plan.time.known else None,
        fits_known=plan.time.known,
    )


def board_model(written: Written, folder: str | Path) -> BoardModel:
    """The leaderboard of a results folder."""
    board = written.board
    tables = [_table(table) for table in board.tables]
    shown = dict.fromkeys(key for result in board.results for key in result.costs)
    return BoardModel(
        folder=str(folder),
        suite=board.manifest.suite,
        preset=board.manifest.preset,
        dataset=board.manifest.dataset.digest,
        verdict=tables[0].verdict if tables else "",
        tables=tables,
        cost_units={key: COSTS[key].unit if key in COSTS else "" for key in shown},
        left_out=[str(problem) for problem in board.left_out],
        skipped=dict(board.manifest.skipped),
        csv=str(written.csv),
        html=str(written.html),
    )


def _table(table: Table) -> TableModel:
    methods = [row for row in table.rows if row.family != BUNDLE]
    return TableModel(
        condition=table.condition,
        conditions=dict(table.changes),
        verdict=verdict.text(verdict.of_table(table)),
        tasks=[_column(table, column) for column in table.columns],
        methods=[_method(row) for row in methods],
        scores=[score for row in methods for score in _scores(row, table.columns)],
    )


def _column(table: Table, column: Column) -> ColumnModel:
    return ColumnModel(
        task=column.task,
        metric=column.metric,
        title=column.titles.get(column.metric) or labels.metric_label(column.metric),
        unit=column.unit,
        higher_is_better=column.higher_is_better,
        condition=column.condition,
        floor=_anchor(column.floor),
        ceiling=_anchor(column.ceiling),
        limit=_anchor(column.limit),
        verdict=verdict.text(verdict.of_task(table, column)),
    )


def _method(row: Row) -> MethodModel:
    return MethodModel(
        method=row.method,
        title=row.title,
        family=row.family,
        ranked=row.is_contestant,
        mean_skill=row.overall,
        rank=row.rank,
    )


def _scores(row: Row, columns: Sequence[Column]) -> Iterator[ScoreModel]:
    for column in columns:
        entry = row.entries[column.task]
        yield ScoreModel(
            method=row.method,
            task=column.task,
            state=entry.state,
            detail=entry.detail,
            score=entry.scores.get(column.metric),
            metrics=dict(entry.scores),
            skill=entry.skill,
            rank=entry.rank,
            seeds=[result.seed for result in entry.results],
            costs=_costs(entry.results),
        )


def _costs(results: Sequence[Result]) -> dict[str, float]:
    """Medians over seeds, as the page has them."""
    keys = dict.fromkeys(key for result in results for key in result.costs)
    return {key: statistics.median(r.costs[key] for r in results if key in r.costs) for key in keys}


def _anchor(anchor: tuple[str, Estimate] | None) -> AnchorModel | None:
    if anchor is None:
        return None
    method, score = anchor
    return AnchorModel(method=method, value=score.value, low=score.low, high=score.high)
