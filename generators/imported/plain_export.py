"""Datasets as plain arrays, by the names of their variables, with a record from which they are read back; and as the
files of LLM4CP."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.imported.contract import Progress, Writer
from channelbench.generators.imported.llm4cp import Llm4cp
from channelbench.generators.imported.plain import MARK
from channelbench.spec import SPLITS
from channelbench.store.dataset import ChannelDataset
from channelbench.store.schema import core_variables

__all__ = ["Hdf5Export", "Llm4cpExport", "MatExport", "NamesExport", "NpzExport", "pieces", "record_of"]

MAT5_BYTES = 2**31 - 1
"""Of one variable, at most."""

HEADER = b"MATLAB 7.3 MAT-file, written by channelbench"


def record_of(dataset: ChannelDataset) -> str:
    """What tells a reader all that the arrays do not."""
    spec = dataset.spec
    return json.dumps(
        {
            "spec": json.loads(spec.canonical()),
            "source": spec.source.label,
            "digest": dataset.digest,
            "licence": spec.source.licence,
            "citation": spec.source.citation,
        },
        sort_keys=True,
    )


class NamesExport(Writer):
    """Arrays by the names of the variables; what third parties' sources add is left out."""

    loses: ClassVar[str] = "variables of a source's own"

    def names(self, dataset: ChannelDataset) -> list[str]:
        """Variables that are written."""
        return [name for name in core_variables(dataset.spec) if name in dataset.variables]


def whole(dataset: ChannelDataset, name: str) -> NDArray[Any]:
    """All rows of a variable: train, val, test."""
    return np.concatenate([dataset.view(split).array(name) for split in SPLITS])


class _InMemory(NamesExport):
    """Formats that are written at once."""

    def write(self, dataset: ChannelDataset, target: Path, progress: Progress) -> None:
        names, total = self.names(dataset), dataset.spec.sizes.total
        arrays = {}
        for number, name in enumerate(names, 1):
            arrays[name] = whole(dataset, name)
            progress(total * number // (2 * len(names)), total)
        self.save(target, arrays, record_of(dataset))
        progress(total, total)

    @abstractmethod
    def save(self, target: Path, arrays: Mapping[str, NDArray[Any]], record: str) -> None:
        """Write them."""


class NpzExport(_InMemory):
    """numpy's ``.npz``, without pickles."""

    name = "npz"
    title = "numpy arrays"
    reference = "numpy.savez"
    suffix = ".npz"

    def save(self, target: Path, arrays: Mapping[str, NDArray[Any]], record: str) -> None:
        with open(target, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays, **{MARK: np.array(record)})


class MatExport(_InMemory):
    """MATLAB's version 5, which every version of MATLAB and Octave reads, up to 2 GiB for each variable."""

    name = "mat"
    title = "MATLAB arrays"
    reference = "MATLAB, MAT-file version 5"
    suffix = ".mat"

    def refuse(self, dataset: ChannelDataset) -> None:
        for name, band in dataset.spec.bands.items():
            if (size := band.channel_bytes * dataset.spec.sizes.total) > MAT5_BYTES:
                expected = "hdf5 for variables of more than 2 GiB"
                raise RequestError("--format", expected=expected, got=f"mat, for {size:,} bytes of h_{name}")

    def save(self, target: Path, arrays: Mapping[str, NDArray[Any]], record: str) -> None:
        from scipy.io import savemat

        with open(target, "wb") as file:
            savemat(file, {**arrays, MARK: record}, oned_as="column", format="5")


class Hdf5Export(NamesExport):
    """HDF5, of any size, with the record as an attribute of the file."""

    name = "hdf5"
    title = "HDF5 arrays"
    reference = "The HDF Group, HDF5"
    suffix = ".h5"

    def write(self, dataset: ChannelDataset, target: Path, progress: Progress) -> None:
        import h5py

        total, done, names = dataset.spec.sizes.total, 0, self.names(dataset)
        with h5py.File(target, "w") as file:
            file.attrs[MARK] = record_of(dataset)
            for name in names:
                variable = dataset.variables[name]
                stored = file.create_dataset(name, shape=(total, *variable.shape[1:]), dtype=variable.dtype)
                stored.attrs["units"], stored.attrs["long_name"] = variable.unit, variable.long_name
                start = 0
                for piece in pieces(dataset, name):
                    stored[start : start + len(piece)] = piece
                    start += len(piece)
                    done += len(piece)
                    progress(done // len(names), total)


def pieces(dataset: ChannelDataset, name: str) -> Iterator[NDArray[Any]]:
    """The rows of a variable, some at a time."""
    for split in SPLITS:
        yield from dataset.view(split).pieces(name)


class Llm4cpExport(Writer):
    """The uplink files of LLM4CP, which its own code reads: the first four fifths of the slots as history, the rest as
    future. Training and validation are one file, as its code has it."""

    name = "llm4cp"
    title = Llm4cp.title
    reference = Llm4cp.reference
    suffix = ""
    loses = "all but the channels of the first band; which links are for validation; the downlink is not written"

    def refuse(self, dataset: ChannelDataset) -> None:
        if dataset.spec.sub6.num_slots < 2:
            raise RequestError("--format", expected="llm4cp for datasets of several slots", got="one slot")

    def write(self, dataset: ChannelDataset, target: Path, progress: Progress) -> None:
        target.mkdir(parents=True)
        band, total, done = dataset.spec.sub6, dataset.spec.sizes.total, 0
        seen = band.num_slots * 4 // 5
        for part, splits in {"train": ("train", "val"), "test": ("test",)}.items():
            for when, slots in {"his": slice(0, seen), "pre": slice(seen, band.num_slots)}.items():
                h = np.concatenate([dataset.view(split).array("h_sub6")[:, slots] for split in splits])
                shape = (len(h), 1, h.shape[1], h.shape[2], band.array.rows, band.array.columns, 1)
                key = f"H_U_{when}_{part}"
                _write_mat73(target / f"{key}.mat", key, h.reshape(shape))
                done += len(h)
                progress(done // 2, total)
        (target / "channelbench.toml").write_text(_settings(dataset))


def _settings(dataset: ChannelDataset) -> str:
    """What ``import --settings`` is to be told of these files."""
    band = dataset.spec.sub6
    first = {"scale": "normalised", "licence": dataset.spec.source.licence, "citation": dataset.spec.source.citation}
    numbers = {name: getattr(band, name) for name in ("carrier_hz", "bandwidth_hz", "slot_s")}
    numbers["array.spacing_wavelengths"] = band.array.spacing_wavelengths
    lines = [f"{name} = {json.dumps(value)}" for name, value in first.items()]
    return "\n".join([*lines, "", "[sub6]", *(f"{name} = {value!r}" for name, value in numbers.items()), ""])


def _write_mat73(path: Path, key: str, values: NDArray[np.complex64]) -> None:
    """One variable as MATLAB's version 7.3 has it: axes the other way round, complex numbers in two fields."""
    import h5py

    parts = np.empty(values.shape[::-1], np.dtype([("real", "<f4"), ("imag", "<f4")]))
    parts["real"], parts["imag"] = values.T.real, values.T.imag
    with h5py.File(path, "w", userblock_size=512) as file:
        file[key] = parts
        file[key].attrs["MATLAB_class"] = np.bytes_("single")
    with open(path, "r+b") as raw:
        # Text of 116 bytes, offset of 8, version 0x0200, byte order (MATLAB, MAT-file format, version 7.3).
        raw.write(HEADER.ljust(116) + bytes(8) + b"\x00\x02IM")
