"""Constellations and likelihood ratios against sionna, the standard's formulas, brute force and limits."""

import numpy as np
import pytest

from channelbench.errors import RequestError
from channelbench.solvers.constellation import (
    CONSTELLATIONS,
    bits_to_symbols,
    constellation_named,
    hard_decision,
    max_log_llrs,
    symbol_bits,
)

SIONNAS = {"bpsk": ("pam", 1), "qpsk": ("qam", 2), "16qam": ("qam", 4), "64qam": ("qam", 6), "256qam": ("qam", 8)}


def noisy(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Anywhere within and around the constellations."""
    return 1.2 * rng.standard_normal(shape) + 1.2j * rng.standard_normal(shape)


@pytest.mark.parametrize("name", SIONNAS)
def test_points_and_labels_are_sionnas(name: str) -> None:
    from sionna.phy.mapping import Constellation

    points = Constellation(*SIONNAS[name], precision="double").points.numpy()
    np.testing.assert_allclose(constellation_named(name).points, points, atol=1e-12)


def test_labels_are_the_standards() -> None:
    sixteen, sixty_four = constellation_named("16qam"), constellation_named("64QAM")
    for b, point in zip(sixteen.bits.astype(int), sixteen.points, strict=True):
        real, imag = (1 - 2 * b[0]) * (2 - (1 - 2 * b[2])), (1 - 2 * b[1]) * (2 - (1 - 2 * b[3]))
        assert point == pytest.approx(complex(real, imag) / 10**0.5)
    for b, point in zip(sixty_four.bits.astype(int), sixty_four.points, strict=True):
        s = 1 - 2 * b
        real, imag = s[0] * (4 - s[2] * (2 - s[4])), s[1] * (4 - s[3] * (2 - s[5]))
        assert point == pytest.approx(complex(real, imag) / 42**0.5)


@pytest.mark.parametrize("name", CONSTELLATIONS)
def test_unit_power_and_one_bit_between_neighbours(name: str) -> None:
    constellation = constellation_named(name)
    assert np.mean(np.abs(constellation.points) ** 2) == pytest.approx(1)
    distance = np.abs(constellation.points[:, None] - constellation.points)
    least = distance[distance > 1e-9].min()
    first, second = np.nonzero(np.isclose(distance, least))
    assert len(first)
    assert ((constellation.bits[first] != constellation.bits[second]).sum(axis=1) == 1).all()


@pytest.mark.parametrize("name", CONSTELLATIONS)
def test_bits_come_back(name: str) -> None:
    constellation = constellation_named(name)
    bits = np.random.default_rng(1).integers(0, 2, (5, 7, constellation.num_bits))
    symbols = bits_to_symbols(bits, constellation)
    assert symbols.shape == (5, 7)
    np.testing.assert_array_equal(symbol_bits(hard_decision(symbols, constellation), constellation), bits)


@pytest.mark.parametrize("name", CONSTELLATIONS)
def test_decisions_are_the_nearest_points(name: str) -> None:
    constellation = constellation_named(name)
    estimate = noisy(np.random.default_rng(2), 40, 50)
    nearest = np.abs(estimate[..., None] - constellation.points).argmin(axis=-1)
    np.testing.assert_array_equal(hard_decision(estimate, constellation), nearest)


def test_infinite_estimates_are_decided() -> None:
    constellation = constellation_named("16qam")
    corner = constellation.points[hard_decision(np.array([complex(np.inf, -np.inf)]), constellation)]
    np.testing.assert_allclose(corner, [(3 - 3j) / 10**0.5])


@pytest.mark.parametrize("name", SIONNAS)
def test_ratios_are_sionnas(name: str) -> None:
    import torch
    from sionna.phy.mapping import Constellation, Demapper

    constellation, rng = constellation_named(name), np.random.default_rng(3)
    estimate, variance = noisy(rng, 6, 30), rng.uniform(0.05, 2, (6, 30))
    theirs = Constellation(*SIONNAS[name], precision="double")
    demapper = Demapper("maxlog", constellation=theirs, precision="double")
    expected = demapper(torch.tensor(estimate), torch.tensor(variance)).numpy()
    np.testing.assert_allclose(
        max_log_llrs(estimate, variance, constellation).reshape(expected.shape), expected, atol=1e-9
    )


@pytest.mark.parametrize("name", CONSTELLATIONS)
def test_ratios_are_brute_force(name: str) -> None:
    constellation = constellation_named(name)
    estimate = noisy(np.random.default_rng(4), 3, 20)
    variance = np.array([0.1, 1.0, 4.0])
    llrs = max_log_llrs(estimate, variance[:, None], constellation)
    for row, column in np.ndindex(estimate.shape):
        distance = np.abs(estimate[row, column] - constellation.points) ** 2 / variance[row]
        for place in range(constellation.num_bits):
            one = constellation.bits[:, place] == 1
            expected = distance[~one].min() - distance[one].min()
            assert llrs[row, column, place] == pytest.approx(expected, abs=1e-9)


def test_of_bpsk_ratios_are_exact() -> None:
    estimate = noisy(np.random.default_rng(5), 100)
    llrs = max_log_llrs(estimate, np.array(0.5), constellation_named("bpsk"))
    np.testing.assert_allclose(llrs[:, 0], -4 * estimate.real / 0.5)


def test_the_stated_sign_gives_the_mutual_information() -> None:
    """Of BPSK at 0 dB, .7215 bit: the capacity of the binary-input Gaussian channel with real noise of variance 1/2."""
    rng, constellation = np.random.default_rng(6), constellation_named("bpsk")
    bits = rng.integers(0, 2, (200_000, 1))
    noise = (rng.standard_normal(200_000) + 1j * rng.standard_normal(200_000)) / 2**0.5
    llrs = max_log_llrs(bits_to_symbols(bits, constellation) + noise, np.array(1.0), constellation)
    information = 1 - np.log2(1 + np.exp((1 - 2.0 * bits) * llrs)).mean()
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    received = 1 + nodes / 2**0.5
    expected = 1 - np.sum(weights * np.log2(1 + np.exp(-4 * received))) / np.sqrt(2 * np.pi)
    assert expected == pytest.approx(0.7215, abs=1e-3)
    assert information == pytest.approx(expected, abs=0.006)


def test_limits_of_the_variance_are_finite() -> None:
    constellation = constellation_named("64qam")
    sure = max_log_llrs(constellation.points, np.zeros(64), constellation)
    assert np.isfinite(sure).all()
    np.testing.assert_array_equal(sure > 0, constellation.bits == 1)
    assert not max_log_llrs(constellation.points, np.full(64, np.inf), constellation).any()


def test_an_unknown_name_is_refused_with_choices() -> None:
    with pytest.raises(RequestError, match=r"choices: .*16qam") as caught:
        constellation_named("8psk")
    assert caught.value.choices == tuple(CONSTELLATIONS)


def test_what_is_shared_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        constellation_named("qpsk").points[0] = 0
