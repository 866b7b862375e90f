"""Tables of results folders against numbers worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from results_by_hand import NMSE, draws, put, put_run, rows_of

from channelbench.bootstrap import resampled_scores
from channelbench.leaderboard import report
from channelbench.leaderboard.board import build
from channelbench.leaderboard.estimate import Estimate, estimate
from channelbench.leaderboard.figures import draw
from channelbench.leaderboard.numbers import decimals, fixed, interval, quantity, ticks
from channelbench.results import MetricScore


def test_overall_and_bundle_by_hand(tmp_path: Path) -> None:
    put_run(tmp_path, ["both", "left", "right"], {"L + R": ("left", "right"), "L + gone": ("left", "gone")})
    put(tmp_path, "both", "ce", 0.25)  # skill .75
    put(tmp_path, "both", "cp", 0.3)  # skill (.5 − .3)/(.5 − .1) = .5
    put(tmp_path, "left", "ce", 0.1)  # skill .9
    put(tmp_path, "right", "ce", 0.0)  # not asked: left answers ce first
    put(tmp_path, "right", "cp", 0.4)  # skill .25
    rows = rows_of(tmp_path)
    overall = {name: None if row.overall is None else round(row.overall.value, 9) for name, row in rows.items()}
    assert overall == {"BOTH": 0.625, "L + R": 0.575, "RIGHT": 0.625, "LEFT": None, "CEILING": 1.0, "ZERO": 0.0}
    assert {name: str(row.rank) for name, row in rows.items() if row.rank} == {
        "BOTH": "1–2",
        "RIGHT": "1–2",
    }, "a bundle is no method"
    assert rows["LEFT"].covered == 1


@pytest.mark.parametrize("bad", ["failed", "missing"])
def test_an_incomplete_cell_is_never_averaged_away(tmp_path: Path, bad: str) -> None:
    """Two good seeds of three give no score: what failed may have been the bad one."""
    put_run(tmp_path, ["net"])
    for seed in range(3):
        put(tmp_path, "net", "cp", 0.2, seed)
        if seed < 2:
            put(tmp_path, "net", "ce", 0.1, seed)
    if bad == "failed":
        put(tmp_path, "net", "ce", seed=2, error="RuntimeError: diverged")
    row = rows_of(tmp_path)["NET"]
    entry = row.entries["ce"]
    assert (entry.state, row.covered, row.overall, row.rank) == (
        "failed" if bad == "failed" else "not run",
        1,
        None,
        None,
    )
    assert entry.scores == {}
    assert entry.rank is None
    assert entry.detail == ("1 of 3 seeds: RuntimeError: diverged" if bad == "failed" else "2 of 3 seeds")
    assert row.entries["cp"].skill is not None


def test_no_floor_no_skill(tmp_path: Path) -> None:
    put_run(tmp_path, ["net"])
    put(tmp_path, "net", "ce", 0.1)
    put(tmp_path, "net", "cp", 0.2)
    put(tmp_path, "zero", "ce", error="RuntimeError: diverged")
    row = rows_of(tmp_path)["NET"]
    assert row.entries["ce"].skill is None
    assert row.entries["ce"].rank is not None
    assert (row.covered, row.overall) == (2, None)


def test_metrics_that_are_not_installed_keep_their_cells_numbers(tmp_path: Path) -> None:
    put_run(tmp_path, ["net"])
    put(tmp_path, "net", "ce", 0.1)
    path = next((tmp_path / "cells").glob("net__ce*.json"))
    path.write_text(path.read_text().replace('"nmse"', '"elsewhere_score"'))
    np.savez(path.with_suffix(".npz"), elsewhere_score=np.full((40, 1), 0.3))
    entry = rows_of(tmp_path)["NET"].entries["ce"]
    assert entry.scores["elsewhere_score"].value == 0.1
    assert entry.scores["elsewhere_score"].replicates is None


def test_replicates_are_of_whole_units(tmp_path: Path) -> None:
    """Four cases of each drop: they are drawn together, whoever's cell it is."""
    put_run(tmp_path, ["one", "two"])
    units = np.repeat(np.arange(60) + 2**40, 4)
    terms = {seed: draws(10 + seed, 60)[units - 2**40] for seed in range(2)}
    for anchor, value in (("zero", 1.0), ("ceiling", 0.0)):
        put(tmp_path, anchor, "ce", value, terms=np.full(240, value), units=units)
    put(tmp_path, "one", "ce", float(terms[0].mean()), terms=terms[0], units=units)
    for seed, values in terms.items():
        put(tmp_path, "two", "ce", float(values.mean()), seed, terms=values, units=units)
    rows = rows_of(tmp_path)
    stored = {seed: values.astype(np.float32).astype(np.float64)[:, None] for seed, values in terms.items()}
    one, two = (rows[name].entries["ce"].scores["nmse"] for name in ("ONE", "TWO"))
    assert one.replicates is not None
    assert two.replicates is not None
    of_units = {seed: resampled_scores(NMSE, values, units) for seed, values in stored.items()}
    np.testing.assert_array_equal(one.replicates, of_units[0])
    np.testing.assert_array_equal(two.replicates, (of_units[0] + of_units[1]) / 2)
    assert not np.allclose(one.replicates, resampled_scores(NMSE, stored[0]))
    scores = {seed: MetricScore(value=float(values.mean()), low=0, high=9) for seed, values in stored.items()}
    over_drops = estimate(scores, stored, NMSE, units)
    half = math.sqrt((over_drops.value - over_drops.low) ** 2 + 12.7062**2 * np.var(list(two.by_seed.values())))
    assert two.low == pytest.approx(two.value - half, rel=1e-5), "two seeds know their spread by one degree of freedom"
    plain = estimate(scores, stored, NMSE)
    assert over_drops.high - over_drops.low == pytest.approx(2 * (plain.high - plain.low), rel=0.2)


