"""The exact sum over paths by torch, for devices that multiply matrices faster than they need to be spared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.evaluate.paths import DrawnPaths
from channelbench.spec import BandSpec
from channelbench.store.schema import antenna_positions, subcarrier_hz

__all__ = ["evaluate_cuda"]


def evaluate_cuda(
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
        device: Any of torch's.

    Returns:
        ``[batch, slots, subcarriers, antennas]``, complex64.
    """
    import torch

    def load(values: NDArray[Any]) -> Any:
        return torch.as_tensor(values, dtype=torch.float64, device=device)

    shape = (len(paths.power), band.num_slots, band.num_subcarriers, band.array.num_antennas)
    offset_hz = load(subcarrier_hz(band) - band.carrier_hz)
    scale = 1 + offset_hz / band.carrier_hz if squint else torch.ones_like(offset_hz)
    time_s = load(np.arange(band.num_slots) * band.slot_s)
    delay, doppler, phase = load(paths.delay_s), load(paths.doppler_hz), load(paths.phase)
    along = load(paths.direction @ antenna_positions(band).T)  # [batch, paths, antennas], wavelengths
    over_slots = _phasors(phase[..., None] / (2 * torch.pi) + doppler[..., None] * time_s)
    over_slots *= load(np.sqrt(paths.power)).float()[..., None]
    by_delay = -offset_hz[:, None] * delay[:, None, :]
    h = torch.empty(shape, dtype=torch.complex64, device=device)
    for n in range(shape[-1]):
        over_subcarriers = _phasors(by_delay + scale[:, None] * along[:, None, :, n])
        h[..., n] = (over_subcarriers @ over_slots).transpose(1, 2)
    if out is None:
        return np.asarray(h.cpu())
    torch.from_numpy(out).copy_(h)
    return out


def _phasors(cycles: Any) -> Any:
    """``e^{j2π·cycles}``, complex64."""
    import torch

    angle = ((cycles - cycles.round()) * (2 * torch.pi)).float()
    return torch.polar(torch.ones_like(angle), angle)
