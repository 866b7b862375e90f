"""Intervals, skill and ranks against numbers worked out by hand and against SciPy."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from results_by_hand import NMSE, Terms, draws
from scipy import stats

from channelbench import registry
from channelbench.leaderboard.estimate import Estimate, average, difference_interval, estimate
from channelbench.leaderboard.numbers import fixed
from channelbench.leaderboard.ranking import overall_order, share_ranks, skill
from channelbench.results import MetricScore


def exact(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value, by_seed={0: value}, replicates=np.full(1000, value))


def scored(terms: Mapping[int, Terms]) -> Estimate:
    scores = {seed: MetricScore(value=float(t.mean()), low=-1.0, high=9.0) for seed, t in terms.items()}
    return estimate(scores, {seed: t[:, None] for seed, t in terms.items()}, NMSE)


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
