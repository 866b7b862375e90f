"""From a results folder to tables of methods and tasks: what is complete, what it is worth and where it ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from channelbench.conditions import DEFAULT
from channelbench.families import BUNDLE, CEILING, FAMILIES, FLOOR, REFERENCE, family_of
from channelbench.leaderboard.audit import Problem, audit
from channelbench.leaderboard.catalogue import find_metric, is_genie, known_here
from channelbench.leaderboard.entries import Column, Entry, Row, Table
from channelbench.leaderboard.estimate import Estimate, average, estimate
from channelbench.leaderboard.gain import gain_over, start_of
from channelbench.leaderboard.provenance import CodeState, code_states
from channelbench.leaderboard.ranking import Rank, best, overall_order, rank_intervals, skill
from channelbench.leaderboard.spread import are_trainings, is_learned, widened
from channelbench.results import Result, RunManifest, VariedEntry, read_terms, read_units

__all__ = ["Board", "Column", "Entry", "Row", "Table", "build"]

_ORDER = {name: 0 if family.ranked else place for place, (name, family) in enumerate(FAMILIES.items())}


@dataclass(frozen=True, kw_only=True)
class Board:
    """The leaderboard of one results folder; the default condition first, ``paper_compat`` last.

    Attributes:
        results: The cells that are what they say.
        left_out: What is wrong with the others.
        unchecked: Names of cells with scores that cannot be worked out again: their metrics are not installed here.
        code: Whether the code of each cell is the one that is here, by its name.
    """

    manifest: RunManifest
    results: tuple[Result, ...]
    tables: tuple[Table, ...]
    left_out: tuple[Problem, ...] = ()
    unchecked: frozenset[str] = frozenset()
    code: Mapping[str, CodeState] = field(default_factory=dict)


def build(folder: Path) -> Board:
    """The leaderboard of a results folder, of those cells that are what they say.

    Raises:
        RequestError: the folder has neither a readable ``run.json`` nor a cell.
    """
    found = audit(folder)
    manifest, results = found.manifest, found.results
    tables = [_table(folder, manifest, results, label, varied) for label, varied in _varied(manifest, results)]
    tables.sort(key=_place)
    return Board(
        manifest=manifest,
        results=results,
        tables=tuple(tables),
        left_out=found.problems,
        unchecked=found.unchecked,
        code=code_states(manifest, results),
    )


def _varied(manifest: RunManifest, results: Sequence[Result]) -> list[tuple[str, VariedEntry]]:
    """Each condition that has cells of its own, and what the run has left word of it."""
    written = {(result.task, result.condition) for result in results}
    known = {
        label: entry
        for label, entry in manifest.conditions.items()
        if any((task, entry.cells[task]) in written for task in entry.tasks)
    }
    shown = {cell for entry in known.values() for cell in entry.cells.items()}
    others = dict.fromkeys(result.condition for result in results if (result.task, result.condition) not in shown)
    whole = {label: VariedEntry(cells={}, tasks=manifest.tasks) for label in others if label not in known}
    return [*known.items(), *whole.items()]


def _place(table: Table) -> tuple[bool, bool, float, str]:
    snr_db = table.changes.get("snr_db")
    return table.noisy, table.condition != DEFAULT, snr_db if isinstance(snr_db, float) else 0.0, table.condition


def _table(folder: Path, manifest: RunManifest, results: Sequence[Result], label: str, varied: VariedEntry) -> Table:
    wanted = {task: varied.cells.get(task, label) for task in manifest.tasks}
    cells: dict[tuple[str, str], dict[int, Result]] = {}
    changes: Mapping[str, bool | int | float | str | None] = {}
    for result in results:
        if result.condition == wanted.get(result.task, label):
            cells.setdefault((result.method, result.task), {})[result.seed] = result
            changes = result.conditions if result.task in varied.tasks else changes
    rows = []
    for method in dict.fromkeys([*manifest.methods, *(result.method for result in results)]):
        of_method = [result for result in results if result.method == method]
        if label != DEFAULT and method in manifest.once and not any((method, task) in cells for task in varied.tasks):
            continue
        seeds = _expected_seeds(manifest, method, of_method)
        entries = {
            task: _entry(folder, cells.get((method, task), {}), seeds, _declares(manifest, method, task, of_method))
            for task in manifest.tasks
        }
        rows.append(
            Row(
                method=method,
                title=of_method[0].title if of_method else known_here(method).title,
                family=of_method[0].family if of_method else known_here(method).family,
                entries=entries,
                seeds=len(seeds),
            )
        )
    of_table = [result for each in cells.values() for result in each.values()]
    columns = tuple(_column(task, rows, of_table, wanted[task], task in varied.tasks) for task in manifest.tasks)
    rows = _with_ranks(rows, columns)
    counted = _of_overall(columns, manifest.overall)
    overall = _overall([*rows, *_bundles(manifest, rows)], counted)
    rows = _with_gains(_with_spread(rows, columns), columns)
    rows += _bundles(manifest, rows)
    return Table(
        condition=label,
        changes=changes,
        columns=columns,
        rows=_in_order(rows, overall),
        overall=tuple(column.task for column in counted),
    )


def _expected_seeds(manifest: RunManifest, method: str, of_method: Sequence[Result]) -> tuple[int, ...]:
    """The seeds that a method has anywhere in the folder, and as many more as the run asks for."""
    seeds = {result.seed for result in of_method}
    wanted = max(manifest.seeds.get(method, 0), len(seeds), 1)
    spare = (seed for seed in range(wanted + len(seeds)) if seed not in seeds)
    while len(seeds) < wanted:
        seeds.add(next(spare))
    return tuple(sorted(seeds))


def _declares(manifest: RunManifest, method: str, task: str, of_method: Sequence[Result]) -> bool:
    """Whether the method has an answer to the task; where the run did not say, whether it ever gave one."""
    if method in manifest.method_tasks:
        return task in manifest.method_tasks[method]
    return not of_method or any(result.task == task for result in of_method)


def _entry(folder: Path, cells: Mapping[int, Result], seeds: Sequence[int], declared: bool) -> Entry:
    results = tuple(cells[seed] for seed in sorted(cells))
    missing = tuple(seed for seed in seeds if seed not in cells)
    failed = [result for result in results if result.status == "failed"]
    if failed:
        error = failed[0].error or "no reason given"
        detail = error if len(seeds) == 1 else f"{len(failed)} of {len(seeds)} seeds: {error}"
        return Entry(state="failed", detail=detail, results=results, missing_seeds=missing)
    if not results and not declared:
        return Entry(state="not supported")
    if missing:
        detail = f"{len(results)} of {len(seeds)} seeds" if results else ""
        return Entry(state="not run", detail=detail, results=results, missing_seeds=missing)
    terms = {result.seed: read_terms(folder, result) for result in results}
    units = read_units(folder, results[0])
    names = [name for name in results[0].scores if all(name in result.scores for result in results)]
    learned = are_trainings(results)
    # One seed's interval stands in its cell; replicates are for several seeds, and for what is ranked.
    scores = {
        name: estimate(
            {result.seed: result.scores[name] for result in results},
            {seed: arrays[name] for seed, arrays in terms.items() if name in arrays},
            find_metric(name, results[0].scores[name])
            if len(results) > 1 or name == results[0].primary_metric
            else None,
            units,
            learned=learned,
            ranked=name == results[0].primary_metric,
        )
        for name in names
    }
    return Entry(state="ok", scores=scores, results=results, least=_least(results[0], terms[results[0].seed]))


def _least(result: Result, terms: Mapping[str, NDArray[np.float64]]) -> float | None:
    """The least primary score that a cell tells from 0, where its metric counts decades."""
    primary = result.primary_metric
    metric = find_metric(primary, result.scores[primary]) if primary in result.scores and primary in terms else None
    return None if metric is None else metric.least(terms[primary])


def _column(task: str, rows: Sequence[Row], results: Sequence[Result], condition: str, varied: bool) -> Column:
    of_task = [result for result in results if result.task == task]
    primary = of_task[0].primary_metric if of_task else ""
    metrics: dict[str, tuple[str, bool]] = {primary: ("", False)}
    titles = {name: score.title for result in of_task for name, score in result.scores.items() if score.title}
    for result in of_task:
        metrics |= {name: (score.unit, score.higher_is_better) for name, score in result.scores.items()}
    unit, higher = metrics[primary]

    def anchor(family: str, *, genies: bool = False) -> tuple[str, Estimate] | None:
        scores = {
            row.method: row.entries[task].scores[primary]
            for row in rows
            if row.family == family and primary in row.entries[task].scores
            if not genies or is_genie(row.entries[task].results[0])
        }
        name = best(scores, higher_is_better=higher)
        return None if name is None else (name, scores[name])

    return Column(
        task=task,
        metric=primary,
        unit=unit,
        higher_is_better=higher,
        metrics=metrics,
        titles=titles,
        condition=condition,
        varied=varied,
        least=next((e.least for row in rows if (e := row.entries[task]).least is not None), None),
        floor=anchor(FLOOR),
        ceiling=anchor(CEILING),
        limit=anchor(REFERENCE, genies=True),
    )


def _with_ranks(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Skill of every complete entry, and ranks per task among contestants."""
    entries = {row.method: dict(row.entries) for row in rows}
    for column in columns:
        task = column.task
        scores = _scores(rows, task, column.metric)
        ranks = rank_intervals(
            {row.method: scores[row.method] for row in rows if row.is_contestant and row.method in scores},
            _families(rows),
            higher_is_better=column.higher_is_better,
            trivial=column.floor[1].value if column.floor else None,
        )
        for method, score in scores.items():
            worth = None
            if column.has_skill and column.floor and column.ceiling:
                worth = skill(score, column.floor[1], column.ceiling[1], column.least)
            entries[method][task] = replace(entries[method][task], skill=worth, rank=ranks.get(method))
    return [replace(row, entries=entries[row.method]) for row in rows]


