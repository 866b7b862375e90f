"""Frames that work out nothing: networks see channels as they are and answer the whole of what is asked.

They stand beside the aligned frames to show how much of a score is due to those.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from channelbench.models.networks.alignment import TINY, Peak, at_strongest_path
from channelbench.models.networks.reconstruction import ReconstructionFrame, ReconstructionShape, ReconstructionStart
from channelbench.models.networks.sensing import BeamFrame, ScalarFrame, SensingFrame, SensingStart

__all__ = ["RawBeamFrame", "RawReconstructionFrame", "RawScalarFrame"]


class RawReconstructionFrame(ReconstructionFrame):
    """The observed coefficients in their places on the whole grid, zero where nothing was observed, all divided by the
    RMS of those that were. An answer is the wanted channel in that unit."""

    def __init__(self, shape: ReconstructionShape) -> None:
        super().__init__(shape)
        for name in ("slot_matrix", "subcarrier_matrix", "antenna_matrix"):  # nothing is resampled
            self.register_parameter(name, None)

    def end(self, start: ReconstructionStart, answer: torch.Tensor) -> torch.Tensor:
        return super().end(replace(start, pairs=torch.zeros_like(start.pairs)), answer)

    def _begin(self, h: torch.Tensor, noise_var: torch.Tensor) -> ReconstructionStart:
        shape = self.shape
        scale = h.abs().square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(TINY)
        grid = h.new_zeros(len(h), len(shape.slots), shape.num_subcarriers, shape.antennas)
        places = torch.as_tensor(shape.seen_slots)[:, None], torch.as_tensor(shape.seen_subcarriers)
        grid[:, places[0], places[1]] = h / scale
        noise = (noise_var / scale.flatten().square()).clamp(1e-3, 1.0).log()
        nothing = h.new_zeros(len(h), 1, 1, shape.antennas)
        one = torch.ones_like(nothing)
        return ReconstructionStart(
            pairs=torch.cat([grid.real, grid.imag], dim=3),
            context=torch.cat([noise.new_zeros(len(h), self.channels), noise[:, None]], dim=1),
            mean=nothing,
            doppler=one,
            angle=one,
            phase=one,
            scale=scale,
        )


class _Unturned(SensingFrame):
    """The first slot as it is: its strongest path stays where it is."""

    def seen(self, h: torch.Tensor, noise_var: torch.Tensor) -> tuple[Peak, torch.Tensor, torch.Tensor]:
        _, scale, noise = super().seen(h, noise_var)
        peak = at_strongest_path(h[:, 0], self.bins)
        return replace(peak, taps=torch.fft.ifft(h[:, 0], dim=1), beam=torch.zeros_like(peak.beam)), scale, noise


class RawBeamFrame(_Unturned, BeamFrame):
    """An answer is the scores of the beams themselves; nothing is known of them before."""

    def begin(self, h: torch.Tensor, noise_var: torch.Tensor) -> SensingStart:
        start = super().begin(h, noise_var)
        return replace(start, direct=torch.zeros_like(start.direct))


class RawScalarFrame(_Unturned, ScalarFrame):
    """An answer is the deviation from the mean of the training targets in units of their spread."""

    def _begin(self, h: torch.Tensor, noise_var: torch.Tensor) -> tuple[SensingStart, torch.Tensor]:
        start, features = super()._begin(h, noise_var)
        constant = torch.cat([start.direct[:, :1], torch.zeros_like(start.direct[:, 1:])], dim=1)
        return replace(start, direct=constant), features
