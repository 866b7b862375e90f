"""Ranks hold for the whole column at once: equal rows are told apart in 5 % of columns, and references agree.

``pytest -s -m slow tests/channelbench/test_leaderboard_simultaneous.py`` prints the rates of docs/protocol.md.
"""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from equal_rows import LAWS, Column, told_apart
from scipy import stats

from channelbench import registry
from channelbench.bootstrap import flipped_errors, influences, interval
from channelbench.leaderboard.estimate import Errors, Estimate
from channelbench.leaderboard.simultaneous import adjusted_p_values

FOURFOLD = tuple(np.exp(np.linspace(-0.5, 0.5, 20) * np.log(4)))
"""Deviations between trainings from half to twice the middle one."""

COLUMNS = {
    "20 formulas, 300 drops, normal": Column(law="normal"),
    "20 formulas, 300 drops, gamma": Column(),
    "20 formulas, 1200 drops, gamma": Column(drops=1200),
    "20 formulas, 300 drops, lognormal": Column(law="lognormal"),
    "20 formulas, 1200 drops, lognormal": Column(law="lognormal", drops=1200),
    "20 formulas, 300 drops, hits": Column(law="hits"),
    "5 formulas, 300 drops, gamma": Column(rows=5),
    "5 formulas, 1200 drops, gamma": Column(rows=5, drops=1200),
    "20 networks that err apart, no spread": Column(seeds=(3,), erring=1.5),
    "20 networks, equal spread": Column(seeds=(3,), spread=1.2),
    "20 networks, equal spread, 1200 drops": Column(seeds=(3,), spread=1.2, drops=1200),
    "20 networks, equal spread, lognormal": Column(seeds=(3,), spread=1.2, law="lognormal"),
    "20 networks, unequal spread": Column(seeds=(3,), spread=[1.2 * f for f in FOURFOLD]),
    "20 networks, unequal spread, 1200 drops": Column(seeds=(3,), spread=[1.2 * f for f in FOURFOLD], drops=1200),
    "20 networks, unequal and large spread": Column(seeds=(3,), spread=[4 * f for f in FOURFOLD]),
    "20 networks, one of four times the spread": Column(seeds=(3,), spread=[4.8, *[1.2] * 19]),
    "20 networks, large spread": Column(seeds=(3,), spread=4.0),
    "20 networks of 1, 3, 5 and 2 seeds": Column(seeds=(1, 3, 5, 2), spread=1.2),
    "20 networks of 2 seeds": Column(seeds=(2,), spread=1.2),
    "10 networks among 10 formulas": Column(seeds=(3, 0), spread=1.2),
    "2 networks among 18 formulas": Column(seeds=(3, *[0] * 9), spread=1.2),
    "5 networks, equal spread": Column(rows=5, seeds=(3,), spread=1.2),
    "5 networks, unequal spread": Column(rows=5, seeds=(3,), spread=[1.2 * f for f in FOURFOLD[::4]]),
    "5 networks, equal spread, 1200 drops": Column(rows=5, seeds=(3,), spread=1.2, drops=1200),
}


@pytest.mark.parametrize(
    ("name", "boards"),
    [
        ("5 formulas, 300 drops, gamma", 500),
        ("5 networks, unequal spread", 500),
        ("20 networks, equal spread", 120),
    ],
)
def test_equal_rows_are_told_apart_one_time_in_twenty(name: str, boards: int) -> None:
    """To the accuracy of few columns: a rate of 3.5 to 6.5 % is outside these bounds in one of 10^4 runs."""
    apart = told_apart(COLUMNS[name], boards)
    assert stats.binom.ppf(5e-5, boards, 0.035) <= apart <= stats.binom.ppf(1 - 5e-5, boards, 0.065)


@pytest.mark.slow
@pytest.mark.parametrize("name", COLUMNS)
def test_equal_rows_are_told_apart_in_5_percent_of_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """To ±1.5 points: 2,000 columns have a standard error of half a point, 3,000 of .4."""
    boards = 3000 if COLUMNS[name].rows == 5 else 2000
    apart = told_apart(COLUMNS[name], boards, seed=1)
    with capsys.disabled():
        print(f"\n{name}: {100 * apart / boards:.1f} % of {boards}", flush=True)
    # A rate within 3.5 to 6.5 % is outside these bounds in one of a thousand runs.
    assert stats.binom.ppf(5e-4, boards, 0.035) <= apart <= stats.binom.ppf(1 - 5e-4, boards, 0.065)


def test_a_column_that_is_not_of_equals_is_told_apart() -> None:
    """A simulation that could not fail would show nothing: two of ten rows differ by six standard errors."""
    rng = np.random.default_rng(0)
    drawn = Column(rows=10, seeds=(3,), spread=1.2).draw(rng)
    moved = {name: e.affine(1, 6 * np.sqrt(2.44 / 300) * (name in ("row 3", "row 7"))) for name, e in drawn.items()}
    p = adjusted_p_values(moved, dict.fromkeys(moved, "small"))
    inside = np.isin(np.arange(10), (3, 7))
    assert (p[np.ix_(inside, ~inside)] <= 0.05).mean() > 0.9
    assert (p[np.ix_(~inside, ~inside)] > 0.05).all()


# --- references ------------------------------------------------------------------------------------------------------


def of_drops(terms: np.ndarray) -> Estimate:
    """A formula's score."""
    draws = flipped_errors(terms - terms.mean())
    errors = Errors(draws=draws, by_seed={0: draws}, units=len(terms))
    return Estimate(value=float(terms.mean()), low=0, high=0, by_seed={0: float(terms.mean())}, errors=errors)


