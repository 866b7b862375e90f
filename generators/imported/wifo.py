"""The datasets of WiFo, and those of the SoM2025 challenge that was built on it, in MATLAB files of version 7.3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from channelbench.errors import RequestError
from channelbench.generators.imported.array_axes import ChannelArray
from channelbench.generators.imported.array_files import StoredArray, hdf5_kind
from channelbench.generators.imported.array_reader import ArraysReader, Part, facts_of
from channelbench.generators.imported.contract import Description, Links, Settings
from channelbench.generators.imported.deepmimo import seen_from
from channelbench.spec import BandSpec

__all__ = ["Som2025", "Som2025Settings", "Wifo"]

SPLITS = {"train": 0, "val": 1, "test": 2}


class Wifo(ArraysReader):
    """``X_test.mat`` of one dataset, whose key is ``X_val``; or a folder with ``X_train.mat`` and ``X_val.mat`` beside
    it: ``[sample, slot, subcarrier, antenna]``."""

    name: ClassVar[str] = "wifo"
    title: ClassVar[str] = "WiFo"
    reference: ClassVar[str] = "B. Liu et al., WiFo: Wireless Foundation Model for Channel Prediction, 2024"
    missing: ClassVar[str] = "carrier, bandwidth, slot, array, path gain, positions, line of sight"

    @classmethod
    def claims(cls, path: Path) -> bool:
        if path.is_dir():
            return (path / "X_test.mat").is_file() and not Som2025.claims(path)
        return hdf5_kind(path) == "mat" and "X_val" in _shapes(path)

    def make_parts(self) -> list[Part]:
        axes = ("sample", "slot", "subcarrier", "antenna")
        files = self.files()
        alone = len(files) == 1
        return [
            Part(bands={"sub6": [ChannelArray(self._only(place), axes)]}, split=-1 if alone else _split_of(place))
            for place in files
        ]

    def _only(self, path: Path) -> StoredArray:
        found = {name: stored for name, stored in self.open(path).arrays().items() if name.startswith("X_")}
        if len(found) != 1:
            raise RequestError("PATH", expected="one array X_…", got=f"{path} ({', '.join(found) or 'none'})")
        return next(iter(found.values()))

    def describe(self) -> Description:
        return Description(
            num_links=self.num_links,
            bands={"sub6": facts_of(self.parts[0].bands["sub6"])},
            scale="unscaled",
            citation=self.reference,
        )

    def files(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        return [place for name in SPLITS if (place := self.path / f"X_{name}.mat").is_file()]


class Som2025Settings(Settings):
    """What makes positions of task 3's locations, which are two numbers each.

    Attributes:
        bs_position_m: Of the base station, ``[x, y]`` where the locations are; they are not read without it.
        bs_azimuth_deg: Azimuth that its array faces there.
        ue_height_m: Of the users above the ground.
    """

    bs_position_m: tuple[float, float] | None = None
    bs_azimuth_deg: float = 0.0
    ue_height_m: float = Field(1.5, ge=0, le=150)


class Som2025(ArraysReader):
    """The folder of one task: ``X_train.mat`` and ``X_val.mat``, ``[sample, slot, antenna, subcarrier]``, and of task 2
    ``L_train.mat`` and ``L_val.mat``, 1 with a line of sight, of task 3 ``location_train.mat`` and
    ``location_val.mat``, ``[sample, 2]`` in m. Validation is what its baseline tests on."""

    name: ClassVar[str] = "som2025"
    title: ClassVar[str] = "SoM2025"
    reference: ClassVar[str] = "SoM2025 challenge: Adapting WiFo for Wireless Physical-Layer Tasks, 2025"
    missing: ClassVar[str] = (
        "carrier, bandwidth, slot, array, path gain; the base station that makes positions of task 3's locations"
    )
    settings: ClassVar[type[Settings]] = Som2025Settings

    given: Som2025Settings

    @classmethod
    def claims(cls, path: Path) -> bool:
        further = ("X_pilot_train", "L_train", "location_train")
        return (path / "X_train.mat").is_file() and any((path / f"{name}.mat").is_file() for name in further)

    def make_parts(self) -> list[Part]:
        parts = []
        for name, split in (("train", -1), ("val", 2)):
            if not (place := self.path / f"X_{name}.mat").is_file():
                continue
            user = {}
            if (labels := self.path / f"L_{name}.mat").is_file():
                user["los"] = self._array(labels, f"L_{name}")
            if self.given.bs_position_m is not None and (places := self.path / f"location_{name}.mat").is_file():
                user["ue_position"] = self._locations(places)
            axes = ("sample", "slot", "antenna", "subcarrier")
            channels = ChannelArray(self._array(place, f"X_{name}"), axes)
            parts.append(Part(bands={"sub6": [channels]}, split=split, user=user))
        if not parts:
            raise RequestError("PATH", expected="a folder with X_train.mat", got=str(self.path))
        return parts

    def _locations(self, path: Path) -> StoredArray:
        found = self.open(path).arrays()
        fitting = [stored for stored in found.values() if stored.shape[1:] == (2,) and stored.numeric]
        if len(fitting) != 1:
            shown = ", ".join(f"{name} {list(stored.shape)}" for name, stored in found.items()) or "nothing"
            raise RequestError("PATH", expected="an array of locations, samples by 2", got=f"{path} ({shown})")
        return fitting[0]

    def links(self, rows: NDArray[np.int64], bands: Mapping[str, BandSpec]) -> Links:
        links, told = super().links(rows, bands), self.given
        if links.ue_position is None or told.bs_position_m is None:
            return links
        users = np.column_stack([links.ue_position, np.full(len(rows), told.ue_height_m)]).astype(np.float64)
        position = seen_from(np.array([*told.bs_position_m, 0.0]), users, told.bs_azimuth_deg)
        return replace(links, ue_position=position)

    def _array(self, path: Path, key: str) -> StoredArray:
        found = self.open(path).arrays()
        if key not in found:
            raise RequestError("PATH", expected=f"an array {key}", got=f"{path} ({', '.join(found) or 'nothing'})")
        return found[key]

    def describe(self) -> Description:
        return Description(
            num_links=self.num_links,
            bands={"sub6": facts_of(self.parts[0].bands["sub6"])},
            quantities=frozenset(self.parts[0].user),
            scale="unscaled",
            citation=self.reference,
            hints=self._hints,
        )

    @property
    def _hints(self) -> tuple[str, ...]:
        if self.given.bs_position_m is not None or not (self.path / "location_train.mat").is_file():
            return ()
        return ("bs_position_m = [x, y] of the base station makes positions of the locations that are here",)

    def files(self) -> list[Path]:
        kinds = ("X", "L") if self.given.bs_position_m is None else ("X", "L", "location")
        names = [f"{kind}_{name}.mat" for kind in kinds for name in ("train", "val")]
        return [place for name in names if (place := self.path / name).is_file()]


def _split_of(path: Path) -> int:
    return SPLITS[path.stem.removeprefix("X_")]


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    import h5py

    with h5py.File(path, "r") as file:
        return {name: item.shape for name, item in file.items() if isinstance(item, h5py.Dataset)}
