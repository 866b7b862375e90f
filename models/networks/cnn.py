"""Convolutional networks: ten 3×3 convolutions over the time–frequency image."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from channelbench.models.networks.alignment import Peak
from channelbench.models.networks.layers import zeroed
from channelbench.models.networks.reconstruction import ReconstructionNetwork, ReconstructionShape
from channelbench.models.networks.sensing import BeamNetwork, frequency_response

__all__ = ["BeamCNN", "ConvolutionStack", "ReconstructionCNN"]

NUM_CONVOLUTIONS = 10


class ConvolutionStack(nn.Module):
    """Ten 3×3 convolutions with SiLU between them; all but the first and last add to what they are given.

    There is no normalisation layer: amplitudes carry the answer, and batch statistics would make a prediction depend
    on its neighbours.
    """

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        sizes = [inputs, *[width] * (NUM_CONVOLUTIONS - 1), outputs]
        self.layers = nn.ModuleList(nn.Conv2d(here, there, 3, padding=1) for here, there in pairwise(sizes))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[batch, inputs, height, width]`` to ``[batch, outputs, height, width]``."""
        first, *middle, last = self.layers
        x = functional.silu(first(image))
        for layer in middle:
            x = x + functional.silu(layer(x))
        return last(x)


class ReconstructionCNN(ReconstructionNetwork):
    """The whole grid as an image of slots × subcarriers; its channels are the antennas' real and imaginary parts.

    ``patch`` (slots, subcarriers) neighbouring points become channels of one pixel first and are taken apart again
    at the end, which divides the cost and widens what each convolution sees.

    Args:
        shape: The grid.
        width: Channels between the convolutions.
        patch: Points folded into a pixel.
    """

    def __init__(self, shape: ReconstructionShape, *, width: int, patch: tuple[int, int]) -> None:
        super().__init__(shape)
        self.patch = patch
        folded = self.channels * patch[0] * patch[1]
        self.stack = ConvolutionStack(folded + self.channels + 1, width, folded)
        # The untrained network is the linear start.
        zeroed(self.stack.layers[-1])

    def correction(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        slots, subcarriers = x.shape[1:3]
        tall, wide = self.patch
        x = functional.pad(x, (0, 0, 0, -subcarriers % wide, 0, -slots % tall))
        # [batch, slots, subcarriers, channels] → [batch, channels · tall · wide, rows, columns]
        image = x.unflatten(2, (-1, wide)).unflatten(1, (-1, tall)).permute(0, 5, 2, 4, 1, 3).flatten(1, 3)
        beside = context[:, :, None, None].expand(-1, -1, *image.shape[2:])
        image = self.stack(torch.cat([image, beside], dim=1))
        out = image.unflatten(1, (self.channels, tall, wide)).permute(0, 4, 2, 5, 3, 1).flatten(3, 4).flatten(1, 2)
        return out[:, :slots, :subcarriers]


class BeamCNN(BeamNetwork):
    """Beam scores from one slot: with a single slot the image is subcarriers × antennas.

    ``fold`` neighbouring subcarriers become channels of one pixel. What ten convolutions make of the image is
    averaged over subcarriers, kept apart by antenna, and scored by one dense layer.

    Args:
        antennas: Of the observation.
        num_beams: Size of the codebook.
        width: Channels of the convolutions.
        fold: Subcarriers folded into a pixel.
    """

    def __init__(self, antennas: int, num_beams: int, *, width: int, fold: int) -> None:
        super().__init__(num_beams)
        self.fold = fold
        self.stack = ConvolutionStack(2 * fold + 1, width, width)
        self.head = zeroed(nn.Linear(width * antennas, num_beams))

    def scores(self, peak: Peak, scale: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        h = frequency_response(peak, scale)
        x = torch.stack([h.real, h.imag], dim=1)
        x = functional.pad(x, (0, 0, 0, -x.shape[2] % self.fold))
        image = x.unflatten(2, (-1, self.fold)).permute(0, 1, 3, 2, 4).flatten(1, 2)
        beside = noise[:, None, None, None].expand(-1, 1, *image.shape[2:])
        features = functional.silu(self.stack(torch.cat([image, beside], dim=1)))
        return self.head(features.mean(2).flatten(1))
