"""Who does the jobs of a run: this process, processes of this machine, or the workers of a cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from channelbench import registry
from channelbench.benchmarks import on_worker, scoring
from channelbench.benchmarks.jobs import Perform, Reporter, one_by_one, shared_context
from channelbench.benchmarks.limits import Limits
from channelbench.benchmarks.local_pool import LocalPool
from channelbench.benchmarks.remote_pool import RemotePool
from channelbench.benchmarks.request import Request
from channelbench.code import code_of
from channelbench.errors import RequestError
from channelbench.store.dataset import ChannelDataset
from channelbench.store.location import Location

__all__ = ["Placement"]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Who does the jobs, on what, and how long each may take; as it was asked for, see ``runner.run``.

    Raises:
        RequestError: these do not exist, or not together.
    """

    workers: int = 1
    scheduler: str | None = None
    device: str = "auto"
    timeout: float | str | None = None
    max_time: float | str | None = None
    debug: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise RequestError("--workers", expected="an integer of at least 1", got=self.workers)
        if self.scheduler is not None and self.workers > 1:
            expected = "no --workers beside it: its own are used"
            raise RequestError("--scheduler", expected=expected, got=f"{self.workers} workers")
        if self.workers > 1 and self.device == "cuda" and len(_gpus()) < self.workers:
            expected = f"at most {max(len(_gpus()), 1)} with --device cuda, a GPU each"
            raise RequestError("--workers", expected=expected, got=self.workers)
        if self.debug and (self.workers > 1 or self.scheduler is not None):
            got = f"{self.workers} workers" if self.scheduler is None else f"--scheduler {self.scheduler}"
            raise RequestError("--debug", expected="one process, which can stop at a failure", got=got)
        Limits.of("quick", self.timeout, self.max_time)

    def check_private(self, field: str) -> None:
        """Refuse workers elsewhere, which would have to be given what is private here.

        Raises:
            RequestError: they were asked for.
        """
        if self.scheduler is not None:
            expected = f"workers of this machine with {field}, whose split stays here: --workers"
            raise RequestError("--scheduler", expected=expected, got=self.scheduler)

    @property
    def device_here(self) -> str:
        """What to ask of this machine: nothing where others do the jobs; several workers do not share a GPU."""
        if self.scheduler is not None and self.device in ("auto", "cuda"):
            return "cpu"
        if self.workers > 1 and self.device == "auto":
            return "cuda" if len(_gpus()) >= self.workers else "cpu"
        return self.device

    @property
    def words(self) -> str:
        """Who does the jobs."""
        if self.scheduler is not None:
            return f"on the workers of {self.scheduler}"
        return "one process" if self.workers == 1 else f"{self.workers} processes"

    @contextmanager
    def performing(self, request: Request, data: ChannelDataset, out: Path, reporter: Reporter) -> Iterator[Perform]:
        """What does the jobs of a request.

        Args:
            request: What is asked for.
            data: The dataset.
            out: The results folder.
            reporter: Is told where the jobs have to be done in this process, and why.

        Raises:
            RequestError: the workers that are asked for cannot do them; nothing has been written.
        """
        names = request.names
        limits = Limits.of(request.preset, self.timeout, self.max_time)
        addresses = [names.get(name, name) for name in request.methods]
        tasks = [registry.address("tasks", type(task)) for task in request.tasks.values()]
        if self.debug:
            yield partial(one_by_one, debug=True)
            return
        if Location.of(data.path, field="--data").is_private:
            self._stay("--data", "a place that all workers share", data.path, reporter)
            yield one_by_one
            return
        if stuck := next((name for name in (*addresses, *tasks) if not _importable_elsewhere(name)), None):
            self._stay("--methods", "classes of modules that workers can import", stuck, reporter)
            yield one_by_one
            return
        if self.scheduler is None:
            gpus = _gpus()[: self.workers] if self.workers > 1 and request.device == "cuda" else []
            with LocalPool(limits, names, self.workers, gpus) as pool:
                yield pool.perform
            return
        needs = on_worker.Needs(
            versions=scoring.versions(),
            data=Location.of(data.path, field="--data").absolute(),
            digest=data.digest,
            out=str(out.absolute()),
            methods=tuple(addresses),
            tasks=tuple(tasks),
            context=shared_context(request),
            codes={
                names.get(name, name): code_of(method, covered)
                for name, method in request.methods.items()
                if (covered := [task for task in request.tasks.values() if method.covers(task)])
            },
        )
        with RemotePool(limits, names, self.scheduler, needs) as pool:
            yield pool.perform

    def _stay(self, field: str, expected: str, what: str, reporter: Reporter) -> None:
        """Say that only this process can do the jobs, or refuse to do without the workers that were asked for."""
        if self.workers > 1 or self.scheduler is not None:
            raise RequestError(field, expected=expected, got=f"{what} (of one process)")
        reporter.remarked(f"{what} is of this process alone: the jobs run here, where nothing can end one that hangs")


def on_workers(request: Request, placement: Placement) -> Request:
    """The request for the device that workers elsewhere have, which this machine need not have."""
    is_elsewhere = placement.scheduler is not None and placement.device == "cuda"
    return replace(request, device="cuda") if is_elsewhere else request


def _gpus() -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` calls the GPUs that this process sees."""
    import torch

    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (visible.split(",") if visible else [str(number) for number in range(count)])[:count]


def _importable_elsewhere(name: str) -> bool:
    """Whether a new process finds the module of ``package.module:Class``, unlike one of a notebook or a script.

    ``importlib.util.find_spec`` would be content with what this process has.
    """
    module, sign, _ = name.partition(":")
    if not sign:
        return True
    if registry.is_lent(name.partition("+")[0]):
        return False
    path, parts = None, module.split(".")
    for end in range(1, len(parts) + 1):
        specs = (finder.find_spec(".".join(parts[:end]), path) for finder in sys.meta_path)
        if module == "__main__" or (spec := next((spec for spec in specs if spec is not None), None)) is None:
            return False
        path = spec.submodule_search_locations
    return True
