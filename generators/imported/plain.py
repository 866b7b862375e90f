"""Plain arrays of channels: ``.npy``, ``.npz``, ``.mat``, HDF5, safetensors, tensors of torch; and what this project
exports to some of them, which says everything itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from channelbench.errors import RequestError
from channelbench.frozen import Frozen
from channelbench.generators.imported.array_axes import AXES, ChannelArray
from channelbench.generators.imported.array_files import ArrayFile, StoredArray, hdf5_kind
from channelbench.generators.imported.array_reader import ArraysReader, Part, facts_of
from channelbench.generators.imported.contract import BandFacts, Description, Settings
from channelbench.spec import ScenarioSpec
from channelbench.store.schema import OPTIONAL, OPTIONAL_OF_USER

__all__ = ["MARK", "OWN_AXES", "ArrayBand", "Hdf5Arrays", "MatArrays", "NpyArray", "NpzArrays", "PlainSettings"]
__all__ += ["PlainArrays", "SafetensorsArrays", "TorchArrays"]

MARK = "channelbench"
"""The text in what this project exports: JSON of a dataset's record."""

OWN_AXES = ("sample", "slot", "subcarrier", "antenna")


def _listed(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


class ArrayBand(Frozen):
    """Which array a band is, and what its axes are."""

    key: str | None = None
    axes: tuple[str, ...] | None = None

    @field_validator("axes", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return _listed(value)


class PlainSettings(Settings):
    """What plain arrays do not say.

    Attributes:
        key: Name of the array of channels, where the file has several arrays of complex numbers.
        axes: What its axes are, of ``array_axes.AXES``, first to last.
        user_antenna: Which of a user's antennas is taken.
        polarisation: Which of the base station's polarisations is taken; each is a link where it is not said.
        sub6, mmwave: The same for each of two bands.
        los_key, ue_position_key, ue_velocity_key, distance_m_key: Names of arrays with a row per sample: 1 with a line
            of sight and 0 without; m, with the base station at (0, 0, its height); m/s; m.
    """

    key: str | None = None
    axes: tuple[str, ...] | None = None
    user_antenna: int = 0
    polarisation: int | None = None
    sub6: ArrayBand = ArrayBand()
    mmwave: ArrayBand | None = None
    los_key: str | None = None
    ue_position_key: str | None = None
    ue_velocity_key: str | None = None
    distance_m_key: str | None = None

    @field_validator("axes", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return _listed(value)


class PlainArrays(ArraysReader):
    """What the kinds of files share."""

    missing: ClassVar[str] = "all but the channels, unless other arrays are named: carrier, bandwidth, slot and array"
    generic: ClassVar[bool] = True
    settings: ClassVar[type[Settings]] = PlainSettings

    given: PlainSettings

    def make_parts(self) -> list[Part]:
        file = self.open(self.path)
        arrays, text = file.arrays(), file.text(MARK)
        self._record: dict[str, Any] | None = None if text is None else _record(text, self.path)
        if self._record is not None:
            return [self._own_part(arrays)]
        bands = {"sub6": self._channels(file, "sub6", self.given.sub6, arrays)}
        if self.given.mmwave is not None:
            bands["mmwave"] = self._channels(file, "mmwave", self.given.mmwave, arrays)
        named = {name: getattr(self.given, f"{name}_key") for name in OPTIONAL_OF_USER}
        user = {name: self._named(arrays, f"{name}_key", key) for name, key in named.items() if key is not None}
        return [Part(bands={name: [array] for name, array in bands.items()}, user=user)]

    def _channels(self, file: ArrayFile, band: str, said: ArrayBand, arrays: Mapping[str, StoredArray]) -> ChannelArray:
        key, axes = said.key, said.axes or self.given.axes
        if key is None and band == "sub6":
            key = self.given.key
        if key is None:
            key = self._only(arrays, band)
        stored = self._named(arrays, "key" if band == "sub6" else f"{band}.key", key)
        if axes is None:
            expected = f"what each axis of {stored.name}, of shape {list(stored.shape)}, is"
            raise RequestError("axes", expected=expected, got="nothing", choices=AXES)
        return ChannelArray(stored, axes, self.given.user_antenna, self.given.polarisation)

    def _only(self, arrays: Mapping[str, StoredArray], band: str) -> str:
        """The one array that can be channels."""
        numeric = [name for name, stored in arrays.items() if stored.numeric and len(stored.shape) > 1]
        likely = [name for name in numeric if arrays[name].is_complex] or numeric
        if len(likely) == 1 and band == "sub6":
            return likely[0]
        if not likely:
            shown = ", ".join(f"{name} {list(stored.shape)}" for name, stored in arrays.items()) or "nothing"
            raise RequestError("PATH", expected="an array of channels", got=f"{self.path} ({shown})")
        field = "key" if band == "sub6" else f"{band}.key"
        choices = [f"{name} {list(arrays[name].shape)}" for name in likely]
        raise RequestError(field, expected="the name of the array of channels", got="nothing", choices=choices)

    def _named(self, arrays: Mapping[str, StoredArray], field: str, key: str) -> StoredArray:
        if key not in arrays:
            raise RequestError(field, expected=f"an array of {self.path}", got=key, choices=arrays)
        return arrays[key]

    def _own_part(self, arrays: Mapping[str, StoredArray]) -> Part:
        """What ``export`` wrote: everything by the names of a dataset's variables."""
        self._spec = _spec(self._record or {}, self.path)
        names = list(self._spec.bands)
        if missing := [name for name in (*(f"h_{band}" for band in names), "split") if name not in arrays]:
            raise RequestError("PATH", expected=f"an array {missing[0]}", got=f"{self.path}, which lacks it")
        user = {name: arrays[name] for name in OPTIONAL_OF_USER if name in arrays}
        numbers = {
            band: {name: arrays[f"{name}_{band}"] for name in OPTIONAL if f"{name}_{band}" in arrays} for band in names
        }
        self._arrays = arrays
        channels = {band: [ChannelArray(arrays[f"h_{band}"], OWN_AXES)] for band in names}
        return Part(bands=channels, user=user, numbers=numbers)

    def describe(self) -> Description:
        (part,) = self.parts
        if self._record is None:
            return Description(
                num_links=self.num_links,
                bands={name: facts_of(arrays) for name, arrays in part.bands.items()},
                quantities=frozenset(part.user),
                scale="unscaled",
            )
        facts = {}
        for name, band in self._spec.bands.items():
            numbers = {field: getattr(band, field) for field in BandFacts.__dataclass_fields__ if hasattr(band, field)}
            usual = {"num_beams": band.num_beams}
            facts[name] = BandFacts(kind="h", **numbers, num_antennas=band.array.num_antennas, usual=usual)
        return Description(
            num_links=self.num_links,
            bands=facts,
            quantities=frozenset({*part.user, *(name for band in part.numbers.values() for name in band)}),
            scale="normalised",
            bs_height_m=self._spec.bs_height_m,
            licence=self._record.get("licence"),
            citation=self._record.get("citation"),
            notes=(f"exported by channelbench from {self._record.get('source', 'a dataset')}",),
        )

    def groups(self) -> NDArray[np.int64] | None:
        if self._record is None:
            return super().groups()
        return self._arrays["drop"].whole().reshape(-1).astype(np.int64) if "drop" in self._arrays else None

    def splits(self) -> NDArray[np.int8] | None:
        if self._record is None:
            return super().splits()
        return self._arrays["split"].whole().reshape(-1).astype(np.int8)


def _record(text: str, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RequestError("PATH", expected=f"JSON in {MARK}", got=f"{path} ({text[:40]!r})")
    return found


def _spec(record: Mapping[str, Any], path: Path) -> ScenarioSpec:
    try:
        return ScenarioSpec.from_record(record["spec"])
    except (KeyError, TypeError, ValueError, AttributeError, RequestError) as error:
        raise RequestError("PATH", expected=f"a dataset's record in {MARK}", got=f"{path} ({error})") from None


def _begins(path: Path, *heads: bytes) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(32).startswith(heads)


def _zip_has(path: Path, ending: str) -> bool:
    import zipfile

    if not _begins(path, b"PK"):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(ending) for name in archive.namelist())


class NpyArray(PlainArrays):
    """One array in a ``.npy`` file."""

    name = "npy"
    title = "numpy array"
    reference = "numpy.lib.format"

    @classmethod
    def claims(cls, path: Path) -> bool:
        return _begins(path, b"\x93NUMPY")


class NpzArrays(PlainArrays):
    """Arrays in a ``.npz`` file."""

    name = "npz"
    title = "numpy arrays"
    reference = "numpy.savez"

    @classmethod
    def claims(cls, path: Path) -> bool:
        return _zip_has(path, ".npy")


class TorchArrays(PlainArrays):
    """A tensor, or tensors by name, that ``torch.save`` wrote; nothing else is unpickled."""

    name = "pt"
    title = "torch tensors"
    reference = "torch.load(weights_only=True)"

    @classmethod
    def claims(cls, path: Path) -> bool:
        return _zip_has(path, "data.pkl")


class MatArrays(PlainArrays):
    """Arrays in a ``.mat`` file of version 5 or 7.3."""

    name = "mat"
    title = "MATLAB arrays"
    reference = "MATLAB, MAT-file versions"

    @classmethod
    def claims(cls, path: Path) -> bool:
        return _begins(path, b"MATLAB 5.0 MAT-file") or hdf5_kind(path) == "mat" or path.suffix == ".mat"


class Hdf5Arrays(PlainArrays):
    """Arrays in an HDF5 file."""

    name = "hdf5"
    title = "HDF5 arrays"
    reference = "The HDF Group, HDF5"

    @classmethod
    def claims(cls, path: Path) -> bool:
        return hdf5_kind(path) == "hdf5"


class SafetensorsArrays(PlainArrays):
    """Arrays in a safetensors file."""

    name = "safetensors"
    title = "safetensors"
    reference = "Hugging Face, safetensors"

    @classmethod
    def claims(cls, path: Path) -> bool:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            head = file.read(9)
        return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size
