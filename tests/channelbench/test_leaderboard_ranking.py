"""Arithmetic of the leaderboard against numbers worked out by hand and against SciPy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from channelbench import registry
from channelbench.bootstrap import resampled_scores
from channelbench.leaderboard import report
from channelbench.leaderboard.board import Row, build
from channelbench.leaderboard.catalogue import observed
from channelbench.leaderboard.estimate import Estimate, average, difference_interval, estimate
from channelbench.leaderboard.figures import draw
from channelbench.leaderboard.labels import condition_title
from channelbench.leaderboard.numbers import decimals, fixed, interval, quantity, ticks
from channelbench.leaderboard.ranking import overall_order, share_ranks, skill
from channelbench.results import DatasetCard, MetricScore, Result, RunManifest, VariedEntry, write_cell
from channelbench.tasks.link.conditions import CombConditions, LinkConditions, PilotConditions, SlotConditions

NMSE = registry.create("metrics", "nmse")
Terms = NDArray[np.float64]


def exact(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value, by_seed={0: value}, replicates=np.full(1000, value))


def scored(terms: Mapping[int, Terms]) -> Estimate:
    scores = {seed: MetricScore(value=float(t.mean()), low=-1.0, high=9.0) for seed, t in terms.items()}
    return estimate(scores, {seed: t[:, None] for seed, t in terms.items()}, NMSE)


def draws(seed: int, drops: int = 2000) -> Terms:
    return np.random.default_rng(seed).gamma(2.0, 0.5, drops)


# --- intervals -------------------------------------------------------------------------------------------------------


def test_one_seed_keeps_the_interval_of_its_cell() -> None:
    one = scored({0: draws(0)})
    assert (one.low, one.high) == (-1.0, 9.0)


def test_two_seeds_are_averaged_and_only_the_drops_are_resampled() -> None:
    """By the central limit theorem the bootstrap of a mean is the mean ± 1.96 standard errors."""
    a, b = draws(1), draws(2)
    both = scored({0: a, 1: b})
    mean = (a + b) / 2
    error = mean.std(ddof=1) / math.sqrt(len(mean))
    assert both.value == pytest.approx(mean.mean())
    assert both.low == pytest.approx(mean.mean() - 1.96 * error, abs=0.2 * error)
    assert both.high == pytest.approx(mean.mean() + 1.96 * error, abs=0.2 * error)


def test_three_seeds_widen_the_interval_by_the_t_interval_of_their_mean() -> None:
    """Drops that are all alike leave the seeds' own interval, which SciPy knows."""
    values = [0.10, 0.13, 0.12]
    seeds = scored({seed: np.full(50, value) for seed, value in enumerate(values)})
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (seeds.low, seeds.high) == pytest.approx((low, high))


def test_drops_and_seeds_add_in_squares() -> None:
    base = draws(3)
    three = scored({0: base - 0.1, 1: base, 2: base + 0.1})
    drops = np.sort(three.replicates)  # type: ignore[arg-type]
    by_drops = three.value - drops[25]
    by_seeds = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    assert three.value - three.low == pytest.approx(math.hypot(by_drops, by_seeds), rel=1e-6)


def test_difference_of_seed_means_is_welchs() -> None:
    a, b = [0.10, 0.13, 0.12, 0.11], [0.20, 0.28, 0.25]
    low, high = difference_interval(
        scored({i: np.full(9, v) for i, v in enumerate(a)}), scored({i: np.full(9, v) for i, v in enumerate(b)})
    )
    reference = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (low, high) == pytest.approx((reference.low, reference.high), rel=1e-6)


def test_infinite_scores_stay_infinite_and_warn_nobody() -> None:
    decibel = registry.create("metrics", "nmse_db")
    lost = MetricScore(value=-math.inf, low=-math.inf, high=-math.inf)
    both = estimate({0: lost, 1: lost}, {0: np.zeros((9, 1)), 1: np.zeros((9, 1))}, decibel)
    assert both.value == -math.inf
    assert fixed(both.value, 2) == "−∞"


