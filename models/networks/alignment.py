"""Taking out of a channel what is known to change nothing but phases, before a network sees it.

A channel dominated by one path is, up to a complex factor, a product of phase ramps: over slots (Doppler), antennas
(angle) and subcarriers (delay). Networks spend most of a short training on learning these ramps. Both functions here
estimate the strongest ones from the observation alone and take them out; the prediction gets them back.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["Peak", "antenna_groups", "at_strongest_path", "lag_phase", "ramp", "unit_phase"]

TINY = 1e-12


def lag_phase(h: torch.Tensor, dim: int) -> torch.Tensor:
    """Phase step between neighbours along ``dim``, ``[batch]`` in rad: the angle of the lag-one correlation."""
    length = h.shape[dim]
    if length < 2:
        return torch.zeros(len(h), device=h.device)
    product = h.narrow(dim, 1, length - 1) * h.narrow(dim, 0, length - 1).conj()
    return torch.angle(product.flatten(1).sum(1))


def ramp(phase_step: torch.Tensor, positions: torch.Tensor, dim: int) -> torch.Tensor:
    """``e^{j·phase_step·position}`` along ``dim`` of four, ``[batch, …, positions, …]``."""
    phase = phase_step[:, None] * positions
    shape = [len(phase), 1, 1, 1]
    shape[dim] = len(positions)
    return torch.polar(torch.ones_like(phase), phase).view(shape)


def unit_phase(x: torch.Tensor) -> torch.Tensor:
    """``x/|x|``, and 1 where x is 0."""
    return torch.polar(torch.ones_like(x.real), torch.angle(x))


def antenna_groups(antennas: int, largest: int = 8) -> int:
    """How many groups of at most ``largest`` neighbouring antennas make up an array of ``antennas``."""
    return next(groups for groups in range(1, antennas + 1) if antennas % groups == 0 and antennas // groups <= largest)


@dataclass(frozen=True, kw_only=True)
class Peak:
    """A channel seen from its strongest path.

    Attributes:
        taps: Delay domain, ``[batch, delays, antennas]``; the strongest path is at delay 0 and angle 0 with phase 0.
        beam: Its angle as a bin of the ``bins``-point DFT over antennas, ``[batch]``, int64.
        spectrum: Power over angle bins at its delay, ``[batch, bins]``, rolled so that the peak is at bin 0.
    """

    taps: torch.Tensor
    beam: torch.Tensor
    spectrum: torch.Tensor


def at_strongest_path(h: torch.Tensor, bins: int) -> Peak:
    """Find the strongest bin of the delay–angle domain and turn the channel so that it stands at the origin.

    Args:
        h: ``[batch, subcarriers, antennas]``.
        bins: Points of the DFT over antennas, an oversampling of the angle domain.
    """
    taps = torch.fft.ifft(h, dim=1)
    power = torch.fft.fft(taps, n=bins, dim=2).abs().square()
    where = power.flatten(1).argmax(dim=1)
    delay, beam = where // bins, where % bins
    rows = (torch.arange(h.shape[1], device=h.device) + delay[:, None]) % h.shape[1]
    taps = taps.gather(1, rows[:, :, None].expand_as(taps))
    turn = -2 * torch.pi / bins * beam[:, None] * torch.arange(h.shape[2], device=h.device)
    taps = taps * torch.polar(torch.ones_like(turn), turn)[:, None]
    taps = taps * unit_phase(taps[:, 0].sum(1)).conj()[:, None, None]
    columns = (torch.arange(bins, device=h.device) + beam[:, None]) % bins
    spectrum = power[torch.arange(len(h), device=h.device), delay].gather(1, columns)
    return Peak(taps=taps, beam=beam, spectrum=spectrum)
