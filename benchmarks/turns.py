"""Runs at once in one folder: they take turns at each fit, and take over what the other has made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from channelbench.results import Result

__all__ = ["stamp_of", "taken_over", "turn"]

LOCKS = ".locks"
LOOK_S = 1.0


@contextmanager
def turn(folder: Path, stem: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Be the one process that makes the cells of a fit; the lock of one that is killed is open again. Where no lock can
    be had nobody waits.

    Args:
        folder: The results folder.
        stem: Name of the fit.
        waiting: Called now and then while another one is at it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCKS / f"{stem}.lock")
    try:
        (folder / LOCKS).mkdir(parents=True, exist_ok=True)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=LOOK_S)
            except Timeout:
                waiting()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()


def stamp_of(folder: Path, name: str) -> int:
    """When a cell was written last, in ns; 0 where there is none."""
    try:
        return (folder / "cells" / f"{name}.json").stat().st_mtime_ns
    except OSError:
        return 0


def taken_over(folder: Path, name: str, stamp: int, code: str) -> Result | None:
    """The cell of this name, if another run has made it since ``stamp`` by the same code; ``None`` where it has not."""
    if stamp_of(folder, name) in (0, stamp):
        return None
    try:
        found = Result(**json.loads((folder / "cells" / f"{name}.json").read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return found if found.status == "ok" and found.code_digest == code else None
