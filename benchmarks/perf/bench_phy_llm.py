"""What a training step of the multi-task PHY LLM costs beside its frozen trunk.

``pytest benchmarks/perf/bench_phy_llm.py -s``; ratios are in ``extra_info``, and nothing is asserted about time. Sides
are timed in turn, so that what else the machine does touches all of them.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest

TASKS = ("pre_sr", "det", "cp")
ROUNDS = 5
BATCH = 64


@pytest.mark.parametrize("backbone", ["minilm", "random:gpt2"])
def test_three_steps(benchmark: Any, tmp_path: Any, backbone: str) -> None:
    """A step of each task (encoders, prompts, LoRA, decoders, losses and the optimiser) against forward and backward
    to the inputs through the bare frozen trunk, on the tokens that these steps send through it."""
    import torch

    from channelbench.contracts import FitContext, TaskSplit
    from channelbench.models.networks.backbones import load_backbone
    from channelbench.models.networks.data import as_batch
    from channelbench.models.networks.groups import parts_of
    from channelbench.models.networks.precision import half_precision
    from channelbench.models.networks.trunks import trunk_layers
    from channelbench.models.phy_llm import PhyLLM
    from channelbench.registry import create
    from channelbench.testing import make_dataset, small_spec

    dataset = make_dataset(tmp_path / "few.zarr", small_spec(train=128, val=16, test=16))
    splits = {task: TaskSplit(create("tasks", task), dataset.view("train")) for task in TASKS}
    context = FitContext(preset="quick", backbone=backbone)
    network = PhyLLM().build({task: split.observe([0])[0] for task, split in splits.items()}, context)
    network.train()
    seen = {task: split.observe(range(BATCH)) for task, split in splits.items()}
    batches: dict[str, Any] = {task: parts_of(*seen[task], "cpu") for task in ("pre_sr", "det")}
    batches["cp"] = [(range(BATCH), as_batch(*seen["cp"], "cpu"))]
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad])
    sent: list[tuple[int, ...]] = []
    hook = network.trunk.register_forward_pre_hook(lambda module, arguments: sent.append(arguments[0].shape))

    def steps() -> None:
        for task, parts in batches.items():
            optimizer.zero_grad(set_to_none=True)
            losses = [network.loss(task, part, 0.9) * len(cases) for cases, part in parts]
            torch.stack(losses).sum().backward()
            optimizer.step()

    steps()
    hook.remove()
    bare = load_backbone(backbone, layers=trunk_layers("quick"))
    tokens = [torch.randn(shape, requires_grad=True) for shape in sent]

    def trunk() -> None:
        for part in tokens:
            with half_precision("cpu", True):
                bare(part).float().sum().backward()

    seconds: dict[str, list[float]] = {"steps": [], "trunk": []}
    for round_ in range(ROUNDS + 1):
        for name, run in (("steps", steps), ("trunk", trunk)):
            began = time.perf_counter()
            run()
            if round_:
                seconds[name].append(time.perf_counter() - began)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    benchmark.pedantic(steps, rounds=1, iterations=1)
    benchmark.extra_info["ms"] = {name: round(1e3 * value) for name, value in median.items()}
    benchmark.extra_info["times_trunk"] = round(median["steps"] / median["trunk"], 2)
    print(benchmark.extra_info)
