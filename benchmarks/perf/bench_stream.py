"""An epoch from the disk: streaming against the plain sequential read of the same files and against random access.

``pytest benchmarks/perf/bench_stream.py``; rates and ratios are in ``extra_info``. Nothing is asserted about time. The
dataset holds noise in the dual-band shapes, stored as ``generate`` stores it. Before every round its files are dropped
from the page cache. The sides, in turn, so that what else the machine does touches all of them:

- ``sequential``: every file of the channels, in the order of their names, in reads of 16 MiB;
- ``stream``: one shuffled epoch of ``ChannelStream``, batches of 64, and the same through a loader with one worker;
- ``random_access``: a map-style dataset that reads sample i when asked for it, in a shuffling ``DataLoader``. It is
  stopped after a batch, and counts the bytes that it hands out.

A second benchmark compares ``to_tf_dataset`` with the sequential read in the same way. It comes last because TensorFlow
changes how its process gives memory back, and so slows the other sides.

Rates are of bytes handed out, in MB/s (10⁶). ``CHANNELBENCH_BENCH_SAMPLES`` sets the size: 25 samples are 2.9 MB.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from channelbench.spec import ScenarioSpec
from channelbench.store import layout
from channelbench.store.files import Files, UnitFiles
from channelbench.stream import ChannelStream, to_tf_dataset
from channelbench.testing import small_spec

SAMPLES = int(os.environ.get("CHANNELBENCH_BENCH_SAMPLES", "6000"))
ROUNDS, BATCH, RANDOM_BATCHES = 3, 64, 1

Forget: TypeAlias = Callable[[Path], None]
Read: TypeAlias = Callable[[Iterable[Path]], int]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("stream") / "noise.zarr"
    spec = small_spec(train=SAMPLES, val=1, test=1)
    layout.create(path, spec, 0, "noise")
    _fill(path, spec)
    layout.finish(path, spec, 0)
    os.sync()  # pages that are not written yet cannot be dropped
    yield path
    shutil.rmtree(path)


def _fill(path: Path, spec: ScenarioSpec) -> None:
    import zarr

    rng = np.random.default_rng(0)
    group = zarr.open_group(str(path), mode="r+")
    files = Files.of(group)
    for unit in layout.units(spec, files.unit_rows):
        made = UnitFiles(spec, files, unit.stop - unit.start)
        for column in made.columns.values():
            if column.dtype == np.complex64:
                column[...] = rng.standard_normal((*column.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
            else:
                column[...] = 0
        made.write(group.store, unit.index, files)


def channel_files(path: Path) -> list[Path]:
    return sorted(file for folder in path.glob("h_*") for file in folder.rglob("*") if file.is_file())


def take(batches: Iterable[dict[str, Any]]) -> int:
    """Bytes handed out."""
    return sum(array.nbytes for batch in batches for array in batch.values())


def read_at_random(path: Path) -> int:
    import torch
    import zarr
    from torch.utils.data import DataLoader, Dataset

    class Samples(Dataset[dict[str, torch.Tensor]]):
        def __init__(self) -> None:
            group = zarr.open_group(str(path), mode="r")
            self.arrays = {name: group[name] for name in ("h_sub6", "h_mmwave")}

        def __len__(self) -> int:
            return SAMPLES

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            return {name: torch.from_numpy(array[index]) for name, array in self.arrays.items()}

    return take(islice(DataLoader(Samples(), batch_size=BATCH, shuffle=True), RANDOM_BATCHES))


def read_with_tensorflow(path: Path) -> int:
    total = 0
    for batch in to_tf_dataset(path, batch_size=BATCH):
        total += sum(int(np.prod(values.shape)) * values.dtype.size for values in batch.values())
    return total


def measure(
    benchmark: Any, path: Path, forget: Forget, sides: dict[str, Callable[[], int]], main: str
) -> dict[str, float]:
    """Median cold rates of all sides in MB/s, and of ``main`` and the sequential read with everything in memory."""
    rates: dict[str, dict[str, list[float]]] = {"cold": {}, "cached": {}}

    def timed(state: str, name: str) -> None:
        if state == "cold":
            forget(path)
        begin = time.perf_counter()
        size = sides[name]()
        rates[state].setdefault(name, []).append(size / (time.perf_counter() - begin) / 1e6)

    for _ in range(ROUNDS):
        for name in sides:
            timed("cold", name)
        sides["sequential"]()
        for name in ("sequential", main):
            timed("cached", name)
    benchmark.pedantic(sides[main], setup=lambda: forget(path), rounds=2, iterations=1)
    medians = {state: {name: statistics.median(r) for name, r in found.items()} for state, found in rates.items()}
    cold = medians["cold"]
    benchmark.extra_info["dataset_mb"] = round(sum(file.stat().st_size for file in channel_files(path)) / 1e6)
    benchmark.extra_info["mb_per_second"] = {
        state: {name: float(f"{rate:.3g}") for name, rate in found.items()} for state, found in medians.items()
    }
    benchmark.extra_info["of_sequential"] = {name: round(rate / cold["sequential"], 3) for name, rate in cold.items()}
    return cold


def test_epoch_rate(benchmark: Any, path: Path, forget: Forget, read: Read) -> None:
    from torch.utils.data import DataLoader

    stream = ChannelStream(path, batch_size=BATCH)
    sides: dict[str, Callable[[], int]] = {
        "sequential": lambda: read(channel_files(path)),
        "stream": lambda: take(stream),
        "stream_one_worker": lambda: take(DataLoader(stream, batch_size=None, num_workers=1)),
        "random_access": lambda: read_at_random(path),
    }
    cold = measure(benchmark, path, forget, sides, "stream")
    benchmark.extra_info["times_random_access"] = round(cold["stream"] / cold["random_access"], 1)
    print({**benchmark.extra_info})


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_tensorflow_epoch_rate(benchmark: Any, path: Path, forget: Forget, read: Read) -> None:
    sides: dict[str, Callable[[], int]] = {
        "sequential": lambda: read(channel_files(path)),
        "tensorflow": lambda: read_with_tensorflow(path),
    }
    sides["tensorflow"]()  # TensorFlow's start is not part of an epoch
    measure(benchmark, path, forget, sides, "tensorflow")
    print({**benchmark.extra_info})
