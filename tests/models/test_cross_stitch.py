"""Cross-stitch networks, and as methods."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest
import torch
from networks_by_hand import redraw, seen_in_test
from torch import nn

from channelbench.contracts import FitContext, Method, TaskSplit
from channelbench.errors import RequestError
from channelbench.models.cross_stitch import CrossStitch, CrossStitchSingle
from channelbench.models.networks.cnn import BeamCNN, ReconstructionCNN
from channelbench.models.networks.cross_stitch import CrossStitchNetwork
from channelbench.models.networks.data import Batch, as_batch
from channelbench.models.networks.mlp import ScalarMLP
from channelbench.models.networks.reconstruction import ReconstructionShape
from channelbench.registry import create, tasks_of
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.observations import LinkObservation
from channelbench.testing import MethodTests, conformance_dataset, make_dataset, small_spec

pytestmark = pytest.mark.usefixtures("seeded")

TASKS = tasks_of(CrossStitch)


class Stop(Exception):
    """An interruption."""


class TestCrossStitch(MethodTests):
    method = CrossStitch
    preset = "smoke"


class TestCrossStitchSingle(MethodTests):
    method = CrossStitchSingle
    preset = "smoke"


# --- networks --------------------------------------------------------------------------------------------------------


def splits(dataset: ChannelDataset, task: str) -> tuple[TaskSplit, TaskSplit]:
    training, validation = (TaskSplit(create("tasks", task), dataset.view(split)) for split in ("train", "val"))
    return training, validation


def network_for(dataset: ChannelDataset, *tasks: str, width: int = 6) -> CrossStitchNetwork:
    examples = {task: splits(dataset, task)[0].observe([0])[0] for task in tasks}
    return CrossStitchNetwork(examples, width=width, fold=4)


def batches(dataset: ChannelDataset, *tasks: str, samples: int = 5) -> dict[str, Batch]:
    return {task: as_batch(*splits(dataset, task)[0].observe(np.arange(samples)), "cpu") for task in tasks}


def calibrated(network: CrossStitchNetwork, seen: Mapping[str, Batch]) -> CrossStitchNetwork:
    for task in {"de", "pe"} & set(network.tasks):
        network.frame(task).calibrate(seen[task].h, seen[task].noise_var, seen[task].target)
    return network


@pytest.mark.parametrize("task", TASKS)
def test_untrained_network_is_the_start(task: str, few_rays: ChannelDataset) -> None:
    """What the other small networks answer before they are trained, whatever is mixed."""
    seen = batches(few_rays, *TASKS, samples=30)
    batch, observation = seen[task], splits(few_rays, task)[0].observe([0])[0]
    network = calibrated(network_for(few_rays, *TASKS), seen).eval()
    other: nn.Module
    match task:
        case "bf":
            other = BeamCNN(8, 256, width=4, fold=4)
        case "de" | "pe":
            other = ScalarMLP(64, 8, "squared", width=4, dropout=0.0)
            other.calibrate(batch.h, batch.noise_var, batch.target)
        case _:
            other = ReconstructionCNN(ReconstructionShape.of(observation.grid), width=4, patch=(1, 4))
    torch.testing.assert_close(
        network(task, batch.h, batch.noise_var), other.eval()(batch.h, batch.noise_var), rtol=1e-5, atol=1e-5
    )


def test_joined_pass_equals_separate_passes(few_rays: ChannelDataset) -> None:
    """Whoever else is in the batch, and whichever images go through the towers together."""
    network = network_for(few_rays, *TASKS)
    redraw(network)
    seen = batches(few_rays, *TASKS)
    together = network.losses(seen)
    assert set(together) == set(TASKS)
    for task, batch in seen.items():
        torch.testing.assert_close(together[task], network.losses({task: batch})[task], rtol=1e-3, atol=1e-5)
    for task, loss in network.losses({task: seen[task] for task in ("pe", "cp", "bf")}).items():
        torch.testing.assert_close(together[task], loss, rtol=1e-3, atol=1e-5)


def test_each_task_is_answered_by_its_own_tower(few_rays: ChannelDataset) -> None:
    """With nothing mixed, another tower's weights change no other task."""
    network = network_for(few_rays, *TASKS)
    redraw(network)
    for mixture in network.towers.mixtures:
        nn.init.eye_(mixture)
    seen = batches(few_rays, *TASKS)
    before = network.losses(seen)
    for changed in ("cp", "de"):
        tower = TASKS.index(changed)
        with torch.no_grad():
            network.towers.outer[-1].weight[6 * tower : 6 * tower + 6] += 0.3  # type: ignore[index,operator]
        after = network.losses(seen)
        assert {task for task in TASKS if not torch.equal(before[task], after[task])} == {changed}
        before = after


