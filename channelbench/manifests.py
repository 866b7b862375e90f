"""``run.json`` of a results folder: read, written by one process at a time, told from the cells where it is lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from channelbench.errors import RequestError
from channelbench.results import DatasetCard, Result, RunManifest

__all__ = [
    "LOCK",
    "MANIFEST",
    "UNKNOWN",
    "Missing",
    "Unreadable",
    "locked",
    "most_common",
    "read_manifest",
    "skipped_lines",
    "told_from",
    "with_tasks_of",
]

MANIFEST = "run.json"
LOCK = ".run.lock"
LOCK_S = 60.0
"""How long to wait for another process that is writing ``run.json``, which takes it milliseconds."""
UNKNOWN = "unknown"
"""The suite of a folder whose cells do not say."""
_SCHEMA = "1"


class Unreadable(Exception):
    """A folder's ``run.json`` is not there, or damaged; the message says which in one line."""


class Missing(Unreadable):
    """It is not there."""


def read_manifest(folder: Path) -> RunManifest:
    """What a folder's ``run.json`` says.

    Raises:
        Unreadable: nothing; ``Missing`` where there is no such file.
    """
    try:
        found = RunManifest(**json.loads((folder / MANIFEST).read_text()))
    except FileNotFoundError as error:
        raise Missing(str(error)) from None
    except OSError as error:
        raise Unreadable(str(error)) from None
    except (ValueError, TypeError, ValidationError, RecursionError) as error:
        raise Unreadable(" ".join(str(error).splitlines()[:1])) from None
    if found.schema_version != _SCHEMA:
        raise Unreadable(f"schema version {found.schema_version}, not {_SCHEMA}")
    return found


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the one process that writes ``run.json`` here. The lock of a process that is killed is open again.

    Raises:
        RequestError: another process keeps it, or no lock can be had there.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=LOCK_S)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        got = f"{folder / LOCK}, kept by another process for {LOCK_S:.0f} s"
        raise RequestError("--out", expected="a folder whose run.json is free", got=got) from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RequestError("--out", expected="a place that can be written", got=f"{folder} ({reason})") from None
    try:
        yield
    finally:
        lock.release()


def told_from(cells: Sequence[Result]) -> RunManifest:
    """What cells say of the run that made them: all but the spec of its dataset, its bundles and what it asked for and
    has not made.

    Args:
        cells: At least one.
    """
    methods = dict.fromkeys(cell.method for cell in cells)
    digest = most_common(cell.dataset for cell in cells)
    return RunManifest(
        suite=most_common(cell.suite for cell in cells) or UNKNOWN,
        preset=most_common(cell.preset for cell in cells),
        dataset=DatasetCard(digest=digest, spec={}, seed=0),
        tasks=tuple(dict.fromkeys(cell.task for cell in cells)),
        methods=tuple(methods),
        seeds={method: len({cell.seed for cell in cells if cell.method == method}) for method in methods},
    )


def with_tasks_of(manifest: RunManifest, cells: Iterable[Result]) -> RunManifest:
    """The manifest with the tasks of all cells, whether or not it knew of them."""
    tasks = tuple(dict.fromkeys((*manifest.tasks, *(cell.task for cell in cells))))
    return manifest if tasks == manifest.tasks else manifest.model_copy(update={"tasks": tasks})


def most_common(values: Iterable[str]) -> str:
    """The value that most have, the first of several; empty where there is none."""
    found = Counter(values).most_common(1)
    return found[0][0] if found else ""


def skipped_lines(skipped: Mapping[str, str]) -> Iterator[str]:
    """A line for each reason, with all that it stops."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        yield f"{', '.join(names)}: {reason}"
