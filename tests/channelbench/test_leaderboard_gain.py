"""Gains over the start: the arithmetic, its intervals, and how the page and the CSV show them."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from results_by_hand import draws, put, put_run, rows_of
from scipy.stats import t

from channelbench.leaderboard import report
from channelbench.leaderboard.estimate import Estimate, Spread
from channelbench.leaderboard.gain import NONE_SHOWN, START, gain_over, is_shown, same_as_start, start_of, words
from channelbench.models.start import AlignedStart
from channelbench.results import Training, read_cells

DROPS = 2000
TRAINED = Training(budget_steps=120)


def exact(value: float, **more: Any) -> Estimate:
    return Estimate(value=value, low=value, high=value, **more)


def report_of(folder: Path) -> tuple[pd.DataFrame, str]:
    csv, html = report(folder)
    return pd.read_csv(csv), html.read_text()


def gains_of(folder: Path, task: str = "ce") -> dict[str, Estimate | None]:
    return {title.lower(): row.entries[task].gain for title, row in rows_of(folder).items()}


# --- the arithmetic ---


def test_the_row_of_the_start_is_the_method_of_that_name() -> None:
    assert AlignedStart.card.name == START
    rows = {START: exact(0.1), "net": exact(0.2)}
    assert start_of(rows, {START: "reference", "net": "small"}) is rows[START]
    assert start_of(rows, {START: "small", "net": "small"}) is None, "somebody else's, of an earlier folder"
    assert start_of({"net": exact(0.2)}, {"net": "small"}) is None


@pytest.mark.parametrize(
    ("start", "score", "ceiling", "gain"),
    [
        (0.1006, 0.0997, 0.0, 0.0009 / 0.1006),  # an error
        (0.459, 0.5, 1.0, 0.041 / 0.541),  # an accuracy: of what is missing to 1
        (0.19, 0.18, 0.09, 0.1),  # noise in the targets is nobody's error
        (0.2, 0.3, 0.0, -0.5),  # worse than the start
        (0.2, 0.0, 0.0, 1.0),
        (0.2, 0.2, 0.0, 0.0),
    ],
)
def test_gain_is_the_share_of_the_way_to_the_ceiling(start: float, score: float, ceiling: float, gain: float) -> None:
    found = gain_over(exact(start), exact(score), exact(ceiling))
    assert found is not None
    assert found.value == pytest.approx(gain, abs=1e-12)
    assert found.low == pytest.approx(gain, abs=1e-12)
    assert found.high == pytest.approx(gain, abs=1e-12)


def test_without_start_ceiling_or_a_span_there_is_no_gain() -> None:
    assert gain_over(None, exact(0.1), exact(0.0)) is None
    assert gain_over(exact(0.1), exact(0.1), None) is None
    assert gain_over(exact(0.1), exact(0.1), exact(0.1)) is None
    assert gain_over(exact(0.1), exact(0.1), exact(-math.inf)) is None
    assert gain_over(exact(0.1), exact(math.nan), exact(0.0)) is None


def test_trainings_widen_it_to_first_order() -> None:
    """Start .2 of 3 seeds, score .15 of 2; where drops leave nothing open the interval is Welch's, by hand."""
    start = exact(0.2, seeds=3, spread=Spread(variance=0.003**2, freedom=2), replicates=np.full(1000, 0.2))
    score = exact(0.15, seeds=2, spread=Spread(variance=0.004**2, freedom=1), replicates=np.full(1000, 0.15))
    of_score, of_start = 0.004**2 / 2 / 0.2**2, 0.003**2 / 3 * (0.15 / 0.2**2) ** 2
    freedom = (of_score + of_start) ** 2 / (of_score**2 / 1 + of_start**2 / 2)
    half = t.ppf(0.975, freedom) * math.sqrt(of_score + of_start)
    for unit in (1.0, 7.0):  # in whatever unit
        found = gain_over(start.affine(unit, 0.0), score.affine(unit, 0.0), exact(0.0))
        assert found is not None
        assert (found.low, found.value, found.high) == pytest.approx((0.25 - half, 0.25, 0.25 + half), rel=1e-6)


def test_unknown_spread_stays_unknown() -> None:
    found = gain_over(exact(0.2, seeds=1), exact(0.15), exact(0.0))
    assert found is not None
    assert found.spread_unknown
    assert words(found)[1] == "+25.0\u00a0%"
    wide = gain_over(exact(0.2, seeds=1), Estimate(value=0.15, low=0.14, high=0.16), exact(0.0))
    assert wide is not None
    assert words(wide)[1] == "+25.0\u00a0% [20.0–30.0]"


# --- over the drops of cells ---


