"""Work on a dask cluster: one that is started here, or one that is there already."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from channelbench.errors import RequestError
from channelbench.paths import expanded
from channelbench.store.layout import versions

if TYPE_CHECKING:
    from distributed import Client, LocalCluster, Nanny

__all__ = [
    "be_the_first_to_go",
    "connect",
    "die_with_parent",
    "end_process",
    "keep_freed_memory",
    "other_versions",
    "spread",
    "start",
]

PATIENCE_S = 10
"""How long a scheduler may take to answer."""

AHEAD = 3
"""Items per thread that the scheduler is given: enough that no thread waits for us, too few to fill its memory."""

RESUBMISSIONS = 3
"""How often an item goes back after dask has given it up, which is after four workers that died of it or beside it."""

SETTINGS = {
    # dask looks at workers a hundred times a second, for a dashboard that ours do not have.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    # A library that keeps the interpreter to itself for minutes is no reason to give a worker up.
    "distributed.scheduler.worker-ttl": None,
    # Some seconds after a worker has gone dask looks whether one of its name is there, and closes its nanny if none is:
    # also one that has come back and is just about to do so again.
    "distributed.deploy.lost-worker-timeout": "365 days",
    # A method may have processes of its own, such as a data loader's.
    "distributed.worker.daemon": False,
}
"""Of clusters that are started here."""

NO_DASHBOARD = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""Of a scheduler: any port for its health pages. The usual one may be taken, and dask would say so."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

PR_SET_PDEATHSIG = 1

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, LARGEST_KEPT_BYTES = 256 * 2**20, 32 * 2**20
"""Of glibc's ``mallopt``: how much free memory stays with a process, and from what size on a piece never does; the
largest that it takes."""

T = TypeVar("T", bound=Hashable)


@contextmanager
def start(
    workers: int,
    *,
    threads: int | None = 1,
    memory_limit: str | int = "auto",
    gpus: Sequence[str] = (),
    exits: dict[str, int] | None = None,
) -> Iterator[Client]:
    """Processes of this machine, which do one item at a time and end with this one, whatever ends it.

    Args:
        workers: How many.
        threads: Of the libraries in each; ``None`` for as many as they take by themselves. Two-thread torch operations
            stall under load, and bytes of a dataset must not depend on threads.
        memory_limit: What dask ends a process at, bytes; 0 leaves that to the system.
        gpus: What ``CUDA_VISIBLE_DEVICES`` is in each worker; empty leaves it as it is.
        exits: Is given the exit code of each worker process that ends, by the worker's address.
    """
    import dask
    from dask.distributed import Client, LocalCluster

    with ExitStack() as stack:
        stack.enter_context(dask.config.set({**SETTINGS, "distributed.nanny.pre-spawn-environ": _environment(threads)}))
        scratch = tempfile.TemporaryDirectory(prefix="channelbench-")  # dask would leave one in the current folder
        stack.enter_context(scratch)
        stack.enter_context(_environment_kept())
        stack.enter_context(_spawned_without_main())
        with _interrupts_deferred():
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    worker_class=_nanny(gpus, {} if exits is None else exits),
                    memory_limit=memory_limit,
                    scheduler_kwargs=NO_DASHBOARD,
                    local_directory=scratch.name,
                    silence_logs=50,
                )
            )
        client = stack.enter_context(Client(cluster, set_as_default=False))
        stack.callback(_kill, cluster)
        yield client


def _environment(threads: int | None) -> dict[str, str]:
    """What has to be there before a worker loads the libraries that read it."""
    # Waiting threads that spin take the processor from those that work.
    environment = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    if threads is not None:
        environment |= dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    return environment


@contextmanager
def _environment_kept() -> Iterator[None]:
    """dask sets in this process what workers shall inherit, and leaves it there."""
    names = (*THREAD_VARIABLES, "OMP_WAIT_POLICY", "MALLOC_TRIM_THRESHOLD_", "PYTHONHASHSEED")
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _spawned_without_main() -> Iterator[None]:
    """Let workers not import the script that started them, as new Python processes do: it may not have its calls under
    ``if __name__ == "__main__":``, and would then start workers in its turn."""
    from multiprocessing import spawn

    prepare = spawn.get_preparation_data

    def without_main(name: str) -> dict[str, Any]:
        data = prepare(name)
        if name.startswith("Dask Worker process"):
            data = {key: value for key, value in data.items() if not key.startswith("init_main")}
        return data

    spawn.get_preparation_data = without_main
    try:
        yield
    finally:
        spawn.get_preparation_data = prepare


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """A terminal sends Ctrl-C to all processes. Threads and processes that are begun in here never hear it: this one
    acts on it and ends its workers, which need not say anything themselves."""
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # otherwise the first start would do it, and let Ctrl-C through again
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)


def _nanny(gpus: Sequence[str], exits: dict[str, int]) -> type[Nanny]:
    """The watcher of one worker process, which starts it anew when it ends."""
    from dask.distributed import Nanny

    class Watcher(Nanny):
        def __init__(self, *args: Any, name: int, **options: Any) -> None:
            own = {"CUDA_VISIBLE_DEVICES": gpus[name]} if gpus else {}
            super().__init__(*args, name=name, env=own, **options)

        async def kill(self, timeout: float = 5, reason: str = "nanny-kill") -> None:
            try:
                await super().kill(timeout=timeout, reason=reason)
            except AssertionError:  # dask's word for a process that is not there
                if self.pid is not None:
                    raise

        async def _on_worker_exit(self, exitcode: int) -> None:
            if self.worker_address is not None:
                exits[self.worker_address] = exitcode
            await super()._on_worker_exit(exitcode)

    return Watcher


def end_process(dask_worker: Nanny) -> None:
    """End the process of a worker, to be run by its nanny, which starts another: nothing else ends what hangs."""
    if dask_worker.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(dask_worker.pid, signal.SIGKILL)


def die_with_parent() -> None:
    """Have this process killed when its parent is, even where it hears nothing because it hangs in a library. Linux
    alone; dask watches the parent too, in a thread that a hang can stop."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def be_the_first_to_go() -> None:
    """Have the system take this process rather than its parent when memory is out. Linux alone."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _kill(cluster: LocalCluster) -> None:
    """End the workers at once. What they have done is on the disk, and what they have not is not waited for: dask would
    let each finish its item and then take its libraries apart, for seconds."""
    # What is said to a worker that is gone would be reported, with a traceback, after the cluster's silence has ended.
    logging.getLogger("distributed.batched").setLevel(logging.ERROR)
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        end_process(nanny)


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Undo, in this process, that dask's workers give back to the system whatever is freed.

    Memory that is new costs the system time, page by page. Of glibc alone.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
            ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)


@contextmanager
def connect(scheduler: str, packages: tuple[str, ...]) -> Iterator[Client]:
    """A client of a scheduler that is running; leaving takes back what it has been given and not done yet.

    Args:
        scheduler: ``tcp://host:port`` or another address of dask's, or the JSON file that the scheduler has written.
        packages: What the bytes depend on beside what writes them; see ``SourceSpec.packages``.

    Raises:
        RequestError: that is no address, nobody answers, or workers have other versions of what the bytes depend on.
    """
    from dask.distributed import Client

    place = _place(scheduler)
    try:
        client = Client(**place, timeout=PATIENCE_S, set_as_default=False)
    except Exception as error:  # what else may listen there makes dask raise anything, down to an AssertionError
        reason = " ".join(str(error).split()) or "something else"
        expected = "a dask scheduler that answers"
        raise RequestError("--scheduler", expected=expected, got=f"{scheduler} ({reason})") from None
    with client:
        _check_versions(client, scheduler, packages)
        yield client


def _place(scheduler: str) -> dict[str, str]:
    """The client's argument for an address or a scheduler file."""
    from distributed.comm.addressing import parse_address, parse_host_port
    from distributed.comm.registry import backends

    if scheduler.endswith(".json"):
        scheduler = str(expanded(scheduler, field="--scheduler"))
        if not Path(scheduler).is_file():
            raise RequestError("--scheduler", expected="the file of a scheduler", got=f"{scheduler} (not there)")
        return {"scheduler_file": scheduler}
    expected = "an address like tcp://host:8786"
    protocol, rest = parse_address(scheduler)
    if protocol not in backends:
        raise RequestError("--scheduler", expected=expected, got=scheduler, choices=sorted(backends))
    try:
        if protocol != "inproc":
            parse_host_port(rest)
    except ValueError as error:
        raise RequestError("--scheduler", expected=expected, got=f"{scheduler} ({error})") from None
    return {"address": scheduler}


