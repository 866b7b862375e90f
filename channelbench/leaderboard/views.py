"""What exhibits are made from: a results folder under each of its conditions, and what its cells say there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from channelbench.bootstrap import interval as bootstrap_interval
from channelbench.conditions import DEFAULT
from channelbench.contracts import Metric
from channelbench.leaderboard.board import Board, Entry, Row, Table, build
from channelbench.leaderboard.catalogue import find_metric
from channelbench.leaderboard.estimate import MIN_SEEDS, Estimate, estimate
from channelbench.leaderboard.spread import are_trainings
from channelbench.results import Result, read_strata, read_terms, read_units

__all__ = ["Run", "View"]


@dataclass(frozen=True)
class View:
    """A results folder under one condition."""

    folder: Path
    table: Table

    @property
    def condition(self) -> str:
        """Label of the condition."""
        return self.table.condition

    @property
    def noisy(self) -> bool:
        """Whether targets carry noise."""
        return self.table.noisy

    @property
    def title(self) -> str:
        return "paper_compat: targets carry noise" if self.noisy else "clean targets"

    @cached_property
    def _rows(self) -> dict[str, Row]:
        return {row.method: row for row in self.table.rows}

    @cached_property
    def _scores(self) -> dict[tuple[str, str, str], Estimate | None]:
        return {}

    def entry(self, method: str, task: str) -> Entry | None:
        """All seeds of a method on a task, or ``None`` where the run knows of neither."""
        row = self._rows.get(method)
        return None if row is None else row.entries.get(task)

    def results(self, methods: Iterable[str]) -> list[Result]:
        """Every cell of some methods."""
        rows = [self._rows[method] for method in methods if method in self._rows]
        return [result for row in rows for entry in row.entries.values() for result in entry.results]

    def score(self, method: str, task: str, metric: str) -> Estimate | None:
        """A metric over all seeds, with replicates on the resampled drops; ``None`` unless every seed is there."""
        key = (method, task, metric)
        if key not in self._scores:
            self._scores[key] = self._estimate(*key)
        return self._scores[key]

    def _estimate(self, method: str, task: str, metric: str) -> Estimate | None:
        entry = self.entry(method, task)
        if entry is None or entry.state != "ok" or not all(metric in r.scores for r in entry.results):
            return None
        terms = {result.seed: read_terms(self.folder, result) for result in entry.results}
        over_drops = estimate(
            {result.seed: result.scores[metric] for result in entry.results},
            {seed: arrays[metric] for seed, arrays in terms.items() if metric in arrays},
            find_metric(metric, entry.results[0].scores[metric]),
            read_units(self.folder, entry.results[0]),
            learned=are_trainings(entry.results),
            ranked=True,
        )
        shown = entry.scores.get(metric)
        return over_drops.widened(None if shown is None else shown.spread)

    def by_stratum(self, method: str, task: str, metric: str, stratum: str) -> dict[float, Estimate]:
        """A metric over the cases of each value of a stratum, and all seeds; empty unless every seed is there, and
        where the cells do not tell their cases apart. Of the spread between trainings the intervals hold nothing:
        ``leaderboard.spread.widened`` adds it."""
        entry = self.entry(method, task)
        if entry is None or entry.state != "ok" or not all(metric in r.scores for r in entry.results):
            return {}
        first = entry.results[0]
        values = read_strata(self.folder, first).get(stratum)
        found = find_metric(metric, first.scores[metric])
        if values is None or found is None:
            return {}
        terms = {result.seed: read_terms(self.folder, result)[metric] for result in entry.results}
        units = read_units(self.folder, first)
        return {
            float(value): _within(entry.results, terms, units, found, metric, np.flatnonzero(values == value))
            for value in np.unique(values[~np.isnan(values)])
        }

    def least(self, method: str, task: str, metric: str) -> float | None:
        """The least score that a cell tells from 0, where the metric counts decades; see ``Metric.least``."""
        entry = self.entry(method, task)
        if entry is None or entry.state != "ok" or metric not in entry.results[0].scores:
            return None
        found = find_metric(metric, entry.results[0].scores[metric])
        terms = read_terms(self.folder, entry.results[0])
        return None if found is None or metric not in terms else found.least(terms[metric])

    def higher_is_better(self, task: str, metric: str) -> bool | None:
        """Which way a metric points, as the cells of a task say; ``None`` where none has it."""
        column = next((column for column in self.table.columns if column.task == task), None)
        known = {} if column is None else column.metrics
        return known[metric][1] if metric in known else None

    def primary(self, task: str) -> str:
        """Name of a task's primary metric; empty where the run does not have the task."""
        return next((column.metric for column in self.table.columns if column.task == task), "")

    def missing(self, method: str, task: str) -> str:
        """Why there is no score."""
        entry = self.entry(method, task)
        if entry is None or entry.state == "not run":
            return f"not complete: {entry.detail}" if entry is not None and entry.detail else "not run"
        return f"{entry.state}: {entry.detail}" if entry.detail else entry.state

    def provenance(self, pairs: Iterable[tuple[str, str]]) -> str:
        """Seeds and backbone weights of ``(method, task)`` pairs, as their cells have them; ``1 to 3 seeds`` where
        these differ."""
        entries = [self.entry(method, task) for method, task in pairs]
        groups = [entry.results for entry in entries if entry is not None and entry.results]
        seeds = [len(results) for results in groups if are_trainings(results)]
        weights = dict.fromkeys(result.weights for results in groups for result in results if result.weights)
        fewest, most = min(seeds, default=0), max(seeds, default=0)
        count = str(most) if fewest == most else f"{fewest} to {most}"
        words = f"{count} seed{'s' if most > 1 else ''}" if seeds else ""
        return " · ".join(part for part in (words, *weights) if part)

    def few_seeds(self, method: str, task: str) -> int:
        """The number of seeds where they are too few to show the spread between trainings, else 0."""
        entry = self.entry(method, task)
        count = len(entry.results) if entry is not None else 0
        return count if 0 < count < MIN_SEEDS else 0


def _within(
    results: Sequence[Result],
    terms: Mapping[int, NDArray[np.float64]],
    units: NDArray[np.int64] | None,
    found: Metric,
    metric: str,
    cases: NDArray[np.int64],
) -> Estimate:
    """The estimate over some of the cases."""
    of_cases = {seed: array[cases] for seed, array in terms.items()}
    of_units = None if units is None else units[cases]
    scores = {}
    for result in results:
        value, low, high = bootstrap_interval(found, of_cases[result.seed], of_units)
        scores[result.seed] = result.scores[metric].model_copy(update={"value": value, "low": low, "high": high})
    return estimate(scores, of_cases, found, of_units, learned=are_trainings(results))


@dataclass(frozen=True)
class Run:
    """A results folder."""

    folder: Path
    board: Board

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Raises: RequestError: it is none."""
        return cls(folder, build(folder))

    @cached_property
    def views(self) -> tuple[View, ...]:
        """The run under the default condition and under plain ``paper_compat``; without either, under its first."""
        shown = [t for t in self.board.tables if t.condition in (DEFAULT, "paper_compat=true")]
        return tuple(View(self.folder, table) for table in shown or self.board.tables[:1])

    @cached_property
    def all_views(self) -> tuple[View, ...]:
        """The run under each of its conditions, in the order in which the run states them."""
        order = {label: place for place, label in enumerate(self.board.manifest.conditions)}
        tables = sorted(self.board.tables, key=lambda table: order.get(table.condition, len(order)))
        return tuple(View(self.folder, table) for table in tables)
