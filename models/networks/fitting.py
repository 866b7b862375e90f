"""Fitting one network to one task, predicting with it, and what it costs."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from channelbench.contracts import FitContext, FitData, TaskSplit
from channelbench.errors import RequestError
from channelbench.models.networks.checkpoints import read_tensors
from channelbench.models.networks.data import Batch, as_batch, training_batches, validation_batches
from channelbench.models.networks.training import FINAL, Outcome, Plan, budget_of, seeded, train
from channelbench.tasks.link.observations import (
    BeamObservation,
    ChannelObservation,
    LinkObservation,
    ScalarObservation,
)

__all__ = [
    "Fitted",
    "TaskNetwork",
    "at_task",
    "check_loss",
    "count_flops",
    "fit_identity",
    "fit_network",
    "flops_of",
    "start_from",
]

LOSSES: Mapping[type[LinkObservation], tuple[str, tuple[str, ...]]] = {
    ChannelObservation: ("channels", ("nmse",)),
    BeamObservation: ("beams", ("cross_entropy",)),
    ScalarObservation: ("numbers", ("absolute", "squared")),
}
"""What can be minimised, by what is wanted."""

MAX_COEFFICIENTS = 2**22
"""Predictions are made in pieces of at most this many observed or predicted coefficients."""


class TaskNetwork(Protocol):
    """What a network for one task offers besides being a module; ``calibrate`` (statistics of as many training samples
    as its ``calibration_samples`` says) is optional, and so is ``alone`` (what is predicted without the network)."""

    def loss(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scalar training loss of a batch: ``h`` complex64 ``[batch, slots, subcarriers, antennas]``, ``noise_var``
        float32 ``[batch]``, ``target`` as the task has it."""
        ...


