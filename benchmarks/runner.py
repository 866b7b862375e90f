"""``run``: from the names in a request to result cells on disk."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal

from channelbench import registry
from channelbench.benchmarks import hidden
from channelbench.benchmarks.claim import check, claim, place
from channelbench.benchmarks.default_data import Unmade, default_dataset, planned_dataset
from channelbench.benchmarks.folder import Outcome, fill, manifest
from channelbench.benchmarks.jobs import Job, Reporter
from channelbench.benchmarks.logs import LogReporter, opened_log
from channelbench.benchmarks.placement import Placement, on_workers
from channelbench.benchmarks.planning import planned
from channelbench.benchmarks.request import Request, RunOptions, for_dataset, open_verified, prepare
from channelbench.benchmarks.stages import Provenance, Stages
from channelbench.contracts import Method, Task
from channelbench.errors import RequestError
from channelbench.options import listed
from channelbench.presets import DEFAULT_PRESET
from channelbench.results import sweep
from channelbench.store.dataset import ChannelDataset

__all__ = ["Job", "Outcome", "Reporter", "run"]


def run(
    suite: str = "full",
    *,
    data: str | Path | None = None,
    out: str | Path = "results",
    methods: str | Sequence[str | type[Method]] = (),
    tasks: str | Sequence[str | type[Task]] = (),
    conditions: Sequence[Mapping[str, Any]] = (),
    preset: str = DEFAULT_PRESET,
    seeds: int | None = None,
    device: str = "auto",
    backbone: str = "minilm",
    controls: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    timeout: float | str | None = None,
    max_time: float | str | None = None,
    stale: str = "remake",
    redo: str | Sequence[str | type[Method]] = (),
    shard: str | None = None,
    only: Sequence[str] | None = None,
    debug: bool = False,
    log: str | None = None,
    test_seed_file: str | Path | None = None,
    submissions: Sequence[str | Path] = (),
    dry_run: bool = False,
    reporter: Reporter | None = None,
) -> Outcome:
    """Make the cells of a suite that are not in ``out`` yet.

    What is fitted on what is the plan of the suite's experiment: ``out`` has its first stage and folders below it the
    others, e.g. ``out/<target>/zero-shot``. Datasets that a plan needs besides ``data`` are made beside it if they are
    not there.

    Args:
        suite: A name from ``channelbench list suites``, or ``package.module:SUITE``.
        data: A dataset that ``generate`` made, a path or a URL; by default the last one that was generated in this
            folder, or a fresh quick one of the suite's, made once the rest of the request is in order.
        out: Folder of the results; one dataset, suite and preset per folder.
        methods: These instead of the suite's, names or classes; floors and ceilings are always added.
            ``package.module:Class`` works, and options after a ``+``.
        tasks: These instead of the suite's, names or classes.
        conditions: These instead of the suite's, each as the fields that differ: ``{"snr_db": 0}``. A task that
            lacks one of the fields runs once under its own conditions.
        preset: One of ``channelbench.presets``: how large and how long to train.
        seeds: Seeds of learned methods; the suite's number for the preset by default.
        device: ``auto``, ``cpu`` or ``cuda``. ``auto`` is CUDA where each worker can have a GPU of its own, and the
            processor on a ``scheduler``.
        backbone: What methods of family ``llm`` are built on: ``minilm``, ``gpt2``, a hub name, a folder or
            ``random:NAME``. One per results folder.
        controls: Run every chosen language model beside its controls too, those that it has: random weights, no
            trunk, and a small trunk that is all trained.
        workers: Fit and score in so many processes. One has as many threads as there are cores; more have one thread
            each, and a GPU each with ``cuda``, and leave ``latency_ms_batch1``, ``latency_ms_batch512`` and
            ``peak_memory_mb`` out of the cells, because work beside other work does not measure them; ``fit_s`` and
            ``predict_s`` are then those of one thread. What exists in this process alone (a dataset at ``memory://``, a
            method of a notebook) is scored in it.
        scheduler: Address of a dask scheduler whose workers do it instead, ``tcp://host:port``, or its scheduler file.
            They have to reach ``data`` and ``out`` under the same names, and to import the methods; each does one job
            at a time with as many threads as it has.
        timeout: How long a job may be without a step of its fit or a scored batch until it is ended and its cells fail:
            seconds, or ``90s``, ``10m``, ``6h``; by default 10 minutes in ``quick``, 60 in ``standard`` and 6 hours in
            ``paper``.
        max_time: How long a whole job may take; by default 24 hours for methods that are not ours.
        stale: What becomes of cells, and of fits, of other code than today's: ``remake`` or ``keep``. What cells say
            of no code counts as today's.
        redo: Methods of the run whose cells and fits are removed first, whatever their code.
        shard: ``2/8``: make the second of eight shares of the fits, with their cells. Shares that were made elsewhere
            are put together by ``merge``.
        only: Names of cells: make no others.
        debug: Stop at the first failure of a method; the jobs run in this process.
        log: ``tensorboard`` or ``trackio``: where learning curves and scores go, too.
        test_seed_file: A file with a secret of at least 16 characters: fits are scored on a test split that is drawn
            from it, see docs/challenge.md. Cells go to ``out/hidden-…``, a folder named by the digest that was, or can
            be, published; fits are those of ``out``.
        submissions: Folders that were handed in, see ``channelbench.submission``: their methods are scored too, and
            their cells say who made them.
        dry_run: Write nothing and make nothing: the outcome has the plan alone. The dataset is opened and not read
            through, and a scheduler is not asked.
        reporter: Hears of the progress.

    Returns:
        What was made, and what the plan was.

    Raises:
        Stopped: a method failed, with ``debug``; its own error is the cause.
        RequestError: something of the request does not exist or does not fit; nothing has been written.
    """
    reporter, began = reporter or Reporter(), time.time()
    placement = Placement(
        workers=workers, scheduler=scheduler, device=device, timeout=timeout, max_time=max_time, debug=debug
    )
    options = RunOptions(
        suite=suite,
        methods=_named("methods", methods),
        tasks=_named("tasks", tasks),
        conditions=tuple(conditions),
        preset=preset,
        seeds=seeds,
        device=placement.device_here,
        backbone=backbone,
        controls=controls,
        stale=stale,
        redo=_named("methods", redo),
        shard=shard,
        only=None if only is None else tuple(only),
        submissions=tuple(map(str, submissions)),
    )
    request, folder = prepare(options), place(out)
    if log is not None:
        reporter = LogReporter(opened_log(log, folder), reporter)
    secret = None if test_seed_file is None else hidden.Secret.read(test_seed_file)
    if secret is not None:
        placement.check_private(hidden.FIELD)
        hidden.check_methods(request.methods)
        if dry_run:
            expected = f"no {hidden.FIELD}: where its cells lie is known when it is drawn"
            raise RequestError("--dry-run", expected=expected, got="both")
    dataset: ChannelDataset | Unmade
    if dry_run:
        dataset = planned_dataset(request.suite, data)
    else:
        if data is None:
            data = default_dataset(request.suite, partial(reporter.generating, request.suite.scenario))
        dataset = open_verified(data, partial(reporter.read, str(data)))
    request = for_dataset(request, options, dataset)
    stages = _checked(request, dataset, folder)
    if secret is not None and stages.plan.datasets:
        got = f"{request.suite.card.name}, which tests on {', '.join(stages.plan.datasets)} too"
        raise RequestError(hidden.FIELD, expected="a suite that needs no other dataset", got=got)
    request = on_workers(request, placement)
    if isinstance(dataset, Unmade) or dry_run:
        plan = planned(request, stages, placement)
        reporter.began(plan)
        return Outcome(folder, plan=plan)
    outcomes: dict[str, Outcome] = {}
    with ExitStack() as stack:
        test = None
        if secret is not None:
            progress = partial(reporter.generating, "hidden test")
            test = stack.enter_context(hidden.drawn(secret, dataset, progress))
        plan = planned(request, stages, placement, root=None if test is None else test.root(folder))
        perform = stack.enter_context(placement.performing(request, dataset, folder, reporter))
        reporter.began(plan)
        for name, own, stage in stages.opened(request, reporter):
            if test is not None:
                claim(stage.folder, manifest(own, Provenance.of(stage)), reporter.remarked)  # whose fits are used
                stage = stage.tested_on(test, folder)
                stage.prepare(request.tasks.values())
            reporter.entered(stage.folder.relative_to(folder).as_posix() if test is not None else name)
            outcomes[name] = fill(own, stage, reporter, perform)
    sweep(folder, before=began)
    outcome = outcomes.pop("")
    outcome.stages.update(outcomes)
    outcome.plan = plan
    return outcome


def _named(kind: Literal["methods", "tasks"], wanted: str | Sequence[str | type]) -> tuple[str, ...]:
    """Names of what was asked for by name or as a class; text is a list with commas."""
    if isinstance(wanted, str):
        wanted = listed(wanted)
    elif isinstance(wanted, type):
        wanted = [wanted]
    return tuple(registry.lend(kind, one) for one in wanted)


def _checked(request: Request, dataset: ChannelDataset | Unmade, folder: Path) -> Stages:
    """The stages of the request's experiment. Whatever can be refused of any of them is refused here."""
    plan = request.experiment.plan(dataset.spec, dataset.seed)
    stages = Stages(plan, dataset, folder)
    stages.check(request)
    stages.check_reads(request)
    reading = [stage.folder for stage in stages.plan.stages if stage.reads is not None]
    if request.part.shard[1] > 1 and reading:
        got = f"{request.suite.card.name}, where {', '.join(reading)} reads what all others predict"
        raise RequestError("--shard", expected="a suite whose stages read no predictions", got=got)
    for stage in stages.plan.stages:
        check(folder / stage.folder, manifest(stages.request_of(request, stage), stages.provenance(stage)))
    return stages
