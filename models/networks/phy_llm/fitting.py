"""The fit of the multi-task network: one task at each step (multi-task PHY LLM, section IV-C)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from channelbench.contracts import FitContext, FitData, Observation, TaskSplit
from channelbench.models.networks.data import Batch, as_batch, training_batches
from channelbench.models.networks.fitting import Fitted, fit_identity, start_from
from channelbench.models.networks.groups import FittedGroups, Part, Parts, group_batches, parts_of
from channelbench.models.networks.phy_llm.network import PhyLLMNetwork
from channelbench.models.networks.training import Outcome, Plan, budget_of, seeded, train
from channelbench.results import write_atomic
from channelbench.tasks.multiuser.observations import GroupObservation

__all__ = ["Curves", "FittedTasks", "Schedule", "TaskBatch", "fit_in_turns"]

VALIDATION_CASES = 256
"""Cases of a validation split that are scored at a time."""
FINISHING_CASES = 2000
CURVE_POINTS = 200
"""Points of a curve at most: each is the mean loss of as many steps as it takes."""
CURVES = "curves.json"


@dataclass(frozen=True)
class TaskBatch:
    """What one step sees.

    Attributes:
        task: Whose it is.
        parts: The parts of a batch with the positions of their cases.
        step: Steps of this task before.
        progress: The share of this task's steps that is done.
    """

    task: str
    parts: Sequence[tuple[NDArray[np.int64], Part | Batch]]
    step: int
    progress: float


class Schedule:
    """Which task has which step: in random order, each as often as its budget says, so that every task has what a fit
    to it alone has. All of it follows from seed and steps.

    Args:
        steps: Of each task.
        seed: Of the order.
    """

    def __init__(self, steps: Mapping[str, int], seed: int) -> None:
        self.steps = dict(steps)
        numbers = np.repeat(np.arange(len(steps)), list(steps.values()))
        self._tasks = np.random.default_rng(seeded(seed, 6)).permutation(numbers)
        self._before = np.empty_like(self._tasks)
        for number in range(len(steps)):
            mine = self._tasks == number
            self._before[mine] = np.arange(mine.sum())

    def __len__(self) -> int:
        return len(self._tasks)

    def at(self, step: int) -> tuple[str, int]:
        """The task of a step, and how many steps it has had before."""
        return list(self.steps)[self._tasks[step]], int(self._before[step])


class Curves:
    """The objective of a step: its task's loss. It keeps what the losses were.

    Args:
        steps: Of each task.
    """

    def __init__(self, steps: Mapping[str, int]) -> None:
        self.steps = dict(steps)
        self.points = {task: min(CURVE_POINTS, number) for task, number in steps.items()}
        self.sums = {task: [0.0] * number for task, number in self.points.items()}
        self.counts = {task: [0] * number for task, number in self.points.items()}

    def __call__(self, module: nn.Module, batch: TaskBatch, /) -> torch.Tensor:
        assert isinstance(module, PhyLLMNetwork)
        losses = [module.loss(batch.task, part, batch.progress) * len(cases) for cases, part in batch.parts]
        loss = torch.stack(losses).sum() / sum(len(cases) for cases, _ in batch.parts)
        point = batch.step * self.points[batch.task] // self.steps[batch.task]
        self.sums[batch.task][point] += float(loss.detach())
        self.counts[batch.task][point] += 1
        return loss

    def curve(self, task: str) -> dict[str, NDArray[Any]]:
        """``steps`` of the task at the end of each point, int64, and the mean ``training`` loss of it, float32."""
        counts = np.array(self.counts[task])
        done = counts > 0
        means = np.array(self.sums[task])[done] / counts[done]
        return {"steps": counts.cumsum()[done], "training": means.astype(np.float32)}

    def state_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"sums": self.sums, "counts": self.counts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.sums, self.counts = state["sums"], state["counts"]

    def keep(self, folder: Path | None, *, trained: bool) -> None:
        """Write what a fit that ``trained`` has seen into its folder; read it where one was only loaded."""
        path = None if folder is None else folder / CURVES
        if path is None:
            return
        if trained:
            write_atomic(path, json.dumps(self.state_dict()).encode())
        elif path.exists():
            self.load_state_dict(json.loads(path.read_text()))


@dataclass(frozen=True)
class FittedTasks:
    """What a fit gives.

    Attributes:
        tasks: Each task, ready to answer.
        curves: Of training losses.
        costs: Of the network; see ``PhyLLMNetwork.sizes``.
    """

    tasks: Mapping[str, Fitted | FittedGroups]
    curves: Curves
    costs: Mapping[str, float]


def fit_in_turns(
    build: Callable[[Mapping[str, Observation]], PhyLLMNetwork],
    data: FitData,
    *,
    context: FitContext,
    identity: Mapping[str, Any],
    deploys: bool = False,
) -> FittedTasks:
    """Build a network for several tasks and train it, each task for as many steps as ``context.preset`` gives one.

    The learning rate goes through one warm-up and descent over all steps. Best is the smallest mean over tasks of
    logarithms of what validation scores: squared errors, and how far rates stay below a bound. So no unit counts.

    Args:
        build: Makes the untrained network from an example observation of each task.
        data: Training and validation split of each task.
        context, identity: As for ``fit_network``.
        deploys: Whether what answers is the network after its ``deploy``.

    Raises:
        TrainingDiverged: a loss, gradient or validation score is no finite number.
        RequestError: unknown preset, a loss that nobody can minimise, or a folder with checkpoints of another fit.
    """
    budget = budget_of(context.preset)
    examples = {task: training.observe([0])[0] for task, (training, _) in data.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(context.seed, 0))
        network = build(examples)
    network.to(context.device)
    start_from(network, context)
    goes_on = context.start is not None
    steps = {task: budget.total_steps(len(training), goes_on=goes_on) for task, (training, _) in data.items()}
    schedule, curves = Schedule(steps, context.seed), Curves(steps)
    plan = Plan(
        steps=len(schedule),
        batches=_in_turns(data, schedule, budget.batch_size, context),
        loss=curves,
        validate=lambda module: _validate(module, data, context.device),
        learning_rate=lambda step: budget.learning_rate(step, len(schedule)),
        validate_every=max(1, -(-len(schedule) // budget.validations)),
        weight_decay=budget.weight_decay,
    )
    whole = {**identity, "tasks": list(data), **fit_identity(data, context)}
    outcome = train(network, plan, seed=context.seed, identity=whole, context=context)
    curves.keep(context.workdir, trained=outcome.trained_steps > 0)
    costs = network.sizes()
    if deploys:
        network.deploy()
        costs = network.sizes() | {"trainable_parameters": costs["trainable_parameters"]}
    _finish(network, data, context.device)
    fitted = {task: _fitted(network, task, example, context.device, outcome) for task, example in examples.items()}
    return FittedTasks(fitted, curves, costs)


def _in_turns(
    data: FitData, schedule: Schedule, batch_size: int, context: FitContext
) -> Callable[[int], Iterator[TaskBatch]]:
    """The batches from a step on."""
    streams: dict[str, Callable[[int], Iterator[Any]]] = {}
    for task, (training, _) in data.items():
        grouped = isinstance(training.observe([0])[0], GroupObservation)
        if grouped:
            steps = schedule.steps[task]
            streams[task] = group_batches(training, batch_size, context.seed, context.device, steps)
        else:
            streams[task] = training_batches(training, batch_size, context.seed, context.device)

    def batches(step: int) -> Iterator[TaskBatch]:
        while True:
            task, before = schedule.at(step)
            batch = next(streams[task](before))
            parts = [(np.arange(len(batch)), batch)] if isinstance(batch, Batch) else batch.parts
            yield TaskBatch(task, parts, before, before / schedule.steps[task])
            step += 1

    return batches


def _validation_parts(split: TaskSplit, most: int, device: str) -> Iterator[Parts | list[tuple[Any, Batch]]]:
    """A validation split in pieces, always with the draws of epoch 0."""
    for start in range(0, min(most, len(split)), VALIDATION_CASES):
        cases = np.arange(start, min(start + VALIDATION_CASES, most, len(split)))
        observation, target = split.observe(cases, epoch=0)
        if isinstance(observation, GroupObservation):
            yield parts_of(observation, target, device)
        else:
            yield [(np.arange(len(cases)), as_batch(observation, target, device))]


def _validate(network: Any, data: FitData, device: str) -> float:
    """Mean over tasks of the logarithm of the score. The network's own draws are fixed."""
    torch.manual_seed(0)
    logarithms = []
    for task, (_, validation) in data.items():
        total = 0.0
        for parts in _validation_parts(validation, len(validation), device):
            total += sum(float(network.score(task, part)) * len(part) for _, part in parts)
        logarithms.append(math.log(max(total / len(validation), 1e-12)) if math.isfinite(total) else math.nan)
    return sum(logarithms) / len(logarithms)


