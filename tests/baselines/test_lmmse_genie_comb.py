"""Who knows delays modulo the comb's period stands between who knows them and who knows the ensemble."""

from typing import Any

import numpy as np
import pytest

from channelbench import registry
from channelbench.baselines.lmmse import LMMSE
from channelbench.baselines.lmmse_genie import GenieLMMSE
from channelbench.baselines.lmmse_genie_comb import GenieCombLMMSE
from channelbench.contracts import FitContext, Genie, TaskSplit
from channelbench.generator import Block
from channelbench.solvers.aliases import comb_of, delay_profile
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import FewRays

CASES = np.arange(30)


def answer(method: Any, dataset: ChannelDataset, task: Any, **conditions: Any) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and truth of the first test cases."""
    view, chosen = dataset.view("test"), task.conditions(**conditions)
    observation, target = task.observe(view, CASES, chosen)
    prediction = method.predict_knowing(task.card.name, observation, task.genie(view, CASES, chosen))
    return prediction, target.value


def error(method: Any, dataset: ChannelDataset, **conditions: Any) -> float:
    prediction, truth = answer(method, dataset, registry.create("tasks", "ce"), **conditions)
    off = np.sum(np.abs(prediction - truth) ** 2, axis=(1, 2, 3)) / np.sum(np.abs(truth) ** 2, axis=(1, 2, 3))
    return float(off.mean())


def test_between_the_true_delays_and_the_ensemble(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "ce")
    ensemble = LMMSE()
    train, val = (TaskSplit(task, few_rays.view(split)) for split in ("train", "val"))
    ensemble.fit({"ce": (train, val)}, FitContext())
    observation, target = task.observe(few_rays.view("test"), CASES, task.conditions())
    off = np.abs(ensemble.predict("ce", observation) - target.value) ** 2
    linear = float(np.mean(off.sum(axis=(1, 2, 3)) / np.sum(np.abs(target.value) ** 2, axis=(1, 2, 3))))
    known, comb = (error(method, few_rays) for method in (GenieLMMSE(), GenieCombLMMSE()))
    assert 2 * known < comb < linear


def test_wider_combs_leave_more_open(few_rays: ChannelDataset) -> None:
    errors = [error(GenieCombLMMSE(), few_rays, snr_db=40, pilot_spacing=spacing) for spacing in (2, 8, 16)]
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize(("name", "conditions"), [("pf", {}), ("ce", {"pilot_spacing": 1})])
def test_nothing_is_ambiguous_between_neighbours(few_rays: ChannelDataset, name: str, conditions: Any) -> None:
    task = registry.create("tasks", name)
    ours, _ = answer(GenieCombLMMSE(), few_rays, task, **conditions)
    np.testing.assert_array_equal(ours, answer(GenieLMMSE(), few_rays, task, **conditions)[0])


def test_profile_is_that_of_the_scattered_paths_of_training_drops(few_rays: ChannelDataset, drawn: list[Block]) -> None:
    spec = few_rays.spec
    task = registry.create("tasks", "ce")
    grid = task.observe(few_rays.view("test"), CASES[:1], task.conditions())[0].grid
    comb = comb_of(grid.subcarrier_hz, grid.target_subcarrier_hz)
    genie = Genie(spec=spec, seed=few_rays.view("test").seed, split="test", samples=CASES)
    method = GenieCombLMMSE()
    found = method.training_profile(genie, comb)
    want, left = np.zeros_like(found), spec.sizes.train
    for block in list(drawn):
        assert block.split == "train"
        paths = FewRays().paths(spec, block, genie.seed)["sub6"]
        want += delay_profile(paths.power[:, 1:], paths.delay_s[:, 1:], comb)
        left -= block.stop
    assert left == 0
    np.testing.assert_allclose(found, want / spec.sizes.train)
    before = len(drawn)
    assert method.training_profile(genie, comb) is found
    assert len(drawn) == before
