"""The sparse estimator's solver against explicit dictionaries in float64, and what has to hold of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from channelbench.generator import Paths
from channelbench.grid import ChannelGrid
from channelbench.solvers.dictionaries import antenna_axis, slot_axis, subcarrier_axis
from channelbench.solvers.lmmse import path_lmmse
from channelbench.solvers.sparse import SparseDictionary, estimates, sparse_estimates

Complex = NDArray[np.complex128]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As formulas have in a run: on small matrices two wait for each other."""
    with threadpool_limits(limits=1):
        yield


def complex_normal(rng: np.random.Generator, *shape: int) -> Complex:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)


def random_dictionary(rng: np.random.Generator, *, is_real: bool) -> SparseDictionary:
    def factor(rows: int, columns: int) -> NDArray[np.number]:
        found = complex_normal(rng, rows, columns)
        return found.real if is_real else found

    return SparseDictionary(factor(2, 3), factor(4, 7), factor(3, 5))


def explicit(dictionary: SparseDictionary) -> Complex:
    """All atoms, ``[observations, atoms]``."""
    return np.kron(dictionary.slots, np.kron(dictionary.subcarriers, dictionary.antennas)).astype(complex)


def brute_force(
    z: Complex, atoms: Complex, powers: NDArray[np.float64], noise_var: float, sparsity: float
) -> tuple[float, Complex, NDArray[np.float64]]:
    """Evidence, posterior mean, and the ratio of the fixed point, with every matrix written out."""
    covariance = atoms @ np.diag(powers) @ atoms.conj().T + noise_var * np.eye(len(z))
    inverse = np.linalg.inv(covariance)
    evidence = -sparsity * np.linalg.slogdet(covariance)[1] - (z.conj() @ inverse @ z).real
    projection = atoms.conj().T @ inverse @ z
    quadratic = np.einsum("ma,mn,na->a", atoms.conj(), inverse, atoms).real
    return float(evidence), powers * projection, np.abs(projection) ** 2 / (sparsity * quadratic)


@pytest.mark.parametrize("sparsity", [1.0, 2.0])
@pytest.mark.parametrize("is_real", [True, False], ids=["real", "complex"])
def test_every_step_equals_brute_force(is_real: bool, sparsity: float) -> None:
    rng = np.random.default_rng(1)
    dictionary = random_dictionary(rng, is_real=is_real)
    atoms = explicit(dictionary)
    z = complex_normal(rng, 2, 4, 3)
    powers, noise_var = rng.uniform(0.01, 1, dictionary.shape), 0.05
    for step in islice(estimates(z, dictionary, powers, noise_var, sparsity), 6):
        evidence, mean, ratio = brute_force(z.ravel(), atoms, powers.ravel(), noise_var, sparsity)
        assert step.evidence == pytest.approx(evidence, rel=1e-10)
        np.testing.assert_allclose(step.powers.ravel(), powers.ravel(), rtol=1e-8)
        np.testing.assert_allclose(step.amplitudes.ravel(), mean, atol=1e-10)
        powers = powers * ratio.reshape(powers.shape)


@pytest.mark.parametrize("sparsity", [1.0, 2.0])
@pytest.mark.parametrize("is_real", [True, False], ids=["real", "complex"])
def test_evidence_never_falls(is_real: bool, sparsity: float) -> None:
    """From starts far off, of dictionaries whose atoms may be nearly alike."""
    for seed in range(25):
        rng = np.random.default_rng(seed)
        dictionary = random_dictionary(rng, is_real=is_real)
        common = rng.standard_normal((4, 1)) + 10 ** rng.uniform(-1, 1) * dictionary.subcarriers
        dictionary = SparseDictionary(dictionary.slots, common, dictionary.antennas)
        start, z = 10 ** rng.uniform(-4, 2, dictionary.shape), complex_normal(rng, 2, 4, 3) * 10 ** rng.uniform(-1, 1)
        steps = islice(estimates(z, dictionary, start, 10 ** rng.uniform(-2, 0), sparsity), 12)
        found = [step.evidence for step in steps]
        assert np.diff(found).min() > -1e-7 * np.abs(found).max()
        assert found[-1] > found[0] + 1


def test_single_and_double_precision_agree() -> None:
    rng = np.random.default_rng(3)
    dictionary = random_dictionary(rng, is_real=True)
    z, powers = complex_normal(rng, 2, 4, 3), np.full(dictionary.shape, 0.01)
    single = sparse_estimates(z, dictionary, powers, 0.1, 5)[-1]
    double = list(islice(estimates(z, dictionary.astype(True), powers, 0.1), 6))[-1]
    assert single.amplitudes.dtype == np.complex64
    np.testing.assert_allclose(single.amplitudes, double.amplitudes, atol=1e-4)


