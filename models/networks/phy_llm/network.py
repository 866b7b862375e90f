"""The multi-task physical-layer LLM: one trunk, and an encoder, a decoder and an instruction for each problem."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import nn

from channelbench.contracts import Observation
from channelbench.errors import RequestError
from channelbench.models.networks.backbones import Backbone
from channelbench.models.networks.data import Batch
from channelbench.models.networks.groups import DetectionPart, Part
from channelbench.models.networks.joint import TaskModules
from channelbench.models.networks.phy_llm.adaptation import Storage, adapt, merge, trunk_bytes
from channelbench.models.networks.phy_llm.branch import Branch, Sizes
from channelbench.models.networks.phy_llm.detection import DetectionBranch
from channelbench.models.networks.phy_llm.instructions import Prompts
from channelbench.models.networks.phy_llm.packed import PackedLinear
from channelbench.models.networks.phy_llm.precoding import PrecodingBranch
from channelbench.models.networks.phy_llm.prediction import PredictionBranch
from channelbench.models.networks.precision import half_precision
from channelbench.models.networks.raw import RawReconstructionFrame
from channelbench.models.networks.reconstruction import ReconstructionFrame, ReconstructionShape
from channelbench.tasks.link.observations import LaterSlotsObservation
from channelbench.tasks.multiuser.observations import DetectionObservation, PrecodingObservation

__all__ = ["LOSSES", "PhyLLMNetwork"]

MAX_ROWS = 256
"""Sequences that pass the trunk at a time in a prediction."""

LOSSES: Mapping[type[Observation], tuple[str, ...]] = {
    PrecodingObservation: ("sum_rate", "min_rate"),
    DetectionObservation: ("symbols",),
    LaterSlotsObservation: ("nmse",),
}
"""What can be minimised, by what is wanted."""


class PhyLLMNetwork(nn.Module):
    """The whole network. A batch is of one task: its prompt goes before its tokens and is dropped after the trunk.

    Args:
        examples: An observation for each task.
        trunk: Takes and gives embeddings; if it is frozen, it gets LoRA on queries and values in place. Its vocabulary
            makes the prompts and is let go; a trunk without one is told nothing.
        sizes: See ``Sizes``.
        storage: How a frozen trunk's matrices are stored; see ``adapt``.
    """

    def __init__(
        self, examples: Mapping[str, Observation], trunk: Backbone, sizes: Sizes, *, storage: Storage = "full"
    ) -> None:
        super().__init__()
        branches = {task: _branch(example, trunk.width, sizes) for task, example in examples.items()}
        self.branches = TaskModules(branches)
        self.prompts: Prompts | None = None
        if trunk.words is not None and sizes.prompt_tokens:
            instructions = {task: self.branch(task).instruction for task in branches}
            self.prompts = Prompts(instructions, trunk.words, sizes.prompt_tokens)
        trunk.words = None
        if not any(parameter.requires_grad for parameter in trunk.parameters()):
            adapt(trunk, rank=sizes.rank, storage=storage)
        self.trunk = trunk

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.branches)

    def branch(self, task: str) -> Any:
        """Encoder and decoder of a task."""
        return cast("Branch[Any]", self.branches[task])

    def said(self, task: str, part: Part | Batch) -> tuple[torch.Tensor, Any]:
        """What the decoder of a task says of a part, and the start that it was given."""
        branch = self.branch(task)
        start = branch.begin(part)
        return branch.read(self._through_trunk(task, branch.embed(start), branch.users(start)), start), start

    def loss(self, task: str, part: Part | Batch, progress: float) -> torch.Tensor:
        """Training loss of a task, a scalar."""
        said, start = self.said(task, part)
        return self.branch(task).loss(said, start, progress)

    def score(self, task: str, part: Part | Batch) -> torch.Tensor:
        """What validation averages, a scalar."""
        said, start = self.said(task, part)
        return self.branch(task).score(said, start)

    def answer(self, task: str, part: Part) -> Any:
        """What a task of groups asks for; see ``GroupNetwork.answer``."""
        branch = self.branch(task)
        said, start = self.said(task, part)
        return branch.answer(said, start) if isinstance(part, DetectionPart) else branch.beams(said, start)

    def alone(self, task: str, part: Part) -> Any:
        """``answer`` of a decoder that says 0."""
        return self.branch(task).alone(part)

    def finish(self, task: str, parts: Iterable[Part]) -> None:
        """What is learned of validation cases after training."""
        branch = self.branch(task)
        if isinstance(branch, DetectionBranch):
            branch.finish([self.said(task, part) for part in parts])

    def deploy(self) -> None:
        """Merge LoRA into the trunk and quantise it, as for deployment."""
        merge(self.trunk, "nf4")

    def sizes(self) -> dict[str, float]:
        """Parameters, those of packed matrices counted, and the bytes of the trunk."""
        packed = sum(part.num_weights for part in self.modules() if isinstance(part, PackedLinear))
        stored, half = trunk_bytes(self.trunk)
        return {
            "trainable_parameters": float(sum(p.numel() for p in self.parameters() if p.requires_grad)),
            "total_parameters": float(packed + sum(p.numel() for p in self.parameters())),
            "trunk_stored_bytes": float(stored),
            "trunk_fp16_bytes": float(half),
        }

    def _through_trunk(self, task: str, tokens: torch.Tensor, users: int) -> torch.Tensor:
        prompt = tokens.new_zeros(0, tokens.shape[2]) if self.prompts is None else self.prompts(task, users)
        # Predictions are made in full precision; encoders and decoders are too small to gain from half of it.
        with half_precision(tokens.device.type, self.training):
            parts = [
                self.trunk(torch.cat([prompt.expand(len(rows), -1, -1), rows], dim=1))
                for rows in tokens.split(MAX_ROWS)
            ]
        return torch.cat(parts).float()[:, len(prompt) :]


def _branch(example: Observation, width: int, sizes: Sizes) -> nn.Module:
    for kind, losses in LOSSES.items():
        loss = getattr(example, "loss", "")
        if isinstance(example, kind) and loss not in losses:
            raise RequestError("loss", expected=f"a loss of a {kind.__name__}", got=loss, choices=losses)
    if isinstance(example, PrecodingObservation):
        return PrecodingBranch(example.h.shape[3], example.loss, width, sizes)
    if isinstance(example, DetectionObservation):
        return DetectionBranch(example.h.shape[1], example.y.shape[1], width, sizes)
    if isinstance(example, LaterSlotsObservation):
        frame = ReconstructionFrame if sizes.aligned else RawReconstructionFrame
        return PredictionBranch(frame(ReconstructionShape.of(example.grid)), width, sizes)
    raise TypeError(f"no branch for a {type(example).__name__}")
