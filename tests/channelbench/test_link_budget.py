"""The physical link's spectral efficiency, from the stored dataset to the score, against a link budget by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from channelbench import registry
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import make_dataset, small_spec

TRAIN, VAL, TEST = 3, 2, 4
POWER_DBM = {"sub6": 46.0, "mmwave": 30.0}
THERMAL_DBM_PER_HZ, NOISE_FIGURE_DB = -174.0, 7.0

SPECS = {
    "default": {},
    "narrow and low": {"sub6__bandwidth_hz": 1.4e6, "sub6__carrier_hz": 0.7e9, "mmwave__bandwidth_hz": 50e6},
    "wide and high": {"sub6__bandwidth_hz": 100e6, "sub6__carrier_hz": 5.9e9, "mmwave__bandwidth_hz": 2e9},
    "far": {"min_distance_m": 900.0, "max_distance_m": 1000.0, "mmwave__carrier_hz": 60e9},
}
SMALL = {"sub6__num_subcarriers": 6, "mmwave__num_subcarriers": 5, "mmwave__array__columns": 8}


@pytest.fixture(scope="module", params=SPECS)
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    spec = small_spec(train=TRAIN, val=VAL, test=TEST, **SMALL, **SPECS[request.param])
    return make_dataset(tmp_path_factory.mktemp("link") / "d.zarr", spec)


def stored(dataset: ChannelDataset, name: str) -> NDArray[np.number]:
    """The test split of a variable, as anybody reads it who has xarray alone."""
    return xr.open_zarr(dataset.path)[name].values[TRAIN + VAL :]


def unit_snr(dataset: ChannelDataset, band: str) -> list[float]:
    """Received over noise power of each test sample where the beamforming gain is 1."""
    bandwidth_hz = json.loads(xr.open_zarr(dataset.path).attrs["spec"])[band]["bandwidth_hz"]
    noise_w = 10 ** ((THERMAL_DBM_PER_HZ + NOISE_FIGURE_DB) / 10) * bandwidth_hz * 1e-3
    sent_w = 1e-3 * 10 ** (POWER_DBM[band] / 10)
    return [sent_w * 10 ** (gain_db / 10) / noise_w for gain_db in stored(dataset, f"path_gain_db_{band}").tolist()]


def scored(dataset: ChannelDataset, task_name: str, metric_name: str, prediction: NDArray[np.number]) -> float:
    """The score of a prediction for the whole test split."""
    task = registry.create("tasks", task_name)
    conditions = task.conditions()
    _, target = task.observe(dataset.view("test"), np.arange(TEST), conditions)
    metric = next(m for m in task.metrics_for(dataset.spec, conditions) if m.card.name == metric_name)
    return float(metric.finalize(metric.accumulate(prediction, target).mean(axis=0)))


CUTS = {"ce": np.s_[:, :16], "cp": np.s_[:, 16:], "pf": np.s_[:, :16, 3:]}


@pytest.mark.parametrize("task", CUTS)
def test_matched_filter_on_the_link(dataset: ChannelDataset, task: str) -> None:
    rng = np.random.default_rng(1)
    h = stored(dataset, "h_sub6")[CUTS[task]].astype(complex)
    guess = h + 0.7 * (rng.standard_normal(h.shape) + 1j * rng.standard_normal(h.shape))
    snr, rates = unit_snr(dataset, "sub6"), []
    for row, slot, subcarrier in np.ndindex(h.shape[:3]):
        one, weights = h[row, slot, subcarrier], guess[row, slot, subcarrier]
        amplitude = sum(a.conjugate() * w for a, w in zip(one, weights, strict=True)) / math.hypot(*map(abs, weights))
        rates.append(math.log2(1 + snr[row] * abs(amplitude) ** 2))
    score = scored(dataset, task, "se_link", (2 - 3j) * guess.astype(np.complex64))
    assert score == pytest.approx(math.fsum(rates) / len(rates), rel=1e-5)
    assert score > 0.1, "nothing is so weak that a wrong constant would not show"


def test_beam_on_the_link(dataset: ChannelDataset) -> None:
    h = stored(dataset, "h_mmwave").astype(complex)
    antennas, beams = h.shape[-1], 4 * h.shape[-1]
    scores = np.random.default_rng(2).standard_normal((TEST, beams))
    snr, rates = unit_snr(dataset, "mmwave"), []
    for row, slot, subcarrier in np.ndindex(h.shape[:3]):
        beam = np.exp(2j * np.pi * scores[row].argmax() * np.arange(antennas) / beams) / math.sqrt(antennas)
        gain = abs(sum(a.conjugate() * w for a, w in zip(h[row, slot, subcarrier], beam, strict=True))) ** 2
        rates.append(math.log2(1 + snr[row] * gain))
    score = scored(dataset, "bf", "beam_se_link", scores)
    assert score == pytest.approx(math.fsum(rates) / len(rates), rel=1e-5)
    assert score > 1e-3


def test_powers_follow_the_band_alone(tmp_path: Path) -> None:
    """A system of one band sends on it what a system of two does."""
    spec = small_spec(train=TRAIN, val=VAL, test=TEST, system="multiuser", sub6__num_subcarriers=6)
    dataset = make_dataset(tmp_path / "d.zarr", spec)
    h = stored(dataset, "h_sub6")[:, : max(1, spec.sub6.num_slots * 4 // 5)].astype(complex)
    snr = unit_snr(dataset, "sub6")
    rates = [
        math.log2(1 + snr[row] * float(np.vdot(h[row, t, f], h[row, t, f]).real))
        for row, t, f in np.ndindex(h.shape[:3])
    ]
    score = scored(dataset, "ce", "se_link", h.astype(np.complex64))
    assert score == pytest.approx(math.fsum(rates) / len(rates), rel=1e-5)
