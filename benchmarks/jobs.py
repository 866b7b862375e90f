"""One fit and the cells that are scored with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import replace
from functools import partial
from typing import Any

from channelbench.benchmarks import scoring
from channelbench.benchmarks.curves import Curve
from channelbench.benchmarks.fits import code_of_fit
from channelbench.benchmarks.job import Job, OpenStage
from channelbench.benchmarks.keeping import Keeper
from channelbench.benchmarks.latency import latencies
from channelbench.benchmarks.measured import CountedSplit, budget_of, with_parameters
from channelbench.benchmarks.memory import PeakMemory
from channelbench.benchmarks.plan import RunPlan
from channelbench.benchmarks.request import Request
from channelbench.benchmarks.stopping import Stopped
from channelbench.benchmarks.turns import taken_over, turn
from channelbench.conditions import Conditions
from channelbench.contracts import FitContext, Method, Observation, Task, TaskSplit
from channelbench.families import family_of
from channelbench.presets import preset_of
from channelbench.results import Result, Training, check_artefacts, write_cell

__all__ = [
    "Job",
    "OpenStage",
    "Perform",
    "Progress",
    "Reporter",
    "fail",
    "limit_of",
    "one_by_one",
    "shared_context",
    "splits_of",
    "work",
]

Progress = Callable[[int, int], None]


class Reporter:
    """Is told what the runner does, and shows nothing of it. Override what you want to show.

    With several workers, more than one job is between ``started`` and ``ended``.
    """

    def began(self, plan: RunPlan) -> None:
        """A run is about to do this."""

    def read(self, name: str, done: int, total: int) -> None:
        """Blocks of the dataset called ``name`` that are read and found to be what was written."""

    def remarked(self, text: str) -> None:
        """One line that whoever started the run should read."""

    def entered(self, name: str) -> None:
        """The results folder of this name is next; the run's own is called ``""``."""

    def generating(self, name: str, done: int, total: int) -> None:
        """Samples of the dataset called ``name``."""

    def planned(self, cells: int, done: int) -> None:
        """So many cells are asked for, so many of them are there already."""

    def started(self, job: Job) -> None:
        """A method is about to be fitted."""

    def fitting(self, job: Job, done: int, total: int, message: str) -> None:
        """Steps of a fit."""

    def ended(self, job: Job) -> None:
        """All cells of a job are made, whether or not they are scored."""

    def finished(self, result: Result) -> None:
        """A cell is written."""


Perform = Callable[[Sequence[Job], Request, OpenStage, Reporter], Iterator[Result]]
"""Does jobs, tells the reporter of each and gives their cells once they are written, in an order of its own."""


def one_by_one(
    jobs: Sequence[Job], request: Request, stage: OpenStage, reporter: Reporter, *, debug: bool = False
) -> Iterator[Result]:
    """Do the jobs in this process, each as it comes; with ``debug`` until one fails."""
    for job in jobs:
        reporter.started(job)
        shared = replace(shared_context(request), progress=partial(reporter.fitting, job))
        yield from work(job, stage, shared, debug=debug)
        reporter.ended(job)


def work(
    job: Job,
    stage: OpenStage,
    shared: FitContext,
    *,
    threads: int | None = None,
    alone: bool = True,
    scored: Progress = lambda done, total: None,
    debug: bool = False,
) -> Iterator[Result]:
    """Fit once, score every cell and write each as it is made; what raises costs its own cells alone. Cells that
    another run has made since they were asked for are taken as they are.

    Args:
        job: What to fit and score.
        stage: On what, and where its checkpoints and cells are.
        shared: What the fits of a run have in common, and who hears of this one's steps.
        threads: Of a learned method; ``None`` for as many as the libraries take. A formula has one.
        alone: Whether no other job is at work beside this one; else ``latency_ms_batch1``, ``latency_ms_batch512``
            and ``peak_memory_mb`` would not compare with those of other runs, and are left out of the costs.
        scored: Called with (done, all) samples of the cell that is being scored, and after each timed prediction.
        debug: Whether to raise what a method raises, instead of writing the cells that it costs.

    Raises:
        OSError: a cell cannot be written.
        Stopped: a method failed, with ``debug``.
    """
    with turn(stage.checkpoints.parent, job.stem, lambda: scored(0, 1)):  # where the fit is, whoever scores with it
        left = []
        for task, condition in job.cells:
            name = job.name_of(task, condition)
            result = taken_over(stage.folder, name, job.stamps.get(name, 0), job.origin.code)
            if result is None:
                left.append((task, condition))
            else:
                yield result
        if left:
            here = replace(job, cells=tuple(left))
            yield from _fit_and_score(here, stage, shared, threads=threads, alone=alone, scored=scored, debug=debug)


