"""What networks that reconstruct channels (CE, CP, PF) share: normalisation, alignment, a learned linear start.

A subclass corrects the linear start. All shapes come from the observation's grid.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from channelbench.contracts import Grid
from channelbench.models.networks.alignment import TINY, antenna_groups, lag_phase, ramp, unit_phase

__all__ = ["ReconstructionNetwork", "ReconstructionShape", "nmse"]


@dataclass(frozen=True, kw_only=True)
class ReconstructionShape:
    """The grid that observed and wanted coefficients lie on together, and where they lie on it.

    Attributes:
        slots: All slots, in observed slot spacings from the first observed one, ``[all slots]``.
        seen_slots, seen_subcarriers: Positions of the observed ones.
        wanted_slots, wanted_subcarriers: Positions of the targets.
        num_subcarriers: All subcarriers.
        antennas: Antennas in a group; ``groups`` groups make up the array.
    """

    slots: NDArray[np.float64]
    seen_slots: NDArray[np.int64]
    wanted_slots: NDArray[np.int64]
    num_subcarriers: int
    seen_subcarriers: NDArray[np.int64]
    wanted_subcarriers: NDArray[np.int64]
    antennas: int
    groups: int

    @classmethod
    def of(cls, grid: Grid) -> ReconstructionShape:
        """The shape that an observation's grid asks for."""
        slots = np.union1d(grid.slot_s, grid.target_slot_s)
        subcarriers = np.union1d(grid.subcarrier_hz, grid.target_subcarrier_hz)
        spacing = grid.slot_s[1] - grid.slot_s[0] if len(grid.slot_s) > 1 else 1.0
        groups = antenna_groups(len(grid.antenna_position))
        return cls(
            slots=(slots - grid.slot_s[0]) / spacing,
            seen_slots=np.searchsorted(slots, grid.slot_s),
            wanted_slots=np.searchsorted(slots, grid.target_slot_s),
            num_subcarriers=len(subcarriers),
            seen_subcarriers=np.searchsorted(subcarriers, grid.subcarrier_hz),
            wanted_subcarriers=np.searchsorted(subcarriers, grid.target_subcarrier_hz),
            antennas=len(grid.antenna_position) // groups,
            groups=groups,
        )


