"""What a cell says of its costs: memory, latency and hardware are those of the method that it names."""

from pathlib import Path

import pytest

from channelbench import registry
from channelbench.benchmarks import latency, scoring
from channelbench.benchmarks.latency import latencies
from channelbench.benchmarks.runner import run
from channelbench.results import read_cells
from channelbench.store import open_dataset
from channelbench.testing import make_dataset, small_spec

pytestmark = pytest.mark.usefixtures("toys")


def test_peak_memory_is_what_a_method_has_taken(data: Path, tmp_path: Path) -> None:
    run("full", data=data, out=tmp_path, methods=["toy_methods:Allocates", "toy_methods:Scales"], tasks=["cp"])
    found = {result.method: result.costs for result in read_cells(tmp_path) if not result.conditions}
    assert 200 <= found["allocates"]["peak_memory_mb"] < 400
    assert found["scales"]["peak_memory_mb"] < 100
    assert "peak_memory_mb" not in found["ceiling"]


def test_latency_is_the_median_of_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that the method moves; after two seconds there are no more repeats."""
    clock = {"s": 100.0}
    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock["s"])
    make_dataset(tmp_path / "d.zarr", small_spec(train=20, val=5, test=520, sub6__num_subcarriers=4))
    durations = {1: iter([0.3, 0.1, 0.2, 0.5, 0.4, 9]), 512: iter([0.9, 1.5, 9])}
    hold = registry.find("methods", "hold")

    class Slow(hold):  # type: ignore[misc,valid-type]
        def predict(self, task, observation):
            clock["s"] += next(durations[len(observation.h)])
            return super().predict(task, observation)

    told: list[tuple[int, int]] = []
    task, dataset = registry.create("tasks", "cp"), open_dataset(tmp_path / "d.zarr")
    found, derived = latencies(Slow(), task, dataset, task.conditions(), lambda done, total: told.append((done, total)))
    assert derived == ()
    assert found == {"latency_ms_batch1": pytest.approx(300), "latency_ms_batch512": pytest.approx(1200)}
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (1, 3), (2, 3)], "each is a sign of life"


def test_a_long_call_is_worked_out_from_the_scoring_time(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 samples in 60 s: a call with one takes 6 s and is timed, one with two would take 12 s and is not."""
    monkeypatch.setattr(latency, "LATENCY_BATCHES", (1, 2))
    hold, task, dataset = registry.create("methods", "hold"), registry.create("tasks", "cp"), open_dataset(data)
    seconds = 6.0 * task.size(dataset.spec, "test", task.conditions())
    found, derived = latencies(hold, task, dataset, task.conditions(), predict_s=seconds)
    assert derived == ("latency_ms_batch2",)
    assert found["latency_ms_batch2"] == pytest.approx(12_000)
    assert found["latency_ms_batch1"] < 1000


def test_a_small_test_split_has_no_large_batch(data: Path) -> None:
    hold, task = registry.create("methods", "hold"), registry.create("tasks", "cp")
    assert list(latencies(hold, task, open_dataset(data), task.conditions())[0]) == ["latency_ms_batch1"]


def test_hardware_names_the_processor() -> None:
    model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    assert scoring.hardware("cpu").startswith(model.partition(":")[2].strip())
    assert scoring.hardware("cpu").endswith(" cores")
