"""The files of a DeepMIMO v4 scenario: parameters, which matrices there are, and the matrices themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.imported.export_record import ExportRecord
from channelbench.generators.imported.mat_proof import prove
from channelbench.generators.imported.rays import RayTable

__all__ = ["MARK", "OPTIONAL", "PARAMS", "REQUIRED", "Pair", "Scenario", "Snapshot", "find_scenarios"]

PARAMS = "params.json"

MARK = "channelbench"
"""What ``params.json`` has the record of our exports under."""

REQUIRED = ("power", "phase", "delay", "aod_az", "aod_el")
OPTIONAL = ("aoa_az", "aoa_el", "inter", "rx_pos", "tx_pos", "rx_vel")
"""The last is none of DeepMIMO's matrices: its datasets have velocities by that name once somebody sets them, and our
exports keep them."""

FORMER = {"delay": "toa", "rx_pos": "rx_loc", "tx_pos": "tx_loc"}
"""Names that the specification has and the program no longer writes."""

FILE = re.compile(r"([a-z_]+)_t(\d+)_tx(\d+)_r(\d+)\.(npz|mat|npy)")


class Pair(NamedTuple):
    """A transmitter and the set of receivers that its rays lead to, as file names number them."""

    tx_set: int
    tx: int
    rx_set: int

    @property
    def label(self) -> str:
        return f"t{self.tx_set:03}_tx{self.tx:03}_r{self.rx_set:03}"


class Snapshot:
    """The matrices of one folder, read when they are asked for.

    Args:
        folder: Theirs.
        field: For complaints: the path as the user gave it.
    """

    def __init__(self, folder: Path, field: str) -> None:
        self.folder, self.field = folder, field

    @cached_property
    def _found(self) -> dict[Pair, dict[str, Path]]:
        found: dict[Pair, dict[str, Path]] = {}
        for path in sorted(self.folder.iterdir()):
            if match := FILE.fullmatch(path.name):
                key, *numbers, _ = match.groups()
                found.setdefault(Pair(*map(int, numbers)), {})[key] = path
        return found

    @property
    def pairs(self) -> list[Pair]:
        """Those that have any matrix, in order."""
        return sorted(self._found)

    def file(self, pair: Pair, key: str) -> Path | None:
        """Where a matrix is, by the name that it has now or had; ``None`` where it is not."""
        files = self._found.get(pair, {})
        return files.get(key, files.get(FORMER.get(key, key)))

    def need(self, pair: Pair) -> None:
        """Refuse a pair without a matrix that channels cannot be made without.

        Raises:
            RequestError: which ones are missing.
        """
        if missing := [key for key in REQUIRED if self.file(pair, key) is None]:
            expected = f"the matrices {', '.join(REQUIRED)} of {pair.label}"
            raise RequestError(self.field, expected=expected, got=f"no {', '.join(missing)} in {self.folder.name}")

    def read(self, pair: Pair, key: str) -> NDArray[Any]:
        """One matrix.

        Raises:
            RequestError: it cannot be read, holds Python objects, or is not of real numbers.
        """
        path = self.file(pair, key)
        if path is None:
            raise RequestError(self.field, expected=f"the matrix {key} of {pair.label}", got="no such file")
        return _read(path, self.field)

    def table(self, pair: Pair) -> RayTable:
        """All rays of a pair.

        Raises:
            RequestError: a matrix is missing, cannot be read, or is of another shape than the others.
        """
        self.need(pair)
        names = [*REQUIRED, *(key for key in ("aoa_az", "aoa_el", "inter") if self.file(pair, key) is not None)]
        arrays = {name: self.read(pair, name).astype(np.float64) for name in names}
        shape = arrays["power"].shape
        for name, array in arrays.items():
            if array.shape != shape or len(shape) != 2:
                expected = f"matrices of one shape, users by paths, as power's {shape}"
                raise RequestError(self.field, expected=expected, got=f"{name} of shape {array.shape}")
        return RayTable(
            gain_db=arrays["power"],
            phase_deg=arrays["phase"],
            delay_s=arrays["delay"],
            aod_deg=arrays["aod_az"],
            zod_deg=arrays["aod_el"],
            aoa_deg=arrays.get("aoa_az"),
            zoa_deg=arrays.get("aoa_el"),
            interactions=arrays.get("inter"),
        )

    def positions(self, pair: Pair, key: str, count: int) -> NDArray[np.float64] | None:
        """``rx_pos``, ``rx_vel`` or ``tx_pos``, ``[count, 3]``; ``None`` where there is none.

        Raises:
            RequestError: they cannot be read, or are not as many.
        """
        if self.file(pair, key) is None:
            return None
        values = np.atleast_2d(self.read(pair, key)).astype(np.float64)
        if values.shape != (count, 3):
            raise RequestError(self.field, expected=f"{key} of shape {(count, 3)}", got=f"shape {values.shape}")
        return values


@dataclass(frozen=True)
class Scenario:
    """One scenario: a carrier, and a snapshot or several.

    Attributes:
        folder: Its own.
        params: What ``params.json`` says.
        carrier_hz: Of its rays.
        snapshots: In time.
    """

    folder: Path
    params: Mapping[str, Any]
    carrier_hz: float
    snapshots: tuple[Snapshot, ...]

    @property
    def versions(self) -> dict[str, str]:
        """Of the programs that made it."""
        traced = self.params.get("rt_params", {})
        named = {"deepmimo": self.params.get("version"), "ray tracer": traced.get("raytracer_name")}
        return {name: str(value) for name, value in named.items() if value}

    def record(self, field: str) -> ExportRecord | None:
        """What an export of ours says beside; ``None`` in other scenarios.

        Raises:
            RequestError: it is there, and is none.
        """
        return ExportRecord.read(self.params[MARK], field) if MARK in self.params else None

    def files(self, pair: Pair) -> Iterable[Path]:
        """All files that its links come from."""
        params = {self.folder / PARAMS, *(snapshot.folder / PARAMS for snapshot in self.snapshots)}
        yield from (path for path in sorted(params) if path.exists())
        for snapshot in self.snapshots:
            yield from (path for key in (*REQUIRED, *OPTIONAL) if (path := snapshot.file(pair, key)) is not None)


def find_scenarios(folder: Path, field: str) -> list[Scenario]:
    """The scenarios of a folder: itself; or the two below it, of one place at two carriers, the lower one first.

    Raises:
        RequestError: there is none, there are more, or one cannot be read.
    """
    below = [path for path in sorted(folder.iterdir()) if path.is_dir() and _params_of(path) is not None]
    if (folder / PARAMS).exists() or not below:
        return [_scenario(folder, field)]
    first = _read_params(below[0], field)
    if _num_snapshots(first) > 1 and all(not _sub_folders(path) for path in below):
        return [_scenario(folder, field)]
    found = sorted((_scenario(path, field) for path in below), key=lambda scenario: scenario.carrier_hz)
    if len(found) > 2 or len({scenario.carrier_hz for scenario in found}) != len(found):
        names = ", ".join(path.name for path in below)
        raise RequestError(field, expected="one scenario, or one place at two carriers", got=f"the folders {names}")
    return found


def _scenario(folder: Path, field: str) -> Scenario:
    params = _read_params(folder, field)
    carrier = params.get("rt_params", {}).get("frequency")
    if isinstance(carrier, bool) or not isinstance(carrier, int | float) or not 0 < carrier < np.inf:
        raise RequestError(field, expected=f"rt_params.frequency in {PARAMS}, in Hz", got=carrier)
    wanted = _num_snapshots(params)
    folders = sorted(_sub_folders(folder)) if wanted > 1 else [folder]
    if len(folders) != wanted:
        got = f"{len(folders)} of them in {folder.name}"
        raise RequestError(
            field, expected=f"a folder for each of {wanted} scenes that {PARAMS} says there are", got=got
        )
    return Scenario(folder, params, float(carrier), tuple(Snapshot(path, field) for path in folders))


def _num_snapshots(params: Mapping[str, Any]) -> int:
    scene = params.get("scene", {})
    count = scene.get("num_scenes", 1) if isinstance(scene, Mapping) else 1
    return count if isinstance(count, int) and count >= 1 else 1


def _sub_folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and any(FILE.fullmatch(p.name) for p in path.iterdir())]


def _params_of(folder: Path) -> Path | None:
    """A scenario's parameters, which may lie in its first snapshot."""
    inside = [folder / PARAMS, *(path / PARAMS for path in sorted(folder.iterdir()) if path.is_dir())]
    return next((path for path in inside if path.is_file()), None)


