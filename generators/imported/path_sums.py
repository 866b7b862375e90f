"""Channels of other people's paths: by this project's own sum where directions are known, antenna by antenna where each
has amplitudes of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.evaluate.exact import evaluate
from channelbench.generators.evaluate.paths import DrawnPaths
from channelbench.generators.imported.contract import LinkPaths
from channelbench.spec import BandSpec
from channelbench.store.schema import slot_times, subcarrier_hz

__all__ = ["path_power", "sum_of_paths"]


def path_power(paths: LinkPaths) -> NDArray[np.float64]:
    """Σ|a_p|² of each link, ``[links]``: the mean over slots and antennas that have amplitudes of their own."""
    power = paths.amplitude.real**2 + paths.amplitude.imag**2
    return np.mean(power.sum(axis=2), axis=(1, 2))


def sum_of_paths(
    paths: LinkPaths, band: BandSpec, *, squint: bool, divisor: NDArray[np.float64]
) -> NDArray[np.complex64]:
    """The sum over paths; see ``LinkPaths``.

    Args:
        paths: Of some links.
        band: Its grid and array.
        squint: Whether the array's phases follow the subcarrier's frequency; of paths with directions alone.
        divisor: What amplitudes are divided by, ``[links]``.

    Returns:
        ``[links, slots, subcarriers, antennas]``.

    Raises:
        RequestError: neither directions nor amplitudes of each antenna are there, where the band has several.
    """
    amplitude = paths.amplitude / divisor[:, None, None, None]
    if paths.direction is not None:
        return _by_direction(paths, amplitude, paths.direction, band, squint)
    if amplitude.shape[3] not in (1, band.array.num_antennas) or amplitude.shape[3] < band.array.num_antennas:
        expected = f"paths with directions, or with amplitudes at {band.array.num_antennas} antennas"
        raise RequestError("array", expected=expected, got=f"amplitudes at {amplitude.shape[3]}")
    return _by_antenna(paths, amplitude, band)


def _by_direction(
    paths: LinkPaths, amplitude: NDArray[np.complex128], direction: NDArray[np.float64], band: BandSpec, squint: bool
) -> NDArray[np.complex64]:
    slots = max(amplitude.shape[1], paths.delay_s.shape[1], direction.shape[1])
    if slots == 1:
        return evaluate(_drawn(amplitude[:, 0, :, 0], paths, direction, 0), band, squint=squint)
    still = band.model_copy(update={"num_slots": 1})
    return np.concatenate(
        [
            evaluate(_drawn(_at(amplitude, slot)[..., 0], paths, direction, slot), still, squint=squint)
            for slot in range(slots)
        ],
        axis=1,
    )


def _at(values: NDArray[Any], slot: int) -> NDArray[Any]:
    """Those of a slot, ``[links, …]``."""
    return values[:, slot if values.shape[1] > 1 else 0]


def _drawn(
    amplitude: NDArray[np.complex128], paths: LinkPaths, direction: NDArray[np.float64], slot: int
) -> DrawnPaths:
    """The paths of one slot in the form that ``evaluate`` sums; what it does not read is left empty."""
    none = np.zeros((len(amplitude), 0))
    doppler = np.zeros(amplitude.shape) if paths.doppler_hz is None else paths.doppler_hz
    return DrawnPaths(
        power=np.abs(amplitude) ** 2,
        phase=np.angle(amplitude),
        delay_s=np.asarray(_at(paths.delay_s, slot)[..., 0], np.float64),
        doppler_hz=np.asarray(doppler, np.float64),
        direction=np.asarray(_at(direction, slot), np.float64),
        aod=none,
        aod_phasor=none,
        aoa_phasor=none,
        los=np.zeros(len(amplitude), bool),
    )


def _by_antenna(paths: LinkPaths, amplitude: NDArray[np.complex128], band: BandSpec) -> NDArray[np.complex64]:
    """``Σ_p a[t, p, n]·e^{j2πν_p t}·e^{−j2π(f − carrier)τ[t, p, n]}``, by a matrix product for each link and slot."""
    offset_hz, time_s = subcarrier_hz(band) - band.carrier_hz, slot_times(band)
    h = np.empty((len(amplitude), band.num_slots, band.num_subcarriers, band.array.num_antennas), np.complex64)
    for link in range(len(h)):
        for slot in range(band.num_slots):
            a = _at(amplitude[link : link + 1], slot)[0]  # [paths, antennas]
            if paths.doppler_hz is not None:
                a = a * np.exp(2j * np.pi * paths.doppler_hz[link] * time_s[slot])[:, None]
            delay = _at(paths.delay_s[link : link + 1], slot)[0]
            if delay.shape[1] == 1:
                h[link, slot] = np.exp(-2j * np.pi * np.outer(offset_hz, delay[:, 0])) @ a
            else:
                for antenna in range(a.shape[1]):
                    turns = np.exp(-2j * np.pi * np.outer(offset_hz, delay[:, antenna]))
                    h[link, slot, :, antenna] = turns @ a[:, antenna]
    return h
