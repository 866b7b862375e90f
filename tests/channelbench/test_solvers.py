"""Solvers against brute force in float64, closed forms and limits."""

import cmath
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench.generator import Paths
from channelbench.grid import ChannelGrid
from channelbench.solvers import dft
from channelbench.solvers.dft import beam_spectral_efficiency, dft_codebook, steering_vectors
from channelbench.solvers.interpolation import apply_along, linear_weights, nearest
from channelbench.solvers.lmmse import apply_separable, path_lmmse, project_psd, separable_error, separable_filter

Complex = NDArray[np.complex128]


def complex_normal(rng: np.random.Generator, *shape: int) -> Complex:
    pairs = rng.standard_normal((*shape, 2)) / math.sqrt(2)
    return pairs.view(np.complex128)[..., 0]


def random_covariance(rng: np.random.Generator, size: int) -> Complex:
    root = complex_normal(rng, size, size)
    return root @ root.conj().T / size


# --- beams -----------------------------------------------------------------------------------------------------------


def test_codebook_is_the_formula() -> None:
    codebook = dft_codebook(6, 16)
    for beam in range(16):
        for element in range(6):
            expected = cmath.exp(2j * math.pi * element * beam / 16) / math.sqrt(6)
            assert codebook[beam, element] == pytest.approx(expected, abs=1e-14)


def test_orthogonal_where_beams_are_as_many_as_antennas() -> None:
    codebook = dft_codebook(12, 12)
    np.testing.assert_allclose(codebook @ codebook.conj().T, np.eye(12), atol=1e-13)


def brute_force_efficiency(h: NDArray[np.complex64], num_beams: int) -> NDArray[np.float64]:
    codebook = dft_codebook(h.shape[-1], num_beams)
    result = np.zeros((len(h), num_beams))
    for sample, vectors in enumerate(h.astype(complex).reshape(len(h), -1, h.shape[-1])):
        for vector in vectors:
            noise = np.linalg.norm(vector) ** 2 / len(vector) / 10
            for beam, weights in enumerate(codebook):
                result[sample, beam] += math.log2(1 + abs(np.vdot(vector, weights)) ** 2 / noise) / len(vectors)
    return result


@pytest.mark.parametrize(("antennas", "beams"), [(8, 32), (8, 8), (5, 7), (7, 5), (12, 4)])
def test_beam_efficiency_equals_brute_force(antennas: int, beams: int) -> None:
    h = complex_normal(np.random.default_rng(0), 3, 2, 4, antennas).astype(np.complex64)
    result = beam_spectral_efficiency(h, beams)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, brute_force_efficiency(h, beams), rtol=2e-5)


def test_beam_efficiency_of_a_beam_is_the_matched_filter_bound() -> None:
    h = dft_codebook(64, 256)[[0, 17, 200], None, None, :].astype(np.complex64)
    result = beam_spectral_efficiency(h, 256)
    np.testing.assert_array_equal(result.argmax(axis=1), [0, 17, 200])
    np.testing.assert_allclose(result.max(axis=1), math.log2(1 + 10 * 64), rtol=1e-6)


def test_beam_efficiency_ignores_scale_and_survives_zeros() -> None:
    h = complex_normal(np.random.default_rng(1), 2, 1, 3, 8).astype(np.complex64)
    whole = beam_spectral_efficiency(h, 16)
    np.testing.assert_allclose(beam_spectral_efficiency(h * np.float32(1e-25), 16), whole, rtol=1e-4)
    np.testing.assert_array_equal(beam_spectral_efficiency(np.zeros_like(h), 16), 0)
    h[1, 0, 1] = 0
    assert np.isfinite(beam_spectral_efficiency(h, 16)).all()


@pytest.mark.parametrize("turn", [1, -1, 1j, -1j, (1 + 1j) / math.sqrt(2)])
def test_beam_efficiency_of_channels_too_weak_to_be_squared(turn: complex) -> None:
    """Whatever part of the complex plane they lie in, and though antennas, or most of their power, are missing."""
    amplitude = np.random.default_rng(12).uniform(0.5, 1.5, (3, 1, 4, 8))
    amplitude[0, ..., 0] = 0
    amplitude[1, ..., :7] *= 1e-3
    h = (amplitude * turn).astype(np.complex64)
    expected = brute_force_efficiency(h, 16)
    np.testing.assert_allclose(beam_spectral_efficiency(h * np.float32(1e-25), 16), expected, rtol=1e-4)
    np.testing.assert_allclose(beam_spectral_efficiency(h * np.float32(1e25), 16), expected, rtol=1e-4)


