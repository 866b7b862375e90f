"""Cells count the cases that are answered as the start alone answers them, apart from what is timed and measured."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from channelbench.benchmarks import scoring
from channelbench.benchmarks.memory import PeakMemory
from channelbench.benchmarks.runner import run
from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.leaderboard.audit import audit
from channelbench.results import Result, read_cells
from channelbench.tasks.link.observations import BeamObservation, LaterSlotsObservation, ScalarObservation
from channelbench.testing import make_dataset, small_spec

HERE = "channelbench_test_same_as_start"


class Corrects(Method):
    """Corrects the mean, the last slot, or nothing of it; scores all beams by their number."""

    card = Card(name="corrects", description="Corrects a start.", reference="none", family="classical")
    observes = (BeamObservation, LaterSlotsObservation, ScalarObservation)
    by: float = 0.0
    asked: list[str] = []  # noqa: RUF012

    def predict(self, task: str, observation: Any) -> Any:
        return self._start(observation) + self._correction(observation)

    def predict_start(self, task: str, observation: Any) -> Any:
        self.asked.append(task)
        return self._start(observation)

    def _start(self, observation: Any) -> Any:
        if isinstance(observation, LaterSlotsObservation):
            return np.repeat(observation.h[:, -1:], len(observation.grid.target_slot_s), axis=1)
        if isinstance(observation, BeamObservation):
            return np.tile(np.arange(observation.grid.num_beams, dtype=np.float32), (len(observation), 1))
        return observation.h.real.mean((1, 2, 3))

    def _correction(self, observation: Any) -> Any:
        shape = self._start(observation).shape
        # Of one case in two, by its place in the batch: batches begin at even cases.
        return self.by * (np.arange(shape[0]) % 2).reshape(-1, *[1] * (len(shape) - 1)) * np.ones(shape)


class Shifts(Corrects):
    card = Corrects.card.model_copy(update={"name": "shifts"})
    by = 0.25


class Without(Corrects):
    card = Corrects.card.model_copy(update={"name": "without"})

    def predict_start(self, task: str, observation: Any) -> Any:
        return None


class WrongStart(Corrects):
    card = Corrects.card.model_copy(update={"name": "wrong"})

    def predict_start(self, task: str, observation: Any) -> Any:
        return self._start(observation)[1:]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])
    monkeypatch.setattr(Corrects, "asked", [])


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = small_spec(train=20, val=10, test=300, sub6__num_subcarriers=4, mmwave__num_subcarriers=2)
    return Path(make_dataset(tmp_path_factory.mktemp("data") / "few.zarr", spec).path)


def cells(data: Path, out: Path, *methods: str) -> dict[tuple[str, str], Result]:
    run("classical", data=data, out=out, methods=[f"{HERE}:{name}" for name in methods], tasks=("cp", "bf", "de"))
    return {(cell.method, cell.task): cell for cell in read_cells(out)}


def test_cells_count_what_is_the_same(few: Path, tmp_path: Path) -> None:
    """A constant on all scores leaves every choice of a beam; half of the other answers differ."""
    found = cells(few, tmp_path / "out", "Corrects", "Shifts", "Without", "WrongStart")
    for task, of_shifts in (("cp", 150), ("bf", 300), ("de", 150)):
        assert found["corrects", task].same_as_start == 300
        assert found["corrects", task].adds_nothing
        assert found["shifts", task].same_as_start == of_shifts
        assert found["shifts", task].adds_nothing is (task == "bf")
        assert found["without", task].same_as_start is None
        assert not found["without", task].adds_nothing
        assert found["wrong", task].status == "failed"
        assert "predict_start: prediction has shape" in found["wrong", task].error
    assert found["zero", "cp"].same_as_start is None
    # Once for each chunk of a cell, and never while predictions are timed.
    chunks = -(-300 // scoring.CHUNK)
    assert {task: Corrects.asked.count(task) for task in ("cp", "bf", "de")} == dict.fromkeys(
        ("cp", "bf", "de"), 2 * chunks
    )


def test_a_count_beyond_the_cases_is_left_out(few: Path, tmp_path: Path) -> None:
    found = cells(few, tmp_path / "out", "Corrects")["corrects", "cp"]
    path = tmp_path / "out" / "cells" / f"{found.name}.json"
    path.write_text(found.model_copy(update={"same_as_start": 301}).model_dump_json())
    (problem,) = audit(tmp_path / "out").problems
    assert (problem.field, problem.cell) == ("same_as_start", found.name)


def test_earlier_cells_are_read(few: Path, tmp_path: Path) -> None:
    found = cells(few, tmp_path / "out", "Corrects")["corrects", "cp"]
    written = found.model_dump()
    del written["same_as_start"]
    assert Result(**written).same_as_start is None


def test_memory_of_the_start_is_not_the_methods() -> None:
    """100 MB that are held for many samplings count outside and not inside of a pause."""

    def hold() -> None:
        block = np.ones(100 * 2**17)  # 100 MiB
        time.sleep(0.3)
        assert block[-1] == 1

    peak = PeakMemory("cpu")
    with peak.watch():
        with peak.paused():
            hold()
        time.sleep(0.1)
    assert peak.megabytes < 60
    with peak.watch():
        hold()
    assert peak.megabytes > 90
