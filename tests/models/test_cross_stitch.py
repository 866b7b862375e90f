"""Cross-stitch networks against a loop over towers in double precision, and as methods."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from channelbench.contracts import FitContext, Method, TaskSplit
from channelbench.errors import RequestError
from channelbench.models.cross_stitch import CrossStitch, CrossStitchSingle
from channelbench.models.networks.cnn import BeamCNN, ReconstructionCNN
from channelbench.models.networks.cross_stitch import CrossStitchNetwork, Towers, fold, near_identity, unfold
from channelbench.models.networks.data import Batch, as_batch
from channelbench.models.networks.mlp import ScalarMLP
from channelbench.models.networks.reconstruction import ReconstructionShape
from channelbench.registry import create, tasks_of
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.observations import LinkObservation
from channelbench.testing import MethodTests, conformance_dataset, make_dataset, small_spec

TASKS = tasks_of(CrossStitch)


def seen_in_test(task: str, dataset: ChannelDataset, cases: Any, **conditions: Any) -> tuple[Any, Any]:
    """Observation and target of cases of the test split."""
    kind = create("tasks", task)
    return kind.observe(dataset.view("test"), cases, kind.conditions(**conditions))


class Stop(Exception):
    """An interruption."""


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


class TestCrossStitch(MethodTests):
    method = CrossStitch
    preset = "smoke"


class TestCrossStitchSingle(MethodTests):
    method = CrossStitchSingle
    preset = "smoke"


# --- towers ----------------------------------------------------------------------------------------------------------


def stir(network: nn.Module) -> None:
    """Random weights where untrained ones are zero or equal."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)


def reference(towers: Towers, image: torch.Tensor, answered_by: int) -> torch.Tensor:
    """Towers one after the other, mixed by Eq. 1 of Misra et al. in double precision."""
    width, count = towers.width, towers.towers
    own = [slice(t * width, (t + 1) * width) for t in range(count)]

    def convolve(layer: nn.Conv2d, x: torch.Tensor, t: int) -> torch.Tensor:
        return functional.conv2d(x, layer.weight[own[t]].double(), layer.bias[own[t]].double(), padding=1)  # type: ignore[index]

    x = [image.double()] * count
    for stage, (inner, outer) in enumerate(zip(towers.inner, towers.outer, strict=True)):
        x = [functional.silu(h + convolve(outer, functional.silu(convolve(inner, h, t)), t)) for t, h in enumerate(x)]
        if count > 1:
            alpha = towers.mixtures[stage].double()
            x = [sum(alpha[t, s] * x[s] for s in range(count)) for t in range(count)]  # type: ignore[misc]
    return x[answered_by]


@pytest.mark.parametrize("count", [1, 2, 6])
def test_towers_equal_a_loop_over_towers(count: int) -> None:
    towers = Towers(count, 5, stages=3)
    stir(towers)
    image = torch.randn(4 + 2 * count, 5, 6, 7)
    samples = dict.fromkeys(reversed(range(count)), 2) | {0: 6}
    out = towers(image, samples)
    begin = 0
    for tower, number in samples.items():
        rows = slice(begin, begin + number)
        torch.testing.assert_close(
            out[rows].double(), reference(towers, image[rows], tower), rtol=1e-4, atol=1e-5 * out.abs().max().item()
        )
        begin += number
    assert begin == len(image)


def test_mixing_equals_einsum() -> None:
    """Every tower's activations, against the sum over towers in double precision; channels and pixels stay apart."""
    towers = Towers(6, 4)
    stir(towers)
    x = torch.randn(3, 24, 5, 2)
    for stage in range(4):
        expected = torch.einsum(
            "ts,bscrk->btcrk", towers.mixtures[stage].double(), x.double().unflatten(1, (6, 4))
        ).flatten(1, 2)
        torch.testing.assert_close(towers.mix(x, stage).double(), expected, rtol=1e-5, atol=1e-5)


def test_identity_mixture_leaves_towers_alone() -> None:
    """Each is then a single tower with its own share of the weights, and no other's weights have a gradient."""
    towers = Towers(3, 4, stages=2)
    stir(towers)
    for mixture in towers.mixtures:
        nn.init.eye_(mixture)
    image = torch.randn(2, 4, 5, 6)
    for tower in range(3):
        own = slice(4 * tower, 4 * tower + 4)
        single = Towers(1, 4, stages=2)
        for name, parameter in single.named_parameters():
            parameter.data.copy_(dict(towers.named_parameters())[name][own])
        towers.zero_grad()
        out = towers(image, {tower: 2})
        torch.testing.assert_close(out, single(image, {0: 2}))
        out.square().sum().backward()
        for name, parameter in towers.named_parameters():
            if not name.startswith("mixtures"):
                gradient = parameter.grad.unflatten(0, (3, 4)).flatten(1).abs().sum(1)  # type: ignore[union-attr]
                assert (gradient > 0).tolist() == [t == tower for t in range(3)], name


def test_mixtures_carry_gradients_to_all_towers() -> None:
    """One tower's answer trains the others, and every row of the early mixtures, but only its own of the last."""
    towers = Towers(3, 4, stages=2)
    towers(torch.randn(2, 4, 5, 6), {1: 2}).square().sum().backward()
    gradient = towers.inner[0].weight.grad.unflatten(0, (3, 4)).flatten(1).abs().sum(1)  # type: ignore[operator,union-attr]
    assert (gradient > 0).all()
    assert gradient.argmax() == 1
    first, last = (mixture.grad.abs().sum(1) > 0 for mixture in towers.mixtures)  # type: ignore[union-attr]
    assert first.tolist() == [True, True, True]
    assert last.tolist() == [False, True, False]


def test_untrained_mixture_is_near_the_identity() -> None:
    np.testing.assert_allclose(near_identity(2), [[0.9, 0.1], [0.1, 0.9]], rtol=1e-6)
    mixture = near_identity(6)
    np.testing.assert_allclose(mixture.sum(1), np.ones(6), rtol=1e-6)
    np.testing.assert_allclose(mixture.diagonal(), np.full(6, 0.9), rtol=1e-6)
    np.testing.assert_allclose(mixture[~torch.eye(6, dtype=torch.bool)], np.full(30, 0.02), rtol=1e-5)
    for stage in Towers(6, 4).mixtures:
        torch.testing.assert_close(stage.detach(), mixture)


def test_a_single_tower_has_no_mixture() -> None:
    assert near_identity(1).tolist() == [[1.0]]
    assert len(Towers(1, 4).mixtures) == 0


# --- images ----------------------------------------------------------------------------------------------------------


def test_patches_become_channels_and_come_back() -> None:
    x = torch.randn(3, 5, 7, 2)
    image = fold(x, (2, 4))
    assert image.shape == (3, 16, 3, 2)
    assert torch.equal(unfold(image, (2, 4), (5, 7)), x)
    # Pixel (1, 0) of channel (c, tall, wide) is the point (2 + tall, wide).
    assert torch.equal(image[:, :, 1, 0].unflatten(1, (2, 2, 4)), x[:, 2:4, 0:4].permute(0, 3, 1, 2))
    assert image[:, :, :, 1].unflatten(1, (2, 2, 4))[..., 3, :].abs().sum() == 0, "the eighth column is filled up"


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
    stir(network)
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
    stir(network)
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
