"""What says what a dataset's samples are, in a form that a digest can be made from.

``content_digest`` covers the samples, the spec and the seed. Here is the rest: coordinates, dimensions, dtypes, shapes,
units, descriptions; and, by itself, how the arrays are stored. Both leave out what xarray writes of its own accord, so
that a dataset that it has copied is the same dataset.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from channelbench.spec import ScenarioSpec
from channelbench.store.files import DIGEST
from channelbench.store.location import ROOT, parsed
from channelbench.store.record import Record, names_of
from channelbench.store.schema import coordinates

__all__ = ["disagreements", "metadata_digest", "storage_digest"]

OWN = ("Conventions", "title", "schema_version", "seed", "engine", "license", "citation")
"""Attributes of the group that are covered, beside the spec. Not ``created`` and ``versions``, which two runs of one
command may differ in, nor what others have added."""

STORED = ("chunk_grid", "chunk_key_encoding", "codecs", "fill_value", "storage_transformers")


def metadata_digest(group: zarr.Group, spec: ScenarioSpec) -> str:
    """SHA-256 over coordinates, and the names, dimensions, dtypes, shapes and attributes of everything.

    Raises:
        Exception: what zarr and the store raise where an array cannot be read.
    """
    coordinate = coordinates(spec)
    arrays: dict[str, Any] = {}
    for name, array in _arrays(group, spec):
        described = dict(array.attrs)
        described.pop("coordinates", None)
        if _is_nan(described.get("_FillValue"), array.dtype):
            del described["_FillValue"]  # xarray gives one to every array of floats
        values = np.ascontiguousarray(array[...]).tobytes() if name in coordinate else b""
        arrays[name] = {
            "attributes": described,
            "dimensions": array.metadata.dimension_names,
            "dtype": array.dtype.str,
            "shape": array.shape,
            "values": hashlib.sha256(values).hexdigest(),
        }
    attributes = dict(group.attrs)
    written = {
        "arrays": arrays,
        "attributes": {name: attributes.get(name) for name in OWN} | {"spec": Record.of(attributes).spec},
        "coordinates": sorted(_coordinate_names(group, spec)),
    }
    return _digest(written)


def storage_digest(group: zarr.Group, spec: ScenarioSpec) -> str:
    """SHA-256 over chunks, shards, codecs and fill values of everything."""
    stored = {name: array.metadata.to_dict() for name, array in _arrays(group, spec)}
    return _digest({name: {key: each.get(key) for key in STORED} for name, each in stored.items()})


def disagreements(group: zarr.Group) -> Iterator[str]:
    """Where the metadata of an array and their copy in the group's, which readers take instead, are not the same."""
    consolidated = _document(group, ROOT).get("consolidated_metadata")
    for name, copy in (consolidated["metadata"] if consolidated else {}).items():
        try:
            own = _document(group, f"{name}/{ROOT}")
        except (ValueError, OSError) as error:
            yield f"{name}: {error}"
            continue
        if not isinstance(copy, Mapping):
            yield f"{name}: no metadata in the group's zarr.json"
        elif differing := [key for key in sorted(own.keys() | copy.keys()) if not _same(key, own, copy)]:
            yield f"{name}: {', '.join(differing)} in its zarr.json and in the group's differ"


def _arrays(group: zarr.Group, spec: ScenarioSpec) -> Iterator[tuple[str, Any]]:
    """Coordinates, the digests and the variables, of those that are there."""
    names: Iterable[str] = names_of(group[DIGEST].attrs["variables"])
    for name in sorted({*coordinates(spec), DIGEST, *names}):
        if name in group:
            yield name, group[name]


def _coordinate_names(group: zarr.Group, spec: ScenarioSpec) -> set[str]:
    """What is a coordinate without being a dimension: xarray says so at each variable, ``generate`` at the group."""
    said = [group.attrs, *(array.attrs for _, array in _arrays(group, spec))]
    return {name for attributes in said for name in str(attributes.get("coordinates", "")).split()}


def _is_nan(fill: Any, dtype: np.dtype[Any]) -> bool:
    """Whether a fill value is the NaN that xarray writes: the bytes of a double in base 64."""
    if dtype.kind != "f" or not isinstance(fill, str):
        return False
    try:
        return bool(np.isnan(np.frombuffer(base64.b64decode(fill, validate=True), "<f8")).all())
    except ValueError:
        return False


def _document(group: zarr.Group, key: str) -> dict[str, Any]:
    """A zarr.json of the group.

    Raises:
        ValueError: none that can be read.
    """
    found = sync(group.store.get(key, default_buffer_prototype()))
    if found is None:
        raise ValueError(f"{key} is missing")
    return parsed(found.to_bytes(), key)


def _same(key: str, own: Mapping[str, Any], copy: Mapping[str, Any]) -> bool:
    # A group's own copy of nothing, and an empty list, are both nothing.
    here, there = (one.get(key) or None if key in ("storage_transformers",) else one.get(key) for one in (own, copy))
    return json.dumps(here, sort_keys=True) == json.dumps(there, sort_keys=True)


def _digest(written: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(written, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
