"""Suites of groups of users from end to end, with formulas on few rays; what several tasks share of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_by_hand import put, put_run

from channelbench import registry
from channelbench.benchmarks import suites_phy
from channelbench.benchmarks.default_data import default_dataset
from channelbench.benchmarks.exhibits import report, sections
from channelbench.benchmarks.request import conditions_of
from channelbench.benchmarks.runner import run
from channelbench.benchmarks.suites import SIX_TASKS, full
from channelbench.errors import RequestError
from channelbench.leaderboard.board import build
from channelbench.leaderboard.views import Run
from channelbench.manifests import read_manifest
from channelbench.results import read_cells, read_strata, read_terms
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import make_dataset, small_spec

HERE = "suites_by_hand"
SMALL = {"sub6__num_slots": 5, "sub6__num_subcarriers": 4}
SUITES = [registry.find("suites", name) for name in registry.names("suites") if name.startswith("phy")]


@pytest.fixture(autouse=True)
def by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    """Few rays in the system of the suites, on a small array."""
    spec = small_spec(
        train=24, val=12, test=40, system="multiuser", sub6__array__rows=2, sub6__array__columns=6, **SMALL
    )
    return make_dataset(tmp_path_factory.mktemp("links") / "few.zarr", spec)


DETECTION = suites_phy.phy_detection.model_copy(
    update={
        "methods": ("random_symbols", "zf_detector", "lmmse_detector"),
        "conditions": (*map(suites_phy.detection, (0.0, 10.0)), suites_phy.detection(0.0, 8, "near")),
    }
)


def test_a_sweep_from_end_to_end(links: ChannelDataset, tmp_path: Path) -> None:
    outcome = run(f"{HERE}:DETECTION", data=links.path, out=tmp_path)
    assert not outcome.failed
    report(tmp_path)
    ser = next(part for part in sections(tmp_path) if part.name == "phy-detection-ser")
    assert [group.title for group in ser.groups] == ["4 users, random users", "8 users, near users"]
    for group in ser.groups:
        rows = {row.title: [cell.value for cell in row.cells] for row in group.rows}
        assert rows["LMMSE detector"][0] < rows["Random symbols"][0]
    cells = {(c.method, c.condition): c for c in read_cells(tmp_path)}
    direct = cells["lmmse_detector", "snr_db=0"].scores["ser"].value
    assert {row.title: row.cells[0].value for row in ser.groups[0].rows}["LMMSE detector"] == direct
    assert (tmp_path / "phy-detection-nmse.svg").exists()


@pytest.mark.parametrize("system", ["multiuser", "dualband"])
def test_every_suite_can_be_asked_for_on_either_system(system: str) -> None:
    """Every condition is one that some task of the suite has there."""
    spec = small_spec(train=60, val=60, test=60, system=system)
    assert len(SUITES) == 10
    for suite in SUITES:
        tasks = {name: registry.create("tasks", name) for name in suite.tasks}
        for varied in suite.conditions:
            assert set(conditions_of(tasks, varied, spec)) == set(tasks), suite.card.name


SHARED = suites_phy.phy.model_copy(
    update={
        "tasks": ("pre_sr", "det", "cp"),
        "methods": ("mrt", "rzf", "random_symbols", "lmmse_detector", "hold", "zero"),
        "conditions": ({}, suites_phy.paper_precoding(), suites_phy.detection(10.0), suites_phy.prediction(10.0)),
        "bundles": {"RZF + LMMSE + hold": ("rzf", "lmmse_detector", "hold")},
        "exhibits": (),
    }
)


def test_conditions_of_one_label_share_a_table(links: ChannelDataset, tmp_path: Path) -> None:
    """The paper's conditions of three tasks are those models' defaults: one table, not the last of three."""
    assert not run(f"{HERE}:SHARED", data=links.path, out=tmp_path).failed
    tables = {table.condition: table for table in build(tmp_path).tables}
    assert set(tables) == {"default", "users=8,grouping=near,power_dbw=10"}
    paper = tables["default"]
    assert [(column.condition, column.varied) for column in paper.columns] == [("default", True)] * 3
    bundle = next(row for row in paper.rows if row.family == "bundle")
    assert bundle.overall is not None
    ours = tables["users=8,grouping=near,power_dbw=10"]
    assert [column.condition for column in ours.columns] == [
        "users=8,grouping=near,power_dbw=10",
        "users=8,grouping=near,snr_db=5",
        "snr_db=20",
    ]


CSI: Any = suites_phy.phy_csi.model_copy(
    update={
        "methods": ("mrt", "zf", "hold", "zero"),
        "conditions": ({"slot": "last"}, {"csi": "estimated"}, {"csi": "predicted:hold", "csi_snr_db": 20.0}),
    }
)


def test_predicted_channels_reach_the_table(links: ChannelDataset, tmp_path: Path) -> None:
    run(f"{HERE}:CSI", data=links.path, out=tmp_path)
    (part,) = sections(tmp_path)
    assert [column.label for column in part.columns] == ["perfect", "estimated", "predicted:hold"]
    zf = next(row for row in part.groups[0].rows if row.title == "ZF")
    cells = {c.conditions.get("csi", "perfect"): c for c in read_cells(tmp_path / "precoding") if c.method == "zf"}
    wanted = [cells[column.label].scores["sum_rate"].value for column in part.columns]
    assert [cell.value for cell in zf.cells] == wanted
    assert len(set(wanted)) == 3
    changes = [100 * (rate / wanted[0] - 1) for rate in wanted[1:]]
    found = [float(cell.remark.partition(" %")[0].replace("−", "-")) for cell in zf.cells[1:]]
    assert found == pytest.approx(changes, abs=0.06)


# --- strata -----------------------------------------------------------------------------------------------------------


def test_speeds_of_the_grid_are_stored_beside_the_terms(tmp_path: Path) -> None:
    """Few rays have speeds of their own: a grid that has two of these, and no others."""
    plain = make_dataset(tmp_path / "plain.zarr", small_spec(train=10, val=5, test=12, **SMALL))
    moving = small_spec(train=10, val=5, test=12, speed_min_mps=0.0, speed_max_mps=30.0, **SMALL)
    drawn = np.linalg.norm(make_dataset(tmp_path / "a.zarr", moving).view("test").array("ue_velocity"), axis=1)
    grid = tuple(float(speed) for speed in drawn[[3, 7]])
    data = make_dataset(tmp_path / "b.zarr", moving.replace({"test_speeds_mps": grid}))
    task = registry.create("tasks", "cp")
    every, conditions = np.arange(12), task.default_conditions(moving)
    assert task.strata(plain.view("test"), every, conditions) == {}
    assert task.strata(data.view("train"), np.arange(10), conditions) == {}
    found = task.strata(data.view("test"), every, conditions)["speed_kmh"]
    speeds = np.linalg.norm(data.view("test").array("ue_velocity"), axis=1)
    on_grid = np.isclose(speeds[:, None], grid, atol=1e-4).any(axis=1)
    np.testing.assert_allclose(found[on_grid], 3.6 * speeds[on_grid], atol=0.0051)
    assert np.isnan(found[~on_grid]).all()
    assert on_grid.sum() == 2
    run("full", data=data.path, out=tmp_path / "out", methods=["hold"], tasks=["cp"], conditions=[{}])
    for cell in read_cells(tmp_path / "out"):
        np.testing.assert_array_equal(read_strata(tmp_path / "out", cell)["speed_kmh"], found)
        assert set(read_terms(tmp_path / "out", cell)) == set(cell.scores)
    view = Run.read(tmp_path / "out").views[0]
    assert set(view.by_stratum("hold", "cp", "nmse", "speed_kmh")) == set(found[on_grid])


def test_a_stratum_of_another_length_is_no_stratum_of_the_cell(tmp_path: Path) -> None:
    put_run(tmp_path, ["prony"])
    put(tmp_path, "prony", "cp", 0.3)
    place = next((tmp_path / "cells").glob("prony__cp*.npz"))
    with np.load(place) as archive:
        arrays = dict(archive)
    np.savez(place, **arrays, **{"stratum speed_kmh": np.ones(7)})
    (problem,) = build(tmp_path).left_out
    assert "a speed_kmh of each of the 40 cases" in str(problem)


# --- the overall skill, and the dataset that a suite states -----------------------------------------------------------


def test_overall_is_of_the_tasks_that_a_suite_names(tmp_path: Path) -> None:
    """CE has a skill of .5 and CP of .25; who answers CE alone is whole where CE is what counts."""
    put_run(tmp_path, ["prony", "bi"])
    put(tmp_path, "prony", "ce", 0.5)
    put(tmp_path, "prony", "cp", 0.4)
    put(tmp_path, "bi", "ce", 0.4)
    (table,) = build(tmp_path).tables
    rows = {row.method: row for row in table.rows}
    assert rows["prony"].overall.value == pytest.approx((0.5 + 0.25) / 2)
    assert rows["bi"].overall is None
    manifest = read_manifest(tmp_path)
    (tmp_path / "run.json").write_text(manifest.model_copy(update={"overall": ("ce",)}).model_dump_json())
    (table,) = build(tmp_path).tables
    rows = {row.method: row for row in table.rows}
    assert table.overall == ("ce",)
    assert (rows["prony"].overall.value, rows["bi"].overall.value) == (pytest.approx(0.5), pytest.approx(0.6))
    _, page = report(tmp_path)
    text = page.read_text()
    assert "mean skill, 1 task" in text
    assert "by mean skill over CE; incomplete rows follow" in text
    (tmp_path / "run.json").write_text(manifest.model_copy(update={"overall": ("de",)}).model_dump_json())
    assert build(tmp_path).tables[0].overall == ("ce", "cp"), "none of them is here"


def test_the_full_suite_keeps_its_overall_skill() -> None:
    assert full.overall == SIX_TASKS
    assert set(full.tasks) > set(SIX_TASKS)


def test_a_suite_of_a_system_takes_no_others_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_dataset(Path("few.zarr"), small_spec(**SMALL))
    here = {"scenario": "channelbench.testing.factories:FewRays"}

    def progress(done: int, total: int) -> None:
        pass

    of_system = suites_phy.phy.model_copy(update=here)
    with pytest.raises(
        RequestError, match=r"FewRays multiuser, which suite phy states.*few\.zarr of .*FewRays dualband"
    ):
        default_dataset(of_system, progress)
    assert Path(default_dataset(full.model_copy(update=here), progress)).name == "few.zarr"
    make_dataset(Path("groups.zarr"), small_spec(train=10, val=5, test=8, system="multiuser", **SMALL))
    assert Path(default_dataset(of_system, progress)).name == "groups.zarr"
