"""The files of a dataset: how many samples stand in each, and the bytes that Zarr v3 wants in them.

Files are written whole and at once, as Zarr's sharding codec defines them, through Zarr's stores but not through its
arrays, which copy what they write several times.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import zarr
from blake3 import blake3
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from channelbench.errors import RequestError
from channelbench.spec import BLOCK_SIZE, ScenarioSpec
from channelbench.store.record import names_of
from channelbench.store.schema import Variable, variables

__all__ = ["DIGEST", "DIGEST_BYTES", "Files", "UnitFiles", "digest_rows", "disk_bytes", "put"]

FILE_BYTES = 128 * 2**20
CHUNK_BYTES = 4 * 2**20
MIN_FILES = 4
"""Of each variable in a dataset of many blocks: what is lost by an interruption, and what workers share."""
MAX_BLOCKS = 4
DIGEST = "unit_digest"
"""The array of the digests: a row for each 200 samples, a file for each unit."""
DIGEST_BYTES = 16
ABSENT = np.uint64(2**64 - 1)
"""Offset and length of a chunk that lies wholly beyond the last sample."""


@dataclass(frozen=True)
class Files:
    """How samples are cut into files and chunks; the values do not depend on it.

    Attributes:
        unit_rows: Samples in a file of each variable, a multiple of ``BLOCK_SIZE``: what is written at a time.
        chunk_rows: Samples in a chunk, by variable: what has to be read to see one of them. A divisor of
            ``unit_rows``; where it is smaller, the file is a shard.
        algorithm: Of the digests, ``blake3`` or ``blake2b``.
    """

    unit_rows: int
    chunk_rows: dict[str, int]
    algorithm: str

    @classmethod
    def choose(cls, spec: ScenarioSpec, file_samples: int | None = None, chunk_samples: int | None = None) -> Files:
        """Files of at most 128 MiB and 800 samples, chunks of at most 4 MiB, unless told otherwise.

        Args:
            spec: The dataset's.
            file_samples: Samples in a file, a multiple of 200.
            chunk_samples: Samples in a chunk of the channels, a divisor of the samples in a file.

        Raises:
            RequestError: numbers that are none of these.
        """
        table = variables(spec)
        largest = max(_sample_bytes(variable) for variable in table.values())
        blocks = min(MAX_BLOCKS, FILE_BYTES // (largest * BLOCK_SIZE), spec.sizes.total // (BLOCK_SIZE * MIN_FILES))
        unit_rows = max(1, blocks) * BLOCK_SIZE if file_samples is None else file_samples
        if unit_rows < 1 or unit_rows % BLOCK_SIZE:
            raise RequestError("--file-samples", expected=f"a multiple of {BLOCK_SIZE}", got=file_samples)
        if chunk_samples is not None and (chunk_samples < 1 or unit_rows % chunk_samples):
            raise RequestError("--chunk-samples", expected=f"a divisor of {unit_rows}", got=chunk_samples)
        chunk_rows = {}
        for name, variable in table.items():
            fitting = max(1, CHUNK_BYTES // _sample_bytes(variable))
            own = next(rows for rows in range(min(fitting, unit_rows), 0, -1) if unit_rows % rows == 0)
            chunk_rows[name] = chunk_samples if chunk_samples and name.startswith("h_") else own
        return cls(unit_rows, chunk_rows, spec.source.digest_algorithm)

    @classmethod
    def of(cls, group: zarr.Group) -> Files:
        """Those of a dataset that is there.

        Raises:
            RequestError: an earlier version has begun it, which cut it otherwise.
        """
        digests = group[DIGEST]
        arrays = {name: group[name] for name in names_of(digests.attrs["variables"])}
        unit_rows = digests.chunks[0] * BLOCK_SIZE
        if any((array.shards or array.chunks)[0] != unit_rows for array in arrays.values()):
            raise RequestError("--out", expected="a dataset that this version has begun", got=str(group.store_path))
        chunk_rows = {name: array.chunks[0] for name, array in arrays.items()}
        return cls(unit_rows, chunk_rows, digests.attrs.get("algorithm", "blake2b"))

    def create_array(self, group: zarr.Group, name: str, variable: Variable, total: int, **attributes: Any) -> None:
        """The array of a variable, without any data."""
        rest, rows = variable.shape[1:], self.chunk_rows[name]
        group.create_array(
            name,
            shape=(total, *rest),
            chunks=(rows, *rest),
            shards=None if rows == self.unit_rows else (self.unit_rows, *rest),
            dtype=variable.dtype,
            dimension_names=variable.dims,
            compressors=None,
            fill_value=0,
            attributes=attributes,
        )


class UnitFiles:
    """The files of one unit while they are filled: ``columns`` are the rows, ``images`` the files around them."""

    def __init__(self, spec: ScenarioSpec, files: Files, rows: int) -> None:
        """Room for ``rows`` samples, at most ``files.unit_rows``."""
        self.columns: dict[str, NDArray[Any]] = {}
        self.images: dict[str, NDArray[np.uint8]] = {}
        for name, variable in variables(spec).items():
            self.columns[name], self.images[name] = _image(variable, files.unit_rows, files.chunk_rows[name], rows)

    def digests(self, algorithm: str) -> NDArray[np.uint8]:
        """Of each 200 rows of each variable, ``[blocks, variables, 16]``."""
        rows = len(next(iter(self.columns.values())))
        return np.stack(
            [
                np.stack(
                    [digest_rows(column[start : start + BLOCK_SIZE], algorithm) for column in self.columns.values()]
                )
                for start in range(0, rows, BLOCK_SIZE)
            ]
        )

    def write(self, store: Store, index: int, files: Files) -> None:
        """Write everything to the place of unit ``index``, the digests last."""
        images = {_key(name, index, column.ndim): self.images[name] for name, column in self.columns.items()}
        digests = self.digests(files.algorithm)
        whole = np.zeros((files.unit_rows // BLOCK_SIZE, *digests.shape[1:]), np.uint8)
        whole[: len(digests)] = digests
        put(store, images)
        put(store, {_key(DIGEST, index, whole.ndim): whole.reshape(-1)})


def disk_bytes(spec: ScenarioSpec, files: Files) -> tuple[int, int]:
    """How many files a dataset's samples and their digests are, and their bytes: all but metadata and coordinates."""
    table, total = variables(spec), spec.sizes.total
    whole, rest = divmod(total, files.unit_rows)
    units = whole + (rest > 0)
    digests = files.unit_rows // BLOCK_SIZE * len(table) * DIGEST_BYTES
    found = units * digests
    for name, variable in table.items():
        each = [
            _image_bytes(variable, files.unit_rows, files.chunk_rows[name], rows) for rows in (files.unit_rows, rest)
        ]
        found += whole * each[0] + (each[1] if rest else 0)
    return units * (len(table) + 1), found


