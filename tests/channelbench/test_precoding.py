"""Closed-form precoders against their formulas with every matrix written out, and what has to hold of them."""

from __future__ import annotations

import numpy as np
import pytest
from users import AWKWARD, CASES, LEVELS, power_of, problem, rayleigh

from channelbench.solvers.precoding import gains, gram, mrt, rzf, scaled_gram, sinr, structure, sum_rate, waterfill, zf
from channelbench.solvers.small import groups_first, groups_last, inverse, product


def unit(columns: np.ndarray) -> np.ndarray:
    return columns / np.linalg.norm(columns, axis=0)


@pytest.mark.parametrize(("users", "antennas", "snr_db"), CASES)
def test_sinr_and_rate_are_their_definitions(users: int, antennas: int, snr_db: float) -> None:
    h, _power, noise_var = problem(users, antennas, snr_db)
    w = rayleigh(len(h), users, antennas, seed=1)
    for g in range(len(h)):
        rate = 0.0
        for k in range(users):
            powers = [abs(np.vdot(h[g, k], w[g, j])) ** 2 for j in range(users)]
            ratio = powers[k] / (sum(powers) - powers[k] + noise_var)
            rate += np.log2(1 + ratio)
            np.testing.assert_allclose(gains(h, w)[g, k], powers, rtol=1e-10)
            np.testing.assert_allclose(sinr(h, w, noise_var)[g, k], ratio, rtol=1e-9)
        np.testing.assert_allclose(sum_rate(h, w, noise_var)[g], rate, rtol=1e-9)


@pytest.mark.parametrize(("users", "antennas", "snr_db"), CASES)
def test_directions_and_powers_are_those_of_the_textbook(users: int, antennas: int, snr_db: float) -> None:
    h, power, noise_var = problem(users, antennas, snr_db)
    for g, columns in enumerate(h.transpose(0, 2, 1)):  # h_k as columns
        share = np.sqrt(power / users)
        regular = columns @ np.linalg.inv(columns.conj().T @ columns + users * noise_var / power * np.eye(users))
        np.testing.assert_allclose(mrt(h, power)[g].T, share * unit(columns), atol=1e-12)
        np.testing.assert_allclose(rzf(h, power, noise_var)[g].T, share * unit(regular), atol=1e-9)
        inverted = unit(np.linalg.pinv(columns.conj().T))
        np.testing.assert_allclose(zf(h, power, noise_var)[g].T, share * inverted, atol=1e-9)


@pytest.mark.parametrize(("users", "antennas", "snr_db"), CASES)
def test_structure_is_its_formula_over_antennas(users: int, antennas: int, snr_db: float) -> None:
    h, power, noise_var = problem(users, antennas, snr_db)
    rng = np.random.default_rng(0)
    p, lam = rng.dirichlet(np.ones(users), (2, len(h))) * power
    lam[::2, 0] = 0  # a user whose direction minds nobody
    w = structure(h, p, lam, noise_var)
    for g, columns in enumerate(h.transpose(0, 2, 1)):
        covariance = np.eye(antennas) + columns @ np.diag(lam[g] / noise_var) @ columns.conj().T
        expected = unit(np.linalg.inv(covariance) @ columns) * np.sqrt(p[g])
        np.testing.assert_allclose(w[g].T, expected, atol=1e-8)


def test_structure_of_singular_channels_at_high_snr() -> None:
    h = rayleigh(5, 4, 8)
    h[:, 1] = h[:, 0]
    p, lam = np.ones((5, 4)), np.tile([0.0, 1, 2, 3], (5, 1))
    found = structure(h, p, lam, 1e-9)
    # User 0 has no weight but user 1 its channel: both beams avoid users 2 and 3, and are the same.
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=1e-5)
    np.testing.assert_allclose(found[:, 2:], structure(h[:, 1:], p[:, 1:], lam[:, 1:], 1e-9)[:, 1:], atol=1e-5)


