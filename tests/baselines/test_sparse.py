"""Sparse Bayesian estimation of channels made of few paths, and of whatever else may come."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench.baselines._ensemble import ensemble_of
from channelbench.baselines.lmmse import LMMSE
from channelbench.baselines.sparse import SparseBayesian
from channelbench.baselines.wiener import Wiener
from channelbench.contracts import FitContext
from channelbench.solvers.profile import largest_doppler, power_delay_profile

Complex = NDArray[np.complex128]
SLOTS, SUBCARRIERS, ANTENNAS = np.arange(6), np.arange(16), np.arange(8)
SLOT_S, SPACING_HZ, CARRIER_HZ = 0.5e-3, 1e6, 2e9  # those of ``make_observation``

CUTS: dict[str, dict[str, Any]] = {
    "ce": {"t": SLOTS, "f": SUBCARRIERS[::4], "wanted_t": SLOTS, "wanted_f": SUBCARRIERS},
    "pf": {"t": SLOTS, "f": SUBCARRIERS[:8], "wanted_t": SLOTS, "wanted_f": SUBCARRIERS[8:]},
    "cp": {"t": SLOTS[:4], "f": SUBCARRIERS, "wanted_t": SLOTS[4:], "wanted_f": SUBCARRIERS},
}


def channels(rng: np.random.Generator, batch: int, position: NDArray[np.float64], *, paths: int = 3) -> Complex:
    """Sums of few paths, ``[batch, slots, subcarriers, antennas]``, with squint: exponential delays and Dopplers below
    60 Hz, off any grid."""
    delay = rng.exponential(60e-9, (batch, 1, 1, 1, paths))
    doppler = rng.uniform(-60, 60, (batch, 1, 1, 1, paths))
    sine = rng.uniform(-0.9, 0.9, (batch, paths))
    direction = np.stack([np.sqrt(1 - sine**2), sine, 0 * sine], axis=-1)
    across = np.einsum("ax,bpx->bap", position, direction)[:, None, None]
    frequency = (SPACING_HZ * SUBCARRIERS)[None, None, :, None, None]
    time = (SLOT_S * SLOTS)[None, :, None, None, None]
    phase = doppler * time - delay * frequency + (1 + frequency / CARRIER_HZ) * across
    amplitude = (rng.standard_normal((batch, 1, 1, 1, paths)) + 1j * rng.standard_normal((batch, 1, 1, 1, paths))) / 2
    return np.asarray((amplitude * np.exp(2j * np.pi * phase)).sum(-1))


def line(antennas: int) -> NDArray[np.float64]:
    y = (np.arange(antennas) - (antennas - 1) / 2) / 2
    return np.stack([0 * y, y, 0 * y], axis=1)


def panel(rows: int, columns: int) -> NDArray[np.float64]:
    z, y = np.meshgrid(np.arange(rows) / 2, np.arange(columns) / 2, indexing="ij")
    return np.stack([0 * y.ravel(), y.ravel(), z.ravel()], axis=1)


Make = Callable[..., tuple[Any, NDArray[np.complex64]]]


@pytest.fixture
def make(make_observation: Any) -> Make:
    """``make(task, batch, noise_var)``: noisy observation and clean target of new draws."""

    def pair(
        task: str, batch: int, noise_var: float, *, seed: int = 0, position: NDArray[np.float64] | None = None
    ) -> tuple[Any, NDArray[np.complex64]]:
        rng, cut = np.random.default_rng(seed), CUTS[task]
        position = line(8) if position is None else position
        h = channels(rng, batch, position)
        noise = rng.standard_normal(h.shape) + 1j * rng.standard_normal(h.shape)
        noisy = h + np.sqrt(noise_var / 2) * noise
        observation = make_observation(
            noisy[:, cut["t"]][:, :, cut["f"]],
            noise_var,
            subcarriers=cut["f"],
            target_subcarriers=cut["wanted_f"],
            target_slots=cut["wanted_t"],
            antenna_position=position,
        )
        return observation, h[:, cut["wanted_t"]][:, :, cut["wanted_f"]].astype(np.complex64)

    return pair


def fitted(cls: Any, task: str, make_split: Any, train: Any, validation: Any) -> Any:
    method = cls()
    method.fit({task: (make_split(*train), make_split(*validation))}, FitContext())
    return method


def nmse(prediction: NDArray[Any], target: NDArray[Any]) -> float:
    error = np.sum(np.abs(prediction - target) ** 2, axis=(1, 2, 3))
    return float(np.mean(error / np.sum(np.abs(target) ** 2, axis=(1, 2, 3))))


@pytest.mark.parametrize("task", CUTS)
def test_few_paths_are_found_where_the_ensemble_tells_nothing(make: Make, make_split: Any, task: str) -> None:
    """Paths from everywhere: the linear estimators know an ensemble, this one finds each drop's own paths."""
    train, validation = make(task, 60, 0.1), make(task, 8, 0.1, seed=1)
    observation, target = make(task, 12, 0.1, seed=2)
    sparse = fitted(SparseBayesian, task, make_split, train, validation)
    linear = fitted(Wiener if task == "cp" else LMMSE, task, make_split, train, validation)
    errors = [nmse(method.predict(task, observation), target) for method in (sparse, linear)]
    assert errors[0] < 0.5 * errors[1]


