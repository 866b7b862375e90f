"""What lies beside a cell, case by case: the terms of its metrics, the unit and the strata that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["UNITS", "packed", "read_strata", "read_terms", "read_units", "stratum_of", "terms_path"]

UNITS = "independent unit"
"""Name, among a cell's terms, of the unit that each case belongs to; no metric can have it."""

_STRATUM = "stratum "
"""Begins, among a cell's terms, the name of a stratum; no metric's name has a blank."""


class _Cell(Protocol):
    @property
    def name(self) -> str: ...


def packed(
    terms: Mapping[str, NDArray[np.float64]],
    units: NDArray[np.int64] | None = None,
    strata: Mapping[str, NDArray[np.float64]] | None = None,
) -> dict[str, NDArray[Any]]:
    """The arrays as they are written, by their names in the file; terms as float32."""
    arrays: dict[str, NDArray[Any]] = {name: values.astype(np.float32) for name, values in terms.items()}
    if units is not None:
        arrays[UNITS] = units
    return arrays | {f"{_STRATUM}{name}": values for name, values in (strata or {}).items()}


def stratum_of(name: str) -> str:
    """The stratum that an array of the file holds; empty for terms and units."""
    return name.removeprefix(_STRATUM) if name.startswith(_STRATUM) else ""


def terms_path(folder: Path, cell: _Cell) -> Path:
    """Where these lie."""
    return folder / "cells" / f"{cell.name}.npz"


def read_terms(folder: Path, cell: _Cell) -> dict[str, NDArray[np.float64]]:
    """Per-case terms ``{metric: [cases, terms]}`` of a cell; empty where it failed."""
    path = terms_path(folder, cell)
    if not path.exists():
        return {}
    with np.load(path) as archive:
        names = [name for name in archive.files if name != UNITS and not stratum_of(name)]
        return {name: archive[name].astype(np.float64) for name in names}


def read_units(folder: Path, cell: _Cell) -> NDArray[np.int64] | None:
    """The independent unit of each case of a cell, ``[cases]``; ``None`` where each case is one."""
    path = terms_path(folder, cell)
    if not path.exists():
        return None
    with np.load(path) as archive:
        return archive[UNITS] if UNITS in archive.files else None


def read_strata(folder: Path, cell: _Cell) -> dict[str, NDArray[np.float64]]:
    """What the task tells apart of a cell's cases, ``{stratum: [cases]}``; see ``Task.strata``."""
    path = terms_path(folder, cell)
    if not path.exists():
        return {}
    with np.load(path) as archive:
        return {stratum: archive[name] for name in archive.files if (stratum := stratum_of(name))}
