"""MLP, LSTM and CNN as methods."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest
import torch
from networks_by_hand import seen_in_test

from channelbench.contracts import FitContext, Method, TaskSplit
from channelbench.errors import RequestError
from channelbench.models._small import SmallNetwork
from channelbench.models.cnn import CNN
from channelbench.models.gru import GRU
from channelbench.models.lstm import LSTM
from channelbench.models.mlp import MLP
from channelbench.models.networks.training import TrainingDiverged
from channelbench.models.rnn import RNN
from channelbench.presets import Budget
from channelbench.registry import create, tasks_of
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.observations import ChannelObservation, LinkObservation
from channelbench.testing import MethodTests, conformance_dataset, make_dataset, small_spec

METHODS: tuple[type[SmallNetwork], ...] = (MLP, LSTM, CNN)
PAIRS = [pytest.param(method, task, id=f"{method.card.name}-{task}") for method in METHODS for task in tasks_of(method)]


class Stop(Exception):
    """An interruption."""


def splits(dataset: ChannelDataset, task: str) -> tuple[TaskSplit, TaskSplit]:
    training, validation = (TaskSplit(create("tasks", task), dataset.view(split)) for split in ("train", "val"))
    return training, validation


def fitted(method: type[SmallNetwork], task: str, dataset: ChannelDataset, seed: int = 0, **context: Any) -> Method:
    instance = method()
    instance.fit({task: splits(dataset, task)}, FitContext(**{"preset": "smoke", "seed": seed, **context}))
    return instance


def observed(task: str, dataset: ChannelDataset) -> LinkObservation:
    return seen_in_test(task, dataset, np.arange(12))[0]


@cache
def smoke(method: type[SmallNetwork]) -> Method:
    instance = method()
    instance.fit({task: splits(conformance_dataset(), task) for task in tasks_of(method)}, FitContext(preset="smoke"))
    return instance


class SmallNetworkTests(MethodTests):
    """Conformance, after a few steps of training."""

    preset = "smoke"


class TestMLP(SmallNetworkTests):
    method = MLP


class TestLSTM(SmallNetworkTests):
    method = LSTM


class TestCNN(SmallNetworkTests):
    method = CNN


class TestGRU(SmallNetworkTests):
    method = GRU


class TestRNN(SmallNetworkTests):
    method = RNN


@pytest.mark.parametrize(("method", "gates"), [(LSTM, 4), (GRU, 3), (RNN, 1)])
def test_recurrent_layers_have_their_gates(method: type[SmallNetwork], gates: int, few_rays: ChannelDataset) -> None:
    """Four layers, of which each has two matrices and two biases a gate; everything else is the LSTM's."""
    example, _ = splits(few_rays, "cp")[0].observe([0])
    network = method().build(example, "quick")
    layers = network.layers
    inputs, width = layers.input_size, layers.hidden_size
    expected = gates * (width * (inputs + width) + 3 * width * 2 * width + 4 * 2 * width)
    assert sum(parameter.numel() for parameter in layers.parameters()) == expected
    rest = {name for name in network.state_dict() if not name.startswith("layers.")}
    assert rest == {name for name in LSTM().build(example, "quick").state_dict() if not name.startswith("layers.")}


@pytest.mark.parametrize(("method", "millions"), [(MLP, 1.29), (CNN, 2.14), (LSTM, 1.17)])
@pytest.mark.parametrize("preset", ["standard", "paper"])
def test_parameters_are_those_of_the_paper(
    method: type[SmallNetwork], millions: float, preset: str, few_rays: ChannelDataset
) -> None:
    """LLM4WM Table VII, which "reflects the average performance across tasks": the mean over the method's tasks of one
    network's weights and biases, on the dual-band system; statistics of the training split are no parameters."""
    counts = []
    for task in tasks_of(method):
        example, _ = splits(few_rays, task)[0].observe([0])
        network = method().build(example, preset)
        counts.append(sum(parameter.numel() for parameter in network.parameters()))
    assert np.mean(counts) == pytest.approx(millions * 1e6, rel=0.01)
    assert max(counts) / min(counts) < 1.02


