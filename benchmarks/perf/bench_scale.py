"""What grows with a dataset and what does not: memory, time per sample, cores, and the time to verify it.

``pytest -m "" benchmarks/perf/bench_scale.py``; what was found is in ``extra_info``. Nothing is asserted about time.
``CHANNELBENCH_BENCH_SAMPLES`` is the size of the largest dataset, 100,000 unless given, which takes 11.5 GB of disk.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from channelbench import cluster
from channelbench.generation import generate, make_spec
from channelbench.spec import ScenarioSpec, split_samples
from channelbench.store import verify

LARGEST = int(os.environ.get("CHANNELBENCH_BENCH_SAMPLES", "100000"))

Forget: TypeAlias = Callable[[Path], None]
Read: TypeAlias = Callable[[Iterable[Path]], int]


def peak_bytes() -> int:
    """Of this process (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


class Run:
    """One ``generate``: what it took from the first block on, and the largest peak of its workers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path, spec: ScenarioSpec, workers: int = 2) -> None:
        marks: list[tuple[float, int]] = []
        peaks: list[int] = []
        begin = cluster.start

        @contextmanager
        def start(count: int) -> Iterator[Any]:
            with begin(count) as client:
                yield client
                peaks.extend(client.run(peak_bytes).values())

        shutil.rmtree(path, ignore_errors=True)
        with monkeypatch.context() as patch:
            patch.setattr(cluster, "start", start)
            generate(
                spec,
                path,
                workers=workers,
                progress=lambda done, _: marks.append((time.perf_counter(), done)),
                remember=False,
            )
        first = next(mark for mark in marks if mark[1] > 0)
        last = marks[-1]
        self.rate = (last[1] - first[1]) / (last[0] - first[0])
        self.peak_gb = max(peaks, default=peak_bytes()) / 1e9


@pytest.mark.parametrize(("system", "sizes"), [("dualband", (2_000, 20_000)), ("multiuser", (400, 4_000))])
def test_memory(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, sizes: tuple[int, int]
) -> None:
    """Peak of a worker process, for a dataset and one ten times as large."""
    runs = [
        Run(monkeypatch, tmp_path / "d.zarr", make_spec("uma", system=system, sizes=split_samples(n))) for n in sizes
    ]
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.extra_info |= {
        "case": f"memory {system}",
        "peak_gb": {n: round(run.peak_gb, 3) for n, run in zip(sizes, runs, strict=True)},
        "growth": round(runs[1].peak_gb / runs[0].peak_gb, 3),
    }
    print(benchmark.extra_info)


def test_time_per_sample(benchmark: Any, tmp_path: Path) -> None:
    """Samples per second of one worker, which is this process, on datasets of three sizes: medians."""
    rounds = {LARGEST // 100: 9, LARGEST // 10: 3, LARGEST: 1}
    rate_of_all(tmp_path / "d.zarr", make_spec("uma", sizes=split_samples(LARGEST // 10)))  # warms up
    rates = {
        samples: statistics.median(
            rate_of_all(tmp_path / "d.zarr", make_spec("uma", sizes=split_samples(samples))) for _ in range(count)
        )
        for samples, count in rounds.items()
    }
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.extra_info |= {"case": "sizes", "samples_per_second": {n: round(rate) for n, rate in rates.items()}}
    print(benchmark.extra_info)


def rate_of_all(path: Path, spec: ScenarioSpec, **options: Any) -> float:
    """Samples per second between the first block's begin and the last one's end."""
    marks: list[float] = []
    shutil.rmtree(path, ignore_errors=True)
    generate(spec, path, progress=lambda *_: marks.append(time.perf_counter()), remember=False, **options)
    return spec.sizes.total / (marks[-1] - marks[0])


def test_cores(benchmark: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One worker, in its own process as the others, against as many as there are cores."""
    spec = make_spec("uma", sizes=split_samples(LARGEST // 5))
    counts = (1, os.cpu_count() or 1)
    rates: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(3):
        for count in counts:
            rates[count].append(Run(monkeypatch, tmp_path / "d.zarr", spec, count).rate)
    found = {count: sorted(values)[1] for count, values in rates.items()}
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.extra_info |= {
        "case": "cores",
        "samples_per_second": {count: round(rate) for count, rate in found.items()},
        "speedup": round(found[counts[1]] / found[1], 2),
    }
    print(benchmark.extra_info)


def test_files(benchmark: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Samples per second of two workers that are up, by how many samples stand in a file."""
    spec, cuts = make_spec("uma", sizes=split_samples(LARGEST // 10)), (200, 400, 800, 1600)
    rates: dict[int, list[float]] = {cut: [] for cut in cuts}
    with cluster.start(2) as client:
        monkeypatch.setattr(cluster, "start", lambda _: nullcontext(client))
        rate_of_all(tmp_path / "d.zarr", spec, workers=2)  # warms up
        for _ in range(3):
            for cut in cuts:
                rates[cut].append(rate_of_all(tmp_path / "d.zarr", spec, workers=2, file_samples=cut))
    benchmark.pedantic(lambda: None, rounds=1)
    found = {cut: round(sorted(values)[1]) for cut, values in rates.items()}
    benchmark.extra_info |= {"case": "files", "samples_per_second": found}
    print(benchmark.extra_info)


def test_verify(benchmark: Any, tmp_path: Path, forget: Forget, read: Read) -> None:
    """``verify`` against one sequential read of the same files, both from the disk, where the paths have been drawn
    again before."""
    path = Path(generate(make_spec("uma", sizes=split_samples(LARGEST // 5)), tmp_path / "d.zarr", workers=2))
    seconds: dict[str, list[float]] = {"read": [], "verify": []}
    assert all(finding.ok for finding in verify(path, again=False))
    for _ in range(3):
        forget(path)
        begin = time.perf_counter()
        read(path.rglob("c/**/*"))
        seconds["read"].append(time.perf_counter() - begin)
        forget(path)
        begin = time.perf_counter()
        assert all(finding.ok for finding in verify(path, again=False))
        seconds["verify"].append(time.perf_counter() - begin)
    found = {name: sorted(values)[1] for name, values in seconds.items()}
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.extra_info |= {
        "case": "verify",
        "seconds": {name: round(value, 2) for name, value in found.items()},
        "of_one_read": round(found["verify"] / found["read"], 2),
    }
    print(benchmark.extra_info)
