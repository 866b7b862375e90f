"""LLM4CP: a language model over the slots of one antenna, behind convolutions in the delay and frequency domains.

Liu, Liu, Gao, Cheng and Yang, "LLM4CP: Adapting Large Language Models for Channel Prediction", JCIN 9(2), 2024. The
networks answer within the frames that all learned methods share: what they learn is a correction of a linear start.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from channelbench.models.networks.backbones import Backbone
from channelbench.models.networks.frames import FramedNetwork
from channelbench.models.networks.layers import STATISTICS_SAMPLES, Standardised, zeroed
from channelbench.models.networks.precision import half_precision
from channelbench.models.networks.reconstruction import ReconstructionFrame, ReconstructionShape, ReconstructionStart
from channelbench.models.networks.sensing import BeamFrame, ScalarFrame, SensingStart

__all__ = ["BeamLLM4CP", "Branch", "CSIAttention", "LLM4CPBody", "ReconstructionLLM4CP", "ScalarLLM4CP", "patches"]

PATCH = 4
"""Slots in a patch, which are channels of the convolutions' image and then one token."""
NUM_BLOCKS = 4
REDUCTION = 4
"""How many times narrower the squeezed channels become between squeeze and excitation."""
MAX_ROWS = 256
"""Antennas that pass the network at a time: a prediction has many more of them than a training step."""


class CSIAttention(nn.Module):
    """``x + s ⊙ F(x)``: two 3×3 convolutions with a ReLU between them, weighted by channel and added.

    The weights ``s = σ(W₂ ReLU(W₁ mean(F(x))))`` follow from the means over the image (squeeze and excitation).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.squeeze = nn.Linear(channels, channels // REDUCTION)
        self.excite = nn.Linear(channels // REDUCTION, channels)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[batch, channels, height, width]`` to the same shape."""
        change = self.second(functional.relu(self.first(image)))
        weight = torch.sigmoid(self.excite(functional.relu(self.squeeze(change.mean((2, 3))))))
        return image + weight[:, :, None, None] * change


