"""The runner: which cells a request asks for, which of them are missing, and making those."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from channelbench import registry
from channelbench.benchmarks import scoring
from channelbench.benchmarks.request import (
    at_default_snr,
    chosen_methods,
    open_verified,
    resolve_device,
    supported_tasks,
)
from channelbench.contracts import Conditions, FitContext, Method, Observation, Suite, Target, Task, TaskSplit
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
from channelbench.spec import PRESETS
from channelbench.store.dataset import ChannelDataset

__all__ = ["Job", "Outcome", "Reporter", "run"]


class Reporter:
    """Hears what the runner does; this one is deaf. Override what you want to show."""

    def planned(self, cells: int, done: int) -> None:
        """So many cells are asked for, so many of them are there already."""

    def started(self, job: Job) -> None:
        """A method is about to be fitted."""

    def fitting(self, done: int, total: int, message: str) -> None:
        """Steps of the current fit."""

    def finished(self, result: Result) -> None:
        """A cell is written."""


@dataclass(frozen=True)
class Job:
    """One fit, and the cells that are scored with it."""

    method: type[Method]
    tasks: tuple[Task, ...]
    seed: int
    training: Conditions
    cells: tuple[tuple[Task, Conditions], ...]


@dataclass
class Outcome:
    """What a run left behind."""

    folder: Path
    written: list[Result] = field(default_factory=list)
    kept: int = 0

    @property
    def failed(self) -> list[Result]:
        return [result for result in self.written if result.status == "failed"]


def run(
    suite: str = "full",
    *,
    data: str | Path,
    out: str | Path = "results",
    methods: Sequence[str] = (),
    tasks: Sequence[str] = (),
    conditions: Sequence[Conditions] = (),
    preset: str = "quick",
    seeds: int | None = None,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> Outcome:
    """Make the cells of a suite that are not in ``out`` yet.

    Args:
        suite: A name from ``channelbench list suites``.
        data: A dataset that ``generate`` made.
        out: Folder of the results; one dataset, suite and preset per folder.
        methods: These instead of the suite's; floors and ceilings are always added. ``package.module:Class`` works.
        tasks: These instead of the suite's.
        conditions: These instead of the suite's.
        preset: How large and how long to train: ``quick``, ``standard`` or ``paper``.
        seeds: Seeds of learned methods; the suite's number for the preset by default.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        RequestError: something of the request does not exist or does not fit; nothing has been written.
    """
    reporter = reporter or Reporter()
    plan: Suite = registry.find("suites", suite)
    if preset not in PRESETS["dualband"]:
        raise RequestError("--preset", expected="a known preset", got=preset, choices=PRESETS["dualband"])
    if seeds is not None and seeds < 1:
        raise RequestError("--seeds", expected="an integer of at least 1", got=seeds)
    device = resolve_device(device)
    chosen_tasks = {name: registry.create("tasks", name) for name in (tasks or plan.tasks)}
    chosen = chosen_methods(methods or plan.methods, chosen_tasks, explicit=bool(methods))
    num_seeds = seeds or plan.seeds[preset]
    dataset = open_verified(data)
    usable = supported_tasks(chosen_tasks, dataset, explicit=bool(tasks))
    manifest = _manifest(plan, preset, dataset, usable, chosen, num_seeds)
    folder = Path(out)
    _claim(folder, manifest)

    outcome = Outcome(folder)
    there = {result.name for result in read_cells(folder) if result.status == "ok"}
    wanted = tuple(at_default_snr(condition, dataset) for condition in conditions or plan.conditions)
    ceilings = [(t, c) for t in usable.values() for c in wanted if cell_name("ceiling", t.card.name, c, 0) not in there]
    jobs = list(_jobs(chosen, usable, wanted, num_seeds, there))
    missing = len(ceilings) + sum(len(job.cells) for job in jobs)
    outcome.kept = len(there)
    reporter.planned(missing, len(there))

    for task, condition in ceilings:
        common = scoring.common_fields(
            task=task, dataset=dataset, conditions=condition, seed=0, preset=preset, device="cpu", method=None
        )
        result, terms = scoring.ceiling_cell(common, task, dataset, condition)
        _keep(outcome, reporter, folder, result, terms)
    for job in jobs:
        reporter.started(job)
        for result, terms in _work(job, dataset, folder, preset, device, reporter):
            _keep(outcome, reporter, folder, result, terms)
    return outcome


def _keep(outcome: Outcome, reporter: Reporter, folder: Path, result: Result, terms: scoring.Terms) -> None:
    write_cell(folder, result, terms)
    outcome.written.append(result)
    reporter.finished(result)


# --- where results go -------------------------------------------------------------------------------------------------


def _manifest(
    plan: Suite,
    preset: str,
    dataset: ChannelDataset,
    tasks: dict[str, Task],
    methods: dict[str, type[Method]],
    num_seeds: int,
) -> RunManifest:
    return RunManifest(
        suite=plan.card.name,
        preset=preset,
        dataset=DatasetCard(
            digest=dataset.digest,
            spec=dataset.spec.model_dump(mode="json"),
            seed=dataset.seed,
            versions=dataset.versions,
        ),
        tasks=tuple(tasks),
        methods=tuple(methods),
        method_tasks={name: method.card.tasks for name, method in methods.items()},
        seeds={name: num_seeds if method.learned else 1 for name, method in methods.items()},
        bundles=dict(plan.bundles),
    )


def _claim(folder: Path, manifest: RunManifest) -> None:
    """Write or extend ``run.json``; refuse a folder whose cells could not stand beside ours."""
    if folder.is_file():
        raise RequestError("--out", expected="a folder", got=f"{folder} (a file)")
    path = folder / "run.json"
    if path.exists():
        try:
            before = RunManifest(**json.loads(path.read_text()))
        except (ValueError, OSError) as error:
            raise RequestError(
                "--out", expected="a results folder with a readable run.json", got=f"{path} ({error})"
            ) from None
        pairs = {
            "suite": (before.suite, manifest.suite),
            "preset": (before.preset, manifest.preset),
            "dataset": (before.dataset.digest[:12], manifest.dataset.digest[:12]),
        }
        changed = [f"{name}: {old} → {new}" for name, (old, new) in pairs.items() if old != new]
        if changed:
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
                "seeds": {**before.seeds, **manifest.seeds},
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


def _jobs(
    methods: dict[str, type[Method]],
    tasks: dict[str, Task],
    conditions: tuple[Conditions, ...],
    num_seeds: int,
    there: set[str],
) -> Iterator[Job]:
    """Fits that have cells missing: per method, seed and training condition, and per task unless it is joint."""
    trainings: dict[Conditions, list[Conditions]] = {}
    for condition in conditions:
        training = Conditions(pilot_spacing=condition.pilot_spacing, pilots_only=condition.pilots_only)
        trainings.setdefault(training, []).append(condition)
    for method in methods.values():
        own = tuple(task for name, task in tasks.items() if name in method.card.tasks)
        groups = [own] if method.joint else [(task,) for task in own]
        for group, seed in itertools.product(groups, range(num_seeds if method.learned else 1)):
            for training, members in trainings.items():
                cells = tuple(
                    (task, condition)
                    for task in group
                    for condition in members
                    if cell_name(method.card.name, task.card.name, condition, seed) not in there
                )
                if cells:
                    yield Job(method, group, seed, training, cells)


# --- doing it --------------------------------------------------------------------------------------------------------


def _work(
    job: Job, dataset: ChannelDataset, folder: Path, preset: str, device: str, reporter: Reporter
) -> Iterator[tuple[Result, scoring.Terms]]:
    """Fit once, score every cell; what raises costs its own cells alone."""
    used_device = device if job.method.learned else "cpu"

    def common(task: Task, condition: Conditions) -> dict[str, Any]:
        return scoring.common_fields(
            task=task,
            dataset=dataset,
            conditions=condition,
            seed=job.seed,
            preset=preset,
            device=used_device,
            method=job.method,
        )

    memory = scoring.PeakMemory(used_device)
    try:
        method = job.method()
        began = time.perf_counter()
        with memory.watch(), scoring.threads_for(job.method):
            method.fit(_splits(job, dataset), job.seed, _context(job, folder, preset, used_device, reporter))
        fit_s = time.perf_counter() - began
    except Exception as error:  # a method's failure is a result, not ours
        for task, condition in job.cells:
            yield scoring.failed_cell(common(task, condition), error), {}
        return
    for task, condition in job.cells:
        try:
            with memory.watch(), scoring.threads_for(job.method):
                terms, predict_s = scoring.score(task, dataset, condition, partial(_predict, method, task))
            costs = {**method.costs(task.card.name), "fit_s": fit_s, "predict_s": predict_s}
            costs["peak_memory_mb"] = memory.megabytes
            if job.method.card.family not in ("floor", "reference"):
                costs |= scoring.latencies(method, task, dataset, condition)
            yield scoring.scored_cell(common(task, condition), task, terms, costs), terms
        except Exception as error:
            yield scoring.failed_cell(common(task, condition), error), {}


def _predict(method: Method, task: Task, observation: Observation, _: Target) -> Any:
    """Test targets stop here."""
    return method.predict(task.card.name, observation)


def _splits(job: Job, dataset: ChannelDataset) -> dict[str, tuple[TaskSplit, TaskSplit]]:
    return {
        task.card.name: (
            TaskSplit(task, dataset, "train", job.training),
            TaskSplit(task, dataset, "val", job.training),
        )
        for task in job.tasks
    }


def _context(job: Job, folder: Path, preset: str, device: str, reporter: Reporter) -> FitContext:
    what = "joint" if job.method.joint else job.tasks[0].card.name
    stem = cell_name(job.method.card.name, what, job.training, job.seed)
    return FitContext(
        preset=preset,
        device=device,
        workdir=folder / "checkpoints" / stem if job.method.learned else None,
        progress=reporter.fitting,
    )
