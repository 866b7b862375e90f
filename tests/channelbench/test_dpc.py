"""The sum capacity against a convex solver, closed forms, search over powers and random precoders."""

from __future__ import annotations

import numpy as np
import pytest
from users import AWKWARD, CASES, LEVELS, problem, random_precoders, rayleigh

from channelbench.solvers.dpc import sum_capacity
from channelbench.solvers.max_min import max_min
from channelbench.solvers.precoding import mrt, rzf, sum_rate, zf
from channelbench.solvers.wmmse import wmmse, wmmse_converged


@pytest.mark.parametrize(("users", "antennas", "snr_db"), CASES)
def test_the_capacity_is_the_determinant_at_its_powers_and_the_gap_closes(
    users: int, antennas: int, snr_db: float
) -> None:
    h, power, noise_var = problem(users, antennas, snr_db)
    found = sum_capacity(h, power, noise_var)
    assert np.all(found.gap <= 1.0001e-6)
    np.testing.assert_allclose(found.uplink.sum(axis=1), 1)
    assert np.all(found.uplink >= 0)
    for g, columns in enumerate(h.transpose(0, 2, 1)):
        weights = power / noise_var * np.diag(found.uplink[g])
        covariance = np.eye(antennas) + columns @ weights @ columns.conj().T
        np.testing.assert_allclose(found.capacity[g], np.linalg.slogdet(covariance)[1] / np.log(2), rtol=1e-9)
        # The upper bound, by its formula in the antennas' space.
        y = np.einsum("nk,nm,mk->k", columns.conj(), np.linalg.inv(covariance), columns).real * power / noise_var
        gap = (y.max() - found.uplink[g] @ y) / np.log(2)
        np.testing.assert_allclose(found.gap[g], gap, atol=1e-9)


@pytest.mark.parametrize(("users", "antennas", "snr_db"), CASES)
def test_no_precoder_exceeds_it(users: int, antennas: int, snr_db: float) -> None:
    h, power, noise_var = problem(users, antennas, snr_db, groups=2)
    bound = sum_capacity(h, power, noise_var).bound
    best = wmmse_converged(h, power, noise_var)
    fair = max_min(h, power, noise_var).w
    for w in (mrt(h, power), zf(h, power, noise_var, "waterfilling"), rzf(h, power, noise_var), best.w, fair):
        assert np.all(sum_rate(h, w, noise_var) <= bound + 1e-9)
    for g in range(2):
        tried = random_precoders(best.w[g], power, 3000, seed=g)
        assert sum_rate(np.repeat(h[g : g + 1], len(tried), axis=0), tried, noise_var).max() <= bound[g] + 1e-9


@pytest.mark.parametrize(("users", "antennas", "snr_db"), [(2, 2, 10.0), (3, 4, 0.0), (4, 3, 10.0), (4, 4, 20.0)])
def test_agreement_with_a_convex_solver(users: int, antennas: int, snr_db: float) -> None:
    import cvxpy as cp

    h, power, noise_var = problem(users, antennas, snr_db, groups=2)
    for channels, found in zip(h, sum_capacity(h, power, noise_var).capacity, strict=True):
        q = cp.Variable(users, nonneg=True)
        parts = [np.outer(row, row.conj()) / noise_var for row in channels]
        covariance = np.eye(antennas) + sum(q[k] * parts[k] for k in range(users))
        # A complex Hermitian matrix as a real one of twice the size, whose determinant is the square.
        real = cp.bmat([[cp.real(covariance), -cp.imag(covariance)], [cp.imag(covariance), cp.real(covariance)]])
        task = cp.Problem(cp.Maximize(cp.log_det((real + real.T) / 2)), [cp.sum(q) <= power])
        task.solve(solver=cp.CLARABEL)
        np.testing.assert_allclose(found, task.value / 2 / np.log(2), rtol=1e-5)


def test_search_over_the_powers_of_two_users() -> None:
    h, power, noise_var = problem(2, 3, 5)
    share = np.linspace(0, 1, 20001)
    for channels, found in zip(h, sum_capacity(h, power, noise_var).capacity, strict=True):
        matrix = channels @ channels.conj().T * power / noise_var
        first, second, cross = matrix[0, 0].real, matrix[1, 1].real, abs(matrix[0, 1]) ** 2
        determinant = (1 + share * first) * (1 + (1 - share) * second) - share * (1 - share) * cross
        np.testing.assert_allclose(found, np.log2(determinant.max()), atol=2e-6)


def test_closed_forms() -> None:
    h, power, noise_var = problem(1, 5, 20)
    alone = np.log2(1 + power * np.sum(np.abs(h[:, 0]) ** 2, axis=1) / noise_var)
    for users in (1, 2, 5):  # in the same place
        found = sum_capacity(np.repeat(h, users, axis=1), power, noise_var)
        np.testing.assert_allclose(found.capacity, alone, rtol=1e-7)
    gains = np.array([1.0, 4.0, 0.02])  # orthogonal users: water-filling, which leaves the last one dry
    found = sum_capacity(np.diag(np.sqrt(gains)).astype(complex)[None], 2.0, 0.1)
    powers = np.array([(2 + 0.1 + 0.025) / 2 - 0.1, (2 + 0.1 + 0.025) / 2 - 0.025, 0])
    np.testing.assert_allclose(found.capacity[0], np.log2(1 + gains * powers / 0.1).sum(), rtol=1e-7)


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_channels_have_finite_answers(name: str) -> None:
    h = AWKWARD[name]
    for power, noise_var in LEVELS:
        found = sum_capacity(h, power, noise_var, max_iterations=200)
        assert np.all(np.isfinite(found.capacity))
        assert np.all(np.isfinite(found.bound))
        assert np.all(found.gap >= 0)
        for w in (zf(h, power, noise_var), wmmse(h, power, noise_var)):
            assert np.all(sum_rate(h, w, noise_var) <= found.bound * (1 + 1e-9) + 1e-12)
        if not power or not np.any(h):
            np.testing.assert_array_equal(found.bound, 0)


def test_users_without_a_channel_change_nothing() -> None:
    h, power, noise_var = problem(4, 5, 10)
    gone = h.copy()
    gone[:, 2] = 0
    found, others = (sum_capacity(x, power, noise_var).capacity for x in (gone, h[:, [0, 1, 3]]))
    np.testing.assert_allclose(found, others, atol=1e-6)


def test_answers_do_not_depend_on_the_batch() -> None:
    h = rayleigh(2500, 4, 4)
    found = sum_capacity(h, 1.0, 0.1)
    np.testing.assert_allclose(found.capacity[[3, 2499]], sum_capacity(h[[3, 2499]], 1.0, 0.1).capacity, atol=1e-9)
