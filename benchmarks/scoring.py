"""One cell: predict, check, score, measure what it cost."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.bootstrap import interval
from channelbench.contracts import Conditions, Method, Observation, Target, Task
from channelbench.prediction import check_prediction
from channelbench.results import MetricScore, Result
from channelbench.store.dataset import ChannelDataset

__all__ = ["PeakMemory", "ceiling_cell", "common_fields", "failed_cell", "latencies", "score", "scored_cell"]

CHUNK = 256
"""Samples observed and scored at a time, which bounds memory whatever the test split's size."""

Terms = dict[str, NDArray[np.float64]]


def score(
    task: Task,
    dataset: ChannelDataset,
    conditions: Conditions,
    predict: Callable[[Observation, Target], Any],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Terms, float]:
    """Per-drop terms of all metrics on the test split, and the seconds spent in ``predict``."""
    total = dataset.spec.sizes.of("test")
    collected: dict[str, list[NDArray[np.float64]]] = {metric.card.name: [] for metric in task.metrics}
    seconds = 0.0
    for start in range(0, total, CHUNK):
        observation, target = task.observe(dataset, "test", np.arange(start, min(start + CHUNK, total)), conditions)
        began = time.perf_counter()
        raw = predict(observation, target)
        seconds += time.perf_counter() - began
        prediction = check_prediction(task, raw, observation, target)
        for metric in task.metrics:
            collected[metric.card.name].append(metric.accumulate(prediction, target))
        progress(min(start + CHUNK, total), total)
    return {name: np.concatenate(parts) for name, parts in collected.items()}, seconds


def scored_cell(common: Mapping[str, Any], task: Task, terms: Terms, costs: Mapping[str, float]) -> Result:
    """A finished cell from its terms."""
    scores = {}
    for metric in task.metrics:
        value, low, high = interval(metric, terms[metric.card.name])
        scores[metric.card.name] = MetricScore(
            value=value, low=low, high=high, unit=metric.unit, higher_is_better=metric.higher_is_better
        )
    return Result(**common, status="ok", scores=scores, costs=dict(costs))


def failed_cell(common: Mapping[str, Any], error: BaseException) -> Result:
    """A cell that says why it has no scores."""
    return Result(**common, status="failed", error=" ".join(f"{type(error).__name__}: {error}".split())[:500])


def ceiling_cell(
    common: Mapping[str, Any], task: Task, dataset: ChannelDataset, conditions: Conditions
) -> tuple[Result, Terms]:
    """The cell of what no method can beat."""
    terms, _ = score(task, dataset, conditions, lambda observation, target: task.ceiling(target))
    return scored_cell(common, task, terms, {}), terms


def common_fields(
    *,
    task: Task,
    train: ChannelDataset,
    test: ChannelDataset,
    conditions: Conditions,
    seed: int,
    preset: str,
    device: str,
    method: type[Method] | Method | None,
) -> dict[str, Any]:
    """What a cell says whether or not it succeeds; without a method it is the ceiling's.

    ``train`` and ``test`` are the datasets whose splits of these names were used; mostly they are one.
    """
    identity = {
        "method": "ceiling",
        "title": "Ceiling",
        "family": "ceiling",
        "reference": "the protocol's own",
        "notes": task.ceiling_note,
    }
    if method is not None:
        card = method.card
        identity = {
            "method": card.name,
            "title": card.label,
            "family": card.family,
            "reference": card.reference,
            "notes": card.notes,
        }
    return identity | {
        "task": task.card.name,
        "primary_metric": task.primary.card.name,
        "conditions": conditions,
        "seed": seed,
        "preset": preset,
        "num_test": test.spec.sizes.of("test"),
        "train_digest": train.split_digest("train"),
        "test_digest": test.split_digest("test"),
        "device": device,
        "hardware": hardware(device),
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def latencies(method: Method, task: Task, dataset: ChannelDataset, conditions: Conditions) -> dict[str, float]:
    """Median milliseconds of ``predict`` at batch 1 and (where the test split has as many) 512."""
    found = {}
    for batch, repeats in ((1, 5), (512, 3)):
        if batch > dataset.spec.sizes.of("test"):
            continue
        observation, _ = task.observe(dataset, "test", np.arange(batch), conditions)
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            method.predict(task.card.name, observation)
            times.append(time.perf_counter() - began)
            if sum(times) > 2.0:
                break
        found[f"latency_ms_batch{batch}"] = 1e3 * float(np.median(times))
    return found


@contextmanager
def threads_for(method: type[Method]) -> Iterator[None]:
    """One BLAS thread for formulas, whose matrices are small: two threads wait for each other longer than they work."""
    if method.learned:
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


class PeakMemory:
    """Peak growth of this process's resident memory, in MB, sampled every 20 ms; on CUDA the allocator's peak."""

    def __init__(self, device: str) -> None:
        self.device, self.megabytes = device, 0.0

    @contextmanager
    def watch(self) -> Iterator[None]:
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats()
            yield
            self.megabytes = max(self.megabytes, torch.cuda.max_memory_allocated() / 2**20)
            return
        import psutil

        process, stop = psutil.Process(), threading.Event()
        start = process.memory_info().rss

        def sample() -> None:
            while not stop.wait(0.02):
                self.megabytes = max(self.megabytes, (process.memory_info().rss - start) / 2**20)

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@cache
def versions() -> dict[str, str]:
    """Versions of what decides a score."""
    packages = ("channelbench", "numpy", "scipy", "torch")
    return {"python": platform.python_version()} | {package: version(package) for package in packages}


@cache
def hardware(device: str) -> str:
    """The processor, in words."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    import os

    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {os.cpu_count()} cores"
