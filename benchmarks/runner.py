"""``run``: from the names in a request to result cells on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from channelbench import registry
from channelbench.benchmarks.folder import Outcome, fill
from channelbench.benchmarks.jobs import Job, Leg, Perform, Reporter, one_by_one
from channelbench.benchmarks.request import (
    Request,
    check_tasks,
    open_verified,
    prepare,
    supported_tasks,
    with_controls,
)
from channelbench.benchmarks.transfer import fill_transfers, plan_transfers
from channelbench.errors import RequestError
from channelbench.presets import DEFAULT_PRESET
from channelbench.results import sweep
from channelbench.store.location import Location, is_url

__all__ = ["Job", "Outcome", "Reporter", "run"]


def run(
    suite: str = "full",
    *,
    data: str | Path | Callable[[], str | Path],
    out: str | Path = "results",
    methods: Sequence[str] = (),
    tasks: Sequence[str] = (),
    conditions: Sequence[Mapping[str, Any]] = (),
    preset: str = DEFAULT_PRESET,
    seeds: int | None = None,
    device: str = "auto",
    backbone: str = "minilm",
    controls: bool = False,
    workers: int = 1,
    reporter: Reporter | None = None,
) -> Outcome:
    """Make the cells of a suite that are not in ``out`` yet.

    A suite with targets is run on ``data`` first; then, for each target, ``out/<target>/zero-shot`` has the scores of
    these fits on the target's test split, and ``out/<target>/transfer`` those of fits that went on from them on a
    share of the target's training split. A target's dataset is made beside ``data`` if it is not there.

    Args:
        suite: A name from ``channelbench list suites``.
        data: A dataset that ``generate`` made, a path or a URL, or what gives one, called once the rest of the request
            is in order.
        out: Folder of the results; one dataset, suite and preset per folder.
        methods: These instead of the suite's; floors and ceilings are always added. ``package.module:Class`` works,
            and options after a ``+``.
        tasks: These instead of the suite's.
        conditions: These instead of the suite's, each as the fields that differ: ``{"snr_db": 0}``. A task that
            lacks one of the fields runs once under its own conditions.
        preset: One of ``channelbench.presets``: how large and how long to train.
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
    if is_url(out):
        raise RequestError("--out", expected="a folder of this machine, as results are small", got=str(out))
    reporter, folder, began = reporter or Reporter(), Path(out), time.time()
    if workers < 1:
        raise RequestError("--workers", expected="an integer of at least 1", got=workers)
    if workers > 1 and device == "cuda":
        raise RequestError("--workers", expected="1 with --device cuda, which they would have to share", got=workers)
    request = prepare(
        suite,
        methods=methods,
        tasks=tasks,
        conditions=conditions,
        preset=preset,
        seeds=seeds,
        device="cpu" if workers > 1 and device == "auto" else device,
        backbone=backbone,
        controls=controls,
    )
    if folder.is_file():
        raise RequestError("--out", expected="a folder", got=f"{folder} (a file)")
    dataset = open_verified(data() if callable(data) else data)
    if workers > 1 and Location.of(dataset.path, field="--data").is_private:
        got = f"{dataset.path} (of one process)"
        raise RequestError("--data", expected="a place that all workers share", got=got)
    request = replace(request, tasks=supported_tasks(request.tasks, dataset.spec, explicit=bool(tasks)))
    for name in methods:
        check_tasks(name, registry.find("methods", name), request.tasks)
    transfers = plan_transfers(request, dataset)
    checkpoints = folder / "checkpoints"
    reporter.entered("")
    leg = Leg(folder=folder, train=dataset, test=dataset, checkpoints=checkpoints)
    with _performing(workers, request, methods, controls=controls) as perform:
        outcome = fill(request, leg, reporter, perform)
        outcome.transfers.update(fill_transfers(request, dataset, folder, transfers, reporter, perform))
    sweep(folder, before=began)
    return outcome


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
