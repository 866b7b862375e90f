"""WMMSE against its textbook form over antennas, and its fixed points against the conditions of an optimum."""

from __future__ import annotations

import numpy as np
import pytest
from users import AWKWARD, CASES, LEVELS, Complex, power_of, problem, random_precoders, rayleigh

from channelbench.solvers.dpc import sum_capacity
from channelbench.solvers.precoding import rzf, structure, sum_rate, zf
from channelbench.solvers.wmmse import STARTS, structure_labels, wmmse, wmmse_converged


def textbook(h: Complex, w: Complex, power: float, noise_var: float) -> Complex:
    """One iteration for one group ``[K, N]``: receivers, weights, and beams with ``β = σ² Σ d/P``, at power P."""
    w = w * np.sqrt(power / np.sum(np.abs(w) ** 2))
    amplitudes = h.conj() @ w.T
    own = np.diag(amplitudes)
    u = own / (np.sum(np.abs(amplitudes) ** 2, axis=1) + noise_var)
    omega = 1 / (1 - (u.conj() * own).real)
    d = np.abs(u) ** 2 * omega
    covariance = (h.T * d) @ h.conj() + d.sum() * noise_var / power * np.eye(h.shape[1])
    found = np.linalg.solve(covariance, h.T * (u * omega)).T
    return found * np.sqrt(power / np.sum(np.abs(found) ** 2))


def gradient(h: Complex, w: Complex, noise_var: float) -> Complex:
    """Of the sum rate in nats by the conjugate of w, for one group, ``[K, N]``."""
    amplitudes = h.conj() @ w.T
    powers = np.abs(amplitudes) ** 2
    total = powers.sum(axis=1) + noise_var
    rest = total - np.diag(powers)
    weights = 1 / total[:, None] - (1 - np.eye(len(h))) / rest[:, None]
    return ((weights * amplitudes).T @ h).astype(complex)


@pytest.mark.parametrize(("users", "antennas", "snr_db"), CASES)
def test_iterations_are_those_of_the_textbook(users: int, antennas: int, snr_db: float) -> None:
    h, power, noise_var = problem(users, antennas, snr_db)
    start = rayleigh(len(h), users, antennas, seed=3)
    for name in (start, "matched"):
        w = start if isinstance(name, np.ndarray) else h
        expected = w
        for iterations in (1, 2, 3):
            expected = np.stack([textbook(a, b, power, noise_var) for a, b in zip(h, expected, strict=True)])
            found = wmmse(h, power, noise_var, iterations, name)
            turn = np.sum(found.conj() * expected, axis=2, keepdims=True)  # phases of beams are free
            np.testing.assert_allclose(found * turn / np.abs(turn), expected, atol=1e-7)


@pytest.mark.parametrize(("users", "antennas", "snr_db"), CASES)
def test_fixed_points_satisfy_the_conditions_of_an_optimum(users: int, antennas: int, snr_db: float) -> None:
    h, power, noise_var = problem(users, antennas, snr_db)
    found = wmmse_converged(h, power, noise_var, tolerance=1e-9)
    assert np.all(found.converged)
    np.testing.assert_allclose(power_of(found.w), power)
    np.testing.assert_allclose(sum_rate(h, found.w, noise_var), found.rate)
    for g, w in enumerate(found.w):
        slope = gradient(h[g], w, noise_var)
        multiplier = np.vdot(w, slope).real / power
        assert multiplier > 0
        assert np.linalg.norm(slope - multiplier * w) < 1e-4 * np.linalg.norm(slope)


def test_the_gradient_of_this_test_is_one() -> None:
    h, _power, noise_var = problem(3, 4, 10, groups=1)
    w, step = rayleigh(1, 3, 4, seed=5), rayleigh(1, 3, 4, seed=6)
    ends = [np.log(2) * sum_rate(h, w + sign * 1e-6 * step, noise_var)[0] for sign in (1, -1)]
    slope = 2 * np.vdot(step[0], gradient(h[0], w[0], noise_var)).real
    np.testing.assert_allclose((ends[0] - ends[1]) / 2e-6, slope, rtol=1e-6)


@pytest.mark.parametrize(("users", "antennas", "snr_db"), CASES)
def test_no_iteration_lowers_the_rate(users: int, antennas: int, snr_db: float) -> None:
    h, power, noise_var = problem(users, antennas, snr_db)
    rates = np.array([sum_rate(h, wmmse(h, power, noise_var, n, "random"), noise_var) for n in range(1, 15)])
    assert np.all(np.diff(rates, axis=0) > -1e-9)


