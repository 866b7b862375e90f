"""Rows of an uncompressed local array, read straight into their place.

Zarr reads a file into memory and copies it from there, sample by sample where shards hold small chunks; at the speed of
an SSD that costs more time than the disk takes. Where the bytes of consecutive rows are consecutive in a file, which
is how `generate` stores channels, one read does. Everything else is left to Zarr: `read` says so and reads nothing.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray
from zarr.storage import LocalStore

__all__ = ["DirectArray"]

INDEX_ENTRY = np.dtype([("offset", "<u8"), ("length", "<u8")])
CHECKSUM_BYTES = 4


class DirectArray:
    """A Zarr array whose stored objects are files of whole rows, one after another.

    Attributes:
        rows: Rows of a stored object: a shard, or a chunk where there are no shards.
        chunk: Rows of a chunk.
        row_bytes: Bytes of a row.
    """

    def __init__(self, array: Any) -> None:
        self.array = array
        self.rows, self.chunk = int((array.shards or array.chunks)[0]), int(array.chunks[0])
        self.row_bytes = int(np.prod(array.shape[1:])) * array.dtype.itemsize
        self.sharded = array.shards is not None

    @classmethod
    def of(cls, array: Any) -> DirectArray | None:
        """The array as files of rows; ``None`` where it is something else."""
        whole_rows = tuple(array.chunks[1:]) == tuple(array.shape[1:])
        if not isinstance(array.store, LocalStore) or sys.byteorder != "little" or not whole_rows:
            return None
        # As the specification of Zarr v3 writes them: what zarr-python makes of them changes between its versions.
        codecs = [codec.to_dict() for codec in array.metadata.codecs]
        if len(codecs) == 1 and codecs[0]["name"] == "sharding_indexed":
            if codecs[0]["configuration"]["index_location"] != "end":
                return None
            codecs = list(codecs[0]["configuration"]["codecs"])
        return cls(array) if codecs == [{"name": "bytes", "configuration": {"endian": "little"}}] else None

    def read(self, first: int, last: int, target: NDArray[Any]) -> bool:
        """Fill ``target`` with rows ``[first, last)``; ``False``, and anything in it, where only Zarr can."""
        at = first
        while at < last:
            number, row = divmod(at, self.rows)
            upto = min(last, (number + 1) * self.rows)
            if not self._read_object(number, row, _bytes(target[at - first : upto - first])):
                return False
            at = upto
        return True

    def _read_object(self, number: int, row: int, target: memoryview) -> bool:
        key = self.array.metadata.encode_chunk_key((number, *(0 for _ in self.array.shape[1:])))
        try:
            # Without waiting: what stands there may be a pipe that nobody writes to.
            file = os.open(Path(self.array.store.root) / self.array.path / key, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                return False
            if not self.sharded and os.fstat(file).st_size != self.rows * self.row_bytes:
                return False
            begin = self._begin(file, row, len(target)) if self.sharded else row * self.row_bytes
            return begin is not None and _fill(file, begin, target)
        finally:
            os.close(file)

    def _begin(self, file: int, row: int, length: int) -> int | None:
        """Where ``length`` bytes from ``row`` of a shard on are in its file; ``None`` where they are not together."""
        entries, size = self.rows // self.chunk, os.fstat(file).st_size
        if size < entries * INDEX_ENTRY.itemsize + CHECKSUM_BYTES:
            return None
        index = np.empty(entries, INDEX_ENTRY)
        stored = bytearray(index.nbytes + CHECKSUM_BYTES)
        if not _fill(file, size - len(stored), memoryview(stored)):
            return None
        if google_crc32c.value(bytes(stored[: index.nbytes])) != int.from_bytes(stored[index.nbytes :], "little"):
            return None
        _bytes(index)[:] = stored[: index.nbytes]
        first, last = row // self.chunk, -(-(row * self.row_bytes + length) // (self.chunk * self.row_bytes))
        wanted = index[first:last]
        step = self.chunk * self.row_bytes
        expected = wanted["offset"][0] + np.arange(len(wanted), dtype=np.uint64) * np.uint64(step)
        if not (wanted["length"] == step).all() or not (wanted["offset"] == expected).all():
            return None
        return int(wanted["offset"][0]) + (row - first * self.chunk) * self.row_bytes


def _bytes(values: NDArray[Any]) -> memoryview:
    """The memory of a contiguous array."""
    return values.reshape(-1).view(np.uint8).data


def _fill(file: int, begin: int, target: memoryview) -> bool:
    """Read ``len(target)`` bytes from ``begin`` on; ``False`` where the file has fewer."""
    done = 0
    while begin >= 0 and done < len(target):
        count = os.preadv(file, [target[done:]], begin + done)
        if not count:
            return False
        done += count
    return begin >= 0
