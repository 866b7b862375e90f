"""Small files of other people's formats of paths, written from what is known of them; and sums over paths in float64.

Nothing here is the readers': layouts are written out once more, so that an error would have to be made twice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.imported.contract import LinkPaths
from channelbench.spec import ArraySpec, BandSpec
from channelbench.store.schema import antenna_positions, slot_times, subcarrier_hz

Arrays = dict[str, NDArray[Any]]


def a_band(**changes: Any) -> BandSpec:
    """A band of 16 subcarriers and a planar array of 2×4 antennas."""
    fields: dict[str, Any] = {
        "carrier_hz": 3.5e9,
        "bandwidth_hz": 20e6,
        "num_subcarriers": 16,
        "num_slots": 1,
        "array": ArraySpec(rows=2, columns=4),
    }
    return BandSpec(**{**fields, **changes})


def path_sum(paths: LinkPaths, band: BandSpec, *, squint: bool) -> NDArray[np.complex128]:
    """The channel of the contract's paths, ``[links, slots, subcarriers, antennas]``, by its formula."""
    f, t, x = subcarrier_hz(band), slot_times(band), antenna_positions(band)
    amplitude, delay = paths.amplitude, paths.delay_s
    shape = np.broadcast_shapes(amplitude.shape, delay.shape, (1, len(t), 1, len(x)))
    amplitude, delay = np.broadcast_to(amplitude, shape), np.broadcast_to(delay, shape)
    if paths.doppler_hz is not None:
        amplitude = amplitude * np.exp(2j * np.pi * paths.doppler_hz[:, None, :, None] * t[:, None, None])
    phase = -(f - band.carrier_hz)[:, None] * delay[:, :, :, None, :]  # [links, slots, paths, subcarriers, antennas]
    if paths.direction is not None:
        ahead = paths.direction @ x.T  # [links, slots or 1, paths, antennas]
        scale = f / band.carrier_hz if squint else np.ones_like(f)
        phase = phase + scale[:, None] * ahead[:, :, :, None, :]
    return np.einsum("bspn,bspkn->bskn", amplitude, np.exp(2j * np.pi * phase))