# --- skill and ranks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("floor", "ceiling", "score", "expected"),
    [
        (1.0, 0.0, 0.1, 0.9),
        (1.0, 0.0909, 0.1, 0.9 / 0.9091),
        (0.02, 1.0, 0.51, 0.5),
        (96.0, 0.0, 120.0, -0.25),
        (1.0, 0.0, 0.0, 1.0),
    ],
)
def test_skill(floor: float, ceiling: float, score: float, expected: float) -> None:
    given = Estimate(value=score, low=score - 0.01, high=score + 0.02, by_seed={0: score})
    worth = skill(given, exact(floor), exact(ceiling))
    assert worth.value == pytest.approx(expected)
    assert worth.by_seed[0] == pytest.approx(expected)
    assert worth.low < worth.value < worth.high
    assert worth.high - worth.low == pytest.approx(0.03 / abs(floor - ceiling))


def test_equal_terms_share_a_rank_and_the_next_place_is_skipped() -> None:
    base = draws(4)
    ranks = share_ranks(
        {"b": scored({0: base}), "a": scored({0: base}), "c": scored({0: 1.5 * base})}, higher_is_better=False
    )
    assert {name: str(rank) for name, rank in ranks.items()} == {"a": "1=", "b": "1=", "c": "3"}


def test_pairing_tells_apart_what_intervals_alone_cannot() -> None:
    """A drop-by-drop advantage of 2 % is far below the spread over drops, and certain."""
    base = draws(5, 300)
    a, b = scored({0: base}), scored({0: 1.02 * base})
    spread = np.ptp(np.percentile(a.replicates, [2.5, 97.5]))  # type: ignore[arg-type]
    assert b.value - a.value < spread / 3
    assert [str(r) for r in share_ranks({"a": a, "b": b}, higher_is_better=False).values()] == ["1", "2"]


def test_equals_are_told_apart_one_time_in_twenty() -> None:
    """Pairs of independent draws from one law: the 95 % interval of their difference misses 0 in 5 % of them."""
    pairs = [(scored({0: draws(2 * i, 400)}), scored({0: draws(2 * i + 1, 400)})) for i in range(300)]
    apart = sum(
        not share_ranks(dict(zip("ab", pair, strict=True)), higher_is_better=False)["a"].shared for pair in pairs
    )
    # Binomial(300, 0.05) stays within these bounds in all but one of 10^4 runs.
    assert stats.binom.ppf(5e-5, 300, 0.05) <= apart <= stats.binom.ppf(1 - 5e-5, 300, 0.05)


def test_groups_hang_on_their_leader_not_on_their_neighbour() -> None:
    """b ties with a and c ties with b, but c does not tie with a: c opens the next group."""
    noise = np.random.default_rng(8).standard_normal((3, 1000))
    noise -= noise.mean(axis=1, keepdims=True)
    a, b, c = (scored({0: 1 + 0.05 * i + 0.7 * n}) for i, n in enumerate(noise))
    for tied in ((a, b), (b, c)):
        low, high = difference_interval(*tied)
        assert low <= 0 <= high
    low, high = difference_interval(a, c)
    assert high < 0
    ranks = share_ranks({"a": a, "b": b, "c": c}, higher_is_better=False)
    assert {name: str(rank) for name, rank in ranks.items()} == {"a": "1=", "b": "1=", "c": "3"}


def test_direction_of_better() -> None:
    given = {"low": exact(0.2), "high": exact(0.8)}
    assert share_ranks(given, higher_is_better=True)["high"].place == 1
    assert share_ranks(given, higher_is_better=False)["low"].place == 1


def test_without_terms_overlapping_intervals_share() -> None:
    def plain(value: float) -> Estimate:
        return Estimate(value=value, low=value - 0.1, high=value + 0.1)

    ranks = share_ranks({"a": plain(1.0), "b": plain(1.15), "c": plain(1.25)}, higher_is_better=False)
    assert [str(rank) for rank in ranks.values()] == ["1=", "1=", "3"]


def test_average_pairs_seeds_and_spreads_single_ones() -> None:
    joint = average([scored({0: np.full(5, 0.2), 1: np.full(5, 0.4)}), exact(0.9)])
    assert joint.value == pytest.approx(0.6)
    assert joint.by_seed == pytest.approx({0: 0.55, 1: 0.65})


def test_incomplete_rows_follow_by_coverage() -> None:
    rows = [("a", None, 2), ("b", exact(0.1), 6), ("c", None, 5), ("d", exact(0.7), 6)]
    assert overall_order(rows) == ["d", "b", "c", "a"]


