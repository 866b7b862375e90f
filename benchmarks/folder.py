"""One results folder: which of its cells are missing, and making those."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from channelbench import registry
from channelbench.benchmarks import scoring
from channelbench.benchmarks.claim import claim
from channelbench.benchmarks.jobs import Job, OpenStage, Perform, Reporter, one_by_one
from channelbench.benchmarks.origin import Origin, command_line
from channelbench.benchmarks.plan import RunPlan
from channelbench.benchmarks.request import Request, conditions_of
from channelbench.benchmarks.stages import Provenance
from channelbench.benchmarks.turns import stamp_of
from channelbench.conditions import Conditions, condition_label
from channelbench.contracts import Method, Task
from channelbench.families import CEILING, family_of
from channelbench.folders.removing import remove_fit
from channelbench.leaderboard.audit import audit
from channelbench.manifests import MANIFEST
from channelbench.results import Result, RunManifest, TaskEntry, VariedEntry, cell_name, write_cell
from channelbench.spec import ScenarioSpec

__all__ = ["Outcome", "Todo", "fill", "manifest"]


@dataclass
class Outcome:
    """What a run left behind.

    Attributes:
        folder: The results folder.
        written: Cells that this run made there.
        kept: Cells that were there already.
        stages: The same of the further stages of its experiment, by folder: ``rma-1.9/zero-shot``.
        plan: What it was about to do; ``None`` of a further stage.
    """

    folder: Path
    written: list[Result] = field(default_factory=list)
    kept: int = 0
    stages: dict[str, Outcome] = field(default_factory=dict)
    plan: RunPlan | None = None

    @property
    def failed(self) -> list[Result]:
        """The cells written that have no scores."""
        return [result for result in self.written if result.status == "failed"]


def fill(request: Request, stage: OpenStage, reporter: Reporter, perform: Perform = one_by_one) -> Outcome:
    """Make the cells of a request that are not in the stage's folder yet, each written as soon as it is made.

    Raises:
        RequestError: the folder is not ours, or its cells could not stand beside ours; nothing has been written.
    """
    claim(stage.folder, manifest(request, Provenance.of(stage)), reporter.remarked)
    todo = Todo.of(request, stage.test.spec, stage.folder, reporter.remarked)
    jobs = [_anew(job, stage) if job.method.card.name in request.redo else job for job in todo.jobs]
    jobs = [_stamped(job, stage.folder) for job in jobs]
    outcome = Outcome(stage.folder, kept=todo.kept)
    todo.there.say(reporter)
    reporter.planned(todo.cells, outcome.kept)

    def keep(result: Result) -> None:
        outcome.written.append(result)
        reporter.finished(result)

    for task, condition, origin in todo.ceilings:
        common = scoring.common_fields(
            task=task,
            train=stage.train,
            test=stage.test,
            conditions=condition,
            seed=0,
            preset=request.preset,
            where=scoring.Where.here("cpu", 1, learned=False),
            method=None,
        )
        common |= origin.fields(task, origin.code)
        with threadpool_limits(limits=1):
            result, scored = scoring.ceiling_cell(common, task, stage.test, condition)
        write_cell(stage.folder, result, scored.terms, scored.units, strata=scored.strata)
        keep(result)
    for result in perform(jobs, request, stage, reporter):
        keep(result)
    return outcome


@dataclass(frozen=True)
class Todo:
    """What of a request a results folder lacks.

    Attributes:
        there: What it has.
        ceilings: Cells of the ceiling to make, each with its task, conditions and origin.
        jobs: Fits to make, with the cells of each.
        kept: How many cells of the folder stay.
    """

    there: _There
    ceilings: tuple[tuple[Task, Conditions, Origin], ...]
    jobs: tuple[Job, ...]
    kept: int

    @property
    def cells(self) -> int:
        """How many there are to make."""
        return len(self.ceilings) + sum(len(job.cells) for job in self.jobs)

    @classmethod
    def of(
        cls, request: Request, spec: ScenarioSpec, folder: Path, remark: Callable[[str], None] = lambda text: None
    ) -> Todo:
        """What ``folder`` lacks; nothing is written.

        Args:
            request: What is asked for.
            spec: Of the dataset that its cells are scored on, which need not be there yet.
            folder: Need not be there yet, either.
            remark: Hears of cells that are not what they say.
        """
        varied = _Varied.of(request, spec)
        there = _There.of(folder, remark, keep_stale=request.keep_stale, redo=request.redo)
        ceilings = tuple(
            (task, condition, origin)
            for name, conditions in varied.conditions.items()
            if (task := request.tasks[name]).ceiling_note and (origin := _origin(request, None, (task,)))
            for condition in conditions
            if request.part.has_cell(cell := cell_name(CEILING, name, condition.label, 0), fit=cell)
            if not there.has(cell, origin.code)
        )
        jobs = tuple(_jobs(request, varied, there))
        return cls(there, ceilings, jobs, len(there.codes) - len(there.stale if not request.keep_stale else ()))


@dataclass
class _There:
    """The cells of a folder that are scored and are what they say.

    Attributes:
        codes: Digest of the code of each, by name; empty where it is not known.
        keep_stale: Whether cells of other code count.
        redo: Methods whose cells do not count.
        stale: The names of those that were asked for.
    """

    codes: dict[str, str]
    keep_stale: bool
    redo: frozenset[str] = frozenset()
    stale: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, folder: Path, remark: Callable[[str], None], *, keep_stale: bool, redo: frozenset[str]) -> _There:
        """Those of ``folder``; a line for each that is not what it says."""
        if not (folder / MANIFEST).exists() and not any((folder / "cells").glob("*.json")):
            return cls({}, keep_stale, redo)
        found = audit(folder)
        for problem in found.problems:
            remark(f"{problem}; it does not count, and is made again where it is asked for")
        return cls({cell.name: cell.code_digest for cell in found.results if cell.status == "ok"}, keep_stale, redo)

    @property
    def again(self) -> set[str]:
        """What the names of the cells begin with that do not count."""
        return {cell_name(method, "", "", 0).partition("__")[0] for method in self.redo}

    def has(self, name: str, code: str) -> bool:
        """Whether a cell is there, and by this code; where either is not known, the cell counts."""
        if name.partition("__")[0] in self.again:
            self.codes.pop(name, None)
            return False
        if name not in self.codes:
            return False
        if code and self.codes[name] and self.codes[name] != code:
            self.stale.add(name)
            return self.keep_stale
        return True

    def say(self, reporter: Reporter) -> None:
        """One line where there are cells of other code."""
        if self.stale:
            number, be, them = len(self.stale), *(("is", "it") if len(self.stale) == 1 else ("are", "them"))
            fate = "kept" if self.keep_stale else f"made again (--stale keep keeps {them})"
            cells = "1 cell" if number == 1 else f"{number} cells"
            reporter.remarked(f"{cells} {be} of other code than today's and {be} {fate}")


@dataclass(frozen=True)
class _Varied:
    """What is varied in a folder.

    Attributes:
        conditions: Of each task, each once.
        tables: What is varied, by label.
        own: Of each task where nothing is.
    """

    conditions: Mapping[str, tuple[Conditions, ...]]
    tables: Mapping[str, VariedEntry]

    own: Mapping[str, Conditions]

    def of_method(self, task: Task, *, once: bool) -> tuple[Conditions, ...]:
        """What a method is scored under: all, or the task's own conditions where these are among them."""
        own = self.own[task.card.name]
        each = self.conditions[task.card.name]
        return (own,) if once and own in each else each

    @classmethod
    def of(cls, request: Request, spec: ScenarioSpec) -> _Varied:
        found: dict[str, dict[str, Conditions]] = {name: {} for name in request.tasks}
        tables: dict[str, VariedEntry] = {}
        for fields in request.conditions:
            each = conditions_of(request.tasks, fields, spec)
            for name, condition in each.items():
                found[name][condition.label] = condition
            having = tuple(name for name, task in request.tasks.items() if task.conditions.has(fields))
            cells = {name: condition.label for name, condition in each.items()}
            # Tasks of different conditions may be at the same label, such as their defaults: one table has them all.
            known = tables.get(label := cells[having[0]], VariedEntry(cells=cells, tasks=()))
            tables[label] = VariedEntry(
                cells={**known.cells, **{name: cells[name] for name in having}},
                tasks=tuple(name for name in request.tasks if name in {*known.tasks, *having}),
            )
        own = {name: task.default_conditions(spec) for name, task in request.tasks.items()}
        return cls({name: tuple(each.values()) for name, each in found.items()}, tables, own)


