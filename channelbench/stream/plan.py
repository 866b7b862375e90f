"""Which rows of a split come in which batch of an epoch: arithmetic and a seed, and nothing is read.

The rows of a split are cut where the storage pieces (shards, or chunks where there are none) meet. An epoch then is:

1. the pieces in an order drawn from (seed, epoch);
2. that sequence of rows cut into one span of equal length per rank, and a rank's span into one span per *lane*;
3. in every lane, ``buffer`` pieces after another read together and their rows permuted: a *window*;
4. batch i of a rank is the next batch of lane i modulo ``lanes``.

Lanes make the order free of the number of loader workers: a loader asks its workers in turn, so worker w of W gives
batches w, w + W, …, and where W divides the lanes these come from lanes that no other worker reads. Windows, not a
shuffle buffer that slides, because where a window begins and what is in it can be computed: a resumed epoch reads
nothing of what is behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError

__all__ = ["Lane", "Plan", "Window", "require_whole"]

_PIECES, _WINDOW = 0, 1
"""What a draw is for; part of its key."""


@dataclass(frozen=True)
class Window:
    """Rows that are read together and permuted among themselves.

    Attributes:
        start: Its first row, counted along the lane.
        fragments: Rows ``[first, last)`` of the store, each within one piece, in the order in which they are read.
        key: Of the permutation; ``None`` keeps the order.
    """

    start: int
    fragments: tuple[tuple[int, int], ...]
    key: tuple[int, ...] | None

    @property
    def num_rows(self) -> int:
        """Rows of all its fragments."""
        return sum(last - first for first, last in self.fragments)

    def order(self) -> NDArray[np.int64]:
        """Positions among the rows as they are read, in the order in which they are given out, ``[rows]``."""
        if self.key is None:
            return np.arange(self.num_rows)
        seed, *rest = self.key
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(rest))).permutation(self.num_rows)

    def rows(self) -> NDArray[np.int64]:
        """Rows of the store in the order in which they are given out, ``[rows]``."""
        return np.concatenate([np.arange(first, last) for first, last in self.fragments])[self.order()]


@dataclass(frozen=True)
class Lane:
    """A rank's every ``lanes``-th batch, and the windows that they are cut from."""

    windows: tuple[Window, ...]
    num_rows: int
    batch_size: int

    def parts(self, batch: int) -> Iterator[tuple[int, int, int]]:
        """Where the lane's batch number ``batch`` is: window, and first and last position in the window's order."""
        first, last = batch * self.batch_size, min((batch + 1) * self.batch_size, self.num_rows)
        starts = [window.start for window in self.windows]
        number = int(np.searchsorted(starts, first, side="right")) - 1
        while first < last:
            window = self.windows[number]
            upto = min(last, window.start + window.num_rows)
            yield number, first - window.start, upto - window.start
            first, number = upto, number + 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The order of all epochs of one split, for one rank.

    Every rank has the same number of rows, the quotient of rows and ranks: where they do not divide, fewer than
    ``world_size`` rows are left out of an epoch, others in the next one. Without shuffling there is one lane, so
    that rows come in stored order.

    Attributes:
        first_row, last_row: The split, ``[first_row, last_row)`` of the store.
        piece_rows: Rows of a storage piece, counted from row 0 of the store.
        batch_size: Rows of a batch; an epoch's last one may be shorter.
        shuffle: Whether the order is drawn, or that of the store.
        seed: Of the order.
        buffer: Pieces that a lane reads and permutes together.
        lanes: Among how many lanes a rank's batches go round.
        drop_last: Leave out a shorter last batch.
        rank, world_size: Which share of the epoch this is, of how many.

    Raises:
        RequestError: a number out of range, or so few rows that there is no batch.
    """

    first_row: int
    last_row: int
    piece_rows: int
    batch_size: int
    shuffle: bool = True
    seed: int = 0
    buffer: int = 1
    lanes: int = 1
    drop_last: bool = False
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("seed", 0), ("buffer", 1), ("lanes", 1), ("world_size", 1)):
            require_whole(name, getattr(self, name), least)
        require_whole("rank", self.rank, 0)
        if self.rank >= self.world_size:
            raise RequestError("rank", expected=f"less than world_size ({self.world_size})", got=self.rank)
        total = self.last_row - self.first_row
        if self.world_size > total:
            raise RequestError("world_size", expected=f"at most the split's {total} samples", got=self.world_size)
        if not self.num_batches:
            raise RequestError(
                "batch_size",
                expected=f"at most a rank's {self.num_rows} samples where drop_last is set",
                got=self.batch_size,
            )

    @property
    def num_rows(self) -> int:
        """Rows that a rank is given per epoch, before a shorter last batch is left out."""
        return (self.last_row - self.first_row) // self.world_size

    @property
    def num_batches(self) -> int:
        """Batches of a rank per epoch, the same on every rank."""
        return self.num_rows // self.batch_size if self.drop_last else -(-self.num_rows // self.batch_size)

    @property
    def num_lanes(self) -> int:
        """Places that are read from at once; one where nothing is shuffled."""
        return self.lanes if self.shuffle else 1

    def pieces(self, epoch: int) -> list[tuple[int, int]]:
        """The split's pieces ``[first, last)`` in the order of ``epoch``; those at its borders are cut."""
        numbers = np.arange(self.first_row // self.piece_rows, -(-self.last_row // self.piece_rows))
        if self.shuffle:
            draw = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch, _PIECES)))
            numbers = draw.permutation(numbers)
        edges = ((int(n) * self.piece_rows, (int(n) + 1) * self.piece_rows) for n in numbers)
        return [(max(first, self.first_row), min(last, self.last_row)) for first, last in edges]

    def lane(self, epoch: int, index: int) -> Lane:
        """Lane ``index`` of this rank in ``epoch``."""
        used = min(self.num_batches * self.batch_size, self.num_rows)
        lengths = [self._lane_rows(lane, used) for lane in range(self.num_lanes)]
        begin = self.rank * self.num_rows + sum(lengths[:index])
        fragments = list(_cut(self.pieces(epoch), begin, begin + lengths[index]))
        windows, start = [], 0
        for number, at in enumerate(range(0, len(fragments), self.buffer)):
            key = (self.seed, epoch, _WINDOW, self.rank * self.lanes + index, number) if self.shuffle else None
            windows.append(Window(start, tuple(fragments[at : at + self.buffer]), key))
            start += windows[-1].num_rows
        return Lane(tuple(windows), lengths[index], self.batch_size)

    def _lane_rows(self, lane: int, used: int) -> int:
        """Rows of a lane: whole batches, but for the one that holds the epoch's last."""
        batches = range(lane, self.num_batches, self.num_lanes)
        short = self.num_batches * self.batch_size - used if self.num_batches - 1 in batches else 0
        return len(batches) * self.batch_size - short

    def batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """The rows of the store in each batch of ``epoch``, in order: what streaming gives out, without reading it."""
        lanes = [self.lane(epoch, index) for index in range(self.num_lanes)]
        rows = [[window.rows() for window in lane.windows] for lane in lanes]
        for batch in range(self.num_batches):
            turn, index = divmod(batch, self.num_lanes)
            yield np.concatenate([rows[index][number][lo:hi] for number, lo, hi in lanes[index].parts(turn)])

    def describe(self) -> dict[str, Any]:
        """What the order follows from, except the rank: plain numbers, the same on every rank."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "rank"}
        return {name: value if isinstance(value, bool) else int(value) for name, value in values.items()}


def require_whole(name: str, value: Any, least: int) -> None:
    """Complain unless ``value`` is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise RequestError(name, expected=f"a whole number of at least {least}", got=value)


def _cut(pieces: list[tuple[int, int]], begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of consecutive ``pieces`` between row ``begin`` and row ``end`` of their sequence."""
    at = 0
    for first, last in pieces:
        low, high = max(begin - at, 0), min(end - at, last - first)
        if low < high:
            yield first + low, first + high
        at += last - first