def test_beam_efficiency_does_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    h = complex_normal(np.random.default_rng(2), 7, 1, 16, 8).astype(np.complex64)
    whole = beam_spectral_efficiency(h, 32)
    monkeypatch.setattr(dft, "_CHUNK_ELEMENTS", 2 * 16 * 32)
    np.testing.assert_array_equal(beam_spectral_efficiency(h, 32), whole)
    assert beam_spectral_efficiency(h[:0], 32).shape == (0, 32)


def test_steering_vector_in_closed_form() -> None:
    position = np.array([[0, 0.5 * n, 0] for n in range(4)])
    azimuth = 0.4
    direction = np.array([[math.cos(azimuth), math.sin(azimuth), 0.0]])
    response = steering_vectors(position, direction, np.array([1.0, 1.1]))
    assert response.shape == (2, 4, 1)
    for row, ratio in enumerate((1.0, 1.1)):
        for n in range(4):
            expected = cmath.exp(1j * math.pi * ratio * n * math.sin(azimuth))
            assert response[row, n, 0] == pytest.approx(expected, abs=1e-13)


# --- interpolation ---------------------------------------------------------------------------------------------------


def test_linear_weights_are_exact_on_lines_and_equal_numpy_everywhere() -> None:
    rng = np.random.default_rng(3)
    known = np.sort(rng.uniform(0, 10, 6))
    wanted = np.linspace(-5, 15, 41)
    weights = linear_weights(known, wanted)
    inside = (wanted >= known[0]) & (wanted <= known[-1])
    assert 5 < inside.sum() < 36
    np.testing.assert_allclose((weights @ (3 * known - 7))[inside], 3 * wanted[inside] - 7, atol=1e-9)
    values = rng.standard_normal(6)
    np.testing.assert_allclose(weights @ values, np.interp(wanted, known, values), atol=1e-12)


def test_linear_weights_hold_a_single_sample() -> None:
    np.testing.assert_array_equal(linear_weights(np.array([2.0]), np.array([0.0, 9.0])), [[1], [1]])


def test_linear_weights_are_the_identity_on_the_samples_themselves() -> None:
    known = np.array([0.0, 0.5e-3, 1e-3, 1.5e-3])
    np.testing.assert_array_equal(linear_weights(known, known), np.eye(4))


def test_nearest_takes_the_earlier_of_two() -> None:
    np.testing.assert_array_equal(
        nearest(np.array([0.0, 8, 16]), np.array([-9.0, 3, 4, 5, 12, 99])), [0, 0, 0, 1, 1, 2]
    )


def test_apply_along_every_axis() -> None:
    rng = np.random.default_rng(4)
    values = complex_normal(rng, 2, 3, 4, 5)
    for axis, letters in ((1, "rt,btfa->brfa"), (2, "rf,btfa->btra"), (3, "ra,btfa->btfr")):
        matrix = rng.standard_normal((6, values.shape[axis]))
        np.testing.assert_allclose(apply_along(matrix, values, axis), np.einsum(letters, matrix, values), atol=1e-12)
    assert apply_along(matrix, values.astype(np.complex64), 3).dtype == np.complex64


# --- LMMSE with separable covariances --------------------------------------------------------------------------------


def test_separable_filter_equals_the_textbook() -> None:
    rng = np.random.default_rng(5)
    joint = [random_covariance(rng, size) for size in (5, 7, 3)]
    seen = [np.arange(3), np.array([0, 2, 4, 6]), np.arange(3)]
    wanted = [np.array([3, 4]), np.arange(7), np.arange(3)]
    factors = [(full[np.ix_(o, o)], full[np.ix_(t, o)]) for full, o, t in zip(joint, seen, wanted, strict=True)]
    y, noise_var = complex_normal(rng, 4, 3, 4, 3), np.array([1e-3, 0.1, 1.0, 30.0])
    result = apply_separable(separable_filter(factors), y, noise_var)

    def kron(part: int) -> Complex:
        return np.kron(np.kron(factors[0][part], factors[1][part]), factors[2][part])

    for row in range(4):
        dense = kron(1) @ np.linalg.solve(kron(0) + noise_var[row] * np.eye(36), y[row].ravel())
        np.testing.assert_allclose(result[row].ravel(), dense, atol=1e-9)


def test_separable_filter_limits() -> None:
    rng = np.random.default_rng(6)
    full = [random_covariance(rng, size) for size in (3, 4)]
    prepared = separable_filter([(factor, factor) for factor in full])
    y = complex_normal(rng, 2, 3, 4)
    np.testing.assert_allclose(apply_separable(prepared, y, np.zeros(2)), y, atol=1e-8)  # all seen, no noise: LS
    assert np.abs(apply_separable(prepared, y, np.full(2, 1e9))).max() < 1e-6  # noise only: nothing


