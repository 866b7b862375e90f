"""Tables of conditions that not every task has, and what conditions are called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
from results_by_hand import put, put_anchors, put_run

from channelbench.leaderboard import report
from channelbench.leaderboard.board import build
from channelbench.leaderboard.catalogue import observed
from channelbench.leaderboard.labels import condition_title
from channelbench.tasks.link.conditions import CombConditions, LinkConditions, PilotConditions, SlotConditions

PILOTS = "pilots_only=true"


def put_varied(folder: Path, conditions: Mapping[str, Mapping[str, str]]) -> None:
    """Two methods; CP's cells under pilots too, which CE does not have."""
    put_run(folder, ["a", "b"], {"A + B": ("a", "b")}, conditions)
    put_anchors(folder, "cp", {"pilots_only": True})
    for method, ce, cp in (("a", 0.25, 0.3), ("b", 0.5, 0.2)):  # skills .75 and .5, then .5 and .75
        put(folder, method, "ce", ce)
        put(folder, method, "cp", cp)
    for method, cp in (("a", 0.4), ("b", 0.1)):  # skills .25 and 1
        put(folder, method, "cp", cp, conditions={"pilots_only": True})


OF_TASK = {"default": {"ce": "default", "cp": "default"}, PILOTS: {"ce": "default", "cp": PILOTS}}


def test_tasks_without_the_condition_are_shown_at_their_own(tmp_path: Path) -> None:
    put_varied(tmp_path, OF_TASK)
    default, pilots = build(tmp_path).tables
    assert (default.condition, dict(default.changes)) == ("default", {})
    assert (pilots.condition, dict(pilots.changes)) == (PILOTS, {"pilots_only": True})
    assert [(c.task, c.condition, c.varied) for c in default.columns] == [
        ("ce", "default", True),
        ("cp", "default", True),
    ]
    assert [(c.task, c.condition, c.varied) for c in pilots.columns] == [("ce", "default", False), ("cp", PILOTS, True)]
    both = [{row.method: row for row in table.rows} for table in (default, pilots)]
    for method in ("a", "b", "zero", "ceiling", "bundle:A + B"):
        ours, theirs = (rows[method].entries["ce"] for rows in both)
        assert ours.results == theirs.results
        assert ours.scores["nmse"].value == theirs.scores["nmse"].value
        assert (ours.rank, ours.skill and ours.skill.value) == (theirs.rank, theirs.skill and theirs.skill.value)
        assert len(theirs.results) == 1
    assert [rows["a"].entries["cp"].scores["nmse"].value for rows in both] == [0.3, 0.4]


def test_overall_is_of_the_tasks_that_have_the_condition(tmp_path: Path) -> None:
    put_varied(tmp_path, OF_TASK)
    for table, expected, ranks in zip(
        build(tmp_path).tables,
        ({"a": 0.625, "b": 0.625, "bundle:A + B": 0.625}, {"a": 0.25, "b": 1.0, "bundle:A + B": 0.25}),
        ({"a": "1–2", "b": "1–2", "bundle:A + B": "None"}, {"b": "1", "a": "2", "bundle:A + B": "None"}),
        strict=True,
    ):
        rows = {row.method: row for row in table.rows}
        for method, value in expected.items():
            overall = rows[method].overall
            assert overall is not None
            assert overall.value == pytest.approx(value)
            assert str(rows[method].rank) == ranks[method]
            assert rows[method].covered == 2


def test_a_cell_that_failed_elsewhere_costs_no_place_here(tmp_path: Path) -> None:
    put_varied(tmp_path, OF_TASK)
    put(tmp_path, "a", "ce", error="RuntimeError: diverged")
    default, pilots = ({row.method: row for row in table.rows} for table in build(tmp_path).tables)
    assert default["a"].overall is None
    assert default["a"].entries["ce"].state == pilots["a"].entries["ce"].state == "failed"
    assert pilots["a"].overall is not None
    assert pilots["a"].overall.value == pytest.approx(0.25)
    assert str(default["b"].rank) == str(pilots["b"].rank) == "1"


def test_columns_at_their_own_conditions_are_marked_on_the_page(tmp_path: Path) -> None:
    put_varied(tmp_path, OF_TASK)
    _, html = report(tmp_path)
    default, pilots = html.read_text().split('id="condition-1"')
    remark = "(shown at its own conditions: default)"
    assert remark not in default
    assert "at its own conditions ·" not in default
    heads = pilots[: pilots.index("</thead>")]
    assert heads.count("at its own conditions ·") == 1
    assert heads.index("at its own conditions ·") < heads.index(">CP<")
    assert heads.index(">CE<") < heads.index("at its own conditions ·")
    codes = pilots[pilots.index('<dl class="codes">') :]
    assert codes.index("<dt>CE</dt>") < codes.index(remark) < codes.index("<dt>CP</dt>")
    # One sentence of what is observed, of the tasks that the table is about.
    sentence = pilots.split('<p class="lead">')[1].split("</p>")[0]
    assert "every 8th subcarrier is seen" in sentence
    assert "CE" not in sentence


