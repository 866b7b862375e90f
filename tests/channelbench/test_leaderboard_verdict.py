"""The sentence at the top, on cells whose numbers are worked out by hand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from results_by_hand import draws, put, put_run

from channelbench.leaderboard import verdict
from channelbench.leaderboard.board import Table, build

DROPS = 400
GENIE = {"found_at": {"method": "lmmse_genie", "task": "ce"}}


def table_of(folder: Path) -> Table:
    (table,) = build(folder).tables
    return table


def put_drops(folder: Path, method: str, task: str, terms: np.ndarray, **more: object) -> None:
    put(folder, method, task, float(terms.mean()), terms=terms, **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Skills by hand: CE has floor 1 and ceiling 0, CP .5 and .1."""
    put_run(tmp_path, ["good", "next", "last", "half", "genie"], {"pair": ("half", "last")}, drops=DROPS)
    common = 0.05 * draws(1, DROPS)
    for method, value in (("good", 0.15), ("next", 0.25), ("last", 0.75)):
        put_drops(tmp_path, method, "ce", value + common)
        put_drops(tmp_path, method, "cp", np.full(DROPS, 0.2))
    put_drops(tmp_path, "half", "ce", common)
    put_drops(tmp_path, "genie", "ce", 0.05 + common, **GENIE)
    return tmp_path


def test_first_lead_and_limit_by_hand(folder: Path) -> None:
    table = table_of(folder)
    row = next(row for row in table.rows if row.method == "good")
    noise = 0.05 * draws(1, DROPS).mean()
    assert row.overall is not None
    assert row.overall.value == pytest.approx(((1 - 0.15 - noise) + 0.75) / 2, abs=1e-6)
    said = verdict.text(verdict.of_table(table))
    # Paired, the difference to the next is .1 in one of two tasks on every drop; the limit is .1 away on every drop.
    assert said.startswith(f"GOOD is first of 3 methods that answer both tasks: mean skill {row.overall.value:.3f}")
    assert ", 0.0500 above the next, NEXT; the reachable limit in CE is " in said
    assert "(GENIE), 0.1000 away." in said
    assert re.search(r"The best bundle of methods, pair, is 0\.0\d+ above it\.$", said)


def test_a_difference_that_is_not_shown_is_said_to_be_none(tmp_path: Path) -> None:
    put_run(tmp_path, ["a", "b"], drops=DROPS)
    for method, seed in (("a", 1), ("b", 2)):
        for task in ("ce", "cp"):
            put_drops(tmp_path, method, task, 0.2 * draws(seed, DROPS))
    said = verdict.text(verdict.of_table(table_of(tmp_path)))
    assert "which is no difference shown" in said
    assert re.search(r"above the next, [AB], which", said)
    assert re.search(r"\(−0\.\d+ – 0\.\d+\)", said)
    assert "the ideal is 1, and no reachable limit is known" in said


def test_one_task_is_told_in_its_own_numbers(folder: Path) -> None:
    table = table_of(folder)
    said = verdict.text(verdict.of_task(table, table.columns[0]))
    value = 0.05 * draws(1, DROPS).mean()
    assert said.startswith(f"HALF is first of 4 in CE: NMSE {value:.3f}, 0.150")
    assert "below the next, GOOD" in said
    assert said.endswith("(GENIE), 0.0500 beyond it."), "better than the genie, as it may be"


def test_no_method_has_all_tasks(tmp_path: Path) -> None:
    put_run(tmp_path, ["left", "right"], {"both": ("left", "right")})
    put(tmp_path, "left", "ce", 0.2)
    put(tmp_path, "right", "cp", 0.3)
    said = verdict.text(verdict.of_table(table_of(tmp_path)))
    first = "No method answers both tasks. First is LEFT in CE and RIGHT in CP."
    assert said == f"{first} The best bundle, both, has mean skill 0.650."


def test_nobody_beats_the_trivial_answers(tmp_path: Path) -> None:
    put_run(tmp_path, ["bad"])
    put(tmp_path, "bad", "ce", 1.5)
    put(tmp_path, "bad", "cp", 0.9)
    table = table_of(tmp_path)
    assert verdict.text(verdict.of_table(table)).startswith(
        "No method is better than the trivial answers: the nearest, BAD"
    )
    assert "worse than trivial" in verdict.text(verdict.of_task(table, table.columns[0]))


def test_who_scores_better_and_has_no_place(tmp_path: Path) -> None:
    put_run(tmp_path, ["net", "formula"], drops=DROPS)
    for task in ("ce", "cp"):
        put_drops(tmp_path, "net", task, 0.1 * draws(1, DROPS), family="small")
        put_drops(tmp_path, "formula", task, 0.2 * draws(2, DROPS))
    said = verdict.text(verdict.of_table(table_of(tmp_path)))
    assert said.startswith("FORMULA is first of 2")
    assert "NET has a better score, of one seed: it has no place until more are run." in said


def test_an_empty_table_says_nothing(tmp_path: Path) -> None:
    put_run(tmp_path, ["later"])
    assert verdict.of_table(table_of(tmp_path)) == []
