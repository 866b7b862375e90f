"""Estimates, ranks and numbers as text: every branch on values that anybody can check with a pencil."""

from __future__ import annotations

import math

import numpy as np
import pytest

from channelbench.leaderboard.estimate import Errors, Estimate, Spread, average, difference_interval, estimate
from channelbench.leaderboard.numbers import decimals, fixed, frequency, interval, quantity, ticks
from channelbench.leaderboard.ranking import Rank, anchors_usable, best, skill
from channelbench.results import MetricScore

STEPS = np.arange(1000.0)
"""Replicates whose 2.5 and 97.5 % points are plain: of 1,000, 25 lie below the one and 25 above the other."""


def plain(value: float, low: float = math.nan, high: float = math.nan, **fields: object) -> Estimate:
    return Estimate(value=value, low=low, high=high, by_seed={0: value}, **fields)  # type: ignore[arg-type]


def of_seeds(*values: float, replicates: np.ndarray | None = None) -> Estimate:
    mean = sum(values) / len(values)
    by_seed = dict(enumerate(values))
    return Estimate(value=mean, low=mean, high=mean, by_seed=by_seed, replicates=replicates, seeds=len(values))


# --- estimates --------------------------------------------------------------------------------------------------------


def test_affine_moves_everything_and_turns_intervals_around() -> None:
    given = Estimate(
        value=3.0,
        low=2.0,
        high=5.0,
        by_seed={4: 1.0, 9: 5.0},
        replicates=np.array([2.0, 4.0]),
        errors=Errors(draws=np.array([1.0, -1.0]), by_seed={4: np.array([2.0, -2.0]), 9: np.zeros(2)}, units=7),
        seeds=2,
        spread=Spread(variance=8.0, freedom=1),
    )
    turned = given.affine(-2.0, 10.0)
    assert turned.errors is not None
    np.testing.assert_array_equal(turned.errors.draws, [-2.0, 2.0])
    np.testing.assert_array_equal(turned.errors.by_seed[4], [-4.0, 4.0])
    assert (turned.errors.units, turned.seeds, turned.spread) == (7, 2, Spread(variance=32.0, freedom=1))
    assert (turned.value, turned.low, turned.high) == (4.0, 0.0, 6.0)
    assert turned.by_seed == {4: 8.0, 9: 0.0}
    np.testing.assert_array_equal(turned.replicates, [6.0, 2.0])
    assert plain(1.0, 0.0, 2.0).affine(1.0, 1.0).replicates is None


def test_skill_moves_the_replicates_too() -> None:
    worth = skill(plain(0.2, 0.1, 0.4, replicates=np.array([0.1, 0.5])), plain(0.5), plain(0.1))
    assert worth.value == pytest.approx(0.75)
    assert (worth.low, worth.high) == pytest.approx((0.25, 1.0))
    np.testing.assert_allclose(worth.replicates, [1.0, 0.0], atol=1e-15)


def test_bounds_are_order_statistics() -> None:
    assert difference_interval(plain(500.0, replicates=STEPS), plain(0.0, replicates=np.zeros(1000))) == (25.0, 974.0)
    shuffled = np.random.default_rng(0).permutation(STEPS)
    assert difference_interval(plain(500.0, replicates=shuffled), plain(0.0, replicates=np.zeros(1000))) == (25, 974)
    few = plain(10.0, replicates=np.arange(20.0))  # less than half a draw in each tail
    assert difference_interval(few, plain(0.0, replicates=np.zeros(20))) == (0.0, 19.0)
    more = plain(10.0, replicates=np.arange(24.0))
    assert difference_interval(more, plain(0.0, replicates=np.zeros(24))) == (1.0, 22.0)


def test_differences_are_paired_draw_by_draw() -> None:
    a, b = plain(7.0, replicates=STEPS + 7), plain(0.0, replicates=STEPS)
    assert difference_interval(a, b) == (7.0, 7.0)
    assert difference_interval(b, a) == (-7.0, -7.0)


def test_differences_without_replicates_are_of_the_extremes() -> None:
    a, b = plain(5.0, 4.0, 7.0), plain(2.0, 1.0, 2.5)
    assert difference_interval(a, b) == (1.5, 6.0)
    assert difference_interval(b, a) == (-6.0, -1.5)
    with_draws = plain(5.0, 4.0, 7.0, replicates=STEPS)
    assert difference_interval(with_draws, b) == (1.5, 6.0)
    assert difference_interval(b, with_draws) == (-6.0, -1.5)


