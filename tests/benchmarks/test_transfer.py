"""The transfer experiment: what is fitted on what, from what it starts, and that nothing is done twice."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from channelbench import generation, registry
from channelbench.benchmarks.experiments.transfer import target_spec
from channelbench.benchmarks.jobs import OpenStage, limit_of
from channelbench.benchmarks.runner import Reporter, run
from channelbench.card import Card
from channelbench.contracts import Method, TaskSplit
from channelbench.errors import RequestError
from channelbench.experiment import ExperimentSpec
from channelbench.results import RunManifest, read_cells
from channelbench.spec import ScenarioSpec
from channelbench.store import open_dataset
from channelbench.suite import Suite
from channelbench.tasks.link.observations import LaterSlotsObservation, ScalarObservation
from channelbench.tasks.link.scalar import received_amplitude
from channelbench.testing import FewRays, make_dataset, small_spec

HERE = "channelbench_test_transfer"

TARGETS = {
    "uma-2.4": {"sub6.carrier_hz": "2.4e9"},
    "near": {"scenario": f"{HERE}:Near", "max_distance_m": "60"},
}

PAIR = Suite(
    card=Card(name="pair", description="A change of carrier and one of scenario.", reference="none", family="suite"),
    tasks=("cp", "pe"),
    methods=("zero", "mean", "hold", f"{HERE}:Remembers"),
    experiment=ExperimentSpec(name="transfer", parameters={"targets": TARGETS, "share": 0.25}),
)


def pair_with(**parameters) -> Suite:
    """``pair`` with other parameters of its experiment."""
    stated = PAIR.experiment.model_copy(update={"parameters": {**PAIR.experiment.parameters, **parameters}})
    return PAIR.model_copy(update={"experiment": stated})


def tiny_spec(**assignments) -> ScenarioSpec:
    return small_spec(sub6__num_subcarriers=8, mmwave__num_subcarriers=2, mmwave__num_beams=8, **assignments)


class Near(FewRays):
    """Another scenario: lower and nearer."""

    card = FewRays.card.model_copy(update={"name": "near"})
    geometry = {"bs_height_m": 10.0, "min_distance_m": 10.0, "max_distance_m": 200.0}  # noqa: RUF012


class Remembers(Method):
    """Its whole training is a note of where it took place, which it keeps in its folder as a network keeps weights."""

    card = Card(name="remembers", description="Notes its fits.", reference="none", family="classical")
    observes = (LaterSlotsObservation, ScalarObservation)
    learned = True
    trained: list[tuple] = []  # noqa: RUF012

    def fit(self, data, context):
        ((self.task, (train, val)),) = data.items()
        note = context.workdir / "note.json"
        if not note.exists():
            before = None if context.start is None else json.loads((context.start / "note.json").read_text())
            carrier = train.observe([0])[0].grid.carrier_hz
            type(self).trained.append((self.task, context.data, len(train), len(val), before))
            note.parent.mkdir(parents=True)
            note.write_text(json.dumps({"data": context.data, "carrier": carrier}))
        self.note = json.loads(note.read_text())

    def predict(self, task, observation):
        if task == "pe":
            return np.full(len(observation), self.note["carrier"] / 1e8, np.float32)
        return np.repeat(observation.h[:, -1:], len(observation.grid.target_slot_s), axis=1)


class Heard(Reporter):
    def __init__(self) -> None:
        self.folders: list[str] = []
        self.samples: dict[str, list[tuple[int, int]]] = {}
        self.planned_cells: list[tuple[int, int]] = []

    def entered(self, name: str) -> None:
        self.folders.append(name)

    def generating(self, name: str, done: int, total: int) -> None:
        self.samples.setdefault(name, []).append((done, total))

    def planned(self, cells: int, done: int) -> None:
        self.planned_cells.append((cells, done))


@pytest.fixture(autouse=True)
def suite(monkeypatch: pytest.MonkeyPatch):
    """``pair`` among the suites, and this module importable, as a user's own package is."""
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])
    monkeypatch.setattr(Remembers, "trained", [])
    real = registry.find
    monkeypatch.setattr(
        registry, "find", lambda kind, name, **options: PAIR if name == "pair" else real(kind, name, **options)
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_dataset(tmp_path / "data" / "few.zarr", tiny_spec(), seed=3)
    return tmp_path / "data" / "few.zarr"


def manifest(folder: Path) -> RunManifest:
    return RunManifest(**json.loads((folder / "run.json").read_text()))


def cells(folder: Path) -> dict[tuple[str, str], object]:
    return {(r.method, r.task): r for r in read_cells(folder)}


def test_source_then_zero_shot_then_transfer(data: Path, tmp_path: Path) -> None:
    out, heard = tmp_path / "results", Heard()
    outcome = run("pair", data=data, out=out, conditions=[{}], reporter=heard)
    places = ["uma-2.4/zero-shot", "uma-2.4/transfer", "near/zero-shot", "near/transfer"]
    assert heard.folders == ["", *places]
    assert list(outcome.stages) == places
    assert not outcome.failed
    assert not any(part.failed for part in outcome.stages.values())
    # Trained on the source once per task and on each target once, on a quarter, from where the source fit ended.
    assert len(Remembers.trained) == 6
    source = open_dataset(data).key
    first = {"data": source, "carrier": 1.9e9}
    for task in ("cp", "pe"):
        assert (task, source, 60, 20, None) in Remembers.trained
        for target in ("few-to-uma-2.4.zarr", "few-to-near.zarr"):
            assert (task, open_dataset(data.parent / target).key, 15, 5, first) in Remembers.trained
    # A constant of the source's carrier, then of the target's: which fit was scored where.
    source, zero, tuned = (cells(out / place) for place in ("", *places[:2]))
    target = open_dataset(data.parent / "few-to-uma-2.4.zarr")
    loss = -target.array("main_path_gain_db_sub6", "test").astype(np.float64)
    for found, constant in ((zero, 19.0), (tuned, 24.0)):
        score = found["remembers", "pe"].scores["rmse_db"].value
        assert score == pytest.approx(np.sqrt(np.mean((loss - constant) ** 2)), rel=1e-5)
    # The mean of the source's training split, then of the first quarter of the target's.
    origin = open_dataset(data)
    for found, part in ((zero, origin), (tuned, target)):
        rows = slice(None) if part is origin else slice(0, 15)
        constant = -part.array("main_path_gain_db_sub6", "train")[rows].mean(dtype=np.float64)
        assert found["mean", "pe"].scores["rmse_db"].value == pytest.approx(
            np.sqrt(np.mean((loss - constant) ** 2)), rel=1e-5
        )
    assert source["remembers", "pe"].num_test == zero["remembers", "pe"].num_test == 30
    assert zero["remembers", "pe"].train_digest == source["remembers", "pe"].train_digest
    assert zero["remembers", "pe"].test_digest == tuned["remembers", "pe"].test_digest == target.split_digest("test")
    assert "fit_s" in tuned["remembers", "pe"].costs
    assert "fit_s" not in zero["remembers", "pe"].costs, "nothing was fitted there"
    assert zero["hold", "cp"].scores["nmse"].value == tuned["hold", "cp"].scores["nmse"].value, "the same test"


def test_folders_say_where_their_fits_come_from(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    run("pair", data=data, out=out, methods=["zero"], tasks=["cp"], conditions=[{}])
    source = manifest(out)
    assert (source.source, source.setting) == (None, "")
    for name, setting in (("zero-shot", "zero-shot"), ("transfer", "transfer 25 %")):
        found = manifest(out / "uma-2.4" / name)
        assert found.source == source.dataset
        assert found.setting == setting
        assert found.dataset.spec["sub6"]["carrier_hz"] == 2.4e9
        assert found.dataset.seed == source.dataset.seed == 3


def test_a_second_run_does_nothing_and_a_lost_cell_comes_back_without_training(data: Path, tmp_path: Path) -> None:
    out, arguments = tmp_path / "results", {"data": data, "out": tmp_path / "results", "conditions": [{}]}
    run("pair", **arguments)
    made = len(Remembers.trained)
    heard = Heard()
    again = run("pair", **arguments, reporter=heard)
    assert [part.written for part in (again, *again.stages.values())] == [[]] * 5
    assert {cells for cells, _ in heard.planned_cells} == {0}
    lost = next((out / "near" / "zero-shot" / "cells").glob("remembers__pe*.json"))
    lost.unlink()
    third = run("pair", **arguments)
    assert {place: [r.name for r in part.written] for place, part in third.stages.items() if part.written} == {
        "near/zero-shot": [lost.stem]
    }
    assert len(Remembers.trained) == made, "the source's fit was loaded"


def test_a_fit_that_was_only_loaded_states_no_time(data: Path, tmp_path: Path) -> None:
    """Its seconds would be those of reading a file."""
    out, arguments = tmp_path / "results", {"data": data, "out": tmp_path / "results", "tasks": ["pe"]}
    run("pair", **arguments, conditions=[{}])
    assert cells(out)["remembers", "pe"].costs["fit_s"] >= 0
    made = len(Remembers.trained)
    for place in (out, out / "near" / "transfer"):
        next((place / "cells").glob("remembers__pe*.json")).unlink()
    run("pair", **arguments, conditions=[{}])
    assert len(Remembers.trained) == made
    for place in (out, out / "near" / "transfer"):
        costs = cells(place)["remembers", "pe"].costs
        assert "fit_s" not in costs
        assert "predict_s" in costs


def test_interruption_continues_where_it_stopped(data: Path, tmp_path: Path) -> None:
    class Impatient(Heard):
        def finished(self, result) -> None:
            if self.folders[-1] == "uma-2.4/transfer":
                raise KeyboardInterrupt

    arguments = {"data": data, "out": tmp_path / "results", "conditions": [{}]}
    with pytest.raises(KeyboardInterrupt):
        run("pair", **arguments, reporter=Impatient())
    outcome = run("pair", **arguments)
    assert outcome.written == outcome.stages["uma-2.4/zero-shot"].written == []
    assert outcome.stages["uma-2.4/transfer"].kept == 1
    assert len(cells(tmp_path / "results" / "near" / "transfer")) == len(cells(tmp_path / "results"))


def test_targets_are_generated_once_with_progress_and_are_not_the_last_dataset(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_dataset(Path("data") / "few.zarr", tiny_spec(), seed=3)
    heard = Heard()
    run("pair", data=data, out="results", methods=["zero"], tasks=["cp"], reporter=heard)
    assert {name: (seen[0], seen[-1]) for name, seen in heard.samples.items()} == {
        "few-to-uma-2.4": ((0, 110), (110, 110)),
        "few-to-near": ((0, 110), (110, 110)),
    }
    assert generation.last_dataset() == Path("data/few.zarr")
    again = Heard()
    run("pair", data=data, out="results", methods=["zero"], tasks=["cp"], reporter=again)
    assert again.samples == {"few-to-uma-2.4": [(110, 110)], "few-to-near": [(110, 110)]}


def test_target_specs_keep_what_the_source_changed() -> None:
    source = tiny_spec(max_distance_m=300.0)
    carrier = target_spec(source, {"sub6.carrier_hz": "2.4e9"})
    assert source.differences(carrier) == ["sub6.carrier_hz: 1900000000.0 → 2400000000.0"]
    near = target_spec(source, {"scenario": f"{HERE}:Near", "state": "nlos"})
    assert {line.split(":")[0] for line in source.differences(near)} == {
        *("scenario", "state", "bs_height_m", "min_distance_m", "max_distance_m")
    }
    assert near.max_distance_m == 200
    assert target_spec(source, {"scenario": f"{HERE}:Near", "max_distance_m": "60"}).max_distance_m == 60
    with pytest.raises(RequestError, match="choices: imported, rma, uma, umi"):
        target_spec(source, {"scenario": "mars"})
    with pytest.raises(RequestError, match=r"sub6\.colour: expected a known field"):
        target_spec(source, {"sub6.colour": "blue"})
    rma = registry.find("generators", "rma").geometry
    assert target_spec(source, {"scenario": "rma"}).max_distance_m == rma["max_distance_m"]


@pytest.mark.parametrize(
    ("parameters", "fragment"),
    [
        ({"targets": {"a": {"sub6.colour": "blue"}}}, "sub6.colour: expected a known field"),
        ({"targets": {"a": {"scenario": "mars"}}}, "scenario: expected a known scenario"),
        ({"targets": {"cells": {}}}, "got 'cells/zero-shot'"),
        (
            {"targets": {"a": {"sub6.num_slots": "1"}}},
            r"dualband dataset supports, got 'cp \(it needs: slots to come\)'",
        ),
        ({"targets": {"A/B": {}}}, "experiment transfer, targets.A/B.*: expected"),
        ({"targets": {}}, "experiment transfer, targets: expected"),
        ({"share": 0}, "experiment transfer, share: expected greater than 0, got 0"),
        ({"shares": 1}, "experiment transfer, shares: expected a known field, got 'shares'; did you mean share"),
    ],
)
def test_wrong_parameters_write_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameters: dict, fragment: str
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PAIR", pair_with(**parameters))
    with pytest.raises(RequestError, match=fragment):
        run("pair", data=data, out=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_another_dataset_in_a_targets_place_is_refused(data: Path, tmp_path: Path) -> None:
    make_dataset(data.parent / "few-to-near.zarr", tiny_spec(), seed=4)
    with pytest.raises(RequestError, match=r"--data: .*few-to-near.zarr.* differs in .*seed: 4 → 3"):
        run("pair", data=data, out=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_folder_of_another_setting_is_refused(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = {"data": data, "out": tmp_path / "results", "methods": ["zero"], "tasks": ["cp"]}
    run("pair", **arguments)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.setattr(sys.modules[__name__], "PAIR", pair_with(share=0.5))
    with pytest.raises(RequestError, match="setting: transfer 25 % → transfer 50 %"):
        run("pair", **{**arguments, "methods": ["zero", "hold"]})
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == stamps, "nor any stage before it"


def test_split_with_a_limit(data: Path) -> None:
    dataset, task = open_dataset(data), registry.create("tasks", "cp")
    whole = TaskSplit(task, dataset.view("train"))
    some = TaskSplit(task, dataset.view("train"), limit=7)
    assert (len(whole), len(some)) == (60, 7)
    for mine, theirs in zip(some.observe(), whole.observe(np.arange(7)), strict=True):
        np.testing.assert_array_equal(*(getattr(x, "h", getattr(x, "value", None)) for x in (mine, theirs)))
    for bad in ([7], [-1], [0, 59]):
        with pytest.raises(IndexError, match="not within 7"):
            some.observe(bad)
    with pytest.raises(IndexError, match="not within 60"):
        whole.observe([60])
    for limit in (0, -1, 61):
        with pytest.raises(RequestError, match="from 1 to the 60 samples of train"):
            TaskSplit(task, dataset.view("train"), limit=limit)


def test_targets_are_observed_on_the_scale_of_their_source(data: Path, tmp_path: Path) -> None:
    """Received amplitudes of two datasets are as far apart as their path gains: nothing scales the answer away."""
    source = open_dataset(data)
    near = make_dataset(tmp_path / "near.zarr", tiny_spec(max_distance_m=60.0), seed=3)
    alone = open_dataset(near.path)
    train = alone.view("train")
    assert np.mean(received_amplitude(train) ** 2 * train.sample_power("sub6")) == pytest.approx(1)
    task = registry.create("tasks", "pe")
    task.share_scale(source.view("train"), near.view("train"))
    gain_db = near.array("path_gain_db_sub6", "test").astype(np.float64) - source.array("path_gain_db_sub6", "test")
    ratio_db = 20 * np.log10(received_amplitude(near.view("test")) / received_amplitude(source.view("test")))
    np.testing.assert_allclose(ratio_db, gain_db, atol=1e-5)
    # The noise of a set-wide SNR is still the target's own: 10 dB below its training split's mean power.
    seen, _ = task.observe(near.view("test"), np.arange(30), task.conditions(snr_reference="set"))
    power = np.mean(received_amplitude(near.view("train")) ** 2 * near.sample_power("sub6", "train"))
    np.testing.assert_allclose(seen.noise_var, 0.1 * power, rtol=1e-5)
    assert power > 2, "near users are strong ones on the source's scale"
    with pytest.raises(RuntimeError, match="another scale"):
        task.share_scale(source.view("train"), alone.view("train"))


def test_limits_are_shares_of_both_splits(data: Path) -> None:
    dataset = open_dataset(data)
    stage = OpenStage(folder=data, train=dataset, test=dataset, checkpoints=data, share=0.01)
    assert (limit_of(stage, 60), limit_of(stage, 20)) == (1, 1), "never nothing"
