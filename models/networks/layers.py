"""Small pieces that several networks are made of."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import nn

__all__ = ["STATISTICS_SAMPLES", "Standardised", "sinusoids", "zeroed"]

STATISTICS_SAMPLES = 1000
"""Training samples that ``Standardised`` is shown; means and spreads need no more."""

Layer = TypeVar("Layer", bound=nn.Module)


def zeroed(layer: Layer) -> Layer:
    """The layer, answering zero until it is trained: a network that ends in it begins as its frame's start."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Standardised(nn.Module):
    """Inputs less their mean over training samples, over their spread, clipped at five spreads.

    What tells samples apart is often a small part of what all have in common, and every layer with its usual random
    weights leaves less of it: a network that ends in zeros then has nothing to begin from.

    Args:
        shape: Of one sample. Means and spreads are part of the checkpoint.
    """

    centre: torch.Tensor
    spread: torch.Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(shape))
        self.register_buffer("spread", torch.ones(shape))

    def calibrate(self, samples: torch.Tensor) -> None:
        """Take the statistics of ``[samples, *shape]``. What hardly varies (less than 0.01) is not blown up."""
        self.centre.copy_(samples.mean(0))
        self.spread.copy_(samples.std(0, correction=0).clamp_min(0.01))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ((x - self.centre) / self.spread).clamp(-5.0, 5.0)


def sinusoids(positions: torch.Tensor, width: int) -> torch.Tensor:
    """Sines and cosines of positions, ``[positions, width]``: wavelengths from 2π to 20,000π positions (Vaswani et al.
    2017, section 3.5). Positions may be fractions; ``width`` is even."""
    frequency = torch.exp(torch.arange(0, width, 2, device=positions.device) * (-math.log(1e4) / width))
    phase = positions[:, None] * frequency
    return torch.stack([phase.sin(), phase.cos()], dim=2).flatten(1)