def _with_spread(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """The rows with the spread between trainings in the intervals of their scores and skills."""
    entries = {row.method: dict(row.entries) for row in rows}
    for column in columns:
        for metric in column.metrics:
            for method, score in widened(_scores(rows, column.task, metric), _families(rows)).items():
                entry = entries[method][column.task]
                worth = entry.skill
                if metric == column.metric and worth is not None and column.floor and column.ceiling:
                    worth = skill(score, column.floor[1], column.ceiling[1], column.least)
                scores = {**entry.scores, metric: score}
                entries[method][column.task] = replace(entry, scores=scores, skill=worth)
    return [replace(row, entries=entries[row.method]) for row in rows]


def _with_gains(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """The rows with what each gains over the start that networks correct; the anchors and the start itself have no
    gain."""
    entries = {row.method: dict(row.entries) for row in rows}
    families = {row.method: row.family for row in rows}
    for column in columns:
        scores = _scores(rows, column.task, column.metric)
        start, ceiling = start_of(scores, families), column.ceiling and column.ceiling[1]
        for method, score in scores.items():
            if score is not start and not family_of(families[method]).anchor:
                worth = gain_over(start, score, ceiling)
                entries[method][column.task] = replace(entries[method][column.task], gain=worth)
    return [replace(row, entries=entries[row.method]) for row in rows]


def _scores(rows: Sequence[Row], task: str, metric: str) -> dict[str, Estimate]:
    return {row.method: e.scores[metric] for row in rows if metric in (e := row.entries[task]).scores}


def _families(rows: Sequence[Row]) -> dict[str, str]:
    """Whose trainings each row's are like: those of its family; of a bundle, of what it has of learned members."""
    return {row.method: next(_learned_families(row), row.family) for row in rows}


def _learned_families(row: Row) -> Iterator[str]:
    results = (result for entry in row.entries.values() for result in entry.results)
    return (result.family for result in results if row.family == BUNDLE and is_learned(result.family, 1))


def _bundles(manifest: RunManifest, rows: Sequence[Row]) -> list[Row]:
    """A bundle answers each task with its first member that supports it, whether that member succeeded or not."""
    by_method = {row.method: row for row in rows}
    bundles = []
    for name, members in manifest.bundles.items():
        known = [by_method[member] for member in members if member in by_method]
        if len(known) < len(members):
            continue  # without one of its members it would be another bundle
        entries = {}
        for task in manifest.tasks:
            member = next((row for row in known if row.entries[task].state != "not supported"), None)
            entries[task] = (
                Entry(state="not supported")
                if member is None
                else replace(member.entries[task], member=member.title, missing_seeds=())
            )
        seeds = min((row.seeds for row in known if is_learned(row.family, row.seeds)), default=1)
        bundles.append(Row(method=f"{BUNDLE}:{name}", title=name, family=BUNDLE, entries=entries, seeds=seeds))
    return bundles


def _of_overall(columns: Sequence[Column], named: Sequence[str]) -> list[Column]:
    """The columns whose mean skill is the overall one: those that have the table's conditions, and of them those of the
    tasks that the suite names, if it names any that are here."""
    varied = [column for column in columns if column.varied]
    return [column for column in varied if column.task in named] or varied


def _overall(rows: Sequence[Row], columns: Sequence[Column]) -> dict[str, tuple[Estimate, Rank | None]]:
    """Mean skill of the rows that have one in each of these columns, and ranks among methods: a bundle is a choice of
    these, and has no place beside those that it is made of."""
    complete: dict[str, Estimate] = {}
    for row in rows:
        skills = [row.entries[column.task].skill for column in columns]
        if skills and all(s is not None for s in skills):
            complete[row.method] = average([s for s in skills if s is not None])
    families = _families(rows)
    ranks = rank_intervals(
        {
            row.method: complete[row.method]
            for row in rows
            if row.is_contestant and row.family != BUNDLE and row.method in complete
        },
        families,
        higher_is_better=True,
        trivial=0.0,
    )
    return {method: (shown, ranks.get(method)) for method, shown in widened(complete, families).items()}


def _in_order(rows: Sequence[Row], overall: Mapping[str, tuple[Estimate, Rank | None]]) -> tuple[Row, ...]:
    done = {}
    for row in rows:
        worth, rank = overall.get(row.method, (None, None))
        done[row.method] = replace(row, overall=worth, rank=rank)
    order = overall_order([(row.method, row.overall, row.covered) for row in done.values()])
    return tuple(sorted((done[method] for method in order), key=lambda row: _ORDER.get(row.family, 0)))
