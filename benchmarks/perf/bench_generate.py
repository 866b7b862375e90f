"""Samples per second to disk, against stock Sionna in memory and against Zarr with nothing to generate.

``pytest benchmarks/perf/bench_generate.py``; rates and ratios are in ``extra_info``, and ``python
benchmarks/perf/table.py FILE`` makes a table of what ``--benchmark-json FILE`` has stored. Nothing is asserted about
time. The sides take turns, so that what else the machine does touches all of them:

- ``ours``: ``generate`` with two workers that are up, to Zarr files, digests included;
- ``stock``: Sionna's own classes in one process with two threads, its samples kept in memory, in the batch size of two
  that suits it better (see ``conftest.py``);
- ``zarr``: the same two workers write arrays of the same shapes, dtypes and chunks by ``array[rows] = values``.

Rooflines are measured beside them: float32 matrix products of one thread, and plain writes to the same disk.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import zarr

from channelbench import cluster
from channelbench.generation import _write, make_spec
from channelbench.spec import ScenarioSpec, split_samples
from channelbench.store import layout
from channelbench.store.files import Files
from channelbench.store.schema import variables

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not import benchmarks

ROUNDS = 9
WORKERS = 2
CASES: dict[str, tuple[dict[str, Any], int, tuple[int, ...]]] = {
    "UMa LOS": ({"scenario": "uma", "state": "los"}, 10_000, (32, 64)),
    "UMa NLOS": ({"scenario": "uma", "state": "nlos"}, 10_000, (32, 64)),
    "RMa LOS": ({"scenario": "rma", "state": "los"}, 10_000, (32, 64)),
    "multiuser": ({"scenario": "uma", "system": "multiuser"}, 2000, (8, 16)),
}


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with cluster.start(WORKERS) as client:
        yield client


def spread(client: Any, path: Path, spec: ScenarioSpec, work: Callable[..., Any]) -> float:
    """Samples per second of ``work`` on all units of a new dataset."""
    shutil.rmtree(path, ignore_errors=True)
    layout.create(path, spec, 0, "benchmark")
    files = Files.of(zarr.open_group(str(path), mode="r"))
    units = layout.units(spec, files.unit_rows)
    task = partial(work, str(path), spec.flat(), 0, files, dict(layout.versions(spec.source.packages)))
    begin = time.perf_counter()
    assert sum(1 for _ in cluster.spread(client, task, units)) == len(units)
    return spec.sizes.total / (time.perf_counter() - begin)


def write_with_zarr(path: str, spec_data: dict[str, Any], seed: int, files: Files, versions: Any, unit: Any) -> None:
    """What ``_write`` does to the disk, by Zarr's own arrays and with values that are there."""
    spec, rows = ScenarioSpec(**spec_data), unit.stop - unit.start
    group = zarr.open_group(path, mode="r+")
    with zarr.config.set({"array.write_empty_chunks": True}):
        for name, variable in variables(spec).items():
            group[name][unit.start : unit.stop] = np.ones((rows, *variable.shape[1:]), variable.dtype)


def stock_rate(make: Callable[[], None], batch: int) -> float:
    begin = time.perf_counter()
    make()
    return batch / (time.perf_counter() - begin)


