"""The start that all networks correct: what it predicts, and which networks predict no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from networks_by_hand import seen_in_test, stir
from numpy.typing import NDArray
from torch import nn

from channelbench.contracts import FitContext, Method, TaskSplit
from channelbench.models._fitted import NetworkMethod
from channelbench.models.cross_stitch import CrossStitch
from channelbench.models.networks.checkpoints import read_tensors
from channelbench.models.networks.fitting import Fitted, fit_network
from channelbench.models.networks.joint import task_frame
from channelbench.models.networks.start import StartNetwork
from channelbench.models.networks.training import FINAL, Outcome
from channelbench.models.start import AlignedStart
from channelbench.registry import create, find, tasks_of
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import MethodTests, conformance_dataset, make_dataset, small_backbone, small_spec

OUTCOME = Outcome(best_step=0, best_score=0.0, trained_steps=0)
SIX = ("ce", "cp", "pf", "bf", "de", "pe")


class TestAlignedStart(MethodTests):
    method = AlignedStart
    preset = "smoke"


def splits(task: str, dataset: ChannelDataset) -> tuple[TaskSplit, TaskSplit]:
    training, validation = (TaskSplit(create("tasks", task), dataset.view(split)) for split in ("train", "val"))
    return training, validation


def untrained(observation: Any) -> NDArray[Any]:
    """What the start predicts before it is fitted."""
    module = StartNetwork(task_frame(observation)).eval()
    return Fitted(module, observation.h.shape[1:], "cpu", OUTCOME).predict(observation)


# --- what it predicts ---


def test_untrained_estimation_is_linear_interpolation(few_rays: ChannelDataset) -> None:
    """Over frequency alone, alignment changes nothing: ``np.interp`` between pilots, in float64."""
    observation, target = seen_in_test("ce", few_rays, np.arange(12))
    grid, h = observation.grid, observation.h.astype(np.complex128)
    wanted = np.empty(target.value.shape, np.complex128)
    for case, slot, antenna in np.ndindex(len(h), h.shape[1], h.shape[3]):
        of_one = h[case, slot, :, antenna]
        wanted[case, slot, :, antenna] = np.interp(grid.target_subcarrier_hz, grid.subcarrier_hz, of_one)
    error = np.abs(untrained(observation) - wanted)
    assert error.max() < 2e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("task", ["ce", "cp", "pf"])
def test_untrained_start_continues_a_plane_wave(task: str, few_rays: ChannelDataset) -> None:
    """One path without delay, whatever its Doppler, direction and phase: exact on the whole grid, also where nothing
    is seen."""
    observation, _ = seen_in_test(task, few_rays, np.arange(3))
    grid = observation.grid
    doppler, angle, phase = np.array([0.2, -0.35, 0.0]), np.array([0.5, 2.0, -1.1]), np.array([0.3, 2.5, -3.0])
    spacing = grid.slot_s[1] - grid.slot_s[0]

    def wave(slot_s: NDArray[Any], subcarriers: int) -> NDArray[np.complex128]:
        slots = (slot_s - grid.slot_s[0]) / spacing
        turns = doppler[:, None, None, None] * slots[:, None, None] + phase[:, None, None, None]
        turns = turns + angle[:, None, None, None] * np.arange(observation.h.shape[3])
        return np.exp(1j * turns) * np.ones((1, 1, subcarriers, 1)) * np.array([1.0, 0.01, 40.0])[:, None, None, None]

    seen = replace(observation, h=wave(grid.slot_s, len(grid.subcarrier_hz)).astype(np.complex64))
    wanted = wave(grid.target_slot_s, len(grid.target_subcarrier_hz))
    error = np.abs(untrained(seen) - wanted) / np.abs(wanted)
    assert error.max() < 1e-3


def test_beam_is_that_of_the_strongest_path(few_rays: ChannelDataset) -> None:
    """The peak of delays × beams by the sums themselves, in float64, trained or not."""
    observation, _ = seen_in_test("bf", few_rays, np.arange(30))
    h, beams = observation.h[:, 0].astype(np.complex128), observation.grid.num_beams
    over_subcarriers = np.exp(2j * np.pi * np.outer(np.arange(h.shape[1]), np.arange(h.shape[1])) / h.shape[1])
    over_antennas = np.exp(-2j * np.pi * np.outer(np.arange(h.shape[2]), np.arange(beams)) / beams)
    power = np.abs(np.einsum("bka,kd,an->bdn", h, over_subcarriers, over_antennas)) ** 2
    strongest = power.reshape(len(h), -1).argmax(axis=1) % beams
    np.testing.assert_array_equal(untrained(observation).argmax(axis=1), strongest)
    method = AlignedStart()
    method.fit({"bf": splits("bf", few_rays)}, FitContext(preset="smoke"))
    np.testing.assert_array_equal(method.predict("bf", observation).argmax(axis=1), strongest)


@pytest.mark.parametrize("task", ["de", "pe"])
def test_scalar_start_is_a_least_squares_curve(task: str, few_rays: ChannelDataset) -> None:
    """What is left on the samples that it was fitted on is orthogonal to the powers of the received power."""
    training, validation = splits(task, few_rays)
    method = AlignedStart()
    method.fit({task: (training, validation)}, FitContext(preset="smoke"))
    observation, target = training.observe()
    received = np.mean(np.abs(observation.h.astype(np.complex128)) ** 2, axis=(1, 2, 3))
    power_db = 10 * np.log10(np.maximum(received - observation.noise_var, 0.1 * received))
    power = np.clip((power_db - power_db.mean()) / power_db.std(ddof=1), -4, 4)
    left = target.value - method.predict(task, observation).astype(np.float64)
    assert left.std() < 0.9 * target.value.std()
    for column in power ** np.arange(4)[:, None]:
        assert abs(np.mean(left * column)) < 1e-3 * target.value.std() * np.sqrt(np.mean(column**2))


# --- how it is fitted ---


def test_fit_trains_what_a_frame_has(few_rays: ChannelDataset) -> None:
    """Some steps lower the loss of the trained ones; a curve takes none, and no seed changes it."""
    method, other = AlignedStart(), AlignedStart()
    for seed, each in enumerate((method, other)):
        for task in SIX:
            preset = "quick" if task == "ce" and each is method else "smoke"
            each.fit({task: splits(task, few_rays)}, FitContext(preset=preset, seed=seed))
    numbers = {task: method.costs(task)["trainable_parameters"] for task in SIX}
    observation, target = seen_in_test("ce", few_rays, np.arange(30))
    shape = method._of("ce").module.frame.shape
    slots, subcarriers = len(shape.slots), shape.num_subcarriers
    matrices = len(shape.seen_slots) * slots + len(shape.seen_subcarriers) * subcarriers + shape.antennas**2
    assert numbers["ce"] == 2 * matrices
    assert (numbers["bf"], numbers["de"], numbers["pe"]) == (1, 0, 0)
    assert (method.fit_record("ce").steps, method.fit_record("de").steps) == (120, 0)

    def nmse(prediction: NDArray[Any]) -> float:
        error = np.sum(np.abs(prediction - target.value) ** 2, axis=(1, 2, 3))
        return float(np.mean(error / np.sum(np.abs(target.value) ** 2, axis=(1, 2, 3))))

    assert nmse(method.predict("ce", observation)) < 0.9 * nmse(untrained(observation))
    for task, differs in (("ce", True), ("pe", False)):
        seen, _ = seen_in_test(task, few_rays, np.arange(5))
        assert np.array_equal(method.predict(task, seen), other.predict(task, seen)) is not differs


@pytest.mark.parametrize("task", ["cp", "de"])
def test_fit_is_kept_and_gone_on_from(task: str, few_rays: ChannelDataset, tmp_path: Any) -> None:
    """A finished fit is loaded; a transfer starts from it. A curve is fitted again to the data that it is shown."""
    other = make_dataset(tmp_path / "other.zarr", small_spec(train=40, val=10, test=10), seed=5)
    first, again, further = AlignedStart(), AlignedStart(), AlignedStart()
    context = FitContext(preset="smoke", workdir=tmp_path / "fit")
    for method in (first, again):
        method.fit({task: splits(task, few_rays)}, context)
    observation, _ = seen_in_test(task, few_rays, np.arange(5))
    np.testing.assert_array_equal(first.predict(task, observation), again.predict(task, observation))
    assert again._of(task).outcome.trained_steps == 0
    further.fit(
        {task: splits(task, other)},
        FitContext(preset="smoke", workdir=tmp_path / "more", start=tmp_path / "fit"),
    )
    before, after = (read_tensors(tmp_path / name / task / FINAL, "cpu") for name in ("fit", "more"))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)


# --- which networks predict no more ---

SMALL = [
    (name, task) for name in ("mlp", "cnn", "lstm", "transformer", "wit") for task in tasks_of(find("methods", name))
]


def in_method(module: nn.Module, task: str, shape: tuple[int, ...]) -> Method:
    """A fitted method with this network."""

    class Made(NetworkMethod):
        card = AlignedStart.card
        observes = AlignedStart.observes

    method = Made()
    method._fitted[task] = Fitted(module.eval(), shape, "cpu", OUTCOME)
    return method


def same(method: Method, task: str, observation: Any) -> NDArray[np.bool_]:
    alone = method.predict_start(task, observation)
    assert alone is not None
    return create("tasks", task).same_answers(method.predict(task, observation), alone)


def zeroed_layers(module: nn.Module) -> Iterator[nn.Parameter]:
    """Parameters that are all zero: the last layers, and biases."""
    return (parameter for parameter in module.parameters() if not parameter.detach().any())


def check_network(module: nn.Module, task: str, observation: Any) -> None:
    """The same as its start while its last layer is zero, whatever else its weights are; not after."""
    shape = observation.h.shape[1:]
    with torch.no_grad():
        zero = list(zeroed_layers(module))
        assert zero
        keep = [parameter.clone() for parameter in zero]
        stir(module)
        for parameter, was in zip(zero, keep, strict=True):
            parameter.copy_(was)
    method = in_method(module, task, shape)
    assert same(method, task, observation).all()
    stir(module)
    if task == "bf":  # scores differ; the choice may not
        scores, alone = method.predict(task, observation), method.predict_start(task, observation)
        assert alone is not None
        assert not np.equal(scores, alone).any()
        np.testing.assert_array_equal(
            same(method, task, observation), scores.argmax(axis=1) == np.asarray(alone).argmax(axis=1)
        )
    else:
        assert not same(method, task, observation).any()


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(("name", "task"), SMALL)
def test_small_network_adds_nothing_while_its_last_layer_is_zero(
    name: str, task: str, few_rays: ChannelDataset
) -> None:
    observation, _ = seen_in_test(task, few_rays, np.arange(6))
    module = cast(Any, find("methods", name))().build(observation, "smoke")
    check_network(module, task, observation)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("task", SIX)
@pytest.mark.parametrize("name", ["llm4cp", "llm4cp+none"])
def test_llm4cp_adds_nothing_while_its_last_layer_is_zero(name: str, task: str, few_rays: ChannelDataset) -> None:
    observation, _ = seen_in_test(task, few_rays, np.arange(4))
    context = FitContext(preset="smoke", backbone=small_backbone())
    module = cast(Any, find("methods", name))().build(observation, context)
    method = in_method(module, task, observation.h.shape[1:])
    assert same(method, task, observation).all()
    stir(module)
    assert task == "bf" or not same(method, task, observation).any()


@pytest.mark.parametrize("name", ["cross_stitch", "cross_stitch(s)", "llm4wm", "llm4wm(s)", "llm4wm+raw"])
def test_joint_network_tells_its_start(name: str, few_rays: ChannelDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each task, from the network that all share, without running it."""
    kind = find("methods", name)
    method, context = kind(), FitContext(preset="smoke", backbone=small_backbone())
    data = {task: splits(task, few_rays) for task in ("ce", "bf", "de")}
    for group in [data] if kind.joint else [{task: pair} for task, pair in data.items()]:
        method.fit(group, context)
    for task in data:
        observation, _ = seen_in_test(task, few_rays, np.arange(6))
        network = method._of(task).module.network
        by_hand = network.frame(task).alone(torch.as_tensor(observation.h), torch.as_tensor(observation.noise_var))
        assert not same(method, task, observation).all() or task == "bf"
        # As the network itself with an answer of 0.
        monkeypatch.setattr(
            network,
            "answers",
            lambda starts, network=network: {t: network.frame(t).nothing(s) for t, s in starts.items()},
        )
        assert same(method, task, observation).all()
        monkeypatch.undo()
        monkeypatch.setattr(network, "answers", None)  # asked for, it would raise
        np.testing.assert_array_equal(method.predict_start(task, observation), by_hand.detach().numpy())
        monkeypatch.undo()


def test_cross_stitch_is_marked_by_its_own_resampling(few_rays: ChannelDataset) -> None:
    """Its start is that of its own fit, not the row of the start alone."""
    method, alone = CrossStitch(), AlignedStart()
    data = {"ce": splits("ce", few_rays)}
    for each in (method, alone):
        each.fit(data, FitContext(preset="smoke"))
    observation, _ = seen_in_test("ce", few_rays, np.arange(6))
    own = method.predict_start("ce", observation)
    assert own is not None
    assert not np.array_equal(own, alone.predict("ce", observation))
    assert alone.predict_start("ce", observation) is None


def test_module_without_a_start_has_none(few_rays: ChannelDataset) -> None:
    class Zero(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.zeros(()))

        def forward(self, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
            return self.factor * h.real.mean((1, 2, 3))

        def loss(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return (self(h, noise_var) - target).abs().mean()

    fitted = fit_network(
        lambda example: Zero(), splits("de", few_rays), context=FitContext(preset="smoke"), identity={}
    )
    observation, _ = seen_in_test("de", conformance_dataset(), np.arange(3))
    assert fitted.predict_start(observation) is None
