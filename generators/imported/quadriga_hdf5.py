"""quadriga-lib's HDF5 files: a group for each channel object, and in it one for each snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.imported.damage import in_one_line
from channelbench.generators.imported.quadriga import Channel, Facts, QuadrigaReader, QuadrigaSettings

__all__ = ["QuadrigaHdf5Reader"]


class QuadrigaHdf5Reader(QuadrigaReader):
    """Arrays lie in Fortran order there, so that HDF5 has their dimensions the other way round."""

    name: ClassVar[str] = "quadriga-hdf5"
    title: ClassVar[str] = "quadriga-lib HDF5"
    reference: ClassVar[str] = "https://github.com/stjaeckel/quadriga-lib, src/qd_channel_hdf5.cpp"

    @classmethod
    def claims(cls, path: Path) -> bool:
        """An HDF5 file with ``ChannelDims`` and ``Order``."""
        import h5py

        if not path.is_file() or not h5py.is_hdf5(path):
            return False
        with h5py.File(path) as file:
            return "ChannelDims" in file and "Order" in file

    @in_one_line
    def __init__(self, path: Path, settings: QuadrigaSettings) -> None:
        import h5py

        super().__init__(path, settings)
        try:
            self._file = h5py.File(path)
            dims, order = (np.ravel(self._file[key][()]).astype(np.int64) for key in ("ChannelDims", "Order"))
        except (OSError, KeyError, TypeError, ValueError) as error:
            expected = "an HDF5 file with ChannelDims and Order"
            raise RequestError(self._field, expected=expected, got=f"{type(error).__name__}: {error}") from None
        if len(dims) != 4 or dims.min() < 1 or len(order) < np.prod(dims):
            got = f"ChannelDims {dims.tolist()}, Order of {len(order)}"
            raise RequestError(self._field, expected="an Order of as many channels as ChannelDims says", got=got)
        self._lengths, self._order = (int(dims[0]), int(dims[1]), int(dims[2]), int(dims[3])), order

    def close(self) -> None:
        self._file.close()

    @property
    def _dims(self) -> tuple[int, int, int, int]:
        return self._lengths

    def _facts(self, number: int) -> Facts:
        group = self._group(number)
        count = int(group.attrs.get("NumSnap", 0))
        shape = self._snapshot(group, 0)["coeff_re"].shape if count else (0, 0, 0)
        carrier = float(
            np.ravel(
                group["CenterFrequency"][()]
                if "CenterFrequency" in group
                else group.attrs.get("CenterFrequency", np.nan)
            )[0]
        )
        name = group.attrs.get("Name", b"")
        if not count or len(shape) != 3:
            got = f"{count} snapshots, coefficients of shape {shape} in {group.name}"
            raise RequestError(self._field, expected="channels with coefficients", got=got)
        return Facts(
            rx=shape[2],
            tx=shape[1],
            snapshots=count,
            carrier_hz=carrier if carrier > 0 else None,
            name=name.decode(errors="replace") if isinstance(name, bytes) else str(name),
            has_positions=all(self._position(group, side) is not None for side in ("rx_position", "tx_position")),
        )

    def _channel(self, number: int) -> Channel:
        group = self._group(number)
        coeff, delay, angles = [], [], None
        for i in range(int(group.attrs.get("NumSnap", 0))):
            snapshot = self._snapshot(group, i)
            real, imag = (self._array(snapshot, key) for key in ("coeff_re", "coeff_im"))
            if real.shape != imag.shape:
                got = f"{real.shape} and {imag.shape} in {snapshot.name}"
                raise RequestError(self._field, expected="as many real as imaginary parts", got=got)
            coeff.append((real + 1j * imag).T)
            delay.append(self._array(snapshot, "delay").T)
            if i == 0 and "path_angles" in snapshot:
                angles = self._array(snapshot, "path_angles")  # azimuth and elevation of departure, of arrival
                if angles.shape != (4, len(real)):
                    got = f"shape {angles.shape} in {snapshot.name}"
                    raise RequestError(self._field, expected=f"four path angles of {len(real)} paths", got=got)
        return Channel(
            coeff=coeff,
            delay_s=delay,
            rx_position=self._position(group, "rx_position"),
            tx_position=self._position(group, "tx_position"),
            aod=None if angles is None else angles[0],
            aoa=None if angles is None else angles[2],
        )

    def _group(self, number: int) -> Any:
        name = f"channel_{int(self._order[number])}"
        if name not in self._file or not hasattr(self._file[name], "keys"):
            raise RequestError(self._field, expected="a group for every channel of ChannelDims", got=f"no {name}")
        return self._file[name]

    def _snapshot(self, group: Any, index: int) -> Any:
        name = f"Snap_{index}"
        if name not in group or not hasattr(group[name], "keys") or "coeff_re" not in group[name]:
            expected = "a group with coefficients for each of NumSnap snapshots"
            raise RequestError(self._field, expected=expected, got=f"none in {group.name}/{name}")
        return group[name]

    def _array(self, group: Any, key: str) -> NDArray[np.float64]:
        try:
            array = np.asarray(group[key][()])
        except (KeyError, OSError, AttributeError, TypeError) as error:
            got = f"{type(error).__name__}: {error}"
            raise RequestError(self._field, expected=f"{key} in {group.name}", got=got) from None
        if array.dtype.kind not in "iuf":
            raise RequestError(self._field, expected=f"real numbers in {group.name}/{key}", got=f"type {array.dtype}")
        return array.astype(np.float64)

    def _position(self, group: Any, name: str) -> NDArray[np.float64] | None:
        """Where one side is at the first snapshot; fixed ones are attributes, NaN where none was given."""
        found = np.atleast_2d(self._array(group, name) if name in group else group.attrs.get(name, np.full(3, np.nan)))
        position = found[0].astype(np.float64)
        return position if position.shape == (3,) and np.isfinite(position).all() else None
