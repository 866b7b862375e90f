"""Intervals and skill against numbers worked out by hand and against SciPy."""

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
from channelbench.leaderboard.ranking import overall_order, skill
from channelbench.leaderboard.spread import widened
from channelbench.results import MetricScore


def exact(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value, by_seed={0: value}, replicates=np.full(1000, value))


def scored(terms: Mapping[int, Terms]) -> Estimate:
    scores = {seed: MetricScore(value=float(t.mean()), low=-1.0, high=9.0) for seed, t in terms.items()}
    given = {seed: t[:, None] for seed, t in terms.items()}
    return estimate(scores, given, NMSE, learned=True, ranked=True)


def shown(terms: Mapping[int, Terms]) -> Estimate:
    """With the spread between its own seeds."""
    return widened({"net": scored(terms)}, {"net": "small"})["net"]


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
    seeds = shown({seed: np.full(50, value) for seed, value in enumerate(values)})
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (seeds.low, seeds.high) == pytest.approx((low, high))


def test_drops_and_seeds_add_in_squares() -> None:
    base = draws(3)
    three = shown({0: base - 0.1, 1: base, 2: base + 0.1})
    drops = np.sort(three.replicates)  # type: ignore[arg-type]
    by_drops = three.value - drops[25]
    by_seeds = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    assert three.value - three.low == pytest.approx(math.hypot(by_drops, by_seeds), rel=1e-6)


def test_difference_of_seed_means_is_welchs() -> None:
    a, b = [0.10, 0.13, 0.12, 0.11], [0.20, 0.28, 0.25]
    low, high = difference_interval(
        shown({i: np.full(9, v) for i, v in enumerate(a)}), shown({i: np.full(9, v) for i, v in enumerate(b)})
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


def test_average_pairs_seeds_and_spreads_single_ones() -> None:
    joint = average([scored({0: np.full(5, 0.2), 1: np.full(5, 0.4)}), exact(0.9)])
    assert joint.value == pytest.approx(0.6)
    assert joint.by_seed == pytest.approx({0: 0.55, 1: 0.65})


def test_incomplete_rows_follow_by_coverage() -> None:
    rows = [("a", None, 2), ("b", exact(0.1), 6), ("c", None, 5), ("d", exact(0.7), 6)]
    assert overall_order(rows) == ["d", "b", "c", "a"]
