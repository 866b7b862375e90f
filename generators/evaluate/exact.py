"""The channel of a list of paths: an exact sum, with the steering vector of every subcarrier's own frequency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.evaluate.paths import DrawnPaths
from channelbench.spec import BandSpec
from channelbench.store.schema import antenna_positions, subcarrier_hz

__all__ = ["evaluate"]


def evaluate(
    paths: DrawnPaths, band: BandSpec, *, squint: bool = True, out: NDArray[np.complex64] | None = None
) -> NDArray[np.complex64]:
    """``h(t, f)[n] = Σ_p √power · e^{jΦ_p} · e^{j2π(doppler·t − (f − carrier)·delay)} · e^{j2π(f/carrier)·(u_p·x_n)}``.

    LLM4WM Eq. 1–2 with the coefficients of TR 38.901 Eq. 7.5-28/29. From one subcarrier to the next every path turns
    by a fixed angle at each antenna, so phases are evaluated once, in float64, and turned from there.

    Args:
        paths: ``[batch, paths]``.
        band: Its grid and array.
        squint: Whether the array's phases follow the subcarrier's frequency; with ``False`` they are the carrier's
            throughout, which is Sionna's narrowband array.
        out: Where to write; a new array by default.

    Returns:
        ``[batch, slots, subcarriers, antennas]``, complex64.
    """
    from channelbench.generators.evaluate.exact_loops import sum_paths

    shape = (len(paths.power), band.num_slots, band.num_subcarriers, band.array.num_antennas)
    h = np.empty(shape, np.complex64) if out is None else out
    start, turn = _subcarrier_turns(paths, band, squint)
    slot_turn = _phasors(paths.doppler_hz.astype(np.float64) * band.slot_s)
    sum_paths(paths.power > 0, start, turn, slot_turn, band.array.rows, band.array.columns, h)
    return h


def _subcarrier_turns(
    paths: DrawnPaths, band: BandSpec, squint: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each path's contribution at the first subcarrier, and the factor from one subcarrier to the next.

    Both are geometric over the array. They are returned as real and imaginary parts, ``[batch, 3, 2, paths]``: element
    0 is the value at the first antenna, 1 and 2 the factors that lead to the next column and to the next row.
    """
    positions, direction = antenna_positions(band), paths.direction.astype(np.float64)
    first_antenna = direction @ positions[0]
    spacing = band.array.spacing_wavelengths
    column, row = spacing * direction[..., 1], spacing * direction[..., 2]

    first_hz = subcarrier_hz(band)[0] - band.carrier_hz
    step_hz = band.bandwidth_hz / band.num_subcarriers
    scale = 1 + first_hz / band.carrier_hz if squint else 1.0  # f/carrier at the first subcarrier
    scale_step = step_hz / band.carrier_hz if squint else 0.0
    start = _phasors(
        paths.phase / (2 * np.pi) - first_hz * paths.delay_s + scale * first_antenna, scale * column, scale * row
    )
    start[:, 0] *= np.sqrt(paths.power)[:, None]
    turn = _phasors(-step_hz * paths.delay_s + scale_step * first_antenna, scale_step * column, scale_step * row)
    return start, turn


def _phasors(*cycles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles in full turns, each ``[batch, paths]``, to real and imaginary parts ``[batch, angles, 2, paths]``."""
    angle = 2 * np.pi * np.stack(cycles, axis=1)
    return np.stack([np.cos(angle), np.sin(angle)], axis=2)
