"""Cells and their fits, taken out of a results folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from channelbench.folders.finding import cells_of
from channelbench.manifests import MANIFEST, Unreadable, locked, read_manifest
from channelbench.results import Result, cell_name, write_atomic

__all__ = ["fits_of", "remove_cells", "remove_fit"]


def remove_cells(folder: Path, wanted: Callable[[Result], bool], *, dry_run: bool = False) -> list[Path]:
    """Remove cells with all that lies beside them, the fits that no cell is left of, and methods without cells from
    ``run.json``.

    Args:
        folder: One results folder, without those below it.
        wanted: Which.
        dry_run: Say what would go, and leave it.

    Returns:
        The files and folders that go, cells first.
    """
    cells = list(cells_of(folder))
    gone = [cell for cell in cells if wanted(cell)]
    left = [cell for cell in cells if not wanted(cell)]
    files = [path for cell in gone for path in _files_of(folder, cell.name)]
    fits = sorted({fit for cell in gone for fit in fits_of(folder, cell) if not _is_used(fit, folder, left)})
    if not dry_run and gone:
        with locked(folder):
            for path in files:
                path.unlink(missing_ok=True)
            for fit in fits:
                remove_fit(fit)
            _forget(folder, {cell.method for cell in gone} - {cell.method for cell in left})
    return [*files, *fits]


def fits_of(folder: Path, cell: Result) -> list[Path]:
    """The folders of checkpoints of the fits that a cell may have been scored with: of its own task, or joint."""
    stems = [cell_name(cell.method, what, "default", cell.seed).split("__") for what in (cell.task, "joint")]
    places = (folder / "checkpoints").glob("*") if (folder / "checkpoints").is_dir() else ()
    known = {(stem[0], stem[1], stem[-1]) for stem in stems}
    return [
        place
        for place in places
        if place.is_dir() and (parts := place.name.split("__")) and (parts[0], parts[1], parts[-1]) in known
    ]


def remove_fit(place: Path) -> None:
    """A fit's checkpoints, and what is noted beside them."""
    for note in ("code", "losses.json"):
        place.with_name(f"{place.name}.{note}").unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)


def _files_of(folder: Path, name: str) -> list[Path]:
    """A cell's files, the one first without which the others are nothing."""
    cell = folder / "cells" / f"{name}.json"
    beside = sorted(path for path in cell.parent.glob("*.npz") if path.name.startswith(f"{name}."))
    return [cell, *beside]


def _is_used(fit: Path, folder: Path, left: Iterable[Result]) -> bool:
    return any(fit in fits_of(folder, cell) for cell in left)


def _forget(folder: Path, methods: Iterable[str]) -> None:
    """Take methods out of ``run.json``: nobody asks for them any longer."""
    try:
        before = read_manifest(folder)
    except Unreadable:
        return
    gone = set(methods)

    def kept(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name not in gone)

    tables = ("seeds", "method_tasks", "joint_tasks")
    update = {
        table: {name: value for name, value in getattr(before, table).items() if name not in gone} for table in tables
    }
    now = before.model_copy(update={"methods": kept(before.methods), "once": kept(before.once), **update})
    write_atomic(folder / MANIFEST, (now.model_dump_json(indent=1) + "\n").encode())
