"""Observations: the protocol's noise, cuts and normalisations; the same for everybody."""

import numpy as np
import pytest

from channelbench import registry
from channelbench.contracts import Conditions
from channelbench.noise import noise_key, unit_noise
from channelbench.solvers.dft import beam_spectral_efficiency
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import make_dataset, small_spec

ALL = ["ce", "cp", "pf", "bf", "de", "pe"]
EVERY = np.arange(30)


def test_unit_noise_is_circular_gaussian_of_variance_one() -> None:
    noise, uniform = unit_noise(noise_key("a"), np.arange(400), (50, 8))
    flat = noise.ravel()
    assert np.mean(np.abs(flat) ** 2) == pytest.approx(1, abs=0.01)
    assert abs(np.mean(flat**2)) < 0.01
    assert np.mean(np.abs(flat) ** 4) == pytest.approx(2, abs=0.05)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert uniform.mean() == pytest.approx(0.5, abs=0.05)


def test_unit_noise_depends_on_key_and_sample_alone() -> None:
    together, _ = unit_noise(noise_key("a"), np.arange(10), (4,))
    alone, _ = unit_noise(noise_key("a"), np.array([7, 2]), (4,))
    np.testing.assert_array_equal(alone, together[[7, 2]])
    other, _ = unit_noise(noise_key("b"), np.arange(10), (4,))
    assert not np.isclose(other, together).any()
    streams = unit_noise(noise_key("a"), np.arange(300), (64,))[0]
    correlation = np.abs(streams.conj() @ streams.T) / 64 - np.eye(300)
    assert correlation.max() < 0.75


