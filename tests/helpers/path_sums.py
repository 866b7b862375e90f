"""The defining sum over paths, term by term, and what is compared with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.evaluate.paths import DrawnPaths
from channelbench.spec import BandSpec
from channelbench.store.schema import antenna_positions, subcarrier_hz


def brute_force(paths: Any, phase: NDArray[np.float64], band: BandSpec, squint: bool) -> NDArray[np.complex128]:
    """The defining sum in float64, whatever the precision of the paths."""
    time = np.arange(band.num_slots) * band.slot_s
    frequency = subcarrier_hz(band)
    h = np.zeros((len(phase), band.num_slots, band.num_subcarriers, band.array.num_antennas), complex)
    scale = frequency / band.carrier_hz if squint else np.ones_like(frequency)
    for sample in range(len(phase)):
        for p in np.flatnonzero(paths.power[sample]):
            over_slots = phase[sample, p] / (2 * np.pi) + np.float64(paths.doppler_hz[sample, p]) * time
            by_antenna = scale[:, None] * (antenna_positions(band) @ paths.direction[sample, p].astype(np.float64))
            by_antenna -= ((frequency - band.carrier_hz) * paths.delay_s[sample, p])[:, None]
            factor = np.exp(2j * np.pi * over_slots)[:, None, None]
            h[sample] += np.sqrt(paths.power[sample, p]) * factor * np.exp(2j * np.pi * by_antenna)
    return h


def relative_error(got: NDArray[Any], want: NDArray[Any]) -> float:
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def random_paths(
    rng: np.random.Generator,
    num_paths: int,
    *,
    max_doppler_hz: float = 0.0,
    direction: Any = None,
    precision: type = np.float32,
) -> DrawnPaths:
    """One sample of paths from everywhere, or from one ``direction``, four of a delay; the first and the last turn as
    fast as is allowed, in either direction. ``precision`` is that of directions and Doppler shifts."""
    towards = rng.standard_normal((1, num_paths, 3)) if direction is None else np.full((1, num_paths, 3), direction)
    power = rng.exponential(size=(1, num_paths))
    doppler = rng.uniform(-1, 1, (1, num_paths)) * max_doppler_hz
    doppler[0, [0, -1]] = -max_doppler_hz, max_doppler_hz
    nothing = np.zeros((1, num_paths))
    return DrawnPaths(
        power=power / power.sum(),
        delay_s=np.repeat(rng.exponential(2e-7, (1, -(-num_paths // 4))), 4, axis=1)[:, :num_paths],
        doppler_hz=doppler.astype(precision),
        direction=(towards / np.linalg.norm(towards, axis=-1, keepdims=True)).astype(precision),
        phase=rng.uniform(-1e5, 1e5, (1, num_paths)),
        aod=nothing,
        aod_phasor=nothing,
        aoa_phasor=nothing,
        los=np.array([False]),
    )
