"""Max–min fair precoding against a convex solver, closed forms and random search."""

from __future__ import annotations

import numpy as np
import pytest
from users import AWKWARD, CASES, LEVELS, Complex, power_of, problem, random_precoders, rayleigh

from channelbench.solvers.max_min import max_min
from channelbench.solvers.precoding import mrt, rzf, sinr, zf
from channelbench.solvers.wmmse import wmmse


@pytest.mark.parametrize(("users", "antennas", "snr_db"), CASES)
def test_all_sinrs_are_equal_at_full_power_and_nothing_beats_them(users: int, antennas: int, snr_db: float) -> None:
    h, power, noise_var = problem(users, antennas, snr_db)
    found = max_min(h, power, noise_var)
    np.testing.assert_allclose(power_of(found.w), power)
    np.testing.assert_allclose(sinr(h, found.w, noise_var), np.repeat(found.sinr[:, None], users, axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.bound, found.sinr, rtol=1e-6)
    for w in (mrt(h, power), zf(h, power, noise_var), rzf(h, power, noise_var), wmmse(h, power, noise_var)):
        assert np.all(sinr(h, w, noise_var).min(axis=1) <= found.bound * (1 + 1e-9))


@pytest.mark.parametrize(("users", "antennas", "snr_db"), CASES)
def test_no_random_or_changed_precoder_is_fairer(users: int, antennas: int, snr_db: float) -> None:
    h, power, noise_var = problem(users, antennas, snr_db, groups=2)
    found = max_min(h, power, noise_var)
    for g in range(2):
        tried = random_precoders(found.w[g], power, 3000, seed=g)
        least = sinr(np.repeat(h[g : g + 1], len(tried), axis=0), tried, noise_var).min(axis=1)
        assert least.max() <= found.bound[g] * (1 + 1e-9)


def reaches(h: Complex, power: float, noise_var: float, target: float) -> bool:
    """Whether a second-order cone programme finds beams with this SINR for all within the power; one group."""
    import cvxpy as cp

    users, antennas = h.shape
    w = cp.Variable((antennas, users), complex=True)
    received = h.conj() @ w
    rules = [cp.imag(received[k, k]) == 0 for k in range(users)]
    for k in range(users):
        everything = cp.hstack([received[k], np.sqrt(noise_var)])
        rules.append(np.sqrt(1 + 1 / target) * cp.real(received[k, k]) >= cp.norm(everything, 2))
    task = cp.Problem(cp.Minimize(cp.norm(cp.vec(w, order="F"), 2)), rules)
    task.solve(solver=cp.CLARABEL)
    return task.status == cp.OPTIMAL and bool(task.value**2 <= power)


@pytest.mark.parametrize(("users", "antennas", "snr_db"), [(2, 2, 10.0), (3, 4, 0.0), (4, 3, 10.0), (4, 8, 20.0)])
def test_agreement_with_a_cone_programme(users: int, antennas: int, snr_db: float) -> None:
    """What is a little below the optimum can be reached, what is a little above cannot: what bisection ends at."""
    h, power, noise_var = problem(users, antennas, snr_db, groups=2)
    for channels, best in zip(h, max_min(h, power, noise_var).sinr, strict=True):
        assert reaches(channels, power, noise_var, best * (1 - 1e-4))
        assert not reaches(channels, power, noise_var, best * (1 + 1e-4))


def test_closed_forms() -> None:
    h, power, noise_var = problem(1, 5, 7)
    np.testing.assert_allclose(max_min(h, power, noise_var).sinr, power * np.sum(np.abs(h[:, 0]) ** 2, 1) / noise_var)
    # Orthogonal users: power in inverse proportion to their gains.
    gains = np.array([1.0, 4.0, 0.5])
    orthogonal = np.diag(np.sqrt(gains)).astype(complex)[None]
    np.testing.assert_allclose(max_min(orthogonal, 2.0, 0.1).sinr, 20 / np.sum(1 / gains))
    # m users with one channel: SINR = (P/m) g/((m − 1)(P/m) g + σ²).
    same = np.ones((1, 4, 3), complex)
    np.testing.assert_allclose(max_min(same, 2.0, 0.1).sinr, 1.5 / (3 * 1.5 + 0.1), rtol=1e-6)


def test_users_without_a_channel_are_left_out() -> None:
    h, power, noise_var = problem(4, 5, 10)
    gone = h.copy()
    gone[:, 2] = 0
    found, others = max_min(gone, power, noise_var), max_min(h[:, [0, 1, 3]], power, noise_var)
    np.testing.assert_array_equal(found.sinr, 0)
    np.testing.assert_array_equal(found.bound, 0)
    np.testing.assert_allclose(found.w[:, [0, 1, 3]], others.w, atol=1e-6)


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_channels_have_finite_answers(name: str) -> None:
    h = AWKWARD[name]
    for power, noise_var in LEVELS:
        found = max_min(h, power, noise_var, max_iterations=200)
        assert np.all(np.isfinite(found.w))
        assert np.all(power_of(found.w) <= power * (1 + 1e-9))
        assert np.all(np.isfinite(found.sinr))
        assert np.all(found.sinr <= found.bound * (1 + 1e-6))
        for w in (zf(h, power, noise_var), wmmse(h, power, noise_var)):
            assert np.all(sinr(h, w, noise_var).min(axis=1) <= found.bound * (1 + 1e-6))


def test_answers_do_not_depend_on_the_batch() -> None:
    h = np.concatenate([rayleigh(2500, 4, 4), rayleigh(10, 4, 4, seed=1)])
    found = max_min(h, 1.0, 0.1)
    np.testing.assert_allclose(found.w[[3, 2505]], max_min(h[[3, 2505]], 1.0, 0.1).w, atol=1e-9)
