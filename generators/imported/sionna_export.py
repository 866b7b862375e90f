"""Datasets as Sionna's channel impulse responses: an HDF5 file of ``a`` and ``tau`` for each band."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.evaluate.paths import DrawnPaths
from channelbench.generators.imported.contract import Progress, Writer
from channelbench.generators.imported.drawn import drawn_rows, refuse_without_paths, squints
from channelbench.generators.imported.export_record import split_numbers
from channelbench.spec import BandSpec
from channelbench.store.dataset import ChannelDataset
from channelbench.store.schema import antenna_positions, slot_times

__all__ = ["SionnaCIRWriter"]


class SionnaCIRWriter(Writer):
    """A folder with ``sub6.h5``, and ``mmwave.h5`` with two bands. The base station sends, every sample has one user.

    With squint, delays are those of each antenna: what leads the array by a wavefront's way leads at all frequencies.
    """

    name: ClassVar[str] = "cir"
    title: ClassVar[str] = "Sionna CIR"
    reference: ClassVar[str] = "https://nvlabs.github.io/sionna, CIRDataset"
    suffix: ClassVar[str] = ""
    loses: ClassVar[str] = "angles; grid, array, positions and splits stand beside a and tau, where import finds them"

    def refuse(self, dataset: ChannelDataset) -> None:
        refuse_without_paths(dataset)

    def write(self, dataset: ChannelDataset, target: Path, progress: Progress) -> None:
        import h5py

        target.mkdir(parents=True, exist_ok=True)
        bands, total, done = dataset.spec.bands, dataset.spec.sizes.total, 0
        files: dict[str, Any] = {name: h5py.File(target / f"{name}.h5", "w") for name in bands}
        try:
            for drawn in drawn_rows(dataset):
                for name, band in bands.items():
                    a, tau = _responses(drawn.paths[name], drawn.amplitude(dataset, name), band, squints(dataset))
                    _append(files[name], "a", a, path_axis=5)
                    _append(files[name], "tau", tau, path_axis=tau.ndim - 1)
                    for key in {"ue_position", "ue_velocity", "los"} & dataset.variables.keys():
                        _append(files[name], key, dataset.array(key, drawn.split)[drawn.rows])
                done += drawn.rows.stop - drawn.rows.start
                progress(done, total)
            for name, band in bands.items():
                _describe(files[name], dataset, band)
        finally:
            for file in files.values():
                file.close()


def _responses(
    paths: DrawnPaths, amplitude: NDArray[np.complex128], band: BandSpec, squint: bool
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """``a`` ``[rows, 1, 1, 1, antennas, paths, slots]`` and ``tau`` ``[rows, 1, 1, paths]``, or with squint
    ``[rows, 1, 1, 1, antennas, paths]``."""
    ahead = np.moveaxis(paths.direction.astype(np.float64) @ antenna_positions(band).T, 2, 1)  # in cycles
    turn = np.exp(2j * np.pi * paths.doppler_hz.astype(np.float64)[..., None] * slot_times(band))
    a = (amplitude[:, None, :] * np.exp(2j * np.pi * ahead))[..., None] * turn[:, None]
    tau = paths.delay_s[:, None, None, :]
    if squint:
        tau = (paths.delay_s[:, None, :] - ahead / band.carrier_hz)[:, None, None, None]
    return a[:, None, None, None].astype(np.complex64), tau.astype(np.float32)


def _append(file: Any, name: str, rows: NDArray[Any], path_axis: int | None = None) -> None:
    """Rows after those that are there. Blocks may differ in paths: the longer shape holds, the rest stays 0."""
    longest = list(rows.shape[1:])
    if name not in file:
        shape = [None if axis + 1 == path_axis else length for axis, length in enumerate(longest)]
        file.create_dataset(name, (0, *longest), rows.dtype, maxshape=(None, *shape), chunks=(1, *longest))
    array = file[name]
    if path_axis is not None:
        longest[path_axis - 1] = max(longest[path_axis - 1], array.shape[path_axis])
    before = len(array)
    array.resize((before + len(rows), *longest))
    array[(slice(before, None), *map(slice, rows.shape[1:]))] = rows


def _describe(file: Any, dataset: ChannelDataset, band: BandSpec) -> None:
    """What the reader knows beside the arrays."""
    for name in ("carrier_hz", "bandwidth_hz", "num_subcarriers", "slot_s"):
        file[name] = getattr(band, name)
    for name in ("rows", "columns", "spacing_wavelengths"):
        file[name] = getattr(band.array, name)
    if dataset.spec.bs_height_m is not None:
        file["bs_height_m"] = dataset.spec.bs_height_m
    file["specular_first"] = 1
    file["split"] = split_numbers(dataset.spec.sizes)
    file["licence"], file["citation"] = dataset.spec.source.licence, dataset.spec.source.citation
    file.attrs["digest"] = dataset.digest