def of_seeds(values: np.ndarray) -> Estimate:
    """A score that the drops leave no doubt of."""
    value = float(values.mean())
    return Estimate(value=value, low=value, high=value, by_seed=dict(enumerate(values)), seeds=len(values))


@pytest.mark.parametrize("law", LAWS)
def test_p_values_are_those_of_all_signs(law: str) -> None:
    """Brute force over all 2^11 signs of eleven drops: the paired t of each pair, measured anew under each of them."""
    rng = np.random.default_rng(4)
    terms = LAWS[law](rng, (4, 11)) if law != "hits" else (rng.random((4, 11)) < 0.4).astype(float)
    pairs = list(combinations(range(4), 2))
    differences = np.array([terms[i] - terms[j] for i, j in pairs])
    centred = differences - differences.mean(axis=1, keepdims=True)
    largest = []
    for signs in product((-1.0, 1.0), repeat=11):
        flipped = centred * np.array(signs)
        with np.errstate(invalid="ignore", divide="ignore"):
            largest.append(np.nanmax(np.abs(stats.ttest_1samp(flipped, 0, axis=1).statistic)))
    observed = np.abs(stats.ttest_1samp(differences, 0, axis=1).statistic)
    expected = [np.mean(np.array(largest) >= t * (1 - 1e-9)) for t in observed]
    rows = {f"r{i}": of_drops(terms[i]) for i in range(4)}
    p = adjusted_p_values(rows, dict.fromkeys(rows, "classical"))
    np.testing.assert_array_equal(p, p.T)
    assert [p[pair] for pair in pairs] == pytest.approx(expected, abs=0.045)


@pytest.mark.parametrize(
    ("seeds", "tolerance"), [((400,) * 6, 0.04), ((600, 300, 400, 800, 300, 500), 0.04), ((40,) * 6, 0.12)]
)
def test_without_drops_and_with_many_seeds_it_is_tukeys(seeds: tuple[int, ...], tolerance: float) -> None:
    """Of Tukey and Kramer, by SciPy: equal and unequal numbers of seeds.

    The fewer the seeds, the more single pairs move: a row whose seeds lie further apart than the pool's keeps its own
    spread. Decisions hardly change.
    """
    compared = []
    for draw in range(4):
        rng = np.random.default_rng([len(seeds), draw])
        step = 0.3 * (draw % 3) / math.sqrt(seeds[0])
        values = [rng.normal(step * row, 0.3, number) for row, number in enumerate(seeds)]
        reference = stats.tukey_hsd(*values).pvalue
        rows = {f"r{row}": of_seeds(v) for row, v in enumerate(values)}
        found = adjusted_p_values(rows, dict.fromkeys(rows, "small"))
        compared.append([(found[pair], reference[pair]) for pair in combinations(range(len(seeds)), 2)])
    ours, tukeys = np.array(compared).reshape(-1, 2).T
    assert (tukeys <= 0.05).any()
    assert (tukeys > 0.05).any()
    assert np.abs(ours - tukeys).max() < tolerance
    assert np.mean((ours <= 0.05) == (tukeys <= 0.05)) > 0.95


def test_intervals_over_drops_are_scipys_bootstrap() -> None:
    terms = np.random.default_rng(5).lognormal(0, 1, 400)
    low, high = interval(registry.create("metrics", "nmse"), terms[:, None])[1:]
    rng = np.random.default_rng(6)
    reference = stats.bootstrap((terms,), np.mean, n_resamples=20_000, method="percentile", rng=rng, batch=2000)
    width = reference.confidence_interval.high - reference.confidence_interval.low
    assert low == pytest.approx(reference.confidence_interval.low, abs=0.06 * width)
    assert high == pytest.approx(reference.confidence_interval.high, abs=0.06 * width)


def test_influences_are_those_of_the_delta_method() -> None:
    """Of a mean exactly its deviations; of a root of a mean, and of a ratio of sums over units, to first order."""
    rng = np.random.default_rng(7)
    terms = rng.gamma(2.0, 0.5, (800, 1))
    mean = influences(registry.create("metrics", "nmse"), terms)
    np.testing.assert_allclose(mean, terms[:, 0] - terms.mean(), rtol=1e-9, atol=1e-12)
    root = influences(registry.create("metrics", "rmse_db"), terms)
    expected = (terms[:, 0] - terms.mean()) / (2 * np.sqrt(terms.mean()))
    np.testing.assert_allclose(root, expected, rtol=0.02, atol=2e-3)
    units = rng.integers(0, 300, 800)
    grouped = influences(registry.create("metrics", "nmse"), terms, units)
    names, counts = np.unique(units, return_counts=True)
    sums = np.array([terms[units == name].sum() for name in names])
    expected = (sums - counts * terms.mean()) * len(names) / 800
    np.testing.assert_allclose(grouped, expected, rtol=0.03, atol=0.03)
    assert abs(grouped.mean()) < 1e-12


def test_flipped_errors_have_the_variance_of_the_mean() -> None:
    terms = np.random.default_rng(8).gamma(0.5, 2.0, 500)
    draws = flipped_errors(terms - terms.mean(), 20_000)
    assert draws.var() == pytest.approx(terms.var(ddof=1) / 500, rel=0.04)
    both = flipped_errors(np.stack([terms, 2 * terms], axis=1))
    np.testing.assert_allclose(both[:, 1], 2 * flipped_errors(terms), rtol=1e-9, atol=1e-12)
    assert np.isnan(flipped_errors(np.array([np.nan]))).all(), "one unit says nothing of the next"
