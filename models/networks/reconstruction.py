"""What networks that reconstruct channels (CE, CP, PF) share: normalisation, alignment, a learned linear start.

Networks correct the linear start. All shapes come from the observation's grid.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from channelbench.grid import ChannelGrid
from channelbench.models.networks.alignment import TINY, antenna_groups, lag_phase, ramp, unit_phase
from channelbench.models.networks.frames import Frame, FramedNetwork

__all__ = ["ReconstructionFrame", "ReconstructionNetwork", "ReconstructionShape", "ReconstructionStart", "nmse"]


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
    def of(cls, grid: ChannelGrid) -> ReconstructionShape:
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


@dataclass(frozen=True, kw_only=True)
class ReconstructionStart:
    """The linear start of a batch, and what turns a corrected one back into channels.

    Attributes:
        pairs: ``[batch, all slots, all subcarriers, channels]``, float32: real parts of all antennas, then imaginary.
        context: ``[batch, channels + 1]``: the mean set apart, and the logarithm of the noise share.
        mean, doppler, angle, phase, scale: What was taken out; they multiply to ``[batch, slots, subcarriers,
            antennas]``.
    """

    pairs: torch.Tensor
    context: torch.Tensor
    mean: torch.Tensor
    doppler: torch.Tensor
    angle: torch.Tensor
    phase: torch.Tensor
    scale: torch.Tensor

    def of_antennas(self, rows: torch.Tensor, antenna: torch.Tensor) -> ReconstructionStart:
        """The starts of single antennas (``antenna`` of the sample in ``rows``, both ``[starts]``), as if arrays had no
        other."""
        pairs = self.pairs.unflatten(3, (2, -1))[rows, :, :, :, antenna]
        antennas = self.angle.shape[3]
        context = torch.stack(
            [self.context[rows, antenna], self.context[rows, antennas + antenna], self.context[rows, -1]], dim=1
        )
        mean, angle = (of_all[rows, :, :, antenna][..., None] for of_all in (self.mean, self.angle))
        doppler, phase, scale = self.doppler[rows], self.phase[rows], self.scale[rows]
        return replace(
            self, pairs=pairs, context=context, mean=mean, angle=angle, doppler=doppler, phase=phase, scale=scale
        )


class ReconstructionFrame(Frame[ReconstructionStart]):
    """A normalised, aligned channel, resampled linearly onto the whole grid, for a network to correct.

    1. Groups of neighbouring antennas are samples of their own, so that weights do not grow with the array.
    2. Each is divided by its RMS, and its mean angle and phase are taken out.
    3. Its mean over slots (turned back by the mean Doppler) and subcarriers, per antenna, is set apart: a
       line-of-sight path ends up there, and is continued by its own Doppler.
    4. Three complex matrices, over slots, subcarriers and antennas, resample the rest onto the whole grid. They start
       as linear interpolation and are trained. The rest keeps its own Doppler: scattered paths lie within ±v/λ
       whatever that of the line of sight, and counted from the latter their band would be twice as wide.

    An answer is what to add to the linear start, of the shape of ``ReconstructionStart.pairs``.

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

    def begin(self, h: torch.Tensor, noise_var: torch.Tensor) -> ReconstructionStart:
        return self._begin(self.grouped(h, None), noise_var.repeat_interleave(self.shape.groups))

    def begin_training(
        self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor
    ) -> tuple[ReconstructionStart, torch.Tensor]:
        """One group of antennas per sample, drawn anew each time: a sample has as many as fit into a prediction."""
        if self.shape.groups == 1:
            return self.begin(h, noise_var), target
        group = torch.randint(self.shape.groups, (len(h),)).to(h.device)
        return self._begin(self.grouped(h, group), noise_var), self.grouped(target, group)

    def end(self, start: ReconstructionStart, answer: torch.Tensor) -> torch.Tensor:
        """The wanted coefficients of each group, ``[batch · groups, wanted slots, wanted subcarriers, antennas of a
        group]``, complex64."""
        pairs = (start.pairs + answer).float()
        out = start.mean * start.doppler + torch.complex(*pairs.chunk(2, dim=3))
        out = out * start.angle * start.phase
        return out[:, self.shape.wanted_slots][:, :, self.shape.wanted_subcarriers] * start.scale

    def nothing(self, start: ReconstructionStart) -> torch.Tensor:
        return torch.zeros_like(start.pairs)

    def whole(self, prediction: torch.Tensor) -> torch.Tensor:
        """Groups of antennas side by side again: ``[batch, wanted slots, wanted subcarriers, antennas]``."""
        return prediction.unflatten(0, (-1, self.shape.groups)).permute(0, 2, 3, 1, 4).flatten(3)

    def criterion(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nmse(prediction, target)

    def grouped(self, h: torch.Tensor, group: torch.Tensor | None) -> torch.Tensor:
        """``[batch · groups, slots, subcarriers, antennas of a group]``, or one group per sample (``[batch]``)."""
        groups = h.unflatten(3, (self.shape.groups, self.shape.antennas)).permute(0, 3, 1, 2, 4)
        if group is None:
            return groups.flatten(0, 1)
        return groups[torch.arange(len(h), device=h.device), group]

    def _begin(self, h: torch.Tensor, noise_var: torch.Tensor) -> ReconstructionStart:
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
        return ReconstructionStart(
            pairs=torch.cat([x.real, x.imag], dim=3),
            context=torch.cat([mean.real.flatten(1), mean.imag.flatten(1), noise[:, None]], dim=1),
            mean=mean,
            doppler=doppler,
            angle=angle,
            phase=phase,
            scale=scale,
        )

    def _resample(self, h: torch.Tensor) -> torch.Tensor:
        over_slots = MATRIX_GAIN * torch.view_as_complex(self.slot_matrix)
        over_subcarriers = MATRIX_GAIN * torch.view_as_complex(self.subcarrier_matrix)
        over_antennas = MATRIX_GAIN * torch.view_as_complex(self.antenna_matrix)
        h = torch.einsum("bska,st->btka", h, over_slots)
        h = torch.einsum("btka,ac->btkc", h, over_antennas)
        return torch.einsum("btka,kf->btfa", h, over_subcarriers)


class ReconstructionNetwork(FramedNetwork[ReconstructionStart], ReconstructionFrame):
    """A network that corrects the linear start of one task."""

    @abstractmethod
    def correction(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """What to add to the linear start, of ``x``'s shape.

        Args:
            x, context: ``pairs`` and ``context`` of ``ReconstructionStart``.
        """

    def answer(self, start: ReconstructionStart) -> torch.Tensor:
        return self.correction(start.pairs, start.context)


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