def test_spread_of_seeds_widens_both_sides_in_squares() -> None:
    """t of two degrees of freedom is 4.302653 at 97.5 % (from any printed table)."""
    three, spread = 4.302653 * 30 / math.sqrt(3), Spread(variance=900.0, freedom=2)
    both = average([of_seeds(470.0, 500.0, 530.0, replicates=STEPS)] * 2).widened(spread)
    assert both.low == pytest.approx(500 - math.hypot(500 - 25, three), rel=1e-6)
    assert both.high == pytest.approx(500 + math.hypot(974 - 500, three), rel=1e-6)
    # A score beside its own draws, as of a biased metric, still has the seeds' width on that side.
    beside = average([of_seeds(-30.0, 0.0, 30.0, replicates=STEPS)]).widened(spread)
    assert beside.low == pytest.approx(-three, rel=1e-6)
    beyond = average([of_seeds(1970.0, 2000.0, 2030.0, replicates=STEPS)]).widened(spread)
    assert beyond.high == pytest.approx(2000 + three, rel=1e-6)


def test_a_spread_that_is_not_known_leaves_the_draws_and_says_so() -> None:
    joint = average([of_seeds(-20.0, 10.0, replicates=STEPS)])
    assert (joint.value, joint.low, joint.high, joint.spread_unknown) == (-5.0, 25.0, 974.0, True)
    assert joint.widened(None) == joint
    assert not joint.widened(Spread(variance=1.0, freedom=1)).spread_unknown
    formula = average([plain(1.0, 0.0, 2.0, replicates=STEPS)])
    assert not formula.spread_unknown
    assert formula.widened(Spread(variance=1.0, freedom=1)) is formula, "no seed changes what is not trained"


def test_a_mean_has_the_seeds_of_its_least_trained_part() -> None:
    formula, one, three = plain(1.0), of_seeds(2.0), of_seeds(1.0, 2.0, 3.0)
    assert [average(parts).seeds for parts in ([formula], [formula, three], [three, one])] == [0, 3, 1]


def test_average_of_draws_is_taken_draw_by_draw() -> None:
    joint = average([plain(100.0, 0.0, 1.0, replicates=STEPS), plain(0.0, 0.0, 1.0, replicates=1000 - STEPS)])
    assert joint.value == 50.0
    assert (joint.low, joint.high) == (500.0, 500.0)
    np.testing.assert_array_equal(joint.replicates, np.full(1000, 500.0))
    assert joint.by_seed == {0: 50.0}


def test_average_without_draws_is_that_of_the_bounds() -> None:
    for others in ({}, {"replicates": STEPS}):
        joint = average([plain(1.0, 0.0, 3.0), plain(5.0, 2.0, 9.0, **others)])
        assert (joint.value, joint.low, joint.high) == (3.0, 1.0, 6.0)
        assert joint.replicates is None
        assert joint.by_seed == {0: 3.0}


def test_seeds_are_averaged_where_all_have_them() -> None:
    first = Estimate(value=2.0, low=0.0, high=4.0, by_seed={1000: 1.0, 3: 3.0, 7: 2.0})
    second = Estimate(value=5.0, low=0.0, high=9.0, by_seed={3: 4.0, 1000: 6.0})
    joint = average([first, second, plain(9.0, 9.0, 9.0)])
    assert list(joint.by_seed.items()) == [(3, pytest.approx(16 / 3)), (1000, pytest.approx(16 / 3))]


def test_cells_without_terms_keep_the_mean_of_their_intervals() -> None:
    scores = {
        3: MetricScore(value=4.0, low=3.0, high=6.0),
        1: MetricScore(value=2.0, low=0.0, high=4.0),
    }
    both = estimate(scores, {}, None)
    assert (both.value, both.low, both.high) == (3.0, 1.5, 5.0)
    assert list(both.by_seed) == [1, 3]
    assert both.replicates is None


def test_means_are_rounded_once_and_infinities_have_one() -> None:
    def mean(*values: float) -> float:
        return estimate({i: MetricScore(value=v, low=v, high=v) for i, v in enumerate(values)}, {}, None).value

    assert mean(*[0.1] * 10) == 0.1
    assert mean(1e16, 1.0, -1e16) == 1 / 3
    assert mean(math.inf, 1.0) == math.inf
    assert mean(-math.inf, -math.inf) == -math.inf


# --- ranks ------------------------------------------------------------------------------------------------------------


def test_best_of_either_direction_is_the_first_of_equals() -> None:
    given = {"a": plain(2.0), "b": plain(5.0), "c": plain(5.0), "d": plain(2.0), "lost": plain(math.nan)}
    assert best(given, higher_is_better=True) == "b"
    assert best(given, higher_is_better=False) == "a"
    assert best({"lost": plain(math.nan)}, higher_is_better=True) is None
    assert best({}, higher_is_better=False) is None


def test_anchors_have_to_be_two_finite_numbers() -> None:
    one, two, lost = plain(1.0), plain(2.0), plain(-math.inf)
    assert anchors_usable(one, two)
    assert anchors_usable(two, one)
    pairs = ((one, one), (one, None), (None, two), (None, None), (one, lost), (lost, one), (one, plain(math.nan)))
    assert not any(anchors_usable(*pair) for pair in pairs)


