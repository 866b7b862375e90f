"""Wireless transformer: subcarriers as tokens, one number per sample."""

from __future__ import annotations

import torch
from torch import nn

from channelbench.models.networks.frames import FramedNetwork
from channelbench.models.networks.layers import sinusoids, zeroed
from channelbench.models.networks.sensing import ScalarFrame, SensingStart
from channelbench.models.networks.transformer import EncoderLayer

__all__ = ["WiT"]

NUM_LAYERS, HEADS = 6, 8


class WiT(FramedNetwork[SensingStart], ScalarFrame):
    """Six encoder layers over the subcarriers of one slot; the mean token is read by a head of two layers.

    A token is all antennas of one subcarrier, real parts then imaginary, of the channel turned so that its strongest
    path has no delay, angle or phase. What that leaves out (power, noise) joins the mean token through a linear layer
    of its own. The answer corrects the least-squares curve of ``ScalarFrame``.

    Args:
        objective, subcarriers, antennas: As ``ScalarFrame``.
        width: Of a token inside; feed-forward networks are four times as wide.
        dropout: Share left out in training.
    """

    positions: torch.Tensor

    def __init__(
        self,
        objective: str,
        subcarriers: int,
        antennas: int,
        *,
        width: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(objective, subcarriers, antennas)
        self.embedding = nn.Linear(2 * antennas, width)
        self.layers = nn.Sequential(*(EncoderLayer(width, HEADS, 4 * width, dropout) for _ in range(NUM_LAYERS)))
        self.norm = nn.LayerNorm(width)
        self.beside = nn.Linear(self.num_features, width)
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        zeroed(self.head[-1])  # the untrained network is the curve
        self.register_buffer("positions", sinusoids(torch.arange(subcarriers), width), persistent=False)

    def tokens(self, start: SensingStart) -> torch.Tensor:
        """``[batch, subcarriers, 2 · antennas]``, of mean square 1/2."""
        h = start.response()
        return torch.cat([h.real, h.imag], dim=2)

    def answer(self, start: SensingStart) -> torch.Tensor:
        encoded = self.layers(self.embedding(self.tokens(start)) + self.positions)
        read = self.norm(encoded).mean(1) + self.beside(start.features)
        return self.head(read)[:, 0]
