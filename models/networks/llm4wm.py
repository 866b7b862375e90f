"""LLM4WM: six channel tasks on one frozen language model, with an adapter in and out per task and MoE-LoRA between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from channelbench.models.networks.adapters import Adapter, ImageHead, VectorHead
from channelbench.models.networks.backbones import Backbone
from channelbench.models.networks.joint import JointNetwork, Stage, TaskModules, task_frame
from channelbench.models.networks.layers import STATISTICS_SAMPLES, Standardised
from channelbench.models.networks.lora import attach_lora
from channelbench.models.networks.moe_lora import MoELoRA, attach_moe_lora
from channelbench.models.networks.precision import half_precision
from channelbench.models.networks.reconstruction import ReconstructionFrame, ReconstructionStart
from channelbench.models.networks.sensing import BeamFrame, ScalarFrame, SensingStart, power_profiles
from channelbench.tasks.link.observations import LinkObservation

__all__ = ["LEAST_MEANS", "LLM4WMNetwork", "LLM4WMSizes", "Tuning", "stages"]

LEAST_MEANS = 6
"""Means of losses that the weight average has of a stage at least: in ``quick`` a stage is shorter than an epoch."""

Tuning = Literal["experts", "lora", "nothing"]


@dataclass(frozen=True, kw_only=True)
class LLM4WMSizes:
    """What Tables III, VI and VII and Fig. 7 vary.

    Attributes:
        tokens: L, the length of what the trunk sees.
        experts, rank: Of MoE-LoRA.
        blocks: Residual blocks of an adapter.
        adapter_in, adapter_out: Whether there are any on that side.
        image_width: Channels of the convolutional heads.
        vector_width: Hidden units of the perceptron heads.
        aligned: Whether networks correct what the aligned frames know, or answer everything from the channel as it is.
    """

    tokens: int
    experts: int
    rank: int
    blocks: int
    adapter_in: bool
    adapter_out: bool
    image_width: int
    vector_width: int
    aligned: bool = True


class TaskBranch(nn.Module, ABC):
    """What belongs to one task: preprocessing, adapter in, adapter out, head."""

    calibration_samples: ClassVar[int] = 0
    """Samples whose starts ``calibrate`` asks for, at most."""

    head: nn.Module

    def __init__(self, inside: tuple[int, int], width: int, sizes: LLM4WMSizes) -> None:
        super().__init__()
        trunk = (sizes.tokens, width)
        self.adapter_in = Adapter(inside, trunk, blocks=sizes.blocks if sizes.adapter_in else 0)
        self.adapter_out = Adapter(trunk, trunk, blocks=sizes.blocks if sizes.adapter_out else 0)

    def calibrate(self, start: Any) -> None:
        """Take statistics of the starts of training samples."""

    def embed(self, start: Any) -> torch.Tensor:
        """Embeddings ``[batch, tokens, width]``."""
        return self.adapter_in(self.preprocessed(start))

    @abstractmethod
    def preprocessed(self, start: Any) -> torch.Tensor:
        """Tokens before the adapter, ``[samples, tokens, values]``."""

    @abstractmethod
    def read(self, features: torch.Tensor, start: Any) -> torch.Tensor:
        """The frame's answer, of what the trunk made of the embeddings."""


class ReconstructionBranch(TaskBranch):
    """Slots are tokens: frequency and space of the linear start flattened (Eq. 17); a convolutional head."""

    def __init__(self, frame: ReconstructionFrame, width: int, sizes: LLM4WMSizes) -> None:
        slots, subcarriers, channels = len(frame.shape.slots), frame.shape.num_subcarriers, frame.channels
        super().__init__((slots, subcarriers * channels + channels + 1), width, sizes)
        self.head = ImageHead((sizes.tokens, width), (slots, subcarriers, channels), width=sizes.image_width)

    def preprocessed(self, start: ReconstructionStart) -> torch.Tensor:
        flat = start.pairs.flatten(2)
        return torch.cat([flat, start.context[:, None].expand(-1, flat.shape[1], -1)], dim=2)

    def read(self, features: torch.Tensor, start: ReconstructionStart) -> torch.Tensor:
        return self.head(self.adapter_out(features))


