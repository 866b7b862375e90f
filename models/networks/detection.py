"""What networks that detect symbols share: levels of the axes, the loss, and how large their errors are.

``y = Hx + n`` with ``h [batch, antennas, users]``, ``y [batch, uses, antennas]``; symbols and estimates are
``[batch, uses, users]``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

from channelbench.models.networks.groups import DetectionPart
from channelbench.solvers.constellation import constellation_named
from channelbench.tasks.multiuser.answers import DetectionAnswer
from channelbench.tasks.multiuser.conditions import TRAIN_SNR_DB

__all__ = ["CalibratedDetector", "DetectionNetwork", "axis_levels", "matched", "snr_db"]

BINS = 5
"""Of equal width over the SNRs of a training, in which errors are counted."""

TINY = 1e-12


def axis_levels(modulation: str) -> torch.Tensor:
    """Levels of the real and of the imaginary axis, ``[2, levels]``, ascending; an axis that carries nothing has as
    many zeros."""
    axes = [torch.tensor(levels, dtype=torch.float32) for levels in constellation_named(modulation).axes]
    most = max(len(levels) for levels in axes)
    return torch.stack([torch.cat([levels, levels.new_zeros(most - len(levels))]).sort().values for levels in axes])


def matched(part: DetectionPart) -> tuple[torch.Tensor, torch.Tensor]:
    """``HᴴH`` ``[batch, users, users]`` and ``Hᴴy`` ``[batch, uses, users]``."""
    return part.h.mH @ part.h, part.y @ part.h.conj()


def snr_db(part: DetectionPart) -> torch.Tensor:
    """``‖H‖²_F/(N σ²)``, ``[batch]``."""
    power = (part.h.real**2 + part.h.imag**2).sum((1, 2)) / part.h.shape[1]
    return 10 * torch.log10((power / part.noise_var.clamp_min(TINY)).clamp_min(TINY))


def squared_error(estimate: torch.Tensor, sent: torch.Tensor) -> torch.Tensor:
    """``|x̂ − x|²``, of their shape."""
    error = estimate - sent
    return error.real**2 + error.imag**2


class DetectionNetwork(nn.Module):
    """A ``GroupNetwork`` that estimates symbols; it is trained and judged by their mean squared error."""

    @abstractmethod
    def forward(self, part: DetectionPart) -> torch.Tensor:
        """Estimates ``[batch, uses, users]``, complex64."""

    def loss(self, part: DetectionPart, progress: float) -> torch.Tensor:
        return self.score(part)

    def score(self, part: DetectionPart) -> torch.Tensor:
        return squared_error(self(part), part.x).mean()

    @abstractmethod
    def answer(self, part: DetectionPart) -> DetectionAnswer:
        """The estimates and how far they can be trusted."""


class CalibratedDetector(DetectionNetwork):
    """One that says nothing of its errors: their mean square on the validation split stands for them, by SNR."""

    error_var: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("error_var", torch.ones(BINS))

    def finish(self, parts: Sequence[DetectionPart]) -> None:
        """Count errors in bins of SNR; a bin without a case has the mean of all. A fit that is loaded counts anew."""
        errors = torch.cat([squared_error(self(part), part.x).mean((1, 2)) for part in parts])
        places = torch.cat([self.place(part) for part in parts])
        nothing = torch.zeros_like(self.error_var)
        sums, counts = (nothing.index_add(0, places, each) for each in (errors, torch.ones_like(errors)))
        self.error_var.copy_(torch.where(counts > 0, sums / counts.clamp_min(1), errors.mean()))

    def place(self, part: DetectionPart) -> torch.Tensor:
        """The bin of each group, ``[batch]``; the first and the last one reach beyond the SNRs of the training."""
        low, high = TRAIN_SNR_DB
        return ((snr_db(part) - low) / (high - low) * BINS).floor().long().clamp(0, BINS - 1)

    def answer(self, part: DetectionPart) -> DetectionAnswer:
        error_var = self.error_var[self.place(part)][:, None, None]
        return DetectionAnswer(x=self(part).cpu().numpy(), error_var=error_var.cpu().numpy())
