"""Small pieces that several networks are made of."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import nn

__all__ = ["sinusoids", "zeroed"]

Layer = TypeVar("Layer", bound=nn.Module)


def zeroed(layer: Layer) -> Layer:
    """The layer, answering zero until it is trained: a network that ends in it begins as its frame's start."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def sinusoids(positions: torch.Tensor, width: int) -> torch.Tensor:
    """Sines and cosines of positions, ``[positions, width]``: wavelengths from 2π to 20,000π positions (Vaswani et al.
    2017, section 3.5). Positions may be fractions; ``width`` is even."""
    frequency = torch.exp(torch.arange(0, width, 2, device=positions.device) * (-math.log(1e4) / width))
    phase = positions[:, None] * frequency
    return torch.stack([phase.sin(), phase.cos()], dim=2).flatten(1)
