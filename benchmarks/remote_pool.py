"""Jobs on the workers of a cluster that is there already."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from channelbench import cluster
from channelbench.benchmarks import on_worker
from channelbench.benchmarks.jobs import Reporter
from channelbench.benchmarks.limits import Limits
from channelbench.benchmarks.pool import Pool

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["RemotePool"]


class RemotePool(Pool):
    """The workers of a scheduler, each of which is checked before it has a job.

    Args:
        scheduler: Its address or file.
        needs: What a worker must have; its ``out`` is the results folder, which need not be there yet.

    Raises:
        RequestError: on entering: nobody answers, or a worker cannot do the jobs; nothing has been written.
    """

    def __init__(self, limits: Limits, names: Mapping[str, str], scheduler: str, needs: on_worker.Needs) -> None:
        super().__init__(limits, names)
        self.scheduler, self.needs = scheduler, needs

    def connect(self) -> AbstractContextManager[Client]:
        return cluster.connect(self.scheduler, ())  # what scores depend on is checked with the rest

    def __enter__(self) -> Pool:
        with ExitStack() as stack:
            stack.push(self._stack)
            complaints = self._check(None)
            for complaint in complaints.values():
                if complaint is not None:
                    raise complaint
            self._usable = dict.fromkeys(complaints, True)
            stack.pop_all()
        return self

    def threads(self, address: str) -> int | None:
        return self._threads[address]

    def admits(self, address: str, reporter: Reporter) -> bool:
        complaint = self._check([address]).get(address, OSError("gone"))
        if complaint is not None and not isinstance(complaint, OSError):
            reporter.remarked(f"a worker that has come is not used: {complaint}")
        return complaint is None

    def _check(self, workers: list[str] | None) -> dict[str, Exception | None]:
        """Of each worker, what it lacks."""
        there = next(folder for folder in (Path(self.needs.out), *Path(self.needs.out).parents) if folder.exists())
        with tempfile.TemporaryDirectory(prefix=".channelbench-", dir=there) as place:
            needs = replace(self.needs, out=place)
            return self.client.run(on_worker.check, needs, workers=workers, on_error="return")
