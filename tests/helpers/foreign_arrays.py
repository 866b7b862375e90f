"""Small files of channels as other people write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

AXES = "sample,slot,subcarrier,antenna"

BAND = {
    "sub6.carrier_hz": 3.5e9,
    "sub6.bandwidth_hz": 2.88e6,
    "sub6.slot_s": 5e-4,
    "sub6.array.columns": 4,
}


def channels(links: int = 60, slots: int = 5, subcarriers: int = 8, antennas: int = 4, seed: int = 0) -> NDArray[Any]:
    """Four paths each, by their closed form, complex64 ``[links, slots, subcarriers, antennas]``."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(links, 4)) + 1j * rng.normal(size=(links, 4))
    delay, doppler = rng.exponential(2e-7, (links, 4)), rng.uniform(-60, 60, (links, 4))
    along = rng.uniform(-0.5, 0.5, (links, 4))
    over = [
        np.exp(2j * np.pi * doppler[..., None] * np.arange(slots) * 5e-4),
        np.exp(-2j * np.pi * delay[..., None] * np.arange(subcarriers) * 360e3),
        np.exp(2j * np.pi * along[..., None] * np.arange(antennas)),
    ]
    return np.einsum("np,npt,npk,npa->ntka", a, *over).astype(np.complex64)


def write_mat73(path: Path, arrays: dict[str, NDArray[Any] | str]) -> Path:
    """As MATLAB does: axes the other way round and at least two of them, complex numbers in two fields, text as numbers
    of its letters, a header of 512 bytes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            if isinstance(values, str):
                file[name] = np.array([[ord(letter)] for letter in values], np.uint16)
                file[name].attrs["MATLAB_class"] = np.bytes_("char")
                continue
            values = np.atleast_2d(values)
            if np.iscomplexobj(values):
                half = values.real.dtype
                stored = np.empty(values.shape[::-1], np.dtype([("real", half), ("imag", half)]))
                stored["real"], stored["imag"] = values.T.real, values.T.imag
            else:
                stored = values.T
            file[name] = stored
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


def write_hdf5(path: Path, arrays: dict[str, NDArray[Any]]) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


def write_all(folder: Path, h: NDArray[Any]) -> dict[str, Path]:
    """The same array in a file of every kind, by format."""
    paths = {name: folder / f"h.{name}" for name in ("npy", "npz", "mat", "hdf5", "safetensors", "pt")}
    np.save(paths["npy"], h)
    np.savez(paths["npz"], h=h)
    scipy.io.savemat(paths["mat"], {"h": h})
    write_hdf5(paths["hdf5"], {"h": h})
    save_file({"h": h}, paths["safetensors"])
    torch.save({"h": torch.from_numpy(h)}, paths["pt"])
    return paths