@pytest.mark.parametrize("tasks", [("ce",), ("bf", "pe"), ("pe", "cp", "bf")])
def test_as_many_towers_as_tasks(tasks: tuple[str, ...], few_rays: ChannelDataset) -> None:
    network = network_for(few_rays, *tasks)
    assert network.towers.towers == len(tasks)
    mixing = sum(p.numel() for p in network.towers.mixtures)
    assert mixing == (4 * len(tasks) ** 2 if len(tasks) > 1 else 0)
    sum(network.losses(batches(few_rays, *tasks)).values()).backward()  # type: ignore[union-attr]
    for task in tasks:
        head = network.ports[task].head
        assert head.weight.grad.abs().sum() > 0, "the zero head is where training begins"  # type: ignore[union-attr,operator]


def test_loss_on_empty_channels_trains_on(few_rays: ChannelDataset) -> None:
    """All-zero samples have a finite gradient: one among others spoils nothing."""
    network = network_for(few_rays, *TASKS)
    seen = batches(few_rays, *TASKS)
    for batch in seen.values():
        batch.h[0] = 0
    sum(network.losses(seen).values()).backward()  # type: ignore[union-attr]
    for name, parameter in network.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_large_arrays_have_at_most_eight_columns(tmp_path: Path) -> None:
    """128 antennas and 48 subcarriers: groups of antennas are samples (CE, CP, PF) or channels of a pixel (DE, PE)."""
    dataset = make_dataset(tmp_path / "multiuser.zarr", small_spec(train=16, val=4, test=3, system="multiuser"))
    tasks = ("ce", "cp", "pf", "de", "pe")
    network = network_for(dataset, *tasks)
    assert network.ports["de"].patch == (4, 16)
    seen = batches(dataset, *tasks, samples=2)
    assert all(torch.isfinite(loss) for loss in network.losses(seen).values())
    for task, batch in seen.items():
        assert network(task, batch.h, batch.noise_var).shape == batch.target.shape


# --- methods ---------------------------------------------------------------------------------------------------------


def fitted(method: type[CrossStitch], dataset: ChannelDataset, *tasks: str, seed: int = 0, **context: Any) -> Method:
    instance = method()
    data = {task: splits(dataset, task) for task in tasks}
    instance.fit(data, FitContext(**{"preset": "smoke", "seed": seed, **context}))
    return instance


@cache
def smoke(method: type[CrossStitch]) -> Method:
    return fitted(method, conformance_dataset(), *TASKS)


def observed(task: str, dataset: ChannelDataset, samples: int = 7) -> LinkObservation:
    return seen_in_test(task, dataset, np.arange(samples))[0]


@pytest.mark.parametrize("task", TASKS)
def test_joint_and_single_agree_in_shape_and_differ_in_value(task: str, few_rays: ChannelDataset) -> None:
    joint, single = (
        smoke(method).predict(task, observed(task, few_rays)) for method in (CrossStitch, CrossStitchSingle)
    )
    assert joint.shape == single.shape
    assert joint.dtype == single.dtype
    assert not np.array_equal(joint, single)
    flops = [smoke(method).costs(task)["flops_per_sample"] for method in (CrossStitch, CrossStitchSingle)]
    assert flops[0] > 2 * flops[1], "every tower sees every sample"


def test_parameters_of_the_joint_network_are_those_of_single_ones_and_the_mixtures() -> None:
    alone = sum(smoke(CrossStitchSingle).costs(task)["trainable_parameters"] for task in TASKS)
    for task in TASKS:
        assert smoke(CrossStitch).costs(task)["trainable_parameters"] == alone + 4 * 6**2


