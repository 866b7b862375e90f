"""Several processes of one thread each that fit and score jobs, while this one hands them out and writes the cells.

On few cores that is the better use of them: two processes of one thread do 1.65 times the work of one of two threads.

A job goes to a worker as names, numbers and paths, for classes that ``Method.variant`` makes cannot be pickled; the
worker finds them anew. Each worker has a pipe of its own, because one that is killed while it holds the lock of a
common queue would stop all others.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from channelbench import registry
from channelbench.benchmarks.jobs import Job, Leg, Made, Reporter, failures, shared_context, work
from channelbench.benchmarks.request import Request
from channelbench.conditions import Conditions
from channelbench.contracts import FitContext
from channelbench.families import family_of
from channelbench.store import open_dataset
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.scalar import share_reference_power

__all__ = ["Crew"]

PATIENCE_S = 1.0
"""How long a worker that was told to stop may put its files in order."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Errand:
    """A job and its leg, in what can be pickled: ``method`` as it was asked for, datasets by their paths."""

    method: str
    tasks: tuple[str, ...]
    seed: int
    training: Mapping[str, Any]
    cells: tuple[tuple[str, Conditions], ...]
    train: str
    test: str
    source: str | None
    folder: Path
    checkpoints: Path
    start: Path | None
    setting: str
    share: float
    preset: str
    backbone: str


class Crew:
    """Up to ``size`` processes, started as they are needed, kept from one results folder to the next, and stopped on
    leaving the ``with`` block, whatever it is left for.

    Args:
        size: How many processes work at a time.
        names: Names of methods as they were asked for, where these are not those of their cards:
            ``{"half+none": "mine:Half+none"}``.
    """

    def __init__(self, size: int, names: Mapping[str, str]) -> None:
        self.size, self.names = size, names
        self._workers: list[_Worker] = []
        self._can_start = False

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._workers:
            worker.stop()
        limit = time.monotonic() + PATIENCE_S
        while self._workers:
            self._workers.pop().bury(max(0.0, limit - time.monotonic()))

    def perform(self, jobs: Sequence[Job], request: Request, leg: Leg, reporter: Reporter) -> Iterator[Made]:
        """Do the jobs, those first that take long; the cells come in the order in which they are done.

        A worker that dies costs the cells that its job still owed, and another one takes its place.

        Raises:
            RuntimeError: workers cannot even start here.
        """
        waiting = deque(sorted(jobs, key=_brevity))
        while waiting or any(worker.job for worker in self._workers):
            while waiting and (worker := self._idle()) is not None:
                job = waiting.popleft()
                reporter.started(job)
                worker.take(job, self._errand(job, request, leg))
            for worker in self._audible():
                yield from self._hear(worker, request, leg, reporter)

    def _errand(self, job: Job, request: Request, leg: Leg) -> Errand:
        name = job.method.card.name
        asked = {name: registry.address("tasks", type(task)) for name, task in request.tasks.items()}
        return Errand(
            method=self.names.get(name, name),
            tasks=tuple(asked[task.card.name] for task in job.tasks),
            seed=job.seed,
            training=job.training,
            cells=tuple((asked[task.card.name], condition) for task, condition in job.cells),
            train=leg.train.path,
            test=leg.test.path,
            source=None if leg.source is None else leg.source.path,
            folder=leg.folder,
            checkpoints=leg.checkpoints,
            start=leg.start,
            setting=leg.setting,
            share=leg.share,
            preset=request.preset,
            backbone=request.backbone,
        )

    def _idle(self) -> _Worker | None:
        """A worker with nothing to do, a new one if need be, ``None`` if there are enough and all are busy."""
        for worker in [worker for worker in self._workers if worker.job is None]:
            if worker.process.is_alive():
                return worker
            self._dismiss(worker)
        if len(self._workers) == self.size:
            return None
        worker = _Worker()
        self._workers.append(worker)  # first: an interrupt while it starts must find it
        worker.start()
        return worker

    def _audible(self) -> list[_Worker]:
        """The busy workers that have said something or are dead."""
        busy = [worker for worker in self._workers if worker.job is not None]
        ready = set(wait([thing for worker in busy for thing in (worker.line, worker.process.sentinel)]))
        return [worker for worker in busy if {worker.line, worker.process.sentinel} & ready]

    def _hear(self, worker: _Worker, request: Request, leg: Leg, reporter: Reporter) -> Iterator[Made]:
        job, (kind, content) = worker.job, worker.next_message()
        assert job is not None
        match kind:
            case "ready":
                self._can_start = True
            case "steps":
                reporter.fitting(job, *content)
            case "cell":
                worker.delivered += 1
                yield content
            case "done":
                worker.job = None
                reporter.ended(job)
            case _:
                if kind == "dead":
                    content = self._dismiss(worker)
                worker.job = None
                reporter.ended(job)
                error = ChildProcessError(content)
                yield from failures(job, leg, shared_context(request), error, job.cells[worker.delivered :])

    def _dismiss(self, worker: _Worker) -> str:
        """Forget a dead worker, and say what it died of."""
        self._workers.remove(worker)
        cause = worker.bury(PATIENCE_S)
        if not self._can_start:
            raise RuntimeError(
                f"no worker could start: {cause}; a script that runs with workers has its calls under "
                "`if __name__ == '__main__':`"
            )
        return cause