def digest_rows(values: NDArray[Any], algorithm: str) -> NDArray[np.uint8]:
    """Digest of the rows' bytes by ``blake3`` or ``blake2b``, ``[16]``."""
    data = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
    if algorithm == "blake3":
        digest = blake3(data).digest(length=DIGEST_BYTES)
    else:
        digest = hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
    return np.frombuffer(digest, dtype=np.uint8)


def _key(name: str, index: int, ndim: int) -> str:
    """Where Zarr looks for file ``index`` along the first dimension."""
    return "/".join([name, "c", str(index), *["0"] * (ndim - 1)])


def put(store: Store, images: dict[str, NDArray[np.uint8]]) -> None:
    """Write files at once, each atomically where the store can. Returns when all are there."""
    buffer = default_buffer_prototype().buffer

    async def write() -> None:
        await asyncio.gather(*(store.set(key, buffer.from_array_like(image)) for key, image in images.items()))

    sync(write())


def _sample_bytes(variable: Variable) -> int:
    return int(np.prod(variable.shape[1:])) * np.dtype(variable.dtype).itemsize


def _image(variable: Variable, unit_rows: int, chunk_rows: int, rows: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """A view of the rows, and the file's bytes: chunks in order, then for a shard their index and its CRC-32C."""
    per_sample = _sample_bytes(variable)
    sharded = chunk_rows < unit_rows
    # A chunk is stored whole, with zeros for the samples that there are not.
    stored = -(-rows // chunk_rows) * chunk_rows
    index = _shard_index(unit_rows // chunk_rows, stored // chunk_rows, chunk_rows * per_sample) if sharded else b""
    image = np.empty(stored * per_sample + len(index), np.uint8)
    image[rows * per_sample : stored * per_sample] = 0
    image[stored * per_sample :] = np.frombuffer(index, np.uint8)
    values = image[: rows * per_sample].view(variable.dtype).reshape(rows, *variable.shape[1:])
    return values, image


def _image_bytes(variable: Variable, unit_rows: int, chunk_rows: int, rows: int) -> int:
    """Bytes of the file that ``_image`` makes."""
    index = unit_rows // chunk_rows * 16 + 4 if chunk_rows < unit_rows else 0
    return -(-rows // chunk_rows) * chunk_rows * _sample_bytes(variable) + index


def _shard_index(chunks: int, there: int, chunk_bytes: int) -> bytes:
    """Offset and length of each chunk, little endian, and the checksum (Zarr v3, sharding codec)."""
    entries = np.full((chunks, 2), ABSENT, "<u8")
    entries[:there, 0] = np.arange(there) * chunk_bytes
    entries[:there, 1] = chunk_bytes
    data = entries.tobytes()
    return data + google_crc32c.value(data).to_bytes(4, "little")