def folder_with(folder: Path, **terms: Any) -> Path:
    """Cells of CE with these terms, and of CP, whose ceiling is .1, with .1 + half of them."""
    put_run(folder, ("ceiling", "zero", *terms), drops=DROPS)
    for method, values in terms.items():
        put(folder, method, "ce", float(values.mean()), terms=values)
        lifted = 0.1 + values / 2
        put(folder, method, "cp", float(lifted.mean()), terms=lifted)
    return folder


def test_a_constant_share_is_certain(tmp_path: Path) -> None:
    """Nine tenths of the start's error on every drop, however these scatter: 10 %, to the last digit."""
    of_start = 0.2 * draws(0)
    folder_with(tmp_path, start=of_start, net=0.9 * of_start, worse=1.5 * of_start, genie=0.25 * of_start)
    for task in ("ce", "cp"):
        gains = gains_of(tmp_path, task)
        for method, wanted in {"net": 0.1, "worse": -0.5, "genie": 0.75}.items():
            found = gains[method]
            assert found is not None
            assert (found.low, found.value, found.high) == pytest.approx((wanted,) * 3, abs=1e-5)
        assert gains["start"] is gains["zero"] is gains["ceiling"] is None


def test_interval_is_that_of_a_paired_ratio(tmp_path: Path) -> None:
    """Beside the error of the ratio by its first derivatives, and narrower than unpaired scores allow."""
    of_start = 0.2 * draws(0)
    net = of_start * 0.97 + 0.01 * (draws(1) - 1)
    found = gains_of(folder_with(tmp_path, start=of_start, net=net))["net"]
    assert found is not None
    value = 1 - net.mean() / of_start.mean()
    linear = (net - (1 - value) * of_start) / of_start.mean()
    half = 1.96 * linear.std() / math.sqrt(DROPS)
    assert found.value == pytest.approx(value, rel=1e-5)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.15)
    unpaired = 1.96 * math.hypot(net.std(), of_start.std()) / math.sqrt(DROPS) / of_start.mean()
    assert half < unpaired / 3


def test_page_and_csv_show_gains_and_those_that_are_none(tmp_path: Path) -> None:
    of_start = 0.2 * draws(0)
    none = of_start * 0.999 + 0.05 * (draws(1) - draws(2))
    folder_with(tmp_path, start=of_start, net=0.9 * of_start, none=none)
    table, page = report_of(tmp_path)
    rows = table[(table["task"] == "ce") & table["primary"]].set_index("method")
    assert rows["gain_over_start"]["net"] == pytest.approx(0.1, abs=1e-5)
    assert rows["gain_low"]["net"] == pytest.approx(0.1, abs=1e-5)
    assert rows["gain_low"]["none"] < 0 < rows["gain_high"]["none"]
    assert rows.loc[["start", "zero", "ceiling"], "gain_over_start"].isna().all()
    lines = re.findall(r'<span class="value([^"]*)">([^<]*(?:%|start))</span>(.*?)</td>', page)
    assert len(lines) == 4
    for kind, line, around in lines:
        assert ("+10.0\u00a0%" in line, kind) in ((True, ""), (False, " none"))
        assert (line == NONE_SHOWN) is (kind == " none")
        assert ("%" in around) is (kind == " none"), "what is not shown still has its interval"
    assert page.count('<span class="label">Gain over the start</span>') == 2
    assert page.count("<dt>Gain over the start</dt>") == 1
    assert "What a row gains over the aligned start" in page


def test_without_the_start_nothing_is_shown(tmp_path: Path) -> None:
    of_start = 0.2 * draws(0)
    table, page = report_of(folder_with(tmp_path, net=0.9 * of_start))
    assert table["gain_over_start"].isna().all()
    assert "Gain over the start" not in page
    assert "aligned start" not in page


# --- its trainings ---


def test_a_trained_start_of_one_seed_is_not_exact(tmp_path: Path) -> None:
    """Its cell says that it was trained: its score, and every gain over it, hang on a seed that nobody has changed."""
    put_run(tmp_path, ("ceiling", "zero", "start", "bare", "net"), drops=40)
    put(tmp_path, "start", "ce", 0.2, training=TRAINED)
    put(tmp_path, "genie", "ce", 0.1, training=Training())
    put(tmp_path, "net", "ce", 0.1)
    rows = {title.lower(): row.entries["ce"] for title, row in rows_of(tmp_path).items()}
    assert rows["start"].scores["nmse"].spread_unknown
    assert not rows["genie"].scores["nmse"].spread_unknown
    assert not rows["net"].scores["nmse"].spread_unknown
    gain = rows["net"].gain
    assert gain is not None
    assert gain.spread_unknown
    assert rows["net"].rank is not None, "ranks are among contestants"