# --- a folder --------------------------------------------------------------------------------------------------------

FAMILY = {"zero": "floor", "ceiling": "ceiling"}


def put(
    folder: Path,
    method: str,
    task: str,
    value: float | None,
    seed: int = 0,
    conditions: Mapping[str, Any] | None = None,
    terms: Terms | None = None,
    units: NDArray[np.int64] | None = None,
) -> None:
    ok = value is not None
    result = Result(
        method=method,
        title=method.upper(),
        family=FAMILY.get(method, "small"),
        reference="a paper",
        task=task,
        primary_metric="nmse",
        conditions=conditions or {},
        seed=seed,
        preset="quick",
        status="ok" if ok else "failed",
        error="" if ok else "RuntimeError: diverged",
        scores={"nmse": MetricScore(value=value, low=value, high=value)} if value is not None else {},
        num_test=40,
        train_digest="",
        test_digest="",
    )
    if terms is None and value is not None:
        terms = np.full(40, value)
    write_cell(folder, result, {"nmse": terms[:, None]} if terms is not None else {}, units)


def put_run(
    folder: Path,
    methods: Sequence[str],
    bundles: Mapping[str, tuple[str, ...]] | None = None,
    conditions: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    card = DatasetCard(digest="d", spec={"scenario": "uma"}, seed=0)
    run = RunManifest(
        suite="s",
        preset="quick",
        dataset=card,
        tasks=("ce", "cp"),
        conditions={
            label: VariedEntry(cells=cells, tasks=tuple(task for task, own in cells.items() if own == label))
            for label, cells in (conditions or {}).items()
        },
        methods=tuple(methods),
        bundles=bundles or {},
    )
    (folder / "run.json").write_text(run.model_dump_json())
    put_anchors(folder, "ce", {})
    put_anchors(folder, "cp", {})


def put_anchors(folder: Path, task: str, conditions: Mapping[str, Any]) -> None:
    floor, ceiling = {"ce": (1.0, 0.0), "cp": (0.5, 0.1)}[task]
    put(folder, "zero", task, floor, conditions=conditions)
    put(folder, "ceiling", task, ceiling, conditions=conditions)


def rows_of(folder: Path) -> dict[str, Row]:
    (table,) = build(folder).tables
    return {row.title: row for row in table.rows}


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
        "BOTH": "1=",
        "RIGHT": "1=",
        "L + R": "3",
    }
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
        put(tmp_path, "net", "ce", None, 2)
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
    put(tmp_path, "zero", "ce", None)
    row = rows_of(tmp_path)["NET"]
    assert row.entries["ce"].skill is None
    assert row.entries["ce"].rank is not None
    assert (row.covered, row.overall) == (2, None)


def test_metrics_that_are_not_installed_keep_their_cells_numbers(tmp_path: Path) -> None:
    put_run(tmp_path, ["net"])
    put(tmp_path, "net", "ce", 0.1)
    path = next((tmp_path / "cells").glob("net__ce*.json"))
    path.write_text(path.read_text().replace('"nmse"', '"elsewhere_score"'))
    entry = rows_of(tmp_path)["NET"].entries["ce"]
    assert entry.scores["elsewhere_score"].value == 0.1
    assert entry.scores["elsewhere_score"].replicates is None


THIRD_PARTY = """
import numpy as np
from channelbench.card import Card
from channelbench.contracts import Metric


class Power(Metric):
    def __init__(self, exponent):
        self.exponent = exponent

    @property
    def card(self):
        return Card(name=f"power_{self.exponent}", description="A power.", reference="none", family="metric")

    @property
    def parameters(self):
        return {"exponent": self.exponent}

    def accumulate(self, prediction, target):
        return np.abs(prediction - target.value)[:, None]

    def finalize(self, mean_terms):
        return mean_terms[..., 0] ** self.exponent
"""


def put_foreign(folder: Path, method: str, terms: Terms, metric: str, parameters: Mapping[str, Any]) -> None:
    """A cell of CE whose primary metric is a third party's."""
    value = float(terms.mean() ** 3)
    result = Result(
        method=method,
        title=method.upper(),
        family=FAMILY.get(method, "small"),
        reference="a paper",
        task="ce",
        primary_metric="power_3",
        seed=0,
        preset="quick",
        status="ok",
        scores={
            "power_3": MetricScore(value=value, low=0.9 * value, high=1.1 * value, metric=metric, parameters=parameters)
        },
        num_test=len(terms),
        train_digest="",
        test_digest="",
    )
    write_cell(folder, result, {"power_3": terms[:, None]})


