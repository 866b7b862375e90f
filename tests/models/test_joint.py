"""Joint training: networks of several tasks, stages, resuming, starting from another fit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from channelbench.contracts import FitContext, TaskSplit
from channelbench.errors import RequestError
from channelbench.models.networks import joint
from channelbench.models.networks.data import as_batch
from channelbench.models.networks.fitting import Fitted
from channelbench.models.networks.joint import DynamicWeightAverage, JointNetwork, Stage, fit_jointly, task_frame
from channelbench.models.networks.training import BUDGETS, TrainingDiverged
from channelbench.presets import Budget
from channelbench.registry import create
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.observations import ChannelObservation, LinkObservation

TASKS = ("de", "pe")
STEPS = 10  # of three in an epoch: 60 samples in batches of 16, the rest left out


class Stop(Exception):
    """An interruption."""


class Toy(JointNetwork):
    """One layer that both tasks go through together, and a head for each."""

    def __init__(self, examples: Mapping[str, LinkObservation], width: int = 4) -> None:
        super().__init__({task: task_frame(example) for task, example in examples.items()})
        features = self.frame("de").num_features  # type: ignore[union-attr]
        self.trunk = nn.Sequential(nn.Linear(features, width), nn.Tanh(), nn.Dropout(0.2))
        self.heads = nn.ModuleDict({task: nn.Linear(width, 1) for task in examples})
        self.passes = 0
        self.asked: list[str] = []

    def answers(self, starts: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        self.passes += 1
        joined = self.trunk(torch.cat([start.features for start in starts.values()]))
        parts = joined.split([len(start.features) for start in starts.values()])
        return {task: self.heads[task](part)[:, 0] for task, part in zip(starts, parts, strict=True)}

    def specialise(self, task: str) -> None:
        self.asked.append(task)


@pytest.fixture(autouse=True)
def _ten_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validated, and so saved, after every second step: often within an epoch; weighted from step 6 on."""
    budget = Budget(batch_size=16, steps=STEPS, validations=5, peak_rate=1e-2, weight_decay=1e-2)
    monkeypatch.setitem(BUDGETS, "smoke", budget)  # type: ignore[arg-type]


def splits(dataset: ChannelDataset) -> dict[str, tuple[TaskSplit, TaskSplit]]:
    def split(task: str, name: str) -> TaskSplit:
        return TaskSplit(create("tasks", task), dataset.view(name))

    return {task: (split(task, "train"), split(task, "val")) for task in TASKS}


def fit(
    dataset: ChannelDataset,
    build: Callable[[Mapping[str, LinkObservation]], JointNetwork] = Toy,
    *,
    seed: int = 0,
    stages: tuple[Stage, ...] = (Stage(name="joint"),),
    least_means: int = 0,
    **context: Any,
) -> dict[str, Fitted]:
    return fit_jointly(
        build,
        splits(dataset),
        context=FitContext(**{"preset": "smoke", "seed": seed, **context}),
        identity={"method": "toy"},
        stages=stages,
        least_means=least_means,
    )


