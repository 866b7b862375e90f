"""From groups of users to tensors, and the fit of one network to one task of groups.

A batch is a list of parts, one for each number of users in it, so that no network sees users who are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from channelbench.contracts import FitContext, Target, TaskSplit
from channelbench.models.networks.fitting import fit_identity, flops_of, start_from
from channelbench.models.networks.training import Outcome, Plan, budget_of, seeded, train
from channelbench.tasks.multiuser.answers import scored_form
from channelbench.tasks.multiuser.observations import DetectionObservation, GroupObservation, PrecodingObservation

__all__ = ["DetectionPart", "FittedGroups", "GroupNetwork", "Part", "PrecodingPart", "TrainingBatch"]
__all__ += ["batch_loss", "fit_groups", "group_batches", "parts_of", "validation_score"]

PIECE = 256
"""Groups (times subcarriers) that are answered at once."""


@dataclass(frozen=True, kw_only=True)
class PrecodingPart:
    """Groups of equally many users on one subcarrier.

    Attributes:
        h: Channels, ``[batch, users, antennas]``, complex64: user k receives ``Σ_j h_kᴴ w_j s_j``.
        power, noise_var: ``[batch]``, float32.
        loss: The task's: ``sum_rate`` or ``min_rate``.
    """

    h: torch.Tensor
    power: torch.Tensor
    noise_var: torch.Tensor
    loss: str

    def __len__(self) -> int:
        return len(self.h)


@dataclass(frozen=True, kw_only=True)
class DetectionPart:
    """Receptions of equally many users, ``y = Hx + n``.

    Attributes:
        h: ``[batch, antennas, users]``, complex64.
        y: ``[batch, uses, antennas]``, complex64.
        noise_var: ``[batch]``, float32.
        modulation: See ``solvers.constellation``.
        x: What was sent, ``[batch, uses, users]``, complex64; empty where that is not known.
    """

    h: torch.Tensor
    y: torch.Tensor
    noise_var: torch.Tensor
    modulation: str
    x: torch.Tensor

    def __len__(self) -> int:
        return len(self.h)


Part = PrecodingPart | DetectionPart
Parts = Sequence[tuple[NDArray[np.int64], Part]]


class GroupNetwork(Protocol):
    """What a network of groups offers besides being a module; ``calibrate(parts)`` is optional (statistics of training
    cases, before training), as is ``finish(parts)`` (what is learned of the validation split after training)."""

    def loss(self, part: Any, progress: float) -> torch.Tensor:
        """Scalar training loss of a part; ``progress`` is the share of the training that is done."""
        ...

    def score(self, part: Any) -> torch.Tensor:
        """What validation compares, a scalar, lower is better: the same whatever the progress."""
        ...

    def answer(self, part: Any) -> Any:
        """Of a precoder: beams ``[batch, users, antennas]``, complex. Of a detector: a ``DetectionAnswer``."""
        ...


def parts_of(observation: GroupObservation, target: Target | None, device: str) -> Parts:
    """The parts of a batch with the positions of their groups. Subcarriers become groups of their own, in turn."""
    return [(groups, _part(part, target, groups, device)) for groups, part in observation.by_users()]


def _part(observation: GroupObservation, target: Target | None, groups: NDArray[np.int64], device: str) -> Part:
    def tensor(values: NDArray[Any]) -> torch.Tensor:
        return torch.as_tensor(values, device=device)

    if isinstance(observation, PrecodingObservation):
        _, subcarriers, users, antennas = observation.h.shape
        error = observation.power * observation.error_var.mean(axis=1)  # heard as noise, as by the formulas
        return PrecodingPart(
            h=tensor(observation.h.reshape(-1, users, antennas)),
            power=tensor(np.repeat(observation.power, subcarriers)),
            noise_var=tensor(np.repeat(observation.noise_var + error, subcarriers)),
            loss=observation.loss,
        )
    if isinstance(observation, DetectionObservation):
        users = observation.h.shape[2]
        sent = np.empty(0, np.complex64) if target is None else target.value[groups][:, :, :users]
        return DetectionPart(
            h=tensor(observation.h),
            y=tensor(observation.y),
            noise_var=tensor(observation.noise_var),
            modulation=observation.modulation,
            x=tensor(np.ascontiguousarray(sent)),
        )
    raise TypeError(f"no tensors for a {type(observation).__name__}")


@dataclass(frozen=True)
class TrainingBatch:
    """The parts of a batch, and the share of the training that is done."""

    parts: Parts
    progress: float

    def __len__(self) -> int:
        return sum(len(groups) for groups, _ in self.parts)


def group_batches(
    split: TaskSplit, batch_size: int, seed: int, device: str, steps: int
) -> Callable[[int], Iterator[TrainingBatch]]:
    """Batches from a step on, as ``data.training_batches`` has them: a permutation and new draws each epoch."""
    size = min(batch_size, len(split))
    per_epoch = len(split) // size

    def batches(step: int) -> Iterator[TrainingBatch]:
        while True:
            epoch, position = divmod(step, per_epoch)
            order = np.random.default_rng(seeded(seed, 2, epoch)).permutation(len(split))
            cases = order[position * size : (position + 1) * size]
            yield TrainingBatch(parts_of(*split.observe(cases, epoch=epoch), device), step / steps)
            step += 1

    return batches


def validation_score(module: Any, split: TaskSplit, batch_size: int, device: str) -> float:
    """Mean of a network's ``score`` over a split, always with the draws of epoch 0."""
    total, count = 0.0, 0
    torch.manual_seed(0)
    for start in range(0, len(split), batch_size):
        cases = np.arange(start, min(start + batch_size, len(split)))
        for _, part in parts_of(*split.observe(cases, epoch=0), device):
            total += float(module.score(part)) * len(part)
            count += len(part)
    return total / count


