"""Arrays in files of several kinds, by name, read when they are asked for. Python objects are never unpickled."""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.imported.mat_proof import prove
from channelbench.generators.imported.zip_members import MemberHeader, header_of, place_of

__all__ = ["ArrayFile", "Index", "StoredArray", "hdf5_kind", "open_arrays"]

T = TypeVar("T")

MAT5, MAT73 = b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"

WHOLE_BYTES = 2**27
"""An array of at most so many bytes is read once, whole, and of a larger one so many at a time: chunks of HDF5 are
decompressed whole, however few of their rows are wanted."""

Index = tuple[slice, ...]
"""What is read: a slice of each axis."""


class StoredArray:
    """One array of a file.

    Attributes:
        name: In the file.
        shape: In the order of its axes as MATLAB and numpy count them.
        numeric: Whether it holds numbers, and no text, structs, cells or Python objects.
        is_complex: Whether these are complex.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any] | None,
        load: Callable[[Index], NDArray[Any]],
        *,
        numeric: bool | None = None,
        is_complex: bool | None = None,
    ) -> None:
        kind = "O" if dtype is None else dtype.kind
        self.name, self.shape = name, tuple(int(length) for length in shape)
        self.numeric = kind in "biufc" if numeric is None else numeric
        self.is_complex = kind == "c" if is_complex is None else is_complex
        self._load, self._bytes = load, 0 if dtype is None else int(np.prod(self.shape, dtype=object)) * dtype.itemsize
        self._kept: tuple[int, slice, NDArray[Any]] | None = None

    def read(self, start: int, stop: int, axis: int = 0) -> NDArray[Any]:
        """Those from ``start`` to ``stop`` along an axis. Small arrays are kept; of a large one what was read last."""
        if self._kept is None or not self._has(axis, start, stop):
            self._kept = None  # before what takes its place
            length = self.shape[axis]
            ahead = start + WHOLE_BYTES * length // max(self._bytes, 1)
            large = self._bytes > WHOLE_BYTES
            wanted = slice(start, min(length, max(stop, ahead))) if large else slice(0, length)
            self._kept = (axis, wanted, self._load(_along(axis, wanted, self.shape)))
        kept_axis, kept, values = self._kept
        first = kept.start if kept_axis == axis else 0
        return values[_along(axis, slice(start - first, stop - first), self.shape)]

    def _has(self, axis: int, start: int, stop: int) -> bool:
        kept_axis, kept, _ = self._kept or (axis, slice(0, 0), None)
        everything = kept == slice(0, self.shape[kept_axis])
        return everything or (kept_axis == axis and kept.start <= start and stop <= kept.stop)

    def whole(self) -> NDArray[Any]:
        """All of it."""
        if not self.shape or self._bytes > WHOLE_BYTES:
            return self.alone()
        return self.read(0, self.shape[0])

    def alone(self) -> NDArray[Any]:
        """All of it, and no copy of it is kept."""
        return self.part((slice(None),) * len(self.shape))

    def part(self, index: Index) -> NDArray[Any]:
        """What the slices say, and no copy of it is kept."""
        return self._load(index)


def _along(axis: int, wanted: slice, shape: tuple[int, ...]) -> Index:
    return tuple(wanted if index == axis else slice(None) for index in range(len(shape)))


class ArrayFile(ABC):
    """Arrays of one file by name; ``close`` when done."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def arrays(self) -> dict[str, StoredArray]:
        """All arrays, also those that are no numbers.

        Raises:
            RequestError: what says where they are is damaged.
        """
        return _guarded(self.path, self._arrays)

    def text(self, name: str) -> str | None:
        """A text of that name, where the file has one.

        Raises:
            RequestError: it cannot be read.
        """
        return _guarded(self.path, lambda: self._text(name))

    @abstractmethod
    def _arrays(self) -> dict[str, StoredArray]: ...

    def _text(self, name: str) -> str | None:
        return None

    def close(self) -> None:
        """Let go of the file."""
        return


def open_arrays(path: Path) -> ArrayFile:
    """The arrays of ``.npy``, ``.npz``, ``.mat`` of all versions, HDF5, safetensors and torch files, told by their
    first bytes.

    Raises:
        RequestError: the file is of another kind, cut short, or damaged.
    """
    if path.is_dir():
        raise RequestError("PATH", expected="a file of arrays", got=f"{path} (a folder)")
    return _guarded(path, lambda: _opened(path))


def _guarded(path: Path, read: Callable[[], T]) -> T:
    """Damage as one line: what is no file of its kind makes libraries raise all kinds."""
    try:
        return read()
    except RequestError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise RequestError("PATH", expected="a whole file", got=f"{path} ({reason})") from None


