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
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from channelbench.errors import RequestError
from channelbench.store.layout import versions

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

__all__ = ["connect", "other_versions", "spread", "start"]

PATIENCE_S = 10
"""How long a scheduler may take to answer."""

AHEAD = 3
"""Items per thread that the scheduler is given: enough that no thread waits for us, too few to fill its memory."""

RESUBMISSIONS = 3
"""How often an item goes back after dask has given it up, which is after four workers that died of it or beside it."""

UNWATCHED = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
}
"""dask looks at workers a hundred times a second, for a dashboard that ours do not have."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, LARGEST_KEPT_BYTES = 256 * 2**20, 32 * 2**20
"""Of glibc's ``mallopt``: how much free memory stays with a process, and from what size on a piece never does; the
largest that it takes."""

T = TypeVar("T", bound=Hashable)


@contextmanager
def start(workers: int) -> Iterator[Client]:
    """One-thread processes: two-thread torch operations stall under load, and bytes must not depend on threads."""
    import dask
    from dask.distributed import Client, LocalCluster

    with (
        dask.config.set(UNWATCHED),
        tempfile.TemporaryDirectory(prefix="channelbench-") as scratch,  # dask would leave one in the current folder
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=scratch,
            silence_logs=50,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.run(_ignore_interrupts)
        try:
            yield client
        finally:
            _kill(cluster)


def _kill(cluster: LocalCluster) -> None:
    """End the workers at once. What they have done is on the disk, and what they have not is not waited for: dask would
    let each finish its item and then take its libraries apart, for seconds."""
    # What is said to a worker that is gone would be reported, with a traceback, after the cluster's silence has ended.
    logging.getLogger("distributed.batched").setLevel(logging.ERROR)
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Undo, in this process, that dask's workers give back to the system whatever is freed.

    Memory that is new costs the system time, page by page. Of glibc alone.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
            ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)


def _ignore_interrupts() -> None:
    """A terminal sends Ctrl-C to all processes: this one ends its workers, which need not say anything themselves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
