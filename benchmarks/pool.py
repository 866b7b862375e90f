"""The jobs of a run on dask workers: one job per worker at a time, within limits, whoever dies of it.

Workers write the cells that they make: each is on the disk as soon as it is made, whatever then becomes of the worker
or of the command, and the terms of its scores, which may be large, do not pass through a scheduler. The command hears
of each, and writes those that a job still owed when it failed.
"""

from __future__ import annotations

import errno
import json
import queue
import time
import uuid
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from channelbench import cluster
from channelbench.benchmarks import on_worker, scoring
from channelbench.benchmarks.jobs import Job, OpenStage, Reporter, fail, shared_context
from channelbench.benchmarks.limits import Limits
from channelbench.benchmarks.request import Request
from channelbench.discovery import is_ours, owner_of
from channelbench.families import family_of
from channelbench.losses import Losses
from channelbench.results import Result, cell_name

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Pool"]

LOOK_S = 0.5
"""How often the command looks which workers there are, and which job has exceeded its limits."""

LEAP_S = 10.0
"""Time that the command has not seen pass, because it was stopped itself, counts for no more than this."""

BEGINNINGS = 3
"""How often a job goes back whose worker is gone before it began."""


@dataclass
class _Running:
    """A job that a worker has been given.

    Attributes:
        job, stage: What, and on what.
        address: Of the worker.
        future: dask's; the job goes back when nobody holds it.
        before: What its cells' files held before it, by name.
        missing: Names of the cells that no event has brought.
        began, last_event: When it began (``None`` before), and when it gave the last sign of life.
        where: What it runs on, once that is known.
    """

    job: Job
    stage: OpenStage
    address: str
    future: Future
    before: dict[str, bytes | None]
    missing: set[str]
    began: float | None = None
    last_event: float = 0.0
    where: scoring.Where | None = None


