"""What a results folder says of a method that is not there in full: seeds, tasks, metrics, and the order of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from results_by_hand import put

from channelbench.errors import RequestError
from channelbench.leaderboard.board import Row, Table, build
from channelbench.results import DatasetCard, RunManifest, VariedEntry


def table(folder: Path, **fields: Any) -> Table:
    """The default condition's table of a run with these fields."""
    card = DatasetCard(digest="d", spec={"scenario": "uma"}, seed=0)
    given = {"tasks": ("ce", "cp"), "methods": (), **fields}
    (folder / "run.json").write_text(
        RunManifest(suite="s", preset="quick", dataset=card, **given).model_dump_json()  # type: ignore[arg-type]
    )
    return build(folder).tables[0]


def rows(folder: Path, **fields: Any) -> dict[str, Row]:
    return {row.method: row for row in table(folder, **fields).rows}


def test_rows_stand_by_group_and_then_by_skill(tmp_path: Path) -> None:
    methods = ("ceiling", "zero", "genie", "worse", "better", "half")
    for method in methods:
        put(tmp_path, method, "ce", {"worse": 1.5, "better": 0.2}.get(method))
        if method != "half":
            put(tmp_path, method, "cp", {"worse": 1.5, "better": 0.2}.get(method))
    order = [row.method for row in table(tmp_path, methods=methods).rows]
    assert order == ["better", "worse", "half", "genie", "zero", "ceiling"]


@pytest.mark.parametrize(
    ("there", "wanted", "missing"),
    [((0, 1), 3, (2,)), ((5, 9), 4, (0, 1)), ((1,), 2, (0,)), ((3, 12, 7), 2, ()), ((12,), 0, ())],
)
def test_missing_seeds_are_the_lowest_that_are_not_there(
    tmp_path: Path, there: tuple[int, ...], wanted: int, missing: tuple[int, ...]
) -> None:
    for seed in there:
        put(tmp_path, "net", "ce", seed=seed)
        put(tmp_path, "net", "cp", seed=seed)
    row = rows(tmp_path, seeds={"net": wanted})["net"]
    assert row.seeds == max(wanted, len(there))
    for task in ("ce", "cp"):
        assert row.entries[task].missing_seeds == missing
        assert row.entries[task].state == ("not run" if missing else "ok")
        assert [result.seed for result in row.entries[task].results] == sorted(there)


def test_seeds_are_missing_in_their_order(tmp_path: Path) -> None:
    for seed in (1000, 24, 3):
        put(tmp_path, "net", "ce", seed=seed)
    assert rows(tmp_path)["net"].entries["cp"].state == "not supported"
    entry = rows(tmp_path, method_tasks={"net": ("ce", "cp")})["net"].entries["cp"]
    assert (entry.state, entry.missing_seeds, entry.detail) == ("not run", (3, 24, 1000), "")


def test_a_task_that_was_answered_elsewhere_is_not_run_here(tmp_path: Path) -> None:
    """A run that did not say what its methods answer, and a method with CP under another condition alone."""
    put(tmp_path, "both", "ce")
    put(tmp_path, "both", "cp", conditions={"snr_db": 0.0})
    put(tmp_path, "one", "ce")
    found = rows(tmp_path, methods=("both", "one", "none"))
    assert found["both"].entries["cp"].state == "not run"
    assert found["one"].entries["cp"].state == "not supported"
    assert {entry.state for entry in found["none"].entries.values()} == {"not run"}
    assert (found["none"].title, found["none"].family, found["none"].seeds) == ("none", "unknown", 1)
    said = rows(tmp_path, methods=("both",), method_tasks={"both": ("ce",)})
    assert said["both"].entries["cp"].state == "not supported"


def test_metrics_that_a_seed_lacks_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, "net", "ce", 0.2, 0, metrics=("nmse", "nmse_pooled"))
    put(tmp_path, "net", "ce", 0.4, 1, metrics=("nmse",))
    entry = rows(tmp_path)["net"].entries["ce"]
    assert list(entry.scores) == ["nmse"]
    assert entry.scores["nmse"].value == pytest.approx(0.3)
    assert dict(entry.scores["nmse"].by_seed) == {0: 0.2, 1: 0.4}


def test_failures_say_how_many_where_there_are_several(tmp_path: Path) -> None:
    put(tmp_path, "one", "ce", error="ValueError: no")
    for seed in range(3):
        put(tmp_path, "three", "ce", seed=seed, error="" if seed == 1 else f"ValueError: {seed}")
    found = rows(tmp_path)
    details = {method: (row.entries["ce"].state, row.entries["ce"].detail) for method, row in found.items()}
    assert details == {"one": ("failed", "ValueError: no"), "three": ("failed", "2 of 3 seeds: ValueError: 0")}


