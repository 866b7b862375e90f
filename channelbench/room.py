"""Whether what is asked for has room: on the disk, and a file at a time in memory."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from math import prod
from pathlib import Path

import numpy as np
import psutil

from channelbench.errors import RequestError
from channelbench.spec import ScenarioSpec
from channelbench.store.files import Files
from channelbench.store.location import Location
from channelbench.store.schema import variables

__all__ = ["check_room", "room_of", "sample_bytes"]


def sample_bytes(spec: ScenarioSpec) -> int:
    """Bytes of one sample with all its variables."""
    return sum(prod(variable.shape[1:]) * np.dtype(variable.dtype).itemsize for variable in variables(spec).values())


def check_room(spec: ScenarioSpec, location: Location, files: Files, *, here: bool) -> None:
    """Refuse a dataset that cannot be written, before anything is.

    Args:
        spec: The dataset's.
        location: Where it goes. What of it is there counts as free.
        files: How it is cut.
        here: Whether this machine makes it.

    Raises:
        RequestError: the disk has less room than its bytes, or the memory less than those of one file's samples.
    """
    each, total = sample_bytes(spec), spec.sizes.total
    memory = _memory()
    if (unit := files.unit_rows * each) > memory and here:
        raise RequestError(
            "--file-samples",
            expected=f"files that fit into a memory of {_words(memory)}",
            got=f"{_words(unit)} ({files.unit_rows} samples of {_words(each)}; fewer subcarriers, slots or antennas)",
        )
    if (found := room_of(location)) is None:
        return
    room, where = found
    if total * each > room:
        raise RequestError(
            "--out",
            expected=f"a dataset that fits into the {_words(room)} that are free in {where}",
            got=f"{_words(total * each)} ({total} samples of {_words(each)})",
        )


def room_of(location: Location) -> tuple[int, str] | None:
    """Bytes that a dataset at a place may have, and of what they are: what of it is there counts as free. ``None``
    where nobody says: a remote store, which says itself when it is full, and some file systems."""
    if location.folder is None:
        return (_memory(), "memory") if location.is_private else None
    disk = shutil.disk_usage(where := str(_existing(location.folder.absolute())))
    return (disk.free + _written(location.folder), where) if disk.total else None


def _memory() -> int:
    return int(psutil.virtual_memory().total)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    while not os.path.isdir(folder):  # pathlib raises where nobody may look
        folder = folder.parent
    return folder


def _written(folder: Path) -> int:
    """Bytes of the files in a folder."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # another process finishes it meanwhile
            total += path.lstat().st_size
    return total


def _words(size: int) -> str:
    return f"{size:,} bytes"