def test_numbers_as_text() -> None:
    assert [fixed(v, 2) for v in (0.125, -3.0, -0.001, math.nan)] == ["0.12", "−3.00", "0.00", "–"]
    assert [quantity(v) for v in (None, 0, 19.19e6, 1_170_000, 810, 0.0321, 88.04, 999.6)] == [
        *("–", "0", "19.2 M", "1.17 M", "810", "0.0321", "88.0", "1000"),
    ]
    spread = [Estimate(value=1, low=1 - w, high=1 + w) for w in (0.003, 0.02, 0.3)]
    assert decimals(spread) == 4
    assert interval(spread[1], 2) == "0.98–1.02"
    assert interval(Estimate(value=-1, low=-2, high=1), 1) == "−2.0 – 1.0"
    assert interval(spread[0], 1) == ""


def test_ticks() -> None:
    assert ticks(0, 1, log=False) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert ticks(0.009, 1.1, log=True) == pytest.approx([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1])
    assert ticks(1e-4, 10, log=True) == pytest.approx([1e-4, 1e-3, 1e-2, 0.1, 1, 10])


def test_positions_on_a_logarithmic_axis(tmp_path: Path) -> None:
    """Equal ratios are equal distances, and a ceiling of 0 is said but not drawn."""
    put_run(tmp_path, ["a", "b", "c"])
    for method, value in (("a", 0.01), ("b", 0.1), ("c", 0.5)):
        put(tmp_path, method, "ce", value)
    (table,) = build(tmp_path).tables
    figure = draw(table.columns[0], table.rows)
    assert figure is not None
    assert figure.log
    assert [point.title for point in figure.points] == ["A", "B", "C"]
    at = [float(point.x.rstrip("%")) for point in figure.points]
    lines = {line.kind: line for line in figure.lines}
    assert not lines["ceiling"].drawn
    assert float(lines["floor"].x.rstrip("%")) - at[1] == pytest.approx(at[1] - at[0], abs=0.02)
    assert at[2] - at[1] == pytest.approx((at[1] - at[0]) * math.log10(5), abs=0.02)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_text_is_a_formula_in_a_spreadsheet(tmp_path: Path, text: str) -> None:
    put_run(tmp_path, ["a"])
    put(tmp_path, "a", "ce", error=text)
    put(tmp_path, "a", "cp", -3.0)
    table = report(tmp_path)[0]
    assert f"'{text}".encode() in table.read_bytes()
    frame = pd.read_csv(table)
    assert frame[(frame.method == "a") & (frame.task == "cp")].value.item() == -3, "numbers stay numbers"
