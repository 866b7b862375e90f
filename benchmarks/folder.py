"""One results folder: whose it is, which of its cells are missing, and making those."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from channelbench.benchmarks import scoring
from channelbench.benchmarks.request import Request, at_default_snr
from channelbench.contracts import Conditions, FitContext, Method, Observation, Target, Task, TaskSplit
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


class Reporter:
    """Hears what the runner does; this one is deaf. Override what you want to show."""

    def entered(self, name: str) -> None:
        """The results folder of this name is next; the run's own is called ``""``."""

    def generating(self, name: str, done: int, total: int) -> None:
        """Samples of the dataset called ``name``."""

    def planned(self, cells: int, done: int) -> None:
        """So many cells are asked for, so many of them are there already."""

    def started(self, job: Job) -> None:
        """A method is about to be fitted."""

    def fitting(self, done: int, total: int, message: str) -> None:
        """Steps of the current fit."""

    def finished(self, result: Result) -> None:
        """A cell is written."""


@dataclass(frozen=True, kw_only=True)
class Leg:
    """What the cells of one results folder are made from.

    Attributes:
        folder: The results folder.
        train: What methods are fitted on.
        test: What they are scored on.
        source: What the fits were made on before they met ``test``, if it is another dataset.
        setting: How they were carried over, in words.
        checkpoints: Where learned methods keep theirs.
        start: The ``checkpoints`` of the fits to start from.
        share: Share of the training and validation split that a fit sees.
    """

    folder: Path
    train: ChannelDataset
    test: ChannelDataset
    checkpoints: Path
    source: ChannelDataset | None = None
    setting: str = ""
    start: Path | None = None
    share: float = 1.0


@dataclass(frozen=True)
class Job:
    """One fit, and the cells that are scored with it."""

    method: type[Method]
    tasks: tuple[Task, ...]
    seed: int
    training: Conditions
    cells: tuple[tuple[Task, Conditions], ...]

    @property
    def stem(self) -> str:
        """Name of the fit's folder."""
        what = "joint" if self.method.joint else self.tasks[0].card.name
        return cell_name(self.method.card.name, what, self.training, self.seed)


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


def fill(request: Request, leg: Leg, reporter: Reporter) -> Outcome:
    """Make the cells of a request that are not in the leg's folder yet.

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
    for job in jobs:
        reporter.started(job)
        for result, terms in _work(job, request, leg, reporter):
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


# --- doing it --------------------------------------------------------------------------------------------------------


def _work(job: Job, request: Request, leg: Leg, reporter: Reporter) -> Iterator[tuple[Result, scoring.Terms]]:
    """Fit once, score every cell; what raises costs its own cells alone."""
    device = request.device if job.method.learned else "cpu"

    def common(task: Task, condition: Conditions, weights: str = "") -> dict[str, Any]:
        fields = scoring.common_fields(
            task=task,
            train=leg.train,
            test=leg.test,
            conditions=condition,
            seed=job.seed,
            preset=request.preset,
            device=device,
            method=job.method,
        )
        return fields | {"weights": weights}

    memory = scoring.PeakMemory(device)
    try:
        method, context = job.method(), _context(job, request, leg, device, reporter)
        is_whole = not _has_begun(context)
        began = time.perf_counter()
        with memory.watch(), scoring.threads_for(job.method):
            method.fit(_splits(job, leg), job.seed, context)
        fit_s = time.perf_counter() - began
        weights = method.weights
    except Exception as error:  # a method's failure is a result, not ours
        for task, condition in job.cells:
            yield scoring.failed_cell(common(task, condition), error), {}
        return
    for task, condition in job.cells:
        try:
            with memory.watch(), scoring.threads_for(job.method):
                terms, predict_s = scoring.score(task, leg.test, condition, partial(_predict, method, task))
            costs = {**method.costs(task.card.name), "predict_s": predict_s, "peak_memory_mb": memory.megabytes}
            if is_whole and leg.train is leg.test:  # else it was timed in another folder, or only its last part was
                costs["fit_s"] = fit_s
            if job.method.card.family not in ("floor", "reference"):
                costs |= scoring.latencies(method, task, leg.test, condition)
            yield scoring.scored_cell(common(task, condition, weights), task, terms, costs), terms
        except Exception as error:
            yield scoring.failed_cell(common(task, condition, weights), error), {}


def _has_begun(context: FitContext) -> bool:
    """Whether a fit goes on from checkpoints, or is only loaded from them."""
    return context.workdir is not None and context.workdir.is_dir() and any(context.workdir.iterdir())


def _predict(method: Method, task: Task, observation: Observation, _: Target) -> Any:
    """Test targets stop here."""
    return method.predict(task.card.name, observation)


def _splits(job: Job, leg: Leg) -> dict[str, tuple[TaskSplit, TaskSplit]]:
    def part(task: Task, split: str) -> TaskSplit:
        return TaskSplit(task, leg.train, split, job.training, limit=limit_of(leg, split))

    return {task.card.name: (part(task, "train"), part(task, "val")) for task in job.tasks}


def limit_of(leg: Leg, split: str) -> int | None:
    """How many samples of a split a fit sees, ``None`` for all."""
    return None if leg.share == 1 else max(1, round(leg.share * leg.train.spec.sizes.of(split)))


def _context(job: Job, request: Request, leg: Leg, device: str, reporter: Reporter) -> FitContext:
    learned = job.method.learned
    return FitContext(
        preset=request.preset,
        device=device,
        workdir=leg.checkpoints / job.stem if learned else None,
        progress=reporter.fitting,
        backbone=request.backbone,
        start=leg.start / job.stem if learned and leg.start is not None else None,
    )