def _opened(path: Path) -> ArrayFile:
    with open(path, "rb") as file:
        head = file.read(520)
    if head.startswith(b"\x93NUMPY"):
        return _Npy(path)
    if head.startswith(b"PK"):
        return _torch_or_npz(path)
    if (kind := hdf5_kind(path)) is not None:
        return _Hdf5(path, matlab=kind == "mat")
    if head.startswith(MAT5):
        return _Mat5(path)
    if head[8:9] == b"{":
        return _Safetensors(path)
    if path.suffix == ".mat":
        return _Mat5(path)  # version 4 has no name at its beginning
    raise RequestError("PATH", expected="a file of arrays", got=f"{path} (of no kind that is known)")


def hdf5_kind(path: Path) -> str | None:
    """``mat`` of MATLAB's version 7.3, ``netcdf`` of netCDF-4, ``hdf5`` of others; ``None`` of a file that is no
    HDF5."""
    import h5py

    if not path.is_file() or not h5py.is_hdf5(path):
        return None
    with open(path, "rb") as raw:
        if raw.read(len(MAT73)) == MAT73:
            return "mat"
    with h5py.File(path, "r") as file:
        return "netcdf" if "_NCProperties" in file.attrs else "hdf5"


def _reading(path: Path, load: Callable[[Index], NDArray[Any]]) -> Callable[[Index], NDArray[Any]]:
    return lambda index: _guarded(path, lambda: load(index))


class _Npy(ArrayFile):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._array = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            if "pickle" in str(error) or "object" in str(error).lower():
                raise _objects(path, path.stem) from None
            raise

    def _arrays(self) -> dict[str, StoredArray]:
        load = _reading(self.path, lambda index: np.asarray(self._array[index]))
        return {self.path.stem: StoredArray(self.path.stem, self._array.shape, self._array.dtype, load)}


class _Npz(ArrayFile):
    """What ``savez`` writes lies in the file as in memory, and is read in parts; what is compressed is read whole."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._zip = np.load(path, allow_pickle=False)
        with zipfile.ZipFile(path) as archive:
            self._headers = {name.removesuffix(".npy"): header_of(archive, name) for name in archive.namelist()}
            self._at = {info.filename.removesuffix(".npy"): place_of(path, info) for info in archive.infolist()}

    def _arrays(self) -> dict[str, StoredArray]:
        return {name: self._stored(name, header) for name, header in self._headers.items()}

    def _stored(self, name: str, header: MemberHeader) -> StoredArray:
        whole: list[NDArray[Any]] = []

        def load(index: Index) -> NDArray[Any]:
            if not whole:
                whole.append(self._array(name, header))
            return np.asarray(whole[0][index])

        return StoredArray(name, header.shape, header.dtype, _reading(self.path, load))

    def _array(self, name: str, header: MemberHeader) -> NDArray[Any]:
        at = self._at[name]
        if at is None or header.dtype.hasobject or not header.shape or 0 in header.shape:
            return np.asarray(self._zip[name])
        order: Any = "F" if header.fortran else "C"
        return np.memmap(self.path, header.dtype, "r", at + header.length, header.shape, order)

    def _text(self, name: str) -> str | None:
        found = self._headers.get(name)
        return None if found is None or found.dtype.kind != "U" else str(self._zip[name])

    def close(self) -> None:
        self._zip.close()


class _Mat5(ArrayFile):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        from scipy.io import whosmat

        self._found = {name: (shape, kind) for name, shape, kind in whosmat(str(prove(path)))}

    def _arrays(self) -> dict[str, StoredArray]:
        return {name: self._stored(name, shape, kind) for name, (shape, kind) in self._found.items()}

    def _stored(self, name: str, shape: tuple[int, ...], kind: str) -> StoredArray:
        numeric = kind in ("double", "single", "logical") or kind.removeprefix("u").startswith("int")
        whole: list[NDArray[Any]] = []

        def load(index: Index) -> NDArray[Any]:
            if not whole:
                whole.append(self._variable(name))
            return whole[0][index]

        # Whether a variable is complex is not in the list, and it is read whole whatever is asked of it.
        is_complex = numeric and kind in ("double", "single") and _is_complex(_reading(self.path, load), shape)
        return StoredArray(name, shape, None, _reading(self.path, load), numeric=numeric, is_complex=is_complex)

    def _variable(self, name: str) -> NDArray[Any]:
        from scipy.io import loadmat

        return np.asarray(loadmat(str(self.path), variable_names=[name])[name])

    def _text(self, name: str) -> str | None:
        if self._found.get(name, ((), ""))[1] != "char":
            return None
        return "".join(self._variable(name).reshape(-1).tolist())


def _is_complex(load: Callable[[Index], NDArray[Any]], shape: tuple[int, ...]) -> bool:
    return bool(shape) and np.iscomplexobj(load((slice(0, 1),)))


class _Hdf5(ArrayFile):
    """MATLAB's version 7.3 has its axes the other way round, and complex numbers in two fields."""

    def __init__(self, path: Path, *, matlab: bool) -> None:
        import h5py

        super().__init__(path)
        self._file, self._matlab = h5py.File(path, "r"), matlab

    def _arrays(self) -> dict[str, StoredArray]:
        import h5py

        found: dict[str, StoredArray] = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.shape is not None and not name.startswith("#"):
                found[name] = self._stored(name, item)

        self._file.visititems(visit)
        return found

    def _stored(self, name: str, item: Any) -> StoredArray:
        fields: tuple[str, ...] = item.dtype.names or ()
        two = set(fields) in ({"real", "imag"}, {"r", "i"})
        shape = item.shape[::-1] if self._matlab else item.shape
        marked = item.attrs.get("MATLAB_class", b"double")
        numeric = (two or item.dtype.kind in "biufc") and marked not in (b"char", b"cell", b"struct")

        def load(index: Index) -> NDArray[Any]:
            values = np.asarray(item[index[::-1] if self._matlab else index])
            if two:
                parts = values
                values = np.empty(parts.shape, np.result_type(parts.dtype[fields[0]], np.complex64))
                values.real, values.imag = parts[fields[0]], parts[fields[1]]
            return values.T if self._matlab else values

        is_complex = two or item.dtype.kind == "c"
        return StoredArray(name, shape, item.dtype, _reading(self.path, load), numeric=numeric, is_complex=is_complex)

    def _text(self, name: str) -> str | None:
        if name in self._file.attrs:
            found = self._file.attrs[name]
            return found.decode() if isinstance(found, bytes) else str(found)
        if name in self._file and self._file[name].attrs.get("MATLAB_class") == b"char":
            return "".join(map(chr, np.ravel(self._file[name][()].T)))
        return None

    def close(self) -> None:
        self._file.close()


