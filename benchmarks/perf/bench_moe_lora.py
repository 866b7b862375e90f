"""Speed of MoE-LoRA fused over experts against a plain loop over them, at GPT-2's shapes with one thread.

``pytest benchmarks/perf/bench_moe_lora.py``; the ratios are in ``extra_info``. Nothing is asserted about time. A
training step is forward, backward and Adam on batch 64, 16 tokens, 6 layers of width 768, feed-forward width 3072,
8 experts of rank 8, float32, one task per sample, the trunk frozen. Sides are timed in turn, so that what else the
machine does touches all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import torch
    from torch import nn

    from channelbench.models.networks.backbones import Backbone
    from channelbench.models.networks.moe_lora import MoELoRA

BATCH, TOKENS, LAYERS, TASKS, ROUNDS = 64, 16, 6, 6, 5


def make_trunk() -> tuple[Backbone, MoELoRA]:
    from channelbench.models.networks.backbones import load_backbone
    from channelbench.models.networks.moe_lora import attach_moe_lora

    trunk = load_backbone("random:gpt2", layers=LAYERS)
    return trunk, attach_moe_lora(trunk, TASKS)


def looped(layer: Any) -> nn.Module:
    """The same mixture as papers' code writes it: two small linears per expert, one after the other."""
    from torch import nn

    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base, self.gate, self.logits = layer.base, layer.gate, nn.Parameter(layer.logits.detach().clone())
            downs = layer.down.detach().split(layer.rank)
            ups = layer.up.detach().split(layer.rank, dim=1)
            self.downs = nn.ParameterList(nn.Parameter(down.clone()) for down in downs)
            self.ups = nn.ParameterList(nn.Parameter(up.clone()) for up in ups)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            output = self.base(inputs)
            weights = self.logits.softmax(dim=1)[self.gate.ids]
            for k, (down, up) in enumerate(zip(self.downs, self.ups, strict=True)):
                update = nn.functional.linear(nn.functional.linear(inputs, down), up)
                output = output + weights[:, k, None, None] * update * layer.scale
            return output

    return Loop()


def training_step(trunk: nn.Module, gate: Any, inputs: torch.Tensor, ids: torch.Tensor) -> Callable[[], None]:
    import torch

    optimizer = torch.optim.Adam([p for p in trunk.parameters() if p.requires_grad], lr=1e-4)

    def step() -> None:
        with gate.tasks(ids):
            trunk(inputs).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def medians(sides: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of each side, all timed in turn after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(ROUNDS + 1):
        for name, run in sides.items():
            begin = time.perf_counter()
            run()
            if round_:
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


@pytest.fixture
def one_thread() -> Any:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_training_step(benchmark: Any) -> None:
    import torch

    inputs, ids = torch.randn(BATCH, TOKENS, 768), torch.arange(BATCH) % TASKS
    trunk, moe_lora = make_trunk()
    other, other_moe_lora = make_trunk()
    for name, layer in other_moe_lora.layers.items():
        other.set_submodule(name, looped(layer))
    with torch.no_grad(), moe_lora.tasks(ids), other_moe_lora.tasks(ids):
        torch.testing.assert_close(trunk(inputs), other(inputs))

    fused = training_step(trunk, moe_lora, inputs, ids)
    seconds = medians({"fused": fused, "loop": training_step(other, other_moe_lora, inputs, ids)})
    benchmark.pedantic(fused, rounds=3, iterations=1)
    benchmark.extra_info["ms"] = {name: round(1e3 * value) for name, value in seconds.items()}
    benchmark.extra_info["times_loop"] = round(seconds["loop"] / seconds["fused"], 2)
    print(benchmark.extra_info)


@pytest.mark.usefixtures("one_thread")
def test_inference(benchmark: Any) -> None:
    """The trunk with MoE-LoRA against the frozen trunk alone, with the gate and merged."""
    import torch

    inputs = torch.randn(BATCH, TOKENS, 768)
    trunk, moe_lora = make_trunk()

    def alone() -> torch.Tensor:
        moe_lora.set_bypass(True)
        result = trunk(inputs)
        moe_lora.set_bypass(False)
        return result

    def gated() -> torch.Tensor:
        with moe_lora.tasks(0):
            return trunk(inputs)

    def merged() -> torch.Tensor:
        moe_lora.merge(0)
        result = trunk(inputs)
        moe_lora.unmerge()
        return result

    merged_once, merged_moe_lora = make_trunk()
    merged_moe_lora.merge(0)
    with torch.no_grad():
        seconds = medians(
            {"alone": alone, "gated": gated, "merge_and_run": merged, "merged": lambda: merged_once(inputs)}
        )
        benchmark.pedantic(merged_once, args=(inputs,), rounds=3, iterations=1)
    benchmark.extra_info["ms"] = {name: round(1e3 * value) for name, value in seconds.items()}
    benchmark.extra_info["over_trunk"] = {name: round(s / seconds["alone"], 2) for name, s in seconds.items()}
    print(benchmark.extra_info)
