"""QuaDRiGa's ``qd_channel.mat_save``: a MATLAB file with flat fields for each channel object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.imported.array_files import ArrayFile, hdf5_kind, open_arrays
from channelbench.generators.imported.damage import in_one_line
from channelbench.generators.imported.mat_proof import prove
from channelbench.generators.imported.quadriga import Channel, Facts, QuadrigaReader, QuadrigaSettings

__all__ = ["QuadrigaMatReader"]

SMALL = ("Name", "CenterFrequency")


class QuadrigaMatReader(QuadrigaReader):
    """Files of all versions: those up to v7, of which v6 is QuaDRiGa's default, by SciPy, v7.3 by h5py, which reads an
    array when it is needed."""

    name: ClassVar[str] = "quadriga"
    title: ClassVar[str] = "QuaDRiGa .mat"
    reference: ClassVar[str] = "https://quadriga-channel-model.de, @qd_channel/mat_save.m"

    @classmethod
    def claims(cls, path: Path) -> bool:
        """A MATLAB file whose first channel has a name of QuaDRiGa's."""
        if not path.is_file() or path.suffix != ".mat":
            return False
        return any(name.startswith("channel_00001_") for name in _names(path))

    @in_one_line
    def __init__(self, path: Path, settings: QuadrigaSettings) -> None:
        super().__init__(path, settings)
        if not path.is_file():
            raise RequestError(self._field, expected="a MATLAB file", got="a folder")
        self._v73 = open_arrays(path) if hdf5_kind(path) is not None else None
        self._shapes = self._read(None)
        count = sum(name.startswith("channel_") and name.endswith("_Name") for name in self._shapes)
        count = max(count, sum(name.startswith("channel_") and name.endswith("_Coeffs") for name in self._shapes))
        if not count:
            raise RequestError(
                self._field, expected="channels of QuaDRiGa, channel_00001_Coeffs and others", got="none"
            )
        wanted = [name for name in self._shapes if name.startswith("channel_") and name.endswith(SMALL)]
        self._said = self._read(["ChannelDims", "Order", *wanted])
        dims = np.ravel(self._said.get("ChannelDims", [count])).astype(np.int64)
        self._lengths = tuple(int(n) for n in (*dims, 1, 1, 1)[:4])
        if min(self._lengths) < 1 or np.prod(self._lengths) != count:
            got = f"{count} for ChannelDims {'×'.join(map(str, self._lengths))}"
            raise RequestError(self._field, expected="as many channels as ChannelDims says", got=got)
        order = np.ravel(self._said.get("Order", np.arange(1, count + 1)))[:count].astype(np.int64)
        if len(order) < count or order.min() < 1 or order.max() > count:
            raise RequestError(self._field, expected=f"an Order of {count} channels", got=order.tolist()[:20])
        self._order = order

    def close(self) -> None:
        if self._v73 is not None:
            self._v73.close()

    @property
    def _dims(self) -> tuple[int, int, int, int]:
        return self._lengths  # type: ignore[return-value]

    def _facts(self, number: int) -> Facts:
        shape = self._shape(number, "Coeffs")
        carrier = float(np.ravel(self._said.get(self._key(number, "CenterFrequency"), [0.0]))[0])
        placed = all(self._key(number, side) in self._shapes for side in ("rx_position", "tx_position"))
        return Facts(
            rx=shape[0],
            tx=shape[1],
            snapshots=shape[3],
            carrier_hz=carrier if carrier > 0 else None,
            name="".join(map(str, np.ravel(self._said.get(self._key(number, "Name"), [""])))),
            has_positions=placed,
        )

    def _channel(self, number: int) -> Channel:
        rx, tx, paths, snapshots = self._shape(number, "Coeffs")
        coeff = self._array(number, "Coeffs").reshape(rx, tx, paths, snapshots)
        delay = self._array(number, "Delays")
        whole = delay.size == coeff.size and self._individual(number)
        if not whole and delay.size != paths * snapshots:
            expected = f"delays of {paths} paths and {snapshots} snapshots"
            raise RequestError(self._field, expected=expected, got=f"shape {delay.shape} in channel {number + 1}")
        delay = delay.reshape(coeff.shape if whole else (1, 1, paths, snapshots)).astype(np.float64)
        return Channel(
            coeff=[coeff[..., i].astype(np.complex128) for i in range(snapshots)],
            delay_s=[delay[..., i] for i in range(snapshots)],
            rx_position=self._position(number, "rx_position"),
            tx_position=self._position(number, "tx_position"),
        )

    def _individual(self, number: int) -> bool:
        flag = self._all.get(self._key(number, "IndividualDelays"))
        return len(self._shapes[self._key(number, "Delays")]) > 2 if flag is None else bool(np.ravel(flag)[0])

    def _key(self, number: int, name: str) -> str:
        return f"channel_{int(self._order[number]):05d}_{name}"

    def _shape(self, number: int, name: str) -> tuple[int, ...]:
        key = self._key(number, name)
        if key not in self._shapes:
            raise RequestError(self._field, expected=f"{name} of every channel", got=f"no {key}")
        return (*self._shapes[key], 1, 1)[:4]

    def _array(self, number: int, name: str) -> NDArray[Any]:
        self._shape(number, name)
        array = np.asarray(self._all[self._key(number, name)])
        if array.dtype.kind not in "iufc":
            got = f"type {array.dtype} in {self._key(number, name)}"
            raise RequestError(self._field, expected=f"numbers in {name}", got=got)
        return array

    def _position(self, number: int, name: str) -> NDArray[np.float64] | None:
        if self._key(number, name) not in self._shapes:
            return None
        position = self._array(number, name)
        if position.ndim != 2 or position.shape[0] != 3 or not position.shape[1]:
            expected, got = f"{name} of three rows", f"shape {position.shape} in channel {number + 1}"
            raise RequestError(self._field, expected=expected, got=got)
        return position[:, 0].astype(np.float64)

    @cached_property
    def _all(self) -> Mapping[str, Any]:
        """All variables: up to v7 a file cannot be read in parts without passing over all of it each time."""
        return self._read(list(self._shapes)) if self._v73 is None else _Lazily(self._v73)

    def _read(self, names: list[str] | None) -> dict[str, Any]:
        """These variables, or the shapes of all of them."""
        from scipy.io import loadmat, whosmat

        if self._v73 is not None:
            found = _Lazily(self._v73)
            return found.shapes if names is None else {name: found[name] for name in names if name in found}
        try:
            with prove(self.path).open("rb") as file:
                if names is None:
                    return {name: tuple(shape) for name, shape, _ in whosmat(file)}
                return dict(loadmat(file, variable_names=names))
        except Exception as error:  # whatever SciPy raises on bytes that are no MATLAB file
            got = f"{type(error).__name__}: {error}"
            raise RequestError(self._field, expected="a MATLAB file that can be read", got=got) from None


def _names(path: Path) -> list[str]:
    if hdf5_kind(path) is not None:
        import h5py

        with h5py.File(path) as opened:
            return list(opened)
    from scipy.io import whosmat

    with prove(path).open("rb") as file:
        return [name for name, _, _ in whosmat(file)]


class _Lazily(Mapping[str, Any]):
    """The variables of a v7.3 file, each read when it is asked for; what holds no numbers is text or an object."""

    def __init__(self, file: ArrayFile) -> None:
        self._file, self._arrays = file, file.arrays()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: stored.shape for name, stored in self._arrays.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        stored = self._arrays[name]
        if stored.numeric:
            return stored.alone()
        text = self._file.text(name)
        return np.asarray(text, object if text is None else None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)
