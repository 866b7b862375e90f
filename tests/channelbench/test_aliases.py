"""Delays that look alike under a comb: their geometry, their shares, and LMMSE with all of them written out."""

import cmath
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generator import Paths
from channelbench.grid import ChannelGrid
from channelbench.solvers.aliases import BINS_PER_SUBCARRIER, FLOOR, Comb, comb_of, delay_profile, repeat_gain
from channelbench.solvers.lmmse import path_lmmse

SPACING = 1e6
WANTED = 2e9 + SPACING * np.arange(-6, 6)
COMB = comb_of(WANTED[::4], WANTED)


def test_the_comb_of_every_fourth_subcarrier() -> None:
    assert (COMB.repeats, COMB.size) == (4, 12)
    assert COMB.window_s == pytest.approx(1e-6)
    assert COMB.position == tuple(range(12))


@pytest.mark.parametrize(
    ("seen", "wanted", "repeats", "position"),
    [
        ([0, 1, 2, 3], [4, 5, 6], 1, (4, 5, 6)),  # the other half of the band
        ([2, 8, 11], [0, 1, 2], 3, (-2, -1, 0)),  # multiples of 3 apart, the first in the middle
        ([1, 5], [1, 3, 5], 2, (0, 1, 2)),  # no two wanted subcarriers are neighbours
    ],
)
def test_combs_of_all_kinds(seen: list[int], wanted: list[int], repeats: int, position: tuple[int, ...]) -> None:
    comb = comb_of(2e9 + SPACING * np.array(seen), 2e9 + SPACING * np.array(wanted))
    assert (comb.repeats, comb.position) == (repeats, position)


@pytest.mark.parametrize("seen", [[0.0], [0, 2.3, 4]])
def test_what_is_no_comb_is_refused(seen: list[float]) -> None:
    with pytest.raises(RequestError, match="subcarriers: expected"):
        comb_of(2e9 + SPACING * np.array(seen), WANTED)


def test_delays_beyond_the_window_are_counted_where_they_look_to_be() -> None:
    bins = 12 * BINS_PER_SUBCARRIER
    width = 1e-6 / bins
    delay_s = np.array([[0.0, 0.5 * width, 1e-6 + 2.5 * width], [3.5 * width, 1e-6 - 0.5 * width, 7e-6 + 2.5 * width]])
    first = delay_profile(np.array([[1.0, 2, 4], [8, 16, 32]]), delay_s, COMB)
    want = np.zeros(bins)
    want[[0, 2, 3, bins - 1]] = 3, 36, 8, 16
    np.testing.assert_array_equal(first, want)
    np.testing.assert_array_equal(delay_profile(np.ones((2, 3)), delay_s, COMB, first)[[0, 1]], [5, 0])


def brute_gain(delay_s: float, profile: NDArray[np.float64], comb: Comb) -> NDArray[np.complex128]:
    bins, total = len(profile), profile.sum()
    delays = [delay_s + r * comb.window_s / comb.repeats for r in range(comb.repeats)]
    power = [profile[int(d / comb.window_s * bins) % bins] + FLOOR * total for d in delays]
    gain = np.zeros(len(comb.position), complex)
    for k, position in enumerate(comb.position):
        for delay, share in zip(delays, power, strict=True):
            turn = cmath.exp(-2j * math.pi * position / comb.window_s * (delay - delay_s))
            gain[k] += share / sum(power) * turn
    return gain


def test_gain_is_the_mean_response_of_the_repeats() -> None:
    rng = np.random.default_rng(0)
    profile, delay_s = rng.exponential(size=48), rng.uniform(0, 3e-6, 7)
    gain = repeat_gain(delay_s, profile, COMB)
    for path in range(7):
        np.testing.assert_allclose(gain[:, path], brute_gain(delay_s[path], profile, COMB), atol=1e-9)
    np.testing.assert_allclose(gain[::4], 1, atol=1e-12)
    assert (np.abs(gain[np.arange(12) % 4 != 0]) < 0.999).all()


def test_limits_of_the_profile() -> None:
    delay_s = np.linspace(0, 2.4e-7, 9)
    within = np.zeros(48)
    within[:12] = 1  # every delay of the ensemble lies in the comb's first period
    np.testing.assert_allclose(repeat_gain(delay_s, within, COMB), 1, atol=1e-4)
    nothing = repeat_gain(delay_s, np.zeros(48), COMB)
    np.testing.assert_allclose(nothing[np.arange(12) % 4 != 0], 0, atol=1e-12)  # four equal shares cancel


GRID = ChannelGrid(
    carrier_hz=2e9,
    subcarrier_hz=WANTED[::4],
    slot_s=np.array([0.0, 0.5e-3, 1e-3]),
    antenna_position=np.array([[0, y, 0] for y in (-0.5, 0.0, 0.5)]),
    target_subcarrier_hz=WANTED,
    target_slot_s=np.array([0.0, 0.5e-3, 1e-3]),
)


def test_lmmse_equals_that_of_all_repeats_written_out() -> None:
    """Each path as four of their own delays and powers, which is another Gram matrix and another synthesis."""
    rng = np.random.default_rng(1)
    direction = rng.standard_normal((1, 6, 3))
    paths = Paths(
        power=rng.exponential(size=(1, 6)),
        delay_s=rng.uniform(0, 1e-6, (1, 6)),
        doppler_hz=rng.uniform(-150, 150, (1, 6)),
        direction=direction / np.linalg.norm(direction, axis=-1, keepdims=True),
    )
    paths.power[0, 2] = 0
    profile = rng.exponential(size=48)
    period, bins = COMB.window_s / 4, len(profile)
    delays = np.mod(paths.delay_s[..., None], period) + period * np.arange(4)
    known = profile[np.floor(delays / COMB.window_s * bins).astype(int)] + FLOOR * profile.sum()
    shares = known / known.sum(axis=-1, keepdims=True)
    delays[0, 0], shares[0, 0] = paths.delay_s[0, 0], [1, 0, 0, 0]  # this one is known
    written_out = Paths(
        power=(paths.power[..., None] * shares).reshape(1, -1),
        delay_s=delays.reshape(1, -1),
        doppler_hz=np.repeat(paths.doppler_hz, 4, axis=1),
        direction=np.repeat(paths.direction, 4, axis=1),
    )
    h = rng.standard_normal((1, 3, 3, 3, 2)).astype(np.float32).view(np.complex64)[..., 0]
    noise_var = np.array([0.1], np.float32)
    gain = repeat_gain(paths.delay_s[0], profile, COMB)
    gain[:, 0] = 1
    ours = path_lmmse(h, noise_var, paths, GRID, gain[None])
    np.testing.assert_allclose(ours, path_lmmse(h, noise_var, written_out, GRID), atol=1e-5)
    assert np.abs(ours - path_lmmse(h, noise_var, paths, GRID)).max() > 0.1