class _Safetensors(ArrayFile):
    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        super().__init__(path)
        self._file = safe_open(str(path), framework="numpy")

    def _arrays(self) -> dict[str, StoredArray]:
        return {name: self._stored(name) for name in self._file.keys()}  # noqa: SIM118 (it is no mapping)

    def _stored(self, name: str) -> StoredArray:
        part = self._file.get_slice(name)
        kind, bits = part.get_dtype()[:1], int("".join(filter(str.isdigit, part.get_dtype())) or 8)
        letters: dict[str, str] = {"F": "f", "C": "c", "I": "i", "U": "u", "B": "b"}
        numeric = kind in letters and not part.get_dtype().startswith("BF")
        dtype = np.dtype(f"{letters[kind]}{1 if kind == 'B' else bits // 8}") if numeric else None
        load = _reading(self.path, lambda index: np.asarray(part[index]))
        return StoredArray(name, tuple(part.get_shape()), dtype, load)

    def _text(self, name: str) -> str | None:
        found: str | None = (self._file.metadata() or {}).get(name)
        return found


class _Torch(ArrayFile):
    def __init__(self, path: Path) -> None:
        import torch

        super().__init__(path)
        try:
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # `weights_only` refuses whatever is no tensor
            if "weights_only" in str(error) or "Unsupported" in str(error):
                raise _objects(path, path.name) from None
            raise
        found = {path.stem: found} if isinstance(found, torch.Tensor) else found
        if not isinstance(found, dict) or not all(isinstance(each, torch.Tensor) for each in found.values()):
            raise RequestError("PATH", expected="a tensor, or tensors by name", got=f"{path} ({type(found).__name__})")
        self._tensors = {str(name): tensor for name, tensor in found.items()}

    def _arrays(self) -> dict[str, StoredArray]:
        return {name: self._stored(name, tensor) for name, tensor in self._tensors.items()}

    def _stored(self, name: str, tensor: Any) -> StoredArray:
        load = _reading(self.path, lambda index: np.asarray(tensor[index].numpy()))
        return StoredArray(name, tuple(tensor.shape), tensor[:0].numpy().dtype, load)


def _torch_or_npz(path: Path) -> ArrayFile:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return _Torch(path) if any(name.endswith("data.pkl") for name in names) else _Npz(path)


def _objects(path: Path, name: str) -> RequestError:
    got = f"{path} ({name} holds Python objects, whose pickles can run code: save it as numbers)"
    return RequestError("PATH", expected="numbers", got=got)
