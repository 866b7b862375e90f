"""From traced rays to the paths that the sums of ``evaluate`` take, and to what a dataset says of a link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.evaluate.exact import evaluate
from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT, ArrivingPaths, DrawnPaths
from channelbench.generators.evaluate.statistics import link_statistics
from channelbench.generators.raytraced.tracing import Rays
from channelbench.generators.raytraced.worlds import World
from channelbench.spec import BandSpec

__all__ = ["MOST_K_DB", "first_delay_s", "gains", "paths_of", "statistics", "sum_slots"]

MOST_K_DB = 100.0
"""K-factor of a link that has nothing but its line of sight."""


def gains(rays: Sequence[Rays], band: str) -> NDArray[np.float64]:
    """Σ|a_p|² of each link, ``[links]``."""
    return np.array([np.sum(np.abs(each.amplitude[band]) ** 2) for each in rays])


def first_delay_s(rays: Sequence[Rays]) -> NDArray[np.float64]:
    """Delay of the first path of each link, s, ``[links]``; 0 where there is none."""
    return np.array([each.length_m.min(initial=np.inf) for each in rays]).clip(max=1e12) / SPEED_OF_LIGHT


def paths_of(
    rays: Sequence[Rays],
    world: World,
    band: str,
    carrier_hz: float,
    velocity: NDArray[np.float64],
    reference_s: NDArray[np.float64],
    gain: NDArray[np.float64],
) -> ArrivingPaths:
    """Paths of links in a band, in the dataset's coordinates. Path 0 is the line of sight, absent where there is none.

    Args:
        rays: Of each link.
        world: Whose coordinates the rays are in.
        band: Which of their amplitudes.
        carrier_hz: Its carrier.
        velocity: Of the users, in the scene, m/s, ``[links, 3]``.
        reference_s: What delays count from, ``[links]``. The phase at the carrier is that of the whole length.
        gain: What the power of each link is divided by, ``[links]``.
    """
    links, most = len(rays), max((len(each.receiver) for each in rays), default=0) + 1
    power, delay, doppler, phase = (np.zeros((links, most)) for _ in range(4))
    departure, arrival = np.zeros((links, most, 3)), np.zeros((links, most, 3))
    departure[..., 0] = arrival[..., 0] = 1.0
    los = np.zeros(links, bool)
    for link, each in enumerate(rays):
        order = np.lexsort((each.length_m, each.interactions > 0))
        direct = each.interactions[order] == 0
        los[link] = bool(direct.any())
        columns = np.arange(len(order)) + (0 if los[link] else 1)
        amplitude, length = each.amplitude[band][order], each.length_m[order]
        power[link, columns] = np.abs(amplitude) ** 2 / gain[link]
        delay[link, columns] = length / SPEED_OF_LIGHT - reference_s[link]
        phase[link, columns] = np.angle(amplitude) - 2 * np.pi * np.mod(length * (carrier_hz / SPEED_OF_LIGHT), 1.0)
        doppler[link, columns] = each.arrival[order] @ velocity[link] * (carrier_hz / SPEED_OF_LIGHT)
        departure[link, columns], arrival[link, columns] = each.departure[order], each.arrival[order]
    departure, arrival = world.turned(departure), world.turned(arrival)
    aod, aoa = (np.arctan2(each[..., 1], each[..., 0]) for each in (departure, arrival))
    return ArrivingPaths(
        power=power,
        delay_s=delay,
        doppler_hz=doppler,
        direction=departure,
        phase=phase,
        aod=aod,
        aod_phasor=np.exp(1j * aod),
        aoa_phasor=np.exp(1j * aoa),
        los=los,
        zoa=np.arccos(np.clip(arrival[..., 2], -1, 1)),
    )


def sum_slots(slots: Sequence[DrawnPaths], band: BandSpec, *, squint: bool) -> NDArray[np.complex64]:
    """Channels of links whose slots have paths of their own, ``[links, slots, subcarriers, antennas]``."""
    single = band.model_copy(update={"num_slots": 1})
    still = [replace(paths, doppler_hz=np.zeros_like(paths.doppler_hz)) for paths in slots]
    return np.concatenate([evaluate(paths, single, squint=squint) for paths in still], axis=1)


def statistics(paths: DrawnPaths, path_gain_db: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """``link_statistics`` of links that may have nothing but a line of sight."""
    with np.errstate(divide="ignore"):
        found = link_statistics(paths, path_gain_db)
    return found | {"k_factor_db": np.minimum(found["k_factor_db"], MOST_K_DB)}
