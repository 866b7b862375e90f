"""Precoding in the multi-task network: users are tokens, and two numbers of each share out the power.

Eqs. 14–16, 23–24, 36 and 37 of the multi-task PHY LLM.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from channelbench.models.networks.groups import PrecodingPart
from channelbench.models.networks.phy_llm.branch import Branch, Sizes, perceptron
from channelbench.models.networks.phy_llm.instructions import Instruction
from channelbench.models.networks.precoding import beams, labels, objective, sinr

__all__ = ["PrecodingBranch", "PrecodingStart"]

BLOCKS = 3
HEADS = 4
TINY = 1e-30


@dataclass(frozen=True)
class PrecodingStart:
    """A part, and what the encoder sees of it, ``[batch, users, features]``, float32."""

    part: PrecodingPart
    features: torch.Tensor


class PrecodingBranch(Branch[PrecodingStart]):
    """A transformer over users, in any number of them, and two layers that say the logits of p and λ.

    The scaling layer is a softmax: shares are positive, sum to P, and equal ones, the start, are regularised zero
    forcing.

    Args:
        antennas: Of the base station.
        loss: ``sum_rate`` or ``min_rate``.
        width: Of the trunk.
        sizes: Of ``sizes``.
    """

    def __init__(self, antennas: int, loss: str, width: int, sizes: Sizes) -> None:
        super().__init__()
        self.instruction = Instruction(kind=loss, fields={"antennas": antennas})
        self.supervised, self.aligned = sizes.supervised, sizes.aligned
        self.inlet = nn.Linear(2 * antennas + (4 if sizes.aligned else 1), sizes.encoder)
        self.blocks = nn.Sequential(*(_Block(sizes.encoder) for _ in range(BLOCKS)))
        self.outlet = nn.Linear(sizes.encoder, width)
        self.decoder = perceptron(width, sizes.decoder, 2, begins_at_zero=True)

    def begin(self, part: PrecodingPart) -> PrecodingStart:
        return PrecodingStart(part, self._features(part).float())

    def embed(self, start: PrecodingStart) -> torch.Tensor:
        return self.outlet(self.blocks(self.inlet(start.features)))

    def read(self, features: torch.Tensor, start: PrecodingStart) -> torch.Tensor:
        """Logits of p and λ, ``[batch, 2, users]``."""
        return self.decoder(features).transpose(1, 2)

    def loss(self, said: torch.Tensor, start: PrecodingStart, progress: float) -> torch.Tensor:
        """Squared error of p and λ in units of P/K (Eq. 36), then less the rate of a user: the mean, which is Eq. 37
        over K, or the least."""
        users = said.shape[2]
        if progress < self.supervised:
            wanted = torch.stack(labels(start.part), dim=1)
            return (users * (said.softmax(2) - wanted)).square().mean()
        rate = self._rate(said, start.part)
        return -(rate / users if start.part.loss == "sum_rate" else rate).mean().float()

    def score(self, said: torch.Tensor, start: PrecodingStart) -> torch.Tensor:
        """How far rates stay below what no precoder reaches: each user alone with all the power."""
        part = start.part
        alone = torch.log2(1 + part.power * part.h.abs().square().sum(2).T / part.noise_var).T.double()
        bound = alone.sum(1) if part.loss == "sum_rate" else alone.amin(1)
        return (bound - self._rate(said, part)).mean().clamp_min(TINY)

    def users(self, start: PrecodingStart) -> int:
        return start.part.h.shape[1]

    def beams(self, said: torch.Tensor, start: PrecodingStart) -> torch.Tensor:
        """Precoders ``[batch, users, antennas]``, complex128."""
        p, lam = said.softmax(2).unbind(1)
        return beams(start.part, p, lam)

    def alone(self, part: PrecodingPart) -> torch.Tensor:
        """``beams`` of a decoder that says 0."""
        return self.beams(part.power.new_zeros(len(part), 2, part.h.shape[1]), PrecodingStart(part, part.power))

    def _rate(self, said: torch.Tensor, part: PrecodingPart) -> torch.Tensor:
        w = self.beams(said, PrecodingStart(part, part.power))
        return objective(part.h, w, part.noise_var, part.loss)

    def _features(self, part: PrecodingPart) -> torch.Tensor:
        """Real and imaginary parts in units of the group's RMS, and the power over the noise. Where a formula is
        corrected, channels begin with a real antenna, and each user's strength and SINR by it stand beside."""
        h = part.h
        scale = h.abs().square().mean((1, 2), keepdim=True).sqrt().clamp_min(TINY)
        snr = _bels(part.power * scale.flatten().square() * h.shape[2] / part.noise_var)
        beside = [snr[:, None].expand(h.shape[:2])]
        h = h / scale
        if self.aligned:
            start = self.alone(part)
            beside += [_bels(h.abs().square().mean(2)), *_disturbances(part, start)]
            h = h * torch.polar(torch.ones_like(h[:, :, :1].real), -h[:, :, :1].angle())
        return torch.cat([h.real, h.imag, torch.stack(beside, dim=2)], dim=2)


class _Block(nn.Module):
    """Self-attention and feed-forward network, each added to its input and normalised after (Eqs. 14–15)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.mlp = perceptron(width, 4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden = self.norm1(hidden + self.attention(hidden, hidden, hidden, need_weights=False)[0])
        return self.norm2(hidden + self.mlp(hidden))


def _disturbances(part: PrecodingPart, w: torch.Tensor) -> list[torch.Tensor]:
    """The SINR of each user with these beams, and how much of others' channels lies in its own, against its strength,
    in bels, ``[batch, users]`` each."""
    wide = part.h.to(w.dtype)
    powers = (wide.conj() @ wide.mT).abs().square()
    own = powers.diagonal(dim1=1, dim2=2)
    shared = (powers.sum(2) - own) / own.clamp_min(TINY)
    return [_bels(sinr(part.h, w, part.noise_var)), _bels(shared)]


def _bels(power: torch.Tensor) -> torch.Tensor:
    return torch.log10(power.clamp(1e-6, 1e6)).float()
