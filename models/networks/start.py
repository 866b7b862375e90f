"""The start that networks correct, as a network of its own: a frame whose network always answers 0."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from channelbench.models.networks.frames import Frame
from channelbench.models.networks.groups import DetectionPart, Part, PrecodingPart
from channelbench.models.networks.precoding import objective, structure
from channelbench.solvers.constellation import constellation_named
from channelbench.solvers.detection import lmmse
from channelbench.tasks.multiuser.answers import of_linear

__all__ = ["GroupStart", "StartNetwork"]


class StartNetwork(nn.Module):
    """A frame alone. What it has of parameters is trained as it is within a network; a frame without any is calibrated.

    Args:
        frame: What begins and ends the task.
    """

    def __init__(self, frame: Frame[Any]) -> None:
        super().__init__()
        self.frame = frame

    def forward(self, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """The prediction, from ``h`` ``[batch, slots, subcarriers, antennas]`` and ``noise_var`` ``[batch]``."""
        return self.frame.alone(h, noise_var)

    def loss(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The frame's criterion on a training batch."""
        start, wanted = self.frame.begin_training(h, noise_var, target)
        return self.frame.criterion(self.frame.end(start, self.frame.nothing(start)), wanted)

    @property
    def calibration_samples(self) -> int:
        """See ``Frame``."""
        return self.frame.calibration_samples

    def calibrate(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> None:
        """The frame's statistics of training samples."""
        self.frame.calibrate(h, noise_var, target)


class GroupStart(nn.Module):
    """What networks of groups correct, with nothing to train: regularised zero forcing, which equal shares of power
    are, and the LMMSE estimate of symbols. It is a ``GroupNetwork``."""

    def loss(self, part: Part, progress: float) -> torch.Tensor:
        return self.score(part)

    def score(self, part: Part) -> torch.Tensor:
        """Minus the rate, or the mean squared error of the symbols."""
        if isinstance(part, PrecodingPart):
            return -objective(part.h, self.answer(part), part.noise_var, part.loss).mean()
        return (torch.as_tensor(self.answer(part).x) - part.x.cpu()).abs().square().mean()

    def answer(self, part: Part) -> Any:
        """See ``GroupNetwork``."""
        if isinstance(part, DetectionPart):
            found = lmmse(part.h.cpu().numpy(), part.y.cpu().numpy(), part.noise_var.cpu().numpy())
            return of_linear(found, constellation_named(part.modulation))
        equal = (part.power / part.h.shape[1])[:, None].expand(part.h.shape[:2])
        return structure(part.h, equal, equal, part.noise_var).to(torch.complex64)
