"""The runner: cells that are missing and no others, failures that cost their own cell, resumption."""

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from channelbench import registry
from channelbench.benchmarks.request import conditions_of, parse_conditions, resolve_device
from channelbench.benchmarks.runner import Reporter, run
from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.errors import RequestError
from channelbench.leaderboard import report
from channelbench.results import read_cells, read_terms
from channelbench.tasks.link.observations import ChannelObservation, LaterSlotsObservation
from channelbench.testing import make_dataset, small_spec

HERE = "channelbench_test_methods"


class HalfTruth(Method):
    """Repeats the last observed slot at half amplitude; remembers what it was asked."""

    card = Card(name="half", description="Half of the last observed slot.", reference="none", family="classical")
    observes = (LaterSlotsObservation,)
    fits = 0

    def fit(self, data, context):
        type(self).fits += 1
        (train, val) = data["cp"]
        assert len(train) == 60
        assert len(val) == 20

    def predict(self, task, observation):
        return np.repeat(observation.h[:, -1:], len(observation.grid.target_slot_s), axis=1) / 2


class Raises(HalfTruth):
    card = HalfTruth.card.model_copy(update={"name": "raises"})
    observes = (ChannelObservation,)

    def predict(self, task, observation):
        if task == "ce":
            raise ArithmeticError("no such luck")
        return super().predict(task, observation)

    def fit(self, data, context):
        return None


class ReturnsNaN(HalfTruth):
    card = HalfTruth.card.model_copy(update={"name": "nan"})

    def predict(self, task, observation):
        prediction = super().predict(task, observation)
        prediction[0] = np.nan
        return prediction


class WrongShape(HalfTruth):
    card = HalfTruth.card.model_copy(update={"name": "shape"})

    def predict(self, task, observation):
        return observation.h


class FitFails(HalfTruth):
    card = HalfTruth.card.model_copy(update={"name": "fitfails"})

    def fit(self, data, context):
        raise RuntimeError("does not converge")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "few.zarr"
    make_dataset(path)
    return path


@pytest.fixture(autouse=True)
def methods_by_path(monkeypatch: pytest.MonkeyPatch):
    """Make this module importable under a name, as a user's own package is."""
    import sys

    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])
    HalfTruth.fits = 0


def named(*names: str) -> list[str]:
    return [f"{HERE}:{name}" for name in names]


def cells(folder: Path) -> dict[tuple[str, str, str], object]:
    return {(r.method, r.task, r.condition): r for r in read_cells(folder)}


def test_scores_one_method_with_floors_and_ceilings(data: Path, tmp_path: Path) -> None:
    outcome = run("full", data=data, out=tmp_path, methods=named("HalfTruth"), tasks=["cp"])
    assert not outcome.failed
    found = cells(tmp_path)
    assert {key[0] for key in found} == {"half", "zero", "hold", "ceiling"}
    assert {key[2] for key in found} == {"default", "paper_compat=true"}
    half, ceiling = found["half", "cp", "default"], found["ceiling", "cp", "default"]
    assert ceiling.scores["nmse"].value == 0
    assert 0 < half.scores["nmse"].low < half.scores["nmse"].value < half.scores["nmse"].high < 1
    assert found["zero", "cp", "default"].scores["nmse"].value == 1
    assert half.num_test == 30
    assert half.costs["latency_ms_batch1"] > 0
    terms = read_terms(tmp_path, half)
    assert terms["nmse"].shape == (30, 1)
    assert terms["nmse"].mean() == pytest.approx(half.scores["nmse"].value, rel=1e-5)
    assert HalfTruth.fits == 1, "conditions that change the test alone reuse the fit"


def test_rerun_fills_only_what_is_missing(data: Path, tmp_path: Path) -> None:
    run("full", data=data, out=tmp_path, methods=named("HalfTruth"), tasks=["cp"])
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    again = run("full", data=data, out=tmp_path, methods=named("HalfTruth"), tasks=["cp"])
    assert again.written == []
    assert again.kept == 8
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()} == stamps
    lost = next((tmp_path / "cells").glob("half__cp__default*.json"))
    lost.unlink()
    third = run("full", data=data, out=tmp_path, methods=named("HalfTruth"), tasks=["cp"])
    assert [result.name for result in third.written] == [lost.stem]


def test_new_methods_and_conditions_extend_a_folder(data: Path, tmp_path: Path) -> None:
    run("full", data=data, out=tmp_path, methods=["hold"], tasks=["cp"], conditions=[{}])
    more = run("full", data=data, out=tmp_path, methods=named("HalfTruth"), tasks=["cp"], conditions=[{"snr_db": 0}])
    assert {result.condition for result in more.written} == {"snr_db=0"}
    manifest = json.loads((tmp_path / "run.json").read_text())
    assert "half" in manifest["methods"]
    assert "hold" in manifest["methods"]


