"""Table IV, its rank correlations and the controls, on synthetic cells whose numbers are worked out by hand."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from channelbench.benchmarks.exhibits import paper
from channelbench.benchmarks.exhibits.paper import TASKS
from channelbench.benchmarks.exhibits.rows import PAPER_ROWS, paper_views
from channelbench.benchmarks.exhibits.table4 import SIGNIFICANT, correlation
from channelbench.leaderboard.views import Run

DROPS = 40
NOISY = {"paper_compat": True}
LOSSES = {"ce": 0.10, "cp": 0.20, "pf": 0.30, "bf": 0.40, "de": 0.05, "pe": 0.15}


# --- the paper's numbers ---------------------------------------------------------------------------------------------


def test_published_averages_are_the_means_of_the_published_losses() -> None:
    """Every Avg. of Tables IV and V follows from the row's own numbers by Eq. 28, but for one, which is noted there."""
    checked = 0
    for table, tests in (("IV", ["UMa 1.9 GHz"]), ("V", ["RMa 1.9 GHz", "UMa 2.4 GHz"])):
        for test in tests:
            for row in PAPER_ROWS:
                average = paper.average(row.paper_names, table, test)
                if average is None:
                    continue
                losses = [paper.loss(row.paper_name(task), task, table, test) for task in TASKS]
                known = [loss for loss in losses if loss is not None]
                assert len(known) == 6
                if (test, row.title) == ("RMa 1.9 GHz", "CNN + WiT"):
                    assert (round(sum(known) / 6, 3), average) == (0.342, 0.376)
                    continue
                assert sum(known) / 6 == pytest.approx(average, abs=8e-4), (table, test, row.title)
                checked += 1
    assert checked == 8 + 2 * 4 - 1


def test_published_gains_follow_from_the_published_averages() -> None:
    for alone, name in (("Cross-stitch(s)", "Cross-stitch"), ("LLM4WM(s)", "LLM4WM")):
        before, after = paper.average((alone,)), paper.average((name,))
        assert before is not None
        assert after is not None
        stated = paper.number("Fig. 5", name, "all", "gain dB")
        assert 10 * math.log10(before / after) == pytest.approx(stated, abs=0.015)


def test_what_the_paper_does_not_have_is_none() -> None:
    assert paper.number("IV", "Transformer", "ce", "NMSE") is None
    assert paper.average(("BI", "Codebook")) is None


# --- Table IV --------------------------------------------------------------------------------------------------------


def test_a_third_partys_rows_are_among_them(lab: Any, folder: Path) -> None:
    """A method that no row of the table names stands beside the paper's; its missing tasks are dashes."""
    lab.put_all(folder, "llm4wm")
    lab.put_all(folder, "theirs", 0.5)
    lab.put_all(folder, "partly", 0.5, tasks=("ce", "bf"))
    part = lab.named(folder, "table4")
    assert lab.cell_of(part, "theirs", "CE", "NMSE").value == pytest.approx(0.05)
    assert lab.cell_of(part, "theirs", "Avg.").value == pytest.approx(0.1, abs=1e-6)
    assert lab.cell_of(part, "partly", "BF", "accuracy").value == pytest.approx(0.8)
    assert lab.cell_of(part, "partly", "CP", "NMSE").text == "–"
    assert "theirs" in part.svg
    rows = [row for row in csv.DictReader(part.csv.splitlines()) if row["row"] == "theirs"]
    assert len({row["task"] for row in rows}) >= len(TASKS)