class Branch(nn.Sequential):
    """One view of an antenna's channel: convolutions with CSI attention between them, over an image of patches ×
    subcarriers whose channels are the patch's slots, real and imaginary parts."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(2 * PATCH, channels, 3, padding=1),
            *(CSIAttention(channels) for _ in range(NUM_BLOCKS)),
            nn.Conv2d(channels, 2 * PATCH, 3, padding=1),
        )


def patches(h: torch.Tensor) -> torch.Tensor:
    """Real and imaginary parts of ``[rows, tokens · PATCH, subcarriers]`` as an image ``[rows, 2 · PATCH, tokens,
    subcarriers]``."""
    slots = h.unflatten(1, (-1, PATCH)).transpose(1, 2)
    return torch.cat([slots.real, slots.imag], dim=1)


class LLM4CPBody(nn.Module):
    """Tokens of patches, through both branches and the trunk.

    1. The delay branch sees the inverse FFT over frequency (orthonormal, so that both views are of one size), the
       frequency branch the channel as it is; their sum is one image of patches × subcarriers.
    2. A patch is a token: a linear embedding to the trunk's width, and a linear over tokens.
    3. The trunk, and a linear from its width to the real and imaginary parts of all subcarriers.

    Args:
        trunk: What the tokens pass through.
        steps: Slots, or what takes their place; filled up with zeros to whole patches.
        subcarriers: Of the channel.
        context: Numbers beside the channel that every token is given.
        channels: Of the convolutions.
    """

    def __init__(self, trunk: Backbone, steps: int, subcarriers: int, context: int, *, channels: int) -> None:
        super().__init__()
        self.tokens = -(-steps // PATCH)
        self.frequency, self.delay = Branch(channels), Branch(channels)
        self.embedding = nn.Linear(2 * PATCH * subcarriers + context, trunk.width)
        self.over_time = nn.Linear(self.tokens, self.tokens)
        self.trunk = trunk
        self.out = nn.Linear(trunk.width, 2 * subcarriers)

    def forward(self, h: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Features per token, ``[rows, tokens, 2 · subcarriers]``.

        Args:
            h: ``[rows, steps, subcarriers]``, complex64, in the frequency domain.
            context: ``[rows, context]``.
        """
        parts = zip(h.split(MAX_ROWS), context.split(MAX_ROWS), strict=True)
        return torch.cat([self._features(*part) for part in parts])

    def _features(self, h: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        h = torch.cat([h, h.new_zeros(len(h), self.tokens * PATCH - h.shape[1], h.shape[2])], dim=1)
        image = self.frequency(patches(h)) + self.delay(patches(torch.fft.ifft(h, dim=2, norm="ortho")))
        tokens = image.transpose(1, 2).flatten(2)
        beside = context[:, None].expand(-1, self.tokens, -1)
        embedded = self.embedding(torch.cat([tokens, beside], dim=2))
        embedded = self.over_time(embedded.transpose(1, 2)).transpose(1, 2)
        with half_precision(embedded.device.type, self.training):
            features = self.trunk(embedded)
        return self.out(features.float())


class ReconstructionLLM4CP(FramedNetwork[ReconstructionStart], ReconstructionFrame):
    """CE, CP and PF: each antenna by itself, its slots as the axis of tokens. Training takes one antenna per sample and
    step, drawn anew each time; a prediction takes all.

    Args:
        shape: The grid.
        trunk: What the tokens pass through.
        channels: Of the convolutions.
    """

    def __init__(self, shape: ReconstructionShape, trunk: Backbone, *, channels: int) -> None:
        super().__init__(shape)
        self.body = LLM4CPBody(trunk, len(shape.slots), shape.num_subcarriers, 3, channels=channels)
        self.head = zeroed(nn.Linear(self.body.tokens, len(shape.slots)))

    def begin_training(
        self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor
    ) -> tuple[ReconstructionStart, torch.Tensor]:
        """One antenna of each sample, as a start of its own, and its target."""
        start, target = super().begin_training(h, noise_var, target)
        antenna = torch.randint(self.shape.antennas, (len(target),)).to(target.device)
        rows = torch.arange(len(target), device=target.device)
        return start.of_antennas(rows, antenna), target[rows, :, :, antenna][..., None]

    def answer(self, start: ReconstructionStart) -> torch.Tensor:
        # [batch, slots, subcarriers, 2 · antennas] → [batch · antennas, slots, subcarriers, 2]: antennas become rows.
        pairs = start.pairs.unflatten(3, (2, -1)).permute(0, 4, 1, 2, 3)
        antennas = pairs.shape[1]
        mean, noise = start.context[:, :-1].unflatten(1, (2, -1)).transpose(1, 2), start.context[:, -1:]
        context = torch.cat([mean, noise[:, None].expand(-1, antennas, -1)], dim=2)
        features = self.body(torch.view_as_complex(pairs.flatten(0, 1).contiguous()), context.flatten(0, 1))
        change = self.head(features.transpose(1, 2)).unflatten(1, (2, -1)).unflatten(0, (-1, antennas))
        # [batch, antennas, 2, subcarriers, slots] → as the pairs were
        return change.permute(0, 4, 3, 2, 1).flatten(3)


class _SensingBody(nn.Module):
    """What BF, DE and PE share: the antennas of the turned channel as the axis of tokens, then one linear.

    Args:
        trunk, channels: As ``LLM4CPBody``.
        subcarriers, antennas: Of the observation.
        beside: Numbers beside the features that the last linear is given.
        outputs: Numbers that it gives.
    """

    def __init__(
        self, trunk: Backbone, subcarriers: int, antennas: int, *, beside: int, outputs: int, channels: int
    ) -> None:
        super().__init__()
        self.body = LLM4CPBody(trunk, antennas, subcarriers, 1, channels=channels)
        self.head = zeroed(nn.Linear(self.body.tokens * 2 * subcarriers + beside, outputs))

    def forward(self, start: SensingStart, beside: torch.Tensor) -> torch.Tensor:
        """``[batch, outputs]`` of a start and ``[batch, beside]``."""
        features = self.body(start.response().transpose(1, 2), start.noise[:, None]).flatten(1)
        return self.head(torch.cat([features, beside], dim=1))


class BeamLLM4CP(FramedNetwork[SensingStart], BeamFrame):
    """BF. Arguments as ``_SensingBody`` and ``BeamFrame``."""

    calibration_samples = STATISTICS_SAMPLES

    def __init__(self, subcarriers: int, antennas: int, num_beams: int, trunk: Backbone, *, channels: int) -> None:
        super().__init__(num_beams)
        beside = antennas**2 + 1
        self.layers = _SensingBody(trunk, subcarriers, antennas, beside=beside, outputs=num_beams, channels=channels)
        self.standardised = Standardised(beside)

    def calibrate(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> None:
        self.standardised.calibrate(self.begin(h, noise_var).beam_features())

    def answer(self, start: SensingStart) -> torch.Tensor:
        return self.layers(start, self.standardised(start.beam_features()))


class ScalarLLM4CP(FramedNetwork[SensingStart], ScalarFrame):
    """DE and PE. Arguments as ``_SensingBody`` and ``ScalarFrame``."""

    def __init__(
        self,
        subcarriers: int,
        antennas: int,
        objective: str,
        trunk: Backbone,
        *,
        channels: int,
    ) -> None:
        super().__init__(objective, subcarriers, antennas)
        self.layers = _SensingBody(trunk, subcarriers, antennas, beside=self.num_features, outputs=1, channels=channels)

    def answer(self, start: SensingStart) -> torch.Tensor:
        return self.layers(start, start.features)[:, 0]
