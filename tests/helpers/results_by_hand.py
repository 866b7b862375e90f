"""Results folders made by hand: cells of given scores, and runs that asked for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench import registry
from channelbench.leaderboard.board import Row, build
from channelbench.results import (
    DatasetCard,
    MetricScore,
    Result,
    RunManifest,
    VariedEntry,
    split_digest,
    write_cell,
)

__all__ = ["FAMILY", "NMSE", "Terms", "draws", "put", "put_anchors", "put_run", "rows_of"]

Terms = NDArray[np.float64]
NMSE = registry.create("metrics", "nmse")
FAMILY = {"zero": "floor", "ceiling": "ceiling", "genie": "reference", "start": "reference"}
SCORES = {"zero": 1.0, "ceiling": 0.0, "genie": 0.01}
"""Of those whose score nobody says."""


def draws(seed: int, drops: int = 2000) -> Terms:
    """Terms of independent drops, skewed as those of an NMSE are; their mean is 1."""
    return np.random.default_rng(seed).gamma(2.0, 0.5, drops)


def put(
    folder: Path,
    method: str,
    task: str,
    value: float | None = None,
    seed: int = 0,
    *,
    conditions: Mapping[str, Any] | None = None,
    metrics: Sequence[str] = ("nmse",),
    terms: Terms | None = None,
    units: NDArray[np.int64] | None = None,
    error: str = "",
    family: str = "classical",
    **more: Any,
) -> None:
    """Write a cell: of one value for every drop, or of ``terms``; failed where there is an ``error``. Metrics beside
    the NMSE say what they make of the same numbers. Anchors and references have the family that their name says;
    ``more`` is what else the cell says."""
    value = SCORES.get(method, 0.5) if value is None else value
    columns = {name: 2 if name == "nmse_pooled" else 1 for name in metrics}
    of = {name: np.full((40, number), value) if terms is None else terms[:, None] for name, number in columns.items()}
    values = {name: value if name == "nmse" else _score(name, array) for name, array in of.items()}
    result = Result(
        method=method,
        title=method.upper(),
        family=FAMILY.get(method, family),
        reference="a paper",
        task=task,
        primary_metric="nmse",
        conditions=conditions or {},
        seed=seed,
        preset="quick",
        status="failed" if error else "ok",
        error=error,
        scores={} if error else {name: MetricScore(value=v, low=v, high=v) for name, v in values.items()},
        num_test=40 if terms is None else len(terms),
        train_digest="",
        test_digest=split_digest("d", "test"),
        **more,
    )
    write_cell(folder, result, {} if error else of, units)


def _score(name: str, terms: Terms) -> float:
    return float(registry.create("metrics", name).finalize(terms.mean(axis=0)))


def put_run(
    folder: Path,
    methods: Sequence[str],
    bundles: Mapping[str, tuple[str, ...]] | None = None,
    conditions: Mapping[str, Mapping[str, str]] | None = None,
    drops: int = 40,
) -> None:
    """Write ``run.json``, and the anchors of both tasks on so many drops, which are to be those of the methods."""
    card = DatasetCard(digest="d", spec={"scenario": "uma"}, seed=0)
    run = RunManifest(
        suite="s",
        preset="quick",
        dataset=card,
        tasks=("ce", "cp"),
        conditions={
            label: VariedEntry(cells=cells, tasks=tuple(task for task, own in cells.items() if own == label))
            for label, cells in (conditions or {}).items()
        },
        methods=tuple(methods),
        bundles=bundles or {},
    )
    (folder / "run.json").write_text(run.model_dump_json())
    put_anchors(folder, "ce", {}, drops)
    put_anchors(folder, "cp", {}, drops)


def put_anchors(folder: Path, task: str, conditions: Mapping[str, Any], drops: int = 40) -> None:
    floor, ceiling = {"ce": (1.0, 0.0), "cp": (0.5, 0.1)}[task]
    put(folder, "zero", task, floor, conditions=conditions, terms=np.full(drops, floor))
    put(folder, "ceiling", task, ceiling, conditions=conditions, terms=np.full(drops, ceiling))


def rows_of(folder: Path) -> dict[str, Row]:
    (table,) = build(folder).tables
    return {row.title: row for row in table.rows}
