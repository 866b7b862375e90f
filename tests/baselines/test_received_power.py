"""Received power alone: the regressions are the ones they claim to be."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from channelbench import registry
from channelbench.baselines.received_power import ReceivedPower, fit_polynomial
from channelbench.contracts import FitContext


def test_absolute_error_is_minimal() -> None:
    rng = np.random.default_rng(0)
    power_db = rng.normal(-10, 6, 300)
    value = 200 * 10 ** (-power_db / 40) + rng.laplace(0, 30, 300) + 500 * (rng.random(300) < 0.05)
    curve = fit_polynomial(power_db, value, absolute=True)
    basis = np.polynomial.polynomial.polyvander((power_db - curve.centre) / curve.scale, 3)
    # The same problem as a linear program: minimise Σ(u + v) with basis·c + u − v = value, u, v ≥ 0.
    eye = np.eye(300)
    exact = linprog(
        np.r_[np.zeros(4), np.ones(600)],
        A_eq=np.c_[basis, eye, -eye],
        b_eq=value,
        bounds=[(None, None)] * 4 + [(0, None)] * 600,
    )
    assert np.abs(value - basis @ curve.coefficients).sum() == pytest.approx(exact.fun, rel=1e-4)


def test_squared_error_is_minimal() -> None:
    rng = np.random.default_rng(1)
    power_db, value = rng.normal(0, 5, 100), rng.normal(90, 10, 100)
    curve = fit_polynomial(power_db, value, absolute=False)
    expected = np.polynomial.Polynomial.fit(power_db, value, 3)(power_db)
    np.testing.assert_allclose(curve(power_db), expected, atol=1e-6)


def test_predictions_stay_in_the_training_range() -> None:
    power_db = np.linspace(-20, 0, 50)
    curve = fit_polynomial(power_db, 100 - 4 * power_db, absolute=False)
    np.testing.assert_allclose(curve(np.array([-300.0, -10.0, 50.0])), [180, 140, 100], atol=1e-6)


@pytest.mark.parametrize("task", ["de", "pe"])
def test_recovers_a_monotone_relation_under_noise(make_observation: Any, make_split: Any, task: str) -> None:
    rng = np.random.default_rng(2)

    def samples(count: int, noise_var: float) -> Any:
        loss_db = rng.uniform(-15, 15, count)
        amplitude = 10 ** (-loss_db / 20)[:, None, None, None]
        phases = np.exp(2j * np.pi * rng.uniform(size=(count, 1, 64, 8)))
        noise = rng.standard_normal((2, *phases.shape)) * np.sqrt(noise_var / 2)
        value = 100 * 10 ** (loss_db / 40) if task == "de" else loss_db + 90
        return make_observation(amplitude * phases + noise[0] + 1j * noise[1], noise_var), value.astype(np.float32)

    train = make_split(*samples(400, 0.01), registry.find("tasks", task).loss)
    method = ReceivedPower()
    method.fit({task: (train, train)}, FitContext())
    observation, value = samples(200, 0.1)  # other noise than in training: its power has to be taken off
    prediction = method.predict(task, observation)
    assert prediction.dtype == np.float32
    span = np.ptp(value)
    assert np.abs(prediction - value).mean() < 0.02 * span
