"""The Zarr group: how it is created, filled unit by unit, and finished.

A *unit* is 200 consecutive rows of the store: what one worker writes at a time. In every preset it is one block; with
other sizes, where blocks do not meet unit borders, a unit collects rows of up to three blocks, so that no chunk is
ever written by two workers. The row of ``unit_digest`` that belongs to a unit is written after its data: it is the
proof that the unit is there, and what an interrupted run continues from.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from channelbench.contracts import Block
from channelbench.errors import RequestError
from channelbench.spec import BLOCK_SIZE, SPLITS, ScenarioSpec
from channelbench.store.schema import SCHEMA_VERSION, SPLIT_FLAGS, Variable, coordinates, variables

__all__ = [
    "DIGEST",
    "Unit",
    "content_digest",
    "create",
    "digest_rows",
    "finish",
    "missing_units",
    "split_rows",
    "units",
    "versions",
    "write_unit",
]

DIGEST = "unit_digest"
DIGEST_BYTES = 16
MAX_CHUNK_BYTES = 32 * 2**20
WRITERS = 8

CITATION = "channelbench: wireless-channel datasets and benchmarks, https://pypi.org/project/channelbench"


@dataclass(frozen=True)
class Unit:
    """Rows ``start:stop`` of the store, and the block pieces that they are made of."""

    index: int
    start: int
    stop: int
    pieces: tuple[Block, ...]


def split_rows(spec: ScenarioSpec) -> dict[str, slice]:
    """Rows of each split: train, then val, then test."""
    rows, start = {}, 0
    for split in SPLITS:
        rows[split] = slice(start, start + spec.sizes.of(split))
        start = rows[split].stop
    return rows


def units(spec: ScenarioSpec) -> list[Unit]:
    """All writing units of a dataset, in row order."""
    total, rows = spec.sizes.total, split_rows(spec)
    return [
        Unit(index, start, stop := min(start + BLOCK_SIZE, total), tuple(_pieces(rows, start, stop)))
        for index, start in enumerate(range(0, total, BLOCK_SIZE))
    ]


def _pieces(rows: dict[str, slice], start: int, stop: int) -> Iterator[Block]:
    for split, span in rows.items():
        first, last = max(start, span.start) - span.start, min(stop, span.stop) - span.start
        while first < last:
            index, row = divmod(first, BLOCK_SIZE)
            upto = min(last - index * BLOCK_SIZE, BLOCK_SIZE)
            yield Block(split=split, index=index, start=row, stop=upto)
            first = index * BLOCK_SIZE + upto


def create(path: str | Path, spec: ScenarioSpec, seed: int, engine: str) -> None:
    """Make an empty, unfinished dataset at ``path``."""
    total = spec.sizes.total
    table = variables(spec)
    with quiet_zarr():
        group = zarr.create_group(store=str(path), zarr_format=3, attributes=_attributes(spec, seed, engine))
        for name, (dims, values, attributes) in coordinates(spec).items():
            group.create_array(
                name, data=np.ascontiguousarray(values), dimension_names=dims, compressors=None, attributes=attributes
            )
        for name, variable in table.items():
            shape = (total, *variable.shape[1:])
            group.create_array(
                name,
                shape=shape,
                chunks=_chunks(variable, total),
                dtype=variable.dtype,
                dimension_names=variable.dims,
                compressors=None,
                fill_value=0,
                attributes={"units": variable.unit, "long_name": variable.long_name}
                | (SPLIT_FLAGS if name == "split" else {}),
            )
        group.create_array(
            DIGEST,
            shape=(len(units(spec)), len(table), DIGEST_BYTES),
            chunks=(1, len(table), DIGEST_BYTES),
            dtype="uint8",
            dimension_names=("unit", "hashed_variable", "digest_byte"),
            compressors=None,
            fill_value=0,
            attributes={"long_name": "BLAKE2b of each variable's bytes, per 200 rows", "variables": list(table)},
        )
        zarr.consolidate_metadata(str(path))  # or every unit would ask a remote store for every variable's metadata


def _attributes(spec: ScenarioSpec, seed: int, engine: str) -> dict[str, Any]:
    return {
        "Conventions": "CF-1.11",
        "title": f"channelbench {spec.scenario} {spec.state} {spec.system}",
        "schema_version": SCHEMA_VERSION,
        "spec": json.loads(spec.canonical()),
        "seed": seed,
        "engine": engine,
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "coordinates": " ".join(f"antenna_position_{band}" for band in spec.bands),
        "license": "CC-BY-4.0",
        "citation": CITATION,
        "complete": False,
        "content_digest": "",
    }


def versions() -> dict[str, str]:
    """Installed versions of what the bytes depend on."""
    return {package: version(package) for package in ("channelbench", "sionna", "torch", "numpy", "zarr")}


def _chunks(variable: Variable, total: int) -> tuple[int, ...]:
    """Whole samples; as many as divide a unit and stay within the chunk limit."""
    per_sample = int(np.prod(variable.shape[1:])) * np.dtype(variable.dtype).itemsize
    divisors = (rows for rows in range(BLOCK_SIZE, 0, -1) if BLOCK_SIZE % rows == 0)
    rows = next((rows for rows in divisors if rows * per_sample <= MAX_CHUNK_BYTES), 1)
    return (min(rows, total), *variable.shape[1:])


def write_unit(group: zarr.Group, unit: Unit, columns: dict[str, NDArray[Any]]) -> None:
    """Write a unit's columns ``{variable: [rows, ...]}``, then its digest."""
    names = group[DIGEST].attrs["variables"]

    def put(name: str) -> None:
        group[name][unit.start : unit.stop] = columns[name]

    # Zarr drops chunks that hold only the fill value, and reads missing ones back as zeros.
    with quiet_zarr(), zarr.config.set({"array.write_empty_chunks": True}):
        # A remote store answers in tens of milliseconds: one variable after another would take longer than making them.
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(put, names))
        group[DIGEST][unit.index] = np.stack([digest_rows(columns[name]) for name in names])