def test_the_start_lends_its_spread_to_nobody(tmp_path: Path) -> None:
    put_run(tmp_path, ("ceiling", "zero", "start", "net"), drops=40)
    for seed, value in enumerate((0.2, 0.201, 0.202)):
        put(tmp_path, "start", "ce", value, seed, training=TRAINED)
    put(tmp_path, "net", "ce", 0.1, family="small", training=TRAINED)
    rows = {title.lower(): row.entries["ce"] for title, row in rows_of(tmp_path).items()}
    assert rows["start"].scores["nmse"].spread == Spread(variance=pytest.approx(1e-6), freedom=2)
    assert rows["net"].scores["nmse"].spread_unknown
    for seed, value in enumerate((0.1, 0.11)):
        put(tmp_path, "other", "ce", value, seed, family="llm", training=TRAINED)
    rows = {title.lower(): row.entries["ce"] for title, row in rows_of(tmp_path).items()}
    assert rows["net"].scores["nmse"].spread == Spread(variance=pytest.approx(5e-5), freedom=1, pooled=True)


def test_seeds_that_make_no_difference_are_no_obstacle(tmp_path: Path) -> None:
    """A curve is the same for all seeds: a spread of 0, known."""
    put_run(tmp_path, ("ceiling", "zero", "start", "net"), drops=40)
    for seed, value in enumerate((0.1, 0.12, 0.11)):
        put(tmp_path, "start", "ce", 0.2, seed, training=TRAINED)
        put(tmp_path, "net", "ce", value, seed, family="small", training=TRAINED)
    gain = gains_of(tmp_path)["net"]
    assert gain is not None
    half = t.ppf(0.975, 2) * np.std([0.1, 0.12, 0.11], ddof=1) / math.sqrt(3) / 0.2
    assert (gain.low, gain.high) == pytest.approx((0.45 - half, 0.45 + half), rel=1e-5)
    assert is_shown(gain)


# --- cells that are their own start ---


def test_cells_that_are_their_own_start_are_marked(tmp_path: Path) -> None:
    put_run(tmp_path, ("ceiling", "zero", "start", "copy", "twice", "part", "net"), drops=40)
    put(tmp_path, "start", "ce", 0.2)
    for seed in (0, 1, 2):
        put(tmp_path, "copy", "ce", 0.2, seed, family="llm", same_as_start=40)
        put(tmp_path, "twin", "ce", 0.2, seed, family="llm", same_as_start=40)
        put(tmp_path, "twice", "ce", 0.2, seed, family="llm", same_as_start=40 if seed else 39)
        put(tmp_path, "part", "ce", 0.2, seed, family="llm", same_as_start=30 + seed)
        put(tmp_path, "net", "ce", 0.1, seed, family="llm", same_as_start=0)
    table, page = report_of(tmp_path)
    sentence = "answers as its start does on all 40 cases: the network adds nothing"
    assert f"CE: each of COPY and TWIN {sentence}." in page
    for words_ in ("2 of 3 trainings answer as their start does on all 40 cases", "on 30 to 32 of 40 cases"):
        assert words_ in page
    assert page.count("= its start</span>") == 2
    cells = table[(table["task"] == "ce") & (table["metric"] == "nmse")].set_index(["method", "seed"])
    assert (cells.loc["copy", "remark"] == sentence).all()
    assert cells.loc["twice", "remark"].isna().tolist() == [True, False, False]
    assert cells.loc["part", "same_as_start"].tolist() == [30, 31, 32]
    assert cells.loc[["net", "part", "start"], "remark"].isna().all()
    assert cells.loc["start", "same_as_start"].isna().all()


def test_mark_needs_no_row_of_the_start(tmp_path: Path) -> None:
    put_run(tmp_path, ("ceiling", "zero", "copy"), drops=40)
    put(tmp_path, "copy", "ce", 0.2, same_as_start=40)
    _, page = report_of(tmp_path)
    assert "CE: COPY answers as its start does on all 40 cases: the network adds nothing." in page
    assert "= its start" in page


def test_numbers_of_cases_are_read_with_ease(tmp_path: Path) -> None:
    put(tmp_path, "copy", "ce", terms=np.full(1200, 0.5), same_as_start=1200)
    assert same_as_start(list(read_cells(tmp_path))).endswith("on all 1,200 cases: the network adds nothing")


def test_what_is_far_worse_has_no_number(tmp_path: Path) -> None:
    """Beside gains of some percent, thousands of them the other way say nothing but that."""
    of_start = 0.01 * draws(0)
    folder_with(tmp_path, start=of_start, net=0.4 * draws(1), half=1.9 * of_start)
    gains = gains_of(tmp_path)
    assert gains["net"] is not None
    assert gains["half"] is not None
    assert gains["net"].value < -30
    assert words(gains["net"])[0] == "< −100\u00a0%"
    assert words(gains["net"])[1].startswith(f"−{-100 * gains['net'].value:.0f}\u00a0% (")
    assert words(gains["half"])[0] == "−90.0\u00a0%"
