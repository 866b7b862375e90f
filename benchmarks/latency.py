"""How long a call of ``predict`` takes."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from channelbench.conditions import Conditions
from channelbench.contracts import Method, Task
from channelbench.costs import LATENCY_BATCHES, latency_key
from channelbench.store.dataset import ChannelDataset

__all__ = ["latencies"]

LONGEST_S = 10.0
"""A call that would take longer is not repeated for its latency."""


def latencies(
    method: Method,
    task: Task,
    dataset: ChannelDataset,
    conditions: Conditions,
    timed: Callable[[int, int], None] = lambda done, total: None,
    *,
    predict_s: float = 0.0,
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Median milliseconds of ``predict`` at each of ``LATENCY_BATCHES`` that the test split has as many samples for.

    Args:
        method, task, dataset, conditions: What predicts, and what.
        timed: Called after each prediction with (done, most that there will be).
        predict_s: Seconds that the test split took. A batch that would take more than ``LONGEST_S`` by them is not
            predicted again for its latency, which is then worked out from them.

    Returns:
        The latencies by their key in ``channelbench.costs``, and the keys of those that were worked out.
    """
    found, derived = {}, []
    total = task.size(dataset.spec, "test", conditions)
    for batch in LATENCY_BATCHES:
        if batch > total:
            continue
        if (expected_s := predict_s * batch / total) > LONGEST_S:
            found[latency_key(batch)] = 1e3 * expected_s
            derived.append(latency_key(batch))
            continue
        observation, _ = task.observe(dataset.view("test"), np.arange(batch), conditions)
        times: list[float] = []
        repeats = 5 if batch == 1 else 3
        for _ in range(repeats):
            began = time.perf_counter()
            method.predict(task.card.name, observation)
            times.append(time.perf_counter() - began)
            timed(len(times), repeats)
            if sum(times) > 2.0:
                break
        found[latency_key(batch)] = 1e3 * float(np.median(times))
    return found, tuple(derived)
