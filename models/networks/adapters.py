"""LLM4WM's multi-task adapters and output heads (sections IV-B and IV-D)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from channelbench.models.networks.layers import zeroed

__all__ = ["Adapter", "ImageHead", "VectorHead"]


IMAGE_GAIN = 0.3
"""Answers of the convolutional head are scaled by this. A step of Adam moves all weights of a layer alike: without it
the corrections move by more than they are worth, and the linear start cannot settle beneath them."""


class ResidualBlock(nn.Module):
    """Two convolutions of kernel 3 along the features, tokens as channels, with ReLU between them, added to the input.

    The second one starts at zero, so that a deep stack begins as the identity.
    """

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv1d(tokens, tokens, 3, padding=1) for _ in range(2))
        zeroed(self.second)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[tokens, batch, features]`` to the same."""
        return x + _convolved(functional.relu(_convolved(x, self.first)), self.second)


def _convolved(x: torch.Tensor, layer: nn.Conv1d) -> torch.Tensor:
    """``layer`` of ``[tokens, batch, features]`` as one matrix product for all three taps.

    With a dozen channels, libraries' convolutions spend five times as long on the CPU.
    """
    taps = layer.weight.permute(2, 0, 1).flatten(0, 1)
    before, here, after = (taps @ x.flatten(1)).view(3, -1, *x.shape[1:])
    sides = functional.pad(before[..., :-1], (1, 0)) + functional.pad(after[..., 1:], (0, 1))
    return here + sides + layer.bias[:, None, None]  # type: ignore[index]


class Adapter(nn.Module):
    """Aligns the feature map of a task with that of the trunk, or back (Eq. 19–21 and 25).

    Args:
        inside: (tokens, features) of what comes in.
        outside: (tokens, features) of what goes out.
        blocks: Residual blocks in all, half of them on each side of a GELU; 0 leaves the two linears alone, which is
            what the paper's ablation without an adapter needs to fit the shapes.
    """

    def __init__(self, inside: tuple[int, int], outside: tuple[int, int], *, blocks: int) -> None:
        super().__init__()
        self.features = nn.Linear(inside[1], outside[1])
        self.tokens = nn.Linear(inside[0], outside[0])
        parts: list[nn.Module] = [ResidualBlock(outside[0]) for _ in range(blocks)]
        self.blocks = nn.Sequential(*parts[: blocks // 2], *([nn.GELU()] if blocks else []), *parts[blocks // 2 :])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, *inside]`` to ``[batch, *outside]``."""
        by_token = self.features(x).transpose(0, 1)
        aligned = self.tokens.weight @ by_token.flatten(1) + self.tokens.bias[:, None]
        return self.blocks(aligned.view(-1, *by_token.shape[1:])).transpose(0, 1)


class ImageHead(nn.Module):
    """The feature map aligned with slots × subcarriers, then three 3×3 convolutions; the last one starts at zero.

    Args:
        inside: (tokens, features) of what comes in.
        image: (slots, subcarriers, channels) of the answer.
        width: Channels between the convolutions.
    """

    def __init__(self, inside: tuple[int, int], image: tuple[int, int, int], *, width: int) -> None:
        super().__init__()
        slots, subcarriers, channels = self.image = image
        self.align = Adapter(inside, (slots, subcarriers * channels), blocks=0)
        sizes = (channels, width, width, channels)
        self.layers = nn.ModuleList(nn.Conv2d(sizes[i], sizes[i + 1], 3, padding=1) for i in range(3))
        zeroed(self.layers[-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, *inside]`` to ``[batch, *image]``."""
        first, second, last = self.layers
        # [batch, slots, channels · subcarriers]: a channel's subcarriers lie side by side, as convolutions want them.
        slots, subcarriers, channels = self.image
        image = self.align(x).view(-1, slots, channels, subcarriers).transpose(1, 2)
        image = functional.gelu(second(functional.gelu(first(image))))
        return IMAGE_GAIN * last(image).permute(0, 2, 3, 1)


class VectorHead(nn.Module):
    """The flattened feature map through a perceptron of three layers; the last one starts at zero.

    The others start with He's weights, which keep the size of what passes: with torch's own a tenth of it would reach
    the last layer, and a short training would end before that has grown.

    Args:
        inputs: Size of the flattened feature map.
        beside: Further inputs.
        width: Hidden units.
        outputs: Size of the answer.
    """

    def __init__(self, inputs: int, *, beside: int, width: int, outputs: int) -> None:
        super().__init__()
        last = nn.Linear(width, outputs)
        zeroed(last)
        first, second = nn.Linear(inputs + beside, width), nn.Linear(width, width)
        for layer in (first, second):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.layers = nn.Sequential(first, nn.GELU(), second, nn.GELU(), last)

    def forward(self, x: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
        """``[batch, tokens, features]`` and ``[batch, beside]`` to ``[batch, outputs]``."""
        return self.layers(torch.cat([x.flatten(1), beside], dim=1))
