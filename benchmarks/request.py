"""What a request asks for: names, conditions, device and dataset, checked before anything is written."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from channelbench import registry
from channelbench.benchmarks.default_data import Unmade
from channelbench.benchmarks.part import Part
from channelbench.conditions import Conditions
from channelbench.contracts import FitContext, Method, Task
from channelbench.cuda import has_cuda, require_cuda
from channelbench.discovery import is_ours
from channelbench.errors import RequestError
from channelbench.experiment import Experiment, ExperimentSpec
from channelbench.families import FLOOR, family_of
from channelbench.presets import DEFAULT_PRESET
from channelbench.spec import ScenarioSpec
from channelbench.store import open_dataset, verify
from channelbench.store.dataset import ChannelDataset
from channelbench.submission import Submission
from channelbench.suite import Suite
from channelbench.supported import shortfall

_LOG = logging.getLogger("channelbench")

__all__ = [
    "Request",
    "RunOptions",
    "check_tasks",
    "check_varied",
    "chosen_methods",
    "conditions_of",
    "for_dataset",
    "open_verified",
    "parse_conditions",
    "prepare",
    "resolve_device",
    "supported_tasks",
    "with_controls",
]

CONTROLS = ("random", "none", "scratch")
"""What a language model has to be compared with: random weights, no trunk, a small trunk that is all trained."""

STALE = ("remake", "keep")
"""What can be done with cells of other code than today's."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run is asked for, as it was asked: names and numbers. ``runner.run`` says what each of them means."""

    suite: str = "full"
    methods: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    conditions: tuple[Mapping[str, Any], ...] = ()
    preset: str = DEFAULT_PRESET
    seeds: int | None = None
    device: str = "auto"
    backbone: str = "minilm"
    controls: bool = False
    stale: str = "remake"
    redo: tuple[str, ...] = ()
    shard: str | None = None
    only: tuple[str, ...] | None = None
    submissions: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a run, its names resolved; see ``runner.run``.

    Attributes:
        names: By the name of its card, that under which each method was asked for: it tells where to find it.
        once: Methods that are run under the tasks' own conditions alone.
        keep_stale: Whether cells and fits of other code are kept.
        redo: Methods whose cells and fits are made again.
        part: Which of the cells are made.
        submissions: Those of the methods that were handed in, by name.
        skipped: Methods of the suite that lack something here, each with what and with the remedy.
    """

    suite: Suite
    experiment: Experiment
    tasks: Mapping[str, Task]
    methods: Mapping[str, type[Method]]
    conditions: tuple[Mapping[str, Any], ...]
    preset: str
    num_seeds: int
    device: str
    backbone: str
    names: Mapping[str, str] = field(default_factory=dict)
    once: tuple[str, ...] = ()
    keep_stale: bool = False
    redo: frozenset[str] = frozenset()
    part: Part = field(default_factory=Part)
    submissions: Mapping[str, Submission] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


def prepare(options: RunOptions) -> Request:
    """Everything about a request that can be checked without its dataset.

    Raises:
        RequestError: something of it does not exist, cannot be had, or does not fit.
    """
    suite: Suite = registry.find("suites", options.suite)
    num_seeds = suite.num_seeds(options.preset)
    if options.stale not in STALE:
        raise RequestError("--stale", expected="what to do with cells of other code", got=options.stale, choices=STALE)
    if options.seeds is not None and options.seeds < 1:
        raise RequestError("--seeds", expected="an integer of at least 1", got=options.seeds)
    part = Part.of(options.shard, options.only)
    experiment = _experiment(suite.experiment)
    device = resolve_device(options.device)
    tasks = _chosen_tasks(options.tasks or suite.tasks)
    for varied in options.conditions:
        check_varied(tasks, varied)
    # What a suite varies applies to those of its tasks that are chosen.
    varied_here = tuple(v for v in suite.conditions if any(task.conditions.has(v) for task in tasks.values()))
    submissions = Submission.all_of(options.submissions)
    # Who has handed something in is scored beside the methods that are asked for, if any are.
    asked = tuple(dict.fromkeys((*options.methods, *(each.method for each in submissions.values()))))
    wanted = asked or suite.methods
    wanted = tuple(with_controls(wanted)) if options.controls else wanted
    chosen = chosen_methods(wanted, tasks, explicit=bool(asked))
    lacking = _lacking(chosen, tasks, options, device, explicit=bool(asked))
    chosen = {name: method for name, method in chosen.items() if name not in lacking}
    return Request(
        suite=suite,
        experiment=experiment,
        tasks=tasks,
        methods=chosen,
        conditions=options.conditions or varied_here or ({},),
        preset=options.preset,
        num_seeds=options.seeds or num_seeds,
        device=device,
        backbone=options.backbone,
        names={card: name for name in wanted if (card := registry.find("methods", name).card.name) in chosen},
        once=() if asked or options.conditions else suite.once.get(options.preset, ()),
        keep_stale=options.stale == "keep",
        redo=_again(options.redo, chosen),
        part=part,
        skipped={name: str(error) for name, error in lacking.items()},
        submissions=submissions,
    )


def _lacking(
    chosen: Mapping[str, type[Method]], tasks: Mapping[str, Task], options: RunOptions, device: str, *, explicit: bool
) -> dict[str, RequestError]:
    """The methods of a suite that lack something here, and what.

    Raises:
        RequestError: one of them was asked for by name, the backbone was, or all that a suite is about lack something.
    """
    lacking: dict[str, RequestError] = {}
    covering = {name: method for name, method in chosen.items() if any(map(method.covers, tasks.values()))}
    for name, method in covering.items():
        context = FitContext(
            preset=options.preset, device=device if method.learned else "cpu", backbone=options.backbone
        )
        try:
            _check_method(method, context)
        except RequestError as error:
            if explicit or options.backbone != RunOptions.backbone:
                raise
            lacking[name] = error
    if lacking and not any(family_of(m.card.family).ranked for name, m in covering.items() if name not in lacking):
        raise next(iter(lacking.values()))
    return lacking


def _again(wanted: Sequence[str], chosen: Mapping[str, type[Method]]) -> frozenset[str]:
    """Names of the methods to make again, among those of the run."""
    names = [registry.find("methods", name).card.name if ":" in name else name for name in wanted]
    for name in names:
        if name not in chosen:
            raise RequestError("--redo", expected="a method of this run", got=name, choices=sorted(chosen))
    return frozenset(names)


def _check_method(method: type[Method], context: FitContext) -> None:
    """Let a method say what it lacks. Whatever else it does is left to its jobs, which ask again: it costs their
    cells, not the run."""
    try:
        method.check(context)
    except (RequestError, KeyboardInterrupt):
        raise
    except BaseException:
        if is_ours(method):
            raise


def _experiment(stated: ExperimentSpec) -> Experiment:
    """The experiment of a suite, its parameters checked by its own model."""
    kind: type[Experiment] = registry.find("experiments", stated.name)
    try:
        return kind(**stated.parameters)
    except ValidationError as error:
        found = RequestError.from_pydantic(error, kind)
        raise found.about(f"experiment {stated.name}, {found.field}") from None


def for_dataset(request: Request, options: RunOptions, dataset: ChannelDataset | Unmade) -> Request:
    """The request with those of its tasks that the dataset has.

    Raises:
        RequestError: tasks or methods that were asked for by name have nothing to do there.
    """
    tasks = supported_tasks(request.tasks, dataset.spec, dataset.variables, explicit=bool(options.tasks))
    for name in (*options.methods, *(each.method for each in request.submissions.values())):
        check_tasks(name, registry.find("methods", name), tasks)
    return replace(request, tasks=tasks)


def parse_conditions(items: Iterable[str]) -> tuple[dict[str, str], ...]:
    """``["snr_db=0,10", "paper_compat=true"]`` to the product of the named values."""
    axes: dict[str, list[str]] = {}
    for item in items:
        name, sign, values = item.partition("=")
        if not sign or not values:
            raise RequestError("--condition", expected="name=value[,value…]", got=item)
        axes[name.strip()] = [value.strip() for value in values.split(",")]
    if not axes:
        return ()
    return tuple(dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values()))


def check_varied(tasks: Mapping[str, Task], varied: Mapping[str, Any]) -> None:
    """What can be said of ``varied`` without a dataset.

    Raises:
        RequestError: a field that no task has, or a value that one of them refuses.
    """
    known = sorted({name for task in tasks.values() for name in task.conditions.model_fields})
    for name in varied:
        if name not in known:
            raise RequestError("--condition", expected="a condition of these tasks", got=name, choices=known)
    applicable = [task for task in tasks.values() if task.conditions.has(varied)]
    if not applicable:
        raise RequestError("--condition", expected="conditions that one task has together", got=", ".join(varied))
    for task in applicable:
        task.conditions.of(varied)


def conditions_of(tasks: Mapping[str, Task], varied: Mapping[str, Any], spec: ScenarioSpec) -> dict[str, Conditions]:
    """The conditions of each task on a dataset of ``spec``, where ``varied`` is asked for: a task that lacks one of the
    fields keeps its own.

    Raises:
        RequestError: a field that no task has, or a value that one of them refuses.
    """
    check_varied(tasks, varied)
    found = {}
    for name, task in tasks.items():
        own = task.default_conditions(spec)
        if task.conditions.has(varied):
            own = task.conditions.of({**own.changes(), **varied})
        task.check_conditions(spec, own)
        found[name] = own
    return found


def resolve_device(device: str) -> str:
    """``auto`` to ``cuda`` where there is one, else ``cpu``."""
    if device not in ("auto", "cpu", "cuda"):
        raise RequestError("--device", expected="a known device", got=device, choices=["auto", "cpu", "cuda"])
    if device == "cpu":
        return "cpu"
    if has_cuda():
        return "cuda"
    if device == "cuda":
        require_cuda("--device", ["auto", "cpu"])
    return "cpu"


def _chosen_tasks(wanted: Sequence[str]) -> dict[str, Task]:
    """Tasks by the names of their cards."""
    found: dict[str, Task] = {}
    for path in wanted:
        task: Task = registry.create("tasks", path)
        name = task.card.name
        if name in found and type(found[name]) is not type(task):
            raise RequestError("--tasks", expected="tasks of different names", got=name)
        if ":" in path:
            registry.refuse_taken("tasks", path, "--tasks")
        found[name] = task
    return found


def chosen_methods(wanted: Sequence[str], tasks: Mapping[str, Task], *, explicit: bool) -> dict[str, type[Method]]:
    """Methods by name: the wanted ones, and the floors of the tasks, without which there is no skill."""
    found: dict[str, type[Method]] = {}
    for name in wanted:
        method = registry.find("methods", name)
        if method.card.name in found and found[method.card.name] is not method:
            raise RequestError("--methods", expected="methods of different names", got=method.card.name)
        if ":" in name:
            registry.refuse_taken("methods", name, "--methods")
        if explicit:
            check_tasks(name, method, tasks)
        found[method.card.name] = method
    for name in registry.names("methods"):
        method = registry.find("methods", name)
        if method.card.family == FLOOR and any(map(method.covers, tasks.values())):
            found.setdefault(name, method)
    return found


def check_tasks(name: str, method: type[Method], tasks: Mapping[str, Task]) -> None:
    """Refuse a method that was asked for by ``name`` and understands none of the tasks."""
    if not any(map(method.covers, tasks.values())):
        raise RequestError(
            "--methods",
            expected=f"a method of the tasks {', '.join(tasks)}",
            got=name,
            choices=registry.tasks_of(method),
            remedy="the choices are the tasks that it answers",
        )


def with_controls(names: Iterable[str]) -> Iterator[str]:
    """The names, each language model's followed by those of its controls that it has."""
    for name in names:
        yield name
        method = registry.find("methods", name)
        if family_of(method.card.family).backbone and "+" not in name:
            yield from (f"{name}+{control}" for control in CONTROLS if control in method.variants)