class SensingBranch(TaskBranch):
    """Delays are tokens, with the channel in the angle domain (Eq. 18); the flattened features through a perceptron.

    Args:
        tokens: How many the adapter is given.
        antennas: Of the observation.
        beside, outputs: Of the head.
    """

    calibration_samples = STATISTICS_SAMPLES

    def __init__(
        self, tokens: int, antennas: int, width: int, sizes: LLM4WMSizes, *, beside: int, outputs: int
    ) -> None:
        inside = (tokens, 3 * antennas + 2)
        super().__init__(inside, width, sizes)
        self.standardised = Standardised(*inside)
        self.head = VectorHead(sizes.tokens * width, beside=beside, width=sizes.vector_width, outputs=outputs)

    def calibrate(self, start: SensingStart) -> None:
        self.standardised.calibrate(self.tokens(start))

    def preprocessed(self, start: SensingStart) -> torch.Tensor:
        return self.standardised(self.tokens(start))

    def tokens(self, start: SensingStart) -> torch.Tensor:
        """Tokens as they were measured, ``[samples, tokens, values]``."""
        taps = start.peak.taps / start.scale[:, None, None]
        angles = torch.fft.fft(taps, dim=2, norm="ortho")
        profile = power_profiles(start.peak, start.scale)[:, : taps.shape[1]]
        return _tokens(angles, profile, start.noise)


class BeamBranch(SensingBranch):
    """The rows of the spatial covariance are tokens after the delays, and the head is given all of it: which beam is
    best hangs on phases between antennas, not on those of the channel."""

    def __init__(self, frame: BeamFrame, delays: int, antennas: int, width: int, sizes: LLM4WMSizes) -> None:
        beside = antennas**2 + 1
        super().__init__(delays + antennas, antennas, width, sizes, beside=beside, outputs=frame.bins)
        self.standardised_features = Standardised(beside)

    def calibrate(self, start: SensingStart) -> None:
        super().calibrate(start)
        self.standardised_features.calibrate(start.beam_features())

    def tokens(self, start: SensingStart) -> torch.Tensor:
        rows = start.covariance()
        power = rows.diagonal(dim1=1, dim2=2).real
        return torch.cat([super().tokens(start), _tokens(rows, power, start.noise)], dim=1)

    def read(self, features: torch.Tensor, start: SensingStart) -> torch.Tensor:
        return self.head(self.adapter_out(features), self.standardised_features(start.beam_features()))


class ScalarBranch(SensingBranch):
    """The head is given the features of the frame."""

    def __init__(self, frame: ScalarFrame, delays: int, antennas: int, width: int, sizes: LLM4WMSizes) -> None:
        super().__init__(delays, antennas, width, sizes, beside=frame.num_features, outputs=1)

    def read(self, features: torch.Tensor, start: SensingStart) -> torch.Tensor:
        return self.head(self.adapter_out(features), start.features)[:, 0]


