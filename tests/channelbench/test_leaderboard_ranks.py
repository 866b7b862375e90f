"""Ranks as intervals, and what a row of few seeds may claim: rules, and numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from results_by_hand import NMSE, Terms, draws
from scipy import stats

from channelbench.leaderboard.estimate import Estimate, Spread, average, estimate
from channelbench.leaderboard.ranking import Rank, rank_intervals
from channelbench.leaderboard.simultaneous import adjusted_p_values
from channelbench.leaderboard.spread import is_learned, of_mean, spreads, widened
from channelbench.results import MetricScore


def scored(terms: Terms | Mapping[int, Terms], *, learned: bool = False) -> Estimate:
    """A score of one formula, or of a network's seeds."""
    of = terms if isinstance(terms, Mapping) else {0: terms}
    scores = {
        seed: MetricScore(value=float(t.mean()), low=float(t.mean()) - 0.1, high=float(t.mean()) + 0.1)
        for seed, t in of.items()
    }
    given = {seed: t[:, None] for seed, t in of.items()}
    return estimate(scores, given, NMSE, learned=learned, ranked=True)


def trained(terms: Terms, *shifts: float) -> Estimate:
    """A network whose seeds have the same drops, each moved as a whole."""
    return scored({seed: terms + shift for seed, shift in enumerate(shifts)}, learned=True)


def ranks(given: Mapping[str, Estimate], higher: bool = False, trivial: float | None = None) -> dict[str, str]:
    found = rank_intervals(given, dict.fromkeys(given, "small"), higher_is_better=higher, trivial=trivial)
    return {name: str(rank) for name, rank in found.items()}


# --- rules -----------------------------------------------------------------------------------------------------------


def test_a_rank_is_from_those_that_are_better_to_all_but_those_that_are_worse() -> None:
    """Against the p-values of the pairs, in a column where who ties with whom is no chain."""
    noise = np.random.default_rng(8).standard_normal((8, 1000))
    rows = {f"r{i}": scored(1 + 0.04 * i + 0.5 * n) for i, n in enumerate(noise)}
    p = adjusted_p_values(rows, dict.fromkeys(rows, "classical"))
    values = np.array([e.value for e in rows.values()])
    found = rank_intervals(rows, dict.fromkeys(rows, "classical"), higher_is_better=False)
    assert len({str(rank) for rank in found.values()}) > 3
    for i, name in enumerate(rows):
        better = sum(p[i, j] <= 0.05 and values[j] < values[i] for j in range(8))
        worse = sum(p[i, j] <= 0.05 and values[j] > values[i] for j in range(8))
        assert found[name] == Rank(1 + better, 8 - worse)


def test_the_order_of_rows_changes_nothing() -> None:
    rows = {f"r{i}": trained(draws(i, 100) * (1 + 0.1 * i), 0.0, 0.05, -0.05) for i in range(6)}
    backwards = dict(reversed(rows.items()))
    assert ranks(rows) == ranks(backwards)
    assert ranks({name: e.affine(-1, 3) for name, e in rows.items()}, higher=True) == ranks(rows)


@pytest.mark.parametrize("seeds", [(), (0.0,), (0.0, 0.1, -0.1)])
def test_identical_terms_are_ties(seeds: tuple[float, ...]) -> None:
    base = draws(4, 200)
    same = [trained(base, *seeds) if seeds else scored(base) for _ in range(2)]
    rows = {"b": same[0], "a": same[1], "c": trained(base + 5, 0.0, 0.1), "d": scored(base - 9)}
    assert ranks(rows) == {"d": "1", "a": "2–3", "b": "2–3", "c": "4"}


def test_what_differs_by_rounding_alone_is_a_tie() -> None:
    base = draws(4, 200)
    other = scored(base[::-1].cumsum()[::-1] - np.r_[base[::-1].cumsum()[::-1][1:], 0.0])
    assert ranks({"a": scored(base), "b": other}) == {"a": "1–2", "b": "1–2"}


def test_pairing_tells_apart_what_intervals_alone_cannot() -> None:
    """A drop-by-drop advantage of 2 % is far below the spread over drops, and certain."""
    base = draws(5, 300)
    a, b = scored(base), scored(1.02 * base)
    spread = np.ptp(np.percentile(a.replicates, [2.5, 97.5]))  # type: ignore[arg-type]
    assert b.value - a.value < spread / 3
    assert ranks({"a": a, "b": b}) == {"a": "1", "b": "2"}