class Pool(ABC):
    """Workers that do one job at a time. Leaving the ``with`` block takes back what is not done.

    Args:
        limits: After which a job fails.
        names: Names of methods as they were asked for, where these are not those of their cards:
            ``{"half+none": "mine:Half+none"}``.
    """

    home: on_worker.Home | None = None
    alone = False

    def __init__(self, limits: Limits, names: Mapping[str, str]) -> None:
        self.limits, self.names = limits, names
        self._stack = ExitStack()
        self._client: Client | None = None
        self._topic, self._events = f"channelbench-{uuid.uuid4().hex}", queue.SimpleQueue[tuple[int, Any]]()
        self._threads: dict[str, int] = {}
        self._usable: dict[str, bool] = {}
        self._looked = float("-inf")
        self._running: dict[int, _Running] = {}
        self._count = 0
        self._beginnings = Counter[str]()
        self._guests: dict[str, str] = {}
        self._clock = _Clock()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)

    # What kinds of workers differ in.

    @abstractmethod
    def connect(self) -> AbstractContextManager[Client]:
        """A client of the workers."""

    @abstractmethod
    def threads(self, address: str) -> int | None:
        """Of a job's libraries there; ``None`` for as many as they take."""

    def admits(self, address: str, reporter: Reporter) -> bool:
        """Whether a worker that has just come may have a job."""
        return True

    def cause_of_death(self, address: str) -> str:
        return "its worker is gone; was it killed, perhaps for want of memory?"

    # What they have in common.

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = self._stack.enter_context(self.connect())
            self._client.subscribe_topic(self._topic, lambda event: self._events.put((event[1]["job"], event[1])))
        return self._client

    def perform(self, jobs: Sequence[Job], request: Request, stage: OpenStage, reporter: Reporter) -> Iterator[Result]:
        """Do the jobs, those first that take long; the cells come in the order in which they are made.

        Raises:
            OSError: the scheduler is gone, or a cell cannot be written.
        """
        waiting = deque(sorted(jobs, key=_brevity))
        while waiting or self._running:
            self._look(reporter)
            self._hand_out(waiting, request, stage, reporter)
            for number, event in self._next_events():
                if number in self._running:
                    yield from self._handle(number, event, request, reporter)
            for number in list(self._running):
                yield from self._watch(number, waiting, request, reporter)

    def _look(self, reporter: Reporter) -> None:
        """See which workers there are, and which of them may have a job."""
        client, now = self.client, time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        try:
            self._threads = client.nthreads()
        except OSError:
            raise self._gone() from None
        known, self._usable = self._usable, {}
        for address in self._threads:
            self._usable[address] = known[address] if address in known else self.admits(address, reporter)

    def _gone(self) -> OSError:
        address = self.client.scheduler.address
        return OSError(errno.ECONNRESET, "the scheduler is gone or has dropped our work", address)

    def _hand_out(self, waiting: deque[Job], request: Request, stage: OpenStage, reporter: Reporter) -> None:
        """Give every idle worker a job."""
        busy = {running.address for running in self._running.values()}
        for address, is_usable in list(self._usable.items()):
            if waiting and is_usable and address not in busy and (job := self._next_for(address, waiting)) is not None:
                reporter.started(job)
                self._submit(job, request, stage, address)

    def _next_for(self, address: str, waiting: deque[Job]) -> Job | None:
        """The job that a worker does next. One that has done a third party's does no others in the same process: what
        that has left there must not meet them. ``None`` where another process has to come first."""
        guest = self._guests.get(address)
        job = next((job for job in waiting if guest in (None, owner_of(job.method))), None)
        if job is None:
            self._end_process(address)
            return None
        waiting.remove(job)
        if not is_ours(job.method):
            self._guests[address] = owner_of(job.method)
        return job

    def _submit(self, job: Job, request: Request, stage: OpenStage, address: str) -> None:
        threads, number = self.threads(address), self._count
        order = on_worker.Order(job=job, stage=stage, shared=shared_context(request), threads=threads, alone=self.alone)
        names = {cell_name(job.method.card.name, task.card.name, cond.label, job.seed) for task, cond in job.cells}
        before = {name: _content(stage.folder, name) for name in names}
        future = self.client.submit(
            on_worker.carry_out,
            on_worker.pack(order, self.names, self._topic),
            self._topic,
            number,
            self.home,
            key=f"{self._topic}-{number}",
            workers=[address],  # it is this one's process that is ended if the job hangs
            pure=False,
        )
        self._running[number] = _Running(job, stage, address, future, before, names)
        self._count += 1
        future.add_done_callback(lambda done: self._events.put((number, done.status)))

    def _next_events(self) -> Iterator[tuple[int, Any]]:
        """What the workers have sent, after waiting a little for the first."""
        with suppress(queue.Empty):
            yield self._events.get(timeout=LOOK_S)
            while True:
                yield self._events.get_nowait()

    def _handle(self, number: int, event: Any, request: Request, reporter: Reporter) -> Iterator[Result]:
        running, now = self._running[number], self._clock.now()
        if isinstance(event, str):  # the status of its future; what has finished has said so already
            yield from self._ended(number, event, request, reporter)
            return
        running.last_event = now
        match event["kind"]:
            case "began" if running.began is None:
                running.began = now
            case "began":  # dask has given it to the next process at the same address
                yield from self._fail(number, self._lost(running), request, reporter)
            case "where":
                running.where = scoring.Where(**event["where"])
            case "step":
                message = Losses(**event["losses"]) if "losses" in event else event["message"]
                reporter.fitting(running.job, event["done"], event["total"], message)
            case "cell":
                result = Result(**json.loads(event["cell"]))
                running.missing.discard(result.name)
                yield result
            case "failed":
                yield from self._fail(number, ChildProcessError(event["error"]), request, reporter)
            case "done":
                self._forget(number, reporter)

    def _ended(self, number: int, status: str, request: Request, reporter: Reporter) -> Iterator[Result]:
        """What has become of a future whose job has not said that it is done."""
        from dask.distributed import KilledWorker

        running = self._running[number]
        if status == "error":
            error = running.future.exception()
            if not isinstance(error, KilledWorker):
                raise error
            yield from self._fail(number, self._lost(running), request, reporter)
        elif status != "finished":
            raise self._gone()

    def _watch(self, number: int, waiting: deque[Job], request: Request, reporter: Reporter) -> Iterator[Result]:
        """End a job whose worker is gone, or whose time is up."""
        running, now = self._running[number], self._clock.now()
        if running.address not in self._threads:
            self._beginnings[running.job.stem] += 1
            if running.began is None and self._beginnings[running.job.stem] < BEGINNINGS:
                waiting.appendleft(running.job)
                self._forget(number, reporter)
                return
            yield from self._fail(number, self._lost(running), request, reporter)
        elif running.began is not None:
            silent, lasted = now - running.last_event, now - running.began
            if error := self.limits.exceeded(running.job.method, silent_s=silent, lasted_s=lasted):
                self._end_process(running.address)
                yield from self._fail(number, error, request, reporter)

    def _end_process(self, address: str) -> None:
        """Nothing less ends what hangs. The worker's nanny starts another."""
        self._usable[address] = False
        self._guests.pop(address, None)
        self.client.run(cluster.end_process, workers=[address], nanny=True, on_error="ignore")

    def _lost(self, running: _Running) -> ChildProcessError:
        return ChildProcessError(self.cause_of_death(running.address))

    def _fail(self, number: int, error: Exception, request: Request, reporter: Reporter) -> Iterator[Result]:
        """Write the cells that a job still owes, but for those that it made and could not tell of."""
        running = self._running[number]
        self._forget(number, reporter)
        where = running.where or scoring.Where(request.device if running.job.method.learned else "cpu", "", 0, {})
        for task, condition in running.job.cells:
            name = cell_name(running.job.method.card.name, task.card.name, condition.label, running.job.seed)
            if name not in running.missing:
                continue
            content = _content(running.stage.folder, name)
            if content is not None and content != running.before[name]:
                yield Result(**json.loads(content))
            else:
                yield from fail(running.job, running.stage, shared_context(request), where, error, [(task, condition)])

    def _forget(self, number: int, reporter: Reporter) -> None:
        running = self._running.pop(number)
        running.future.cancel()
        reporter.ended(running.job)


class _Clock:
    """Seconds that pass while the command runs: one that is stopped for an hour, as by Ctrl-Z, has stopped its workers
    too, and neither was silent."""

    def __init__(self) -> None:
        self._seen, self._passed = time.monotonic(), 0.0

    def now(self) -> float:
        seen = time.monotonic()
        self._passed += min(seen - self._seen, LEAP_S)
        self._seen = seen
        return self._passed


def _brevity(job: Job) -> tuple[bool, ...]:
    """Sorts jobs by how long they take, the longest first: what is left at the end should be short."""
    method = job.method
    is_channel = any(task.loss == "nmse" for task in job.tasks)
    return (not method.learned, not method.joint, not family_of(method.card.family).backbone, not is_channel)


def _content(folder: Path, cell: str) -> bytes | None:
    try:
        return (folder / "cells" / f"{cell}.json").read_bytes()
    except FileNotFoundError:
        return None
