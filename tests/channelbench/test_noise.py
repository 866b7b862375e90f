"""The noise of observations: its law, its keys and its variance, whatever is asked of it at once."""

import math
from pathlib import Path

import numpy as np
import pytest

from channelbench import registry
from channelbench.noise import noise_key, unit_noise
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


def test_unit_noise_is_philox_advanced_to_the_sample() -> None:
    """docs/protocol.md: sample i begins at counter i·2^192 with the uniform number, then come the pairs."""
    key = noise_key("a", 1)
    noise, uniform = unit_noise(key, np.array([0, 5, 2**40]), (3, 2))
    for row, index in enumerate((0, 5, 2**40)):
        counter = np.random.Philox(key=int(key[0]) + (int(key[1]) << 64))
        stream = np.random.Generator(counter.advance(index << 192))
        assert uniform[row] == stream.random()
        pairs = stream.standard_normal((3, 2, 2), dtype=np.float32) * math.sqrt(0.5)
        np.testing.assert_allclose(noise[row], pairs[..., 0] + 1j * pairs[..., 1], rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_same_draws_for_every_batch(few_rays: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    view, conditions = few_rays.view("test"), task.conditions()
    whole, target = task.observe(view, EVERY, conditions)
    for rows in (np.array([11]), np.array([29, 0, 3])):
        part, part_target = task.observe(view, rows, conditions)
        np.testing.assert_array_equal(part.h, whole.h[rows])
        np.testing.assert_array_equal(part_target.value, target.value[rows])


@pytest.mark.parametrize("name", ["ce", "cp", "pf", "bf"])  # DE and PE are scaled by the training split's mean power
def test_same_draws_in_a_larger_dataset(few_rays: ChannelDataset, name: str, tmp_path) -> None:
    larger = make_dataset(tmp_path / "larger.zarr", small_spec(train=80, val=25, test=40))
    task = registry.create("tasks", name)
    ours, theirs = (task.observe(d.view("test"), EVERY, task.conditions())[0] for d in (few_rays, larger))
    np.testing.assert_array_equal(ours.h, theirs.h)


@pytest.mark.parametrize("name", ["ce", "cp", "pf", "bf"])
@pytest.mark.parametrize("snr_db", [0.0, 10.0, 30.0])
def test_noise_has_the_stated_variance(few_rays: ChannelDataset, name: str, snr_db: float) -> None:
    task = registry.create("tasks", name)
    view = few_rays.view("test")
    observation, _ = task.observe(view, EVERY, task.conditions(snr_db=snr_db))
    clean, _ = task.observe(view, EVERY, task.conditions(snr_db=100.0))
    noise = np.mean(np.abs(observation.h - clean.h) ** 2, axis=(1, 2, 3))
    power = few_rays.sample_power("sub6", "test")
    np.testing.assert_allclose(observation.noise_var, power * 10 ** (-snr_db / 10), rtol=1e-5)
    np.testing.assert_allclose(noise, observation.noise_var, rtol=0.3)
    assert noise.sum() == pytest.approx(observation.noise_var.sum(), rel=0.05)


def test_snr_reference_set_gives_everybody_the_same_noise(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "ce")
    observation, _ = task.observe(few_rays.view("test"), EVERY, task.conditions(snr_reference="set"))
    expected = few_rays.sample_power("sub6", "train").mean() / 10
    np.testing.assert_allclose(observation.noise_var, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["ce", "cp", "pf"])
def test_paper_compat_puts_the_same_noise_on_the_target(few_rays: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    conditions = task.conditions(paper_compat=True)
    observation, target = task.observe(few_rays.view("test"), EVERY, conditions)
    clean = target.context["h_clean"]
    noise = target.value - clean
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(float(observation.noise_var.mean()), rel=0.05)
    if name == "ce":  # observation and target overlap in the pilots: one noisy sample, cut twice
        np.testing.assert_array_equal(target.value[:, :, ::8], observation.h)
    floor = task.primary.finalize(task.primary.accumulate(task.ceiling(target), target).mean(axis=0))
    assert floor == pytest.approx(1 / 11, rel=0.1)
    _, training = task.observe(few_rays.view("train"), np.arange(5), conditions, epoch=0)
    np.testing.assert_array_equal(training.value, training.context["h_clean"])


def test_training_draws_snr_and_noise_anew_each_epoch(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "ce")
    rows, view, conditions = np.arange(60), few_rays.view("train"), task.conditions()
    first, second = (task.observe(view, rows, conditions, epoch=e)[0] for e in (0, 1))
    assert not np.isclose(first.h, second.h).any()
    snr_db = 10 * np.log10(few_rays.sample_power("sub6", "train") / first.noise_var)
    assert snr_db.min() >= 5
    assert snr_db.max() <= 20
    assert np.ptp(snr_db) > 10
    again, _ = task.observe(view, rows, conditions, epoch=0)
    np.testing.assert_array_equal(first.h, again.h)


def test_tasks_do_not_share_noise(few_rays: ChannelDataset) -> None:
    noises = []
    for name, changes in (("ce", {"pilot_spacing": 1}), ("pf", {})):
        task = registry.create("tasks", name)
        noisy, _ = task.observe(few_rays.view("test"), EVERY, task.conditions(**changes))
        noises.append(noisy.h[:, :, :32] - few_rays.array("h_sub6", "test")[:, :16, :32])
    assert abs(np.vdot(*noises)) / np.linalg.norm(noises[0]) / np.linalg.norm(noises[1]) < 0.01


@pytest.mark.parametrize("name", ["de", "pe"])
@pytest.mark.parametrize("shared", [False, True])
def test_noise_of_received_channels_by_hand(few_rays: ChannelDataset, name: str, shared: bool, tmp_path: Path) -> None:
    """Path gains over the mean received power of the training split, or of the one that a receiver was calibrated on;
    and the noise is relative to what is received."""
    source, dataset = few_rays, few_rays
    if shared:
        dataset = make_dataset(tmp_path / "far.zarr", small_spec(min_distance_m=600.0, max_distance_m=900.0))
        registry.create("tasks", name).share_scale(source.view("train"), dataset.view("train"))

    def received(given: ChannelDataset, split: str) -> np.ndarray:
        power = (np.abs(given.array("h_sub6", split).astype(complex)) ** 2).mean(axis=(1, 2, 3))
        return power * 10 ** (given.array("path_gain_db_sub6", split).astype(float) / 10)

    reference = received(source, "train").mean()
    task, view = registry.create("tasks", name), dataset.view("test")
    gain = 10 ** (dataset.array("path_gain_db_sub6", "test").astype(float) / 10)
    quiet, _ = task.observe(view, EVERY, task.conditions(snr_db=100.0))
    amplitude = np.sqrt(gain / reference)[:, None, None, None]
    np.testing.assert_allclose(quiet.h / amplitude, dataset.array("h_sub6", "test")[:, :1], atol=1e-3)
    for conditions, power in (
        (task.conditions(snr_db=3.0), received(dataset, "test") / reference),
        (task.conditions(snr_db=3.0, snr_reference="set"), np.full(30, received(dataset, "train").mean() / reference)),
    ):
        noisy, _ = task.observe(view, EVERY, conditions)
        np.testing.assert_allclose(noisy.noise_var, power * 10**-0.3, rtol=1e-5)
        noise = np.abs(noisy.h - quiet.h) ** 2
        assert (noise.mean(axis=(1, 2, 3)) / noisy.noise_var).mean() == pytest.approx(1, abs=0.02)
