"""Cross-stitch network: a residual tower per task, whose activations are mixed after every stage."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

import torch
from torch import nn
from torch.nn import functional

from channelbench.models.networks.alignment import antenna_groups
from channelbench.models.networks.frames import Frame
from channelbench.models.networks.joint import JointNetwork, TaskModules, task_frame
from channelbench.models.networks.layers import zeroed
from channelbench.models.networks.reconstruction import ReconstructionFrame, ReconstructionStart
from channelbench.models.networks.sensing import BeamFrame, ScalarFrame, SensingStart
from channelbench.tasks.link.observations import LinkObservation

__all__ = ["CrossStitchNetwork", "Towers", "fold", "near_identity", "unfold"]

NUM_STAGES = 4
OWN_SHARE = 0.9
"""Of a tower's own activations in the untrained mixture (Misra et al. found no better start)."""
RECONSTRUCTION_PATCH = (2, 4)
"""Slots and subcarriers that make up a pixel."""
FEATURE_CHANNELS = 8
"""Channels that carry the features of a scalar task to every pixel."""

Start = TypeVar("Start", ReconstructionStart, SensingStart)


def fold(x: torch.Tensor, patch: tuple[int, int]) -> torch.Tensor:
    """``[batch, height, width, channels]`` to ``[batch, channels · tall · wide, rows, columns]``: the points of a
    patch become channels of one pixel; sizes that the patch does not divide are filled with zeros."""
    tall, wide = patch
    x = functional.pad(x, (0, 0, 0, -x.shape[2] % wide, 0, -x.shape[1] % tall))
    return x.unflatten(2, (-1, wide)).unflatten(1, (-1, tall)).permute(0, 5, 2, 4, 1, 3).flatten(1, 3)


def unfold(image: torch.Tensor, patch: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """The inverse of ``fold`` for an image of ``size`` (height, width)."""
    height, width = size
    x = image.unflatten(1, (-1, *patch)).permute(0, 4, 2, 5, 3, 1).flatten(3, 4).flatten(1, 2)
    return x[:, :height, :width]


def near_identity(towers: int) -> torch.Tensor:
    """``[towers, towers]``: ``OWN_SHARE`` on the diagonal, the rest of each row shared by the other towers."""
    if towers == 1:
        return torch.ones(1, 1)
    others = (1 - OWN_SHARE) / (towers - 1)
    return torch.full((towers, towers), others).fill_diagonal_(OWN_SHARE)


class Towers(nn.Module):
    """Residual networks side by side, one per task, that exchange activations (Misra et al., CVPR 2016, Eq. 1).

    After each stage, tower t goes on with ``Σ_s α[t, s] · x_s``, the same α for all channels and pixels. A stage is one
    residual block of two 3×3 convolutions. All towers are channels of one grouped convolution. There is no
    normalisation layer: amplitudes carry the answer, and batch statistics would make a prediction depend on its
    neighbours.

    Args:
        towers: How many; a single one has nothing to mix.
        width: Channels of each.
        stages: Residual blocks of each.
    """

    def __init__(self, towers: int, width: int, stages: int = NUM_STAGES) -> None:
        super().__init__()
        self.towers, self.width = towers, width
        channels = towers * width

        def convolutions() -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, groups=towers) for _ in range(stages))

        self.inner, self.outer = convolutions(), convolutions()
        mixed = stages if towers > 1 else 0
        self.mixtures = nn.ParameterList(nn.Parameter(near_identity(towers)) for _ in range(mixed))
        # On CPUs grouped convolutions and mixtures take half the time with channels last.
        for layer in cast("list[nn.Conv2d]", [*self.inner, *self.outer]):
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, image: torch.Tensor, samples: Mapping[int, int]) -> torch.Tensor:
        """Every tower sees every sample; each sample is answered by one of them.

        Args:
            image: ``[batch, width, rows, columns]``.
            samples: How many samples of the batch each tower answers: the first so many are those of the first tower
                that is named, and so on.

        Returns:
            ``[batch, width, rows, columns]``: what each sample's tower makes of it.
        """
        x = image.repeat(1, self.towers, 1, 1).contiguous(memory_format=torch.channels_last)
        last = len(self.inner) - 1
        for stage, (inner, outer) in enumerate(zip(self.inner, self.outer, strict=True)):
            x = functional.silu(x + outer(functional.silu(inner(x))))
            if self.mixtures and stage < last:
                x = self.mix(x, stage)
        # Of the last mixture a sample needs its own tower's share alone.
        return torch.cat(
            [self._mixed_for(part, tower) for part, tower in zip(x.split(list(samples.values())), samples, strict=True)]
        )

    def mix(self, x: torch.Tensor, stage: int) -> torch.Tensor:
        """``[batch, towers · width, rows, columns]``, each tower's channels replaced by its mixture of all towers'."""
        # One product with α ⊗ I costs less than rearranging the activations by tower.
        weight = torch.kron(self.mixtures[stage], torch.eye(self.width, dtype=x.dtype, device=x.device))
        return functional.linear(x.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)

    def _mixed_for(self, x: torch.Tensor, tower: int) -> torch.Tensor:
        towers = x.unflatten(1, (self.towers, self.width))
        return torch.einsum("btwrc,t->bwrc", towers, self.mixtures[-1][tower]) if self.mixtures else towers[:, tower]


class Port(nn.Module, Generic[Start]):
    """How a task comes into the towers and leaves its own.

    Args:
        inputs: Channels of the task's image.
        width: Channels of a tower.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(inputs, width, 3, padding=1)

    @abstractmethod
    def image(self, start: Start) -> torch.Tensor:
        """``[samples, inputs, rows, columns]``."""

    @abstractmethod
    def read(self, x: torch.Tensor, start: Start) -> torch.Tensor:
        """The answer that the task's frame ends with, from ``[samples, width, rows, columns]``."""

    def forward(self, start: Start) -> torch.Tensor:
        return functional.silu(self.stem(self.image(start)))


