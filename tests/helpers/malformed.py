"""Datasets that are none: a tiny one with every file, attribute and field of its metadata replaced by another thing."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

__all__ = ["malformed"]

Damage = Callable[[Path], None]

ARRAYS = ("h_sub6", "los", "slot", "unit_digest")
"""One of each kind: sharded or large, of one number per sample, a coordinate, the digests."""

TEXTS: dict[str, bytes] = {
    "null": b"null",
    "list": b"[]",
    "number": b"42",
    "string": b'"text"',
    "true": b"true",
    "empty": b"",
    "cut": b'{"zarr_format": 3, "node_',
    "object": b"{}",
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"attributes":' * 50_000,
    "deep and closed": b'{"zarr_format": 3, "node_type": "group", "attributes": '
    + b"[" * 50_000
    + b"]" * 50_000
    + b"}",
    "no utf-8": b"\xff\xfe{}",
    "zeros": bytes(4096),
    "html": b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in</body></html>",
    "long number": b'{"zarr_format": ' + b"9" * 5000 + b"}",
}

VALUES: dict[str, Any] = {
    "null": None,
    "number": 42,
    "negative": -1.5,
    "string": "text",
    "list": [],
    "object": {},
    "nested": [[[[{}]]]],
}

FIELDS: dict[str, tuple[Any, ...]] = {
    "shape": (None, [], "text", [-1], [2**62], [10**30], [3, 3, 3, 3, 3, 3]),
    "data_type": (None, "float16", "nothing", 42, "bytes"),
    "chunk_grid": (None, {}, {"name": "other"}, {"name": "regular", "configuration": {"chunk_shape": [0]}}),
    "chunk_key_encoding": (None, {"name": "other"}),
    "dimension_names": (None, [], "text", [1], ["sample"] * 4, ["elsewhere"]),
    "codecs": (None, [], [{"name": "nothing"}], "text", [{"name": "gzip", "configuration": {"level": 99}}]),
    "fill_value": (None, "text", [], 10**40),
    "zarr_format": (2, 99, None),
    "node_type": ("group", None, "text"),
    "attributes": (None, [], "text"),
    "storage_transformers": (["x"],),
    "unknown_field": ({"must_understand": True},),
}
"""Of an array's metadata, with what stands there instead."""


def malformed() -> dict[str, Damage]:
    """All damages by name; each changes the dataset in the folder that it is given."""
    cases: dict[str, Damage] = {}
    for name, damage in _all():
        assert name not in cases, name
        cases[name] = damage
    return cases


def _all() -> Iterator[tuple[str, Damage]]:
    for where in ("zarr.json", *(f"{name}/zarr.json" for name in ARRAYS)):
        for what, data in TEXTS.items():
            yield f"{where} is {what}", partial(_write, where=where, data=data)
    for where in ("zarr.json", *(f"{name}/zarr.json" for name in ARRAYS), *(f"{name}/c" for name in ARRAYS)):
        for kind, make in SPECIAL.items():
            yield f"{where} is {kind}", partial(_replace, where=where, make=make)
    attributes = ("schema_version", "spec", "seed", "versions", "complete", "content_digest", "metadata_digest")
    for key in attributes:
        yield f"no {key}", partial(_root, change=partial(_drop, key=key))
        for what, value in VALUES.items():
            yield f"{key} is {what}", partial(_root, change=partial(_set, key=key, value=value))
    for key, values in SPEC.items():
        for number, value in enumerate(values):
            yield f"spec.{key} {number}", partial(_spec, keys=key.split("."), value=value)
    for key, value in DIGESTS.items():
        yield f"unit_digest says {key}", partial(_array, name="unit_digest", change=partial(_update, value=value))
    for name in ARRAYS:
        for field, values in FIELDS.items():
            for number, value in enumerate(values):
                change = partial(_field, field=field, value=value)
                yield f"{name}: {field} {number}", partial(_array, name=name, change=change)
    for number, value in enumerate((None, {}, [], "text", {"kind": "inline", "metadata": {}})):
        yield f"consolidated {number}", partial(_consolidated, value=value)
    yield "the folder is a loop", _loop
    yield "a folder of an array is a loop", partial(_replace, where="h_sub6", make=_to_itself)


def _write(path: Path, *, where: str, data: bytes) -> None:
    (path / where).write_bytes(data)


def _replace(path: Path, *, where: str, make: Callable[[Path], None]) -> None:
    target = path / where
    if where.endswith("/c"):
        target = min(file for file in target.rglob("*") if file.is_file())
    if target.is_dir():
        target.rename(path / "moved")
    make(target)