def _fit_and_score(
    job: Job,
    stage: OpenStage,
    shared: FitContext,
    *,
    threads: int | None,
    alone: bool,
    scored: Progress,
    debug: bool,
) -> Iterator[Result]:
    context = _context(job, stage, shared)
    curve = Curve.of(context.workdir, goes_on=_has_begun(context))
    context = replace(context, progress=curve.heard(context.progress))
    memory = PeakMemory(context.device)
    with scoring.threads_for(job.method, threads) as count:
        where = scoring.Where.here(context.device, count, learned=job.method.learned)
    try:
        method, splits = job.method(), splits_of(job, stage)
        is_whole = not _has_begun(context) and stage.fits_here  # else this is only the last part of it, or none
        began = time.perf_counter()
        with chdir("."), memory.watch(), scoring.threads_for(job.method, threads):
            job.method.check(context)
            method.fit(splits, context)
        curve.keep()
        fit_s, seen = time.perf_counter() - began, sum(training.seen for training, _ in splits.values())
        weights, where = method.weights, where.computing(method.precision)
    except BaseException as error:
        _raise_if_ours(error)
        _stop_if_asked(debug, job, stage, error)
        yield from fail(job, stage, shared, where, error, job.cells, losses=curve.losses)
        return
    for task, condition in job.cells:
        try:
            with chdir("."), memory.watch(), scoring.threads_for(job.method, threads):
                answer, start = scoring.answer_of(method, task.card.name), _start_of(method, task, memory)
                keep = Keeper(task, condition) if stage.keeps_predictions else None
                found, predict_s = scoring.score(
                    task,
                    stage.test,
                    condition,
                    answer,
                    scored,
                    start=start,
                    keep=keep,
                    secondary=not preset_of(shared.preset).is_narrow,
                    error_variance=partial(method.error_variance, task.card.name),
                )
                costs = {**with_parameters(method.costs(task.card.name), method), "predict_s": predict_s}
                training = _training(job, stage, shared.preset, method, task, splits, seen if is_whole else None)
                training = training.model_copy(update={"losses": training.losses or curve.losses})
                artefacts = {**method.artefacts(task.card.name), **(keep.artefacts if keep else {})}
            if is_whole:
                costs["fit_s"] = fit_s
                costs |= _seen(training)
            if alone:
                costs["peak_memory_mb"] = memory.megabytes
            derived: tuple[str, ...] = ()
            if alone and family_of(job.method.card.family).timed:
                with chdir("."), scoring.threads_for(job.method, threads):
                    timed, derived = latencies(method, task, stage.test, condition, scored, predict_s=predict_s)
                costs |= timed
            common = _common(job, stage, shared, where, task, condition, weights, code=context.code)
            common |= {"artefacts": check_artefacts(artefacts), "training": training, "derived_costs": derived}
            result = scoring.scored_cell(common, found.metrics, found, costs)
        except BaseException as error:
            _raise_if_ours(error)
            _stop_if_asked(debug, job, stage, error)
            yield from fail(job, stage, shared, where, error, [(task, condition)], weights)
        else:
            write_cell(stage.folder, result, found.terms, found.units, artefacts, found.strata)
            yield result


def _start_of(method: Method, task: Task, memory: PeakMemory) -> scoring.Start:
    """What the method predicts without its network; asking for it is none of the method's costs."""

    def start(observation: Observation) -> Any:
        with memory.paused():
            return method.predict_start(task.card.name, observation)

    return start


def _raise_if_ours(error: BaseException) -> None:
    """A method's failure is a result, even a ``sys.exit``; only Ctrl-C, which the main thread hears, is not its own."""
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error


def _stop_if_asked(debug: bool, job: Job, stage: OpenStage, error: BaseException) -> None:
    if debug:
        tasks = " ".join(task.card.name for task in job.tasks)
        message = f"stopped at the failure of {job.method.card.name} on {tasks}, seed {job.seed}"
        raise Stopped(message, stage.struck_out) from error