def fit_groups(
    build: Callable[[GroupObservation], nn.Module],
    splits: tuple[TaskSplit, TaskSplit],
    *,
    context: FitContext,
    identity: dict[str, Any],
) -> FittedGroups:
    """Build a network (a ``GroupNetwork``) for a task and train it on the budget of ``context.preset``; arguments and
    errors as of ``fitting.fit_network``."""
    training, validation = splits
    budget = budget_of(context.preset)
    example, _ = training.observe([0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(context.seed, 0))
        module: Any = build(example)
    module.to(context.device)
    start_from(module, context)
    if hasattr(module, "calibrate"):
        with torch.no_grad():
            module.calibrate(_some_parts(training, context.device))
    steps = budget.total_steps(len(training), goes_on=context.start is not None)
    plan = Plan(
        steps=steps,
        batches=group_batches(training, budget.batch_size, context.seed, context.device, steps),
        loss=batch_loss,
        validate=lambda network: validation_score(network, validation, budget.batch_size, context.device),
        learning_rate=lambda step: budget.learning_rate(step, steps),
        validate_every=max(1, -(-steps // budget.validations)),
        weight_decay=budget.weight_decay,
    )
    whole = {**identity, **fit_identity({"": splits}, context)}
    outcome = train(module, plan, seed=context.seed, identity=whole, context=context)
    if hasattr(module, "finish"):
        with torch.no_grad():
            module.finish(_some_parts(validation, context.device))
    return FittedGroups(module, context.device, outcome, example)


def batch_loss(module: Any, batch: TrainingBatch) -> torch.Tensor:
    """Mean loss over the cases of a batch."""
    losses = [module.loss(part, batch.progress) * len(groups) for groups, part in batch.parts]
    return torch.stack(losses).sum() / len(batch)


def _some_parts(split: TaskSplit, device: str, most: int = 2000) -> list[Part]:
    return [part for _, part in parts_of(*split.observe(np.arange(min(len(split), most))), device)]


def _pieces(part: Part) -> Iterator[Part]:
    """A part in pieces of at most ``PIECE`` groups."""
    tensors = {name: value for name, value in vars(part).items() if isinstance(value, torch.Tensor)}
    for start in range(0, len(part), PIECE):
        cut: dict[str, Any] = {name: value[start : start + PIECE] for name, value in tensors.items()}
        yield replace(part, **cut)


def _as_array(pieces: Sequence[Any], observation: GroupObservation) -> NDArray[Any]:
    """The answers of the pieces of a part as one array, ``[groups, subcarriers or uses, users, …]``."""
    if isinstance(observation, PrecodingObservation):
        return torch.cat(list(pieces)).cpu().numpy().reshape(observation.h.shape)
    assert isinstance(observation, DetectionObservation)
    starts = range(0, len(observation), PIECE)
    return np.concatenate(
        [
            scored_form(piece, replace(observation, y=observation.y[start : start + PIECE]))
            for start, piece in zip(starts, pieces, strict=True)
        ]
    )


class FittedGroups:
    """A network with weights, ready to answer; it offers what ``fitting.Fitted`` does.

    Attributes:
        module: In evaluation mode, on ``device``.
        outcome: How its fit ended.
        example: Groups, of the first of which the operations are counted; without any, they are not.
    """

    def __init__(
        self, module: nn.Module, device: str, outcome: Outcome, example: GroupObservation | None = None
    ) -> None:
        self.module, self.device, self.outcome, self.example = module, device, outcome, example

    def predict(self, observation: GroupObservation) -> NDArray[Any]:
        """What the task asks for; of detectors in the form that is scored."""
        return self._through(self.module.answer, observation)  # type: ignore[arg-type]

    def predict_start(self, observation: GroupObservation) -> NDArray[Any] | None:
        """What the module answers without its network (``alone``); ``None`` where it is nothing without."""
        alone = getattr(self.module, "alone", None)
        return None if alone is None else self._through(alone, observation)

    def _through(self, answer: Callable[[Any], Any], observation: GroupObservation) -> NDArray[Any]:
        """Answers in pieces of bounded size; those of groups with fewer users than others end in zeros."""
        found = []
        with torch.inference_mode():
            for (groups, seen), (_, part) in zip(
                observation.by_users(), parts_of(observation, None, self.device), strict=True
            ):
                pieces = [answer(piece) for piece in _pieces(part)]
                found.append((groups, _as_array(pieces, seen)))
        axis = 2  # that of the users, also in ``h`` of either kind of observation
        most = observation.h.shape[axis]  # type: ignore[attr-defined]
        if len(found) == 1 and found[0][1].shape[axis] == most:
            return found[0][1]
        whole = np.zeros((len(observation), found[0][1].shape[1], most, *found[0][1].shape[3:]), found[0][1].dtype)
        for groups, values in found:
            whole[groups, :, : values.shape[axis]] = values
        return whole

    def costs(self) -> dict[str, float]:
        """Parameters, and floating-point operations of the answer for one group."""
        parameters = list(self.module.parameters())
        costs: dict[str, float] = {
            "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
            "total_parameters": sum(p.numel() for p in parameters),
        }
        if self.example is not None:
            (_, part), *_ = parts_of(self.example, None, "cpu")
            costs["flops_per_sample"] = float(flops_of(self.module, lambda replica: replica.answer(part)))
        return costs
