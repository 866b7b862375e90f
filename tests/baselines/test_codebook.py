"""The sub-6-GHz scan finds the mmWave beam of a single path."""

from typing import Any

import numpy as np
import pytest

from channelbench.baselines.codebook import Codebook
from channelbench.solvers.dft import beam_spectral_efficiency, steering_vectors


def single_path(sine: np.ndarray, antennas: int, ratio: np.ndarray) -> np.ndarray:
    """``[directions, 1, subcarriers, antennas]`` of paths from ``sine`` = u_y, for elements half a wavelength apart."""
    half = np.arange(antennas) - (antennas - 1) / 2
    position = np.stack([0 * half, half / 2, 0 * half], axis=-1)
    direction = np.stack([np.sqrt(1 - sine**2), sine, 0 * sine], axis=-1)
    return np.moveaxis(steering_vectors(position, direction, ratio), -1, 0)[:, None]


def test_every_beam_is_found_at_its_own_direction(make_observation: Any) -> None:
    beams = np.arange(256)
    sine = np.where(beams < 128, beams, beams - 256) / 128
    ratio = 1 + 1e6 * np.arange(12) / 2e9
    observation = make_observation(single_path(sine, 8, ratio), num_beams=256, num_beam_antennas=64)
    scores = Codebook().predict("bf", observation)
    np.testing.assert_array_equal(scores.argmax(axis=1), beams)
    np.testing.assert_allclose(scores.max(axis=1), 12 * 8**2, rtol=1e-4)  # in phase over 8 antennas, 12 subcarriers


def test_squint_is_followed(make_observation: Any) -> None:
    ratio = 1 + 1e6 * np.arange(400) / 2e9  # up to 20 % above the carrier
    observation = make_observation(single_path(np.array([0.5]), 8, ratio), num_beams=256, num_beam_antennas=64)
    assert Codebook().predict("bf", observation).argmax() == 64


def test_agrees_with_the_best_beam_of_a_noisy_single_path(make_observation: Any) -> None:
    rng = np.random.default_rng(0)
    sine = rng.uniform(-0.85, 0.85, 200)
    phase = np.exp(2j * np.pi * rng.uniform(size=(200, 1, 1, 1)))
    best = beam_spectral_efficiency(single_path(sine, 64, np.ones(1)).astype(np.complex64), 256).argmax(axis=1)
    h = phase * single_path(sine, 8, 1 + 1e6 * np.arange(64) / 2e9)
    h = h + np.sqrt(0.05) * (rng.standard_normal(h.shape) + 1j * rng.standard_normal(h.shape))
    guess = Codebook().predict("bf", make_observation(h, 0.1, num_beams=256, num_beam_antennas=64)).argmax(axis=1)
    distance = np.abs((guess - best + 128) % 256 - 128)
    assert distance.max() <= 2
    assert np.mean(distance == 0) > 0.6


def test_directions_follow_the_arrays_spacing(make_observation: Any) -> None:
    observation = make_observation(np.ones((1, 1, 2, 8)), num_beams=12, num_beam_antennas=64)
    from channelbench.baselines.codebook import beam_directions

    np.testing.assert_allclose(beam_directions(observation)[:, 1], np.fft.fftfreq(12) * 2)
    sparse = make_observation(np.ones((1, 1, 2, 8)), num_beams=12, beam_spacing_wavelengths=0.6)
    assert beam_directions(sparse)[3, 1] == pytest.approx(0.25 / 0.6)
    np.testing.assert_allclose(np.linalg.norm(beam_directions(sparse), axis=1), 1)