def digest_rows(values: NDArray[Any]) -> NDArray[np.uint8]:
    """BLAKE2b of the rows' bytes, ``[16]``."""
    data = np.ascontiguousarray(values)
    return np.frombuffer(hashlib.blake2b(data.tobytes(), digest_size=DIGEST_BYTES).digest(), dtype=np.uint8)


def missing_units(group: zarr.Group, spec: ScenarioSpec) -> list[Unit]:
    """Units without a digest: those that are still to be made."""
    there = group[DIGEST][:].any(axis=(1, 2))
    return [unit for unit in units(spec) if not there[unit.index]]


def content_digest(spec: ScenarioSpec, seed: int, digests: NDArray[np.uint8]) -> str:
    """SHA-256 over schema, spec, seed and the digests of all units and variables."""
    summary = hashlib.sha256(f"{SCHEMA_VERSION}\n{spec.canonical()}\n{seed}\n".encode())
    summary.update(np.ascontiguousarray(digests).tobytes())
    return summary.hexdigest()


def finish(path: str | Path, spec: ScenarioSpec, seed: int) -> str:
    """Mark a dataset complete and return its content digest.

    Raises:
        RequestError: units are missing, because workers wrote them to a place of the same name elsewhere.
    """
    with quiet_zarr():
        group = zarr.open_group(str(path), mode="r+")
        digests = group[DIGEST][:]
        if missing := int((~digests.any(axis=(1, 2))).sum()):
            got = f"{path} ({missing} of {len(digests)} blocks are not there)"
            raise RequestError("--out", expected="a place that all workers share", got=got)
        digest = content_digest(spec, seed, digests)
        group.attrs.update({"complete": True, "content_digest": digest})
        zarr.consolidate_metadata(str(path))
    return digest


@contextmanager
def quiet_zarr() -> Iterator[None]:
    """Without the warning that consolidated metadata is not yet part of the Zarr v3 specification: xarray reads it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        yield