def test_table4_has_ours_beside_the_papers(lab: Any, folder: Path) -> None:
    for seed, factor in enumerate((0.9, 1.0, 1.1)):
        lab.put_all(folder, "llm4wm", factor, seed=seed, weights="tiny-model, 3 layers")
    part = lab.named(folder, "table4")
    assert lab.cell_of(part, "LLM4WM", "CE", "NMSE").text == "0.100"
    assert lab.cell_of(part, "LLM4WM", "CE", "NMSE").published == "0.103"
    assert lab.cell_of(part, "LLM4WM", "BF", "accuracy").text == "0.600"
    assert lab.cell_of(part, "LLM4WM", "BF", "accuracy").published == "0.904"
    assert lab.cell_of(part, "LLM4WM", "DE").value == pytest.approx(0.05)
    assert lab.cell_of(part, "LLM4WM", "PE", "RMSE, dB").text == "1.500"
    assert lab.cell_of(part, "LLM4WM", "PE", "RMSE, dB").published == ""
    average = lab.cell_of(part, "LLM4WM", "Avg.")
    assert (average.value, average.published) == (pytest.approx(0.2, abs=1e-6), "0.087")
    # Seeds of mean 0.18, 0.2 and 0.22: the t interval alone reaches 4.303·0.02/√3 = 0.0497 to either side.
    low, high = (float(v) for v in average.interval.split("–"))
    # Over drops the accuracy dominates: 1.96·√(0.6·0.4/40)/6 = 0.0253. The two add as squares.
    assert (0.2 - low, high - 0.2) == (pytest.approx(0.0558, abs=0.004), pytest.approx(0.0558, abs=0.004))
    assert lab.row_of(part, "LLM4WM").detail == "3 seeds · tiny-model, 3 layers"


def test_a_row_claims_no_more_seeds_than_its_tasks_have(lab: Any, folder: Path) -> None:
    for seed in range(3):
        lab.put_all(folder, "cnn", tasks=("ce", "cp", "pf", "bf"), seed=seed)
    lab.put_all(folder, "wit", tasks=("de", "pe"))
    lab.put_all(folder, "bi", tasks=("ce", "cp", "pf"))
    part = lab.named(folder, "table4")
    assert lab.row_of(part, "CNN + WiT").detail == "1 to 3 seeds"
    assert lab.row_of(part, "BI + Codebook + FIFS").detail == ""
    lab.put_all(folder, "wit", tasks=("de",), seed=1)
    lab.put_all(folder, "lstm", tasks=("ce", "cp", "pf"))
    part = lab.named(folder, "table4")
    assert lab.row_of(part, "CNN + WiT").detail == "1 to 3 seeds"
    assert lab.row_of(part, "LSTM + MLP").detail == "1 seed"


def test_average_interval_is_the_bootstrap_of_the_mean_over_the_same_drops(lab: Any, folder: Path) -> None:
    """An independent bootstrap of one loss per drop, the mean of its six terms, finds the same interval."""
    lab.put_all(folder, "llm4wm", tasks=("ce", "cp", "pf", "bf", "de", "pe"), spread=0.5)
    found = paper_views(Run.read(folder))[0].average(next(r for r in PAPER_ROWS if r.title == "LLM4WM"))
    assert found is not None
    hit = lab.terms_of("top1_accuracy", 0.6, 0)[:, 0]
    around = lab.terms_of("nmse", 1.0, 0.5)[:, 0]
    per_drop = (0.8 * around + (1 - hit)) / 6
    draws = np.random.default_rng(5).integers(0, DROPS, (20000, DROPS))
    low, high = np.percentile(per_drop[draws].mean(axis=1), [2.5, 97.5])
    assert (found.low, found.high) == (pytest.approx(low, abs=4e-3), pytest.approx(high, abs=4e-3))
    assert found.value == pytest.approx(0.2)


def test_missing_cells_are_dashes_and_never_averaged_away(lab: Any, folder: Path) -> None:
    lab.put_all(folder, "llm4wm", tasks=("ce", "cp", "pf", "bf", "de"))
    lab.put(folder, "llm4cp", "ce", 0.1, status="failed")
    lab.put(folder, "bi", "ce", 0.7)
    part = lab.named(folder, "table4")
    missing = lab.cell_of(part, "LLM4WM", "PE", "NMSE (centred)")
    assert (missing.text, missing.published, missing.interval) == ("–", "0.028", "")
    assert math.isnan(missing.value)
    assert lab.cell_of(part, "LLM4WM", "Avg.").text == "–"
    assert lab.cell_of(part, "LLM4CP", "CE", "NMSE").text == "–"
    assert "ValueError: no" in lab.cell_of(part, "LLM4CP", "CE", "NMSE").note
    assert lab.cell_of(part, "BI + Codebook + FIFS", "CE", "NMSE").text == "0.700"
    assert lab.cell_of(part, "BI + Codebook + FIFS", "BF", "accuracy").text == "–"
    assert lab.cell_of(part, "Transformer", "BF", "accuracy").note == "not a task of this row"
    rows = [row for row in csv.DictReader(part.csv.splitlines()) if row["row"] == "LLM4WM"]
    empty = {row["task"]: row["value"] == "" for row in rows}
    assert empty == {"ce": False, "cp": False, "pf": False, "bf": False, "de": False, "pe": True, "all": True}