@torch.no_grad()
def _finish(network: PhyLLMNetwork, data: FitData, device: str) -> None:
    for task, (_, validation) in data.items():
        if isinstance(validation.observe([0])[0], GroupObservation):
            pieces = _validation_parts(validation, FINISHING_CASES, device)
            network.finish(task, [part for parts in pieces for _, part in parts])  # type: ignore[misc]


def _fitted(network: PhyLLMNetwork, task: str, example: Any, device: str, outcome: Outcome) -> Fitted | FittedGroups:
    if isinstance(example, GroupObservation):
        return FittedGroups(_GroupTask(network, task), device, outcome)
    return Fitted(_LinkTask(network, task), example.h.shape[1:], device, outcome)


class _GroupTask(nn.Module):
    """The network as it looks to one of its tasks of groups."""

    def __init__(self, network: PhyLLMNetwork, task: str) -> None:
        super().__init__()
        self.network, self.task = network, task
        self.eval()

    def answer(self, part: Part) -> Any:
        return _single(self.network.answer(self.task, part))

    def alone(self, part: Part) -> Any:
        return _single(self.network.alone(self.task, part))


def _single(found: Any) -> Any:
    """Beams in single precision."""
    return found.to(torch.complex64) if isinstance(found, torch.Tensor) else found


class _LinkTask(nn.Module):
    """The network as it looks to one of its tasks of links."""

    def __init__(self, network: PhyLLMNetwork, task: str) -> None:
        super().__init__()
        self.network, self.task = network, task
        self.eval()

    def forward(self, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        batch = Batch(h=h, noise_var=noise_var, target=h.new_zeros(0))
        said, _ = self.network.said(self.task, batch)
        return self.network.branch(self.task).frame.whole(said)

    def alone(self, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """The prediction of the frame without the network."""
        return self.network.branch(self.task).frame.alone(h, noise_var)