@pytest.mark.parametrize(("users", "antennas", "snr_db"), CASES)
def test_labels_give_the_fixed_point_back(users: int, antennas: int, snr_db: float) -> None:
    h, power, noise_var = problem(users, antennas, snr_db)
    found = wmmse_converged(h, power, noise_var)
    p, lam = structure_labels(h, found.w, power, noise_var)
    for labels in (p, lam):
        np.testing.assert_allclose(labels.sum(axis=1), power)
        assert np.all(labels >= 0)
    np.testing.assert_allclose(sum_rate(h, structure(h, p, lam, noise_var), noise_var), found.rate, atol=1e-5)


@pytest.mark.parametrize(("snr_db", "after_20", "converged"), [(10, 20.09, 20.10), (20, 33.05, 33.19)])
def test_published_level_of_rayleigh_channels(snr_db: float, after_20: float, converged: float) -> None:
    """Means over 20,000 other draws of 16 antennas and 4 users, each with a standard error of .006."""
    h, power = rayleigh(6000, 4, 16), 10 ** (snr_db / 10)
    for iterations, expected in ((20, after_20), (300, converged)):
        rates = sum_rate(h, wmmse(h, power, 1.0, iterations), 1.0)
        assert abs(rates.mean() - expected) < 3 * np.hypot(rates.std() / np.sqrt(len(h)), 0.006)


@pytest.mark.parametrize(("users", "antennas", "snr_db"), CASES)
def test_best_start_beats_each_and_no_small_change_helps(users: int, antennas: int, snr_db: float) -> None:
    h, power, noise_var = problem(users, antennas, snr_db, groups=3)
    found = wmmse_converged(h, power, noise_var)
    ceiling = sum_capacity(h, power, noise_var).bound
    assert np.all(found.rate <= ceiling + 1e-9)
    for w in (zf(h, power, noise_var, "waterfilling"), rzf(h, power, noise_var), wmmse(h, power, noise_var)):
        assert np.all(found.rate >= sum_rate(h, w, noise_var) - 1e-6)
    for g, w in enumerate(found.w):
        near = w + 1e-3 * (random_precoders(w, power, 500, seed=g) - w)
        near *= np.sqrt(power / power_of(near))[:, None, None]
        assert sum_rate(np.repeat(h[g : g + 1], 500, axis=0), near, noise_var).max() <= found.rate[g] + 1e-7


def test_users_are_dropped_where_that_helps() -> None:
    h, power, noise_var = problem(8, 8, 20, groups=30)
    every = wmmse_converged(h, power, noise_var, starts=("rzf",))
    best = wmmse_converged(h, power, noise_var)
    assert best.rate.mean() > every.rate.mean() + 0.05
    assert best.names[:4] == STARTS[:4]
    assert any(best.names[i].startswith("subset") for i in best.start)


def test_one_user_gets_its_matched_filter() -> None:
    h, power, noise_var = problem(1, 5, 7)
    expected = np.log2(1 + power * np.sum(np.abs(h[:, 0]) ** 2, axis=1) / noise_var)
    np.testing.assert_allclose(wmmse_converged(h, power, noise_var).rate, expected)


def test_two_users_in_the_same_place_are_worth_one() -> None:
    h, power, noise_var = problem(1, 5, 20)
    both = np.repeat(h, 2, axis=1)
    expected = np.log2(1 + power * np.sum(np.abs(h[:, 0]) ** 2, axis=1) / noise_var)
    np.testing.assert_allclose(wmmse_converged(both, power, noise_var).rate, expected, atol=1e-6)


def test_answers_do_not_depend_on_the_batch() -> None:
    h, power, noise_var = problem(4, 4, 10, groups=2500)
    some = [0, 1200, 2499]
    np.testing.assert_allclose(wmmse(h, power, noise_var)[some], wmmse(h[some], power, noise_var), atol=1e-9)
    together = wmmse_converged(h[:40], power, noise_var, ("mrt", "random"))
    alone = wmmse_converged(h[7:8], power, noise_var, ("mrt", "random"))
    np.testing.assert_allclose(together.rate[7], alone.rate[0], atol=1e-9)


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_channels_have_finite_answers(name: str) -> None:
    h = AWKWARD[name]
    for power, noise_var in LEVELS:
        found = wmmse_converged(h, power, noise_var, ("mrt", "subsets"), max_iterations=30)
        for w in (wmmse(h, power, noise_var), found.w):
            assert np.all(np.isfinite(w))
            assert np.all(power_of(w) <= power * (1 + 1e-9))
            assert np.all(np.isfinite(sum_rate(h, w, noise_var)))
        labels = structure_labels(h, found.w, power, noise_var)
        assert np.all(np.isfinite(labels))


def test_no_unknown_start_and_no_iterations() -> None:
    h = rayleigh(1, 2, 2)
    with pytest.raises(ValueError, match="starts must be of"):
        wmmse_converged(h, 1.0, 1.0, starts=("best",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="subsets are several"):
        wmmse(h, 1.0, 1.0, start="subsets")
    with pytest.raises(ValueError, match="at least 1"):
        wmmse(h, 1.0, 1.0, iterations=0)
