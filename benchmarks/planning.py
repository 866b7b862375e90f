"""Working out what a run is about to do: the cells that every stage lacks, and what is known of how long they take."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path

from channelbench.benchmarks.folder import Todo
from channelbench.benchmarks.jobs import Job
from channelbench.benchmarks.placement import Placement
from channelbench.benchmarks.plan import DataPlan, RunPlan, StagePlan, Time
from channelbench.benchmarks.request import Request
from channelbench.benchmarks.stages import Stages
from channelbench.experiment import Stage
from channelbench.presets import preset_of
from channelbench.results import Result, read_cells
from channelbench.spec import ScenarioSpec

__all__ = ["planned", "time_of"]


def planned(request: Request, stages: Stages, placement: Placement, *, root: Path | None = None) -> RunPlan:
    """What a run of this request is about to do; nothing is written and nothing is made.

    Args:
        request: What is asked for, its tasks those that the dataset has.
        stages: Of its experiment.
        placement: Who does it.
        root: Folder of the stages' results; that of ``stages`` by default.
    """
    found = []
    for stage in stages.plan.stages:
        own, folder = stages.request_of(request, stage), (root or stages.folder) / stage.folder
        data = _data(*stages.data_of(stage.test))
        todo = Todo.of(own, stages.provenance(stage).spec, folder)
        found.append(_stage(stage, own, todo, data, list(_readable(folder))))
    which, number = request.part.shard
    return RunPlan(
        suite=request.suite.card.name,
        preset=request.preset,
        data=_data(*stages.data_of(None)),
        device=request.device,
        where=placement.words,
        stages=tuple(found),
        training=_training(request.preset) if any(stage.learned for stage in found) else "",
        share=f"{which}/{number}" if number > 1 else "",
        further=tuple(_data(*stages.data_of(name)) for name in stages.plan.datasets),
        skipped={**request.skipped, **stages.skipped},
    )


def _data(path: Path | str, spec: ScenarioSpec, digest: str) -> DataPlan:
    return DataPlan(path=str(path), title=spec.title, samples=spec.sizes.total, digest=digest)


def _stage(stage: Stage, request: Request, todo: Todo, data: DataPlan, cells: list[Result]) -> StagePlan:
    trains = stage.fits is None
    return StagePlan(
        folder=stage.folder,
        data=data,
        cells=todo.cells,
        there=todo.kept,
        stale=len(todo.there.stale),
        keep_stale=request.keep_stale,
        fits=len(todo.jobs),
        learned=sum(job.method.learned for job in todo.jobs) if trains else 0,
        time=time_of(todo.jobs, cells, request.device, trains=trains),
    )


def _readable(folder: Path) -> Iterable[Result]:
    try:
        yield from read_cells(folder)
    except (OSError, ValueError, TypeError):
        return  # what a damaged cell cost is not known; ``report`` says what is wrong with it


def time_of(jobs: Iterable[Job], cells: Iterable[Result], device: str, *, trains: bool = True) -> Time:
    """How long jobs take at least, by what the same method's fits and predictions took for the same tasks.

    Args:
        jobs: What is to be done.
        cells: What has been done, on whatever device; the times of another one tell nothing.
        device: On which learned methods will be fitted.
        trains: Whether learned methods are fitted at all, or scored with fits that are there.
    """
    known: dict[tuple[str, str], dict[str, list[float]]] = {}
    for cell in cells:
        for cost in ("fit_s", "predict_s"):
            if cost in cell.costs:
                key = (cell.method, f"{cell.task} {cell.device.partition(':')[0]}")
                known.setdefault(key, {}).setdefault(cost, []).append(cell.costs[cost])
    return sum((_time(job, known, device, trains) for job in jobs), Time())


def _time(job: Job, known: Mapping[tuple[str, str], Mapping[str, list[float]]], device: str, trains: bool) -> Time:
    where = device if job.method.learned else "cpu"
    costs = {task.card.name: known.get((job.method.card.name, f"{task.card.name} {where}"), {}) for task in job.tasks}
    fits = [cost for of_task in costs.values() for cost in of_task.get("fit_s", ())]
    fits = fits if trains or not job.method.learned else [0.0]
    predictions = [costs[task.card.name].get("predict_s", ()) for task, _ in job.cells]
    if not fits or not all(predictions):
        return Time(jobs=1)
    return Time(seconds=statistics.fmean(fits) + sum(map(statistics.fmean, predictions)), jobs=1, known=1)


def _training(preset: str) -> str:
    budget = preset_of(preset).budget
    length = f"{budget.steps} steps" if budget.steps else f"{budget.epochs} epochs"
    return f"{length} of {budget.batch_size} samples a task for each learned method"