def test_zero_forcing_leaves_no_interference_and_rzf_ends_in_it_and_in_mrt() -> None:
    h, power, noise_var = problem(5, 9, 10)
    received = gains(h, zf(h, power, noise_var))
    assert np.all(received[:, ~np.eye(5, dtype=bool)] < 1e-20)
    np.testing.assert_allclose(rzf(h, power, 1e-12), zf(h, power, 1.0), atol=1e-9)
    np.testing.assert_allclose(rzf(h, power, 1e12), mrt(h, power), atol=1e-9)


def test_waterfilling_of_zero_forcing_never_loses() -> None:
    for snr_db in (-10, 0, 10, 30):
        h, power, noise_var = problem(5, 5, snr_db, groups=100)
        filled, equal = (zf(h, power, noise_var, how) for how in ("waterfilling", "equal"))
        np.testing.assert_allclose(power_of(filled), power)
        assert np.all(sum_rate(h, filled, noise_var) >= sum_rate(h, equal, noise_var) - 1e-9)
    assert np.mean(filled != 0) > 0.9


@pytest.mark.parametrize("users", [1, 2, 3, 8])
def test_waterfilling_against_search_and_conditions(users: int) -> None:
    rng = np.random.default_rng(users)
    g, power = 10 ** rng.uniform(-3, 3, (40, users)), 10 ** rng.uniform(-3, 2, 40)
    p = waterfill(g, power)
    np.testing.assert_allclose(p.sum(axis=1), power)
    best = np.log1p(g * p).sum(axis=1)
    for _ in range(300):
        other = rng.dirichlet(np.full(users, 0.3), 40) * power[:, None]
        assert np.all(np.log1p(g * other).sum(axis=1) <= best + 1e-12)
    slope = g / (1 + g * p)  # the same for all that are served, and not more for the others
    level = np.where(p > 0, slope, -np.inf).max(axis=1, keepdims=True)
    np.testing.assert_allclose(np.where(p > 0, slope, level), np.broadcast_to(level, p.shape), rtol=1e-6)
    assert np.all(slope <= level * (1 + 1e-9))


def test_waterfilling_of_extremes() -> None:
    np.testing.assert_array_equal(waterfill(np.zeros((2, 3)), 1.0), 0)
    np.testing.assert_array_equal(waterfill(np.ones((2, 4)), 0.0), 0)
    np.testing.assert_allclose(waterfill(np.array([[1e-12, 0, 1e-12]]), 1.0), [[0.5, 0, 0.5]])
    np.testing.assert_allclose(waterfill(np.array([[np.inf, 1.0]]), 4.0), [[2.5, 1.5]])


@pytest.mark.parametrize(("snr_db", "zero_forcing", "regularised"), [(10, 20.06, 20.10), (20, 33.18, 33.19)])
def test_published_level_of_rayleigh_channels(snr_db: float, zero_forcing: float, regularised: float) -> None:
    """Means over 20,000 other draws of 16 antennas and 4 users, each with a standard error of .006."""
    h, power = rayleigh(6000, 4, 16), 10 ** (snr_db / 10)
    for w, expected in ((zf(h, power, 1.0), zero_forcing), (rzf(h, power, 1.0), regularised)):
        rates = sum_rate(h, w, 1.0)
        assert abs(rates.mean() - expected) < 3 * np.hypot(rates.std() / np.sqrt(len(h)), 0.006)


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_channels_have_finite_answers(name: str) -> None:
    h = AWKWARD[name]
    silent = ~np.any(h != 0, axis=2)
    for power, noise_var in LEVELS:
        equal = np.full(h.shape[:2], power / h.shape[1])
        for w in (
            mrt(h, power),
            zf(h, power, noise_var),
            zf(h, power, noise_var, "waterfilling"),
            rzf(h, power, noise_var),
            structure(h, equal, equal, noise_var),
        ):
            assert w.dtype == np.complex128
            assert np.all(np.isfinite(w))
            assert np.all(power_of(w) <= power * (1 + 1e-9))
            assert np.all(np.isfinite(sum_rate(h, w, noise_var)))
            assert np.all(sinr(h, w, noise_var)[silent] == 0)
        if np.any(h) and power:
            np.testing.assert_allclose(power_of(zf(h, power, noise_var)), power)


