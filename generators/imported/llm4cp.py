"""The datasets of LLM4CP: of each user the uplink's history and future and the downlink's future, in MATLAB files of
version 7.3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from channelbench.errors import RequestError
from channelbench.generators.imported.array_axes import ChannelArray
from channelbench.generators.imported.array_files import StoredArray, hdf5_kind
from channelbench.generators.imported.array_reader import ArraysReader, Part, facts_of
from channelbench.generators.imported.contract import Description, Settings

__all__ = ["AXES", "Llm4cp", "Llm4cpSettings"]

AXES = ("sample", "sample", "slot", "subcarrier", "row", "column", "polarisation")
"""[speed, user, slot, subcarrier, a, b, c] of its data.py; a × b is the panel, c its polarisations."""

PARTS = {"train": -1, "test": 2}
"""Its own code validates on a tenth of the training file, which the importer draws."""

CARRIER_HZ, SUBCARRIER_HZ, SLOT_S = 2.4e9, 180e3, 0.5e-3
"""Of dataset_generation/Generate_CSI.m: 96 subcarriers around 2.4 GHz, the lower 48 of which are the uplink."""

HALVES: dict[str, dict[str, tuple[str, ...]]] = {
    "uplink": {"sub6": ("H_U_his", "H_U_pre")},
    "downlink": {"sub6": ("H_D_pre",)},
    "both": {"sub6": ("H_U_pre",), "mmwave": ("H_D_pre",)},
}
"""Of each ``half`` the bands, and of each band the arrays that follow each other in time. There is no history of the
downlink, so that both halves together have the slots of the future alone."""


class Llm4cpSettings(Settings):
    """Which channels are read.

    Attributes:
        half: ``uplink``, history and future in one; ``downlink``, the future alone; ``both`` of the future, the uplink
            as band ``sub6`` and the downlink, next to it in frequency, as ``mmwave``.
        polarisation: Which one is taken; each is a link where it is not said.
    """

    half: Literal["uplink", "downlink", "both"] = "uplink"
    polarisation: int | None = None


class Llm4cp(ArraysReader):
    """``H_U_his_train.mat``, ``H_U_pre_train.mat``, ``H_D_pre_train.mat`` and the same of ``test``, below a folder; or
    their keys in one file. The future follows its history in time: 16 and 4 slots."""

    name: ClassVar[str] = "llm4cp"
    title: ClassVar[str] = "LLM4CP"
    reference: ClassVar[str] = "B. Liu et al., LLM4CP: Adapting Large Language Models for Channel Prediction, 2024"
    missing: ClassVar[str] = "path gain, positions, line of sight; the downlink's history"
    settings: ClassVar[type[Settings]] = Llm4cpSettings

    given: Llm4cpSettings

    @classmethod
    def claims(cls, path: Path) -> bool:
        if path.is_dir():
            return any(path.rglob("H_U_his_*.mat")) or any(path.rglob("H_D_pre_*.mat"))
        return hdf5_kind(path) == "mat" and any(name.startswith(("H_U_his_", "H_D_pre_")) for name in _keys(path))

    def make_parts(self) -> list[Part]:
        arrays = {name: stored for place in self.files() for name, stored in self.open(place).arrays().items()}
        parts = list(self._parts(arrays))
        if not parts and self.given.half != "downlink" and self._has_downlink:
            raise RequestError("half", expected="downlink, which is what is there", got=self.given.half)
        if not parts:
            expected = f"{' and '.join(f'{name}_train' for name in self._names)}, or those of test"
            raise RequestError("PATH", expected=expected, got=f"{self.path} ({', '.join(arrays) or 'nothing'})")
        return parts

    def _parts(self, arrays: dict[str, StoredArray]) -> Iterator[Part]:
        for part, split in PARTS.items():
            names = [f"{name}_{part}" for name in self._names]
            there = [name for name in names if name in arrays]
            if there and len(there) < len(names):
                raise RequestError("PATH", expected=" and ".join(names), got=f"{self.path}, with {there[0]} alone")
            if there:
                bands = {
                    band: [ChannelArray(arrays[f"{name}_{part}"], AXES, 0, self.given.polarisation) for name in kinds]
                    for band, kinds in self._bands.items()
                }
                yield Part(bands=bands, split=split)

    def describe(self) -> Description:
        first = self.parts[0].first
        polarisations = f"{first.links_each} polarisations are links of their own, unless polarisation = 0 chooses one"
        return Description(
            num_links=self.num_links,
            bands={name: facts_of(arrays, self._usual(name)) for name, arrays in self.parts[0].bands.items()},
            scale="unscaled",
            citation=self.reference,
            notes=(
                "carrier, bandwidth and slots are those of the published data",
                *([polarisations] if first.links_each > 1 else []),
            ),
        )

    def _usual(self, band: str) -> dict[str, Any]:
        """Of the publication: the downlink lies above 2.4 GHz, the uplink below."""
        width_hz = SUBCARRIER_HZ * self.parts[0].bands[band][0].length("subcarrier")
        above = self._bands[band] == ("H_D_pre",)
        carrier_hz = CARRIER_HZ + (width_hz / 2 if above else -width_hz / 2)
        return {"carrier_hz": carrier_hz, "bandwidth_hz": width_hz, "slot_s": SLOT_S}

    @property
    def _has_downlink(self) -> bool:
        names = (place.name for place in self.path.rglob("*.mat")) if self.path.is_dir() else _keys(self.path)
        return any(name.startswith("H_D_pre_") for name in names)

    @property
    def _bands(self) -> dict[str, tuple[str, ...]]:
        return HALVES[self.given.half]

    @property
    def _names(self) -> list[str]:
        return [name for kinds in self._bands.values() for name in kinds]

    def files(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        return sorted(path for name in self._names for path in self.path.rglob(f"{name}_*.mat"))


def _keys(path: Path) -> list[str]:
    import h5py

    with h5py.File(path, "r") as file:
        return list(file)