def test_separable_filter_of_a_singular_covariance_projects() -> None:
    rng = np.random.default_rng(7)
    vector = complex_normal(rng, 6)
    rank_one = np.outer(vector, vector.conj())
    y = complex_normal(rng, 1, 6)
    projected = vector * (vector.conj() @ y[0]) / np.vdot(vector, vector)
    result = apply_separable(separable_filter([(rank_one, rank_one)]), y, np.zeros(1))
    np.testing.assert_allclose(result[0], projected, atol=1e-9)
    nothing = np.zeros((6, 6), complex)
    np.testing.assert_array_equal(apply_separable(separable_filter([(nothing, nothing)]), y, np.zeros(1)), 0)


@pytest.mark.parametrize("power", [1e-18, 1e-9, 1e9, 1e18])
def test_separable_filter_has_no_scale_of_its_own(power: float) -> None:
    """Covariances and noise in other units of power give the same filter, of whatever rank."""
    rng = np.random.default_rng(13)
    vectors = complex_normal(rng, 6, 2)
    covariance, y = vectors @ vectors.conj().T, complex_normal(rng, 3, 6)
    noise_var = np.array([0.0, 0.1, 3.0])
    expected = apply_separable(separable_filter([(covariance, covariance)]), y, noise_var)
    scaled = separable_filter([(covariance * power, covariance * power)])
    assert scaled.basis[0].shape == (6, 2), "its rank"
    np.testing.assert_allclose(apply_separable(scaled, y, noise_var * power), expected, rtol=1e-7, atol=1e-9)


def test_project_psd() -> None:
    rng = np.random.default_rng(8)
    covariance = random_covariance(rng, 5)
    np.testing.assert_allclose(project_psd(covariance), covariance, atol=1e-12)
    indefinite = covariance - np.eye(5)
    projected = project_psd(indefinite)
    values = np.linalg.eigvalsh(indefinite)
    np.testing.assert_allclose(np.linalg.eigvalsh(projected), np.maximum(values, 0), atol=1e-12)


# --- LMMSE with known paths ------------------------------------------------------------------------------------------

GRID = ChannelGrid(
    carrier_hz=2e9,
    subcarrier_hz=2e9 + 5e6 * np.array([-4.0, -2, 0]),
    slot_s=np.array([0.0, 0.5e-3, 1e-3, 1.5e-3]),
    antenna_position=np.array([[0, y, z] for z in (0, 0.5) for y in (-0.5, 0.0, 0.5)]),
    target_subcarrier_hz=2e9 + 5e6 * np.arange(-4.0, 3),
    target_slot_s=np.array([1.5e-3, 2e-3, 2.5e-3]),
)


def random_paths(rng: np.random.Generator, batch: int, paths: int) -> Paths:
    direction = rng.standard_normal((batch, paths, 3))
    power = rng.exponential(size=(batch, paths))
    return Paths(
        power=power / power.sum(axis=1, keepdims=True),
        delay_s=rng.exponential(100e-9, (batch, paths)),
        doppler_hz=rng.uniform(-150, 150, (batch, paths)),
        direction=direction / np.linalg.norm(direction, axis=-1, keepdims=True),
    )


def columns(paths: Paths, row: int, slot_s: NDArray[np.float64], frequency: NDArray[np.float64]) -> Complex:
    """``√P_p v_p(t, f, n)`` entry by entry, ``[t·f·n, paths]``."""
    entries = np.empty((len(slot_s), len(frequency), len(GRID.antenna_position), paths.power.shape[1]), complex)
    for (t, f, n, p), _ in np.ndenumerate(entries):
        cycles = paths.doppler_hz[row, p] * slot_s[t]
        cycles -= (frequency[f] - GRID.carrier_hz) * paths.delay_s[row, p]
        cycles += frequency[f] / GRID.carrier_hz * float(GRID.antenna_position[n] @ paths.direction[row, p])
        entries[t, f, n, p] = math.sqrt(paths.power[row, p]) * cmath.exp(2j * math.pi * cycles)
    return entries.reshape(-1, entries.shape[-1])


@pytest.mark.parametrize("num_paths", [3, 200])
def test_path_lmmse_equals_the_dense_formula(num_paths: int) -> None:
    rng = np.random.default_rng(9)
    paths = random_paths(rng, 2, num_paths)
    paths.power[0, :2] = 0  # absent in one sample
    paths.power[:, -1] = 0  # absent in all
    noise_var = np.array([0.1, 1e-3], np.float32)
    h = complex_normal(rng, 2, 4, 3, 6).astype(np.complex64)
    result = path_lmmse(h, noise_var, paths, GRID)
    assert result.shape == (2, 3, 7, 6)
    for row in range(2):
        seen = columns(paths, row, GRID.slot_s, GRID.subcarrier_hz)
        wanted = columns(paths, row, GRID.target_slot_s, GRID.target_subcarrier_hz)
        covariance = seen @ seen.conj().T + float(noise_var[row]) * np.eye(len(seen))
        dense = wanted @ seen.conj().T @ np.linalg.solve(covariance, h[row].ravel().astype(complex))
        np.testing.assert_allclose(result[row].ravel(), dense, atol=2e-5 * np.abs(dense).max())