def network_of(fitted: Mapping[str, Fitted]) -> Toy:
    return fitted["de"].module.network  # type: ignore[return-value]


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_same(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def untrained(dataset: ChannelDataset) -> Toy:
    torch.manual_seed(5)
    return Toy({task: pair[0].observe([0])[0] for task, pair in splits(dataset).items()}).eval()


# --- networks of several tasks ---------------------------------------------------------------------------------------


def test_joined_pass_equals_separate_passes(few_rays: ChannelDataset) -> None:
    network = untrained(few_rays)
    batches = {task: as_batch(*pair[0].observe(np.arange(9)), "cpu") for task, pair in splits(few_rays).items()}
    together = network.losses(batches)
    assert network.passes == 1
    for task, batch in batches.items():
        alone = network.losses({task: batch})[task]
        torch.testing.assert_close(together[task], alone)
        frame = network.frame(task)
        prediction = network(task, batch.h, batch.noise_var)
        torch.testing.assert_close(together[task], frame.criterion(prediction, batch.target))


@pytest.mark.parametrize("task", ["ce", "cp", "pf", "bf", "de", "pe"])
def test_every_task_has_a_frame_whose_start_is_a_prediction(task: str, few_rays: ChannelDataset) -> None:
    observation, target = TaskSplit(create("tasks", task), few_rays.view("val")).observe(np.arange(5))
    frame = task_frame(observation)
    start = frame.begin(torch.as_tensor(observation.h), torch.as_tensor(observation.noise_var))
    wanted = (5, *observation.answer_shape)
    answer = torch.zeros(start.pairs.shape if isinstance(observation, ChannelObservation) else wanted)
    prediction = frame.whole(frame.end(start, answer))
    assert prediction.shape == wanted == ((5, observation.grid.num_beams) if task == "bf" else target.value.shape)
    assert torch.isfinite(frame.criterion(prediction, torch.as_tensor(target.value)))
    if task in ("de", "pe"):
        assert frame.objective == ("absolute" if task == "de" else "squared")  # type: ignore[union-attr]


# --- fitting ---------------------------------------------------------------------------------------------------------


def test_fit_repeats_whatever_the_global_generator(few_rays: ChannelDataset) -> None:
    first = weights(network_of(fit(few_rays)))
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert_same(first, weights(network_of(fit(few_rays))))
    assert torch.equal(torch.get_rng_state(), state)
    other = weights(network_of(fit(few_rays, seed=1)))
    assert not torch.equal(first["trunk.0.weight"], other["trunk.0.weight"])


def test_tasks_share_a_network_and_answer_for_themselves(few_rays: ChannelDataset) -> None:
    fitted = fit(few_rays)
    network = network_of(fitted)
    assert fitted["pe"].module.network is network
    assert not network.training
    for task, (_, validation) in splits(few_rays).items():
        observation, _ = validation.observe()
        network.asked.clear()
        got = fitted[task].predict(observation)
        assert set(network.asked) == {task}
        batch = as_batch(observation, None, "cpu")
        with torch.no_grad():
            np.testing.assert_array_equal(got, network(task, batch.h, batch.noise_var).numpy())
        costs = fitted[task].costs()
        assert (
            costs["trainable_parameters"] == costs["total_parameters"] == sum(p.numel() for p in network.parameters())
        )


def test_frames_are_calibrated_on_their_own_targets(few_rays: ChannelDataset) -> None:
    network = network_of(fit(few_rays))
    for task in TASKS:
        observation, target = splits(few_rays)[task][0].observe()
        frame = task_frame(observation)
        batch = as_batch(observation, target, "cpu")
        frame.calibrate(batch.h, batch.noise_var, batch.target)
        torch.testing.assert_close(network.frame(task).curve, frame.curve)


def test_score_is_the_mean_logarithm_of_the_tasks_losses(few_rays: ChannelDataset) -> None:
    """Of what was kept, over the whole validation split, whatever the size of the pieces."""
    fitted = fit(few_rays)
    network = network_of(fitted)
    logarithms = []
    for task, (_, validation) in splits(few_rays).items():
        with torch.no_grad():
            loss = network.losses({task: as_batch(*validation.observe(), "cpu")})[task]
        logarithms.append(math.log(float(loss)))
    assert fitted["de"].outcome.best_score == pytest.approx(np.mean(logarithms), abs=1e-5)
    assert fitted["de"].outcome.best_score == min(fitted["de"].outcome.scores.values())


def test_short_trainings_are_weighted_where_that_is_asked_for(
    few_rays: ChannelDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stages of five steps, of three steps an epoch: too short for two epochs and a step."""
    seen: list[list[float]] = []

    class Watched(DynamicWeightAverage):
        def weights(self) -> list[float]:
            seen.append(super().weights())
            return seen[-1]

    monkeypatch.setattr(joint, "DynamicWeightAverage", Watched)
    halves = tuple(Stage(name=name, share=0.5) for name in ("1", "2"))
    fit(few_rays, stages=halves)
    assert seen == [[1.0, 1.0]] * STEPS
    seen.clear()
    fit(few_rays, stages=halves, least_means=5)
    assert [weights == [1.0, 1.0] for weights in seen] == [True, True, False, False, False] * 2
    assert all(sum(weights) == pytest.approx(2.0) for weights in seen)


def stop_at(call: int) -> Callable[[int, int, str], None]:
    """Interrupts at the so-many-th report of progress, counted over all stages."""
    calls = itertools.count(1)

    def progress(done: int, total: int, message: str) -> None:
        if next(calls) == call:
            raise Stop

    return progress


@pytest.mark.parametrize("step", [1, 4, 5, 8, 9])
def test_interrupted_fit_ends_in_the_same_bits(
    step: int, few_rays: ChannelDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted within an epoch, between two, with even weights and with others."""
    monkeypatch.setattr("channelbench.models.networks.training.SAVE_EVERY_S", 0.0)
    whole = fit(few_rays)
    with pytest.raises(Stop):
        fit(few_rays, workdir=tmp_path, progress=stop_at(step))
    resumed = fit(few_rays, workdir=tmp_path)
    assert resumed["de"].outcome.trained_steps == STEPS - step
    assert_same(weights(network_of(whole)), weights(network_of(resumed)))
    assert resumed["pe"].outcome.scores == whole["pe"].outcome.scores


def freeze(network: Toy, part: str) -> None:
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.startswith(part))


def two_stages(seen: list[dict[str, torch.Tensor]] | None = None) -> tuple[Stage, ...]:
    """Heads with a frozen trunk, then the trunk with frozen heads; ``seen`` takes the weights that each begins with."""

    def prepare(part: str) -> Callable[[Toy], None]:
        def prepared(network: Toy) -> None:
            freeze(network, part)
            if seen is not None:
                seen.append(weights(network))

        return prepared

    return Stage(name="1-heads", share=0.4, prepare=prepare("trunk")), Stage(
        name="2-trunk", share=0.6, prepare=prepare("heads")
    )


def moved(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> set[str]:
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_stages_train_what_they_say_one_after_the_other(few_rays: ChannelDataset, tmp_path: Path) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    reports: list[tuple[int, int]] = []
    fitted = fit(few_rays, stages=two_stages(seen), workdir=tmp_path, progress=lambda *call: reports.append(call[:2]))
    end = weights(network_of(fitted))
    assert moved(seen[0], seen[1]) == {"heads"}
    assert moved(seen[1], end) == {"trunk"}
    assert reports == [(step, 4) for step in range(1, 5)] + [(step, 6) for step in range(1, 7)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-heads", "2-trunk"]
    saved = [set(safetensors.torch.load_file(tmp_path / name / "final.safetensors")) for name in ("1-heads", "2-trunk")]
    frames = {name for name in end if name.startswith("frames")}
    assert saved[0] - frames == {name for name in end if name.startswith("heads")}
    assert saved[1] - frames == {name for name in end if name.startswith("trunk")}
    # Each counts, although the last stage trained only one of them.
    assert fitted["de"].costs()["trainable_parameters"] == sum(p.numel() for p in network_of(fitted).parameters())


@pytest.mark.parametrize("step", [2, 4, 6, 8])
def test_interrupted_stage_continues(
    step: int, few_rays: ChannelDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first of two stages, at its end, and in the second, whose start has to be found again."""
    monkeypatch.setattr("channelbench.models.networks.training.SAVE_EVERY_S", 0.0)
    whole = weights(network_of(fit(few_rays, stages=two_stages())))
    with pytest.raises(Stop):
        fit(few_rays, stages=two_stages(), workdir=tmp_path, progress=stop_at(step))
    assert_same(whole, weights(network_of(fit(few_rays, stages=two_stages(), workdir=tmp_path))))

    def never(done: int, total: int, message: str) -> None:
        raise AssertionError("a finished fit trains again")

    assert_same(whole, weights(network_of(fit(few_rays, stages=two_stages(), workdir=tmp_path, progress=never))))


def test_folder_of_another_fit_is_refused(few_rays: ChannelDataset, tmp_path: Path) -> None:
    fit(few_rays, workdir=tmp_path)
    with pytest.raises(RequestError, match=r"final\.safetensors: seed"):
        fit(few_rays, workdir=tmp_path, seed=1)
    with pytest.raises(RequestError, match=r"final\.safetensors: data: expected \"another\", got ''"):
        fit(few_rays, workdir=tmp_path, data="another")


def test_fit_starts_from_another(few_rays: ChannelDataset, tmp_path: Path) -> None:
    """All stages' weights are taken over, statistics are taken anew, and a quarter of the steps has to do."""
    source = weights(network_of(fit(few_rays, stages=two_stages(), workdir=tmp_path)))
    seen, totals = list[dict[str, torch.Tensor]](), set[int]()
    watch = Stage(name="joint", prepare=lambda network: seen.append(weights(network)))
    fit(few_rays, seed=7, stages=(watch,), start=tmp_path, progress=lambda done, total, _: totals.add(total))
    assert_same(seen[0], source)
    assert totals == {STEPS // 4}


def test_start_from_another_network_is_refused(few_rays: ChannelDataset, tmp_path: Path) -> None:
    fit(few_rays, workdir=tmp_path)
    with pytest.raises(RequestError, match=r"start: expected weights of the same network, got '.*final.*weight"):
        fit(few_rays, lambda examples: Toy(examples, width=5), start=tmp_path)
    with pytest.raises(RequestError, match=r"start: expected a folder with a finished fit"):
        fit(few_rays, start=tmp_path / "nothing")


class Failing(Toy):
    """Loses its way at a step, in training or in validation."""

    def __init__(self, examples: Mapping[str, LinkObservation], step: int, training: bool) -> None:
        super().__init__(examples)
        self.step, self.when, self.done = step, training, 0

    def losses(self, batches: Any) -> dict[str, torch.Tensor]:
        found = super().losses(batches)
        lost = self.training is self.when and self.done == self.step
        self.done += self.training
        return {task: loss * math.nan if lost and task == "pe" else loss for task, loss in found.items()}


def test_divergence_names_the_step(few_rays: ChannelDataset) -> None:
    with pytest.raises(TrainingDiverged, match="the training loss is nan at step 7"):
        fit(few_rays, lambda examples: Failing(examples, 7, training=True))
    with pytest.raises(TrainingDiverged, match="the validation score is nan at step 6"):
        fit(few_rays, lambda examples: Failing(examples, 6, training=False))
