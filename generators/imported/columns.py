"""From what a reader gives of some links to the variables of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.evaluate.statistics import angular_spread_deg, delay_spread_s
from channelbench.generators.imported.contract import LinkPaths, Links, Scale
from channelbench.generators.imported.path_sums import path_power, sum_of_paths
from channelbench.spec import BandSpec

__all__ = ["Columns", "band_power", "check_links", "columns_of"]

Columns = dict[str, NDArray[Any]]

OF_USER = {"ue_position": (3,), "ue_velocity": (3,), "distance_m": (), "los": ()}
"""Shapes of one row."""

FARTHEST_M = 1e5
"""From the base station, at (0, 0): whoever stands farther has coordinates of another origin or unit."""

MOST_K_DB = 100.0
"""K-factor, either way, of a link that has nothing but its specular path, or nothing of it."""


def check_links(links: Links, bands: Mapping[str, BandSpec], rows: NDArray[np.int64], place: str) -> None:
    """Refuse values that are no numbers, and arrays that are not as long as they say.

    Args:
        links: Of these rows.
        bands: What they are to be in.
        rows: Their numbers, for the complaint.
        place: What was read, for the complaint.

    Raises:
        RequestError: where the first of them is.
    """
    for name, band in bands.items():
        found, wanted = links.bands[name], (len(rows), band.num_slots, band.num_subcarriers, band.array.num_antennas)
        if found.h is not None:
            if found.h.shape != wanted:
                expected = f"h_{name} of shape {list(wanted)}"
                raise RequestError("PATH", expected=expected, got=f"{place} ({list(found.h.shape)})")
            _check_finite(f"h_{name}", found.h, rows, ("slot", "subcarrier", "antenna"), place)
        if (paths := found.paths) is not None:
            axes = ("slot", "path", "antenna")
            _check_finite(f"amplitude_{name}", paths.amplitude, rows, axes, place)
            _check_finite(f"delay_s_{name}", paths.delay_s, rows, axes, place)
            if paths.direction is not None:
                _check_finite(f"direction_{name}", paths.direction, rows, ("slot", "path", "axis"), place)
            if paths.doppler_hz is not None:
                _check_finite(f"doppler_hz_{name}", paths.doppler_hz, rows, ("path",), place)
    for name, shape in OF_USER.items():
        if (values := getattr(links, name)) is not None:
            if values.shape != (len(rows), *shape):
                got = f"{place}: rows of shape {list(values.shape[1:])}"
                raise RequestError("PATH", expected=f"{name} in rows of shape {list(shape)}", got=got)
            if name != "los":
                with np.errstate(over="ignore"):
                    stored = values.astype(np.float32)
                _check_finite(name, stored, rows, ("axis",), place)
    _check_place("ue_position", links.ue_position, rows, place)
    _check_place("distance_m", links.distance_m, rows, place)


def _check_place(name: str, values: NDArray[Any] | None, rows: NDArray[np.int64], place: str) -> None:
    if values is None:
        return
    outside = np.abs(values) > FARTHEST_M if values.ndim == 2 else ~((values >= 0) & (values <= FARTHEST_M))
    if outside.any():
        link = int(np.argwhere(outside)[0][0])
        expected = f"metres from the base station, at (0, 0), at most {FARTHEST_M:g}"
        got = f"{place}: {name} of link {rows[link]} is {values[link].tolist()}"
        raise RequestError("PATH", expected=expected, got=got)


def _check_finite(name: str, values: NDArray[Any], rows: NDArray[np.int64], axes: tuple[str, ...], place: str) -> None:
    finite = np.isfinite(values)
    if finite.all():
        return
    link, *rest = np.argwhere(~finite)[0]
    where = "".join(f", {axis} {index}" for axis, index in zip(axes, rest, strict=False))
    got = f"{place}: {name} of link {rows[link]}{where} is {values[(link, *rest)]}"
    raise RequestError("PATH", expected="numbers throughout", got=got)


def band_power(links: Links, band: str) -> NDArray[np.float64]:
    """What tells the scale of each link: the mean ``|H|²`` over slots, subcarriers and antennas, or of paths Σ|a_p|²,
    ``[links]``."""
    found = links.bands[band]
    with np.errstate(over="ignore"):  # infinite: `survey` refuses it
        return path_power(found.paths) if found.paths is not None else _mean_power(found.h)


def _mean_power(h: Any) -> NDArray[np.float64]:
    wide = np.asarray(h, np.complex128)
    return np.mean(wide.real**2 + wide.imag**2, axis=(1, 2, 3))


def columns_of(
    links: Links,
    bands: Mapping[str, BandSpec],
    *,
    scale: Scale,
    constants: Mapping[str, float],
    squint: bool,
    bs_height_m: float | None,
) -> Columns:
    """All variables of some links that can be told, but for ``drop``, ``block`` and ``split``.

    Args:
        links: All of them with some power in every band.
        bands: What they are in.
        scale: What amplitudes mean.
        constants: What ``unscaled`` channels are divided by, by band.
        squint: Whether the array's phases follow the subcarrier's frequency where paths are summed.
        bs_height_m: Of the base station, where known.
    """
    columns: Columns = {}
    for name, band in bands.items():
        found = links.bands[name]
        power = band_power(links, name)
        if scale in ("paths", "physical"):
            divisor = np.sqrt(power)
            columns[f"path_gain_db_{name}"] = 10 * np.log10(power)
        else:
            divisor = np.full(len(power), constants.get(name, 1.0))
        if found.path_gain_db is not None and scale == "normalised":
            columns[f"path_gain_db_{name}"] = found.path_gain_db
        if found.paths is not None:
            h = sum_of_paths(found.paths, band, squint=squint, divisor=divisor)
            gain_db = columns.get(f"path_gain_db_{name}")
            numbers = _path_numbers(found.paths, gain_db, links.los)
        else:
            h, numbers = _divided(found.h, divisor), {}
        columns[f"h_{name}"] = h
        columns |= {f"{key}_{name}": values for key, values in {**numbers, **found.numbers}.items()}
    columns |= {
        name: values
        for name in ("ue_position", "ue_velocity", "los", "distance_m")
        if (values := getattr(links, name)) is not None
    }
    if "distance_m" not in columns and links.ue_position is not None and bs_height_m is not None:
        columns["distance_m"] = np.linalg.norm(links.ue_position - np.array([0.0, 0.0, bs_height_m]), axis=1)
    return columns


def _divided(h: Any, divisor: NDArray[np.float64]) -> NDArray[np.complex64]:
    """As they are where there is nothing to divide by, to the last bit."""
    if (divisor == 1).all():
        return np.asarray(h, np.complex64)
    return np.asarray(h / divisor[:, None, None, None], np.complex64)


def _path_numbers(
    paths: LinkPaths, path_gain_db: NDArray[np.float64] | None, los: NDArray[np.bool_] | None
) -> dict[str, NDArray[Any]]:
    """What the paths of a band realise, by variable without the band's name, ``[links]`` each."""
    first = paths.amplitude[:, 0]
    power = np.mean(np.abs(first) ** 2, axis=-1) if paths.power is None else paths.power
    strongest = np.argmax(power, axis=-1)
    row, numbers = np.arange(len(power)), dict[str, NDArray[Any]]()
    if paths.specular and los is not None:
        strongest = np.where(los & (power[:, 0] > 0), 0, strongest)
        numbers["k_factor_db"] = _k_factor_db(power, los)
    numbers["delay_spread_s"] = delay_spread_s(power, paths.delay_s[:, 0].mean(axis=-1))
    if path_gain_db is not None:
        numbers["main_path_gain_db"] = path_gain_db + 10 * np.log10(power[row, strongest] / power.sum(axis=-1))
    azimuth = paths.aod_azimuth
    if azimuth is None and paths.direction is not None:
        azimuth = np.arctan2(paths.direction[:, 0, :, 1], paths.direction[:, 0, :, 0])
    if azimuth is not None:
        numbers["asd_deg"] = angular_spread_deg(power, np.exp(1j * azimuth))
        numbers["strongest_aod_deg"] = np.degrees(azimuth[row, strongest])
    if paths.aoa_azimuth is not None:
        numbers["asa_deg"] = angular_spread_deg(power, np.exp(1j * paths.aoa_azimuth))
    return numbers


def _k_factor_db(power: NDArray[np.float64], los: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Power of the specular path, the first, over that of all others, as our own sources have it; NaN without line of
    sight, ``[links]``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        k_db = 10 * np.log10(power[:, 0] / power[:, 1:].sum(axis=-1))
    return np.where(los, np.clip(k_db, -MOST_K_DB, MOST_K_DB), np.nan)