def test_a_missing_seed_leaves_no_score(lab: Any, tmp_path: Path) -> None:
    folder = lab.claim(tmp_path, "llm4wm", seeds={"llm4wm": 3})
    lab.put(folder, "llm4wm", "ce", 0.1, seed=0)
    lab.put(folder, "llm4wm", "ce", 0.1, seed=1)
    found = lab.cell_of(lab.named(folder, "table4"), "LLM4WM", "CE", "NMSE")
    assert (found.text, found.note) == ("–", "not complete: 2 of 3 seeds")


def test_a_bundle_takes_each_task_from_its_own_method(lab: Any, folder: Path) -> None:
    for task in ("ce", "cp", "pf", "bf"):
        lab.put(folder, "cnn", task, 0.2)
    for task in ("de", "pe"):
        lab.put(folder, "wit", task, 0.1)
    part = lab.named(folder, "table4")
    assert lab.cell_of(part, "CNN + WiT", "Avg.").value == pytest.approx((4 * 0.2 + 2 * 0.1) / 6)
    assert lab.cell_of(part, "CNN + WiT", "Avg.").published == "0.230"


def test_where_metrics_are_not_installed_the_average_says_where_its_interval_is_from(lab: Any, folder: Path) -> None:
    lab.put_all(folder, "llm4wm", installed=False)
    part = lab.named(folder, "table4")
    assert "the mean of the tasks’ bounds" in part.text
    # Bounds are 10 % off each score; of the accuracy 0.6 that makes a loss of 0.34 to 0.46.
    others = sum(LOSSES.values()) - LOSSES["bf"]
    low, high = ((others * f + bf) / 6 for f, bf in ((0.9, 0.34), (1.1, 0.46)))
    assert lab.cell_of(part, "LLM4WM", "Avg.").interval == f"[{low:.3f}–{high:.3f}]", "one seed"


def test_paper_compat_has_its_own_table_with_the_noise_floor(lab: Any, folder: Path) -> None:
    lab.put_all(folder, "llm4wm", conditions=NOISY)
    lab.put_all(folder, "llm4wm", 0.5)
    lab.put(folder, "ceiling", "ce", 0.0912, conditions=NOISY)
    clean, noisy = lab.named(folder, "table4"), lab.named(folder, "table4-paper_compat")
    assert lab.cell_of(clean, "LLM4WM", "CE", "NMSE").value == pytest.approx(0.05)
    assert lab.cell_of(noisy, "LLM4WM", "CE", "NMSE").text == "0.100"
    assert "= 0.0909 (measured here: CE 0.0912)" in noisy.text
    assert lab.cell_of(noisy, "Exact channel: the noise floor", "CE", "NMSE").text == "0.091"
    assert not any(row.title.startswith("Exact") for group in clean.groups for row in group.rows)


def test_controls_of_other_methods_wait_for_their_first_cell(lab: Any, folder: Path) -> None:
    lab.put_all(folder, "llm4wm")
    titles = [row.title for group in lab.named(folder, "table4").groups for row in group.rows]
    assert "LLM4WM, random frozen trunk" in titles
    assert "LLM4CP, random frozen trunk" not in titles
    lab.put(folder, "llm4cp+random", "ce", 0.1)
    titles = [row.title for group in lab.named(folder, "table4").groups for row in group.rows]
    assert "LLM4CP, random frozen trunk" in titles


# --- rank correlation ------------------------------------------------------------------------------------------------