def test_tables_stand_by_number_and_not_by_letter(tmp_path: Path) -> None:
    given: list[dict[str, Any]] = [{"snr_db": 5.0}, {"snr_db": 20.0}, {"snr_db": -10.0}, {"snr_db": 0.5}, {}]
    for conditions in (*given, {"pilot_spacing": 4}, {"snr_db": 0.0, "paper_compat": True}):
        put(tmp_path, "net", "ce", conditions=conditions)
    table(tmp_path)
    order = [each.condition for each in build(tmp_path).tables]
    assert order == [
        *("default", "snr_db=-10", "pilot_spacing=4", "snr_db=0.5", "snr_db=5", "snr_db=20"),
        "snr_db=0,paper_compat=true",
    ]


def test_a_condition_that_is_half_run_keeps_its_tasks(tmp_path: Path) -> None:
    """CP has run under it, PF has not, and CE has no such condition."""
    label = "pilots_only=true"
    put(tmp_path, "net", "ce")
    put(tmp_path, "net", "cp", conditions={"pilots_only": True})
    varied = VariedEntry(cells={"ce": "default", "cp": label, "pf": label}, tasks=("cp", "pf"))
    table(tmp_path, tasks=("ce", "cp", "pf"), conditions={label: varied}, method_tasks={"net": ("ce", "cp", "pf")})
    (only,) = build(tmp_path).tables
    assert [(column.task, column.condition, column.varied) for column in only.columns] == [
        ("ce", "default", False),
        ("cp", label, True),
        ("pf", label, True),
    ]
    assert [entry.state for entry in only.rows[0].entries.values()] == ["ok", "ok", "not run"]


def test_what_is_no_results_folder_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"results: expected a folder with a run.json, got .*No such file"):
        build(tmp_path / "nowhere")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RequestError, match=r"results: expected a folder with a run.json, got .*validation errors"):
        build(tmp_path)


def test_draws_are_made_for_what_is_ranked_and_for_several_seeds(tmp_path: Path) -> None:
    for method, seeds in (("one", 1), ("two", 2)):
        for seed in range(seeds):
            put(tmp_path, method, "ce", 0.2, seed, metrics=("nmse", "nmse_db"))
    found = rows(tmp_path)
    made = {
        method: {n: s.replicates is not None for n, s in found[method].entries["ce"].scores.items()} for method in found
    }
    assert made == {"one": {"nmse": True, "nmse_db": False}, "two": {"nmse": True, "nmse_db": True}}


def test_bundles_have_the_seeds_of_their_least_trained_member(tmp_path: Path) -> None:
    for method, seeds, task in (("formula", 1, "cp"), ("five", 5, "ce"), ("three", 3, "ce"), ("two", 2, "ce")):
        for seed in range(seeds):
            put(tmp_path, method, task, seed=seed, family="classical" if method == "formula" else "small")
    put(tmp_path, "one", "ce", family="small")
    bundles = {
        "all": ("formula", "five", "three"),
        "few": ("five", "three"),
        "two": ("five", "two"),
        "one": ("five", "one"),
        "plain": ("formula",),
        "gone": ("formula", "absent"),
    }
    found = rows(tmp_path, bundles=bundles)
    assert {name: row.seeds for name, row in found.items() if row.family == "bundle"} == {
        "bundle:all": 3,
        "bundle:few": 3,
        "bundle:two": 2,
        "bundle:one": 1,
        "bundle:plain": 1,
    }
    entries = found["bundle:few"].entries
    assert (entries["ce"].member, entries["cp"].state, entries["cp"].member) == ("FIVE", "not supported", "")
    assert found["bundle:all"].entries["cp"].member == "FORMULA"
    five = found["five"].entries["ce"]
    assert found["bundle:all"].entries["ce"].rank == five.rank is not None, "its cell is its member's"
    assert found["bundle:all"].entries["ce"].scores == five.scores
    assert not any(row.entries[task].missing_seeds for row in found.values() for task in row.entries)


def test_bundles_answer_with_a_member_that_is_missing(tmp_path: Path) -> None:
    put(tmp_path, "first", "ce")
    put(tmp_path, "second", "ce", 0.1)
    put(tmp_path, "second", "cp", 0.1)
    found = rows(
        tmp_path,
        methods=("first", "second"),
        method_tasks={"first": ("ce", "cp"), "second": ("ce", "cp")},
        bundles={"pair": ("first", "second")},
    )
    pair = found["bundle:pair"]
    assert pair.entries["ce"].scores["nmse"].value == 0.5
    assert (pair.entries["cp"].state, pair.covered, pair.overall) == ("not run", 1, None)
    assert pair.entries["cp"].missing_seeds == ()