@pytest.mark.parametrize(
    ("name", "method", "fragment"),
    [
        ("ReturnsNaN", "nan", "NaN or infinite for 1 of"),
        ("WrongShape", "shape", "prediction has shape"),
        ("FitFails", "fitfails", "RuntimeError: does not converge"),
    ],
)
def test_bad_method_costs_its_own_cell(data: Path, tmp_path: Path, name: str, method: str, fragment: str) -> None:
    outcome = run("full", data=data, out=tmp_path, methods=named(name, "HalfTruth"), tasks=["cp"], conditions=[{}])
    assert [result.method for result in outcome.failed] == [method]
    assert fragment in outcome.failed[0].error
    found = cells(tmp_path)
    assert found["half", "cp", "default"].status == "ok"
    assert found[method, "cp", "default"].scores == {}


def test_failing_task_costs_no_other_task_and_is_tried_again(data: Path, tmp_path: Path) -> None:
    arguments = {"data": data, "out": tmp_path, "methods": named("Raises"), "conditions": [{}]}
    outcome = run("full", tasks=["ce", "cp"], **arguments)
    assert [(r.task, r.error) for r in outcome.failed] == [("ce", "ArithmeticError: no such luck")]
    assert cells(tmp_path)["raises", "cp", "default"].status == "ok"
    again = run("full", tasks=["ce", "cp"], **arguments)
    assert [r.task for r in again.written] == ["ce"]


QUICK = ["hold", "bi", "wiener", "prony"]
"""Predictors that take no time."""


def test_interruption_keeps_finished_cells(data: Path, tmp_path: Path) -> None:
    class Impatient(Reporter):
        seen = 0

        def finished(self, result) -> None:
            self.seen += 1
            if self.seen == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("classical", data=data, out=tmp_path, tasks=["cp"], methods=QUICK, reporter=Impatient())
    kept = set(cells(tmp_path))
    assert len(kept) == 3
    outcome = run("classical", data=data, out=tmp_path, tasks=["cp"], methods=QUICK)
    assert outcome.kept == 3
    assert kept < set(cells(tmp_path))


def test_other_runs_are_refused(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run("full", data=data, out=folder, methods=["hold"], tasks=["cp"])
    before = (folder / "run.json").read_bytes()
    other = tmp_path / "other.zarr"
    make_dataset(other, small_spec(), seed=1)
    with pytest.raises(RequestError, match="dataset: "):
        run("full", data=other, out=folder, methods=["hold"], tasks=["cp"])
    with pytest.raises(RequestError, match="preset: quick → standard"):
        run("full", data=data, out=folder, methods=["hold"], tasks=["cp"], preset="standard")
    with pytest.raises(RequestError, match="suite: full → classical"):
        run("classical", data=data, out=folder, methods=["hold"], tasks=["cp"])
    assert (folder / "run.json").read_bytes() == before
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "thesis.tex").write_text("x")
    with pytest.raises(RequestError, match="not empty"):
        run("full", data=data, out=occupied)


def test_changed_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "few.zarr"
    make_dataset(path)
    chunk = next(p for p in (path / "h_mmwave" / "c").rglob("*") if p.is_file())
    content = bytearray(chunk.read_bytes())
    content[5] ^= 1
    chunk.write_bytes(bytes(content))
    with pytest.raises(RequestError, match="digests: h_mmwave"):
        run("full", data=path, out=tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ({"suite": "nope"}, "suite: expected a known suite, got 'nope'; choices: classical, full"),
        ({"methods": ["nope"]}, "method: expected a known method"),
        ({"tasks": ["nope"]}, "task: expected a known task"),
        ({"preset": "huge"}, "choices: quick, standard, paper"),
        ({"seeds": 0}, "--seeds: expected an integer of at least 1"),
        ({"device": "tpu"}, "choices: auto, cpu, cuda"),
        ({"methods": ["codebook"], "tasks": ["cp"]}, "a method of the tasks cp"),
        ({"data": "nowhere.zarr"}, "existing dataset"),
    ],
)
def test_wrong_requests_write_nothing(data: Path, tmp_path: Path, arguments: dict, fragment: str) -> None:
    with pytest.raises(RequestError, match=fragment.replace("(", r"\(")):
        run(**{"data": data, "out": tmp_path / "results", **arguments})
    assert not (tmp_path / "results").exists()