def fail(
    job: Job,
    stage: OpenStage,
    shared: FitContext,
    where: scoring.Where,
    error: BaseException,
    cells: Iterable[tuple[Task, Conditions]],
    weights: str = "",
    losses: Mapping[int, float] | None = None,
) -> Iterator[Result]:
    """Write those ``cells`` of a job that an error has cost; of a fit that failed with the ``losses`` until then."""
    for task, condition in cells:
        common = _common(job, stage, shared, where, task, condition, weights)
        common |= {"training": Training(losses=losses) if losses else None}
        result = scoring.failed_cell(common, error, stage.struck_out)
        write_cell(stage.folder, result, {})
        yield result


def _common(
    job: Job,
    stage: OpenStage,
    shared: FitContext,
    where: scoring.Where,
    task: Task,
    condition: Conditions,
    weights: str,
    code: str | None = None,
) -> dict[str, Any]:
    fields = scoring.common_fields(
        task=task,
        train=stage.train,
        test=stage.test,
        conditions=condition,
        seed=job.seed,
        preset=shared.preset,
        where=where,
        method=job.method,
    )
    return fields | {"weights": weights} | job.origin.fields(task, job.origin.code if code is None else code)


def _has_begun(context: FitContext) -> bool:
    """Whether a fit goes on from checkpoints, or is only loaded from them."""
    return context.workdir is not None and context.workdir.is_dir() and any(context.workdir.iterdir())


def _training(
    job: Job,
    stage: OpenStage,
    preset: str,
    method: Method,
    task: Task,
    splits: Mapping[str, tuple[TaskSplit, TaskSplit]],
    seen: int | None,
) -> Training:
    """How the fit went: what the method says, what was counted, and what the preset allows a learned one."""
    stated = method.fit_record(task.card.name) or Training()
    counted: dict[str, Any] = {"samples": seen}
    if job.method.learned:
        sizes = [len(training) for training, _ in splits.values()]
        allowed = budget_of(preset, sizes, goes_on=stage.start is not None)
        counted |= {"budget_steps": allowed.budget_steps, "budget_samples": allowed.budget_samples}
    return Training(**{**stated.model_dump(), **counted})


def _seen(training: Training) -> dict[str, float]:
    """The samples that a fit has seen, as costs."""
    costs = {"samples_seen": float(training.samples or 0)}
    if training.budget_samples:
        costs["samples_of_budget"] = costs["samples_seen"] / training.budget_samples
    return costs


def splits_of(job: Job, stage: OpenStage) -> dict[str, tuple[CountedSplit, CountedSplit]]:
    """What a fit sees: training and validation split of each of its tasks."""

    def part(task: Task, split: str) -> CountedSplit:
        conditions = training_conditions(task, job.training)
        limit = limit_of(stage, task.size(stage.train.spec, split, conditions))
        return CountedSplit(task, stage.train.view(split), conditions, limit=limit)

    return {task.card.name: (part(task, "train"), part(task, "val")) for task in job.tasks}


def training_conditions(task: Task, training: Mapping[str, Any]) -> Conditions:
    """The conditions of a task in a fit, its own where it lacks one of the fields."""
    return task.conditions.of(training if task.conditions.has(training) else {})


def limit_of(stage: OpenStage, size: int) -> int | None:
    """How many of the cases of a split a fit sees, ``None`` for all."""
    return None if stage.share == 1 else max(1, round(stage.share * size))


def shared_context(request: Request) -> FitContext:
    """What the fits of a request have in common."""
    return FitContext(preset=request.preset, device=request.device, backbone=request.backbone)


def _context(job: Job, stage: OpenStage, shared: FitContext) -> FitContext:
    learned = job.method.learned
    workdir = stage.checkpoints / job.stem if learned else None
    return replace(
        shared,
        seed=job.seed,
        device=_device(job, shared),
        data=stage.train.key,
        workdir=workdir,
        code=code_of_fit(workdir, job.origin.code, keep=job.keep),
        start=stage.start / job.stem if learned and stage.start is not None else None,
    )


def _device(job: Job, shared: FitContext) -> str:
    return shared.device if job.method.learned else "cpu"
