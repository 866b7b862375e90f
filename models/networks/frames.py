"""Frames: what stands between a task and a network that learns it.

A frame turns an observation into what a network sees (normalised, aligned, with the answer that needs no learning
worked out), and a network's answer back into a prediction. Networks of one task are frames with an ``answer``; networks
of several tasks hold a frame for each and answer for all of them at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

import torch
from torch import nn

__all__ = ["MOST_CASES", "Frame", "FramedNetwork"]

Start = TypeVar("Start")

MOST_CASES = 20_000
"""Training cases that statistics are taken of, where as many as there are would do."""


class Frame(nn.Module, ABC, Generic[Start]):
    """Begins and ends a task. Its parameters and statistics are part of the network that uses it."""

    calibration_samples: ClassVar[int] = 0
    """Training samples that ``calibrate`` asks for, at most; 0 where it has nothing to take."""

    @abstractmethod
    def begin(self, h: torch.Tensor, noise_var: torch.Tensor) -> Start:
        """What a network sees of a batch.

        Args:
            h: ``[batch, slots, subcarriers, antennas]``, complex64.
            noise_var: ``[batch]``, float32.
        """

    @abstractmethod
    def end(self, start: Start, answer: torch.Tensor) -> torch.Tensor:
        """The prediction that a network's answer stands for."""

    @abstractmethod
    def nothing(self, start: Start) -> torch.Tensor:
        """The answer of a network whose last layer is zero: of the shape that ``end`` takes."""

    @abstractmethod
    def criterion(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar."""

    def begin_training(
        self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor
    ) -> tuple[Start, torch.Tensor]:
        """``begin`` and the target that its answer is compared with; a frame may train on a part of each sample."""
        return self.begin(h, noise_var), target

    def whole(self, prediction: torch.Tensor) -> torch.Tensor:
        """The prediction as the task wants it."""
        return prediction

    def alone(self, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """The prediction without a network: what ``end`` makes of ``nothing``."""
        start = self.begin(h, noise_var)
        return self.whole(self.end(start, self.nothing(start)))

    def calibrate(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> None:
        """Take statistics of training samples, before training."""


class FramedNetwork(Frame[Start]):
    """A network of one task."""

    @abstractmethod
    def answer(self, start: Start) -> torch.Tensor:
        """What ``end`` makes a prediction of."""

    def forward(self, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """The prediction, from ``h`` ``[batch, slots, subcarriers, antennas]`` and ``noise_var`` ``[batch]``."""
        start = self.begin(h, noise_var)
        return self.whole(self.end(start, self.answer(start)))

    def loss(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The frame's criterion on a training batch."""
        start, wanted = self.begin_training(h, noise_var, target)
        return self.criterion(self.end(start, self.answer(start)), wanted)