def _remade(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def replace(target: Path) -> None:
        target.unlink()
        make(target)

    return replace


def _socket(target: Path) -> None:
    here = os.getcwd()
    os.chdir(target.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(target.name)
    finally:
        os.chdir(here)


def _to_itself(target: Path) -> None:
    target.unlink(missing_ok=True)
    target.symlink_to(target)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "a pipe": _remade(os.mkfifo),
    "a folder": _remade(Path.mkdir),
    "a socket": _remade(_socket),
    "a loop": _to_itself,
    "endless": _remade(lambda target: target.symlink_to("/dev/zero")),
    "a terminal": _remade(lambda target: target.symlink_to("/dev/tty")),
    "nothing": _remade(lambda target: target.symlink_to("/dev/null")),
    "dangling": _remade(lambda target: target.symlink_to("elsewhere")),
    "cut short": lambda target: os.truncate(target, target.stat().st_size // 2 + 1),
    "too long": lambda target: target.write_bytes(target.read_bytes() * 2),
    "gone": lambda target: target.unlink(),
}

SPEC: dict[str, tuple[Any, ...]] = {
    "scenario": (None, 5, "", "nothing", "os:system", {}),
    "source": (None, 5, "nothing", {}),
    "sizes": (None, [], {}, {"train": 10**26, "val": 1, "test": 1}, {"train": -1, "val": 0, "test": 1}),
    "sizes.train": (None, "60", 1, 10**9, 10**15, 2**63),
    "sub6": (None, {}, "text"),
    "sub6.num_subcarriers": (0, 10**12, 5, None),
    "sub6.carrier_hz": (1e300, -1, "text"),
    "sub6.array": (None, {"rows": 10**9}),
    "unknown": (1,),
}

DIGESTS: dict[str, Any] = {
    "no variables": {"variables": None},
    "a number": {"variables": 42},
    "text": {"variables": "los"},
    "numbers": {"variables": [1, 2]},
    "others": {"variables": ["nothing", "los"]},
    "paths": {"variables": ["../../elsewhere", "los"]},
    "one twice": {"variables": ["los", "los"]},
    "none": {"variables": []},
    "coordinates": {"variables": ["slot"]},
    "itself": {"variables": ["unit_digest"]},
    "another algorithm": {"algorithm": "md5"},
    "a number as algorithm": {"algorithm": 42},
}


def _root(path: Path, *, change: Callable[[dict[str, Any]], None]) -> None:
    file = path / "zarr.json"
    document = json.loads(file.read_text())
    change(document["attributes"])
    file.write_text(json.dumps(document))


def _drop(attributes: dict[str, Any], *, key: str) -> None:
    attributes.pop(key, None)


def _set(attributes: dict[str, Any], *, key: str, value: Any) -> None:
    attributes[key] = value


def _spec(path: Path, *, keys: list[str], value: Any) -> None:
    def change(attributes: dict[str, Any]) -> None:
        written = attributes["spec"]
        spec = node = json.loads(written) if isinstance(written, str) else written
        for key in keys[:-1]:
            node = node[key]
        node[keys[-1]] = value
        attributes["spec"] = json.dumps(spec) if isinstance(written, str) else spec

    _root(path, change=change)


def _array(path: Path, *, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """In the array's own metadata and among the consolidated."""
    for file in (path / name / "zarr.json", path / "zarr.json"):
        document = json.loads(file.read_text())
        change(document if "consolidated_metadata" not in document else _inline(document, name))
        file.write_text(json.dumps(document))


def _inline(document: dict[str, Any], name: str) -> dict[str, Any]:
    return document["consolidated_metadata"]["metadata"][name]


def _field(document: dict[str, Any], *, field: str, value: Any) -> None:
    if isinstance(value, list) and field == "shape" and len(value) == 1:
        value = value + document["shape"][1:]
    if field == "chunk_grid" and isinstance(value, dict) and "configuration" in value:
        value = json.loads(json.dumps(document[field]))
        value["configuration"]["chunk_shape"][0] = 0
    document[field] = value


def _update(document: dict[str, Any], *, value: dict[str, Any]) -> None:
    document["attributes"].update(value)


def _consolidated(path: Path, *, value: Any) -> None:
    file = path / "zarr.json"
    document = json.loads(file.read_text())
    document["consolidated_metadata"] = value
    file.write_text(json.dumps(document))


def _loop(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to(path)