def test_ranks_as_text() -> None:
    assert [str(Rank(3, 3)), str(Rank(1, 4))] == ["3", "1–4"]


# --- numbers ----------------------------------------------------------------------------------------------------------


def widths(*half: float) -> list[Estimate]:
    return [plain(0.0, -width, width) for width in half]


def test_decimals_show_two_digits_of_the_finer_intervals() -> None:
    assert [decimals(widths(w)) for w in (250.0, 25.0, 2.5, 0.25, 0.025, 0.0025)] == [0, 0, 1, 2, 3, 4]
    assert decimals(widths(1e-9)) == 4
    assert decimals(widths(1e-9), most=7) == 7
    assert decimals(widths(1.0)) == 1
    assert decimals(widths(0.99)) == 2
    assert decimals(widths(25.0, 2.5, 0.25)) == 2, "the finest of three"
    assert decimals(widths(25.0, 2.5, 2.5, 0.25)) == 1, "the second of four"
    assert decimals(widths(0.25, 2.5, 25.0, 25.0, 25.0, 25.0, 25.0)) == 0, "the third of seven"
    assert decimals(widths(0.0, math.inf, 0.25)) == 2, "those that say something"
    assert decimals(widths(0.0)) == decimals([]) == 3
    assert decimals([], most=2) == 2


def test_fixed_and_interval() -> None:
    assert [fixed(v, 1) for v in (math.inf, -math.inf, math.nan, -0.04, 0.04, -0.05001, 1e6)] == [
        *("∞", "−∞", "–", "0.0", "0.0", "−0.1", "1000000.0"),
    ]
    assert fixed(0.5, 0) == "0"
    assert interval(plain(0.0, -2.0, -1.0), 0) == "−2 – −1"
    assert interval(plain(0.0, 1.0, 2.0), 0) == "1–2"
    assert interval(plain(0.0, -1.0, 2.0), 0) == "−1 – 2"
    assert interval(plain(0.0, 1.04, 0.96), 1) == ""
    assert interval(plain(0.0, 1.0, 2.0, seeds=1), 0) == "[1–2]", "what another training would change is not in it"
    assert interval(plain(0.0, 1.0, 2.0, seeds=1, spread=Spread(variance=0.0, freedom=2)), 0) == "1–2"


def test_quantities_have_three_digits() -> None:
    assert [quantity(v) for v in (1, 12, 999, 1000, 12_345, 999_499, 1e6, 2.5e9, 5e12)] == [
        *("1", "12", "999", "1.00 k", "12.3 k", "999 k", "1.00 M", "2.50 G", "5000 G"),
    ]
    assert [quantity(v) for v in (0.5, 1.5, 15.25, 150.5, 0.0123456, 0.000123456, -2500.0)] == [
        *("0.500", "1.50", "15.2", "150", "0.0123", "0.0001", "−2.50 k"),
    ]
    assert quantity(math.nan) == "–"


def test_frequencies() -> None:
    given = (1.9e9, 28e9, 1e9, 999e6, 60e6, 1e6, 15e3, 1e3, 440.0, 2.14567e9)
    assert [frequency(f) for f in given] == [
        *("1.9 GHz", "28 GHz", "1 GHz", "999 MHz", "60 MHz", "1 MHz", "15 kHz", "1 kHz", "440 Hz", "2.146 GHz"),
    ]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 5.0, [0, 1, 2, 3, 4, 5]),
        (0.0, 10.0, [0, 2, 4, 6, 8, 10]),
        (0.0, 25.0, [0, 5, 10, 15, 20, 25]),
        (0.0, 40.0, [0, 10, 20, 30, 40]),
        (-0.3, 0.3, [-0.2, 0, 0.2]),
        (3.1, 4.05, [3.2, 3.4, 3.6, 3.8, 4.0]),
        (-7.0, -2.0, [-7, -6, -5, -4, -3, -2]),
        (1.1, 1.6, [1.1, 1.2, 1.3, 1.4, 1.5, 1.6]),  # 1.1 / 0.1 is a little more than 11
        (-0.2, 0.3, [-0.2, -0.1, 0, 0.1, 0.2, 0.3]),  # and 0.3 / 0.1 a little less than 3
        (100.0, 100.5, [100, 100.1, 100.2, 100.3, 100.4, 100.5]),
    ],
)
def test_linear_ticks(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, log=False) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.0, 10.0, [1, 2, 5, 10]),
        (0.3, 3.0, [0.5, 1, 2]),
        (0.02, 5.0, [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]),
        (1.0, 299.0, [1, 2, 5, 10, 20, 50, 100, 200]),
        (1.0, 300.0, [1, 10, 100]),
        (0.05, 200.0, [0.1, 1, 10, 100]),
    ],
)
def test_logarithmic_ticks(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, log=True) == pytest.approx(expected)