def test_zero_forcing_of_singular_channels_is_the_pseudo_inverse() -> None:
    for name, h in AWKWARD.items():
        if "same" in name or "6 users" in name:
            for g, w in enumerate(zf(h, 1.0, 1.0)):
                kept = np.linalg.norm(h[g], axis=1) > 1e-100
                expected = unit(np.linalg.pinv(np.asarray(h[g, kept], complex).conj(), rcond=1e-12)).T
                np.testing.assert_allclose(w[kept], expected / np.sqrt(kept.sum()), atol=1e-6, err_msg=name)


def test_answers_do_not_depend_on_the_batch() -> None:
    h = np.concatenate([rayleigh(700, 8, 8), np.repeat(rayleigh(2, 1, 8), 8, axis=1)])
    for solve in (lambda x: zf(x, 1.0, 0.1), lambda x: rzf(x, 1.0, 0.1)):
        np.testing.assert_allclose(solve(h)[[0, 699, 701]], solve(h[[0, 699, 701]]), rtol=0, atol=1e-12)


def test_powers_and_noises_of_each_group() -> None:
    h, power, noise_var = rayleigh(6, 3, 4), np.linspace(0, 5, 6), np.geomspace(1e-3, 10, 6)
    together = [zf(h, power, noise_var, "waterfilling"), rzf(h, power, noise_var), mrt(h, power)]
    for g in range(6):
        alone, level = h[g : g + 1], (power[g], noise_var[g])
        each = [zf(alone, *level, "waterfilling"), rzf(alone, *level), mrt(alone, power[g])]
        for a, b in zip(together, each, strict=True):
            np.testing.assert_allclose(a[g], b[0], atol=1e-12)


@pytest.mark.parametrize(("power", "noise_var"), [(-1.0, 1.0), (np.inf, 1.0), (1.0, 0.0), (1.0, np.inf), (np.nan, 1.0)])
def test_no_power_and_noise_that_make_no_sense(power: float, noise_var: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        rzf(rayleigh(2, 3, 4), power, noise_var)


def test_no_unknown_allocation() -> None:
    with pytest.raises(ValueError, match="power_allocation"):
        zf(rayleigh(1, 2, 2), 1.0, 1.0, "half")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_elimination_inverts_scaled_positive_matrices(size: int) -> None:
    rng = np.random.default_rng(size)
    matrix = gram(rayleigh(20, size, size + 2)) + 0.1 * np.eye(size)
    matrix *= 10 ** rng.uniform(-6, 6, (20, size, 1)) * 10 ** rng.uniform(-6, 6, (20, 1, size))
    found, pivots = inverse(groups_last(matrix))
    identity = groups_first(product(found, groups_last(matrix)))
    scale = np.abs(groups_first(found)) @ np.abs(matrix)
    assert np.all(np.abs(identity - np.eye(size)) < 1e-13 * scale)
    np.testing.assert_allclose(np.log(pivots).sum(axis=0), np.linalg.slogdet(matrix)[1], rtol=1e-9, atol=1e-9)


def test_scaling_keeps_the_problem_up_to_its_limit() -> None:
    h = rayleigh(4, 3, 5)
    scaled, matrix, raised = scaled_gram(h, 2.0, 0.1)
    np.testing.assert_allclose(scaled, h * np.sqrt(20))
    np.testing.assert_allclose(groups_first(matrix), gram(h) * 20)
    np.testing.assert_array_equal(raised, 1)
    scaled, _matrix, raised = scaled_gram(h, 1e12, 1.0)
    np.testing.assert_allclose(np.sum(np.abs(scaled) ** 2, axis=2).max(axis=1), 1e8)
    np.testing.assert_allclose(scaled * np.sqrt(raised)[:, None, None], h * 1e6)