def test_a_cholesky_that_fails_costs_precision_alone() -> None:
    """A path at 10⁶ and noise of 10⁻⁵: the condition of R is beyond single precision, in which it loses its sign."""
    rng = np.random.default_rng(4)
    one, atom = np.ones((1, 1)), rng.standard_normal((64, 1))
    dictionary = SparseDictionary.of(one, atom, one)
    z = (1e3 * atom * complex_normal(rng, 1, 1)).reshape(1, 64, 1)
    powers = np.full((1, 1, 1), 1e6)
    with pytest.raises(np.linalg.LinAlgError):
        list(islice(estimates(z, dictionary.astype(False), powers, 1e-5), 3))
    found = sparse_estimates(z, dictionary, powers, 1e-5, 2)
    assert found[-1].amplitudes.dtype == np.complex128
    np.testing.assert_allclose(found[-1].amplitudes[0, 0, 0] * atom, z[0], rtol=1e-6)


def test_what_is_not_finite_is_said() -> None:
    dictionary = random_dictionary(np.random.default_rng(0), is_real=True)
    with pytest.raises(np.linalg.LinAlgError):
        sparse_estimates(np.full((2, 4, 3), np.nan + 0j), dictionary, np.ones(dictionary.shape), 0.1, 2)


# --- on the axes of a channel ----------------------------------------------------------------------------------------


def grid_of(slots: int, subcarriers: int, antennas: int, *, coming: int = 0, wanted: int = 0) -> ChannelGrid:
    y = (np.arange(antennas) - (antennas - 1) / 2) / 2
    seen_slots = 0.5e-3 * np.arange(slots)
    seen_hz = 2e9 + 1e6 * np.arange(subcarriers)
    return ChannelGrid(
        carrier_hz=2e9,
        subcarrier_hz=seen_hz,
        slot_s=seen_slots,
        antenna_position=np.stack([0 * y, y, 0 * y], axis=1),
        target_slot_s=seen_slots if not coming else 0.5e-3 * (slots + np.arange(coming)),
        target_subcarrier_hz=seen_hz if not wanted else 2e9 + 1e6 * (subcarriers + np.arange(wanted)),
    )


def in_bases(h: Complex, grid: ChannelGrid, doppler_hz: float) -> tuple[Complex, list]:
    axes = [
        slot_axis(grid.slot_s, grid.target_slot_s, doppler_hz),
        subcarrier_axis(grid.subcarrier_hz, grid.target_subcarrier_hz),
        antenna_axis(grid.antenna_position),
    ]
    z = np.einsum("ks,mf,bn,sfn->kmb", *(axis.analysis for axis in axes), h)
    return z, axes


@pytest.mark.parametrize(("doppler_hz", "slots"), [(57.0, 16), (200.0, 16), (57.0, 2), (0.0, 8), (57.0, 1)])
def test_modes_hold_what_they_say(doppler_hz: float, slots: int) -> None:
    """The energy that paths of all Dopplers lose when they are seen through the first modes, by summing over paths."""
    slot_s = 0.5e-3 * np.arange(slots)
    axis = slot_axis(slot_s, slot_s, doppler_hz)
    np.testing.assert_allclose(axis.analysis @ axis.analysis.conj().T, np.eye(len(axis.analysis)), atol=1e-9)
    paths = np.exp(2j * np.pi * np.outer(slot_s, np.linspace(-doppler_hz, doppler_hz, 4001)))
    for number in range(1, len(axis.missing) + 1):
        kept = np.sum(np.abs(axis.analysis[:number] @ paths) ** 2) / np.sum(np.abs(paths) ** 2)
        assert axis.missing[number - 1] == pytest.approx(1 - kept, abs=2e-3)
    for share in (0.3, 0.02, 1e-4):
        number = axis.number(share)
        assert axis.missing[number - 1] <= max(share, axis.missing[-1])
        assert number <= 2 or axis.missing[number - 2] > share


