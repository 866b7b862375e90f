"""One results folder: whose it is, which of its cells are missing, and making those."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from channelbench.benchmarks import scoring
from channelbench.benchmarks.jobs import Job, Leg, Perform, Reporter, limit_of, one_by_one
from channelbench.benchmarks.request import Request, at_default_snr
from channelbench.contracts import Conditions, Method, Task
from channelbench.errors import RequestError
from channelbench.results import (
    DatasetCard,
    Result,
    RunManifest,
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
    _claim(leg.folder, _manifest(request, leg))
    outcome = Outcome(leg.folder)
    there = {result.name for result in read_cells(leg.folder) if result.status == "ok"}
    wanted = tuple(at_default_snr(condition, leg.test) for condition in request.conditions)
    ceilings = [
        (task, condition)
        for task, condition in itertools.product(request.tasks.values(), wanted)
        if cell_name("ceiling", task.card.name, condition, 0) not in there
    ]
    jobs = list(_jobs(request, wanted, there))
    outcome.kept = len(there)
    reporter.planned(len(ceilings) + sum(len(job.cells) for job in jobs), len(there))

    def keep(result: Result, terms: scoring.Terms) -> None:
        write_cell(leg.folder, result, terms)
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
    for result, terms in perform(jobs, request, leg, reporter):
        keep(result, terms)
    return outcome


# --- where results go -------------------------------------------------------------------------------------------------


def _manifest(request: Request, leg: Leg) -> RunManifest:
    methods = request.methods
    return RunManifest(
        suite=request.suite.card.name,
        preset=request.preset,
        dataset=_dataset_card(leg.test),
        tasks=tuple(request.tasks),
        methods=tuple(methods),
        method_tasks={name: method.card.tasks for name, method in methods.items()},
        seeds={name: request.num_seeds if method.learned else 1 for name, method in methods.items()},
        joint_tasks={
            name: tuple(task.card.name for task in tasks)
            for name, method in methods.items()
            if method.joint and (tasks := _own_tasks(method, request.tasks))
        },
        bundles=dict(request.suite.bundles),
        backbone=request.backbone if any(method.card.family == "llm" for method in methods.values()) else "",
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
                "methods": tuple(dict.fromkeys((*before.methods, *manifest.methods))),
                "method_tasks": {**before.method_tasks, **manifest.method_tasks},
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


def _jobs(request: Request, conditions: tuple[Conditions, ...], there: set[str]) -> Iterator[Job]:
    """Fits that have cells missing: per method, seed and training condition, and per task unless it is joint."""
    trainings: dict[Conditions, list[Conditions]] = {}
    for condition in conditions:
        training = Conditions(pilot_spacing=condition.pilot_spacing, pilots_only=condition.pilots_only)
        trainings.setdefault(training, []).append(condition)
    for method in request.methods.values():
        own = _own_tasks(method, request.tasks)
        groups = [own] if method.joint else [(task,) for task in own]
        for group, seed in itertools.product(groups, range(request.num_seeds if method.learned else 1)):
            for training, members in trainings.items():
                cells = tuple(
                    (task, condition)
                    for task in group
                    for condition in members
                    if cell_name(method.card.name, task.card.name, condition, seed) not in there
                )
                if cells:
                    yield Job(method, group, seed, training, cells)


def _own_tasks(method: type[Method], tasks: Mapping[str, Task]) -> tuple[Task, ...]:
    """Those tasks that the method has, in the method's order: a joint fit may depend on it, a request must not."""
    return tuple(tasks[name] for name in method.card.tasks if name in tasks)