def test_a_constant_difference_is_certain_and_infinite_scores_differ() -> None:
    base = draws(6, 100)
    assert ranks({"a": scored(base), "b": scored(base + 0.01)}) == {"a": "1", "b": "2"}
    nothing = Estimate(value=-math.inf, low=-math.inf, high=-math.inf)
    lost = Estimate(value=math.nan, low=math.nan, high=math.nan)
    given = {"a": scored(base), "exact": nothing, "as exact": nothing, "lost": lost}
    assert ranks(given) == {"exact": "1–2", "as exact": "1–2", "a": "3"}
    assert ranks({}) == {}
    assert ranks({"alone": scored(base)}) == {"alone": "1"}


def test_without_terms_the_cells_intervals_are_taken_as_independent_and_normal() -> None:
    def plain(value: float, half: float = 0.1) -> Estimate:
        return Estimate(value=value, low=value - half, high=value + half)

    # Two rows: 1.96·√2·0.1/1.96 = 0.141 apart is the bound.
    assert ranks({"a": plain(1.0), "b": plain(1.13)}) == {"a": "1–2", "b": "1–2"}
    assert ranks({"a": plain(1.0), "b": plain(1.16)}) == {"a": "1", "b": "2"}
    assert ranks({"a": plain(1.0, 0.0), "b": plain(1.0001, 0.0)}) == {"a": "1", "b": "2"}


def test_one_drop_tells_nothing_apart() -> None:
    assert ranks({"a": scored(np.array([0.1])), "b": scored(np.array([9.0]))}) == {"a": "1–2", "b": "1–2"}
    assert ranks({"a": scored(np.array([0.1, 0.2])), "b": scored(np.array([9.0, 1.0]))})["a"] == "1–2"


def test_worse_than_trivial_is_never_first() -> None:
    base = draws(7, 200)
    rows = {"a": scored(base + 1), "b": scored(base + 2), "c": scored(base + 3)}
    assert ranks(rows, trivial=10.0) == {"a": "1", "b": "2", "c": "3"}
    assert ranks(rows, trivial=2.5) == {"a": "1", "b": "2", "c": "3"}
    assert ranks(rows, trivial=0.5) == {"a": "2", "b": "2", "c": "3"}
    assert ranks({"a": rows["a"]}, trivial=0.5) == {"a": "2"}
    noisy = {name: scored(draws(9 + i, 200)) for i, name in enumerate("abcd")}
    assert set(ranks(noisy, trivial=0.1).values()) == {"2–4"}
    assert set(ranks({n: e.affine(-1, 0) for n, e in noisy.items()}, higher=True, trivial=-0.1).values()) == {"2–4"}


# --- seeds -----------------------------------------------------------------------------------------------------------


def test_one_seed_does_not_beat_rows_whose_seeds_lie_further_apart_than_it_does() -> None:
    """Drops are all alike; other rows' seeds lie .1 apart; the one is .1 better, which is luck."""
    base = draws(10, 300)
    rows = {f"r{i}": trained(base, -0.1, 0.0, 0.1) for i in range(4)} | {"one": trained(base, -0.1)}
    assert ranks(rows)["one"] == "1–5"
    formula = rows | {"one": scored(base - 0.5)}
    assert ranks(rows | {"one": trained(base, -0.25)})["one"] == "1–5", "2.5 deviations of one seed, best of five"
    assert ranks(formula)["one"] == "1", "a formula is as it is"


def test_unknown_spread_has_no_rank_and_changes_nobody_elses() -> None:
    base = draws(11, 300)
    known = {"a": scored(base), "b": scored(1.1 * base), "c": scored(draws(12, 300))}
    alone = known | {"net": trained(0.5 * base, 0.0), "other": trained(0.4 * base, 0.0)}
    assert ranks(alone) == ranks(known)
    lent = alone | {"two": trained(base, 0.0, 0.01)}
    assert set(ranks(lent)) == set(lent)


@pytest.mark.parametrize("lent", [2, 6])
def test_a_row_of_one_seed_is_never_narrower_than_one_of_three(lent: int) -> None:
    """On the same drops, whatever the seeds of the lenders are, as long as no row scatters much more than the pool."""
    for draw in range(20):
        rng, base = np.random.default_rng(draw), draws(draw, 150)
        rows = {f"r{i}": trained(base, *(0.1 * rng.standard_normal(3))) for i in range(lent)}
        rows["one"] = trained(base, 0.0)
        half = (rows["r0"].high - rows["r0"].low) / 2  # one seed's interval is its cell's
        rows["one"] = replace(rows["one"], low=rows["one"].value - half, high=rows["one"].value + half)
        shown = widened(rows, dict.fromkeys(rows, "small"))
        widths = {name: e.high - e.low for name, e in shown.items()}
        spread = {name: e.spread.variance for name, e in shown.items() if e.spread is not None}
        for name in rows.keys() - {"one"}:
            if spread[name] <= 3 * spread["one"]:
                assert widths["one"] >= widths[name] * (1 - 1e-9)


