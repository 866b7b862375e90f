"""What a worker does, wherever it is: find what a job is made of, do it, and say how far it is.

A job comes as names, numbers and paths. Classes that ``Method.variant`` makes cannot be pickled, and a dataset is read
where it is used, so the worker finds them anew.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from channelbench import cluster, registry
from channelbench.benchmarks import scoring
from channelbench.benchmarks.hidden import HiddenTest, Secret
from channelbench.benchmarks.jobs import Job, OpenStage, work
from channelbench.code import code_of
from channelbench.contracts import FitContext, Method, Task
from channelbench.errors import RequestError
from channelbench.losses import Losses
from channelbench.store import open_dataset
from channelbench.store.dataset import ChannelDataset
from channelbench.store.location import Location

if TYPE_CHECKING:
    from distributed import Worker

__all__ = ["Home", "Needs", "Order", "carry_out", "check", "pack"]

WATCH_S = 0.5
"""How often a worker looks whether its job is still wanted."""

EVENT_S = 0.1
"""How often at most a worker says how far it is."""


@dataclass(frozen=True)
class Home:
    """Where the command runs, for workers of the same machine: a method may use what lies there."""

    folder: str = field(default_factory=os.getcwd)
    path: tuple[str, ...] = field(default_factory=lambda: tuple(os.path.abspath(entry) for entry in sys.path))

    def enter(self) -> None:
        """Be a part of the command: in its folder, with its modules, and gone when it is."""
        cluster.die_with_parent()
        cluster.be_the_first_to_go()
        os.chdir(self.folder)
        sys.path.extend(entry for entry in self.path if entry not in sys.path)


@dataclass(frozen=True, kw_only=True)
class Order:
    """A job, what it is to be done on, and how."""

    job: Job
    stage: OpenStage
    shared: FitContext
    threads: int | None
    alone: bool


# --- on the way ------------------------------------------------------------------------------------------------------


class _Pickler(cloudpickle.Pickler):
    def __init__(self, file: io.BytesIO, names: Mapping[str, str], run: str) -> None:
        super().__init__(file)
        self.names, self.run = names, run

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, type) and issubclass(thing, Method):
            name = thing.card.name
            return registry.find, ("methods", self.names.get(name, name))
        if isinstance(thing, Task):
            return registry.create, ("tasks", registry.address("tasks", type(thing)))
        if isinstance(thing, HiddenTest):
            public = (Location.of(thing.path, field="--data").absolute(), thing.public.digest)
            return _hidden, (*public, str(thing.folder), str(thing.secret.file), thing.digest, self.run)
        if isinstance(thing, ChannelDataset):
            return _opened, (Location.of(thing.path, field="--data").absolute(), thing.digest, self.run)
        if isinstance(thing, Path):
            return Path, (str(thing.absolute()),)
        return super().reducer_override(thing)


def pack(order: Order, names: Mapping[str, str], run: str) -> bytes:
    """An order as it is sent.

    Args:
        order: A job and all that belongs to it.
        names: Those by which methods were asked for, where their cards have others.
        run: What tells this run from others: its jobs share what they have read, and nobody else's.
    """
    file = io.BytesIO()
    _Pickler(file, names, run).dump(order)
    return file.getvalue()


@lru_cache(maxsize=3)
def _opened(place: str, digest: str, run: str) -> ChannelDataset:
    """A dataset, the same for all jobs of a run; another run may observe it on another scale. A stage has three
    at most; those of earlier ones may go."""
    dataset = open_dataset(place)
    if dataset.digest != digest:
        raise RequestError("--data", expected="the dataset that the command has", got=f"{place} (another)")
    return dataset


@lru_cache(maxsize=1)
def _hidden(place: str, public: str, folder: str, secret: str, digest: str, run: str) -> HiddenTest:
    """A hidden test of this machine; its secret is in no message, but in its file."""
    return HiddenTest(_opened(place, public, run), Secret.read(secret), Path(folder), digest)


# --- at work ---------------------------------------------------------------------------------------------------------


def carry_out(packed: bytes, topic: str, number: int, home: Home | None) -> None:
    """Do a job and write its cells, and say so under ``topic``, as ``{"job": number, "kind": …}``.

    Args:
        packed: What ``pack`` made of an order.
        topic: Of dask's events.
        number: Of the job, within its run.
        home: Where the command is, on this machine; ``None`` if it is elsewhere.

    Raises:
        OSError: a cell cannot be written.
    """
    from distributed import get_worker

    worker = get_worker()
    events = _Events(lambda event: worker.log_event(topic, {"job": number, **event}))
    events.send("began")
    with _leaving_when_unwanted(worker):
        cluster.keep_freed_memory()
        if home is not None:
            home.enter()
        last = _do(packed, events)
    events.send(**last)  # not before: what is heard of as done is no longer wanted


def _do(packed: bytes, events: _Events) -> dict[str, str]:
    """Do a job, and return what is to be said last."""
    try:
        order: Order = pickle.loads(packed)
        _check_code(order.job)
        order.stage.prepare(order.job.tasks)
        with scoring.threads_for(order.job.method, order.threads) as count:
            device = order.shared.device if order.job.method.learned else "cpu"
            events.send("where", where=asdict(scoring.Where.here(device, count, learned=order.job.method.learned)))
    except Exception as error:
        return {"kind": "failed", "error": f"{type(error).__name__}: {error}"}
    shared = replace(order.shared, progress=events.step)
    made = work(order.job, order.stage, shared, threads=order.threads, alone=order.alone, scored=events.scored)
    for result in made:
        events.send("cell", cell=result.model_dump_json())
    return {"kind": "done"}


def _check_code(job: Job) -> None:
    """Refuse a job whose code is another here: its cells would say what is not so."""
    if job.origin.code and _code_here(job.method, tuple(map(type, job.tasks))) != job.origin.code:
        raise RuntimeError(f"the code of {job.method.card.name} has changed since the run began")


@cache
def _code_here(method: type[Method], tasks: tuple[type[Task], ...]) -> str:
    """Digest of the code of a method on tasks, as this process saw it first: what it has imported stays as it was,
    whatever then becomes of the files."""
    return code_of(method, [kind() for kind in tasks])


class _Events:
    """Tells the command of every cell, and of steps now and then: each of its words is a sign of life."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send, self._last = send, float("-inf")

    def send(self, kind: str, **content: Any) -> None:
        self._send({"kind": kind, **content})

    def step(self, done: int, total: int, message: str) -> None:
        if self._is_due() or done == total:
            losses = {"losses": vars(message)} if isinstance(message, Losses) else {}
            self.send("step", done=int(done), total=int(total), message=str(message), **losses)

    def scored(self, done: int, total: int) -> None:
        if self._is_due():
            self.send("scored")

    def _is_due(self) -> bool:
        due = time.monotonic() - self._last > EVENT_S
        self._last = time.monotonic() if due else self._last
        return due


