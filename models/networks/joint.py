"""Networks of several tasks, fitted to all of them at once: one step sees a batch of every task.

The loss is a weighted sum over tasks (LLM4WM, Eq. 27); the weights follow how fast each task's loss falls.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from channelbench.contracts import FitContext, FitData
from channelbench.models.networks.data import Batch, as_batch, training_batches, validation_batches
from channelbench.models.networks.fitting import (
    Fitted,
    check_loss,
    fit_identity,
    start_from,
)
from channelbench.models.networks.frames import Frame
from channelbench.models.networks.raw import RawBeamFrame, RawReconstructionFrame, RawScalarFrame
from channelbench.models.networks.reconstruction import ReconstructionFrame, ReconstructionShape
from channelbench.models.networks.sensing import BeamFrame, ScalarFrame
from channelbench.models.networks.training import Plan, budget_of, seeded, train
from channelbench.tasks.link.observations import BeamObservation, ChannelObservation, LinkObservation, ScalarObservation

__all__ = [
    "DynamicWeightAverage",
    "JointNetwork",
    "Stage",
    "TaskModules",
    "fit_jointly",
    "steps_per_mean",
    "task_frame",
]

Batches = Mapping[str, Batch]


def task_frame(example: LinkObservation, *, aligned: bool = True) -> Frame[Any]:
    """The frame for what is wanted of observations like ``example``; not ``aligned``: a raw one."""
    _, _, subcarriers, antennas = example.h.shape
    if isinstance(example, ChannelObservation):
        return (ReconstructionFrame if aligned else RawReconstructionFrame)(ReconstructionShape.of(example.grid))
    if isinstance(example, BeamObservation):
        return (BeamFrame if aligned else RawBeamFrame)(example.grid.num_beams)
    if isinstance(example, ScalarObservation):
        return (ScalarFrame if aligned else RawScalarFrame)(example.loss, subcarriers, antennas)
    raise TypeError(f"no frame for a {type(example).__name__}")


class TaskModules(nn.Module):
    """A module for each task, by its name. Unlike those of an ``nn.ModuleDict``, names may have dots in them, or be
    what an attribute of a module is called, such as ``type``."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self._keys = {task: self._key(task) for task in modules}
        for task, module in modules.items():
            self.add_module(self._keys[task], module)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __getitem__(self, task: str) -> Any:
        return self._modules[self._keys[task]]

    def _key(self, task: str) -> str:
        """What its weights go by in checkpoints. No task's name has a slash in it."""
        return f"/{task}" if hasattr(self, task) else task.replace(".", "/")


