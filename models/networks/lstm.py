"""Recurrent layers over slots: LSTM, GRU, or plain ones."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from channelbench.models.networks.layers import zeroed
from channelbench.models.networks.reconstruction import ReconstructionNetwork, ReconstructionShape

__all__ = ["ReconstructionRecurrent"]

NUM_LAYERS = 4


class ReconstructionRecurrent(ReconstructionNetwork):
    """Four recurrent layers over the slots of the whole grid; a step is all subcarriers of a group of antennas.

    Args:
        shape: The grid.
        width: Hidden units.
        cell: What they are: LSTM by default.
    """

    def __init__(self, shape: ReconstructionShape, *, width: int, cell: Literal["LSTM", "GRU", "RNN"] = "LSTM") -> None:
        super().__init__(shape)
        features = shape.num_subcarriers * self.channels
        kind: Any = getattr(nn, cell)
        self.layers = kind(features + self.channels + 1, width, NUM_LAYERS, batch_first=True)
        self.head = zeroed(nn.Linear(width, features))  # the untrained network is the linear start

    def correction(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        steps = x.flatten(2)
        beside = context[:, None].expand(-1, steps.shape[1], -1)
        hidden, _ = self.layers(torch.cat([steps, beside], dim=2))
        return self.head(hidden).view_as(x)