class ReconstructionNetwork(nn.Module):
    """A normalised, aligned channel, resampled linearly onto the whole grid, and a network that corrects it.

    1. Groups of neighbouring antennas are samples of their own, so that weights do not grow with the array.
    2. Each is divided by its RMS, and its mean angle and phase are taken out.
    3. Its mean over slots (turned back by the mean Doppler) and subcarriers, per antenna, is set apart: a
       line-of-sight path ends up there, and is continued by its own Doppler.
    4. Three complex matrices, over slots, subcarriers and antennas, resample the rest onto the whole grid. They start
       as linear interpolation and are trained. The rest keeps its own Doppler: scattered paths lie within ±v/λ
       whatever that of the line of sight, and counted from the latter their band would be twice as wide.
    5. ``correction`` adds what the subclass computes from that, the mean and the noise level.

    Args:
        shape: From ``ReconstructionShape.of``.
    """

    slot_positions: torch.Tensor

    def __init__(self, shape: ReconstructionShape) -> None:
        super().__init__()
        self.shape = shape
        slots = _resampling(shape.seen_slots, len(shape.slots), beyond="recent mean")
        subcarriers = _resampling(shape.seen_subcarriers, shape.num_subcarriers, beyond="zero")
        self.slot_matrix = nn.Parameter(_complex_pairs(slots) / MATRIX_GAIN)
        self.subcarrier_matrix = nn.Parameter(_complex_pairs(subcarriers) / MATRIX_GAIN)
        self.antenna_matrix = nn.Parameter(_complex_pairs(torch.eye(shape.antennas)) / MATRIX_GAIN)
        self.register_buffer("slot_positions", torch.as_tensor(shape.slots, dtype=torch.float32), persistent=False)

    @property
    def channels(self) -> int:
        """Real numbers that describe a group at one point of the grid."""
        return 2 * self.shape.antennas

    @abstractmethod
    def correction(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """What to add to the linear start.

        Args:
            x: ``[batch, all slots, all subcarriers, channels]``, float32: real parts of all antennas, then imaginary.
            context: ``[batch, channels + 1]``: the mean set apart, and the logarithm of the noise share.

        Returns:
            Of ``x``'s shape.
        """

    def forward(self, h: torch.Tensor, noise_var: torch.Tensor, group: torch.Tensor | None = None) -> torch.Tensor:
        """The wanted coefficients.

        Args:
            h: ``[batch, slots, subcarriers, antennas]``, complex64.
            noise_var: ``[batch]``.
            group: ``[batch]``: only this group of each sample's antennas; all of them by default.

        Returns:
            ``[batch, wanted slots, wanted subcarriers, antennas]``, complex64.
        """
        grouped = self.grouped(h, group)
        per_sample = len(grouped) // len(h)
        out = self._reconstruct(grouped, noise_var.repeat_interleave(per_sample))
        out = out.unflatten(0, (len(h), per_sample)).permute(0, 2, 3, 1, 4)
        return out.flatten(3)

    def grouped(self, h: torch.Tensor, group: torch.Tensor | None) -> torch.Tensor:
        """``[batch · groups, slots, subcarriers, antennas of a group]``, or one group per sample."""
        groups = h.unflatten(3, (self.shape.groups, self.shape.antennas)).permute(0, 3, 1, 2, 4)
        if group is None:
            return groups.flatten(0, 1)
        return groups[torch.arange(len(h), device=h.device), group]

    def loss(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean per-sample NMSE, on one group of antennas per sample, drawn anew each time."""
        if self.shape.groups == 1:
            return nmse(self(h, noise_var), target)
        group = torch.randint(self.shape.groups, (len(h),)).to(h.device)
        return nmse(self(h, noise_var, group), self.grouped(target, group))

    def _reconstruct(self, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        shape = self.shape
        scale = h.abs().square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(TINY)
        h = h / scale
        antennas = torch.arange(shape.antennas, device=h.device)
        doppler = ramp(lag_phase(h, 1), self.slot_positions, 1)
        seen_doppler = doppler[:, shape.seen_slots]
        angle = ramp(lag_phase(h, 3), antennas, 3)
        steady = h * (seen_doppler * angle).conj()
        phase = unit_phase(steady.mean((1, 2, 3), keepdim=True))
        steady = steady * phase.conj()
        mean = steady.mean((1, 2), keepdim=True)
        x = self._resample((steady - mean) * seen_doppler)
        noise = (noise_var / scale.flatten().square()).clamp(1e-3, 1.0).log()
        context = torch.cat([mean.real.flatten(1), mean.imag.flatten(1), noise[:, None]], dim=1)
        pairs = torch.cat([x.real, x.imag], dim=3)
        pairs = (pairs + self.correction(pairs, context)).float()
        out = mean * doppler + torch.complex(*pairs.chunk(2, dim=3))
        out = (out * angle * phase)[:, shape.wanted_slots][:, :, shape.wanted_subcarriers]
        return out * scale

    def _resample(self, h: torch.Tensor) -> torch.Tensor:
        over_slots = MATRIX_GAIN * torch.view_as_complex(self.slot_matrix)
        over_subcarriers = MATRIX_GAIN * torch.view_as_complex(self.subcarrier_matrix)
        over_antennas = MATRIX_GAIN * torch.view_as_complex(self.antenna_matrix)
        h = torch.einsum("bska,st->btka", h, over_slots)
        h = torch.einsum("btka,ac->btkc", h, over_antennas)
        return torch.einsum("btka,kf->btfa", h, over_subcarriers)


MATRIX_GAIN = 10.0
"""The resampling matrices are stored divided by this, so that Adam moves them faster than the layers."""


def nmse(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean over samples of ``‖ĥ − h‖²/‖h‖²``."""
    error = (prediction - target).abs().square().flatten(1).sum(1)
    return (error / target.abs().square().flatten(1).sum(1).clamp_min(TINY)).mean()


def _resampling(seen: NDArray[np.int64], total: int, *, beyond: str) -> torch.Tensor:
    """``[seen, total]``: linear interpolation between the seen positions of a grid of ``total``.

    One spacing beyond the last seen position its value holds; further away the ``recent mean`` of the last quarter
    of what is seen, or ``zero``.
    """
    weights = np.stack([np.interp(np.arange(total), seen, row) for row in np.eye(len(seen))])
    spacing = int(seen[1] - seen[0]) if len(seen) > 1 else 1
    far = np.arange(total) >= seen[-1] + spacing
    recent = max(1, len(seen) // 4)
    weights[:, far] = 0.0
    if beyond == "recent mean":
        weights[-recent:, far] = 1.0 / recent
    return torch.as_tensor(weights, dtype=torch.float32)


def _complex_pairs(real: torch.Tensor) -> torch.Tensor:
    return torch.stack([real, torch.zeros_like(real)], dim=-1)
