"""MoE-LoRA: a mixture of low-rank updates on the feed-forward linears of a frozen trunk (LLM4WM section IV-C).

Eq. 24 adds to each linear, for a sample of task t, ``(α/r) Σ_k ω_k(t) B_k A_k x`` over E experts of rank r, where
ω(t) is the softmax of a single linear layer on the task's one-hot vector. The sum is never taken expert by expert: the
A_k are stacked into one ``[E·r, d_in]``, the B_k into one ``[d_out, E·r]``, and the gate scales what lies between.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from channelbench.errors import RequestError
from channelbench.models.networks.backbones import Backbone, IdentityTrunk

__all__ = ["MoELoRA", "MoELoRALinear", "TaskGate", "attach_moe_lora", "feed_forward_linears"]

FEED_FORWARD = re.compile(
    r"(?:^|\.)(?:"
    r"mlp\.c_fc|mlp\.c_proj"  # GPT-2
    r"|mlp\.(?:gate|up|down)_proj"  # LLaMA, Qwen, Mistral
    r"|mlp\.dense_h_to_4h|mlp\.dense_4h_to_h"  # GPT-NeoX
    r"|\d+\.intermediate\.dense|\d+\.output\.dense"  # BERT, whose attention.output.dense is no feed-forward linear
    r"|\d+\.linear1|\d+\.linear2"  # scratch
    r"|\d+\.fc1|\d+\.fc2"  # OPT
    r")$"
)


class TaskGate:
    """Which task each sample of the batch at hand belongs to, shared by the layers of one trunk.

    Attributes:
        num_tasks: Tasks are numbered from 0.
        ids: Tasks of the samples, ``[batch]`` or ``[]`` for all alike, int64; ``None`` outside of ``tasks``.
        bypass: The layers leave their updates out, as in the first stage of LLM4WM's training.
    """

    def __init__(self, num_tasks: int) -> None:
        self.num_tasks = num_tasks
        self.ids: torch.Tensor | None = None
        self.bypass = False

    def set_task(self, ids: torch.Tensor | int | None) -> None:
        """Say whose samples come next: one task for all, one per sample, or ``None`` for nobody's.

        Raises:
            ValueError: they are no task numbers.
        """
        if ids is None:
            self.ids = None
            return
        tensor = torch.as_tensor(ids)
        if tensor.ndim > 1 or tensor.is_floating_point() or tensor.dtype == torch.bool:
            raise ValueError(f"expected integer tasks [batch] or one, got {tensor.dtype} {list(tensor.shape)}")
        # On an accelerator the comparison would wait for all work that is queued; indexing checks the range there.
        if tensor.device.type == "cpu" and tensor.numel() and not 0 <= tensor.min() <= tensor.max() < self.num_tasks:
            raise ValueError(f"expected tasks from 0 to {self.num_tasks - 1}, got {tensor.unique().tolist()}")
        self.ids = tensor.long()

    @contextmanager
    def tasks(self, ids: torch.Tensor | int) -> Iterator[None]:
        """``set_task`` for the batches inside, so that none is ever judged by the tasks of the one before."""
        before = self.ids
        self.set_task(ids)
        try:
            yield
        finally:
            self.ids = before


class MoELoRALinear(nn.Module):
    """A linear with a mixture of low-rank updates.

    Args:
        base: ``nn.Linear``, or the ``Conv1D`` of GPT-2, which stores its weight transposed.
        gate: Tells the tasks of a batch.
        experts: Number of experts E.
        rank: Rank r of each; the update is scaled by α/r with α = 2r (section IV-C).
        generator: Draws the starting values: A as a linear's weight (Kaiming) and B zero, so that nothing changes at
            first.
    """

    scale = 2.0
    """α/r."""
    merged_weight: torch.Tensor | None

    def __init__(self, base: nn.Module, gate: TaskGate, *, experts: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.base, self.gate, self.experts, self.rank = base, gate, experts, rank
        weight = self.base_weight
        self.out_features, self.in_features = weight.shape
        down, up = torch.empty(experts * rank, self.in_features), torch.zeros(self.out_features, experts * rank)
        logits = torch.empty(gate.num_tasks, experts)
        nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
        # A linear layer on a one-hot vector is a row of its weight; a bias would only repeat what all rows can hold.
        nn.init.uniform_(logits, -1 / math.sqrt(gate.num_tasks), 1 / math.sqrt(gate.num_tasks), generator=generator)
        self.down, self.up, self.logits = (
            nn.Parameter(tensor.to(weight.device, weight.dtype)) for tensor in (down, up, logits)
        )
        self.register_buffer("merged_weight", None, persistent=False)

    @property
    def base_weight(self) -> torch.Tensor:
        """W, ``[d_out, d_in]`` however it is stored."""
        weight = self.base.weight
        assert isinstance(weight, torch.Tensor)
        return weight.t() if _is_conv1d(self.base) else weight

    def expert_weights(self) -> torch.Tensor:
        """ω, ``[tasks, experts]``; each row sums to one."""
        return self.logits.softmax(dim=1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """``[batch, …, d_in]`` to ``[batch, …, d_out]``.

        Raises:
            RuntimeError: nobody said which tasks these samples belong to, or somebody did while one is merged.
            ValueError: tasks were said for a batch of another size.
        """
        if self.gate.bypass:
            return self.base(inputs)
        if self.merged_weight is not None:
            if self.gate.ids is not None:
                raise RuntimeError("tasks are set while one task is merged into the weights: call unmerge() first")
            return functional.linear(inputs, self.merged_weight, self.base.bias)  # type: ignore[arg-type]
        output = self.base(inputs)
        hidden = functional.linear(inputs, self.down)
        hidden = hidden * self._scaled_gate(inputs).to(hidden.dtype)
        update = hidden.flatten(0, -2), self.up.t()
        return torch.addmm(output.flatten(0, -2), *update).view(output.shape)

    def _scaled_gate(self, inputs: torch.Tensor) -> torch.Tensor:
        """(α/r)·ω of each sample, each ω repeated r times: ``[batch or 1, 1, …, E·r]``."""
        ids = self.gate.ids
        if ids is None:
            raise RuntimeError("no task is set for this batch: wrap the call in `with moe_lora.tasks(ids):`")
        if ids.ndim and len(ids) != len(inputs):
            raise ValueError(f"{len(ids)} tasks were set for a batch of {len(inputs)} samples")
        ids = ids.to(inputs.device).reshape(-1)
        gate = (self.scale * self.expert_weights()[ids]).repeat_interleave(self.rank, dim=1)
        return gate.view(len(ids), *(1,) * (inputs.ndim - 2), -1)

    def merge(self, task: int) -> torch.Tensor:
        """W + (α/r) Σ ω_k B_k A_k, ``[d_out, d_in]``: the plain linear that this layer is for samples of ``task``."""
        gate = (self.scale * self.expert_weights()[task]).repeat_interleave(self.rank)
        return self.base_weight + (self.up * gate) @ self.down

    def train(self, mode: bool = True) -> MoELoRALinear:
        """As ``nn.Module.train``; a merged weight is dropped, since what it was made of may be about to change."""
        self.merged_weight = None
        return super().train(mode)


@dataclass(frozen=True)
class MoELoRA:
    """The MoE-LoRA layers of one trunk and the gate that they share.

    Attributes:
        layers: By their path in the trunk, in the order in which they are passed.
        gate: Told the tasks of a batch before the trunk is called.
    """

    layers: Mapping[str, MoELoRALinear]
    gate: TaskGate

    def tasks(self, ids: torch.Tensor | int) -> Any:
        """``with moe_lora.tasks(ids): trunk(embeddings)``; ids ``[batch]`` for a joined batch, or one number."""
        return self.gate.tasks(ids)

    def set_task(self, ids: torch.Tensor | int | None) -> None:
        """As ``tasks``, until told otherwise."""
        self.gate.set_task(ids)

    @property
    def bypass(self) -> bool:
        """Whether the trunk runs as if it had no MoE-LoRA."""
        return self.gate.bypass

    def set_bypass(self, bypass: bool) -> None:
        """Let the trunk run as if it had no MoE-LoRA, or with it again."""
        self.gate.bypass = bypass

    def parameters(self) -> Iterator[nn.Parameter]:
        """What MoE-LoRA adds to the trunk."""
        for layer in self.layers.values():
            yield from (layer.down, layer.up, layer.logits)

    def requires_grad_(self, requires_grad: bool) -> None:
        """Train or freeze all of ``parameters``."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)

    def expert_weights(self) -> dict[str, torch.Tensor]:
        """ω of each layer, ``[tasks, experts]``, as the paper's Fig. 6 correlates them between tasks."""
        return {name: layer.expert_weights().detach().clone() for name, layer in self.layers.items()}

    @torch.no_grad()
    def merge(self, task: int) -> None:
        """Run on plain linears from here on, as samples of ``task`` need them, until ``unmerge`` or the next
        ``train()`` or ``eval()`` of the trunk. Each layer holds one more weight meanwhile.

        Raises:
            ValueError: there is no such task.
        """
        if not 0 <= task < self.gate.num_tasks:
            raise ValueError(f"expected a task from 0 to {self.gate.num_tasks - 1}, got {task}")
        for layer in self.layers.values():
            layer.merged_weight = layer.merge(task)

    def unmerge(self) -> None:
        """Back to the gate."""
        for layer in self.layers.values():
            layer.merged_weight = None