@pytest.mark.parametrize(("method", "task"), PAIRS)
def test_quick_networks_are_narrower(method: type[SmallNetwork], task: str, few_rays: ChannelDataset) -> None:
    example, _ = splits(few_rays, task)[0].observe([0])
    quick, paper = (
        sum(parameter.numel() for parameter in method().build(example, preset).parameters())
        for preset in ("quick", "paper")
    )
    assert quick < paper / 2


@pytest.mark.parametrize(("method", "task"), PAIRS)
def test_fit_repeats_and_depends_on_the_seed(method: type[SmallNetwork], task: str, few_rays: ChannelDataset) -> None:
    observation = observed(task, few_rays)
    torch.manual_seed(3)
    first = fitted(method, task, few_rays).predict(task, observation)
    second = fitted(method, task, few_rays).predict(task, observation)
    np.testing.assert_array_equal(first, second)
    other = fitted(method, task, few_rays, seed=1).predict(task, observation)
    assert not np.array_equal(first, other)


def stop_at(step: int) -> Callable[[int, int, str], None]:
    def progress(done: int, total: int, message: str) -> None:
        if done == step:
            raise Stop

    return progress


@pytest.mark.parametrize(("method", "task"), PAIRS)
def test_interrupted_fit_continues(
    method: type[SmallNetwork], task: str, few_rays: ChannelDataset, tmp_path: Path
) -> None:
    observation = observed(task, few_rays)
    whole = fitted(method, task, few_rays).predict(task, observation)
    with pytest.raises(Stop):
        fitted(method, task, few_rays, workdir=tmp_path, progress=stop_at(2))
    assert (tmp_path / task / "running.safetensors").exists()
    resumed = fitted(method, task, few_rays, workdir=tmp_path)
    np.testing.assert_array_equal(resumed.predict(task, observation), whole)

    def never(done: int, total: int, message: str) -> None:
        raise AssertionError("a finished fit trains again")

    loaded = fitted(method, task, few_rays, workdir=tmp_path, progress=never)
    np.testing.assert_array_equal(loaded.predict(task, observation), whole)


def test_checkpoint_of_another_preset_or_dataset_is_refused(few_rays: ChannelDataset, tmp_path: Path) -> None:
    fitted(MLP, "de", few_rays, workdir=tmp_path)
    with pytest.raises(RequestError, match=r'final\.safetensors: preset: expected "quick", got \'smoke\''):
        fitted(MLP, "de", few_rays, workdir=tmp_path, preset="quick")
    with pytest.raises(RequestError, match=r'data: expected "another", got \'\''):
        fitted(MLP, "de", few_rays, workdir=tmp_path, data="another")


@pytest.mark.parametrize(("method", "task"), PAIRS)
def test_empty_observation_has_a_finite_prediction(
    method: type[SmallNetwork], task: str, few_rays: ChannelDataset
) -> None:
    full = observed(task, few_rays)
    for noise_var in (full.noise_var, np.zeros_like(full.noise_var)):
        empty = replace(full, h=np.zeros_like(full.h), noise_var=noise_var)
        prediction = smoke(method).predict(task, empty)
        assert np.isfinite(prediction).all()
        assert prediction.dtype == (np.complex64 if isinstance(full, ChannelObservation) else np.float32)