def _task_entry(task: Task, conditions: tuple[Conditions, ...]) -> TaskEntry:
    return TaskEntry(
        title=task.card.label,
        description=task.card.description,
        fields={name: info.default for name, info in task.conditions.model_fields.items()},
        sentences={condition.label: condition.sentence for condition in conditions},
    )


def manifest(request: Request, provenance: Provenance) -> RunManifest:
    """``run.json`` of a folder with the cells of a request.

    Raises:
        RequestError: a condition that is asked for cannot be had on its dataset.
    """
    varied = _Varied.of(request, provenance.spec)
    methods = request.methods
    return RunManifest(
        suite=request.suite.card.name,
        preset=request.preset,
        dataset=provenance.dataset,
        tasks=tuple(request.tasks),
        task_entries={name: _task_entry(task, varied.conditions[name]) for name, task in request.tasks.items()},
        conditions=varied.tables,
        methods=tuple(methods),
        skipped=dict(request.skipped),
        method_tasks={name: _understood(method, request.tasks) for name, method in methods.items()},
        seeds={name: request.num_seeds if method.learned else 1 for name, method in methods.items()},
        joint_tasks={
            name: tuple(task.card.name for task in tasks)
            for name, method in methods.items()
            if method.joint and (tasks := _own_tasks(method, request.tasks))
        },
        bundles=dict(request.suite.bundles),
        overall=tuple(name for name in request.suite.overall if name in request.tasks),
        once=request.once,
        backbone=request.backbone if any(family_of(method.card.family).backbone for method in methods.values()) else "",
        source=provenance.source,
        exhibits=request.suite.exhibits,
        setting=provenance.setting,
    )


