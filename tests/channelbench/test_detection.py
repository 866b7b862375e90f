"""Detectors against brute force in float64, closed forms, random search and limits."""

import math
import tracemalloc
from itertools import combinations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.solvers.constellation import Constellation, constellation_named, hard_decision
from channelbench.solvers.detection import lmmse, matched_filter_bound, maximum_likelihood, posterior, zf

QAM = constellation_named("16qam")
QPSK = constellation_named("qpsk")
Complex = NDArray[np.complex128]


def complex_normal(rng: np.random.Generator, *shape: int) -> Complex:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / math.sqrt(2)


def links(
    seed: int, shape: tuple[int, int, int, int], snr_db: float, constellation: Constellation = QAM, alike: float = 0
) -> tuple[Complex, Complex, NDArray[np.float64], NDArray[np.int64]]:
    """H, y, σ² and what was sent, of (groups, uses, antennas, users), whose channels share a part."""
    rng = np.random.default_rng(seed)
    groups, uses, antennas, users = shape
    h = complex_normal(rng, groups, antennas, users) + alike * complex_normal(rng, groups, antennas, 1)
    noise = np.sum(np.abs(h) ** 2, axis=(1, 2)) / antennas / 10 ** (snr_db / 10)
    sent = rng.integers(0, len(constellation.points), (groups, uses, users))
    clean = np.einsum("gnk,guk->gun", h, constellation.points[sent])
    y = clean + np.sqrt(noise)[:, None, None] * complex_normal(rng, groups, uses, antennas)
    return h, y, noise, sent


def cost(h: Complex, y: Complex, points: NDArray[np.int64], constellation: Constellation) -> NDArray[np.float64]:
    """``‖y − Hx‖²``, ``[groups, uses]``."""
    return np.sum(np.abs(y - np.einsum("gnk,guk->gun", h, constellation.points[points])) ** 2, axis=2)