def _read_params(folder: Path, field: str) -> dict[str, Any]:
    path = _params_of(folder)
    if path is None:
        raise RequestError(field, expected=f"a DeepMIMO v4 scenario, a folder with {PARAMS}", got=f"no {PARAMS}")
    try:
        params = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(field, expected=f"JSON in {path.name}", got=f"{type(error).__name__}: {error}") from None
    if not isinstance(params, dict) or not isinstance(params.get("rt_params"), dict):
        raise RequestError(field, expected=f"rt_params in {PARAMS}", got="none")
    return params


def _read(path: Path, field: str) -> NDArray[Any]:
    match = FILE.fullmatch(path.name)
    key = match[1] if match else ""
    expected = f"a matrix {key} of real numbers in {path.name}"
    try:
        array = _load(path, key)
    except Exception as error:  # whatever zip files, NumPy and SciPy raise on bytes that are none
        raise RequestError(field, expected=expected, got=f"{type(error).__name__}: {error}") from None
    if array.dtype.kind not in "iuf":
        raise RequestError(field, expected=expected, got=f"values of type {array.dtype}")
    return array


def _load(path: Path, key: str) -> NDArray[Any]:
    with path.open("rb") as file:  # what fails leaves no file open
        if path.suffix == ".mat":
            from scipy.io import loadmat

            prove(path)
            return np.asarray(loadmat(file)[key])
        loaded = np.load(file, allow_pickle=False)
        return np.asarray(loaded if path.suffix == ".npy" else loaded[key])