def test_noise_is_what_limits_it(make: Make, make_split: Any) -> None:
    """A hundredth of the noise, much less of the error; the grid's steps and 98 % of the modes are no floor near it."""
    train, validation = make("cp", 60, 0.1), make("cp", 8, 0.01, seed=1)
    sparse = fitted(SparseBayesian, "cp", make_split, train, validation)
    errors = [nmse(sparse.predict("cp", o), t) for o, t in (make("cp", 12, v, seed=2) for v in (0.3, 0.003))]
    assert errors[1] < 0.1 * errors[0]


def test_samples_do_not_meet_and_scales_pass_through(make: Make, make_split: Any) -> None:
    train = make("pf", 20, 0.1)
    sparse = fitted(SparseBayesian, "pf", make_split, train, train)
    observation, _ = make("pf", 3, 0.1, seed=3)
    whole = sparse.predict("pf", observation)
    alone = replace(observation, h=1000 * observation.h[1:2], noise_var=1e6 * observation.noise_var[1:2])
    np.testing.assert_allclose(sparse.predict("pf", alone)[0], 1000 * whole[1], rtol=1e-3, atol=1e-1)


# --- what may come ---------------------------------------------------------------------------------------------------

PARTS = {
    "one antenna": {"antennas": 1},
    "one slot": {"slots": 1},
    "one subcarrier": {"subcarriers": 1},
    "one of all": {"antennas": 1, "slots": 1, "subcarriers": 1},
    "two slots": {"slots": 2},
}


@pytest.mark.parametrize("task", CUTS)
@pytest.mark.parametrize("what", PARTS)
def test_short_axes(make_observation: Any, make_split: Any, task: str, what: str) -> None:
    """Numbers come out, and where something can be told they beat answering zero."""
    part = PARTS[what]
    rng = np.random.default_rng(5)
    position = line(part.get("antennas", 8))
    slots = np.arange(part.get("slots", 4))
    coming = np.array([len(slots)]) if task == "cp" else slots
    seen = SUBCARRIERS[: part.get("subcarriers", 8)]
    wanted = seen if task == "cp" else np.array([seen[-1] + 1])

    def pair(batch: int) -> tuple[Any, NDArray[np.complex64]]:
        h = channels(rng, batch, position)
        noisy = h + 0.1 * (rng.standard_normal(h.shape) + 1j * rng.standard_normal(h.shape))
        observation = make_observation(
            noisy[:, slots][:, :, seen],
            0.02,
            subcarriers=seen,
            target_subcarriers=wanted,
            target_slots=coming,
            antenna_position=position,
        )
        return observation, h[:, coming][:, :, wanted].astype(np.complex64)

    train, (observation, target) = pair(30), pair(10)
    sparse = fitted(SparseBayesian, task, make_split, train, train)
    prediction = sparse.predict(task, observation)
    assert prediction.shape == target.shape
    assert nmse(prediction, target) < 0.9


