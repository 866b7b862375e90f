"""Transformer layers, and the encoder–decoder over slots that reconstructs channels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from channelbench.models.networks.layers import sinusoids, zeroed
from channelbench.models.networks.reconstruction import ReconstructionNetwork, ReconstructionShape

__all__ = [
    "Attention",
    "DecoderLayer",
    "EncoderLayer",
    "FeedForward",
    "ReconstructionTransformer",
    "decoder_slots",
]

NUM_ENCODERS, NUM_DECODERS = 3, 2
KNOWN_PER_WANTED = 3
"""Known slots that lead the decoder to each unknown one: Jiang et al. hand it 12 before 4 zeros."""
HEAD_GAIN = 0.3
"""The head reads normalised tokens: a step of Adam on all of its weights would move corrections by more than they are
worth, and the linear start could not settle beneath them."""


class Attention(nn.Module):
    """Multi-head scaled dot-product attention, ``softmax(QKᵀ/√d)V`` per head of ``d = width/heads``.

    Its products are written out: where torch fuses them on the CPU, its counter of operations does not see them.

    Args:
        width: Of the tokens.
        heads: Divides ``width``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """What each token of ``x`` ``[batch, tokens, width]`` reads from ``memory`` ``[batch, others, width]``."""
        query, key, value = (
            tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for tokens in (self.query(x), self.key(memory), self.value(memory))
        )
        weights = (query * query.shape[3] ** -0.5) @ key.transpose(2, 3)
        return self.out((weights.softmax(dim=3) @ value).transpose(1, 2).flatten(2))


class FeedForward(nn.Sequential):
    """Two linears with GELU between them, ``inner`` wide."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__(nn.Linear(width, inner), nn.GELU(), nn.Dropout(dropout), nn.Linear(inner, width))


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network; each reads normalised tokens and adds to them (pre-norm).

    Args:
        width: Of the tokens.
        heads: Of the attention.
        inner: Width of the feed-forward network.
        dropout: Share of what is added, and of the inner units, left out in training.
    """

    def __init__(self, width: int, heads: int, inner: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, inner, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, tokens, width]`` to the same."""
        normal = self.attention_norm(x)
        x = x + self.dropout(self.attention(normal, normal))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class DecoderLayer(nn.Module):
    """Self-attention, attention on the encoder's tokens, feed-forward network, all pre-norm. There is no causal mask:
    all wanted slots are predicted at once. Arguments as ``EncoderLayer``."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.memory_norm = nn.LayerNorm(width)
        self.memory_attention = Attention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, inner, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """``[batch, tokens, width]`` to the same, reading ``memory`` ``[batch, others, width]``."""
        normal = self.attention_norm(x)
        x = x + self.dropout(self.attention(normal, normal))
        x = x + self.dropout(self.memory_attention(self.memory_norm(x), memory))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


def decoder_slots(shape: ReconstructionShape) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The slots that the decoder is given, and which of them it is given as zeros because nothing was observed there.

    Where slots are wanted that were not observed, these, led by the last three times as many observed ones (as far as
    there are so many) and with whatever else is wanted; otherwise the whole grid.
    """
    unknown = np.setdiff1d(shape.wanted_slots, shape.seen_slots)
    if not len(unknown):
        slots = np.arange(len(shape.slots))
        return slots, np.zeros(len(slots), dtype=bool)
    leading = shape.seen_slots[-KNOWN_PER_WANTED * len(unknown) :]
    slots = np.union1d(leading, shape.wanted_slots)
    return slots, np.isin(slots, unknown)


class ReconstructionTransformer(ReconstructionNetwork):
    """Three encoder and two decoder layers; a token is all subcarriers of a group of antennas in one slot.

    The encoder sees the observed slots. The decoder sees ``decoder_slots`` of the linear start, zeros in the unknown
    ones, and answers for all of them in one pass (parallel prediction); other slots are left as they are.

    Args:
        shape: The grid.
        width: Of a token inside; feed-forward networks are four times as wide.
        heads: Divides ``width``.
        dropout: Share left out in training.
    """

    encoder_positions: torch.Tensor
    decoder_positions: torch.Tensor
    known: torch.Tensor

    def __init__(self, shape: ReconstructionShape, *, width: int, heads: int = 8, dropout: float = 0.0) -> None:
        super().__init__(shape)
        features = shape.num_subcarriers * self.channels
        self.slots, zero = decoder_slots(shape)
        self.encoder_embedding = nn.Linear(features + self.channels + 1, width)
        self.decoder_embedding = nn.Linear(features + self.channels + 1, width)
        self.encoders = nn.Sequential(*(EncoderLayer(width, heads, 4 * width, dropout) for _ in range(NUM_ENCODERS)))
        self.decoders = nn.ModuleList(DecoderLayer(width, heads, 4 * width, dropout) for _ in range(NUM_DECODERS))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.head = zeroed(nn.Linear(width, features))  # the untrained network is the linear start
        positions = sinusoids(self.slot_positions, width)
        self.register_buffer("encoder_positions", positions[shape.seen_slots], persistent=False)
        self.register_buffer("decoder_positions", positions[self.slots], persistent=False)
        self.register_buffer("known", torch.as_tensor(~zero, dtype=torch.float32)[:, None], persistent=False)

    def correction(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        steps = x.flatten(2)
        seen, given = steps[:, self.shape.seen_slots], steps[:, self.slots] * self.known
        memory = self.encoder_embedding(_beside(seen, context)) + self.encoder_positions
        memory = self.encoder_norm(self.encoders(memory))
        tokens = self.decoder_embedding(_beside(given, context)) + self.decoder_positions
        for layer in self.decoders:
            tokens = layer(tokens, memory)
        answer = HEAD_GAIN * self.head(self.decoder_norm(tokens))
        whole = torch.zeros_like(steps, dtype=answer.dtype)
        whole[:, self.slots] = answer
        return whole.view_as(x)


def _beside(steps: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    """Each token with the sample's context appended."""
    return torch.cat([steps, context[:, None].expand(-1, steps.shape[1], -1)], dim=2)
