"""What LLM4WM costs beside its frozen trunk, and what feeding it costs beside training it.

``pytest benchmarks/perf/bench_llm4wm.py -s``; ratios are in ``extra_info``, and nothing is asserted about time. Sides
are timed in turn, so that what else the machine does touches all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from channelbench.contracts import TaskSplit
    from channelbench.models.networks.llm4wm import LLM4WMNetwork

TASKS = ("ce", "cp", "pf", "bf", "de", "pe")
ROUNDS = 5


@dataclass(frozen=True)
class Bench:
    """LLM4WM at GPT-2's shapes (six layers, 16 tokens) and data for it."""

    splits: Mapping[str, TaskSplit]
    network: LLM4WMNetwork


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    from channelbench.contracts import FitContext, TaskSplit
    from channelbench.models.llm4wm import LLM4WM
    from channelbench.registry import create
    from channelbench.testing import make_dataset, small_spec

    folder: Path = tmp_path_factory.mktemp("bench")
    dataset = make_dataset(folder / "few.zarr", small_spec(train=128, val=8, test=8))
    splits = {task: TaskSplit(create("tasks", task), dataset.view("train")) for task in TASKS}
    examples = {task: split.observe([0])[0] for task, split in splits.items()}
    network = LLM4WM().build(examples, FitContext(preset="paper", backbone="random:gpt2"))
    return Bench(splits, network)


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


@pytest.mark.parametrize("task", ["cp", "bf"])
def test_inference(benchmark: Any, bench: Bench, task: str) -> None:
    """A prediction of 64 samples, experts merged, against the bare trunk on as many tokens."""
    import torch

    from channelbench.models.networks.data import as_batch

    batch = as_batch(*bench.splits[task].observe(range(64)), "cpu")
    network = bench.network.eval()
    network.set_stage(tuning=True)
    network.specialise(task)
    tokens = torch.randn(64, 16, network.trunk.width)

    def bare() -> None:
        # On merged weights the trunk is what it was: plain linears of the same shapes.
        network.trunk(tokens)

    def whole() -> None:
        network(task, batch.h, batch.noise_var)

    with torch.no_grad():
        seconds = medians({"whole": whole, "trunk": bare})
        benchmark.pedantic(whole, rounds=3, iterations=1)
    benchmark.extra_info["ms"] = {name: round(1e3 * value) for name, value in seconds.items()}
    benchmark.extra_info["times_trunk"] = round(seconds["whole"] / seconds["trunk"], 2)
    print(benchmark.extra_info)


def test_data_loading(benchmark: Any, bench: Bench) -> None:
    """Drawing a batch of all six tasks, noise included, against a training step on it."""
    import torch

    from channelbench.models.networks.data import training_batches

    network = bench.network
    network.set_stage(tuning=True)
    network.train()
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad])
    streams = {task: training_batches(split, 64, 0, "cpu")(0) for task, split in bench.splits.items()}
    batches = {task: next(stream) for task, stream in streams.items()}

    def load() -> None:
        for stream in streams.values():
            next(stream)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(network.losses(batches).values())).sum().backward()
        optimizer.step()

    seconds = medians({"loading": load, "step": step})
    benchmark.pedantic(load, rounds=3, iterations=1)
    benchmark.extra_info["ms"] = {name: round(1e3 * value) for name, value in seconds.items()}
    benchmark.extra_info["share_of_epoch"] = round(seconds["loading"] / sum(seconds.values()), 3)
    print(benchmark.extra_info)