IRREGULAR = {
    "slots": {"slot_s": SLOT_S * np.array([0.0, 1.0, 2.5, 3.0]), "target_slot_s": SLOT_S * np.array([4.0])},
    "subcarriers": {"subcarrier_hz": CARRIER_HZ + SPACING_HZ * np.array([0.0, 1, 2, 4, 7, 11, 12, 15])},
    "antennas": {"antenna_position": line(8) * np.array([[1, 1 + 0.1 * k, 1] for k in range(8)])},
}


@pytest.mark.parametrize("what", IRREGULAR)
def test_unequal_spacing(make_observation: Any, make_split: Any, what: str) -> None:
    """The answer is as good as with equal spacing, but for antennas whose relation is not used then."""
    rng, fields = np.random.default_rng(6), IRREGULAR[what]
    position = fields.get("antenna_position", line(8))
    slots = fields.get("slot_s", SLOT_S * np.arange(4)) / SLOT_S
    coming = fields.get("target_slot_s", SLOT_S * np.arange(4, 6)) / SLOT_S
    seen = (fields.get("subcarrier_hz", CARRIER_HZ + SPACING_HZ * np.arange(16)) - CARRIER_HZ) / SPACING_HZ

    def pair(batch: int) -> tuple[Any, NDArray[np.complex64]]:
        times, frequencies = np.concatenate([slots, coming]), seen
        h = _at(rng, batch, times, frequencies, position)
        noisy = h[:, : len(slots)] + 0.1 * (rng.standard_normal((batch, len(slots), len(seen), 8, 2)) @ [1, 1j])
        observation = make_observation(
            noisy, 0.02, subcarriers=seen, target_subcarriers=seen, target_slots=coming, antenna_position=position
        )
        grid = replace(observation.grid, slot_s=SLOT_S * slots, target_slot_s=SLOT_S * coming)
        return replace(observation, grid=grid), h[:, len(slots) :].astype(np.complex64)

    train, (observation, target) = pair(20), pair(12)
    sparse = fitted(SparseBayesian, "cp", make_split, train, train)
    assert nmse(sparse.predict("cp", observation), target) < (0.1 if what == "antennas" else 0.05)


def _at(rng: np.random.Generator, batch: int, slots: Any, subcarriers: Any, position: NDArray[np.float64]) -> Complex:
    """Three paths at any slots and subcarriers."""
    delay, doppler = rng.exponential(60e-9, (batch, 3)), rng.uniform(-60, 60, (batch, 3))
    sine = rng.uniform(-0.9, 0.9, (batch, 3))
    amplitude = rng.standard_normal((batch, 3)) + 1j * rng.standard_normal((batch, 3))
    over_slots = np.exp(2j * np.pi * SLOT_S * np.einsum("bp,s->bps", doppler, slots))
    over_subcarriers = np.exp(-2j * np.pi * SPACING_HZ * np.einsum("bp,f->bpf", delay, subcarriers))
    across = np.exp(2j * np.pi * np.einsum("bp,a->bpa", sine, position[:, 1]))
    return np.einsum("bp,bps,bpf,bpa->bsfa", amplitude, over_slots, over_subcarriers, across, optimize=True)


@pytest.mark.parametrize("position", [panel(2, 4), panel(4, 4), line(12), line(16)], ids=["2 × 4", "4 × 4", "12", "16"])
def test_other_arrays(make: Make, make_split: Any, position: NDArray[np.float64]) -> None:
    """Panels, and arrays that are estimated in groups."""
    train, (observation, target) = (make("pf", 6, 0.05, seed=seed, position=position) for seed in (0, 7))
    sparse = fitted(SparseBayesian, "pf", make_split, train, train)
    assert nmse(sparse.predict("pf", observation), target) < 0.3


