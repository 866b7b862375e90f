"""The Zarr group: how it is created, filled unit by unit, and finished.

A *unit* is some multiple of 200 consecutive rows of the store: what one worker writes at a time, one file for each
variable. Where blocks do not meet unit borders, a unit collects rows of several, so that no file is ever written by two
workers. The rows of ``unit_digest`` that belong to a unit, one per 200 samples, are written after its data: they are
the proof that the unit is there, and what an interrupted run continues from.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from channelbench.errors import RequestError
from channelbench.generator import Block
from channelbench.sources import SourceSpec
from channelbench.spec import BLOCK_SIZE, SPLITS, ScenarioSpec
from channelbench.store.files import DIGEST, DIGEST_BYTES, Files, put
from channelbench.store.location import ROOT, Location, parsed
from channelbench.store.metadata import metadata_digests
from channelbench.store.record import written
from channelbench.store.schema import NAN_ATTRIBUTE, SCHEMA_VERSION, SPLIT_FLAGS, coordinates, core_variables, variables

__all__ = [
    "ROOT",
    "UNFINISHED",
    "Unit",
    "content_digest",
    "create",
    "finish",
    "made_with",
    "missing_units",
    "skeleton",
    "split_rows",
    "unit_rows",
    "units",
    "versions",
]

UNFINISHED = "unfinished"
"""An array that is there until the dataset is finished. It says that there is no sample, which contradicts all others,
and so xarray opens nothing that is not whole."""


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


def units(spec: ScenarioSpec, rows: int = BLOCK_SIZE) -> list[Unit]:
    """All units of a dataset that are ``rows`` long, in row order."""
    total, splits = spec.sizes.total, split_rows(spec)
    return [
        Unit(index, start, stop := min(start + rows, total), tuple(_pieces(splits, start, stop)))
        for index, start in enumerate(range(0, total, rows))
    ]


def _pieces(rows: dict[str, slice], start: int, stop: int) -> Iterator[Block]:
    for split, span in rows.items():
        first, last = max(start, span.start) - span.start, min(stop, span.stop) - span.start
        while first < last:
            index, row = divmod(first, BLOCK_SIZE)
            upto = min(last - index * BLOCK_SIZE, BLOCK_SIZE)
            yield Block(split=split, index=index, start=row, stop=upto)
            first = index * BLOCK_SIZE + upto


def create(path: str | Path, spec: ScenarioSpec, seed: int, engine: str, files: Files | None = None) -> None:
    """Make an empty, unfinished dataset at ``path``: everything but the group itself first, so that what is killed on
    the way leaves no group, and is begun again."""
    made = skeleton(spec, seed, engine, files or Files.choose(spec))
    root = {ROOT: made.pop(ROOT)}
    store = Location.of(path, field="--out").store()
    put(store, made)
    put(store, root)


def skeleton(spec: ScenarioSpec, seed: int, engine: str, files: Files) -> dict[str, NDArray[np.uint8]]:
    """All that is written before the first sample, by key: metadata and coordinates."""
    total, table, core = spec.sizes.total, variables(spec), core_variables(spec)
    contents: dict[str, Any] = {}
    with quiet_zarr():
        store = zarr.storage.MemoryStore(contents)
        group = zarr.create_group(store=store, zarr_format=3, attributes=_attributes(spec, seed, engine))
        for name, (dims, values, attributes) in coordinates(spec).items():
            group.create_array(
                name, data=np.ascontiguousarray(values), dimension_names=dims, compressors=None, attributes=attributes
            )
        for name, variable in table.items():
            flags: dict[str, Any] = SPLIT_FLAGS if name == "split" else {}
            if name not in core and variable.nan != "never":
                flags = {NAN_ATTRIBUTE: variable.nan}
            files.create_array(group, name, variable, total, units=variable.unit, long_name=variable.long_name, **flags)
        group.create_array(
            DIGEST,
            shape=(len(units(spec)), len(table), DIGEST_BYTES),
            chunks=(files.unit_rows // BLOCK_SIZE, len(table), DIGEST_BYTES),
            dtype="uint8",
            dimension_names=("unit", "hashed_variable", "digest_byte"),
            compressors=None,
            fill_value=0,
            attributes={
                "long_name": "digest of each variable's bytes, per 200 rows",
                "variables": written(list(table)),
                "algorithm": files.algorithm,
            },
        )
        group.create_array(
            UNFINISHED,
            shape=(0,),
            chunks=(1,),
            dtype="uint8",
            dimension_names=("sample",),
            compressors=None,
            attributes={"long_name": "not finished: the same `channelbench generate` command continues it"},
        )
        zarr.consolidate_metadata(store)  # or every unit would ask a remote store for every variable's metadata
    return {key: np.frombuffer(buffer.to_bytes(), np.uint8) for key, buffer in contents.items()}


def _attributes(spec: ScenarioSpec, seed: int, engine: str) -> dict[str, Any]:
    return {
        "Conventions": "CF-1.11",
        "title": f"channelbench {spec.title} {spec.system or ''}".rstrip(),
        "schema_version": SCHEMA_VERSION,
        "spec": spec.canonical(),
        "seed": seed,
        "engine": engine,
        "versions": written(made_with(spec.source)),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "coordinates": " ".join(f"antenna_position_{band}" for band in spec.bands),
        "license": spec.source.licence,
        "citation": spec.source.citation,
        "complete": 0,
        "content_digest": "",
        "metadata_digest": "",
        "storage_digest": "",
    }


@cache
def versions(packages: tuple[str, ...]) -> Mapping[str, str]:
    """Installed versions of what the bytes depend on: of a source's ``packages``, and of what writes them."""
    return {package: version(package) for package in ("channelbench", *packages, "numpy", "zarr")}


