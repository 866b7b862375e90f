"""The start that all networks correct, as a network of its own: a frame whose network always answers 0."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from channelbench.models.networks.frames import Frame

__all__ = ["StartNetwork"]


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

    def calibrate(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> None:
        """The frame's statistics of training samples."""
        self.frame.calibrate(h, noise_var, target)