class ReconstructionPort(Port[ReconstructionStart]):
    """The grid as an image of slots × subcarriers; its channels are the antennas' real and imaginary parts.

    Args:
        frame: The task's frame.
        width: Channels of a tower.
    """

    def __init__(self, frame: ReconstructionFrame, width: int) -> None:
        tall, wide = RECONSTRUCTION_PATCH
        folded = frame.channels * tall * wide
        super().__init__(folded + frame.channels + 1, width)
        self.head = zeroed(nn.Conv2d(width, folded, 3, padding=1))

    def image(self, start: ReconstructionStart) -> torch.Tensor:
        image = fold(start.pairs, RECONSTRUCTION_PATCH)
        return torch.cat([image, beside(start.context, image)], dim=1)

    def read(self, x: torch.Tensor, start: ReconstructionStart) -> torch.Tensor:
        _, height, width, _ = start.pairs.shape
        return unfold(self.head(x), RECONSTRUCTION_PATCH, (height, width))


class SensingPort(Port[SensingStart]):
    """One slot as an image of subcarriers × antennas, turned so that its strongest path is constant.

    Large arrays are folded too, so that there are at most eight columns.

    Args:
        antennas: Of the observation.
        besides: Numbers of each sample that every pixel is told.
        width: Channels of a tower.
        fold: Subcarriers that make up a pixel.
    """

    def __init__(self, antennas: int, besides: int, width: int, fold: int) -> None:
        self.columns = antennas // antenna_groups(antennas)
        self.patch = (fold, antennas // self.columns)
        super().__init__(2 * self.patch[0] * self.patch[1] + besides, width)

    @abstractmethod
    def besides(self, start: SensingStart) -> torch.Tensor:
        """``[batch, besides]``."""

    def image(self, start: SensingStart) -> torch.Tensor:
        h = start.response()
        image = fold(torch.stack([h.real, h.imag], dim=3), self.patch)
        return torch.cat([image, beside(self.besides(start), image)], dim=1)


class BeamPort(SensingPort):
    """Beam scores: averaged over subcarriers, kept apart by antenna. Arguments as ``SensingPort``."""

    def __init__(self, antennas: int, num_beams: int, width: int, fold: int) -> None:
        super().__init__(antennas, 1, width, fold)
        self.head = zeroed(nn.Linear(width * self.columns, num_beams))

    def besides(self, start: SensingStart) -> torch.Tensor:
        return start.noise[:, None]

    def read(self, x: torch.Tensor, start: SensingStart) -> torch.Tensor:
        return self.head(x.mean(2).flatten(1))


class ScalarPort(SensingPort):
    """A number: averaged over all pixels, beside the features. Arguments as ``SensingPort``."""

    def __init__(self, antennas: int, num_features: int, width: int, fold: int) -> None:
        super().__init__(antennas, FEATURE_CHANNELS, width, fold)
        self.reduce = nn.Linear(num_features, FEATURE_CHANNELS)
        self.head = zeroed(nn.Linear(width + num_features, 1))

    def besides(self, start: SensingStart) -> torch.Tensor:
        return self.reduce(start.features)

    def read(self, x: torch.Tensor, start: SensingStart) -> torch.Tensor:
        return self.head(torch.cat([x.mean((2, 3)), start.features], dim=1))[:, 0]


class CrossStitchNetwork(JointNetwork):
    """A tower per task. The untrained network hands through what the frames know without learning.

    Args:
        examples: An observation of one sample per task, for the shapes.
        width: Channels of a tower.
        fold: Subcarriers that make up a pixel of the sensing tasks (BF, DE, PE).
        stages: Residual blocks of a tower, each followed by a mixture.
    """

    def __init__(
        self, examples: Mapping[str, LinkObservation], *, width: int, fold: int, stages: int = NUM_STAGES
    ) -> None:
        super().__init__({task: task_frame(example) for task, example in examples.items()})
        self.ports = TaskModules(
            {task: _port(self.frame(task), example, width, fold) for task, example in examples.items()}
        )
        self.towers = Towers(len(examples), width, stages)

    def answers(self, starts: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        # Images of one size go through the towers together.
        by_size: defaultdict[torch.Size, dict[str, torch.Tensor]] = defaultdict(dict)
        for task, start in starts.items():
            image = self.ports[task](start)
            by_size[image.shape[2:]][task] = image
        found: dict[str, torch.Tensor] = {}
        for images in by_size.values():
            counts = [len(image) for image in images.values()]
            towers = [self.tasks.index(task) for task in images]
            out = self.towers(torch.cat(list(images.values())), dict(zip(towers, counts, strict=True)))
            found |= dict(zip(images, out.split(counts), strict=True))
        return {task: self.ports[task].read(found[task], start) for task, start in starts.items()}


def _port(frame: Frame[Any], example: LinkObservation, width: int, fold: int) -> Port[Any]:
    antennas = example.h.shape[3]
    if isinstance(frame, ReconstructionFrame):
        return ReconstructionPort(frame, width)
    if isinstance(frame, BeamFrame):
        return BeamPort(antennas, frame.bins, width, fold)
    if isinstance(frame, ScalarFrame):
        return ScalarPort(antennas, frame.num_features, width, fold)
    raise TypeError(f"no port for {type(frame).__name__}")


def beside(context: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """``[batch, numbers]`` as channels that are the same in every pixel of ``image``."""
    return context[:, :, None, None].expand(-1, -1, *image.shape[2:])