def test_metrics_from_elsewhere_are_found_by_their_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an entry point: an advantage of 2 %, drop by drop, is seen as the certain one that it is."""
    module = f"metrics_from_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(THIRD_PARTY)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "results"
    folder.mkdir()
    put_run(folder, ["a", "b"])
    base = draws(6, 300)
    for method, factor in (("a", 1.0), ("b", 1.02), ("zero", 9.0), ("ceiling", 0.0)):
        put_foreign(folder, method, factor * base, f"{module}:Power", {"exponent": 3})
    rows = rows_of(folder)
    entries = {name: rows[name].entries["ce"] for name in ("A", "B")}
    for name, factor in (("A", 1.0), ("B", 1.02)):
        found = entries[name].scores["power_3"].replicates
        assert found is not None
        stored = (factor * base).astype(np.float32).astype(np.float64)[:, None]
        np.testing.assert_allclose(found, resampled_scores(NMSE, stored) ** 3, rtol=1e-12)
    assert [str(entries[name].rank) for name in ("A", "B")] == ["1", "2"]
    assert entries["B"].scores["power_3"].low < entries["A"].scores["power_3"].high, "which intervals alone do not tell"


@pytest.mark.parametrize(
    ("metric", "parameters"),
    [
        ("no_such_module_anywhere:Power", {"exponent": 3}),
        ("channelbench.metrics.channel:Power", {"exponent": 3}),
        ("channelbench.metrics.channel:NMSE", {"exponent": 3}),
        ("channelbench.results:Result", {}),
        ("", {}),
    ],
)
def test_metrics_that_cannot_be_imported_are_shown_still(
    tmp_path: Path, metric: str, parameters: Mapping[str, Any]
) -> None:
    put_run(tmp_path, ["a", "b"])
    base = draws(7, 300)
    for method, factor in (("a", 1.0), ("b", 1.02), ("zero", 9.0), ("ceiling", 0.0)):
        put_foreign(tmp_path, method, factor * base, metric, parameters)
    rows = rows_of(tmp_path)
    for name, factor in (("A", 1.0), ("B", 1.02)):
        entry = rows[name].entries["ce"]
        score = entry.scores["power_3"]
        assert entry.state == "ok"
        assert score.value == float((factor * base).mean() ** 3)
        assert (score.low, score.high) == (0.9 * score.value, 1.1 * score.value)
        assert score.replicates is None
        assert str(entry.rank) == "1="
        assert entry.skill is not None
    csv, html = report(tmp_path)
    shown = pd.read_csv(csv).query("metric == 'power_3' and method == 'a'")
    assert list(shown.value) == [rows["A"].entries["ce"].scores["power_3"].value]
    assert "power 3" in html.read_text()


def test_replicates_are_of_whole_units(tmp_path: Path) -> None:
    """Four cases of each drop: they are drawn together, whoever's cell it is."""
    put_run(tmp_path, ["one", "two"])
    units = np.repeat(np.arange(60) + 2**40, 4)
    terms = {seed: draws(10 + seed, 60)[units - 2**40] for seed in range(2)}
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
    assert estimate(scores, stored, NMSE, units).low == two.low
    plain = estimate(scores, stored, NMSE)
    assert two.high - two.low == pytest.approx(2 * (plain.high - plain.low), rel=0.2)


# --- conditions that not every task has -------------------------------------------------------------------------------

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
        ({"a": "1=", "b": "1=", "bundle:A + B": "1="}, {"b": "1", "a": "2=", "bundle:A + B": "2="}),
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
    put(tmp_path, "a", "ce", None)
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
    assert heads.index(remark) < heads.index(">CE<") < heads.index("at its own conditions ·")
    # One sentence of what is observed, of the tasks that the table is about.
    sentence = pilots[: pilots.index("<table")].split('<p class="lead">')[1].split("</p>")[0]
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
    assert indexed.loc[("b", "cp", PILOTS)].overall_rank == 1
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


# --- numbers and pictures --------------------------------------------------------------------------------------------


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