def _tokens(values: torch.Tensor, power: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """``[samples, tokens, 3 · antennas + 2]`` of complex ``[samples, tokens, antennas]``, a number per token and one
    per sample: real parts, imaginary parts, logarithms of the power."""
    bels = torch.log10(values.abs().square().clamp_min(1e-4))
    beside = noise[:, None, None].expand(-1, values.shape[1], 1)
    return torch.cat([values.real, values.imag, bels, power[:, :, None], beside], dim=2)


class LLM4WMNetwork(JointNetwork):
    """The whole network. All tasks of a step pass the trunk in one batch; each sample's task picks its experts.

    For predictions of one task ``specialise`` folds its experts into the trunk's weights.

    Args:
        examples: An observation of one sample for each task.
        trunk: Takes and gives embeddings; gets MoE-LoRA in place, unless it is trained itself.
        sizes: See ``LLM4WMSizes``.
        tune: What the trunk gets: MoE-LoRA (``experts``), one plain LoRA for all tasks with the rank of all experts
            together (``lora``), or ``nothing``.
        seed: Of the starting values of MoE-LoRA.
    """

    def __init__(
        self, examples: Mapping[str, LinkObservation], trunk: Backbone, sizes: LLM4WMSizes, *, tune: Tuning, seed: int
    ) -> None:
        frames = {task: task_frame(example, aligned=sizes.aligned) for task, example in examples.items()}
        super().__init__(frames)
        self.branches = TaskModules(
            {task: _branch(self.frame(task), example, trunk.width, sizes) for task, example in examples.items()}
        )
        self.trunk_is_trained = any(parameter.requires_grad for parameter in trunk.parameters())
        self.trunk = trunk
        self.moe: MoELoRA | None = None
        self.lora: list[nn.Parameter] = []
        if tune == "lora" and not self.trunk_is_trained:
            self.lora = attach_lora(trunk, rank=sizes.experts * sizes.rank)
        if tune == "experts" and not self.trunk_is_trained:
            self.moe = attach_moe_lora(trunk, len(examples), experts=sizes.experts, rank=sizes.rank, seed=seed)
        self._merged: str | None = None
        self._tuning = False

    def answers(self, starts: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._tuning):
            embeddings = {task: self._branch(task).embed(start) for task, start in starts.items()}
        features = self._through_trunk(embeddings)
        return {task: self._branch(task).read(features[task], start) for task, start in starts.items()}

    def calibration_samples(self, task: str) -> int:
        return max(super().calibration_samples(task), self._branch(task).calibration_samples)

    def calibrate(self, task: str, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> None:
        super().calibrate(task, h, noise_var, target)
        if most := self._branch(task).calibration_samples:
            self._branch(task).calibrate(self.frame(task).begin(h[:most], noise_var[:most]))

    def specialise(self, task: str) -> None:
        if self.moe is not None and self._merged != task:
            self.moe.merge(self.tasks.index(task))
            self._merged = task

    def train(self, mode: bool = True) -> LLM4WMNetwork:
        self._merged = None
        return super().train(mode)

    def set_stage(self, tuning: bool) -> None:
        """Stage one trains adapters, stage two (``tuning``) MoE-LoRA; heads, the frames' linear starts and a trunk from
        scratch are trained in both. In stage two nothing before the trunk is trained but those starts, as the part of
        the answer that they are: embeddings are taken as given."""
        self._tuning = tuning
        self.requires_grad_(not tuning)
        self.trunk.requires_grad_(self.trunk_is_trained)
        for task in self.tasks:
            self._branch(task).head.requires_grad_(True)
            self.frame(task).requires_grad_(True)
        for parameter in self.lora:  # they start without effect: until they are trained there is nothing to bypass
            parameter.requires_grad_(tuning)
        if self.moe is not None:
            self.moe.requires_grad_(tuning)
            self.moe.set_bypass(not tuning)

    def expert_weights(self) -> dict[str, NDArray[np.float32]]:
        """ω of every layer, ``{layer: [tasks, experts]}``; empty without MoE-LoRA."""
        layers = {} if self.moe is None else self.moe.expert_weights()
        return {name: weights.cpu().numpy() for name, weights in layers.items()}

    def _branch(self, task: str) -> Any:
        return self.branches[task]

    def _through_trunk(self, embeddings: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        joined = torch.cat(list(embeddings.values()))
        # Predictions are made in full precision; adapters and heads are too small to gain from half of it.
        with half_precision(joined.device.type, self.training):
            if self.moe is None or self._merged is not None:
                features = self.trunk(joined)
            else:
                numbers = [torch.full((len(e),), self.tasks.index(task)) for task, e in embeddings.items()]
                with self.moe.tasks(torch.cat(numbers).to(joined.device)):
                    features = self.trunk(joined)
        parts = features.float().split([len(e) for e in embeddings.values()])
        return dict(zip(embeddings, parts, strict=True))


def stages(share: float = 0.5) -> tuple[Stage, Stage]:
    """The two stages of section IV-E; ``share`` of the steps go to the first."""
    return (
        Stage(name="1-adapters", share=share, prepare=lambda network: network.set_stage(tuning=False)),
        Stage(name="2-experts", share=1 - share, prepare=lambda network: network.set_stage(tuning=True)),
    )


def _branch(frame: Any, example: LinkObservation, width: int, sizes: LLM4WMSizes) -> TaskBranch:
    if isinstance(frame, ReconstructionFrame):
        return ReconstructionBranch(frame, width, sizes)
    _, _, subcarriers, antennas = example.h.shape
    kind = BeamBranch if isinstance(frame, BeamFrame) else ScalarBranch
    return kind(frame, subcarriers, antennas, width, sizes)
