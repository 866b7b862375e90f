"""The datasets of LLM4CP: uplink history and future of each user, in MATLAB files of version 7.3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from channelbench.errors import RequestError
from channelbench.generators.imported.array_axes import ChannelArray
from channelbench.generators.imported.array_files import StoredArray, hdf5_kind
from channelbench.generators.imported.array_reader import ArraysReader, Part, facts_of
from channelbench.generators.imported.contract import Description

__all__ = ["AXES", "Llm4cp"]

AXES = ("sample", "sample", "slot", "subcarrier", "row", "column", "polarisation")
"""[speed, user, slot, subcarrier, a, b, c] of its data.py; a × b is the panel, c its polarisations."""

PARTS = {"train": -1, "test": 2}
"""Its own code validates on a tenth of the training file, which the importer draws."""

CARRIER_HZ, SUBCARRIER_HZ, SLOT_S = 2.4e9, 180e3, 0.5e-3
"""Of dataset_generation/Generate_CSI.m: 96 subcarriers around 2.4 GHz, the lower 48 of which are the uplink."""


class Llm4cp(ArraysReader):
    """``H_U_his_train.mat`` and ``H_U_pre_train.mat`` and the same of ``test``, below a folder; or their keys in one
    file. The future follows its history in time: 16 and 4 slots. Of several polarisations each is a link."""

    name: ClassVar[str] = "llm4cp"
    title: ClassVar[str] = "LLM4CP"
    reference: ClassVar[str] = "B. Liu et al., LLM4CP: Adapting Large Language Models for Channel Prediction, 2024"
    missing: ClassVar[str] = "path gain, positions, line of sight; the downlink, whose history is not in the files"

    @classmethod
    def claims(cls, path: Path) -> bool:
        if path.is_dir():
            return any(path.rglob("H_U_his_*.mat"))
        return hdf5_kind(path) == "mat" and any(name.startswith("H_U_his_") for name in _keys(path))

    def make_parts(self) -> list[Part]:
        arrays = {name: stored for place in self.files() for name, stored in self.open(place).arrays().items()}
        parts = list(self._parts(arrays))
        if not parts:
            expected = "H_U_his_train and H_U_pre_train, or those of test"
            raise RequestError("PATH", expected=expected, got=f"{self.path} ({', '.join(arrays) or 'nothing'})")
        return parts

    def _parts(self, arrays: dict[str, StoredArray]) -> Iterator[Part]:
        for part, split in PARTS.items():
            names = [f"H_U_{when}_{part}" for when in ("his", "pre")]
            there = [name for name in names if name in arrays]
            if len(there) == 1:
                raise RequestError("PATH", expected=" and ".join(names), got=f"{self.path}, with {there[0]} alone")
            if there:
                channels = [ChannelArray(arrays[name], AXES) for name in names]
                yield Part(bands={"sub6": channels}, split=split)

    def describe(self) -> Description:
        facts = facts_of(self.parts[0].bands["sub6"])
        width_hz = SUBCARRIER_HZ * (facts.num_subcarriers or 1)
        usual: dict[str, Any] = {"carrier_hz": CARRIER_HZ - width_hz / 2, "bandwidth_hz": width_hz, "slot_s": SLOT_S}
        return Description(
            num_links=self.num_links,
            bands={"sub6": facts_of(self.parts[0].bands["sub6"], usual)},
            scale="unscaled",
            citation=self.reference,
            notes=(
                "carrier, bandwidth and slots are those of the published data",
                *([f"{n} polarisations are links of their own"] if (n := self._polarisations) > 1 else []),
            ),
        )

    @property
    def _polarisations(self) -> int:
        return self.parts[0].first.length("polarisation")

    def files(self) -> list[Path]:
        return sorted(self.path.rglob("H_U_*.mat")) if self.path.is_dir() else [self.path]


def _keys(path: Path) -> list[str]:
    import h5py

    with h5py.File(path, "r") as file:
        return list(file)