def made_with(source: SourceSpec) -> dict[str, str]:
    """What the bytes of a source's datasets depend on here: ``versions``, and what it says of the machine."""
    return {**versions(source.packages), **source.machine()}


def unit_rows(group: zarr.Group) -> int:
    """Samples in a unit of a dataset."""
    return int(group[DIGEST].chunks[0]) * BLOCK_SIZE


def missing_units(group: zarr.Group, spec: ScenarioSpec) -> list[Unit]:
    """Units that lack a digest: those that are still to be made."""
    there = group[DIGEST][:].any(axis=(1, 2))
    return [
        unit
        for unit in units(spec, unit_rows(group))
        if not there[unit.start // BLOCK_SIZE : -(-unit.stop // BLOCK_SIZE)].all()
    ]


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
    location = Location.of(path, field="--out")
    with quiet_zarr():
        group = location.open("r+")
        digests = group[DIGEST][:]
        if missing := int((~digests.any(axis=(1, 2))).sum()):
            got = f"{path} ({missing} of {len(digests)} blocks are not there)"
            raise RequestError("--out", expected="a place that all workers share", got=got)
        digest = content_digest(spec, seed, digests)
        marks = {"complete": 1, "content_digest": digest, **metadata_digests(group, spec)}
    _rewrite(group.store, marks)
    return digest


def _rewrite(store: Store, marks: Mapping[str, Any]) -> None:
    """Take the mark of the unfinished away and put these in the group's metadata, in one write: nothing lies between
    before and after, and no dataset says that it is complete without its digests."""
    with suppress(FileNotFoundError):  # another process, which has finished the same dataset, was quicker
        sync(store.delete_dir(UNFINISHED))
    root = parsed(sync(store.get(ROOT, default_buffer_prototype())).to_bytes(), ROOT)
    root["attributes"] |= marks
    ((root.get("consolidated_metadata") or {}).get("metadata") or {}).pop(UNFINISHED, None)
    put(store, {ROOT: np.frombuffer(json.dumps(root, indent=2).encode(), np.uint8)})


@contextmanager
def quiet_zarr() -> Iterator[None]:
    """Without the warning that consolidated metadata is not yet part of the Zarr v3 specification: xarray reads it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        yield
