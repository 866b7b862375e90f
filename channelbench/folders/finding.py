"""A cell, or a results folder, by what somebody writes for it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from channelbench.errors import RequestError
from channelbench.manifests import MANIFEST
from channelbench.paths import expanded
from channelbench.results import Result

__all__ = ["Found", "cells_of", "find_cell", "folders_of", "results_folder"]

SHOWN = 8
"""So many cells are offered where none, or several, are meant."""


@dataclass(frozen=True)
class Found:
    """A cell and the results folder that it lies in."""

    folder: Path
    result: Result

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / "cells" / f"{self.result.name}.json"


def results_folder(place: str | Path, field: str = "--results") -> Path:
    """The results folder at ``place``.

    Raises:
        RequestError: there is none.
    """
    folder = expanded(place, field=field)
    if not (folder / MANIFEST).exists() and not (folder / "cells").is_dir():
        raise RequestError(field, expected="a folder that `run` wrote", got=str(place))
    return folder


def folders_of(results: Path) -> list[Path]:
    """A results folder and those of further stages below it."""
    below = {path.parent for path in results.rglob(MANIFEST)} | {path.parent for path in results.rglob("cells")}
    return sorted(below | {results})


def cells_of(folder: Path) -> Iterator[Result]:
    """The cells of one folder that can be read, by file name."""
    for path in sorted((folder / "cells").glob("*.json")):
        try:
            result = Result(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError, RecursionError):  # `report` says what is wrong with it
            continue
        if result.name == path.stem:
            yield result


def find_cell(text: str, results: str | Path = "results") -> Found:
    """The cell that ``text`` means: its file, the name of its file, or ``method/task/condition/seed``, whose end may be
    missing where one cell is left.

    Raises:
        RequestError: there is none, or there are several.
    """
    path = Path(text)
    if path.suffix == ".json" and path.is_file():
        return _at(path)
    if path.suffix == ".json" and path.parent.name == "cells":
        results = path.parent.parent
    folder = results_folder(results)
    there = [Found(below, result) for below in folders_of(folder) for result in cells_of(below)]
    stem = path.name.removesuffix(".json") if path.suffix == ".json" else text
    meant = [found for found in there if stem in (found.result.name, *_short(found.result))]
    if len(meant) == 1:
        return meant[0]
    if meant:
        expected = "one cell: method/task/condition/seed, or its file"
        raise RequestError("CELL", expected=expected, got=text, choices=[str(found.path) for found in meant[:SHOWN]])
    names = {
        name: "/".join(_parts(found.result)) for found in there for name in (found.result.name, *_short(found.result))
    }
    near = dict.fromkeys(names[name] for name in difflib.get_close_matches(text, names, n=SHOWN, cutoff=0.6))
    some = near or dict.fromkeys(list(names.values())[:SHOWN])
    raise RequestError("CELL", expected=f"a cell of {folder}", got=text, choices=some)


def _at(path: Path) -> Found:
    try:
        result = Result(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RequestError("CELL", expected="a cell that can be read", got=f"{path} ({reason})") from None
    if result.name != path.stem or path.parent.name != "cells":
        expected = f"cells/{result.name}.json of a results folder, as its content says"
        raise RequestError("CELL", expected=expected, got=str(path))
    return Found(path.parent.parent, result)


def _parts(result: Result) -> tuple[str, str, str, str]:
    return result.method, result.task, result.condition, str(result.seed)


def _short(result: Result) -> list[str]:
    parts = _parts(result)
    return ["/".join(parts[:end]) for end in (1, 2, 3, 4)]
