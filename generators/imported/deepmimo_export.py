"""Datasets as DeepMIMO v4 scenarios: one for each band, with a snapshot for each slot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench._version import __version__
from channelbench.generators.imported.contract import Progress, Writer
from channelbench.generators.imported.deepmimo_files import MARK, PARAMS, Pair
from channelbench.generators.imported.drawn import DrawnRows, drawn_rows, refuse_without_paths
from channelbench.generators.imported.export_record import ExportRecord
from channelbench.spec import BandSpec
from channelbench.store.dataset import ChannelDataset
from channelbench.store.schema import antenna_positions, slot_times

__all__ = ["DeepMIMOWriter", "write_snapshot"]

PAIR = Pair(tx_set=0, tx=0, rx_set=1)

SPECULAR, SCATTERED = 0, 3
"""Codes of interactions; the rays of clusters are scattered."""


class DeepMIMOWriter(Writer):
    """A folder for the scenario; with two bands, one in it for each."""

    name: ClassVar[str] = "deepmimo"
    title: ClassVar[str] = "DeepMIMO v4"
    reference: ClassVar[str] = "https://deepmimo.net, docs/resources/specs.md of DeepMIMO 4"
    suffix: ClassVar[str] = ""
    loses: ClassVar[str] = "what each path met on its way; velocities stand beside its matrices, in rx_vel"

    def refuse(self, dataset: ChannelDataset) -> None:
        refuse_without_paths(dataset)

    def write(self, dataset: ChannelDataset, target: Path, progress: Progress) -> None:
        bands, total, done = dataset.spec.bands, dataset.spec.sizes.total, 0
        parts: dict[str, list[dict[str, NDArray[Any]]]] = {name: [] for name in bands}
        for drawn in drawn_rows(dataset):
            for name, band in bands.items():
                parts[name].append(_rays(dataset, drawn, name, band))
            done += drawn.rows.stop - drawn.rows.start
            progress(done // 2, total)  # the other half is writing
        for i, (name, band) in enumerate(bands.items(), 1):
            folder = target if len(bands) == 1 else target / name
            _write_band(dataset, band, _joined(parts[name]), folder)
            progress(total * (len(bands) + i) // (2 * len(bands)), total)


def write_snapshot(folder: Path, arrays: dict[str, NDArray[Any]], pair: Pair, suffix: str = "npz") -> None:
    """The matrices of one snapshot, in single precision as DeepMIMO has them.

    Args:
        folder: It is made.
        arrays: By their names in the format.
        pair: What file names number.
        suffix: ``npz``, ``npy`` or ``mat``.
    """
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    for key, array in arrays.items():
        path, named = folder / f"{key}_{pair.label}.{suffix}", {key: array.astype(np.float32)}
        if suffix == "npz":
            np.savez_compressed(path, allow_pickle=False, **named)
        elif suffix == "npy":
            np.save(path, named[key], allow_pickle=False)
        else:
            savemat(path, named)


def _rays(dataset: ChannelDataset, drawn: DrawnRows, name: str, band: BandSpec) -> dict[str, NDArray[Any]]:
    """The rays of some rows at time 0 in double precision, and their Doppler shifts; NaN where there is none."""
    paths = drawn.paths[name]
    there = paths.power > 0
    direction = paths.direction.astype(np.float64)
    first = 360 * (direction @ antenna_positions(band)[0])  # phases hold at element 0, which is where the mast is
    with np.errstate(divide="ignore"):
        power = 20 * np.log10(np.abs(drawn.amplitude(dataset, name)))
    met = np.full(there.shape, SCATTERED)
    met[:, 0] = SPECULAR  # path 0 is absent without line of sight
    rays = {
        "power": power,
        "phase": np.degrees(paths.phase) + first,
        "delay": paths.delay_s,
        "aod_az": np.degrees(np.arctan2(direction[..., 1], direction[..., 0])),
        "aod_el": np.degrees(np.arccos(np.clip(direction[..., 2], -1, 1))),
        "aoa_az": np.degrees(np.angle(paths.aoa_phasor)),
        "aoa_el": np.degrees(paths.zoa),
        "inter": met,
        "doppler": paths.doppler_hz.astype(np.float64),
    }
    columns = {key: np.where(there, values, np.nan) for key, values in rays.items()}
    for key in ("ue_position", "ue_velocity"):
        if key in dataset.variables:
            columns[key] = dataset.array(key, drawn.split)[drawn.rows].astype(np.float64)
    return columns


def _joined(parts: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The blocks after each other; those with fewer paths are filled up."""
    longest = max(part["power"].shape[1] for part in parts)

    def fill(values: NDArray[Any], is_ray: bool) -> NDArray[Any]:
        missing = longest - values.shape[1] if is_ray else 0
        return np.pad(values, ((0, 0), (0, missing)), constant_values=np.nan)

    return {key: np.concatenate([fill(part[key], not key.startswith("ue_")) for part in parts]) for key in parts[0]}


def _write_band(dataset: ChannelDataset, band: BandSpec, rays: dict[str, NDArray[Any]], folder: Path) -> None:
    times = slot_times(band)
    position, velocity, doppler = rays.pop("ue_position", None), rays.pop("ue_velocity", None), rays.pop("doppler")
    mast = np.array([[0.0, 0.0, dataset.spec.bs_height_m or 0.0]])
    nowhere = np.full((*rays["power"].shape, 1, 3), np.nan)
    for i, time in enumerate(times):
        turned = np.mod(rays["phase"] + 360 * doppler * time + 180, 360) - 180
        here = {**rays, "phase": turned, "inter_pos": nowhere, "tx_pos": mast}
        if velocity is not None:
            here["rx_vel"] = velocity
        if position is not None:
            here["rx_pos"] = position if velocity is None else position + velocity * time
        snapshot = folder if len(times) == 1 else folder / f"scene_{i:04}"
        write_snapshot(snapshot, here, PAIR)
        (snapshot / "objects.json").write_text("[]")
        np.savez_compressed(snapshot / "vertices.npz", vertices=np.empty((0, 3), np.float32))
    (folder / PARAMS).write_text(json.dumps(_params(dataset, band, len(doppler)), indent=2))


def _params(dataset: ChannelDataset, band: BandSpec, users: int) -> dict[str, Any]:
    """What ``params.json`` says, with what the format has no place for beside it."""
    ends = {
        "txrx_set_0": {"name": "base station", "id": 0, "id_orig": 0, "is_tx": True, "is_rx": False, "num_points": 1},
        "txrx_set_1": {"name": "users", "id": 1, "id_orig": 1, "is_tx": False, "is_rx": True, "num_points": users},
    }
    for end in ends.values():
        end |= {"num_active_points": end["num_points"], "num_ant": 1, "dual_pol": False}
        end |= {"ant_rel_positions": [[0, 0, 0]], "array_orientation": [0, 0, 0]}
    return {
        "version": "4.0.0",
        "name": dataset.spec.scenario,
        "rt_params": {
            "frequency": band.carrier_hz,
            "raytracer_name": f"channelbench {__version__}, {dataset.spec.source.label}",
            "raytracer_version": __version__,
        },
        "txrx_sets": ends,
        "scene": {"num_scenes": band.num_slots, "n_objects": 0, "n_vertices": 0, "n_faces": 0},
        "materials": {},
        MARK: ExportRecord.of(dataset, band).model_dump(mode="json"),
    }