def test_cuda_without_cuda_is_refused() -> None:
    import torch

    if torch.cuda.is_available():
        assert resolve_device("auto") == "cuda"
    else:
        assert resolve_device("auto") == "cpu"
        with pytest.raises(RequestError, match="CUDA device"):
            resolve_device("cuda")


def test_conditions_are_parsed_to_their_product(data: Path) -> None:
    parsed = parse_conditions(["snr_db=0,10", "paper_compat=false,true"])
    tasks = {"ce": registry.create("tasks", "ce")}
    labels = [conditions_of(tasks, varied, small_spec())["ce"].label for varied in parsed]
    assert labels == ["snr_db=0", "snr_db=0,paper_compat=true", "default", "paper_compat=true"]
    with pytest.raises(RequestError, match="name=value"):
        parse_conditions(["snr_db"])
    for items, fragment in (
        (["snr=3"], "choices: paper_compat"),
        (["snr_db=abc"], "snr_db: expected"),
        (["snr_reference=all"], "choices: sample, set"),
    ):
        with pytest.raises(RequestError, match=fragment):
            conditions_of(tasks, parse_conditions(items)[0], small_spec())


def test_a_condition_applies_to_the_tasks_that_have_it(data: Path, tmp_path: Path) -> None:
    """The others run once, under their own; a field that nobody has is one line before anything runs."""
    arguments = {"data": data, "out": tmp_path, "methods": ["zero"], "tasks": ["ce", "cp", "pf"]}
    run("full", **arguments, conditions=[{}, {"pilot_spacing": 4}])
    assert set(cells(tmp_path)) >= {("zero", "ce", "pilot_spacing=4"), ("zero", "pf", "default")}
    assert ("zero", "pf", "pilot_spacing=4") not in cells(tmp_path)
    varied = json.loads((tmp_path / "run.json").read_text())["conditions"]["pilot_spacing=4"]
    assert varied == {
        "cells": {"ce": "pilot_spacing=4", "cp": "pilot_spacing=4", "pf": "default"},
        "tasks": ["ce", "cp"],
    }
    for wrong, fragment in (
        ({"pilot_space": 4}, "choices: observed_slots"),
        ({"pilot_spacing": 0}, "pilot_spacing: expected"),
        ({"observed_slots": 20}, "fewer than the 20 slots"),
        ({"observed_slots": 10, "predicted_slots": 11}, "at most the 10 slots after"),
    ):
        with pytest.raises(RequestError, match=fragment):
            run("full", **{**arguments, "out": tmp_path / "none"}, conditions=[wrong])
        assert not (tmp_path / "none").exists()


def test_prediction_of_other_slots_is_another_fit(data: Path, tmp_path: Path) -> None:
    run("full", data=data, out=tmp_path, methods=named("HalfTruth"), tasks=["cp"], conditions=[{"observed_slots": 13}])
    found = cells(tmp_path)["half", "cp", "observed_slots=13"]
    assert [name for name in found.scores if "slot" in name] == [f"nmse_slot_{k}" for k in range(1, 8)]
    assert HalfTruth.fits == 1


def test_unsupported_tasks(tmp_path: Path) -> None:
    path = tmp_path / "mu.zarr"
    make_dataset(path, small_spec(train=20, val=5, test=5, system="multiuser"))
    with pytest.raises(RequestError, match="tasks that a multiuser dataset supports"):
        run("full", data=path, out=tmp_path / "a", tasks=["bf"])
    outcome = run("full", data=path, out=tmp_path / "b", methods=["zero"], conditions=[{"snr_db": 10}])
    assert "bf" not in {result.task for result in outcome.written}
    assert {result.conditions.get("snr_db", 10.0) for result in outcome.written} == {10.0}, "as asked for"
    default = run("classical", data=path, out=tmp_path / "c", methods=["zero"])
    assert {result.conditions.get("snr_db", 10.0) for result in default.written} == {20.0}, "the system's own"


def test_entry_point_reaches_the_leaderboard(data: Path, tmp_path: Path, toys: Path) -> None:
    """An installed package's method is run by its name, like a built-in one."""
    installed = toys / "toy_methods-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-methods\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[channelbench.methods]\nscales = toy_methods:Scales\n")
    importlib.invalidate_caches()
    registry.refresh()
    try:
        outcome = run("full", data=data, out=tmp_path, methods=["scales"], tasks=["cp"], conditions=[{}])
        csv, html = report(tmp_path)
    finally:
        shutil.rmtree(installed)
        registry.refresh()
    assert not outcome.failed
    assert "scales" in csv.read_text()
    assert "scales" in html.read_text()
