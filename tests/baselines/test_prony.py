"""Vector Prony continues what is a sum of exponentials, from few slots, under noise, and says what it cannot."""

from typing import Any

import numpy as np
import pytest

from channelbench.baselines.prony import Setting, VectorProny, continue_exponentials
from channelbench.contracts import FitContext
from channelbench.errors import RequestError

SLOTS, COMING = np.arange(16), np.arange(16, 20)


def channel(
    rng: np.random.Generator, batch: int, slots: np.ndarray, subcarriers: int = 6, paths: int = 3
) -> np.ndarray:
    """A few paths of random Doppler, delay and angle, ``[batch, slots, subcarriers, 4]``; the same for any slots."""
    shape = (batch, paths, 1, 1, 1)
    doppler, delay, angle, phase = (rng.uniform(-0.5, 0.5, shape) for _ in range(4))
    t, f, n = slots[:, None, None], np.arange(subcarriers)[:, None], np.arange(4)
    turns = 0.3 * doppler * t + delay * f + angle * n + phase
    return np.exp(2j * np.pi * turns).sum(axis=1) / np.sqrt(paths)


def noise(rng: np.random.Generator, shape: tuple[int, ...], variance: float) -> np.ndarray:
    return np.sqrt(variance / 2) * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))


def normalised_error(prediction: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sum(np.abs(prediction - truth) ** 2) / np.sum(np.abs(truth) ** 2))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("order", [3, 6])
def test_paths_are_continued_exactly_without_noise(make_observation: Any, order: int, sparse: bool) -> None:
    seen, wanted = (channel(np.random.default_rng(0), 5, slots) for slots in (SLOTS, COMING))
    prediction = continue_exponentials(make_observation(seen, target_slots=COMING), Setting(order, sparse))
    assert prediction.dtype == np.complex64
    assert normalised_error(prediction, wanted) < 1e-5


def test_between_the_exponentials_of_two_slots_and_holding_one(make_observation: Any) -> None:
    rng = np.random.default_rng(1)
    seen, wanted = (channel(np.random.default_rng(2), 3, slots, paths=1) for slots in (SLOTS[:2], COMING))
    two = continue_exponentials(make_observation(seen, target_slots=COMING), Setting(8, False))
    assert normalised_error(two, wanted) < 1e-6
    one = rng.standard_normal((3, 1, 6, 4)) + 0j
    for sparse in (False, True):
        held = continue_exponentials(make_observation(one, target_slots=COMING), Setting(8, sparse))
        np.testing.assert_allclose(held, np.repeat(one, 4, axis=1), atol=1e-5)


def test_noise_is_averaged_over_slots_and_bins(make_observation: Any) -> None:
    """Of a path in one bin of angle and delay, bins keep the noise of that bin alone."""
    doppler = np.random.default_rng(4).uniform(-0.1, 0.1, (200, 1, 1, 1))
    both = np.exp(2j * np.pi * doppler * np.arange(20)[:, None, None]) * np.ones((16, 4))
    seen, wanted = both[:, :16], both[:, 16:]
    observation = make_observation(seen + noise(np.random.default_rng(3), seen.shape, 0.1), 0.1, target_slots=COMING)
    plain, sparse = (
        normalised_error(continue_exponentials(observation, Setting(4, sparse)), wanted) for sparse in (False, True)
    )
    assert normalised_error(observation.h[:, -1:] + 0 * wanted, wanted) > 0.1
    assert plain < 0.03
    assert sparse < plain / 3


def test_scale_and_silence(make_observation: Any) -> None:
    rng = np.random.default_rng(5)
    seen = channel(rng, 4, SLOTS) + 0.1 * rng.standard_normal((4, 16, 6, 4))
    scale = np.array([1, 1e-6, 1e6, 0])
    observation = make_observation(seen[:1] * scale[:, None, None, None], 0.01 * scale**2, target_slots=COMING)
    prediction = continue_exponentials(observation, Setting(4, True))
    for row in (1, 2):
        np.testing.assert_allclose(prediction[row], prediction[0] * scale[row], rtol=1e-3, atol=1e-3 * scale[row])
    np.testing.assert_array_equal(prediction[3], 0)


def test_pilots_are_interpolated_and_wanted_slots_may_lie_anywhere(make_observation: Any) -> None:
    turning = np.exp(0.2j * SLOTS)[None, :, None, None] * np.arange(0, 9, 4)[None, None, :, None] * np.ones(4)
    ahead = np.array([16.0, 18.5])
    observation = make_observation(
        turning, target_slots=ahead, subcarriers=np.arange(0, 9, 4), target_subcarriers=np.arange(9)
    )
    want = np.exp(0.2j * ahead)[None, :, None, None] * np.arange(9)[None, None, :, None] * np.ones(4)
    np.testing.assert_allclose(continue_exponentials(observation, Setting(1, False)), want, atol=1e-3)


def test_unequal_slots_are_refused_in_a_line(make_observation: Any) -> None:
    observation = make_observation(channel(np.random.default_rng(6), 2, SLOTS), target_slots=COMING)
    observation.grid.slot_s[3] += 1e-4
    with pytest.raises(RequestError, match="slots: expected equally spaced observed slots"):
        continue_exponentials(observation, Setting(2, False))


def test_validation_decides(make_observation: Any, make_split: Any) -> None:
    rng = np.random.default_rng(7)

    def split(paths: int, noise_var: float) -> Any:
        both = channel(rng, 40, np.arange(20), 16, paths)
        seen = both[:, :16] + noise(rng, (40, 16, 16, 4), noise_var)
        return make_split(make_observation(seen, noise_var, target_slots=COMING), both[:, 16:])

    few, many = split(1, 0.1), split(6, 1e-4)
    method = VectorProny()
    method.fit({"few": (few, few), "many": (many, many)}, FitContext())
    assert method.settings["few"].order < method.settings["many"].order
    for name, data in (("few", few), ("many", many)):
        observation, target = data.observe()
        error = normalised_error(method.predict(name, observation), target.value)
        for order in (1, 2, 3, 4, 6, 8, 10, 12):
            for sparse in (False, True):
                other = continue_exponentials(observation, Setting(order, sparse))
                assert error <= normalised_error(other, target.value) * 1.1, (order, sparse)