def attach_moe_lora(backbone: Backbone, num_tasks: int, *, experts: int = 8, rank: int = 8, seed: int = 0) -> MoELoRA:
    """Put MoE-LoRA around the feed-forward linears of ``backbone``, in place.

    The trunk's own parameters stay as trainable as they were; the new ones are trainable. No trunk has no linears and
    gets no layers.

    Args:
        backbone: Its results do not change until something is trained.
        num_tasks: Size of the gate's one-hot vector.
        experts, rank: E and r of Eq. 24; 8 and 8 in the paper, which adds 2.95 M parameters to 6 layers of GPT-2.
        seed: Of the starting values.

    Raises:
        RequestError: the sizes are not positive, or the trunk has no feed-forward linear of a known name.
    """
    for field, value in {"num_tasks": num_tasks, "experts": experts, "rank": rank}.items():
        if value < 1:
            raise RequestError(field, expected="a positive number", got=value)
    found = [] if isinstance(backbone, IdentityTrunk) else feed_forward_linears(backbone)
    gate, generator = TaskGate(num_tasks), torch.Generator().manual_seed(seed)
    layers = {}
    for name in found:
        base = backbone.get_submodule(name)
        layers[name] = MoELoRALinear(base, gate, experts=experts, rank=rank, generator=generator)
        backbone.set_submodule(name, layers[name])
    return MoELoRA(layers, gate)


def feed_forward_linears(backbone: Backbone) -> list[str]:
    """Paths of the linears of all feed-forward networks of a trunk.

    Raises:
        RequestError: it has none of a known name.
    """
    found = [name for name, module in backbone.named_modules() if FEED_FORWARD.search(name) and _is_linear(module)]
    if not found:
        raise RequestError(
            "--backbone", expected="feed-forward linears that MoE-LoRA knows by name", got=backbone.description
        )
    return found


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or _is_conv1d(module)


def _is_conv1d(module: nn.Module) -> bool:
    """By its name, so that a trunk without transformers does not import them."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")