def supported_tasks(
    tasks: Mapping[str, Task], spec: ScenarioSpec, variables: Collection[str], *, explicit: bool
) -> dict[str, Task]:
    """The tasks that can be cut from a dataset of ``spec`` with these variables. What a suite has besides is left out,
    with a word that says why; an ``explicit`` one that cannot be cut is an error."""
    reasons = {name: reason for name, task in tasks.items() if (reason := shortfall(task, spec, variables))}
    usable = {name: task for name, task in tasks.items() if name not in reasons}
    if reasons and (explicit or not usable):
        raise RequestError(
            "--tasks",
            expected=f"tasks that {'this' if spec.system is None else f'a {spec.system}'} dataset supports",
            got=", ".join(f"{name} ({reason})" for name, reason in reasons.items()),
            choices=sorted(usable),
        )
    for name, reason in reasons.items():
        _LOG.warning("warning: task %s is left out of this dataset: %s", name, reason)
    return usable


def open_verified(path: str | Path, progress: Callable[[int, int], None] = lambda done, total: None) -> ChannelDataset:
    """The dataset, if every check of ``verify`` passes: a score on changed data is worth nothing. What has passed once
    in this folder is not drawn again."""
    dataset = open_dataset(path)
    for finding in verify(path, again=False, progress=progress):
        if not finding.ok:
            raise RequestError(
                "--data",
                expected="a dataset that `channelbench verify` accepts",
                got=f"{path} ({finding.check}: {finding.problems[0]})",
            )
    return dataset