class JointNetwork(nn.Module, ABC):
    """A network that answers for several tasks.

    Args:
        frames: One for each task.
    """

    def __init__(self, frames: Mapping[str, Frame[Any]]) -> None:
        super().__init__()
        self.frames = TaskModules(frames)

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.frames)

    @abstractmethod
    def answers(self, starts: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """What the tasks' frames end with, of some or all tasks at once."""

    def specialise(self, task: str) -> None:
        """Get ready to answer one task many times; ``train()`` and ``eval()`` undo it."""

    def calibration_samples(self, task: str) -> int:
        """Training samples of a task that ``calibrate`` asks for, at most."""
        return self.frame(task).calibration_samples

    def calibrate(self, task: str, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> None:
        """Take statistics of training samples of a task, before training."""
        self.frame(task).calibrate(h, noise_var, target)

    def frame(self, task: str) -> Frame[Any]:
        return cast("Frame[Any]", self.frames[task])

    def forward(self, task: str, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """The prediction of one task, from ``h`` ``[batch, slots, subcarriers, antennas]`` and ``noise_var``."""
        frame = self.frame(task)
        start = frame.begin(h, noise_var)
        return frame.whole(frame.end(start, self.answers({task: start})[task]))

    def losses(self, batches: Batches) -> dict[str, torch.Tensor]:
        """The loss of every task, from one pass over all their batches."""
        begun = {task: self.frame(task).begin_training(b.h, b.noise_var, b.target) for task, b in batches.items()}
        answers = self.answers({task: start for task, (start, _) in begun.items()})
        return {
            task: self.frame(task).criterion(self.frame(task).end(start, answers[task]), target)
            for task, (start, target) in begun.items()
        }


class DynamicWeightAverage:
    """Sum of the tasks' losses, weighted by how slowly each falls (Liu, Johns, Davison, CVPR 2019, Eq. 7–8).

    ``w_k = K·softmax_k(r_k/T)`` with ``r_k = L_k(t−1)/L_k(t−2)`` of mean losses over epochs; all ones in the first two.

    Args:
        tasks: Their names.
        steps_per_epoch: Steps that one mean is taken over; see ``steps_per_mean``.
        temperature: T; the larger, the more alike the weights.
    """

    def __init__(self, tasks: Sequence[str], steps_per_epoch: int, temperature: float = 2.0) -> None:
        self.tasks, self.steps_per_epoch, self.temperature = tuple(tasks), steps_per_epoch, temperature
        self.steps = 0
        self.means: list[list[float]] = []
        self.sum: torch.Tensor | None = None

    def __call__(self, module: nn.Module, batches: Batches, /) -> torch.Tensor:
        """The weighted sum; each call is a step."""
        losses = cast(JointNetwork, module).losses(batches)
        values = torch.stack([losses[task] for task in self.tasks])
        total = values @ torch.tensor(self.weights(), dtype=values.dtype, device=values.device)
        self._record(values.detach().double())
        return total

    def weights(self) -> list[float]:
        """w of the present epoch, summing to the number of tasks."""
        if len(self.means) < 2:
            return [1.0] * len(self.tasks)
        before, last = self.means[-2:]
        ratios = [new / max(old, 1e-12) / self.temperature for old, new in zip(before, last, strict=True)]
        exponentials = [math.exp(ratio - max(ratios)) for ratio in ratios]
        return [len(self.tasks) * e / sum(exponentials) for e in exponentials]

    def _record(self, values: torch.Tensor) -> None:
        self.sum = values if self.sum is None else self.sum.to(values.device) + values
        self.steps += 1
        if self.steps % self.steps_per_epoch == 0:
            self.means = [*self.means[-1:], (self.sum / self.steps_per_epoch).tolist()]
            self.sum = None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed fit needs, as JSON values."""
        return {"steps": self.steps, "means": self.means, "sum": None if self.sum is None else self.sum.tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps, self.means = state["steps"], state["means"]
        self.sum = None if state["sum"] is None else torch.tensor(state["sum"], dtype=torch.float64)


def steps_per_mean(samples: int, batch_size: int, steps: int, least_means: int = 0) -> int:
    """Steps that the weight average takes one mean of losses over: an epoch, or less where ``least_means`` of them have
    to go into ``steps``. Without that, trainings of less than three epochs would never weigh anything."""
    epoch = max(1, samples // batch_size)
    return max(1, min(epoch, steps // least_means)) if least_means else epoch


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a training.

    Attributes:
        name: Also of its folder of checkpoints; names sort in the order of the stages.
        share: Of the steps of the budget.
        prepare: Says what the stage trains, through ``requires_grad``.
    """

    name: str
    share: float = 1.0
    prepare: Callable[[Any], None] = lambda network: None


def fit_jointly(
    build: Callable[[Mapping[str, LinkObservation]], JointNetwork],
    data: FitData,
    *,
    context: FitContext,
    identity: Mapping[str, Any],
    stages: Sequence[Stage] = (Stage(name="joint"),),
    least_means: int = 0,
) -> dict[str, Fitted]:
    """Build a network for several tasks and train it on the budget of ``context.preset``, stage by stage.

    The learning rate goes through one warm-up and descent over all stages. Each begins from the best weights of the one
    before. Best is the smallest mean of the logarithms of the tasks' validation losses, in which no task's unit
    counts for more than another's.

    Args:
        build: Makes the untrained network from an example observation of one sample per task.
        data: Training and validation split of each task.
        context, identity: As for ``fit_network``.
        stages: Their shares sum to 1. The weight average begins anew with each.
        least_means: How many means of losses a stage has at least for the weight average; see ``steps_per_mean``.

    Raises:
        TrainingDiverged: a loss, gradient or validation score is no finite number.
        RequestError: unknown preset, a loss that nobody can minimise, or a folder with checkpoints of another fit.
    """
    budget = budget_of(context.preset)
    examples = {task: training.observe([0])[0] for task, (training, _) in data.items()}
    for example in examples.values():
        check_loss(example)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(context.seed, 0))
        network = build(examples)
    network.to(context.device)
    start_from(network, context)
    _calibrate(network, data, context.device)
    samples = min(len(training) for training, _ in data.values())
    steps = budget.total_steps(samples, goes_on=context.start is not None)
    trained: set[str] = set()
    scores: dict[int, float] = {}
    first = 0
    stream = _together(data, budget.batch_size, context.seed, context.device)
    for stage in stages:
        stage.prepare(network)
        trained |= {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        length = max(1, round(stage.share * steps))
        plan = Plan(
            steps=length,
            # Epochs are counted on: no stage sees noise that one before has seen.
            batches=lambda step, first=first: stream(first + step),  # type: ignore[misc]
            loss=DynamicWeightAverage(network.tasks, steps_per_mean(samples, budget.batch_size, length, least_means)),
            validate=lambda module: _validate(module, data, budget.batch_size, context.device),
            learning_rate=lambda step, first=first: budget.learning_rate(first + step, steps),  # type: ignore[misc]
            validate_every=max(1, -(-steps // budget.validations)),
            weight_decay=budget.weight_decay,
        )
        outcome = train(
            network,
            plan,
            seed=seeded(context.seed, 4, stages.index(stage)),
            identity={**identity, "stage": stage.name, "tasks": list(data), **fit_identity(data, context)},
            context=replace(context, workdir=None if context.workdir is None else context.workdir / stage.name),
        )
        scores |= {first + step: score for step, score in outcome.scores.items()}
        outcome = replace(outcome, best_step=first + outcome.best_step, scores=dict(scores))
        first += length
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    costs = {"trainable_parameters": float(sum(sizes[name] for name in trained))}
    return {
        task: Fitted(_OneTask(network, task), example.h.shape[1:], context.device, outcome, costs)
        for task, example in examples.items()
    }


class _OneTask(nn.Module):
    """A joint network as it looks to one of its tasks."""

    def __init__(self, network: JointNetwork, task: str) -> None:
        super().__init__()
        self.network, self.task = network, task
        self.eval()

    def forward(self, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        self.network.specialise(self.task)
        return self.network(self.task, h, noise_var)

    def alone(self, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """The prediction of the task's frame without the network."""
        return self.network.frame(self.task).alone(h, noise_var)


def _calibrate(network: JointNetwork, data: FitData, device: str) -> None:
    for task, (training, _) in data.items():
        if number := min(len(training), network.calibration_samples(task)):
            some = as_batch(*training.observe(np.arange(number)), device)
            with torch.no_grad():
                network.calibrate(task, some.h, some.noise_var, some.target)


def _together(data: FitData, batch_size: int, seed: int, device: str) -> Callable[[int], Iterator[Batches]]:
    """A batch of every task at each step."""
    streams = {task: training_batches(training, batch_size, seed, device) for task, (training, _) in data.items()}

    def batches(step: int) -> Iterator[Batches]:
        parts = [stream(step) for stream in streams.values()]
        return (dict(zip(streams, together, strict=True)) for together in zip(*parts, strict=True))

    return batches


def _validate(network: nn.Module, data: FitData, batch_size: int, device: str) -> float:
    """Mean over tasks of the logarithm of the validation loss. The network's own draws are fixed."""
    torch.manual_seed(0)
    logarithms = []
    for task, (_, validation) in data.items():
        total = 0.0
        for batch in validation_batches(validation, batch_size, device):
            total += float(cast(JointNetwork, network).losses({task: batch})[task]) * len(batch)
        logarithms.append(math.log(max(total / len(validation), 1e-12)) if math.isfinite(total) else math.nan)
    return sum(logarithms) / len(logarithms)
