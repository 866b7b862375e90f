"""Vector Prony against sums of exponentials in closed form, brute force, and its limits."""

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench.solvers.prony import extrapolation_weights, prediction_coefficients, roots, slot_covariance

Complex = NDArray[np.complex128]


def complex_normal(rng: np.random.Generator, *shape: int) -> Complex:
    return rng.standard_normal((*shape, 2)).view(np.complex128)[..., 0] / np.sqrt(2)


def exponentials(z: Complex, amplitudes: Complex, times: NDArray[np.float64]) -> Complex:
    """``Σ_k c_k z_k^t``, ``[times, series]`` of amplitudes ``[exponentials, series]``."""
    return (z[None, :] ** times[:, None]) @ amplitudes


def test_covariance_is_the_mean_forwards_and_backwards_less_the_noise() -> None:
    rng = np.random.default_rng(0)
    y = complex_normal(rng, 2, 5, 40)
    brute = np.zeros((2, 5, 5), complex)
    for b, s, t in np.ndindex(2, 5, 5):
        forward = np.mean(y[b, s] * y[b, t].conj())
        backward = np.mean(y[b, 4 - s].conj() * y[b, 4 - t])
        brute[b, s, t] = (forward + backward) / 2
    np.testing.assert_allclose(slot_covariance(y, np.zeros(2)), brute, atol=1e-12)
    least = np.linalg.eigvalsh(brute)[:, 0] / 2  # what can be taken from all eigenvalues
    np.testing.assert_allclose(slot_covariance(y, least), brute - least[:, None, None] * np.eye(5), atol=1e-12)
    assert np.linalg.eigvalsh(slot_covariance(y, np.full(2, 0.9))).min() > -1e-12
    np.testing.assert_array_equal(slot_covariance(y, np.full(2, 99.0)), 0)


@pytest.mark.parametrize("order", [1, 3, 7])
def test_coefficients_are_those_of_least_squares(order: int) -> None:
    """All equations of all series, forwards and backwards, by ``lstsq``, the ridge as rows of its own."""
    rng = np.random.default_rng(1)
    y, ridge = complex_normal(rng, 1, 8, 30), 0.3
    rows, right = [np.sqrt(ridge * 2 * 30) * np.eye(order)], [np.zeros(order)]
    for series in (y[0], y[0, ::-1].conj()):
        for t in range(order, 8):
            rows.append(series[t - 1 :: -1][:order].T)
            right.append(series[t])
    want = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0]
    found = prediction_coefficients(slot_covariance(y, np.zeros(1)), order, np.array([ridge]))
    np.testing.assert_allclose(found[0], want, atol=1e-9)


def test_roots_are_those_of_the_polynomial_and_never_outside_the_circle() -> None:
    rng = np.random.default_rng(2)
    inside = 0.9 * np.exp(2j * np.pi * rng.uniform(size=(4, 3)))
    coefficients = np.stack([-np.poly(z)[1:] for z in inside])
    found = roots(coefficients)
    for ours, want in zip(found, inside, strict=True):
        assert np.abs(ours[:, None] - want).min(axis=0).max() < 1e-10
    wild = roots(10 * complex_normal(rng, 50, 4))
    assert np.abs(wild).max() <= 1 + 1e-12
    np.testing.assert_allclose(roots(np.array([[2j]])), [[1j]])


@pytest.mark.parametrize(("count", "order"), [(1, 1), (3, 3), (3, 6), (2, 11)])
def test_a_sum_of_exponentials_is_continued_exactly(count: int, order: int) -> None:
    rng = np.random.default_rng(3)
    z = np.exp(2j * np.pi * np.linspace(-0.21, 0.3, count) + 0j)
    amplitudes = complex_normal(rng, count, 20)
    seen, wanted = np.arange(12.0), np.array([12.0, 12.5, 17.0, 40.0])
    y = exponentials(z, amplitudes, seen)[None]
    covariance = slot_covariance(y, np.zeros(1))
    found = roots(prediction_coefficients(covariance, order, np.zeros(1)))
    prediction = extrapolation_weights(found, seen, wanted) @ y
    np.testing.assert_allclose(prediction[0], exponentials(z, amplitudes, wanted), atol=1e-4)


def test_a_decaying_exponential_has_its_modulus() -> None:
    """A pole within the circle is no path, but forwards alone it would be continued as it is."""
    y = exponentials(np.array([0.8 + 0j]), np.ones((1, 1)), np.arange(6.0))[None]
    one_way = (y @ y.conj().swapaxes(1, 2)) / 1
    np.testing.assert_allclose(roots(prediction_coefficients(one_way, 1, np.zeros(1))), [[0.8]], atol=1e-9)


def test_predictions_stay_bounded_whatever_is_seen() -> None:
    rng = np.random.default_rng(4)
    y = np.cumsum(complex_normal(rng, 30, 10, 3), axis=1) ** 3  # grows like no exponential of modulus one
    z = roots(prediction_coefficients(slot_covariance(y, np.zeros(30)), 2, np.zeros(30)))
    near, far = (np.abs(extrapolation_weights(z, np.arange(10.0), np.array([time])) @ y).max() for time in (1e2, 1e6))
    assert np.isfinite(near)
    assert far < 10 * near


def test_silence_has_zero_coefficients_and_coinciding_roots_no_say() -> None:
    zero = prediction_coefficients(np.zeros((1, 6, 6), complex), 3, np.zeros(1))
    np.testing.assert_array_equal(zero, 0)
    twice = np.array([[1j, 1j]])
    weights = extrapolation_weights(twice, np.arange(4.0), np.array([4.0, 5.0]))
    np.testing.assert_allclose(weights @ (1j ** np.arange(4.0)), [[1, 1j]], atol=1e-6)


def test_one_exponential_is_averaged_over_all_slots() -> None:
    """The noise of the prediction is that of a slot over their number: the squared norm of the weights."""
    weights = extrapolation_weights(np.array([[np.exp(0.4j)]]), np.arange(16.0), np.array([16.0, 25.0]))
    np.testing.assert_allclose(np.sum(np.abs(weights) ** 2, axis=-1), 1 / 16)