def test_spread_is_pooled_by_hand_and_over_the_same_family_first() -> None:
    """Variances .01 (3 seeds) and .04 (2 seeds) of one family pool to (2·.01 + 1·.04)/3 = .02, with 3 degrees."""
    base = draws(13, 50)
    a, b = trained(base, -0.1, 0.0, 0.1), trained(base, 0.0, math.sqrt(0.08))
    llm = trained(base, 0.0, math.sqrt(2.0))
    rows = {"a": a, "b": b, "llm": llm, "small one": trained(base, 0.0), "llm one": trained(base, 0.0)}
    rows |= {"other one": trained(base, 0.0), "formula": scored(base)}
    families = {"a": "small", "b": "small", "small one": "small", "llm": "llm", "llm one": "llm"}
    families |= {"other one": "multi-task", "formula": "classical"}
    found = spreads(rows, families)
    assert set(found) == set(rows) - {"formula"}
    assert (found["small one"].variance, found["small one"].freedom) == (pytest.approx(0.02), 3)
    assert (found["a"].variance, found["a"].freedom) == (pytest.approx(0.02), 3), "less than its family: the family's"
    assert found["b"].variance == pytest.approx(0.04), "more than its family: its own"
    assert (found["llm one"].variance, found["llm one"].freedom) == (pytest.approx(1.0), 1)
    assert (found["llm"].pooled, found["llm one"].pooled) == (False, True)
    of_all = (2 * 0.01 + 1 * 0.04 + 1 * 1.0) / 4
    assert (found["other one"].variance, found["other one"].freedom) == (pytest.approx(of_all), 4)
    shown = widened(rows, families)["small one"]
    half = stats.t.ppf(0.975, 3) * math.sqrt(0.02)
    assert shown.value - shown.low == pytest.approx(math.hypot(0.1, half), rel=1e-6)
    assert widened({"one": rows["small one"]}, families)["one"].spread_unknown


def test_of_an_unknown_family_another_seed_may_be_another_training() -> None:
    assert is_learned("small", 1)
    assert is_learned("from tomorrow", 1)
    assert is_learned("classical", 2)
    assert not is_learned("classical", 1)
    assert not is_learned("floor", 1)


def test_the_spread_of_a_mean_is_that_of_its_seeds_or_at_most_what_its_parts_allow() -> None:
    base = draws(14, 50)
    raw = {"ce": trained(base, -0.1, 0.0, 0.1), "cp": trained(base, -0.2, 0.0, 0.2), "pf": scored(base)}
    parts = list(widened(raw, {"ce": "small", "cp": "llm", "pf": "classical"}).values())
    found = of_mean(average(parts), parts)
    assert found is not None
    assert (found.variance, found.freedom) == (pytest.approx(0.01), 2), "the seeds of one fit move together"
    lone = [trained(base, 0.0).widened(Spread(variance=v, freedom=f)) for v, f in ((0.01, 4), (0.09, 2))]
    borrowed = of_mean(average([*lone, parts[2], parts[2]]), [*lone, parts[2], parts[2]])
    assert borrowed is not None
    assert math.sqrt(borrowed.variance) == pytest.approx((0.1 + 0.3) / 4)
    assert (borrowed.freedom, borrowed.pooled) == (2, True)
    unknown = [trained(base, 0.0), parts[2]]
    assert of_mean(average(unknown), unknown) is None
    assert of_mean(average(parts[2:]), parts[2:]) is None


def test_what_each_training_errs_by_itself_is_counted_once() -> None:
    """Seeds that err on drops of their own lie apart, by what the drops explain: a difference of 3.4 standard errors
    over drops is one."""
    rng = np.random.default_rng(15)
    apart = {seed: 1 + rng.standard_normal(900) for seed in range(4)}
    net = scored(apart, learned=True)
    error = np.mean(list(apart.values()), axis=0).std(ddof=1) / 30
    below = scored(np.full(900, net.value - 3.4 * error))
    assert ranks({"net": net, "formula": below}) == {"net": "2", "formula": "1"}