def test_atoms_are_paths() -> None:
    """What an axis says of an atom is what a path at its point looks like, where it is observed and where wanted."""
    grid = grid_of(6, 8, 4, coming=3, wanted=5)
    _, (slots, subcarriers, antennas) = in_bases(np.zeros((6, 8, 4), complex), grid, 200.0)
    for axis, seen, wanted, sign in (
        (slots, grid.slot_s, grid.target_slot_s, 1),
        (subcarriers, grid.subcarrier_hz, grid.target_subcarrier_hz, -1),
        (antennas, np.arange(4.0), np.arange(4.0), 1),
    ):
        points = axis.points.reshape(-1)
        assert not np.iscomplexobj(axis.observed)
        for atom in (0, len(points) // 3, len(points) - 1):
            path = np.exp(sign * 2j * np.pi * points[atom] * seen)
            phase = np.exp(-sign * 2j * np.pi * points[atom] * (seen[0] + seen[-1]) / 2)
            np.testing.assert_allclose(axis.observed[:, atom], axis.analysis @ path * phase, atol=1e-6)
            np.testing.assert_allclose(
                axis.wanted[:, atom], np.exp(sign * 2j * np.pi * points[atom] * wanted) * phase, atol=1e-6
            )


@pytest.mark.parametrize(("sparsity", "left"), [(1.0, 0.2194), (2.0, 0.0603)])
def test_what_noise_alone_leaves(sparsity: float, left: float) -> None:
    """With orthonormal atoms the powers are ``max(|z|²/κ − σ², 0)``, and what is left of the noise is an integral:
    ``∫_κ^∞ (1 − κ/x)² x e^{−x} dx``, which is .2194 for κ = 1 and .0603 for κ = 2."""
    n = 64
    z = complex_normal(np.random.default_rng(7), 80, n)
    one = np.ones((1, 1))
    dictionary = SparseDictionary(one, np.eye(n), one)
    total = 0.0
    for noise in z:
        last = list(islice(estimates(noise.reshape(1, n, 1), dictionary, np.ones((1, n, 1)), 1.0, sparsity), 40))[-1]
        total += float(np.sum(np.abs(last.amplitudes) ** 2))
    assert total / z.size == pytest.approx(left, rel=0.1)


@pytest.mark.parametrize("noise_var", [1e-1, 1e-2, 1e-3])
def test_one_path_is_found_to_the_noise_bound(noise_var: float) -> None:
    """Whoever knew the path would estimate one complex amplitude, with an error of σ² in all; without structure it is
    nσ². At a κ above what noise alone reaches by chance, log n, nothing but the path is left, and its neighbours."""
    grid = grid_of(4, 16, 8)
    rng = np.random.default_rng(5)
    n = 4 * 16 * 8
    errors = []
    for _ in range(6):
        _, (slots, subcarriers, antennas) = in_bases(np.zeros((4, 16, 8), complex), grid, 100.0)
        atom = [rng.integers(len(axis.points)) for axis in (slots, subcarriers, antennas)]
        chosen = [axis.wanted[:, place] for axis, place in zip((slots, subcarriers, antennas), atom, strict=True)]
        clean = np.einsum("s,f,n->sfn", *chosen)
        z, axes = in_bases(clean + np.sqrt(noise_var) * complex_normal(rng, *clean.shape), grid, 100.0)
        dictionary = SparseDictionary.of(*(axis.observed for axis in axes))
        prior = np.full(dictionary.shape, 1 / np.prod(dictionary.shape))
        last = sparse_estimates(z, dictionary, prior, noise_var, 15, sparsity=2 * np.log(n))[-1]
        guess = np.einsum("sv,ft,nu,vtu->sfn", *(axis.wanted for axis in axes), last.amplitudes)
        errors.append(float(np.sum(np.abs(guess - clean) ** 2)))
    assert 0.2 * noise_var < np.mean(errors) < 6 * noise_var


def test_with_the_true_powers_it_is_the_genie() -> None:
    """Paths on the grid, their powers known: the posterior mean is the LMMSE estimate with the drop's covariance."""
    grid = grid_of(5, 8, 4, coming=2)
    rng = np.random.default_rng(6)
    h = complex_normal(rng, 5, 8, 4)
    z, axes = in_bases(h, grid, 1e4)  # so fast that all slots' modes are kept
    assert z.shape == h.shape
    powers = np.zeros(tuple(len(axis.points) for axis in axes))
    places = [tuple(int(rng.integers(size)) for size in powers.shape) for _ in range(7)]
    for place in places:
        powers[place] = rng.uniform(0.1, 1)
    dictionary = SparseDictionary.of(*(axis.observed for axis in axes))
    first = next(estimates(z, dictionary, powers, 0.1))
    guess = np.einsum("sv,ft,nu,vtu->sfn", *(axis.wanted for axis in axes), first.amplitudes)
    dopplers, delays, angles = (np.array([axis.points.ravel()[p[k]] for p in places]) for k, axis in enumerate(axes))
    sine = 2 * ((angles + 0.5) % 1 - 0.5)
    direction = np.stack([np.sqrt(np.maximum(1 - sine**2, 0)), sine, 0 * sine], axis=1)
    # Without squint, which dictionaries do not have: one subcarrier at a time would be the carrier's.
    paths = Paths(
        power=np.array([[powers[place] for place in places]]),
        delay_s=delays[None],
        doppler_hz=dopplers[None],
        direction=direction[None],
    )
    far = {"carrier_hz": 2e15, "subcarrier_hz": grid.subcarrier_hz + 2e15 - 2e9}
    far["target_subcarrier_hz"] = grid.target_subcarrier_hz + 2e15 - 2e9
    narrow = ChannelGrid(**{**vars(grid), **far})
    turn = np.exp(2j * np.pi * 0)  # delays count from the carrier there, a phase that independent paths do not have
    genie = path_lmmse(h[None].astype(np.complex64), np.float32([0.1]), paths, narrow)[0]
    np.testing.assert_allclose(guess * turn, genie, atol=2e-3)