@pytest.mark.parametrize("name", ALL)
def test_same_draws_for_every_batch(few_rays: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    whole, target = task.observe(few_rays, "test", EVERY, Conditions())
    for rows in (np.array([11]), np.array([29, 0, 3])):
        part, part_target = task.observe(few_rays, "test", rows, Conditions())
        np.testing.assert_array_equal(part.h, whole.h[rows])
        np.testing.assert_array_equal(part_target.value, target.value[rows])


@pytest.mark.parametrize("name", ["ce", "cp", "pf", "bf"])  # DE and PE are scaled by the training split's mean power
def test_same_draws_in_a_larger_dataset(few_rays: ChannelDataset, name: str, tmp_path) -> None:
    larger = make_dataset(tmp_path / "larger.zarr", small_spec(train=80, val=25, test=40))
    task = registry.create("tasks", name)
    ours, theirs = (task.observe(dataset, "test", EVERY, Conditions())[0] for dataset in (few_rays, larger))
    np.testing.assert_array_equal(ours.h, theirs.h)


@pytest.mark.parametrize("name", ["ce", "cp", "pf", "bf"])
@pytest.mark.parametrize("snr_db", [0.0, 10.0, 30.0])
def test_noise_has_the_stated_variance(few_rays: ChannelDataset, name: str, snr_db: float) -> None:
    task = registry.create("tasks", name)
    conditions = Conditions(snr_db=snr_db)
    observation, _ = task.observe(few_rays, "test", EVERY, conditions)
    clean, _ = task.observe(few_rays, "test", EVERY, Conditions(snr_db=100.0))
    noise = np.mean(np.abs(observation.h - clean.h) ** 2, axis=(1, 2, 3))
    power = few_rays.sample_power("sub6", "test")
    np.testing.assert_allclose(observation.noise_var, power * 10 ** (-snr_db / 10), rtol=1e-5)
    np.testing.assert_allclose(noise, observation.noise_var, rtol=0.3)
    assert noise.sum() == pytest.approx(observation.noise_var.sum(), rel=0.05)


def test_snr_reference_set_gives_everybody_the_same_noise(few_rays: ChannelDataset) -> None:
    observation, _ = registry.create("tasks", "ce").observe(few_rays, "test", EVERY, Conditions(snr_reference="set"))
    expected = few_rays.sample_power("sub6", "train").mean() / 10
    np.testing.assert_allclose(observation.noise_var, expected, rtol=1e-6)


def test_cuts_are_those_of_the_paper(few_rays: ChannelDataset) -> None:
    h = few_rays.array("h_sub6", "test")
    high = Conditions(snr_db=100.0)
    cuts = {
        "ce": (h[:, :16, ::8], h[:, :16]),
        "cp": (h[:, :16], h[:, 16:]),
        "pf": (h[:, :16, :32], h[:, :16, 32:]),
    }
    for name, (seen, wanted) in cuts.items():
        observation, target = registry.create("tasks", name).observe(few_rays, "test", EVERY, high)
        np.testing.assert_allclose(observation.h, seen, atol=1e-3)
        np.testing.assert_array_equal(target.value, wanted)
        assert observation.h.shape[1:3] == (len(observation.grid.slot_s), len(observation.grid.subcarrier_hz))
        assert wanted.shape[1:3] == (len(observation.grid.target_slot_s), len(observation.grid.target_subcarrier_hz))


def test_pilot_conditions(few_rays: ChannelDataset) -> None:
    dense, _ = registry.create("tasks", "ce").observe(few_rays, "test", EVERY, Conditions(pilot_spacing=4))
    assert dense.h.shape == (30, 16, 16, 8)
    for name, shape in (("cp", (30, 16, 8, 8)), ("bf", (30, 1, 8, 8)), ("de", (30, 1, 8, 8))):
        sparse, _ = registry.create("tasks", name).observe(few_rays, "test", EVERY, Conditions(pilots_only=True))
        assert sparse.h.shape == shape


@pytest.mark.parametrize("name", ["ce", "cp", "pf"])
def test_paper_compat_puts_the_same_noise_on_the_target(few_rays: ChannelDataset, name: str) -> None:
    task, conditions = registry.create("tasks", name), Conditions(paper_compat=True)
    observation, target = task.observe(few_rays, "test", EVERY, conditions)
    clean = target.context["h_clean"]
    noise = target.value - clean
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(float(observation.noise_var.mean()), rel=0.05)
    if name == "ce":  # observation and target overlap in the pilots: one noisy sample, cut twice
        np.testing.assert_array_equal(target.value[:, :, ::8], observation.h)
    floor = task.primary.finalize(task.primary.accumulate(task.ceiling(target), target).mean(axis=0))
    assert floor == pytest.approx(1 / 11, rel=0.1)
    _, training = task.observe(few_rays, "train", np.arange(5), conditions, training=True)
    np.testing.assert_array_equal(training.value, training.context["h_clean"])


def test_training_draws_snr_and_noise_anew_each_epoch(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "ce")
    rows = np.arange(60)
    first, second = (task.observe(few_rays, "train", rows, Conditions(), training=True, epoch=e)[0] for e in (0, 1))
    assert not np.isclose(first.h, second.h).any()
    snr_db = 10 * np.log10(few_rays.sample_power("sub6", "train") / first.noise_var)
    assert snr_db.min() >= 5
    assert snr_db.max() <= 20
    assert np.ptp(snr_db) > 10
    again, _ = task.observe(few_rays, "train", rows, Conditions(), training=True, epoch=0)
    np.testing.assert_array_equal(first.h, again.h)


def test_tasks_do_not_share_noise(few_rays: ChannelDataset) -> None:
    noises = []
    for name in ("ce", "pf"):
        conditions = Conditions(pilot_spacing=1)
        noisy, _ = registry.create("tasks", name).observe(few_rays, "test", EVERY, conditions)
        noises.append(noisy.h[:, :, :32] - few_rays.array("h_sub6", "test")[:, :16, :32])
    assert abs(np.vdot(*noises)) / np.linalg.norm(noises[0]) / np.linalg.norm(noises[1]) < 0.01


def test_beam_target_is_the_best_by_exhaustive_search(few_rays: ChannelDataset) -> None:
    _, target = registry.create("tasks", "bf").observe(few_rays, "test", np.arange(4), Conditions())
    h = few_rays.array("h_mmwave", "test")[:4].astype(complex)
    for i in range(4):
        rates = []
        for k in range(256):
            beam = np.exp(2j * np.pi * k * np.arange(64) / 256) / 8
            per_subcarrier = [
                np.log2(1 + abs(h[i, 0, f].conj() @ beam) ** 2 / (np.sum(np.abs(h[i, 0, f]) ** 2) / 64 / 10))
                for f in range(64)
            ]
            rates.append(np.mean(per_subcarrier))
        assert target.value[i] == np.argmax(rates)
        np.testing.assert_allclose(target.context["beam_se"][i], rates, rtol=1e-3)
    np.testing.assert_allclose(
        beam_spectral_efficiency(h.astype(np.complex64), 256), target.context["beam_se"], rtol=1e-6
    )


def test_received_power_carries_the_path_gain(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "de")
    observation, target = task.observe(few_rays, "test", EVERY, Conditions())
    gain_db = few_rays.array("path_gain_db_sub6", "test")
    offset = observation.power_db - gain_db
    assert offset.std() < 3  # what fading and noise leave
    np.testing.assert_array_equal(target.value, few_rays.array("distance_m", "test"))
    train, _ = task.observe(few_rays, "train", np.arange(60), Conditions(snr_db=100.0))
    assert np.mean(10 ** (train.power_db / 10)) == pytest.approx(1, rel=0.2)


def test_path_loss_target_is_that_of_the_main_path(few_rays: ChannelDataset) -> None:
    _, target = registry.create("tasks", "pe").observe(few_rays, "test", EVERY, Conditions())
    np.testing.assert_array_equal(target.value, -few_rays.array("main_path_gain_db_sub6", "test"))


def test_condition_labels() -> None:
    assert Conditions().label == "default"
    assert Conditions(snr_db=0, paper_compat=True).label == "snr_db=0,paper_compat=true"
