"""Channel prediction in the multi-task network: one antenna at a time, patches of slots as tokens (Eqs. 20–21, 26–27,
39)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from channelbench.models.networks.data import Batch
from channelbench.models.networks.llm4cp import PATCH, CSIAttention, patches
from channelbench.models.networks.phy_llm.branch import Branch, Sizes, perceptron
from channelbench.models.networks.phy_llm.instructions import Instruction
from channelbench.models.networks.reconstruction import ReconstructionFrame, ReconstructionStart

__all__ = ["PredictionBranch", "PredictionStart"]

ATTENTIONS = 4

ANTENNAS = 8
"""Of each sample that a training step sees at most. By one of each the network learned nothing beyond its start: the
gradient of 32 rows is mostly noise."""


@dataclass(frozen=True)
class PredictionStart:
    """The frame's start of a batch, and the target that its answer is compared with."""

    frame: ReconstructionStart
    target: torch.Tensor


class PredictionBranch(Branch[PredictionStart]):
    """CSI attention over the patches of an antenna, a linear that makes a token of each, and two layers that say the
    slots of each patch.

    Training and validation take ``ANTENNAS`` of each sample, drawn anew each time; a prediction takes all.

    Args:
        frame: Normalises, and adds what is said to the linear start, or takes it as the channel.
        width: Of the trunk.
        sizes: Of ``sizes``.
    """

    def __init__(self, frame: ReconstructionFrame, width: int, sizes: Sizes) -> None:
        super().__init__()
        shape, self.frame = frame.shape, frame
        fields = {
            "slots": len(shape.seen_slots),
            "ahead": len(shape.wanted_slots),
            "subcarriers": shape.num_subcarriers,
        }
        self.instruction = Instruction(kind="prediction", fields=fields)
        self.slots, self.tokens = len(shape.slots), -(-len(shape.slots) // PATCH)
        self.attention = nn.Sequential(*(CSIAttention(2 * PATCH) for _ in range(ATTENTIONS)))
        self.outlet = nn.Linear(2 * PATCH * shape.num_subcarriers + 3, width)
        self.decoder = perceptron(width, sizes.decoder, 2 * PATCH * shape.num_subcarriers, begins_at_zero=True)

    def begin(self, part: Batch) -> PredictionStart:
        """Some antennas of each sample, drawn at random, where the target is known."""
        if not len(part.target):
            return PredictionStart(self.frame.begin(part.h, part.noise_var), part.target)
        start, target = self.frame.begin_training(part.h, part.noise_var, part.target)
        order = torch.rand(len(target), self.frame.shape.antennas).argsort(1)[:, :ANTENNAS].to(target.device)
        rows = torch.arange(len(target), device=target.device).repeat_interleave(order.shape[1])
        antenna = order.flatten()
        return PredictionStart(start.of_antennas(rows, antenna), target[rows, :, :, antenna][..., None])

    def embed(self, start: PredictionStart) -> torch.Tensor:
        pairs, context = start.frame.pairs, start.frame.context
        # [batch, slots, subcarriers, 2 · antennas] → [batch · antennas, slots, subcarriers, 2]: antennas become rows.
        pairs = pairs.unflatten(3, (2, -1)).permute(0, 4, 1, 2, 3)
        mean, noise = context[:, :-1].unflatten(1, (2, -1)).transpose(1, 2), context[:, -1:]
        beside = torch.cat([mean, noise[:, None].expand(-1, pairs.shape[1], -1)], dim=2).flatten(0, 1)
        h = torch.view_as_complex(pairs.flatten(0, 1).contiguous())
        h = torch.cat([h, h.new_zeros(len(h), self.tokens * PATCH - h.shape[1], h.shape[2])], dim=1)
        tokens = self.attention(patches(h)).transpose(1, 2).flatten(2)
        return self.outlet(torch.cat([tokens, beside[:, None].expand(-1, self.tokens, -1)], dim=2))

    def read(self, features: torch.Tensor, start: PredictionStart) -> torch.Tensor:
        """The channels that are wanted, of each group of antennas."""
        antennas = start.frame.angle.shape[3]
        # [batch · antennas, tokens, slots of a patch · subcarriers · 2] → as the frame's pairs are
        said = self.decoder(features).unflatten(2, (PATCH, -1, 2)).flatten(1, 2)[:, : self.slots]
        said = said.unflatten(0, (-1, antennas)).permute(0, 2, 3, 4, 1).flatten(3)
        return self.frame.end(start.frame, said)

    def loss(self, said: torch.Tensor, start: PredictionStart, progress: float) -> torch.Tensor:
        """NMSE (Eq. 11), which is Eq. 39 in units of each sample's power."""
        return self.frame.criterion(said, start.target)

    def score(self, said: torch.Tensor, start: PredictionStart) -> torch.Tensor:
        """NMSE."""
        return self.frame.criterion(said, start.target)