def random_rays(users: int, paths: int, seed: int = 0, *, latest_s: float = 0.5e-6) -> Arrays:
    """Matrices of a DeepMIMO v4 snapshot in float32: the first users have a line of sight, the last no path at all, one
    fewer paths than there is room for."""
    rng = np.random.default_rng(seed)
    shape = (users, paths)
    rays = {
        "power": rng.uniform(-120, -70, shape),
        "phase": rng.uniform(-180, 180, shape),
        "delay": np.sort(rng.uniform(0, latest_s, shape), axis=1),
        "aod_az": rng.uniform(-180, 180, shape),
        "aod_el": rng.uniform(10, 170, shape),
        "aoa_az": rng.uniform(-180, 180, shape),
        "aoa_el": rng.uniform(10, 170, shape),
        "inter": rng.choice([1.0, 2.0, 11.0, 13.0], shape),
    }
    rays["inter"][: users // 2, 0] = 0
    for values in rays.values():
        values[-1] = np.nan
        values[1, paths - 2 :] = np.nan
    rays["rx_pos"] = np.column_stack([rng.uniform((110, 60), (190, 140), (users, 2)), np.full(users, 1.5)])
    rays["tx_pos"] = np.array([[100.0, 50.0, 20.0]])
    return {name: values.astype(np.float32) for name, values in rays.items()}


def write_deepmimo(
    folder: Path,
    snapshots: list[Arrays],
    *,
    carrier_hz: float = 3.5e9,
    suffix: str = "npz",
    pair: str = "t001_tx000_r000",
) -> Path:
    """A DeepMIMO v4 scenario; several snapshots lie in folders of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    params = {"version": "4.0.5", "rt_params": {"frequency": carrier_hz, "raytracer_name": "a tracer"}}
    params |= {"txrx_sets": {}, "materials": {}, "scene": {"num_scenes": len(snapshots)}}
    (folder / "params.json").write_text(json.dumps(params))
    for i, arrays in enumerate(snapshots):
        inside = folder if len(snapshots) == 1 else folder / f"scene_{i:03}"
        inside.mkdir(exist_ok=True)
        for key, array in arrays.items():
            write_matrix(inside / f"{key}_{pair}.{suffix}", key, array)
    return folder


def write_matrix(path: Path, key: str, array: NDArray[Any]) -> None:
    """One matrix, as the suffix says."""
    from scipy.io import savemat

    if path.suffix == ".npz":
        np.savez_compressed(path, allow_pickle=True, **{key: array})
    elif path.suffix == ".npy":
        np.save(path, array)
    else:
        savemat(path, {key: array})


def deepmimo_channel(rays: Arrays, band: BandSpec, *, drop_late: bool = True) -> NDArray[np.complex128]:
    """DeepMIMO's formula, ``[users, antennas, subcarriers]``: Σ_p a_t √(P/N) e^{jφ} e^{−j2πkτB/N}, k from 0; without
    paths of τB ≥ N; with antennas that count along y and then z from 0."""
    n, bandwidth, array = band.num_subcarriers, band.bandwidth_hz, band.array
    rays = {name: values.astype(np.float64) for name, values in rays.items()}
    y, z = np.tile(np.arange(array.columns), array.rows), np.repeat(np.arange(array.rows), array.columns)
    theta, phi, kd = np.deg2rad(rays["aod_el"]), np.deg2rad(rays["aod_az"]), 2 * np.pi * array.spacing_wavelengths
    h = np.zeros((len(theta), len(y), n), np.complex128)
    for user in range(len(theta)):
        for p in range(theta.shape[1]):
            late = rays["delay"][user, p] * bandwidth >= n
            if np.isnan(rays["power"][user, p]) or (late and drop_late):
                continue
            t, f = theta[user, p], phi[user, p]
            steering = np.exp(1j * kd * (y * np.sin(t) * np.sin(f) + z * np.cos(t)))
            gain = np.sqrt(10 ** (rays["power"][user, p] / 10) / n) * np.exp(1j * np.deg2rad(rays["phase"][user, p]))
            tones = np.exp(-2j * np.pi * np.arange(n) * rays["delay"][user, p] * bandwidth / n)
            h[user] += gain * steering[:, None] * tones
    return h


def write_deepmimo_v3(folder: Path, rays: Arrays, *, named: bool = False, carrier_hz: float = 3.5e9) -> Path:
    """The same rays as a v3 scenario in two files; a user's paths are a matrix, or fields of a struct."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    params = {"version": 2, "carrier_freq": carrier_hz, "transmit_power": 30.0, "num_BS": 1}
    params |= {"user_grids": [[1, 1, 1]], "dual_polar_available": 0, "doppler_available": 0}
    savemat(folder / "params.mat", params)
    names = ("phase", "ToA", "power", "DoA_phi", "DoA_theta", "DoD_phi", "DoD_theta")
    keys = ("phase", "delay", "power", "aoa_az", "aoa_el", "aod_az", "aod_el")
    users = len(rays["power"])
    cells = np.empty(users, object)
    for user in range(users):
        there = np.isfinite(rays["power"][user])
        rows = {name: rays[key][user, there].astype(np.float64) for name, key in zip(names, keys, strict=True)}
        rows["LoS"] = (rays["inter"][user, there] == 0).astype(np.float64)
        cells[user] = {**rows, "num_paths": there.sum()} if named else {"p": np.stack(list(rows.values()))}
    where = np.column_stack([rays["rx_pos"], np.ones((users, 2))])
    middle = users // 2
    for start, stop in ((0, middle), (middle, users)):
        channels = np.empty((1, stop - start), object)
        channels[0] = cells[start:stop]
        data = {"channels": channels, "rx_locs": where[start:stop], "tx_loc": rays["tx_pos"][0]}
        savemat(folder / f"BS1_UE_{start}-{stop}.mat", data)
    return folder


def random_taps(shape: tuple[int, int, int, int], seed: int, *, each: bool = False) -> Arrays:
    """Coefficients ``[rx, tx, paths, snapshots]`` and delays, ``[paths, snapshots]`` or of each antenna."""
    rng = np.random.default_rng(seed)
    coeff = 1e-4 * (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    return {
        "coeff": coeff,
        "delay": (rng.random(shape if each else shape[2:]) * 1e-6).astype(np.float32),
        "rx": np.concatenate([rng.uniform(10, 90, (2, shape[3])), np.full((1, shape[3]), 1.5)]).astype(np.float32),
        "tx": np.array([[3.0], [4.0], [25.0]], np.float32),
    }


def write_quadriga(
    path: Path,
    channels: list[Arrays],
    dims: tuple[int, ...],
    *,
    carriers: list[float],
    names: list[str] | None = None,
    v73: bool = False,
) -> Path:
    """What ``qd_channel.mat_save`` writes, in the version that is asked of it."""
    from foreign_arrays import write_mat73
    from scipy.io import savemat

    order = np.zeros((1, 65535), np.uint16)
    order[0, : len(channels)] = np.arange(1, len(channels) + 1)
    fields: dict[str, Any] = {"ChannelDims": np.array([[*dims, 1, 1][:4]], np.int64), "Order": order}
    for i, channel in enumerate(channels):
        own = {
            "Name": names[i] if names else f"Tx1_Rx{i + 1}",
            "Version": "2.6.1-0",
            "CenterFrequency": np.float32(carriers[i % len(carriers)]),
            "Coeffs": channel["coeff"],
            "Initial_position": np.uint32(1),
            "Delays": channel["delay"],
            "IndividualDelays": channel["delay"].ndim == 4,
            "rx_position": channel["rx"],
            "tx_position": channel["tx"],
        }
        fields |= {f"channel_{i + 1:05}_{name}": value for name, value in own.items()}
    if v73:
        return write_mat73(
            path, {name: value if isinstance(value, str) else np.asarray(value) for name, value in fields.items()}
        )
    savemat(path, fields, long_field_names=True)
    return path


def quadriga_response(channel: Arrays, bandwidth_hz: float, carriers: int) -> NDArray[np.complex128]:
    """``qd_channel.fr``: ``[rx, tx, carriers, snapshots]``, over a band that begins at the carrier."""
    coeff = channel["coeff"].astype(np.complex128)
    delay = np.broadcast_to(channel["delay"].astype(np.float64), coeff.shape)
    grid = np.arange(carriers) / carriers
    turn = np.exp(-2j * np.pi * bandwidth_hz * delay[:, :, :, None, :] * grid[:, None])
    return np.einsum("rtps,rtpks->rtks", coeff, turn)


def write_quadriga_hdf5(
    path: Path, channels: list[Arrays], *, carrier_hz: float, names: list[str] | None = None
) -> Path:
    """What quadriga-lib writes: dimensions the other way round, a group per snapshot, fixed positions as attributes."""
    import h5py

    with h5py.File(path, "w") as file:
        file["ChannelDims"] = np.array([len(channels), 1, 1, 1], np.uint32)
        file["Order"] = np.arange(1, len(channels) + 1, dtype=np.uint32)
        file["Version"] = np.uint32(1)
        for i, channel in enumerate(channels):
            group = file.create_group(f"channel_{i + 1}")
            rx, tx, paths, snapshots = channel["coeff"].shape
            numbers = {"NumSnap": snapshots, "NumTx": tx, "NumRx": rx}
            group.attrs.update({name: np.uint32(value) for name, value in numbers.items()})
            group.attrs["CenterFrequency"] = np.float32(carrier_hz)
            group.attrs["Name"] = np.bytes_(names[i] if names else f"Tx1_Rx{i + 1}")
            group.attrs["tx_position"] = channel["tx"][:, 0]
            group["rx_position"] = channel["rx"].T
            for s in range(snapshots):
                snapshot, delay = group.create_group(f"Snap_{s}"), channel["delay"][..., s]
                snapshot.attrs["NumPath"] = np.uint32(paths)
                snapshot["coeff_re"] = channel["coeff"][..., s].real.T
                snapshot["coeff_im"] = channel["coeff"][..., s].imag.T
                snapshot["delay"] = delay.T if delay.ndim == 3 else delay[:, None, None]
                angles = np.random.default_rng(i).uniform(-1, 1, (4, paths))
                snapshot["path_angles"] = angles.astype(np.float32)
    return path


def write_cir(path: Path, a: NDArray[Any], tau: NDArray[Any], **beside: Any) -> Path:
    """Sionna's ``a`` and ``tau``, and what stands beside them."""
    import h5py

    arrays = {"a": a, "tau": tau, **beside}
    if path.suffix == ".npz":
        np.savez(path, allow_pickle=True, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    return path
