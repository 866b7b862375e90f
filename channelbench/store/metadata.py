"""What says what a dataset's samples are, in a form that a digest can be made from.

``content_digest`` covers the samples, the spec and the seed. Here is the rest: coordinates, dimensions, dtypes, shapes,
units, descriptions; and, by itself, how the arrays are stored. Both leave out what xarray writes of its own accord, so
that a dataset that it has copied is the same dataset.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from channelbench.spec import ScenarioSpec
from channelbench.store.files import DIGEST
from channelbench.store.location import ROOT, is_network_error, parsed
from channelbench.store.record import Record, names_of
from channelbench.store.schema import coordinates

__all__ = ["disagreements", "metadata_digests"]

OWN = ("Conventions", "title", "schema_version", "seed", "engine", "license", "citation")
"""Attributes of the group that are covered, beside the spec. Not ``created`` and ``versions``, which two runs of one
command may differ in, nor what others have added."""

STORED = ("chunk_grid", "chunk_key_encoding", "codecs", "fill_value", "storage_transformers")


def metadata_digests(group: zarr.Group, spec: ScenarioSpec) -> dict[str, str]:
    """Two SHA-256. ``metadata_digest`` is over coordinates, and the names, dimensions, dtypes, shapes and attributes of
    everything; ``storage_digest`` over chunks, shards, codecs and fill values.

    Raises:
        Exception: what zarr and the store raise where an array cannot be read.
    """
    arrays = _arrays(group, spec)
    stored = {name: array.metadata.to_dict() for name, array in arrays.items()}
    return {
        "metadata_digest": _digest(_described(group, spec, arrays)),
        "storage_digest": _digest({name: {key: each.get(key) for key in STORED} for name, each in stored.items()}),
    }


def _described(group: zarr.Group, spec: ScenarioSpec, arrays: Mapping[str, Any]) -> dict[str, Any]:
    coordinate, described = coordinates(spec), dict[str, Any]()
    attributes = dict(group.attrs)
    # What is a coordinate without being a dimension: xarray says so at each variable, `generate` at the group.
    named = str(attributes.get("coordinates", "")).split()
    for name, array in arrays.items():
        own = dict(array.attrs)
        named += str(own.pop("coordinates", "")).split()
        if _is_nan(own.get("_FillValue"), array.dtype):
            del own["_FillValue"]  # xarray gives one to every array of floats
        values = np.ascontiguousarray(array[...]).tobytes() if name in coordinate else b""
        described[name] = {
            "attributes": own,
            "dimensions": array.metadata.dimension_names,
            "dtype": array.dtype.str,
            "shape": array.shape,
            "values": hashlib.sha256(values).hexdigest(),
        }
    return {
        "arrays": described,
        "attributes": {name: attributes.get(name) for name in OWN} | {"spec": Record.of(attributes).spec},
        "coordinates": sorted(set(named)),
    }


def disagreements(group: zarr.Group) -> Iterator[str]:
    """Where the metadata of an array and their copy in the group's, which readers take instead, are not the same."""
    consolidated = _document(group.store, ROOT).get("consolidated_metadata") or {}
    copies: dict[str, Any] = consolidated.get("metadata") or {}
    for name, own in _documents(group.store, copies).items():
        copy = copies[name]
        if isinstance(own, str):
            yield f"{name}: {own}"
        elif not isinstance(copy, Mapping):
            yield f"{name}: no metadata in the group's zarr.json"
        elif differing := [key for key in sorted(own.keys() | copy.keys()) if _text(own, key) != _text(copy, key)]:
            yield f"{name}: {', '.join(differing)} in its zarr.json and in the group's differ"


def _arrays(group: zarr.Group, spec: ScenarioSpec) -> dict[str, Any]:
    """Coordinates, the digests and the variables, of those that are there."""
    names = sorted({*coordinates(spec), DIGEST, *names_of(group[DIGEST].attrs["variables"])})
    found = {name: group.get(name) for name in names}
    return {name: array for name, array in found.items() if array is not None}


def _is_nan(fill: Any, dtype: np.dtype[Any]) -> bool:
    """Whether a fill value is the NaN that xarray writes: the bytes of a double in base 64."""
    if dtype.kind != "f" or not isinstance(fill, str):
        return False
    try:
        return bool(np.isnan(np.frombuffer(base64.b64decode(fill, validate=True), "<f8")).all())
    except ValueError:
        return False


def _documents(store: Store, names: Iterable[str]) -> dict[str, dict[str, Any] | str]:
    """The zarr.json of each array, asked for together; why there is none."""

    async def get(name: str) -> dict[str, Any] | str:
        try:
            found = await store.get(f"{name}/{ROOT}", default_buffer_prototype())
            return f"{name}/{ROOT} is missing" if found is None else parsed(found.to_bytes(), f"{name}/{ROOT}")
        except (ValueError, OSError) as error:
            if is_network_error(error, store):
                raise
            return str(error)

    async def all_of(wanted: list[str]) -> list[dict[str, Any] | str]:
        return await asyncio.gather(*map(get, wanted))

    wanted = list(names)
    return dict(zip(wanted, sync(all_of(wanted)), strict=True))


def _document(store: Store, key: str) -> dict[str, Any]:
    found = sync(store.get(key, default_buffer_prototype()))
    return {} if found is None else parsed(found.to_bytes(), key)


def _text(metadata: Mapping[str, Any], key: str) -> str | None:
    return json.dumps(metadata[key], sort_keys=True) if key in metadata else None


def _digest(written: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(written, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
