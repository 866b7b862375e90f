"""Fields of a spec as people write them: ``--set field=value``, and TOML files."""

from __future__ import annotations

import os
import select
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from channelbench.errors import RequestError
from channelbench.paths import expanded

__all__ = ["flatten", "merge", "parse_assignments", "read_toml"]

MAX_BYTES = 2**20
"""Of a TOML file: a spec has a few dozen lines, and a device gives bytes for ever."""

SILENCE_S = 10.0
"""Of a pipe, after which nobody is writing to it."""


def parse_assignments(items: list[str]) -> dict[str, Any]:
    """``["sub6.carrier_hz=2.4e9"]`` to ``{"sub6.carrier_hz": 2.4e9}``; values are TOML, bare words are strings.

    Raises:
        RequestError: no ``field=value``.
    """
    parsed: dict[str, Any] = {}
    for item in items:
        key, sign, text = item.partition("=")
        if not (sign and text.strip() and all(part.strip() for part in key.split("."))):
            raise RequestError("--set", expected="field=value", got=item)
        parsed[key.strip()] = _value(text)
    return parsed


def _value(text: str) -> Any:
    try:
        read = tomllib.loads(f"value = {text}")
    except RecursionError:
        raise RequestError("--set", expected="a value of a few levels", got=text) from None
    except ValueError:  # no TOML, or a number of more digits than Python reads
        return text.strip()
    return read["value"] if len(read) == 1 else text.strip()  # a line break began another key


def read_toml(path: str | Path, *, field: str = "--spec") -> dict[str, Any]:
    """A TOML file as dotted assignments; ``field`` is the option that names it.

    Raises:
        RequestError: it cannot be read, or is no TOML in UTF-8 of up to 1 MiB and a few levels.
    """
    try:
        return flatten(tomllib.loads(_content(path, field).decode()))
    except RecursionError:
        reason = "too many levels"
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: {error.reason} at byte {error.start}"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise RequestError(field, expected="a readable TOML file", got=f"{path} ({reason})")


def _content(path: str | Path, field: str) -> bytes:
    """The bytes of a file, a device or a pipe."""
    content, descriptor = b"", os.open(expanded(path, field=field), os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as file:
        # A pipe that nobody writes to has no end: without this, reading it has none either.
        while len(content) <= MAX_BYTES and select.select([file], [], [], SILENCE_S)[0]:
            if not (piece := file.read(MAX_BYTES)):
                return content
            content += piece
    raise ValueError(f"more than {MAX_BYTES} bytes" if len(content) > MAX_BYTES else f"nothing for {SILENCE_S:g} s")


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Tables within tables as dotted fields."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def merge(data: dict[str, Any], dotted: str, value: Any) -> None:
    """Put a value where a dotted field leads to. A table changes the fields that it has, and leaves the others: it
    means the same as its fields written one by one.

    Raises:
        RequestError: a part of the way is no table.
    """
    *parents, leaf = dotted.split(".")
    node: Any = data
    for depth, parent in enumerate(parents):
        node = node.get(parent)
        if not isinstance(node, dict):
            raise RequestError(
                ".".join(parents[: depth + 1]),
                expected="a group of fields in this system",
                got=".".join(parents[: depth + 1]),
                choices=sorted(k for k, v in data.items() if isinstance(v, dict)),
            )
    if isinstance(value, Mapping) and isinstance(node.get(leaf), dict):
        for name, each in value.items():
            merge(node[leaf], str(name), each)
    else:
        node[leaf] = value