def all_costs(h: Complex, y: Complex, constellation: Constellation) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Candidates ``[M^K, K]`` and their costs for one y."""
    candidates = np.array(list(product(range(len(constellation.points)), repeat=h.shape[1])))
    return candidates, np.sum(np.abs(y - constellation.points[candidates] @ h.T) ** 2, axis=1)


# --- linear detectors ------------------------------------------------------------------------------------------------


def test_lmmse_is_brute_force() -> None:
    h, y, noise, _ = links(1, (5, 3, 6, 4), 8)
    found = lmmse(h, y, noise)
    for group in range(5):
        cov = h[group] @ h[group].conj().T + noise[group] * np.eye(6)  # N × N, not the Gram domain
        weights = h[group].conj().T @ np.linalg.inv(cov)
        np.testing.assert_allclose(found.estimate[group], y[group] @ weights.T, atol=1e-12)
        check_unbiased(weights, h[group], noise[group], found.unbiased[group], found.error_variance[group], y[group])


def check_unbiased(
    weights: Complex, h: Complex, noise: float, unbiased: Complex, variance: NDArray[np.float64], y: Complex
) -> None:
    """By the response of a filter to each user and to noise."""
    response = weights @ h
    gain = np.diagonal(response)
    interference = np.sum(np.abs(response) ** 2, axis=1) - np.abs(gain) ** 2
    expected = (interference + noise * np.sum(np.abs(weights) ** 2, axis=1)) / np.abs(gain) ** 2
    np.testing.assert_allclose(variance, expected, rtol=1e-9)
    np.testing.assert_allclose(unbiased, (y @ weights.T) / gain, atol=1e-10)


@pytest.mark.parametrize(("antennas", "users"), [(6, 4), (4, 4), (3, 5), (1, 2)])
def test_zf_is_the_pseudo_inverse(antennas: int, users: int) -> None:
    h, y, noise, _ = links(2, (4, 3, antennas, users), 12)
    found = zf(h, y, noise)
    for group in range(4):
        weights = np.linalg.pinv(h[group])
        np.testing.assert_allclose(found.estimate[group], y[group] @ weights.T, atol=1e-9)
        check_unbiased(weights, h[group], noise[group], found.unbiased[group], found.error_variance[group], y[group])


def test_zf_without_noise_is_exact() -> None:
    h, _, _, sent = links(3, (20, 4, 8, 8), 0)
    y = np.einsum("gnk,guk->gun", h, QAM.points[sent])
    found = zf(h, y, np.zeros(20))
    np.testing.assert_allclose(found.estimate, QAM.points[sent], atol=1e-7)
    np.testing.assert_array_equal(hard_decision(found.unbiased, QAM), sent)
    np.testing.assert_allclose(found.error_variance, 0, atol=1e-12)


def test_lmmse_without_noise_is_zf() -> None:
    h, y, _, _ = links(4, (6, 2, 5, 3), 10)
    nothing = np.zeros(6)
    np.testing.assert_allclose(lmmse(h, y, nothing).estimate, zf(h, y, nothing).estimate, atol=1e-10)


def test_the_error_variance_is_that_of_many_draws() -> None:
    h, y, noise, sent = links(5, (3, 40_000, 8, 4), 6)
    for detector in (zf, lmmse):
        found = detector(h, y, noise)
        measured = np.mean(np.abs(found.unbiased - QAM.points[sent]) ** 2, axis=1)
        np.testing.assert_allclose(measured, found.error_variance, rtol=0.04)


def test_of_linear_estimates_mmse_has_the_least_error() -> None:
    h, y, noise, sent = links(6, (50, 40, 6, 4), 5)
    errors = [
        np.mean(np.abs(estimate - QAM.points[sent]) ** 2)
        for estimate in (lmmse(h, y, noise).estimate, lmmse(h, y, noise).unbiased, zf(h, y, noise).estimate)
    ]
    assert errors[0] < errors[1] < errors[2]


# --- maximum likelihood ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "antennas", "users", "alike"),
    [
        ("16qam", 3, 2, 0),
        ("16qam", 3, 3, 2),
        ("qpsk", 4, 4, 1),
        ("64qam", 2, 2, 0),
        ("bpsk", 3, 5, 0),
        ("qpsk", 2, 4, 0),
    ],
)
@pytest.mark.parametrize("snr_db", [0, 15])
def test_maximum_likelihood_is_brute_force(name: str, antennas: int, users: int, alike: float, snr_db: float) -> None:
    constellation = constellation_named(name)
    h, y, _, _ = links(7, (3, 3, antennas, users), snr_db, constellation, alike)
    found = cost(h, y, maximum_likelihood(h, y, constellation), constellation)
    for group, use in np.ndindex(3, 3):
        _, costs = all_costs(h[group], y[group, use], constellation)
        assert found[group, use] == pytest.approx(costs.min(), rel=1e-9)


def test_eight_users_are_no_less_likely_than_any_neighbour_or_guess() -> None:
    h, y, noise, sent = links(8, (6, 4, 8, 8), 10)
    best = maximum_likelihood(h, y, QAM)
    least = cost(h, y, best, QAM) * (1 - 1e-9)
    rng = np.random.default_rng(9)
    guesses = [sent, hard_decision(lmmse(h, y, noise).unbiased, QAM), hard_decision(zf(h, y, noise).unbiased, QAM)]
    guesses += [rng.integers(0, 16, best.shape) for _ in range(200)]
    for users in [(user,) for user in range(8)] + list(combinations(range(8), 2)):
        for values in rng.integers(0, 16, (30, len(users))):
            changed = best.copy()
            changed[..., list(users)] = values
            guesses.append(changed)
    for guess in guesses:
        assert (least <= cost(h, y, guess, QAM)).all()


def test_the_order_of_users_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    h, y, _, _ = links(10, (7, 2, 5, 4), 5)
    whole = maximum_likelihood(h, y, QAM)
    turned = maximum_likelihood(h[..., ::-1], y, QAM)
    monkeypatch.setattr("channelbench.solvers.detection.CHUNK", 40)
    np.testing.assert_array_equal(maximum_likelihood(h, y, QAM), whole)
    np.testing.assert_array_equal(turned[..., ::-1], whole)


# --- posterior -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "users"), [("16qam", 1), ("16qam", 2), ("qpsk", 3), ("bpsk", 5)])
def test_the_posterior_is_brute_force(name: str, users: int) -> None:
    constellation = constellation_named(name)
    h, y, noise, _ = links(11, (2, 2, 3, users), 3, constellation)
    found = posterior(h, y, noise, constellation)
    assert found.probabilities.shape == (2, 2, users, len(constellation.points))
    for group, use, user in np.ndindex(2, 2, users):
        candidates, costs = all_costs(h[group], y[group, use], constellation)
        likelihood = np.exp(-costs / noise[group])
        chance = np.bincount(candidates[:, user], likelihood, len(constellation.points)) / likelihood.sum()
        mean = chance @ constellation.points
        one = chance @ constellation.bits
        at = (group, use, user)
        np.testing.assert_allclose(found.probabilities[at], chance, atol=1e-10)
        assert found.mean[at] == pytest.approx(mean)
        assert found.variance[at] == pytest.approx(chance @ np.abs(constellation.points) ** 2 - abs(mean) ** 2)
        np.testing.assert_allclose(found.llrs[at], np.log(one / (1 - one)), atol=1e-6)
        assert found.decision[at] == chance.argmax()


def test_no_detector_has_fewer_errors_than_the_posterior_nor_less_squared_error() -> None:
    h, y, noise, sent = links(12, (1500, 2, 4, 3), 9)
    best = posterior(h, y, noise, QAM)
    linear = {"zf": zf(h, y, noise), "lmmse": lmmse(h, y, noise)}
    decisions = {name: hard_decision(found.unbiased, QAM) for name, found in linear.items()}
    decisions["ml"] = maximum_likelihood(h, y, QAM)
    for name, decision in decisions.items():
        more = ((decision != sent) * 1.0 - (best.decision != sent)).mean(axis=(1, 2))
        assert more.mean() > -1.96 * more.std() / math.sqrt(len(more)), name
    assert (decisions["zf"] != sent).mean() > 1.1 * (best.decision != sent).mean()
    error = np.abs(best.mean - QAM.points[sent]) ** 2
    assert error.mean() < np.mean(np.abs(linear["lmmse"].estimate - QAM.points[sent]) ** 2)
    assert best.variance.mean() == pytest.approx(error.mean(), rel=0.05)


def test_where_noise_vanishes_the_posterior_is_sure_of_the_likeliest() -> None:
    h, y, noise, _ = links(13, (10, 3, 6, 3), 30)
    found = posterior(h, y, noise, QAM)
    np.testing.assert_array_equal(found.decision, maximum_likelihood(h, y, QAM))
    assert found.variance.max() < 0.2


def test_the_largest_sum_takes_little_memory() -> None:
    h, y, noise, sent = links(14, (1, 64, 8, 4), 12)
    tracemalloc.start()
    found = posterior(h, y, noise, QAM)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
    assert (found.decision != sent).mean() < 0.2


# --- error rates -----------------------------------------------------------------------------------------------------


def textbook(snr: float, points: int) -> float:
    """Symbol error rate of square QAM (Proakis, Digital Communications, section 4.3)."""
    tail = math.erfc(math.sqrt(3 * snr / (points - 1)) / math.sqrt(2)) / 2
    return 1 - (1 - 2 * (1 - 1 / math.sqrt(points)) * tail) ** 2


@pytest.mark.parametrize("name", ["qpsk", "16qam", "64qam", "256qam"])
def test_the_bound_is_the_textbooks(name: str) -> None:
    h, _, noise, _ = links(15, (4, 1, 5, 3), 15)
    constellation = constellation_named(name)
    bound = matched_filter_bound(h, noise, constellation)
    for group, user in np.ndindex(4, 3):
        snr = np.linalg.norm(h[group, :, user]) ** 2 / noise[group]
        assert bound[group, user] == pytest.approx(textbook(snr, len(constellation.points)), abs=1e-12)


def test_the_bound_of_bpsk() -> None:
    bound = matched_filter_bound(np.full((1, 1, 1), 2.0), np.array([2.5]), constellation_named("bpsk"))
    assert bound[0, 0] == pytest.approx(math.erfc(math.sqrt(4 / 2.5)) / 2)


@pytest.mark.parametrize("detect", ["zf", "lmmse", "ml", "posterior"])
def test_a_single_user_has_the_error_rate_of_the_closed_form(detect: str) -> None:
    h, y, noise, sent = links(16, (10, 2000, 2, 1), 9)
    bound = matched_filter_bound(h, noise, QAM).mean()
    found = {
        "zf": lambda: hard_decision(zf(h, y, noise).unbiased, QAM),
        "lmmse": lambda: hard_decision(lmmse(h, y, noise).unbiased, QAM),
        "ml": lambda: maximum_likelihood(h, y, QAM),
        "posterior": lambda: posterior(h, y, noise, QAM).decision,
    }[detect]()
    assert 0.02 < bound < 0.5
    assert (found != sent).mean() == pytest.approx(bound, abs=4 * math.sqrt(bound / sent.size))


def test_the_bound_is_below_maximum_likelihood() -> None:
    h, y, noise, sent = links(17, (400, 8, 6, 4), 10)
    errors = (maximum_likelihood(h, y, QAM) != sent).mean(axis=(1, 2))
    more = errors - matched_filter_bound(h, noise, QAM).mean(axis=1)
    assert more.mean() > 3 * more.std() / math.sqrt(len(more))


# --- what is degenerate ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 1e-300, 1.0, 1e300, math.inf])
@pytest.mark.parametrize("kind", ["zero", "one user zero", "the same place", "more users", "tiny"])
def test_every_answer_is_finite(kind: str, noise: float) -> None:
    h, y, _, _ = links(18, (2, 3, 4, 3), 10)
    if kind == "zero":
        h = np.zeros_like(h)
    elif kind == "one user zero":
        h[..., 1] = 0
    elif kind == "the same place":
        h[..., 2] = h[..., 0]
    elif kind == "more users":
        h, y = h[:, :2], y[..., :2]
    else:
        h, y = h * 1e-9, y * 1e-9
    if math.isinf(noise):
        y = np.full_like(y, complex(math.inf, math.nan))
    noise_var = np.full(2, noise)
    for found in (zf(h, y, noise_var), lmmse(h, y, noise_var)):
        for values in (found.estimate, found.unbiased, found.error_variance):
            assert np.isfinite(values).all()
        assert (found.error_variance >= 0).all()
        if kind == "zero" or math.isinf(noise):
            assert not found.estimate.any()
    chances = posterior(h, y, noise_var, QPSK)
    np.testing.assert_allclose(chances.probabilities.sum(axis=-1), 1)
    assert np.isfinite(chances.llrs).all()
    if kind == "zero" or math.isinf(noise):
        np.testing.assert_allclose(chances.probabilities, 0.25)
    points = maximum_likelihood(h, np.nan_to_num(y, posinf=0), QPSK)
    assert (points >= 0).all()
    assert (points < 4).all()
    bound = matched_filter_bound(h, noise_var, QPSK)
    assert ((bound >= 0) & (bound <= 0.75)).all()


def test_where_nothing_is_received_errors_are_those_of_a_guess() -> None:
    h = np.zeros((1, 3, 2))
    for noise in (0.0, 1.0, math.inf):
        assert matched_filter_bound(h, np.array([noise]), QAM) == pytest.approx(np.full((1, 2), 15 / 16))
    assert not matched_filter_bound(h + 1, np.array([0.0]), QAM).any()


def test_two_users_in_one_place_share_the_estimate() -> None:
    h, y, _, _ = links(19, (1, 2, 4, 1), 10)
    both = np.concatenate([h, h], axis=2)
    alone, found = zf(h, y, np.zeros(1)), zf(both, y, np.zeros(1))
    np.testing.assert_allclose(found.estimate, np.repeat(alone.estimate / 2, 2, axis=2), atol=1e-12)
    np.testing.assert_allclose(found.error_variance, 1)  # x̂ = x₁ + x₂, the other one's power


def test_what_cannot_be_summed_or_searched_is_refused() -> None:
    h, y, noise, _ = links(20, (1, 1, 8, 5), 10)
    with pytest.raises(RequestError, match="users: expected at most 65536 candidates, got '5 users of 16qam"):
        posterior(h, y, noise, QAM)
    with pytest.raises(RequestError, match="65536"):
        maximum_likelihood(h[:, :4], y[..., :4], QAM)
    h, y, noise, _ = links(20, (1, 1, 10, 9), 10)
    with pytest.raises(RequestError, match="at most 4294967296"):
        maximum_likelihood(h, y, QAM)


def test_a_search_that_is_too_long_is_given_up() -> None:
    h, y, _, _ = links(23, (3, 2, 8, 8), 0)
    exact = maximum_likelihood(h, y, QAM)
    np.testing.assert_array_equal(maximum_likelihood(h, y, QAM, most_visits=10**8), exact)
    with pytest.raises(RequestError, match="users: expected channels of which a search visits at most 100 points"):
        maximum_likelihood(h, y, QAM, most_visits=100)


@pytest.mark.parametrize("noise", [-1.0, math.nan])
def test_no_variance_is_refused(noise: float) -> None:
    h, y, _, _ = links(21, (2, 1, 2, 2), 10)
    for detector in (zf, lmmse):
        with pytest.raises(RequestError, match="noise_var: expected variances"):
            detector(h, y, np.array([1.0, noise]))


def test_shapes_that_do_not_fit_are_refused() -> None:
    h, y, noise, _ = links(22, (2, 1, 3, 2), 10)
    for wrong in ((h[0], y, noise), (h, y[..., :2], noise), (h, y, noise[:1]), (h[:1], y, noise)):
        with pytest.raises(RequestError, match="h: expected h"):
            lmmse(*wrong)