def _understood(method: type[Method], tasks: Mapping[str, Task]) -> tuple[str, ...]:
    """Names of the tasks that a method has an answer to: the registered ones and those that are asked for."""
    asked = (task.card.name for task in _own_tasks(method, tasks))
    return tuple(dict.fromkeys((*registry.tasks_of(method), *asked)))


def _origin(request: Request, method: type[Method] | None, tasks: tuple[Task, ...]) -> Origin:
    name = CEILING if method is None else method.card.name
    place = request.names.get(name, name)
    return Origin.of(
        method,
        tasks,
        found_at=place,
        suite=request.suite.card.name,
        command=command_line(),
        submission=request.submissions.get(name),
    )


def _jobs(request: Request, varied: _Varied, there: _There) -> Iterator[Job]:
    """Fits that have cells missing: per method, seed and what a fit sees, and per task unless it is joint."""
    for method in request.methods.values():
        own = _own_tasks(method, request.tasks)
        groups = [own] if method.joint else [(task,) for task in own]
        origins = {group: _origin(request, method, group) for group in groups if group}
        for group, seed in itertools.product(origins, range(request.num_seeds if method.learned else 1)):
            trainings: dict[str, tuple[dict[str, Any], list[tuple[Task, Conditions]]]] = {}
            for task in group:
                for condition in varied.of_method(task, once=method.card.name in request.once):
                    name = cell_name(method.card.name, task.card.name, condition.label, seed)
                    if not request.part.has_cell(name, fit=_stem(method, group, seed, condition)):
                        continue
                    if there.has(name, origins[group].code):
                        continue
                    training = condition.of_fit()
                    trainings.setdefault(condition_label(training), (training, []))[1].append((task, condition))
            for training, cells in trainings.values():
                yield Job(method, group, seed, training, tuple(cells), origins[group], request.keep_stale)


def _stem(method: type[Method], group: tuple[Task, ...], seed: int, condition: Conditions) -> str:
    return Job(method, group, seed, condition.of_fit(), ()).stem


def _anew(job: Job, stage: OpenStage) -> Job:
    """A job without what there is of its cells and of its fit."""
    for task, condition in job.cells:
        (stage.folder / "cells" / f"{job.name_of(task, condition)}.json").unlink(missing_ok=True)
    if stage.fits_here:
        remove_fit(stage.checkpoints / job.stem)
    return job


def _stamped(job: Job, folder: Path) -> Job:
    names = [job.name_of(task, condition) for task, condition in job.cells]
    return replace(job, stamps={name: stamp_of(folder, name) for name in names})


def _own_tasks(method: type[Method], tasks: Mapping[str, Task]) -> tuple[Task, ...]:
    """Those tasks that the method understands, in the method's order: a joint fit may depend on it, a request must
    not."""
    return tuple(sorted(filter(method.covers, tasks.values()), key=method.order))