@pytest.mark.parametrize(("method", "task"), PAIRS)
def test_loss_on_empty_channels_trains_on(method: type[SmallNetwork], task: str, few_rays: ChannelDataset) -> None:
    """All-zero samples have a finite gradient: one among others spoils nothing."""
    observation, target = splits(few_rays, task)[0].observe(np.arange(4))
    network = method().build(observation, "quick")
    h = torch.as_tensor(observation.h).clone()
    h[0] = 0
    network.loss(h, torch.as_tensor(observation.noise_var), torch.as_tensor(target.value)).backward()  # type: ignore[operator]
    for name, parameter in network.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_predictions_in_pieces_are_the_same(few_rays: ChannelDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    observation = observed("cp", few_rays)
    whole = smoke(LSTM).predict("cp", observation)
    monkeypatch.setattr("channelbench.models.networks.fitting.MAX_COEFFICIENTS", 5 * 16 * 64 * 8)
    np.testing.assert_allclose(smoke(LSTM).predict("cp", observation), whole, atol=1e-5)


def test_other_shape_and_no_fit_are_refused(few_rays: ChannelDataset) -> None:
    pilots = seen_in_test("ce", few_rays, np.arange(2), pilot_spacing=4)[0]
    with pytest.raises(RequestError, match=r"observation: expected samples of shape \(16, 8, 8\), got \(16, 16, 8\)"):
        smoke(CNN).predict("ce", pilots)
    with pytest.raises(RuntimeError, match="lstm has not been fitted for ce"):
        LSTM().predict("ce", pilots)


def test_divergence_reaches_the_caller(few_rays: ChannelDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "channelbench.models.networks.mlp.ScalarMLP.loss",
        lambda self, h, noise_var, target: self(h, noise_var).sum() * np.nan,
    )
    with pytest.raises(TrainingDiverged, match="training loss is nan at step 0"):
        fitted(MLP, "de", few_rays)


@pytest.mark.parametrize(("method", "task"), PAIRS)
def test_learns_a_small_set_by_heart(
    method: type[SmallNetwork], task: str, few_rays: ChannelDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen samples with the same noise each epoch: the loss falls far below that of the untrained network."""
    monkeypatch.setitem(
        sys.modules["channelbench.models.networks.training"].BUDGETS,  # type: ignore[arg-type]
        "smoke",
        Budget(batch_size=16, steps=120 if method is MLP else 50, validations=1, peak_rate=5e-3),
    )
    training = FixedSplit(*splits(few_rays, task)[0].observe(np.arange(16)), splits(few_rays, task)[0])
    losses: list[float] = []
    instance = method()
    instance.fit(
        {task: (training, training)},  # type: ignore[dict-item]
        FitContext(
            preset="smoke", progress=lambda done, total, message: losses.append(float(message.split()[1].strip(",")))
        ),
    )
    assert min(losses[-5:]) < 0.35 * losses[0]


class FixedSplit:
    """Samples whose noise never changes."""

    def __init__(self, observation: LinkObservation, target: Any, split: TaskSplit) -> None:
        self.observation, self.target, self.task, self.loss = observation, target, split.task, split.loss

    def __len__(self) -> int:
        return len(self.observation)

    def observe(self, indices: Any = None, *, epoch: int = 0) -> tuple[LinkObservation, Any]:
        rows = np.arange(len(self)) if indices is None else np.asarray(indices)
        part = replace(self.observation, h=self.observation.h[rows], noise_var=self.observation.noise_var[rows])
        return part, replace(self.target, value=self.target.value[rows])


@pytest.mark.parametrize("method", [LSTM, CNN])
def test_multiuser_system(method: type[SmallNetwork], tmp_path: Path) -> None:
    """128 antennas and 48 subcarriers, in groups of antennas with common weights."""
    dataset = make_dataset(tmp_path / "multiuser.zarr", small_spec(train=16, val=4, test=3, system="multiuser"))
    for task in ("ce", "cp", "pf"):
        observation, target = seen_in_test(task, dataset, np.arange(3))
        instance = fitted(method, task, dataset)
        assert instance.predict(task, observation).shape == target.value.shape
        assert instance.costs(task)["flops_per_sample"] > 1e6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize(("method", "task"), PAIRS)
def test_cuda_agrees_with_the_cpu(method: type[SmallNetwork], task: str, few_rays: ChannelDataset) -> None:
    observation = observed(task, few_rays)
    cpu = fitted(method, task, few_rays).predict(task, observation)
    cuda = fitted(method, task, few_rays, device="cuda").predict(task, observation)
    np.testing.assert_allclose(cuda, cpu, rtol=0.02, atol=0.02 * np.abs(cpu).max())


def test_cards_are_read_without_torch() -> None:
    modules = "channelbench.models.cnn, channelbench.models.lstm, channelbench.models.mlp"
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
