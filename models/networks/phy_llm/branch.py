"""What belongs to one problem in the multi-task network: encoder, decoder, loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from channelbench.models.networks.layers import zeroed
from channelbench.models.networks.phy_llm.instructions import Instruction

__all__ = ["Branch", "Sizes", "perceptron"]

Start = TypeVar("Start")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What presets and variants decide.

    Attributes:
        encoder: Width of the encoders of groups.
        decoder: Hidden units of the decoders.
        rank: Of LoRA.
        prompt_tokens: Of an instruction at most; 0 for none.
        supervised: Share of the steps of precoding that learn from labels.
        aligned: Whether networks correct an answer by formula, or answer all by themselves.
    """

    encoder: int = 128
    decoder: int = 256
    rank: int = 8
    prompt_tokens: int = 16
    supervised: float = 0.3
    aligned: bool = True


class Branch(nn.Module, ABC, Generic[Start]):
    """Encoder and decoder of one problem. Its decoder begins at zero: the answer is then ``alone``'s.

    Attributes:
        instruction: What the trunk is told in words.
    """

    instruction: Instruction

    @abstractmethod
    def begin(self, part: Any) -> Start:
        """What is known of a part of a batch before the network."""

    @abstractmethod
    def embed(self, start: Start) -> torch.Tensor:
        """Tokens of data, ``[rows, tokens, width]``."""

    @abstractmethod
    def read(self, features: torch.Tensor, start: Start) -> torch.Tensor:
        """What the decoder says, of what the trunk made of ``embed``."""

    @abstractmethod
    def loss(self, said: torch.Tensor, start: Start, progress: float) -> torch.Tensor:
        """Training loss, a scalar, when so large a share of the problem's steps is done."""

    @abstractmethod
    def score(self, said: torch.Tensor, start: Start) -> torch.Tensor:
        """What validation averages, a scalar, positive, the lower the better; its logarithm is compared."""

    def users(self, start: Start) -> int:
        """Users of a group; 0 where there are no groups."""
        return 0


def perceptron(inside: int, hidden: int, outside: int, *, begins_at_zero: bool = False) -> nn.Sequential:
    """Two fully connected layers with a GELU between them."""
    last = nn.Linear(hidden, outside)
    return nn.Sequential(nn.Linear(inside, hidden), nn.GELU(), zeroed(last) if begins_at_zero else last)