def test_the_csv_has_every_cell_once(tmp_path: Path) -> None:
    put_varied(tmp_path, OF_TASK)
    csv, _ = report(tmp_path)
    frame = pd.read_csv(csv)
    key = ["method", "task", "conditions", "metric", "seed"]
    assert not frame.duplicated(key).any()
    assert len(frame) == 4 * 3
    assert set(zip(frame.task, frame.conditions, strict=True)) == {("ce", "default"), ("cp", "default"), ("cp", PILOTS)}
    indexed = frame.set_index(["method", "task", "conditions"])
    assert indexed.loc[("a", "ce", "default")].overall_skill == pytest.approx(0.625), "as the table that it varies in"
    assert indexed.loc[("a", "cp", PILOTS)].overall_skill == pytest.approx(0.25)
    assert indexed.loc[("b", "cp", PILOTS)].overall_rank_low == 1
    assert indexed.loc[("b", "cp", PILOTS)].overall_rank_high == 1
    assert (frame.snr_db == 10).all()
    assert not frame.paper_compat.any()


def test_the_csv_has_every_cell_once_though_no_table_is_of_its_condition(tmp_path: Path) -> None:
    """Two tables show CE at its own conditions, and none has these for its own."""
    other = f"{PILOTS},pilot_spacing=4"
    put_varied(tmp_path, {PILOTS: OF_TASK[PILOTS], other: {"ce": "default", "cp": other}})
    for path in (tmp_path / "cells").glob("*__cp__default__*"):
        path.unlink()
    changes = {"pilots_only": True, "pilot_spacing": 4}
    put_anchors(tmp_path, "cp", changes)
    put(tmp_path, "a", "cp", 0.45, conditions=changes)
    tables = build(tmp_path).tables
    assert [[(c.condition, c.varied) for c in table.columns] for table in tables] == [
        [("default", False), (PILOTS, True)],
        [("default", False), (other, True)],
    ]
    csv, _ = report(tmp_path)
    frame = pd.read_csv(csv)
    assert not frame.duplicated(["method", "task", "conditions", "metric", "seed"]).any()
    assert (frame.task == "ce").sum() == 4
    missing = frame[frame.status == "not run"]
    assert list(zip(missing.method, missing.task, missing.conditions, strict=True)) == [("b", "cp", other)]


def test_runs_that_did_not_say_have_every_task_in_every_table(tmp_path: Path) -> None:
    put_varied(tmp_path, {})
    default, pilots = build(tmp_path).tables
    assert [(c.condition, c.varied) for c in default.columns] == [("default", True)] * 2
    assert [(c.condition, c.varied) for c in pilots.columns] == [(PILOTS, True)] * 2
    assert all(row.overall is None for row in pilots.rows), "CE has no cell under these conditions"


def test_tables_stand_in_the_order_of_their_conditions(tmp_path: Path) -> None:
    put_run(tmp_path, ["a"])
    for changes in ({"paper_compat": True}, {"snr_db": 20.0}, {"snr_db": -5.0}, {"snr_db": 0.0}):
        put(tmp_path, "a", "ce", 0.5, conditions=changes)
    found = [(table.condition, table.noisy) for table in build(tmp_path).tables]
    assert found == [
        ("default", False),
        ("snr_db=-5", False),
        ("snr_db=0", False),
        ("snr_db=20", False),
        ("paper_compat=true", True),
    ]


def test_conditions_have_titles() -> None:
    titles = {
        "default": "Default",
        "snr_db=-5": "SNR −5 dB",
        "paper_compat=true": "Paper-compatible",
        "snr_db=0,paper_compat=true": "SNR 0 dB, Paper-compatible",
        "pilots_only=true,pilot_spacing=4": "pilots only, pilot spacing 4",
        "observed_slots=8": "observed slots 8",
    }
    assert {label: condition_title(label) for label in titles} == titles


def test_sentences_of_conditions() -> None:
    """What the page says of a condition is the condition's own."""
    own = "SNR 10 dB relative to each sample's mean power; targets are clean"
    assert LinkConditions().sentence == own
    assert CombConditions().sentence == f"{own}; every 8th subcarrier is seen"
    assert CombConditions(pilot_spacing=1).sentence == f"{own}; every subcarrier is seen"
    for spacing, word in ((2, "2nd"), (3, "3rd"), (11, "11th"), (21, "21st"), (112, "112th")):
        assert f"every {word} subcarrier" in CombConditions(pilot_spacing=spacing).sentence
    assert PilotConditions(pilots_only=True, snr_db=-5).sentence == (
        "SNR −5 dB relative to each sample's mean power; targets are clean; every 8th subcarrier is seen"
    )
    assert PilotConditions(pilot_spacing=4).sentence == f"{own}; all subcarriers are seen"
    assert LinkConditions(paper_compat=True).sentence == (
        "SNR 10 dB relative to the training set's mean power; targets carry the pilots' noise"
    )
    assert SlotConditions(observed_slots=8, predicted_slots=2).sentence == (
        f"{own}; all subcarriers are seen; 8 slots are observed; 2 are predicted"
    )
    assert observed({"CE": "a; b; c", "CP": "a; c", "PF": "a; c; d", "DE": ""}) == "a; c; CE: b; PF: d."
    assert observed({"CE": "a; b", "PF": "a; b"}) == "a; b."
    assert observed({"CE": ""}) == observed({}) == ""
