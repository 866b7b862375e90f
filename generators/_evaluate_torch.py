"""The exact sum over paths by torch, for devices that multiply matrices faster than they need to be spared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.cuda import require_cuda
from channelbench.generators._paths import DrawnPaths
from channelbench.spec import BandSpec
from channelbench.store.schema import antenna_positions, subcarrier_hz

__all__ = ["evaluate_torch"]

BATCH = 50
"""Samples at a time: a phase for each subcarrier, antenna and path of more of them would take gigabytes."""


def evaluate_torch(
    paths: DrawnPaths,
    band: BandSpec,
    *,
    squint: bool = True,
    out: NDArray[np.complex64] | None = None,
    device: str = "cuda",
) -> NDArray[np.complex64]:
    """What ``evaluate`` computes. Phases are taken to one turn in float64; from there on all is float32.

    For each antenna, a matrix product of paths' phases over the subcarriers with their phases over the slots.

    Args:
        paths: ``[batch, paths]``.
        band: Its grid and array.
        squint: Whether the array's phases follow the subcarrier's frequency.
        out: Where to write; a new array by default.
        device: Of torch.

    Returns:
        ``[batch, slots, subcarriers, antennas]``, complex64.

    Raises:
        RequestError: ``device`` is CUDA's and there is none.
    """
    import torch

    if device == "cuda":
        require_cuda("--engine", ["fast", "sionna"])

    def load(values: NDArray[Any]) -> Any:
        return torch.as_tensor(values, dtype=torch.float64, device=device)

    positions = antenna_positions(band)
    shape = (len(paths.power), band.num_slots, band.num_subcarriers, band.array.num_antennas)
    h = np.empty(shape, np.complex64) if out is None else out
    offset_hz = load(subcarrier_hz(band) - band.carrier_hz)
    scale = 1 + offset_hz / band.carrier_hz if squint else torch.ones_like(offset_hz)
    time_s = load(np.arange(band.num_slots) * band.slot_s)
    for first in range(0, len(h), BATCH):
        rows = slice(first, first + BATCH)
        delay, doppler, phase, power = (
            load(values[rows]) for values in (paths.delay_s, paths.doppler_hz, paths.phase, paths.power)
        )
        along = load(paths.direction[rows] @ positions.T)  # [batch, paths, antennas]
        over_time = _phasors(phase[..., None] / (2 * torch.pi) + doppler[..., None] * time_s, power.sqrt()[..., None])
        by_delay = -offset_hz[:, None] * delay[:, None, :]
        made = torch.empty((*delay.shape[:1], *h.shape[1:]), dtype=torch.complex64, device=device)
        for n in range(h.shape[3]):
            over_frequency = _phasors(by_delay + scale[:, None] * along[:, None, :, n], None)
            made[..., n] = (over_frequency @ over_time).transpose(1, 2)
        h[rows] = made.cpu().numpy()
    return h


def _phasors(cycles: Any, amplitude: Any) -> Any:
    """``amplitude · e^{j2π·cycles}``, complex64."""
    import torch

    angle = ((cycles - cycles.round()) * (2 * torch.pi)).float()
    size = torch.ones_like(angle) if amplitude is None else amplitude.float().expand_as(angle)
    return torch.polar(size, angle)
