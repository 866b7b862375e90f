"""Jobs on processes of this machine."""

from __future__ import annotations

import errno
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from channelbench import cluster
from channelbench.benchmarks import on_worker
from channelbench.benchmarks.jobs import Reporter
from channelbench.benchmarks.limits import Limits
from channelbench.benchmarks.pool import Pool

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["LocalPool"]

START_S = 60.0
"""How long processes may take to start."""


class LocalPool(Pool):
    """Processes of this machine, which start when there is something to do.

    Args:
        workers: How many. One has all cores and may be measured, several have a thread each.
        gpus: ``CUDA_VISIBLE_DEVICES`` of each; empty leaves that as it is.
    """

    def __init__(self, limits: Limits, names: Mapping[str, str], workers: int, gpus: Sequence[str] = ()) -> None:
        super().__init__(limits, names)
        self.workers, self.gpus, self.alone = workers, gpus, workers == 1
        self.home = on_worker.Home()
        self._exits: dict[str, int] = {}
        self._missing_since: float | None = None

    def connect(self) -> AbstractContextManager[Client]:
        threads = None if self.alone else 1
        # The system ends what needs too much memory: dask would give each worker a share, whatever the others need.
        return cluster.start(self.workers, threads=threads, memory_limit=0, gpus=self.gpus, exits=self._exits)

    def threads(self, address: str) -> int | None:
        return None if self.alone else 1

    def _look(self, reporter: Reporter) -> None:
        super()._look(reporter)
        now = time.monotonic()
        self._missing_since = None if self._threads else self._missing_since or now
        if self._missing_since is not None and now - self._missing_since > START_S:
            raise OSError(errno.ECHILD, "no worker process can be started", "--workers")

    def cause_of_death(self, address: str) -> str:
        limit = time.monotonic() + 2
        while address not in self._exits and time.monotonic() < limit:
            time.sleep(0.01)  # its nanny is about to find out
        code = self._exits.get(address)
        if code is None:
            return super().cause_of_death(address)
        if code >= 0:
            return f"its process ended with status {code}"
        cause = f"its process was ended by signal {-code} ({signal.strsignal(-code)})"
        return cause + (", perhaps for want of memory" if -code == signal.SIGKILL else "")
