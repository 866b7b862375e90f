"""Impulse responses as Sionna's ``CIRDataset`` takes them: coefficients ``a`` and delays ``tau`` in one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.imported.contract import BandFacts, BandLinks, Description, Links, Reader, Settings
from channelbench.generators.imported.damage import in_one_line
from channelbench.generators.imported.taps import Antennas, Taps, chosen_antennas, stack
from channelbench.spec import ArraySpec, BandSpec

__all__ = ["BAND_NUMBERS", "CIRFile", "SionnaCIRReader", "SionnaCIRSettings"]

BAND_NUMBERS = {"carrier_hz": float, "bandwidth_hz": float, "num_subcarriers": int, "slot_s": float}
"""What a file may say of its band beside ``a`` and ``tau``, one number each."""

ARRAY_NUMBERS = {"rows": int, "columns": int, "spacing_wavelengths": float}

BESIDE: dict[str, tuple[Any, tuple[int, ...]]] = {
    "ue_position": (np.float64, (3,)),
    "ue_velocity": (np.float64, (3,)),
    "los": (np.bool_, ()),
    "split": (np.int8, ()),
}
"""What a file may say of each link: type, and shape of one."""

ABSENT = -1
"""The delay that Sionna RT gives to paths that are not there."""

SUFFIXES = (".npz", ".h5", ".hdf5")


class SionnaCIRSettings(Settings):
    """Which side of the links is the base station.

    Attributes:
        base_station: The side whose antennas are the array.
        bs: Number of the base station, from 0, where there are several; the other side's terminals are the users.
        user_antenna: Which of the users' antennas is read, from 0.
        antennas: Which of the base station's are the array: ``:16`` of 32, whose other half is of another polarisation,
            are those of one.
    """

    base_station: Literal["tx", "rx"] = "tx"
    bs: int = 0
    user_antenna: int = 0
    antennas: Antennas = ":"


class CIRFile:
    """``a`` and ``tau`` of one file, with a batch dimension.

    Args:
        path: ``.npz`` or HDF5.
        field: For complaints: the path as the user gave it.

    Raises:
        RequestError: it cannot be read, or its arrays are not of these shapes.
    """

    def __init__(self, path: Path, field: str) -> None:
        self.path, self._field = path, field
        self._arrays = self._open()
        for name in ("a", "tau"):
            if name not in self._arrays:
                raise RequestError(
                    field, expected=f"an array {name} in {path.name}", got=", ".join(self._arrays) or "none"
                )
        a, tau = (tuple(self._arrays[name].shape) for name in ("a", "tau"))
        self.batched = len(a) == 7
        self.shape = a if self.batched else (1, *a)
        if len(self.shape) != 7 or min(self.shape) < 1:
            expected = "a of [batch, rx, rx antennas, tx, tx antennas, paths, time steps], the batch left out or not"
            raise RequestError(field, expected=expected, got=f"shape {a}")
        batch, rx, rx_antennas, tx, tx_antennas, paths, _ = self.shape
        shapes = [(rx, tx, paths), (rx, rx_antennas, tx, tx_antennas, paths)]
        shapes = [(batch, *shape) for shape in shapes] if self.batched else shapes
        if tau not in shapes:
            expected = f"tau of shape {shapes[0]} or {shapes[1]} beside a of {a}"
            raise RequestError(field, expected=expected, got=f"shape {tau}")
        self.each_antenna = tau == shapes[1]
        if self._arrays["a"].dtype.kind not in "cfiu" or self._arrays["tau"].dtype.kind not in "fiu":
            got = f"{self._arrays['a'].dtype} and {self._arrays['tau'].dtype}"
            raise RequestError(field, expected="complex a and real tau", got=got)

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def number(self, name: str, kind: type) -> Any:
        """A number beside the arrays; ``None`` where it is not there.

        Raises:
            RequestError: it is no number.
        """
        if name not in self._arrays:
            return None
        try:
            return kind(np.asarray(self._arrays[name][()]).item())
        except (TypeError, ValueError):
            raise RequestError(
                self._field, expected=f"a number {name} in {self.path.name}", got="something else"
            ) from None

    def text(self, name: str) -> str | None:
        """A text beside the arrays; ``None`` where it is not there."""
        value = np.asarray(self._arrays[name][()]).item() if name in self._arrays else None
        return value.decode(errors="replace") if isinstance(value, bytes) else None if value is None else str(value)

    def row(self, name: str, index: int) -> NDArray[Any]:
        """One sample of an array of as many rows as the batch.

        Raises:
            RequestError: it cannot be read.
        """
        try:
            array = self._arrays[name]
            return np.asarray(array[index] if self.batched or name not in ("a", "tau") else array[()])
        except (OSError, IndexError, ValueError) as error:
            got = f"{type(error).__name__}: {error}"
            raise RequestError(self._field, expected=f"{name} of sample {index} in {self.path.name}", got=got) from None

    def close(self) -> None:
        """Let go of the file."""
        if self.path.suffix != ".npz":
            self._arrays.close()

    def _open(self) -> Any:
        """A mapping of arrays, those of HDF5 read when they are asked for."""
        expected = f"{' or '.join(SUFFIXES)} with arrays a and tau, and no Python objects"
        try:
            if self.path.suffix == ".npz":
                with self.path.open("rb") as file:  # what fails leaves no file open
                    loaded = np.load(file, allow_pickle=False)
                    return {name: loaded[name] for name in loaded.files}
            import h5py

            return h5py.File(self.path)
        except Exception as error:  # whatever zip files, NumPy and HDF5 raise on bytes that are none
            got = f"{type(error).__name__}: {error}"
            raise RequestError(self._field, expected=expected, got=got) from None


class SionnaCIRReader(Reader):
    """One file; or a folder of two, of one place at two carriers.

    Every terminal of the other side is a user, in every sample of the batch.
    """

    name: ClassVar[str] = "cir"
    title: ClassVar[str] = "Sionna CIR"
    reference: ClassVar[str] = "https://nvlabs.github.io/sionna, CIRDataset"
    missing: ClassVar[str] = "carrier, bandwidth, array, positions, line of sight, unless they stand beside a and tau"
    settings: ClassVar[type[Settings]] = SionnaCIRSettings

    @classmethod
    def claims(cls, path: Path) -> bool:
        """A file, or files in a folder, with ``a`` and ``tau``."""
        return bool(files := _files(path)) and all({"a", "tau"} <= _names(file) for file in files)

    @in_one_line
    def __init__(self, path: Path, settings: SionnaCIRSettings) -> None:
        super().__init__(path, settings)
        self._settings, self._field = settings, str(path)
        files = _files(path)
        if not 1 <= len(files) <= 2:
            expected = f"a file {' or '.join(SUFFIXES)}, or a folder of two of them"
            raise RequestError(self._field, expected=expected, got=f"{len(files)} of them")
        found = [CIRFile(file, self._field) for file in files]
        found.sort(key=lambda file: file.number("carrier_hz", float) or 0.0)
        if len(found) == 2 and None in (carriers := [file.number("carrier_hz", float) for file in found]):
            raise RequestError(self._field, expected="carrier_hz in both files", got=carriers)
        self._bands = dict(zip(("sub6", "mmwave"), found, strict=False))
        counts = {self._count(file) for file in self._bands.values()}
        if len(counts) != 1:
            raise RequestError(self._field, expected="as many links in both files", got=sorted(counts))
        for name, file in self._bands.items():
            _, stations, _, antennas = self._sides(file)
            for field, count in (("bs", stations), ("user_antenna", antennas)):
                if not 0 <= getattr(settings, field) < count:
                    expected = f"a number below {count}, as in {file.path.name} for {name}"
                    raise RequestError(field, expected=expected, got=getattr(settings, field))

    def files(self) -> list[Path]:
        return [file.path for file in self._bands.values()]

    def close(self) -> None:
        for file in self._bands.values():
            file.close()

    @in_one_line
    def describe(self) -> Description:
        first = self._bands["sub6"]
        users, _, _, antennas = self._sides(first)
        rows = self._rows
        names = {"ue_position", "ue_velocity", "los"} & rows.keys()
        notes = [f"{first.shape[0]} samples of {users} users, {first.shape[5]} paths"]
        notes += [f"antenna {self._settings.user_antenna} of the users' {antennas}"] if antennas > 1 else []
        return Description(
            num_links=self._count(first),
            bands={name: self._band_facts(file) for name, file in self._bands.items()},
            quantities=frozenset(names),
            scale="paths",
            bs_height_m=first.number("bs_height_m", float),
            licence=first.text("licence"),
            citation=first.text("citation"),
            notes=tuple(notes),
        )

    @in_one_line
    def links(self, rows: NDArray[np.int64], bands: Mapping[str, BandSpec]) -> Links:
        found = {}
        for name, band in bands.items():
            file = self._bands[name]
            paths = stack([self._taps(file, int(row)) for row in rows], band)
            found[name] = BandLinks(paths=replace(paths, specular=bool(file.number("specular_first", int))))
        beside = {name: values[rows] for name, values in self._rows.items() if name != "split"}
        return Links(bands=found, **beside)

    @in_one_line
    def splits(self) -> NDArray[np.int8] | None:
        return self._rows.get("split")

    @cached_property
    def _rows(self) -> dict[str, NDArray[Any]]:
        """What stands beside ``a`` and ``tau`` for every link; it can where each sample has one user."""
        file, count = self._bands["sub6"], self._count(self._bands["sub6"])
        found = dict[str, NDArray[Any]]()
        for name, (kind, width) in BESIDE.items():
            if name in file:
                values = np.stack([file.row(name, i) for i in range(count)])
                if values.shape != (count, *width) or values.dtype.kind not in "biuf":
                    got = f"{values.dtype} of shape {values.shape}"
                    raise RequestError(self._field, expected=f"{name} of shape {(count, *width)}", got=got)
                found[name] = values.astype(kind)
        return found

    def _sides(self, file: CIRFile) -> tuple[int, int, int, int]:
        """Users, base stations, antennas of each base station and of each user."""
        _, rx, rx_antennas, tx, tx_antennas, *_ = file.shape
        return (
            (rx, tx, tx_antennas, rx_antennas)
            if self._settings.base_station == "tx"
            else (tx, rx, rx_antennas, tx_antennas)
        )

    def _count(self, file: CIRFile) -> int:
        return file.shape[0] * self._sides(file)[0]

    def _band_facts(self, file: CIRFile) -> BandFacts:
        there = self._sides(file)[2]
        antennas = len(range(*chosen_antennas(self._settings.antennas, there).indices(there)))
        numbers = {name: file.number(name, kind) for name, kind in BAND_NUMBERS.items()}
        shape = {name: file.number(name, kind) for name, kind in ARRAY_NUMBERS.items()}
        array = None if None in shape.values() or antennas != there else ArraySpec(**shape)
        if array is not None and array.num_antennas != antennas:
            expected = f"rows and columns of {antennas} antennas"
            raise RequestError(self._field, expected=expected, got=f"{array.rows}×{array.columns}")
        return BandFacts(kind="paths", num_slots=file.shape[6], array=array, num_antennas=antennas, **numbers)

    def _taps(self, file: CIRFile, row: int) -> Taps:
        sample, user = divmod(row, self._sides(file)[0])
        a, tau = file.row("a", sample), file.row("tau", sample)
        mine, asked = self._settings.user_antenna, self._settings
        if not file.each_antenna:
            tau = tau[:, None, :, None, :]
        one = min(mine, tau.shape[1 if asked.base_station == "tx" else 3] - 1)
        if asked.base_station == "tx":
            coeff, delay = a[user, mine, asked.bs], tau[user, one, asked.bs]
        else:
            coeff, delay = a[asked.bs, :, user, mine], tau[asked.bs, :, user, one]
        there = delay != ABSENT
        coeff = np.where(there.any(axis=0)[None, :, None], coeff, 0).astype(np.complex128)
        delay = np.where(there, delay, 0.0).astype(np.float64)
        taps = Taps(coeff=coeff, delay_s=np.repeat(delay[..., None], coeff.shape[-1], axis=-1))
        taps.check(self._field, f"sample {sample}")
        return taps.of(chosen_antennas(asked.antennas, len(coeff)))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix in SUFFIXES else []
    return sorted(file for file in path.iterdir() if file.is_file() and file.suffix in SUFFIXES)


def _names(file: Path) -> set[str]:
    if file.suffix == ".npz":
        import zipfile

        with zipfile.ZipFile(file) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    import h5py

    with h5py.File(file) as opened:
        return set(opened)
