"""Which formats there are, and which of them a file has."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from channelbench.errors import RequestError
from channelbench.generators import imported
from channelbench.generators.imported.contract import Reader, Writer

__all__ = ["reader_of", "readers", "writer_named", "writers"]


PICKLES = (".p", ".pkl", ".pickle")


@cache
def readers() -> dict[str, type[Reader]]:
    """All readers of this package by name."""
    return _found(Reader)


@cache
def writers() -> dict[str, type[Writer]]:
    """All writers of this package by name."""
    return _found(Writer)


def _found(kind: type) -> dict[str, Any]:
    return {item.name: item for item in sorted(set(_classes(kind)), key=lambda item: item.name)}


def _classes(kind: type) -> Iterator[Any]:
    for info in pkgutil.iter_modules(imported.__path__, f"{imported.__name__}."):
        for item in vars(importlib.import_module(info.name)).values():
            if inspect.isclass(item) and issubclass(item, kind) and not inspect.isabstract(item):
                yield item


def reader_of(path: Path, name: str | None) -> type[Reader]:
    """The reader that is named, or the one that claims the file by its content: of those that read any file of a kind
    only where no other does.

    Raises:
        RequestError: there is nothing at ``path``, no reader of that name, none that claims the file, or several.
    """
    if not path.exists():
        raise RequestError("PATH", expected="an existing file or folder", got=str(path))
    if path.suffix.lower() in PICKLES:
        got = f"{path} (a Python pickle, which can run code when it is read)"
        raise RequestError("PATH", expected="numbers in a file", got=got)
    known = readers()
    if name is not None:
        if name not in known:
            raise RequestError("--format", expected="a known format", got=name, choices=known)
        _refuse_another_kind(known[name], path)
        return known[name]
    claiming = [reader for reader in known.values() if _claims(reader, path)]
    chosen = [reader for reader in claiming if not reader.generic] or claiming
    if not chosen:
        formats = f"formats: {', '.join(known)}"  # no choices: a file may be called nearly as one
        raise RequestError("PATH", expected="a file of a known format, or --format", got=str(path), remedy=formats)
    if len(chosen) > 1:
        several = [reader.name for reader in chosen]
        got = f"{path}, which may be of {' or '.join(several)}"
        raise RequestError("--format", expected="one of them", got=got, choices=several)
    return chosen[0]


def _refuse_another_kind(reader: type[Reader], path: Path) -> None:
    """A reader of any file of one kind reads no file of another."""
    if not reader.generic or _claims(reader, path):
        return
    if others := [other.name for other in readers().values() if other.generic and _claims(other, path)]:
        raise RequestError("--format", expected=f"{' or '.join(others)}, which {path} is", got=reader.name)


def _claims(reader: type[Reader], path: Path) -> bool:
    try:
        return bool(reader.claims(path))
    except Exception:  # whatever a library makes of bytes that are not its own
        return False


def writer_named(name: str) -> type[Writer]:
    """The writer of that name.

    Raises:
        RequestError: there is none.
    """
    known = writers()
    if name not in known:
        raise RequestError("--format", expected="a known format", got=name, choices=known)
    return known[name]
