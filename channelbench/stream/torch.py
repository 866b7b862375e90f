"""A split of a dataset as ready shuffled batches for PyTorch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from channelbench.errors import RequestError
from channelbench.stream.reader import Reader, require_position

__all__ = ["ChannelStream"]

_EPOCH, _START, _WORKERS_AT = range(3)
"""What the shared numbers are: the epoch, the batch it starts at, and the last epoch that a worker process began."""


class ChannelStream(IterableDataset[dict[str, torch.Tensor]]):
    """One rank's batches of an epoch, read ahead in a thread; for datasets larger than memory.

    Batches come ready made: iterate over the stream itself, or over
    ``DataLoader(stream, batch_size=None, num_workers=…)`` for workers and pinned memory.

    **The order** follows from dataset, split, ``seed``, epoch, ``buffer``, ``lanes``, ``batch_size``, ``drop_last`` and
    ``world_size``. The number of workers does not change it. Where it divides ``lanes``, no worker reads what another
    one reads; otherwise some pieces are read by several. The ``lanes · world_size`` spans of an epoch meet inside
    pieces: where only Zarr can read them (compressed, remote), up to ``lanes · world_size − 1`` are read twice.

    **Every sample** of the split comes once per epoch, in one batch of one rank; ranks have the same number of batches
    and samples, for which fewer than ``world_size`` samples are left out, others each epoch.

    **Memory** is at most ``buffer_bytes`` and what the consumer keeps, for any number of workers that divides
    ``lanes``; variables other than channels are kept whole (bytes per sample).

    Args:
        path: The dataset: a folder or a URL.
        variables: Names of what to give out; all channels, ``h_*``, unless given.
        split: ``train``, ``val`` or ``test``.
        batch_size: Samples of a batch.
        shuffle: Draw the order anew for every epoch; otherwise that of the store, in one lane.
        seed: Of the order.
        rank, world_size: This process among those that share an epoch. Without them: those of ``torch.distributed``
            where it is initialised, else the environment's ``RANK`` and ``WORLD_SIZE``, else one process.
        buffer: Storage pieces (shards, or chunks) that a lane shuffles together; as many as 128 MiB hold unless
            given, but at least two. Samples of a dataset are independent drops, so that few are enough.
        lanes: How many windows of ``buffer`` pieces take turns, batch by batch: as many workers can share the work.
        drop_last: Leave out an epoch's last batch where it is shorter.

    Yields:
        ``{variable: tensor [samples, …]}``: channels as complex64 ``[samples, slots, subcarriers, antennas]``.

    Raises:
        RequestError: no finished dataset at ``path``, an unknown variable or split, or a number out of range.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        variables: Iterable[str] | None = None,
        split: str = "train",
        batch_size: int = 64,
        shuffle: bool = True,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        buffer: int | None = None,
        lanes: int = 2,
        drop_last: bool = False,
    ) -> None:
        rank, world_size = _place(rank, world_size)
        self.reader = Reader(
            path,
            variables=variables,
            split=split,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            buffer=buffer,
            lanes=lanes,
            drop_last=drop_last,
            rank=rank,
            world_size=world_size,
        )
        # Shared with the workers, which may outlive an epoch and would not see an attribute change.
        self._shared = torch.tensor([0, 0, -1]).share_memory_()
        self._taken = 0

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration reads."""
        return int(self._shared[_EPOCH])

    @property
    def buffer_bytes(self) -> int:
        """Upper bound of the channels in memory: per lane, the window in use and the next one."""
        return self.reader.buffer_bytes

    def __len__(self) -> int:
        """Batches of a whole epoch on this rank."""
        return self.reader.plan.num_batches

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that iteration gives next, from its beginning; a loaded position within it stays."""
        require_position(self.reader.plan, epoch, 0)
        if epoch != self.epoch:
            self._go_to(epoch, 0)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        info = get_worker_info()
        epoch, start = self.epoch, int(self._shared[_START])
        worker, num_workers = (0, 1) if info is None else (info.id, info.num_workers)
        self._shared[_WORKERS_AT] = -1 if info is None else epoch
        self._taken = 0
        for batch in self.reader.batches(epoch, start, worker=worker, num_workers=num_workers):
            self._taken += 1
            yield {name: torch.from_numpy(values) for name, values in batch.items()}

    def state_dict(self, batches: int | None = None) -> dict[str, Any]:
        """Where this epoch stands: plain numbers and strings, the same on every rank.

        Args:
            batches: How many batches the loop over the loader has been given. A loader with workers fetches batches
                before they are asked for, so only the loop knows; without workers the stream counts them.

        Raises:
            RequestError: ``batches`` is missing although workers read, or is out of range.
        """
        if batches is None:
            if self._shared[_WORKERS_AT] == self.epoch:
                raise RequestError("batches", expected="the number of batches taken from the DataLoader", got=batches)
            batches = self._taken
        position = int(self._shared[_START]) + batches
        require_position(self.reader.plan, self.epoch, position)
        return {"epoch": self.epoch, "batch": position, "order": self._order()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state`` was taken: iteration gives the rest of that epoch and reads nothing before it.

        The position holds until ``set_epoch`` chooses another epoch.

        Raises:
            RequestError: a state of another dataset, split or order; nothing has been changed.
        """
        if not isinstance(state, dict) or set(state) != {"epoch", "batch", "order"}:
            raise RequestError("state", expected="what state_dict() returned", got=state)
        here, there = self._order(), state["order"]
        for name in here | there:
            if here.get(name) != there.get(name):
                raise RequestError(f"state.{name}", expected=repr(here.get(name)), got=there.get(name))
        require_position(self.reader.plan, state["epoch"], state["batch"])
        self._go_to(state["epoch"], state["batch"])

    def _go_to(self, epoch: int, batch: int) -> None:
        self._shared[:] = torch.tensor([epoch, batch, -1])
        self._taken = 0

    def _order(self) -> dict[str, Any]:
        """Everything that the order of samples follows from."""
        return {"digest": self.reader.digest, "split": self.reader.split, **self.reader.plan.describe()}


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Rank and world size: given, of ``torch.distributed``, of the environment, or of one process."""
    if (rank is None) != (world_size is None):
        missing, given = ("rank", world_size) if rank is None else ("world_size", rank)
        raise RequestError(missing, expected="rank and world_size together, or neither", got=f"the other one, {given}")
    if rank is not None and world_size is not None:
        return rank, world_size
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    if {"RANK", "WORLD_SIZE"} <= set(os.environ):
        try:
            return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        except ValueError:
            got = f"{os.environ['RANK']!r} and {os.environ['WORLD_SIZE']!r}"
            raise RequestError("RANK, WORLD_SIZE", expected="whole numbers in the environment", got=got) from None
    return 0, 1