def write_ce(lab: Any, folder: Path, values: Mapping[str, float]) -> None:
    for method, value in values.items():
        lab.put(folder, method, "ce", value)


def test_the_papers_own_numbers_correlate_perfectly(lab: Any, folder: Path) -> None:
    names = {row.members["bf"]: paper.loss(row.paper_name("bf"), "bf") for row in PAPER_ROWS}
    for method, value in names.items():
        assert value is not None
        lab.put(folder, method, "bf", value)
    view = paper_views(Run.read(folder))[0]
    rho, count = correlation(view, "bf")
    assert count == 8
    # 40 drops round accuracies to steps of 0.025; 0.884 and 0.878 are then the same.
    assert 0.95 < rho <= 1
    assert correlation(view, "all")[1] == 0


def test_rank_correlation_by_hand_with_a_tie(lab: Any, folder: Path) -> None:
    """Paper CE: LLM4WM .103, LLM4CP .106, CNN .119, Cross-stitch .157. Our ranks: 1, 2.5, 2.5, 4."""
    write_ce(lab, folder, {"llm4wm": 0.1, "llm4cp": 0.2, "cnn": 0.2, "cross_stitch": 0.3})
    rho, count = correlation(paper_views(Run.read(folder))[0], "ce")
    ours, theirs = np.array([1, 2.5, 2.5, 4]), np.array([1.0, 2, 3, 4])
    expected = np.sum((ours - 2.5) * (theirs - 2.5)) / math.sqrt(
        np.sum((ours - 2.5) ** 2) * np.sum((theirs - 2.5) ** 2)
    )
    assert (rho, count) == (pytest.approx(expected), 4)
    write_ce(lab, folder, {"llm4wm": 0.4, "llm4cp": 0.3, "cnn": 0.2, "cross_stitch": 0.1})
    assert correlation(paper_views(Run.read(folder))[0], "ce")[0] == pytest.approx(-1)


def test_too_few_rows_or_no_order_have_no_correlation(lab: Any, folder: Path) -> None:
    write_ce(lab, folder, {"llm4wm": 0.1, "cnn": 0.2})
    part = lab.named(folder, "rank-correlation")
    assert [cell.text for cell in lab.row_of(part, "CE").cells] == ["–"] * 4
    write_ce(lab, folder, {"llm4wm": 0.1, "cnn": 0.1, "llm4cp": 0.1})
    assert math.isnan(correlation(paper_views(Run.read(folder))[0], "ce")[0])


def test_one_row_far_behind_in_both_tables_carries_a_correlation(lab: Any, folder: Path) -> None:
    """Our order of the networks is the paper's backwards; BI is last in both."""
    write_ce(lab, folder, {"llm4wm": 0.4, "llm4cp": 0.3, "cnn": 0.2, "cross_stitch": 0.1, "bi": 9.0})
    part = lab.named(folder, "rank-correlation")
    # d² of ranks 1…5 against 4, 3, 2, 1, 5 sums to 20: ρ = 1 − 6·20/(5·24)
    assert [cell.text for cell in lab.row_of(part, "CE").cells] == ["0.00", "–", "−1.00", "–"]
    records = list(csv.DictReader(io.StringIO(part.csv)))
    ce = {(r["without"], r["conditions"]): (r["spearman"], r["rows"]) for r in records if r["task"] == "ce"}
    assert float(ce["", "clean"][0]) == pytest.approx(0, abs=1e-12)
    assert ce["bi", "clean"] == ("-1.0", "4")


@pytest.mark.parametrize("rows", SIGNIFICANT)
def test_what_chance_reaches_in_one_case_of_twenty(rows: int) -> None:
    """All orders of so many rows, each as likely."""
    distance = np.array([sum((i - j) ** 2 for i, j in enumerate(order)) for order in permutations(range(rows))])
    rho = np.round(1 - 6 * distance / (rows * (rows**2 - 1)), 9)
    reached = np.unique(np.abs(rho))
    smallest = next(value for value in reached if (np.abs(rho) >= value).mean() < 0.05)
    assert pytest.approx(smallest, abs=5e-4) == SIGNIFICANT[rows]
