"""netCDF-4: arrays with named dimensions and coordinates, which MATLAB's ``ncread``, xarray and netCDF4 read.

NetCDF has no complex numbers. A pair of variables stands for them, ``h_sub6_real`` and ``h_sub6_imag``, because
whatever reads netCDF reads those, which is not so of compound types. A netCDF-4 file is an HDF5 file whose dimensions
are HDF5's dimension scales (NetCDF User's Guide, appendix "NetCDF-4 format"), so that h5py writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench._version import __version__
from channelbench.errors import RequestError
from channelbench.generators.imported.array_files import ArrayFile, Index, StoredArray, hdf5_kind
from channelbench.generators.imported.contract import Progress
from channelbench.generators.imported.plain import MARK, PlainArrays
from channelbench.generators.imported.plain_export import NamesExport, pieces, record_of
from channelbench.store.dataset import ChannelDataset
from channelbench.store.schema import SPLIT_FLAGS, coordinates

__all__ = ["PARTS", "NetcdfArrays", "NetcdfExport"]

PARTS = ("real", "imag")
"""What the names of the two variables of a complex one end in."""

SPELLINGS = (PARTS, ("re", "im"))
"""The same, as others write it too."""

BARE = "This is a netCDF dimension but not a netCDF variable. {:10d}"
"""What netCDF calls a dimension without coordinates."""


class NetcdfExport(NamesExport):
    """netCDF-4 of any size, with coordinates, units and the record as a global attribute."""

    name = "netcdf"
    title = "netCDF-4"
    reference = "Unidata, NetCDF User's Guide"
    suffix = ".nc"

    def write(self, dataset: ChannelDataset, target: Path, progress: Progress) -> None:
        import h5py

        total, done, names = dataset.spec.sizes.total, 0, self.names(dataset)
        with h5py.File(target, "w", track_order=True) as file:
            for name, text in _attributes(dataset).items():
                _say(file, name, text)
            scales = _dimensions(file, dataset, names)
            for name in names:
                variable = dataset.variables[name]
                stored = [
                    file.create_dataset(stem, (total, *variable.shape[1:]), _dtype(variable.dtype))
                    for stem in _stems(name, variable.dtype)
                ]
                for part, each in enumerate(stored):
                    _attach(each, [scales[dim] for dim in variable.dims])
                    for key, value in _described(dataset, name, part).items():
                        _say(each, key, value)
                start = 0
                for piece in pieces(dataset, name):
                    parts = (piece.real, piece.imag) if len(stored) == 2 else (piece,)
                    for each, values in zip(stored, parts, strict=True):
                        each[start : start + len(piece)] = values
                    start += len(piece)
                    done += len(piece)
                    progress(done // len(names), total)


def _stems(name: str, dtype: str) -> list[str]:
    return [f"{name}_{part}" for part in PARTS] if np.dtype(dtype).kind == "c" else [name]


def _dtype(dtype: str) -> np.dtype[Any]:
    """What stands for a type that netCDF does not have."""
    kind = np.dtype(dtype)
    if kind.kind == "c":
        return np.empty(0, kind).real.dtype
    return np.dtype(np.int8) if kind.kind == "b" else kind


def _attributes(dataset: ChannelDataset) -> dict[str, str]:
    """Of the file."""
    source = dataset.spec.source
    return {
        "_NCProperties": f"version=2,channelbench={__version__},hdf5={_hdf5_version()}",
        "Conventions": "CF-1.11",
        "title": f"channelbench {dataset.spec.title}",
        "source": source.label,
        "license": source.licence,
        "citation": source.citation,
        "comment": f"complex numbers are pairs: h_sub6 = h_sub6_{PARTS[0]} + i h_sub6_{PARTS[1]}",
        MARK: record_of(dataset),
    }


def _hdf5_version() -> str:
    import h5py

    return str(h5py.version.hdf5_version)


def _described(dataset: ChannelDataset, name: str, part: int) -> dict[str, Any]:
    """Attributes of a variable; of a complex one, of one of its parts."""
    variable = dataset.variables[name]
    kind, long_name = np.dtype(variable.dtype).kind, variable.long_name
    said: dict[str, Any] = {"units": variable.unit, "long_name": long_name}
    if kind == "c":
        said["long_name"] = f"{('real', 'imaginary')[part]} part of: {long_name}"
    if kind == "b":
        said["dtype"] = "bool"  # by which xarray gives booleans back
    return said | (_flags() if name == "split" else {})


def _flags() -> dict[str, Any]:
    return {"flag_values": np.array(SPLIT_FLAGS["flag_values"], np.int8), "flag_meanings": SPLIT_FLAGS["flag_meanings"]}


def _dimensions(file: Any, dataset: ChannelDataset, names: list[str]) -> dict[str, Any]:
    """The dimensions of all variables by name, those with coordinates as variables; and the other coordinates."""
    known, scales = coordinates(dataset.spec), dict[str, Any]()
    lengths = {"sample": dataset.spec.sizes.total}
    for name in names:
        variable = dataset.variables[name]
        lengths |= dict(zip(variable.dims[1:], variable.shape[1:], strict=True))
    for dims, values, _ in known.values():
        lengths |= dict(zip(dims, values.shape, strict=True))
    for number, (dim, length) in enumerate(lengths.items()):
        if dim in known:
            scale, label = file.create_dataset(dim, data=known[dim][1]), dim
        else:
            scale, label = file.create_dataset(dim, (length,), ">f4"), BARE.format(length)
        scale.make_scale(label)
        scale.attrs["_Netcdf4Dimid"] = np.int32(number)
        scales[dim] = scale
    for name, (dims, values, attributes) in known.items():
        stored = scales[name] if name in scales else file.create_dataset(name, data=values)
        if name not in scales:
            _attach(stored, [scales[dim] for dim in dims])
        for key, text in attributes.items():
            _say(stored, key, text)
    return scales


def _attach(stored: Any, scales: list[Any]) -> None:
    for axis, scale in enumerate(scales):
        stored.dims[axis].attach_scale(scale)


def _say(thing: Any, name: str, value: Any) -> None:
    """An attribute: text of a fixed length, which is netCDF's oldest kind, and MATLAB's."""
    import h5py

    if isinstance(value, str):
        text = value.encode() or b" "
        thing.attrs.create(name, text, dtype=h5py.string_dtype("utf-8", len(text)))
    else:
        thing.attrs[name] = value


class _Paired(ArrayFile):
    """The arrays of another file, and for each pair of real and imaginary parts the complex one that it is."""

    def __init__(self, file: ArrayFile) -> None:
        super().__init__(file.path)
        self._file = file

    def _arrays(self) -> dict[str, StoredArray]:
        found = self._file.arrays()
        return found | {whole.name: whole for whole in _complex_ones(found)}

    def _text(self, name: str) -> str | None:
        return self._file.text(name)

    def close(self) -> None:
        self._file.close()


def _complex_ones(found: Mapping[str, StoredArray]) -> Iterator[StoredArray]:
    """Of each pair of parts."""
    for real, imag in SPELLINGS:
        for name in [name for name in found if name.endswith(f"_{real}")]:
            stem = name.removesuffix(f"_{real}")
            parts = found[name], found.get(f"{stem}_{imag}")
            if stem not in found and parts[1] is not None and parts[0].shape == parts[1].shape:
                yield _joined(stem, parts[0], parts[1])


def _joined(name: str, real: StoredArray, imag: StoredArray) -> StoredArray:
    def load(index: Index) -> NDArray[Any]:
        re, im = real.part(index), imag.part(index)
        values = np.empty(re.shape, np.result_type(re.dtype, np.complex64))
        values.real, values.imag = re, im
        return values

    return StoredArray(name, real.shape, np.dtype(np.complex64), load)


class NetcdfArrays(PlainArrays):
    """Arrays in a netCDF-4 file."""

    name = "netcdf"
    title = "netCDF-4 arrays"
    reference = "Unidata, NetCDF User's Guide"
    missing: ClassVar[str] = PlainArrays.missing

    @classmethod
    def claims(cls, path: Path) -> bool:
        return hdf5_kind(path) == "netcdf" or _is_classic(path)

    def open(self, path: Path) -> ArrayFile:
        if _is_classic(path):
            got = f"{path} (netCDF-3; `nccopy -k nc4 {path.name} new.nc` makes netCDF-4 of it)"
            raise RequestError("PATH", expected="a netCDF-4 file", got=got)
        return _Paired(super().open(path))


def _is_classic(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(4) in (b"CDF\x01", b"CDF\x02", b"CDF\x05")