class Fitted:
    """A network with weights, ready to predict.

    Attributes:
        module: In evaluation mode, on ``device``.
        shape: Observed slots, subcarriers and antennas that it was fitted on.
        outcome: How its fit ended.
        known_costs: Cost figures that the module itself cannot tell.
    """

    def __init__(
        self,
        module: nn.Module,
        shape: tuple[int, ...],
        device: str,
        outcome: Outcome,
        known_costs: Mapping[str, float] | None = None,
    ) -> None:
        self.module, self.shape, self.device, self.outcome = module, shape, device, outcome
        self.known_costs = dict(known_costs or {})

    def predict(self, observation: LinkObservation) -> NDArray[Any]:
        """Predictions for all samples, computed in pieces of bounded size.

        Raises:
            RequestError: the observation has another shape than the ones of the fit.
        """
        return self._through(self.module, observation)

    def predict_start(self, observation: LinkObservation) -> NDArray[Any] | None:
        """What the module predicts without its network (``alone``); ``None`` where it is nothing without."""
        alone = getattr(self.module, "alone", None)
        return None if alone is None else self._through(alone, observation)

    def _through(
        self, predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], observation: LinkObservation
    ) -> NDArray[Any]:
        if observation.h.shape[1:] != self.shape:
            raise RequestError("observation", expected=f"samples of shape {self.shape}", got=observation.h.shape[1:])
        wanted = int(np.prod(observation.answer_shape))
        size = max(1, MAX_COEFFICIENTS // max(int(np.prod(self.shape)), wanted))
        batch = as_batch(observation, None, "cpu")
        with torch.inference_mode():
            parts = [
                predict(h.to(self.device), noise_var.to(self.device)).cpu()
                for h, noise_var in zip(batch.h.split(size), batch.noise_var.split(size), strict=True)
            ]
        return torch.cat(parts).numpy()

    def costs(self) -> dict[str, float]:
        """Parameters and floating-point operations of one prediction."""
        parameters = list(self.module.parameters())
        return {
            "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
            "total_parameters": sum(p.numel() for p in parameters),
            "flops_per_sample": float(count_flops(self.module, self.shape)),
            **self.known_costs,
        }


def count_flops(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Floating-point operations of one prediction from an observation ``shape``; see ``flops_of``."""
    h, noise_var = torch.ones((1, *shape), dtype=torch.complex64), torch.full((1,), 0.1)
    return flops_of(module, lambda replica: replica(h, noise_var))


def flops_of(module: nn.Module, call: Callable[[Any], Any]) -> int:
    """Floating-point operations of a call of a copy of ``module`` on the CPU (matrix products and convolutions; Fourier
    transforms, decompositions and elementwise operations are not counted)."""
    replica = copy.deepcopy(module).cpu()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # oneDNN's fused LSTM and the CPU's fused attention are opaque to the counter; apart they are matrix products.
        with (
            torch.backends.mkldnn.flags(enabled=False),
            sdpa_kernel(SDPBackend.MATH),
            torch.no_grad(),
            FlopCounterMode(display=False) as counter,
        ):
            call(replica)
    return counter.get_total_flops()


def fit_network(
    build: Callable[[LinkObservation], nn.Module],
    splits: tuple[TaskSplit, TaskSplit],
    *,
    context: FitContext,
    identity: dict[str, Any],
) -> Fitted:
    """Build a network for a task and train it on the budget of ``context.preset``.

    Args:
        build: Makes the untrained network (a ``TaskNetwork``) from an example observation of one sample.
        splits: Training and validation split.
        context: Seed of initial weights, batch order and whatever the network draws; preset, device, folder,
            progress.
        identity: What tells the fit from others, beside the dataset, the seed and the preset.

    Raises:
        TrainingDiverged: loss, gradient or validation score is no finite number.
        RequestError: unknown preset, a loss that nobody can minimise, or a folder with checkpoints of another fit.
    """
    training, validation = splits
    budget = budget_of(context.preset)
    example, _ = training.observe([0])
    check_loss(example)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(context.seed, 0))
        module = build(example)
    module.to(context.device)
    start_from(module, context)
    calibrate = getattr(module, "calibrate", None)
    if calibrate is not None and (number := min(len(training), int(module.calibration_samples))):  # type: ignore[arg-type]
        some = as_batch(*training.observe(np.arange(number)), context.device)
        with torch.no_grad():
            calibrate(some.h, some.noise_var, some.target)
    steps = budget.total_steps(len(training), goes_on=context.start is not None)
    plan = Plan(
        steps=steps,
        batches=training_batches(training, budget.batch_size, context.seed, context.device),
        loss=_loss,
        validate=lambda network: _validate(network, validation, budget.batch_size, context.device),
        learning_rate=lambda step: budget.learning_rate(step, steps),
        validate_every=max(1, -(-steps // budget.validations)),
        weight_decay=budget.weight_decay,
    )
    whole_identity = {**identity, **fit_identity({"": splits}, context)}
    outcome = train(module, plan, seed=context.seed, identity=whole_identity, context=context)
    return Fitted(module, example.h.shape[1:], context.device, outcome)


def fit_identity(data: FitData, context: FitContext) -> dict[str, Any]:
    """What tells a fit from others: dataset, number of samples, budget, what it starts from, and the code."""
    training, _ = next(iter(data.values()))
    return {
        "preset": context.preset,
        "training_budget": asdict(budget_of(context.preset)),  # after "preset", which says more to the reader
        "data": context.data,
        "training_samples": len(training),
        "start": "" if context.start is None else context.start.name,
        "code": context.code,
    }


def at_task(context: FitContext, task: str) -> FitContext:
    """The context of a fit of one task: its checkpoints and those that it starts from have a folder of their own."""
    below = {name: path / task for name in ("workdir", "start") if (path := getattr(context, name)) is not None}
    return replace(context, **below)


def check_loss(example: LinkObservation) -> None:
    """Refuse to minimise another loss than the task is judged by.

    Raises:
        RequestError: nothing here minimises the loss of ``example``.
    """
    for kind, (wanted, losses) in LOSSES.items():
        if isinstance(example, kind) and example.loss not in losses:
            raise RequestError("loss", expected=f"a loss of {wanted}", got=example.loss, choices=losses)


def start_from(module: nn.Module, context: FitContext) -> None:
    """Give ``module`` the weights of the finished fit in ``context.start``, where there is one.

    Raises:
        RequestError: there is no finished fit, or it is that of another network.
    """
    if context.start is None:
        return
    files = sorted(context.start.rglob(FINAL))
    if not files:
        raise RequestError("start", expected="a folder with a finished fit", got=context.start)
    state = module.state_dict()
    for path in files:  # stages' names are in the order in which they are trained
        for name, tensor in read_tensors(path, context.device).items():
            if name not in state or state[name].shape != tensor.shape:
                raise RequestError("start", expected="weights of the same network", got=f"{path} ({name})")
            state[name].copy_(tensor)


def _loss(module: nn.Module, batch: Batch) -> torch.Tensor:
    return module.loss(batch.h, batch.noise_var, batch.target)  # type: ignore[operator]


def _validate(module: nn.Module, split: TaskSplit, batch_size: int, device: str) -> float:
    """Mean loss over a split. The networks' own draws are fixed, so that scores can be compared."""
    total = 0.0
    torch.manual_seed(0)
    for batch in validation_batches(split, batch_size, device):
        total += float(_loss(module, batch)) * len(batch)
    return total / len(split)
