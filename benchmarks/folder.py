"""One results folder: whose it is, which of its cells are missing, and making those."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from channelbench import registry
from channelbench.benchmarks import scoring
from channelbench.benchmarks.jobs import Job, Leg, Perform, Reporter, limit_of, one_by_one
from channelbench.benchmarks.request import Request, conditions_of
from channelbench.conditions import Conditions, condition_label
from channelbench.contracts import Method, Task
from channelbench.errors import RequestError
from channelbench.families import CEILING, family_of
from channelbench.results import (
    DatasetCard,
    Result,
    RunManifest,
    TaskEntry,
    VariedEntry,
    cell_name,
    read_cells,
    write_atomic,
    write_cell,
)
from channelbench.store.dataset import ChannelDataset

__all__ = ["Job", "Leg", "Outcome", "Reporter", "fill", "limit_of"]


@dataclass
class Outcome:
    """What a run left behind.

    Attributes:
        folder: The results folder.
        written: Cells that this run made there.
        kept: Cells that were there already.
        transfers: The same of the results folders below it, by name: ``rma-1.9/zero-shot``.
    """

    folder: Path
    written: list[Result] = field(default_factory=list)
    kept: int = 0
    transfers: dict[str, Outcome] = field(default_factory=dict)

    @property
    def failed(self) -> list[Result]:
        return [result for result in self.written if result.status == "failed"]


def fill(request: Request, leg: Leg, reporter: Reporter, perform: Perform = one_by_one) -> Outcome:
    """Make the cells of a request that are not in the leg's folder yet, each written as soon as it is made.

    Raises:
        RequestError: the folder is not ours, or its cells could not stand beside ours; nothing has been written.
    """
    plan = _Plan.of(request, leg)
    _claim(leg.folder, _manifest(request, leg, plan))
    outcome = Outcome(leg.folder)
    there = {result.name for result in read_cells(leg.folder) if result.status == "ok"}
    ceilings = [
        (request.tasks[name], condition)
        for name, conditions in plan.conditions.items()
        for condition in conditions
        if request.tasks[name].ceiling_note and cell_name(CEILING, name, condition.label, 0) not in there
    ]
    jobs = list(_jobs(request, plan, there))
    outcome.kept = len(there)
    reporter.planned(len(ceilings) + sum(len(job.cells) for job in jobs), len(there))

    def keep(result: Result, scored: scoring.Scored) -> None:
        write_cell(leg.folder, result, scored.terms, scored.units)
        outcome.written.append(result)
        reporter.finished(result)

    for task, condition in ceilings:
        common = scoring.common_fields(
            task=task,
            train=leg.train,
            test=leg.test,
            conditions=condition,
            seed=0,
            preset=request.preset,
            device="cpu",
            method=None,
        )
        keep(*scoring.ceiling_cell(common, task, leg.test, condition))
    for result, scored in perform(jobs, request, leg, reporter):
        keep(result, scored)
    return outcome


# --- where results go -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """What is varied in a folder.

    Attributes:
        conditions: Of each task, each once.
        tables: What is varied, by label.
    """

    conditions: Mapping[str, tuple[Conditions, ...]]
    tables: Mapping[str, VariedEntry]

    @classmethod
    def of(cls, request: Request, leg: Leg) -> _Plan:
        found: dict[str, dict[str, Conditions]] = {name: {} for name in request.tasks}
        tables = {}
        for varied in request.conditions:
            each = conditions_of(request.tasks, varied, leg.test.spec)
            for name, condition in each.items():
                found[name][condition.label] = condition
            having = tuple(name for name, task in request.tasks.items() if task.conditions.has(varied))
            cells = {name: condition.label for name, condition in each.items()}
            tables[cells[having[0]]] = VariedEntry(cells=cells, tasks=having)
        return cls({name: tuple(each.values()) for name, each in found.items()}, tables)


def _task_entry(task: Task, conditions: tuple[Conditions, ...]) -> TaskEntry:
    return TaskEntry(
        title=task.card.label,
        description=task.card.description,
        fields={name: info.default for name, info in task.conditions.model_fields.items()},
        sentences={condition.label: condition.sentence for condition in conditions},
    )


def _manifest(request: Request, leg: Leg, plan: _Plan) -> RunManifest:
    methods = request.methods
    return RunManifest(
        suite=request.suite.card.name,
        preset=request.preset,
        dataset=_dataset_card(leg.test),
        tasks=tuple(request.tasks),
        task_entries={name: _task_entry(task, plan.conditions[name]) for name, task in request.tasks.items()},
        conditions=plan.tables,
        methods=tuple(methods),
        method_tasks={name: _understood(method, request.tasks) for name, method in methods.items()},
        seeds={name: request.num_seeds if method.learned else 1 for name, method in methods.items()},
        joint_tasks={
            name: tuple(task.card.name for task in tasks)
            for name, method in methods.items()
            if method.joint and (tasks := _own_tasks(method, request.tasks))
        },
        bundles=dict(request.suite.bundles),
        backbone=request.backbone if any(family_of(method.card.family).backbone for method in methods.values()) else "",
        source=None if leg.source is None else _dataset_card(leg.source),
        setting=leg.setting,
    )


def _dataset_card(dataset: ChannelDataset) -> DatasetCard:
    return DatasetCard(
        digest=dataset.digest,
        spec=dataset.spec.model_dump(mode="json"),
        seed=dataset.seed,
        versions=dataset.versions,
    )


def _claim(folder: Path, manifest: RunManifest) -> None:
    """Write or extend ``run.json``; refuse a folder whose cells could not stand beside ours."""
    path = folder / "run.json"
    if path.exists():
        try:
            before = RunManifest(**json.loads(path.read_text()))
        except (ValueError, OSError) as error:
            raise RequestError(
                "--out", expected="a results folder with a readable run.json", got=f"{path} ({error})"
            ) from None
        if changed := _differences(before, manifest):
            raise RequestError(
                "--out",
                expected="a new folder, or one of the same run",
                got=f"{folder}, which differs in {'; '.join(changed)}",
            )
        manifest = manifest.model_copy(
            update={
                "tasks": tuple(dict.fromkeys((*before.tasks, *manifest.tasks))),
                "task_entries": _joined_entries(before.task_entries, manifest.task_entries),
                "conditions": _joined_tables(before.conditions, manifest.conditions),
                "methods": tuple(dict.fromkeys((*before.methods, *manifest.methods))),
                "method_tasks": _joined_tasks(before.method_tasks, manifest.method_tasks),
                "joint_tasks": {**before.joint_tasks, **manifest.joint_tasks},
                "seeds": {**before.seeds, **manifest.seeds},
                "backbone": manifest.backbone or before.backbone,
            }
        )
    elif folder.exists() and any(folder.iterdir()):
        raise RequestError("--out", expected="a new folder, or one that `run` made", got=f"{folder} (not empty)")
    try:
        write_atomic(path, (manifest.model_dump_json(indent=1) + "\n").encode())
    except OSError as error:
        raise RequestError(
            "--out", expected="a place that can be written", got=f"{folder} ({error.strerror})"
        ) from None


def _differences(before: RunManifest, now: RunManifest) -> list[str]:
    """``field: theirs → ours`` for all that the cells of one folder have in common."""
    pairs = {
        "suite": (before.suite, now.suite),
        "preset": (before.preset, now.preset),
        "dataset": (before.dataset.digest[:12], now.dataset.digest[:12]),
        "source": tuple("none" if run.source is None else run.source.digest[:12] for run in (before, now)),
        "setting": (before.setting or "none", now.setting or "none"),
    }
    if before.backbone and now.backbone:
        pairs["backbone"] = (before.backbone, now.backbone)
    for name in before.joint_tasks.keys() & now.joint_tasks.keys():
        pairs[f"tasks of {name}"] = (" ".join(before.joint_tasks[name]), " ".join(now.joint_tasks[name]))
    return [f"{name}: {old} → {new}" for name, (old, new) in pairs.items() if old != new]


def _joined_entries(before: Mapping[str, TaskEntry], now: Mapping[str, TaskEntry]) -> dict[str, TaskEntry]:
    """Entries of both, ours where both have one, with the sentences of both."""
    joined = {**before, **now}
    for name in before.keys() & now.keys():
        sentences = {**before[name].sentences, **now[name].sentences}
        joined[name] = now[name].model_copy(update={"sentences": sentences})
    return joined


def _joined_tables(before: Mapping[str, VariedEntry], now: Mapping[str, VariedEntry]) -> dict[str, VariedEntry]:
    """What is varied in both; tasks of a later call join the tables of earlier ones."""
    joined = {**before, **now}
    for label in before.keys() & now.keys():
        old, new = before[label], now[label]
        tasks = tuple(dict.fromkeys((*old.tasks, *new.tasks)))
        joined[label] = VariedEntry(cells={**old.cells, **new.cells}, tasks=tasks)
    return joined


def _joined_tasks(
    before: Mapping[str, tuple[str, ...]], now: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    return {name: tuple(dict.fromkeys((*before.get(name, ()), *now.get(name, ())))) for name in [*before, *now]}


def _understood(method: type[Method], tasks: Mapping[str, Task]) -> tuple[str, ...]:
    """Names of the tasks that a method has an answer to: the registered ones and those that are asked for."""
    asked = (task.card.name for task in _own_tasks(method, tasks))
    return tuple(dict.fromkeys((*registry.tasks_of(method), *asked)))


def _jobs(request: Request, plan: _Plan, there: set[str]) -> Iterator[Job]:
    """Fits that have cells missing: per method, seed and what a fit sees, and per task unless it is joint."""
    for method in request.methods.values():
        own = _own_tasks(method, request.tasks)
        groups = [own] if method.joint else [(task,) for task in own]
        for group, seed in itertools.product(groups, range(request.num_seeds if method.learned else 1)):
            trainings: dict[str, tuple[dict[str, Any], list[tuple[Task, Conditions]]]] = {}
            for task in group:
                for condition in plan.conditions[task.card.name]:
                    if cell_name(method.card.name, task.card.name, condition.label, seed) in there:
                        continue
                    training = condition.of_fit()
                    trainings.setdefault(condition_label(training), (training, []))[1].append((task, condition))
            for training, cells in trainings.values():
                yield Job(method, group, seed, training, tuple(cells))


def _own_tasks(method: type[Method], tasks: Mapping[str, Task]) -> tuple[Task, ...]:
    """Those tasks that the method understands, in the method's order: a joint fit may depend on it, a request must
    not."""
    return tuple(sorted(filter(method.covers, tasks.values()), key=method.order))
