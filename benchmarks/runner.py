"""``run``: from the names in a request to result cells on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from channelbench import registry
from channelbench.benchmarks.claim import check, place
from channelbench.benchmarks.folder import Outcome, fill, manifest
from channelbench.benchmarks.jobs import Job, Perform, Reporter, one_by_one
from channelbench.benchmarks.request import Request, RunOptions, for_dataset, open_verified, prepare, with_controls
from channelbench.benchmarks.stages import Stages
from channelbench.errors import RequestError
from channelbench.results import sweep
from channelbench.store.dataset import ChannelDataset
from channelbench.store.location import Location

__all__ = ["Job", "Outcome", "Reporter", "run"]


def run(
    suite: str = "full",
    *,
    data: str | Path | Callable[[], str | Path],
    out: str | Path = "results",
    methods: Sequence[str] = (),
    tasks: Sequence[str] = (),
    conditions: Sequence[Mapping[str, Any]] = (),
    preset: str = "quick",
    seeds: int | None = None,
    device: str = "auto",
    backbone: str = "minilm",
    controls: bool = False,
    workers: int = 1,
    reporter: Reporter | None = None,
) -> Outcome:
    """Make the cells of a suite that are not in ``out`` yet.

    What is fitted on what is the plan of the suite's experiment: ``out`` has its first stage and folders below it the
    others, e.g. ``out/<target>/zero-shot``. Datasets that a plan needs besides ``data`` are made beside it if they are
    not there.

    Args:
        suite: A name from ``channelbench list suites``, or ``package.module:SUITE``.
        data: A dataset that ``generate`` made, a path or a URL, or what gives one, called once the rest of the request
            is in order.
        out: Folder of the results; one dataset, suite and preset per folder.
        methods: These instead of the suite's; floors and ceilings are always added. ``package.module:Class`` works,
            and options after a ``+``.
        tasks: These instead of the suite's.
        conditions: These instead of the suite's, each as the fields that differ: ``{"snr_db": 0}``. A task that
            lacks one of the fields runs once under its own conditions.
        preset: How large and how long to train: ``quick``, ``standard`` or ``paper``.
        seeds: Seeds of learned methods; the suite's number for the preset by default.
        device: ``auto``, ``cpu`` or ``cuda``. ``auto`` is CUDA where there is one, with one worker.
        backbone: What methods of family ``llm`` are built on: ``minilm``, ``gpt2``, a hub name, a folder or
            ``random:NAME``. One per results folder.
        controls: Run every chosen language model beside its controls too, those that it has: random weights, no
            trunk, and a small trunk that is all trained.
        workers: Fit and score in so many processes of one thread each, on the processor; 1 works in this process,
            with as many threads as there are cores. More than 1 leaves ``latency_ms_batch1``, ``latency_ms_batch512``
            and ``peak_memory_mb`` out of the cells, because work beside other work does not measure them; ``fit_s``
            and ``predict_s`` are then those of one thread. A script that asks for more than 1 has its calls under
            ``if __name__ == "__main__":``, because every process imports it.
        reporter: Hears of the progress.

    Raises:
        RequestError: something of the request does not exist or does not fit; nothing has been written.
    """
    reporter, began = reporter or Reporter(), time.time()
    options = RunOptions(
        suite=suite,
        methods=tuple(methods),
        tasks=tuple(tasks),
        conditions=tuple(conditions),
        preset=preset,
        seeds=seeds,
        device=device,
        backbone=backbone,
        controls=controls,
        workers=workers,
    )
    request, folder = prepare(options), place(out)
    dataset = open_verified(data() if callable(data) else data)
    if workers > 1 and Location.of(dataset.path, field="--data").is_private:
        got = f"{dataset.path} (of one process)"
        raise RequestError("--data", expected="a place that all workers share", got=got)
    request = for_dataset(request, options, dataset)
    stages = _checked(request, dataset, folder)
    outcomes: dict[str, Outcome] = {}
    with _performing(workers, request, options.methods, controls=controls) as perform:
        for name, leg in stages.opened(reporter):
            reporter.entered(name)
            outcomes[name] = fill(request, leg, reporter, perform)
    sweep(folder, before=began)
    outcome = outcomes.pop("")
    outcome.stages.update(outcomes)
    return outcome


def _checked(request: Request, dataset: ChannelDataset, folder: Path) -> Stages:
    """The stages of the request's experiment. Whatever can be refused of any of them is refused here."""
    plan = request.experiment.plan(dataset.spec, dataset.seed)
    stages = Stages(plan, dataset, folder)
    stages.check(request)
    for stage in plan.stages:
        check(folder / stage.folder, manifest(request, stages.provenance(stage)))
    return stages


@contextmanager
def _performing(workers: int, request: Request, methods: Sequence[str], *, controls: bool) -> Iterator[Perform]:
    """Who does the jobs: this process, or workers, which find each method by the name it was asked for."""
    if workers == 1:
        yield one_by_one
        return
    from channelbench.benchmarks.workers import Crew

    wanted = tuple(methods or request.suite.methods)
    names = {registry.find("methods", n).card.name: n for n in (with_controls(wanted) if controls else wanted)}
    with Crew(workers, names) as crew:
        yield crew.perform