def _brevity(job: Job) -> tuple[bool, ...]:
    """Sorts jobs by how long they take, the longest first: what is left at the end should be short."""
    method = job.method
    is_channel = any(task.loss == "nmse" for task in job.tasks)
    return (not method.learned, not method.joint, not family_of(method.card.family).backbone, not is_channel)


# --- a worker, seen from here ----------------------------------------------------------------------------------------


class _Worker:
    """One process, its pipe, the job it is at and how many of that job's cells have come back."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.line, self._far = context.Pipe()
        self.process = context.Process(target=_serve, args=(self._far,), name="channelbench worker")
        self.job: Job | None = None
        self.delivered = 0

    def start(self) -> None:
        with _surroundings():
            self.process.start()
        self._far.close()

    def take(self, job: Job, errand: Errand) -> None:
        self.job, self.delivered = job, 0
        with suppress(OSError):  # it died this instant, and will be found dead
            self.line.send(errand)

    def next_message(self) -> tuple[str, Any]:
        """What it said, or ``("dead", None)``; to be asked when its pipe or its sentinel is ready."""
        try:
            return self.line.recv() if self.line.poll() else ("dead", None)
        except (EOFError, OSError):
            return "dead", None

    def stop(self) -> None:
        if self.process.pid is not None:
            self.process.terminate()

    def bury(self, patience_s: float) -> str:
        """Wait for its end, bring it about if that takes too long, and say what it was."""
        self.line.close()
        self._far.close()
        if self.process.pid is None:
            return "its process did not start"
        self.process.join(patience_s)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        self.process.close()
        if code >= 0:
            return f"its process ended with status {code}"
        cause = f"its process was ended by signal {-code} ({signal.strsignal(-code)})"
        return cause + (", perhaps for want of memory" if -code == signal.SIGKILL else "")


@contextmanager
def _surroundings() -> Iterator[None]:
    """What a worker inherits from its first instruction on: one thread for the libraries, which read that when they
    are loaded, and no ear for Ctrl-C, which a terminal sends to all its processes and which is ours to act on."""
    resource_tracker.ensure_running()  # otherwise the first start would do it, and let Ctrl-C through again
    before = {name: os.environ.get(name) for name in _THREADS}
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)


# --- a worker, seen from inside --------------------------------------------------------------------------------------


class _Stop(BaseException):
    """The run is being stopped. As an exception it lets files that are half written be removed."""


def _serve(line: Connection) -> None:
    """A worker's whole life."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        signal.signal(signal.SIGTERM, _stop)
        line.send(("ready", None))
        _carry_out_all(line)
    except _Stop:
        os._exit(128 + signal.SIGTERM)  # at once: to take down an interpreter with torch in it takes long


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stop


def _carry_out_all(line: Connection) -> None:
    """Carry out errands until the pipe closes."""
    while True:
        try:
            errand: Errand = line.recv()
        except EOFError:
            return
        try:
            for made in _carry_out(errand, lambda *steps: line.send(("steps", steps))):
                line.send(("cell", made))
            line.send(("done", None))
        except Exception as error:
            line.send(("failed", f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    """Nobody would hear the rest."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _carry_out(errand: Errand, progress: Callable[[int, int, str], None]) -> Iterator[Made]:
    method = registry.find("methods", errand.method)
    tasks = {name: registry.create("tasks", name) for name in errand.tasks}
    if method.learned:
        import torch

        torch.set_num_threads(1)
    train, test, source = _datasets(errand)
    leg = Leg(
        folder=errand.folder,
        train=train,
        test=test,
        checkpoints=errand.checkpoints,
        source=source,
        setting=errand.setting,
        start=errand.start,
        share=errand.share,
    )
    cells = tuple((tasks[name], condition) for name, condition in errand.cells)
    job = Job(method, tuple(tasks.values()), errand.seed, errand.training, cells)
    shared = FitContext(preset=errand.preset, device="cpu", backbone=errand.backbone, progress=progress)
    yield from work(job, leg, shared, alone=False)


def _datasets(errand: Errand) -> tuple[ChannelDataset, ChannelDataset, ChannelDataset | None]:
    """Training, test and source dataset, the same object where they are the same; this run has verified them."""
    train, test = _opened(errand.train), _opened(errand.test)
    if errand.source is None:
        return train, test, None
    source = _opened(errand.source)
    share_reference_power(source, test)
    return train, test, source


# A transfer has two at a time; those of earlier targets need not stay in memory.
_opened = lru_cache(maxsize=2)(open_dataset)