def _check_versions(client: Client, scheduler: str, packages: tuple[str, ...]) -> None:
    """Refuse workers that would write other bytes, and a scheduler that cannot pass our functions on to them."""
    try:
        client.run_on_scheduler(versions, packages)
        there = client.run(versions, packages)
    except ImportError as error:
        got = f"{scheduler} ({error})"
        raise RequestError("--scheduler", expected="channelbench on scheduler and workers", got=got) from None
    for worker, found in there.items():
        if found != versions(packages):
            raise other_versions(worker, found, versions(packages))


def other_versions(worker: str, found: Mapping[str, str], expected: Mapping[str, str]) -> RequestError:
    """The complaint about a worker whose packages are not ours."""
    differing = [name for name in expected if found[name] != expected[name]]
    return RequestError(
        "--scheduler",
        expected=f"workers with {', '.join(f'{name} {expected[name]}' for name in differing)}, as here",
        got=f"{worker} with {', '.join(f'{name} {found[name]}' for name in differing)}",
    )


def spread(client: Client, work: Callable[[T], Any], items: Iterable[T]) -> Iterator[T]:
    """Do ``work(item)`` for all items on a cluster, and give each item once it is done, in any order.

    Only a few items per thread are with the scheduler at a time, so that a million of them cost it and us no more than
    a thousand. A worker that is lost costs the items that it had: dask gives them to others.

    Args:
        client: The cluster's.
        work: A function that can be pickled; what it returns is left where it is.
        items: Read as there is room for them.

    Raises:
        OSError: the scheduler is gone, or an item has lost all the workers that it may.
        Exception: the first that ``work`` raises.
    """
    from dask.distributed import as_completed

    waiting, lost = iter(items), Counter[T]()
    owed: dict[Hashable, T] = {}
    running = as_completed(loop=client.loop)
    threads = _Threads(client)

    def submit(batch: list[T]) -> None:
        futures = client.map(work, batch, pure=False)
        owed.update((future.key, item) for future, item in zip(futures, batch, strict=True))
        running.update(futures)

    while True:
        if batch := list(islice(waiting, max(AHEAD * threads.count() - len(owed), 0))):
            submit(batch)
        if not owed:
            return
        for future in running.next_batch():
            item = owed.pop(future.key)
            if future.status == "finished":
                yield item
            else:
                _raise_unless_lost(client, future, lost[item])
                lost[item] += 1
                submit([item])


class _Threads:
    """How many threads a cluster has, asked at most once a second: clusters grow and shrink."""

    def __init__(self, client: Client) -> None:
        self.client, self.known, self.asked = client, 1, float("-inf")

    def count(self) -> int:
        if time.monotonic() - self.asked > 1:
            # Without any worker yet, as in the queue of a batch system, one item waits there for the first.
            self.known = max(sum(self.client.nthreads().values()), 1)
            self.asked = time.monotonic()
        return self.known


def _raise_unless_lost(client: Client, future: Any, losses: int) -> None:
    """Raise what ended a future, unless that was the death of its workers and it may be tried again."""
    from dask.distributed import KilledWorker

    address = client.scheduler.address
    if future.status != "error":
        raise OSError(errno.ECONNRESET, "the scheduler is gone or has dropped our work", address)
    error = future.exception()
    if not isinstance(error, KilledWorker):
        future.result()  # raises it with the worker's traceback
    if losses >= RESUBMISSIONS:
        raise OSError(errno.ECHILD, "workers die of one block again and again; are they out of memory?", address)