def test_path_lmmse_reaches_its_posterior_variance() -> None:
    rng = np.random.default_rng(10)
    draws, noise_var = 3000, 0.1
    one = random_paths(rng, 1, 12)
    seen = columns(one, 0, GRID.slot_s, GRID.subcarrier_hz)
    wanted = columns(one, 0, GRID.target_slot_s, GRID.target_subcarrier_hz)
    gain = wanted @ seen.conj().T @ np.linalg.inv(seen @ seen.conj().T + noise_var * np.eye(len(seen)))
    posterior = np.trace(wanted @ wanted.conj().T - gain @ seen @ wanted.conj().T).real

    phases = np.exp(2j * np.pi * rng.uniform(size=(12, draws)))
    y = seen @ phases + math.sqrt(noise_var) * complex_normal(rng, len(seen), draws)
    many = Paths(**{name: np.repeat(value, draws, axis=0) for name, value in vars(one).items()})
    h = y.T.reshape(draws, 4, 3, 6).astype(np.complex64)
    result = path_lmmse(h, np.full(draws, noise_var, np.float32), many, GRID)
    errors = (np.abs(result.reshape(draws, -1) - (wanted @ phases).T) ** 2).sum(axis=1)
    assert errors.mean() == pytest.approx(posterior, abs=4 * errors.std() / math.sqrt(draws))
    assert 4 * errors.std() / math.sqrt(draws) < 0.1 * posterior


def test_path_lmmse_without_noise_or_paths() -> None:
    rng = np.random.default_rng(11)
    paths = random_paths(rng, 1, 5)
    amplitudes = np.exp(2j * np.pi * rng.uniform(size=5))
    h = (columns(paths, 0, GRID.slot_s, GRID.subcarrier_hz) @ amplitudes).reshape(1, 4, 3, 6).astype(np.complex64)
    truth = columns(paths, 0, GRID.target_slot_s, GRID.target_subcarrier_hz) @ amplitudes
    result = path_lmmse(h, np.zeros(1, np.float32), paths, GRID)
    np.testing.assert_allclose(result.ravel(), truth, atol=1e-3)
    paths.power[:] = 0
    np.testing.assert_array_equal(path_lmmse(h, np.zeros(1, np.float32), paths, GRID), 0)


@pytest.mark.parametrize("power", [1e-12, 1e12])
def test_path_lmmse_without_noise_has_no_scale_of_its_own(power: float) -> None:
    """Paths whose powers are stated in other units, and as strong a channel: the estimate is the channel."""
    rng = np.random.default_rng(14)
    paths = random_paths(rng, 1, 5)
    paths.power[:] *= power
    amplitudes = np.exp(2j * np.pi * rng.uniform(size=5))
    h = (columns(paths, 0, GRID.slot_s, GRID.subcarrier_hz) @ amplitudes).reshape(1, 4, 3, 6).astype(np.complex64)
    truth = columns(paths, 0, GRID.target_slot_s, GRID.target_subcarrier_hz) @ amplitudes
    result = path_lmmse(h, np.zeros(1, np.float32), paths, GRID)
    np.testing.assert_allclose(result.ravel(), truth, atol=1e-3 * np.abs(truth).max())


def test_the_error_of_a_separable_filter_is_that_of_the_whole_one() -> None:
    """By the Kronecker product of three factors, in full."""
    rng = np.random.default_rng(11)
    wholes = [a @ a.conj().T / 6 for a in (rng.standard_normal((6, 6, 2)) @ [1, 1j] for _ in range(3))]
    seen = [[0, 1, 2, 3], [1, 3], [0, 1, 2, 3, 4, 5]]
    factors = [(r[np.ix_(s, s)], r[:, s]) for r, s in zip(wholes, seen, strict=True)]
    prepared = separable_filter(factors, [r.diagonal().real for r in wholes])
    joint = np.kron(np.kron(wholes[0], wholes[1]), wholes[2])
    flat = np.ravel_multi_index(np.ix_(*seen), (6, 6, 6)).ravel()
    for sigma in (0.01, 3.0):
        inverse = np.linalg.inv(joint[np.ix_(flat, flat)] + sigma * np.eye(len(flat)))
        wanted = (joint - joint[:, flat] @ inverse @ joint[flat]).diagonal().real.reshape(6, 6, 6)
        found = separable_error(prepared, np.array([sigma]))
        np.testing.assert_allclose(found[0], wanted, rtol=1e-8, atol=1e-10)