@pytest.mark.parametrize("task", CUTS)
def test_no_noise_no_power_and_no_motion(make_observation: Any, make: Make, make_split: Any, task: str) -> None:
    train = make(task, 20, 0.05)
    still = train[1][:, :1].repeat(train[1].shape[1], axis=1)  # nothing moves in training
    sparse = fitted(SparseBayesian, task, make_split, (train[0], still), train)
    if task != "cp":
        assert ensemble_of(make_split(train[0], still)).doppler_hz < 1
    observation, _ = make(task, 3, 0.0, seed=8)
    assert not observation.noise_var.any()
    assert np.isfinite(sparse.predict(task, observation)).all()
    observation.h[1] = 0
    prediction = sparse.predict(task, observation)
    assert not prediction[1].any()
    assert prediction[0].any()
    observation.noise_var[:] = 1e6  # noise beyond what was received
    assert np.isfinite(sparse.predict(task, observation)).all()


def test_silent_training_data(make: Make, make_split: Any) -> None:
    """No power in any training sample: nothing is learned, and answers are numbers."""
    observation, target = make("ce", 6, 0.1)
    silent = (replace(observation, h=0 * observation.h), 0 * target)
    sparse = fitted(SparseBayesian, "ce", make_split, silent, silent)
    assert np.isfinite(sparse.predict("ce", observation)).all()


# --- what training channels tell -------------------------------------------------------------------------------------


@pytest.mark.parametrize("doppler_hz", [5.0, 50.0, 400.0])
def test_doppler_of_paths_from_everywhere(doppler_hz: float) -> None:
    """The mean of cos over all directions, worked out by summing, gives the largest Doppler and a tenth."""
    angles = np.linspace(0, 2 * np.pi, 4096, endpoint=False)
    correlation = float(np.mean(np.cos(2 * np.pi * doppler_hz * np.cos(angles) * SLOT_S)))
    assert largest_doppler(correlation, SLOT_S) == pytest.approx(1.1 * doppler_hz, rel=0.01)


@pytest.mark.parametrize(("correlation", "expected"), [(1.0, 0.0), (1.2, 0.0), (-1.0, 0.5 / SLOT_S)])
def test_doppler_stays_within_half_a_turn(correlation: float, expected: float) -> None:
    assert largest_doppler(correlation, SLOT_S) == expected


def test_profile_of_an_exponential_and_a_path_at_once() -> None:
    """Half of the power at delay 0, half in an exponential of 80 ns: its correlation in closed form gives it back."""
    delays = np.arange(192) / 192e6
    lags = 1e6 * np.arange(32)
    decay = np.exp(-delays / 80e-9)
    true = 0.5 * decay / decay.sum() + 0.5 * np.eye(192)[0]
    correlation = np.exp(-2j * np.pi * np.outer(lags, delays)) @ true
    found = power_delay_profile(lags, correlation, delays)
    assert found.sum() == pytest.approx(1)
    assert np.abs(found - true).sum() < 0.02


def test_profile_of_nothing_is_flat() -> None:
    np.testing.assert_allclose(power_delay_profile(np.zeros(1), np.zeros(1, complex), np.arange(4) / 4e6), 0.25)


def test_correlation_by_lag_is_the_mean_over_pairs(make: Make, make_split: Any) -> None:
    observation, target = make("ce", 5, 0.1)
    ensemble = ensemble_of(make_split(observation, target))
    unit = target / np.sqrt(np.mean(np.abs(target) ** 2, axis=(1, 2, 3), keepdims=True))
    for lag in (0, 1, 9):
        pairs = [unit[:, :, f + lag] * unit[:, :, f].conj() for f in range(16 - lag)]
        assert ensemble.lags_hz[lag] == pytest.approx(lag * SPACING_HZ)
        assert ensemble.correlation[lag] == pytest.approx(np.mean(pairs), abs=1e-5)
