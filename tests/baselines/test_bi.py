"""Bilinear interpolation is exact on affine channels, and multiplies noise as the formula says."""

from typing import Any

import numpy as np
import pytest

from channelbench.baselines.bi import BilinearInterpolation


def affine(slots: np.ndarray, subcarriers: np.ndarray) -> np.ndarray:
    """``(1 + 2t)(3 − f) + j(t + f)`` on two antennas: bilinear in t and f."""
    t, f = slots[:, None, None], subcarriers[None, :, None]
    return ((1 + 2 * t) * (3 - f) + 1j * (t + f) * np.array([1, -2]))[None]


SLOTS, PILOTS, EVERYTHING = np.arange(16), np.arange(0, 64, 8), np.arange(64)


def test_estimation_is_exact_on_affine_channels(make_observation: Any) -> None:
    observation = make_observation(affine(SLOTS, PILOTS), subcarriers=PILOTS, target_subcarriers=EVERYTHING)
    prediction = BilinearInterpolation().predict("ce", observation)
    assert prediction.dtype == np.complex64
    np.testing.assert_allclose(prediction, affine(SLOTS, EVERYTHING), rtol=1e-4, atol=1e-3)


def test_prediction_is_exact_on_affine_channels(make_observation: Any) -> None:
    coming = np.arange(16, 20)
    observation = make_observation(affine(SLOTS, EVERYTHING), target_slots=coming)
    prediction = BilinearInterpolation().predict("cp", observation)
    np.testing.assert_allclose(prediction, affine(coming, EVERYTHING), rtol=1e-4, atol=1e-3)
    upper = make_observation(affine(SLOTS, EVERYTHING[:32]), target_subcarriers=EVERYTHING[32:])
    prediction = BilinearInterpolation().predict("pf", upper)
    np.testing.assert_allclose(prediction, affine(SLOTS, EVERYTHING[32:]), rtol=1e-4, atol=2e-3)


def test_extrapolation_multiplies_noise(make_observation: Any) -> None:
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal((200, 16, 8, 8)) + 1j * rng.standard_normal((200, 16, 8, 8))) * np.sqrt(0.05)
    prediction = BilinearInterpolation().predict("cp", make_observation(1 + noise, 0.1, target_slots=16 + SLOTS[:4]))
    ahead = np.arange(1, 5)
    expected = 0.1 * ((ahead + 1) ** 2 + ahead**2)  # ĥ = (k+1)·last − k·last but one
    assert (np.abs(prediction - 1) ** 2).mean(axis=(0, 2, 3)) == pytest.approx(expected, rel=0.05)
