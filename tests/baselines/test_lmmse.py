"""LMMSE and Wiener filters with sample covariances come close to the theory of the process they were trained on."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench.baselines.lmmse import LMMSE
from channelbench.baselines.repeat import Repeat
from channelbench.baselines.wiener import Wiener
from channelbench.contracts import FitContext

Complex = NDArray[np.complex128]


def normal(rng: np.random.Generator, *shape: int) -> Complex:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)


def exponential(size: int, correlation: complex) -> Complex:
    """Covariance ``ρ^{m−n}`` of an AR(1) process."""
    lag = np.subtract.outer(np.arange(size), np.arange(size))
    upper = np.abs(correlation) ** np.abs(lag) * np.exp(1j * np.angle(correlation) * lag)
    return upper.astype(complex)


def draw(rng: np.random.Generator, batch: int, factors: list[Complex]) -> Complex:
    """Gaussian channels whose covariance is the Kronecker product of the factors."""
    roots = [np.linalg.cholesky(factor + 1e-12 * np.eye(len(factor))) for factor in factors]
    white = normal(rng, batch, *[len(factor) for factor in factors])
    return np.einsum("ts,fg,ab,nsgb->ntfa", *roots, white, optimize=True)


def theory(factors: list[Complex], seen: list[NDArray[Any]], wanted: list[NDArray[Any]], noise_var: float) -> float:
    """Mean squared error per target coefficient of the LMMSE estimator, from the dense formula."""

    def kron(rows: list[NDArray[Any]], columns: list[NDArray[Any]]) -> Complex:
        parts = [factor[np.ix_(r, c)] for factor, r, c in zip(factors, rows, columns, strict=True)]
        return np.kron(np.kron(parts[0], parts[1]), parts[2])

    observed, cross = kron(seen, seen), kron(wanted, seen)
    inverse = np.linalg.inv(observed + noise_var * np.eye(len(observed)))
    explained = np.einsum("ij,jk,ik->i", cross, inverse, cross.conj()).real
    return float(1 - explained.mean())


FACTORS = [exponential(6, 0.97 * np.exp(0.2j)), exponential(16, 0.9), exponential(4, 0.6j)]
T, F, A = (np.arange(len(factor)) for factor in FACTORS)


def make_pair(make_observation: Any, rng: np.random.Generator, batch: int, noise_var: Any, cut: dict[str, Any]) -> Any:
    """Noisy observation and clean target of new draws; ``cut`` gives observed and wanted slots and subcarriers."""
    h = draw(rng, batch, FACTORS)
    noisy = h + np.sqrt(np.reshape(noise_var, (-1, 1, 1, 1))) * normal(rng, *h.shape)
    observation = make_observation(
        noisy[:, cut["t"]][:, :, cut["f"]],
        noise_var,
        subcarriers=cut["f"],
        target_subcarriers=cut["wanted_f"],
        target_slots=cut["wanted_t"],
    )
    return observation, h[:, cut["wanted_t"]][:, :, cut["wanted_f"]].astype(np.complex64)


CUTS = {
    "ce": {"t": T, "f": F[::4], "wanted_t": T, "wanted_f": F},
    "pf": {"t": T, "f": F[:8], "wanted_t": T, "wanted_f": F[8:]},
    "cp": {"t": T[:4], "f": F, "wanted_t": T[4:], "wanted_f": F},
}


@pytest.mark.parametrize("task", ["ce", "pf", "cp"])
@pytest.mark.parametrize("noise_var", [0.02, 0.3])
def test_error_is_the_theoretical_one(make_observation: Any, make_split: Any, task: str, noise_var: float) -> None:
    rng, cut = np.random.default_rng(0), CUTS[task]
    train = make_split(*make_pair(make_observation, rng, 1500, rng.uniform(0.01, 0.3, 1500), cut))
    method = Wiener() if task == "cp" else LMMSE()
    method.fit({task: (train, train)}, FitContext())
    observation, target = make_pair(make_observation, rng, 1500, noise_var, cut)
    errors = (np.abs(method.predict(task, observation) - target) ** 2).mean(axis=(1, 2, 3))
    expected = theory(FACTORS, [cut["t"], cut["f"], A], [cut["wanted_t"], cut["wanted_f"], A], noise_var)
    # Scaling by each sample's estimated power and the finite training set cost a few per cent; nothing can be gained.
    assert 0.95 * expected < errors.mean() < 1.12 * expected


def test_single_doppler_is_predicted_at_the_noise_of_a_long_average(make_observation: Any, make_split: Any) -> None:
    rng = np.random.default_rng(1)
    rotation = np.exp(2j * np.pi * 0.04 * np.arange(20))[None, :, None, None]
    h = rotation * normal(rng, 400, 1, 1, 16)  # 16 independent antennas turn alike
    noisy = h + np.sqrt(0.1) * normal(rng, *h.shape)
    observation = make_observation(noisy[:, :16], 0.1, target_slots=np.arange(16, 20))
    split = make_split(observation, h[:, 16:].astype(np.complex64))
    wiener = Wiener()
    wiener.fit({"cp": (split, split)}, FitContext())
    error = (np.abs(wiener.predict("cp", observation) - h[:, 16:]) ** 2).mean()
    assert error == pytest.approx(0.1 / (16 + 0.1), rel=0.15)


def test_limits_of_noise(make_observation: Any, make_split: Any) -> None:
    rng = np.random.default_rng(2)
    train = make_split(*make_pair(make_observation, rng, 300, np.full(300, 0.05), CUTS["ce"]))
    everywhere = CUTS["ce"] | {"f": F}
    full = make_split(*make_pair(make_observation, rng, 300, np.full(300, 0.05), everywhere))
    method = LMMSE()
    method.fit({"ce": (full, full)}, FitContext())
    observation, _ = full.observe(np.arange(5))
    observation.noise_var[:] = 1e-7
    # Nothing is missing and there is no noise: what was observed is the estimate (least squares).
    np.testing.assert_allclose(method.predict("ce", observation), observation.h, atol=2e-2)
    method.fit({"ce": (train, train)}, FitContext())
    observation, _ = train.observe(np.arange(5))
    observation.noise_var[:] = 1e9
    assert np.abs(method.predict("ce", observation)).max() < 1e-3


def test_scale_of_a_sample_passes_through(make_observation: Any, make_split: Any) -> None:
    rng = np.random.default_rng(3)
    train = make_split(*make_pair(make_observation, rng, 200, np.full(200, 0.05), CUTS["ce"]))
    method = LMMSE()
    method.fit({"ce": (train, train)}, FitContext())
    observation, _ = train.observe(np.arange(4))
    reference = method.predict("ce", observation)
    observation.h[:] *= 1000
    observation.noise_var[:] *= 1e6
    np.testing.assert_allclose(method.predict("ce", observation), 1000 * reference, rtol=1e-3, atol=1e-2)


def test_better_than_repeating(make_observation: Any, make_split: Any) -> None:
    rng = np.random.default_rng(4)
    train = make_split(*make_pair(make_observation, rng, 400, np.full(400, 0.1), CUTS["ce"]))
    method = LMMSE()
    method.fit({"ce": (train, train)}, FitContext())
    observation, target = make_pair(make_observation, rng, 200, 0.1, CUTS["ce"])
    errors = [(np.abs(m.predict("ce", observation) - target) ** 2).mean() for m in (method, Repeat())]
    assert errors[0] < 0.7 * errors[1]