@pytest.mark.parametrize("case", CASES)
def test_samples_per_second(benchmark: Any, client: Any, stock_sionna: Any, tmp_path: Path, case: str) -> None:
    import torch

    options, samples, batches = CASES[case]
    spec = make_spec(**options, sizes=split_samples(samples))
    torch.set_num_threads(WORKERS)
    stock = {batch: stock_sionna(spec, batch) for batch in batches}
    sides: dict[str, Callable[[], float]] = {
        "ours": lambda: spread(client, tmp_path / "ours.zarr", spec, _write),
        "zarr": lambda: spread(client, tmp_path / "zarr.zarr", spec, write_with_zarr),
        **{f"stock {batch}": partial(stock_rate, make, batch) for batch, make in stock.items()},
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(ROUNDS + 1):
        for name, side in sides.items():
            rate = side()
            if round_:  # the first warms up
                rates[name].append(rate)
    benchmark.pedantic(sides["ours"], rounds=1)
    found = {name: statistics.median(values) for name, values in rates.items()}
    best = max((name for name in found if name.startswith("stock")), key=lambda name: found[name])

    def ratio(other: str) -> float:
        """Of what was measured next to each other: between rounds the machine changes more than within one."""
        return statistics.median(a / b for a, b in zip(rates["ours"], rates[other], strict=True))

    sample_bytes = sum(
        int(np.prod(variable.shape[1:])) * np.dtype(variable.dtype).itemsize for variable in variables(spec).values()
    )
    benchmark.extra_info |= {
        "case": case,
        "samples_per_second": {name: round(value, 1) for name, value in found.items()},
        "spread": {name: [round(min(values), 1), round(max(values), 1)] for name, values in rates.items()},
        "times_stock": round(ratio(best), 1),
        "share_of_zarr": round(ratio("zarr"), 2),
        "megabytes_per_second": round(found["ours"] * sample_bytes / 1e6),
    }
    print(benchmark.extra_info)


def test_samples_per_second_on_a_gpu(benchmark: Any, client: Any, stock_sionna: Any, tmp_path: Path) -> None:
    """``--engine cuda`` with two workers against Sionna on the same GPU."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    spec = make_spec("uma", engine="cuda", sizes=split_samples(20_000))
    stock = {batch: stock_sionna(spec, batch, "cuda") for batch in (64, 512)}
    rates: dict[str, list[float]] = {"ours": [], **{f"stock {batch}": [] for batch in stock}}
    for round_ in range(ROUNDS + 1):
        ours = spread(client, tmp_path / "ours.zarr", spec, _write)
        others = {f"stock {batch}": stock_rate(make, batch) for batch, make in stock.items()}
        if round_:  # the first warms up
            for name, rate in {"ours": ours, **others}.items():
                rates[name].append(rate)
    found = {name: statistics.median(values) for name, values in rates.items()}
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.extra_info |= {
        "case": f"gpu {torch.cuda.get_device_name()}",
        "samples_per_second": {name: round(rate, 1) for name, rate in found.items()},
        "ratio": round(found["ours"] / max(rate for name, rate in found.items() if name != "ours"), 1),
    }
    print(benchmark.extra_info)


def test_start(benchmark: Any, tmp_path: Path) -> None:
    """Seconds from the command to the first block on disk, with one worker and with two; and, with one, on the first
    run of all, which compiles what later ones load."""
    seconds: dict[str, list[float]] = {"1": [], "2": [], "first run": []}
    for round_ in range(3):
        for case, found in seconds.items():
            out = tmp_path / f"{case}-{round_}.zarr"
            cache = {"NUMBA_CACHE_DIR": str(tmp_path / f"cache-{round_}")} if case == "first run" else {}
            found.append(first_block_s(out, "2" if case == "2" else "1", cache))
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.extra_info |= {
        "case": "start",
        "first_block_s": {name: round(statistics.median(found), 1) for name, found in seconds.items()},
    }
    print(benchmark.extra_info)


def first_block_s(out: Path, workers: str, environment: dict[str, str]) -> float:
    command = [sys.executable, "-m", "channelbench.cli", "generate", "--samples", "3000", "--workers", workers]
    begin = time.perf_counter()
    with subprocess.Popen(
        [*command, "--out", str(out)], cwd=out.parent, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    ) as process:
        while not any((out / "unit_digest" / "c").glob("*/0/0")):
            time.sleep(0.02)
            assert process.poll() is None
        found = time.perf_counter() - begin
        process.terminate()
    return found


def test_roofline(benchmark: Any, tmp_path: Path) -> None:
    """float32 matrix products of one thread, and writes of 128 MiB files."""
    from threadpoolctl import threadpool_limits

    size, data = 1024, os.urandom(2**27)
    a = np.ones((size, size), np.float32)

    def multiply() -> float:
        begin = time.perf_counter()
        a @ a
        return 2 * size**3 / (time.perf_counter() - begin) / 1e9

    def write() -> float:
        begin = time.perf_counter()
        (tmp_path / "data").write_bytes(data)
        return len(data) / (time.perf_counter() - begin) / 1e6

    with threadpool_limits(limits=1):
        products = [multiply() for _ in range(20)]
    writes = [write() for _ in range(5)]
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.extra_info |= {
        "case": "roofline",
        "gemm_gflops": round(max(products)),
        "write_megabytes_per_second": round(statistics.median(writes)),
    }
    print(benchmark.extra_info)
