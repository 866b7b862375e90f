"""Batches of a plan as numpy arrays, read ahead of whoever takes them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.buffer.cpu import NDBuffer

from channelbench.errors import RequestError
from channelbench.spec import SPLITS
from channelbench.store.dataset import ChannelDataset, open_dataset
from channelbench.store.direct import DirectArray
from channelbench.store.layout import split_rows
from channelbench.stream.plan import Lane, Plan, Window, require_whole

__all__ = ["Batch", "Reader", "piece_rows", "require_position"]

READ_THREADS = 4
"""Pieces that are read at the same time: a disk has work while one is being copied, a remote store while one waits."""
PIECE_BYTES = 32 * 2**20
"""Larger shards are taken in pieces of whole chunks: a disk is as fast on them, and a window holds more of them."""
WINDOW_BYTES = 128 * 2**20
"""What a window holds where ``buffer`` is not given."""

Batch = dict[str, NDArray[Any]]


class Reader:
    """One split of a dataset, in the order of a plan.

    The dataset is opened once per process, so that a reader may be forked or pickled to workers.

    Args:
        path: The dataset: a folder or a URL.
        variables: Names of what to read; ``None`` stands for all channels, ``h_*``.
        split: ``train``, ``val`` or ``test``.
        buffer: Storage pieces that are read and shuffled together; ``None`` stands for as many as 128 MiB hold, but at
            least two.
        options: The other fields of ``Plan``.

    Raises:
        RequestError: no finished dataset, an unknown variable or split, or a number out of range.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        variables: Iterable[str] | None = None,
        split: str = "train",
        buffer: int | None = None,
        **options: Any,
    ) -> None:
        self.path, self.split = str(path), split
        self._opened: tuple[int, _Columns] | None = None
        dataset = open_dataset(self.path, field="path")
        if split not in SPLITS:
            raise RequestError("split", expected="one of the choices", got=split, choices=SPLITS)
        self.variables = _known(variables, dataset)
        self.digest = dataset.digest
        rows, piece = split_rows(dataset.spec)[split], piece_rows(dataset)
        self.piece_bytes = piece * _channel_bytes(dataset, self.variables)
        if buffer is None:
            # From all channels, not the chosen ones: the order of samples must not depend on what is read of them.
            buffer = max(2, WINDOW_BYTES // (piece * _channel_bytes(dataset, _known(None, dataset))))
        self.plan = Plan(first_row=rows.start, last_row=rows.stop, piece_rows=piece, buffer=buffer, **options)

    @property
    def buffer_bytes(self) -> int:
        """Upper bound of the channels in memory: per lane, the window in use and the next one."""
        return 2 * self.plan.num_lanes * self.plan.buffer * self.piece_bytes

    def shapes(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape without the samples, and dtype, of each variable."""
        return self._columns().shapes

    def batches(self, epoch: int, start: int = 0, *, worker: int = 0, num_workers: int = 1) -> Iterator[Batch]:
        """Batches ``start + worker``, ``start + worker + num_workers``, … of ``epoch``.

        Yields:
            ``{variable: [samples, …]}`` in the dtypes of the store, in memory of their own.
        """
        wanted = range(start + worker, self.plan.num_batches, num_workers)
        columns = self._columns()
        pool = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="channelbench-read")
        try:
            lanes = {
                index: _lane_batches(
                    columns,
                    self.plan.lane(epoch, index),
                    [batch // self.plan.num_lanes for batch in wanted if batch % self.plan.num_lanes == index],
                    pool,
                )
                for index in range(self.plan.num_lanes)
            }
            for batch in wanted:
                yield next(lanes[batch % self.plan.num_lanes])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _columns(self) -> _Columns:
        if self._opened is None or self._opened[0] != os.getpid():
            dataset = open_dataset(self.path, field="path")
            if dataset.digest != self.digest:
                raise RequestError("path", expected=f"the dataset with digest {self.digest}", got=dataset.digest)
            self._opened = os.getpid(), _Columns(dataset, self.split, self.variables)
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}


class _Columns:
    """The arrays of one split. Everything but the channels is some bytes per sample and is kept in memory, because its
    chunks hold other numbers of samples."""

    def __init__(self, dataset: ChannelDataset, split: str, names: tuple[str, ...]) -> None:
        self.reading = dataset.reading
        self.first_row = split_rows(dataset.spec)[split].start
        self.arrays = {name: dataset.group[name] for name in names if name.startswith("h_")}
        self.kept = {name: dataset.array(name, split) for name in names if name not in self.arrays}
        self.direct = {name: DirectArray.of(array) for name, array in self.arrays.items()}
        stored = self.arrays | self.kept
        self.shapes = {name: (tuple(stored[name].shape[1:]), np.dtype(stored[name].dtype)) for name in names}

    def begin(self, window: Window, pool: ThreadPoolExecutor) -> _Loading:
        """Start reading a window, piece by piece and in parallel."""
        columns: Batch = {}
        reads: list[Future[None]] = []
        for name, (shape, dtype) in self.shapes.items():
            columns[name] = np.empty((window.num_rows, *shape), dtype)
            at = 0
            for first, last in window.fragments:
                target = columns[name][at : (at := at + last - first)]
                reads.append(pool.submit(self._read, name, first, last, target))
        return _Loading(columns, window, reads)

    def _read(self, name: str, first: int, last: int, target: NDArray[Any]) -> None:
        if name in self.kept:
            target[:] = self.kept[name][first - self.first_row : last - self.first_row]
            return
        direct = self.direct[name]
        if direct is None or not direct.read(first, last, target):
            # With `out`, because an array from Zarr would have to be copied.
            with self.reading():
                self.arrays[name].get_basic_selection(slice(first, last), out=NDBuffer.from_numpy_array(target))


@dataclass(frozen=True)
class _Loading:
    """A window on its way."""

    columns: Batch
    window: Window
    reads: list[Future[None]]

    def result(self) -> tuple[Batch, NDArray[np.int64]]:
        """Its rows as they lie in the store, and the order in which to give them out."""
        for read in self.reads:
            read.result()
        return self.columns, self.window.order()


def _lane_batches(columns: _Columns, lane: Lane, wanted: list[int], pool: ThreadPoolExecutor) -> Iterator[Batch]:
    """The ``wanted`` batches of a lane, in rising order; the next window is read while one is given out.

    The first window is asked for at once, so that all lanes' first ones come before any lane's second.
    """
    parts = [list(lane.parts(batch)) for batch in wanted]
    numbers = iter(sorted({number for pieces in parts for number, *_ in pieces}))

    def ahead() -> _Loading | None:
        number = next(numbers, None)
        return None if number is None else columns.begin(lane.windows[number], pool)

    def give(coming: _Loading | None) -> Iterator[Batch]:
        current, values = -1, Batch()
        for pieces in parts:
            size, at = sum(high - low for _, low, high in pieces), 0
            batch = {name: _empty((size, *shape), dtype) for name, (shape, dtype) in columns.shapes.items()}
            for number, low, high in pieces:
                if number != current:
                    assert coming is not None
                    values, order = coming.result()
                    current, coming = number, ahead()
                for name, rows in batch.items():
                    # "clip" because the default checks by way of a copy; these positions are in range.
                    values[name].take(order[low:high], axis=0, out=rows[at : at + high - low], mode="clip")
                at += high - low
            yield batch

    return give(ahead())


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array that begins at a multiple of 64 bytes: TensorFlow copies others once more."""
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + 64, np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + size].view(dtype).reshape(shape)


def piece_rows(dataset: ChannelDataset) -> int:
    """Rows of the pieces that all channels of a dataset can be read in without reading anything twice.

    These are whole shards, or chunks where there are no shards, of every channel; of shards above 32 MiB, as many
    whole chunks as stay below that and divide the shard.
    """
    arrays = [dataset.group[name] for name in _known(None, dataset)]
    stored = lcm(*((array.shards or array.chunks)[0] for array in arrays))
    chunk = lcm(*(array.chunks[0] for array in arrays))
    per_row = _channel_bytes(dataset, _known(None, dataset))
    if stored * per_row <= PIECE_BYTES:
        return stored
    fitting = [
        n for n in range(1, stored // chunk + 1) if (stored // chunk) % n == 0 and n * chunk * per_row <= PIECE_BYTES
    ]
    return chunk * max(fitting, default=1)


def _channel_bytes(dataset: ChannelDataset, names: Iterable[str]) -> int:
    """Bytes of one sample's channels among ``names``; 1 where there are none."""
    arrays = [dataset.group[name] for name in names if name.startswith("h_")]
    return sum(int(np.prod(array.shape[1:])) * array.dtype.itemsize for array in arrays) or 1


def _known(names: Iterable[str] | None, dataset: ChannelDataset) -> tuple[str, ...]:
    table = dataset.variables
    if names is None:
        return tuple(name for name in table if name.startswith("h_"))
    chosen = (names,) if isinstance(names, str) else tuple(names)
    for name in chosen:
        if name not in table:
            raise RequestError("variables", expected="variables of this dataset", got=name, choices=table)
    if not chosen or len(set(chosen)) < len(chosen):
        raise RequestError("variables", expected="at least one, each once", got=list(chosen), choices=table)
    return chosen


def require_position(plan: Plan, epoch: int, batch: int) -> None:
    """Complain unless there is such a place: batch ``num_batches`` is the end of an epoch."""
    require_whole("epoch", epoch, 0)
    require_whole("batch", batch, 0)
    if batch > plan.num_batches:
        raise RequestError("batch", expected=f"at most the epoch's {plan.num_batches} batches", got=batch)
