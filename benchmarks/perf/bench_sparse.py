"""Speed of sparse Bayesian estimation in real arithmetic, on the strongest taps, against complex arithmetic on all.

``pytest -m "" benchmarks/perf/bench_sparse.py``; milliseconds per sample and thread, and their ratio, are in
``extra_info``. Nothing is asserted about time. The sizes are those of the dual-band system in CE, PF and CP: so many
modes, taps and antennas on 9 Dopplers, 192 delays and 32 angles, so many of the taps kept, and so many steps, as
validation chooses them in UMa in line of sight. The baseline is the same solver as it would be written without that:
in the bases in which channels come, where atoms are complex.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from channelbench.solvers.sparse import SparseDictionary, sparse_estimates

CASES = {"ce": (2, 8, 8, 8, 4), "pf": (2, 32, 32, 8, 6), "cp": (2, 64, 32, 8, 5)}
"""``(modes, taps, kept taps, antennas, steps)``."""

ATOMS, ROUNDS = (9, 192, 32), 5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(limits=1):
        yield


def estimate(
    rng: np.random.Generator, modes: int, taps: int, antennas: int, steps: int, kind: Any
) -> Callable[[], Any]:
    """One estimate of noise, on random atoms of this type: what it costs does not depend on what they are."""

    def random(*shape: int) -> Any:
        found = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        return (found if kind is complex else found.real) / np.sqrt(shape[0])

    dictionary = SparseDictionary(*(random(rows, n) for rows, n in zip((modes, taps, antennas), ATOMS, strict=True)))
    z = rng.standard_normal((modes, taps, antennas)) + 1j * rng.standard_normal((modes, taps, antennas))
    return lambda: sparse_estimates(z, dictionary, np.full(ATOMS, 1e-4), 0.1, steps)


@pytest.mark.parametrize("task", CASES)
def test_sparse_estimate(benchmark: Any, task: str) -> None:
    modes, taps, kept, antennas, steps = CASES[task]
    rng = np.random.default_rng(0)
    sides = {
        "ours": estimate(rng, modes, kept, antennas, steps, float),
        "complex": estimate(rng, modes, taps, antennas, steps, complex),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):  # in turn, so that what else the machine does touches both
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            times[name].append(1e3 * (time.perf_counter() - began))
    medians = {name: statistics.median(each) for name, each in times.items()}
    benchmark.extra_info |= {
        "ms_per_sample": {name: round(value, 1) for name, value in medians.items()},
        "times_complex": round(medians["complex"] / medians["ours"], 1),
    }
    benchmark.pedantic(sides["ours"], rounds=1)