def test_single_fit_is_that_of_each_task_alone(few_rays: ChannelDataset) -> None:
    observation = observed("de", few_rays)
    alone = fitted(CrossStitchSingle, few_rays, "de").predict("de", observation)
    np.testing.assert_array_equal(fitted(CrossStitchSingle, few_rays, "pe", "de").predict("de", observation), alone)
    # Beside another task it would be another network.
    assert not np.array_equal(fitted(CrossStitch, few_rays, "pe", "de").predict("de", observation), alone)
    np.testing.assert_array_equal(fitted(CrossStitch, few_rays, "de").predict("de", observation), alone)


def test_seed_matters(few_rays: ChannelDataset) -> None:
    observation = observed("pe", few_rays)
    first, again, other = (
        fitted(CrossStitch, few_rays, "bf", "pe", seed=seed).predict("pe", observation) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("method", [CrossStitch, CrossStitchSingle])
def test_interrupted_fit_continues(method: type[CrossStitch], few_rays: ChannelDataset, tmp_path: Path) -> None:
    tasks = ("bf", "pe")
    whole = fitted(method, few_rays, *tasks)

    def stop(done: int, total: int, message: str) -> None:
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        fitted(method, few_rays, *tasks, workdir=tmp_path, progress=stop)
    resumed = fitted(method, few_rays, *tasks, workdir=tmp_path)
    for task in tasks:
        observation = observed(task, few_rays)
        np.testing.assert_array_equal(resumed.predict(task, observation), whole.predict(task, observation))
    with pytest.raises(RequestError, match="seed"):
        fitted(method, few_rays, *tasks, seed=1, workdir=tmp_path)


def test_fit_starts_from_a_finished_one(few_rays: ChannelDataset, tmp_path: Path) -> None:
    fitted(CrossStitchSingle, few_rays, "de", workdir=tmp_path)
    started = fitted(CrossStitchSingle, few_rays, "de", start=tmp_path)
    observation = observed("de", few_rays)
    fresh = smoke(CrossStitchSingle).predict("de", observation)
    assert not np.array_equal(started.predict("de", observation), fresh)
    with pytest.raises(RequestError, match="start: expected weights of the same network"):
        fitted(CrossStitch, few_rays, "de", "pe", start=tmp_path)


def test_standard_networks_are_wider(few_rays: ChannelDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[CrossStitchNetwork] = []

    def caught(build: Any, data: Any, **rest: Any) -> dict[str, Any]:
        built.append(build({"de": splits(few_rays, "de")[0].observe([0])[0]}))
        return {}

    monkeypatch.setattr("channelbench.models.networks.joint.fit_jointly", caught)
    for preset in ("quick", "standard", "paper"):
        fitted(CrossStitch, few_rays, "de", preset=preset)
    assert [network.towers.width for network in built] == [16, 32, 32]
    assert [network.ports["de"].patch for network in built] == [(4, 1), (8, 1), (8, 1)]


def test_no_fit_is_refused(few_rays: ChannelDataset) -> None:
    with pytest.raises(RuntimeError, match=r"cross_stitch\(s\) has not been fitted for de"):
        CrossStitchSingle().predict("de", observed("de", few_rays))


def test_learns_a_small_set_by_heart(few_rays: ChannelDataset) -> None:
    """Plain descent on eight fixed samples: the losses of all tasks fall far below those of the untrained network."""
    seen = batches(few_rays, *TASKS, samples=8)
    network = calibrated(network_for(few_rays, *TASKS, width=8), seen)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    before = {task: float(loss.detach()) for task, loss in network.losses(seen).items()}
    for _ in range(60):
        optimizer.zero_grad()
        losses = network.losses(seen)
        sum(losses[task] / before[task] for task in TASKS).backward()  # type: ignore[union-attr]
        optimizer.step()
    after = {task: float(loss.detach()) for task, loss in network.losses(seen).items()}
    assert {task: after[task] / before[task] for task in TASKS if after[task] > 0.5 * before[task]} == {}


def test_cards_are_read_without_torch() -> None:
    code = "import sys, channelbench.models.cross_stitch; assert 'torch' not in sys.modules"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
