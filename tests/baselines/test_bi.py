"""Bilinear interpolation is exact on affine channels between samples, and holds the outermost beyond them."""

from typing import Any

import numpy as np
import pytest

from channelbench.baselines.bi import BilinearInterpolation


def affine(slots: np.ndarray, subcarriers: np.ndarray) -> np.ndarray:
    """``(1 + 2t)(3 − f) + j(t + f)`` on two antennas: bilinear in t and f."""
    t, f = slots[:, None, None], subcarriers[None, :, None]
    return ((1 + 2 * t) * (3 - f) + 1j * (t + f) * np.array([1, -2]))[None]


SLOTS, PILOTS, EVERYTHING = np.arange(16), np.arange(0, 64, 8), np.arange(64)


def test_estimation_is_exact_on_affine_channels_up_to_the_last_pilot(make_observation: Any) -> None:
    observation = make_observation(affine(SLOTS, PILOTS), subcarriers=PILOTS, target_subcarriers=EVERYTHING)
    prediction = BilinearInterpolation().predict("ce", observation)
    assert prediction.dtype == np.complex64
    held = np.minimum(EVERYTHING, PILOTS[-1])
    np.testing.assert_allclose(prediction, affine(SLOTS, held), rtol=1e-4, atol=1e-3)


def test_coming_slots_and_the_upper_half_band_are_the_last_sample(make_observation: Any) -> None:
    coming = np.arange(16, 20)
    observation = make_observation(affine(SLOTS, EVERYTHING), target_slots=coming)
    prediction = BilinearInterpolation().predict("cp", observation)
    np.testing.assert_allclose(prediction, affine(np.full(4, 15), EVERYTHING), rtol=1e-5)
    upper = make_observation(affine(SLOTS, EVERYTHING[:32]), target_subcarriers=EVERYTHING[32:])
    prediction = BilinearInterpolation().predict("pf", upper)
    np.testing.assert_allclose(prediction, affine(SLOTS, np.full(32, 31)), rtol=1e-5)


@pytest.mark.parametrize(("task", "where"), [("cp", "target_slots"), ("pf", "target_subcarriers")])
def test_noise_is_not_multiplied_beyond_the_edges(make_observation: Any, task: str, where: str) -> None:
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal((200, 16, 16, 8)) + 1j * rng.standard_normal((200, 16, 16, 8))) * np.sqrt(0.05)
    prediction = BilinearInterpolation().predict(task, make_observation(1 + noise, 0.1, **{where: 16 + SLOTS[:4]}))
    error = np.abs(prediction - 1) ** 2
    axis = (0, 2, 3) if task == "cp" else (0, 1, 3)
    np.testing.assert_allclose(error.mean(axis=axis), 0.1, rtol=0.05)
