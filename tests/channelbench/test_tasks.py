"""What tasks cut from channels, and what they want for it."""

import math

import numpy as np
import pytest

from channelbench import registry
from channelbench.solvers.dft import beam_spectral_efficiency
from channelbench.spec import BandSpec
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.channel import ChannelEstimation, Cut
from channelbench.tasks.link.conditions import CombConditions
from channelbench.testing import small_spec

ALL = ["ce", "cp", "pf", "bf", "de", "pe"]
EVERY = np.arange(30)


def test_cuts_are_those_of_the_paper(few_rays: ChannelDataset) -> None:
    h = few_rays.array("h_sub6", "test")
    cuts = {
        "ce": (h[:, :16, ::8], h[:, :16]),
        "cp": (h[:, :16], h[:, 16:]),
        "pf": (h[:, :16, :32], h[:, :16, 32:]),
    }
    for name, (seen, wanted) in cuts.items():
        task = registry.create("tasks", name)
        observation, target = task.observe(few_rays.view("test"), EVERY, task.conditions(snr_db=100.0))
        np.testing.assert_allclose(observation.h, seen, atol=1e-3)
        np.testing.assert_array_equal(target.value, wanted)
        assert observation.h.shape[1:3] == (len(observation.grid.slot_s), len(observation.grid.subcarrier_hz))
        assert wanted.shape[1:3] == (len(observation.grid.target_slot_s), len(observation.grid.target_subcarrier_hz))


def test_pilot_conditions(few_rays: ChannelDataset) -> None:
    view, ce = few_rays.view("test"), registry.create("tasks", "ce")
    dense, _ = ce.observe(view, EVERY, ce.conditions(pilot_spacing=4))
    assert dense.h.shape == (30, 16, 16, 8)
    for name, shape in (("cp", (30, 16, 8, 8)), ("bf", (30, 1, 8, 8)), ("de", (30, 1, 8, 8))):
        task = registry.create("tasks", name)
        sparse, _ = task.observe(view, EVERY, task.conditions(pilots_only=True))
        assert sparse.h.shape == shape
        denser, _ = task.observe(view, EVERY, task.conditions(pilots_only=True, pilot_spacing=4))
        assert denser.h.shape == (*shape[:2], 16, 8)


@pytest.mark.parametrize("name", ALL)
def test_grids_say_where_coefficients_lie(few_rays: ChannelDataset, name: str) -> None:
    """With a number for each, in the dataset's own coordinates."""
    task, band = registry.create("tasks", name), few_rays.spec.sub6
    conditions = [task.conditions()]
    if "pilots_only" in task.conditions.model_fields:
        conditions.append(task.conditions(pilots_only=True, pilot_spacing=5))
    for given in conditions:
        observation, _ = task.observe(few_rays.view("test"), EVERY[:2], given)
        grid, shape = observation.grid, observation.h.shape
        assert shape == (2, len(grid.slot_s), len(grid.subcarrier_hz), len(grid.antenna_position))
        assert grid.carrier_hz == band.carrier_hz
        np.testing.assert_allclose(grid.slot_s, few_rays.xarray["slot"].values[: shape[1]], rtol=1e-12)
        spacing = {"ce": 8}.get(name, 5 if given.label != "default" else 1)
        expected = few_rays.xarray["subcarrier_sub6"].values[: shape[2] * spacing : spacing]
        np.testing.assert_allclose(grid.subcarrier_hz, expected, rtol=1e-12)
        np.testing.assert_array_equal(grid.antenna_position, few_rays.xarray["antenna_position_sub6"].values)


class Middle(ChannelEstimation):
    """Slots 5 to 7 from slots 3 to 6: neither begins with the first."""

    def cut(self, band: BandSpec, conditions: CombConditions) -> Cut:
        return Cut(
            slots=slice(3, 8),
            seen_slots=slice(3, 7),
            wanted_slots=slice(5, 8),
            seen_subcarriers=np.arange(0, 64, 4),
            wanted_subcarriers=np.array([1, 60]),
        )


def test_cuts_may_begin_anywhere(few_rays: ChannelDataset) -> None:
    h, view = few_rays.array("h_sub6", "test"), few_rays.view("test")
    observation, target = Middle().observe(view, EVERY, CombConditions(snr_db=100.0))
    np.testing.assert_allclose(observation.h, h[:, 3:7, ::4], atol=1e-3)
    np.testing.assert_array_equal(target.value, h[:, 5:8][:, :, [1, 60]])
    slot_s, subcarriers = (few_rays.xarray[name].values for name in ("slot", "subcarrier_sub6"))
    np.testing.assert_allclose(observation.grid.slot_s, slot_s[3:7], rtol=1e-12)
    np.testing.assert_allclose(observation.grid.target_slot_s, slot_s[5:8], rtol=1e-12)
    np.testing.assert_allclose(observation.grid.target_subcarrier_hz, subcarriers[[1, 60]], rtol=1e-12)
    _, noisy = Middle().observe(view, EVERY, CombConditions(paper_compat=True))
    np.testing.assert_array_equal(noisy.context["h_clean"], target.value)


def test_tasks_say_which_datasets_they_can_be_cut_from() -> None:
    pf, bf = registry.create("tasks", "pf"), registry.create("tasks", "bf")
    assert [pf.supports(small_spec(sub6__num_subcarriers=number)) for number in (1, 2, 3)] == [False, True, True]
    assert bf.supports(small_spec())
    assert not bf.supports(small_spec(mmwave__array__rows=2)), "its beams are not those of one row"
    assert not bf.supports(small_spec(system="multiuser")), "it has no second band"


def test_beam_target_is_the_best_by_exhaustive_search(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "bf")
    _, target = task.observe(few_rays.view("test"), np.arange(4), task.conditions())
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
    observation, target = task.observe(few_rays.view("test"), EVERY, task.conditions())
    gain_db = few_rays.array("path_gain_db_sub6", "test")
    offset = observation.power_db - gain_db
    assert offset.std() < 3  # what fading and noise leave
    np.testing.assert_array_equal(target.value, few_rays.array("distance_m", "test"))
    train, _ = task.observe(few_rays.view("train"), np.arange(60), task.conditions(snr_db=100.0))
    assert np.mean(10 ** (train.power_db / 10)) == pytest.approx(1, rel=0.2)


def test_constants_of_the_training_split(few_rays: ChannelDataset) -> None:
    for name, values in (
        ("de", few_rays.array("distance_m", "train")),
        ("pe", -few_rays.array("main_path_gain_db_sub6", "train")),
    ):
        task = registry.create("tasks", name)
        _, target = task.observe(few_rays.view("test"), EVERY, task.conditions())
        wanted = {"train_mean": math.fsum(values.tolist()) / 60, "train_span": float(max(values) - min(values))}
        assert target.constants == pytest.approx(wanted, rel=1e-6)


def test_path_loss_target_is_that_of_the_main_path(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "pe")
    _, target = task.observe(few_rays.view("test"), EVERY, task.conditions())
    np.testing.assert_array_equal(target.value, -few_rays.array("main_path_gain_db_sub6", "test"))
