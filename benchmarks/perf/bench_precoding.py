"""Speed of batched precoders: WMMSE against a loop over groups, ZF and RZF against the bare solution of their systems.

``pytest -m "" benchmarks/perf/bench_precoding.py``; times and ratios are in ``extra_info``. Nothing is asserted about
time. The loop is NumPy as one would write it for a group, with the same K × K systems: over the antennas it would be
slower still. The bare solution is ``np.linalg.solve`` of all Gram matrices and their right-hand sides at once, Gram
matrices included, without norms, powers, or care for what is singular.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from channelbench.solvers.precoding import rzf, sum_rate, zf
from channelbench.solvers.wmmse import wmmse

Complex = NDArray[np.complex128]

POWER, NOISE_VAR, ITERATIONS = 1.0, 0.1, 20
WMMSE_GROUPS, LOOP_GROUPS, CLOSED_GROUPS, ROUNDS = 2000, 50, 10_000, 5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(limits=1):
        yield


def rayleigh(groups: int, users: int, antennas: int) -> Complex:
    parts = np.random.default_rng(0).standard_normal((2, groups, users, antennas))
    return (parts[0] + 1j * parts[1]) / np.sqrt(2)


def loop(h: Complex) -> Complex:
    """WMMSE, group after group."""
    return np.stack([one(each * np.sqrt(POWER / NOISE_VAR)) for each in h])


def one(h: Complex) -> Complex:
    """WMMSE of one group ``[K, N]`` at power 1 and noise 1."""
    gram = h @ h.conj().T
    coefficients = np.eye(len(h), dtype=complex)
    for _ in range(ITERATIONS):
        received = coefficients @ gram
        power = np.sum(received * coefficients.conj()).real
        signal = np.diag(received)
        total = np.sum(np.abs(received) ** 2, axis=0) + power
        rest = total - np.abs(signal) ** 2
        weights = np.abs(signal) ** 2 / (total * rest)
        system = gram * weights + weights.sum() * np.eye(len(h))
        coefficients = (signal / rest)[:, None] * np.linalg.inv(system)
    w: Complex = coefficients @ h
    return w * np.sqrt(POWER) / np.linalg.norm(w)


def medians(sides: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Seconds of each, taken in turn, so that what else the machine does touches all."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in times.items()}


@pytest.mark.parametrize("antennas", [8, 128])
@pytest.mark.parametrize("users", [4, 8])
def test_wmmse(benchmark: Any, users: int, antennas: int) -> None:
    h = rayleigh(WMMSE_GROUPS, users, antennas)
    some = h[:LOOP_GROUPS]
    ours, theirs = (sum_rate(some, w, NOISE_VAR) for w in (wmmse(some, POWER, NOISE_VAR, ITERATIONS), loop(some)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)  # the same work
    found = medians({"ours": lambda: wmmse(h, POWER, NOISE_VAR, ITERATIONS), "loop": lambda: loop(some)})
    each = {"ours": found["ours"] / WMMSE_GROUPS, "loop": found["loop"] / LOOP_GROUPS}
    benchmark.extra_info |= {
        "us_per_group": {name: round(1e6 * value, 1) for name, value in each.items()},
        "times_loop": round(each["loop"] / each["ours"], 1),
    }
    benchmark.pedantic(lambda: wmmse(h, POWER, NOISE_VAR, ITERATIONS), rounds=1)


@pytest.mark.parametrize("kind", ["zf", "rzf"])
def test_closed_forms(benchmark: Any, kind: str) -> None:
    h = rayleigh(CLOSED_GROUPS, 8, 128)
    ridge = 0 if kind == "zf" else 8 * NOISE_VAR / POWER
    solve = zf if kind == "zf" else rzf
    found = medians(
        {
            "ours": lambda: solve(h, POWER, NOISE_VAR),
            "bare": lambda: np.linalg.solve(h @ h.conj().swapaxes(1, 2) + ridge * np.eye(8), h),
        }
    )
    benchmark.extra_info |= {
        "ms": {name: round(1e3 * value) for name, value in found.items()},
        "times_bare": round(found["ours"] / found["bare"], 2),
    }
    benchmark.pedantic(lambda: solve(h, POWER, NOISE_VAR), rounds=1)