@contextmanager
def _leaving_when_unwanted(worker: Worker) -> Iterator[None]:
    """End this process when the command takes the job back or is gone. What a method is at cannot be interrupted, and
    the nanny starts another process."""
    key, over = worker.get_current_task(), threading.Event()

    def watch() -> None:
        while not over.wait(WATCH_S):
            task = worker.state.tasks.get(key)
            if (task is None or task.state == "cancelled") and not over.is_set():
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


# --- before anything is fitted ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a worker has to have, which is not where the command is.

    Attributes:
        versions: Of what decides a score.
        data, digest: The dataset, and its digest.
        out: A folder that the command has just made where its results go.
        methods, tasks: Names.
        context: What fits have in common; its device is the learned methods'.
        codes: Digest of the code of each method, on those of the tasks that it covers.
    """

    versions: Mapping[str, str]
    data: str
    digest: str
    out: str
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    context: FitContext
    codes: Mapping[str, str] = field(default_factory=dict)


def check(needs: Needs, dask_worker: Worker) -> None:
    """Whether a worker can do the jobs of a run.

    Raises:
        RequestError: what it lacks.
    """
    here = dask_worker.address
    if dask_worker.nanny is None:
        got = f"{here} without"
        raise RequestError("--scheduler", expected="workers with a nanny, which ends what hangs", got=got)
    if (found := scoring.versions()) != needs.versions:
        raise cluster.other_versions(here, found, needs.versions)
    _check_places(needs, here)
    for kind, names in (("tasks", needs.tasks), ("methods", needs.methods)):
        for name in names:
            _check_class(kind, name, needs, here)  # type: ignore[arg-type]
    tasks = [registry.create("tasks", name) for name in needs.tasks]
    for name, code in needs.codes.items():
        method = registry.find("methods", name)
        if _code_here(method, tuple(type(task) for task in tasks if method.covers(task))) != code:
            expected = "the code that the command has (a worker from before a change has to be started again)"
            raise RequestError("--methods", expected=expected, got=f"{name}, other at {here}")
    if needs.context.device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            raise RequestError("--device", expected="workers that have CUDA", got=f"{here} without")


def _check_places(needs: Needs, here: str) -> None:
    try:
        digest = open_dataset(needs.data).digest
    except RequestError as error:
        got = f"{needs.data}, where {here} has {error.got}"
        raise RequestError("--data", expected="a place that all workers share", got=got) from None
    if digest != needs.digest:
        got = f"{needs.data}, which is another dataset for {here}"
        raise RequestError("--data", expected="a place that all workers share", got=got)
    try:
        mark = Path(needs.out) / f"{os.getpid()}-{here.rpartition(':')[2]}"
        mark.touch()
        mark.unlink()
    except OSError as error:
        got = f"{needs.out}, where {here} cannot write ({error.strerror})"
        raise RequestError("--out", expected="a folder that all workers share", got=got) from None


def _check_class(kind: registry.Kind, name: str, needs: Needs, here: str) -> None:
    try:
        found = registry.find(kind, name)
        if kind == "methods":
            found.check(needs.context if found.learned else replace(needs.context, device="cpu"))
    except RequestError as error:
        got = f"{name}, of which {here} says: {error.field}: expected {error.expected}, got {error.got}"
        raise RequestError(f"--{kind}", expected=f"{kind} that all workers have", got=got) from None
