"""The training path of every learned method: seeded, resumable, best validation checkpoint.

``train`` takes a torch module, a plan (steps, batches, loss, validation, learning rates) and nothing else: it knows
neither tasks nor datasets. Training in stages is one call per stage, each with a folder of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from channelbench.contracts import FitContext
from channelbench.losses import Losses
from channelbench.models.networks.checkpoints import read_checkpoint, write_checkpoint
from channelbench.presets import MAX_GRAD_NORM, PRESETS, Budget, preset_of

__all__ = [
    "BUDGETS",
    "Objective",
    "Outcome",
    "Plan",
    "TrainingDiverged",
    "budget_of",
    "seeded",
    "train",
]

SAVE_EVERY_S = 60.0
RUNNING, FINAL = "running.safetensors", "final.safetensors"


BUDGETS: Mapping[str, Budget] = {name: preset.budget for name, preset in PRESETS.items()}


def budget_of(preset: str) -> Budget:
    """The budget of a preset.

    Raises:
        RequestError: there is no such preset.
    """
    return BUDGETS[preset_of(preset).name]


class Objective(Protocol):
    """A loss of a module on a batch. One with a state (weights that follow the losses, say) also has
    ``state_dict()`` and ``load_state_dict(state)`` with JSON values, and is saved and resumed with the rest."""

    def __call__(self, module: nn.Module, batch: Any, /) -> torch.Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one call of ``train`` does.

    Attributes:
        steps: Optimiser steps.
        batches: The batches from a given step on, without end; a function of the step alone, so that a resumed fit
            sees what an uninterrupted one would have seen.
        loss: Scalar loss of the module on a batch.
        validate: Score of the module, lower is better, called without gradients in evaluation mode.
        learning_rate: Rate at a step.
        validate_every: Steps between validations; there is one after the last step too.
        weight_decay: Decoupled weight decay of matrices and kernels; vectors (biases, gains) have none.
        max_grad_norm: Gradients are clipped to this norm.
    """

    steps: int
    batches: Callable[[int], Iterator[Any]]
    loss: Objective
    validate: Callable[[nn.Module], float]
    learning_rate: Callable[[int], float]
    validate_every: int
    weight_decay: float = 0.0
    max_grad_norm: float = MAX_GRAD_NORM


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a fit ended.

    Attributes:
        best_step: Steps done when the kept weights were scored.
        best_score: Their validation score.
        trained_steps: Steps done in this call: 0 where a finished fit was only loaded.
        scores: Validation scores by steps done.
    """

    best_step: int
    best_score: float
    trained_steps: int
    scores: Mapping[int, float] = field(default_factory=dict)


class TrainingDiverged(RuntimeError):
    """A loss, gradient or validation score stopped being a finite number."""

    def __init__(self, what: str, step: int, value: float) -> None:
        self.what, self.step, self.value = what, step, value
        super().__init__(f"training diverged: {what} is {value} at step {step}")


def seeded(seed: int, *key: int) -> int:
    """A 63-bit seed for torch, of ``seed`` and a key within it."""
    state = np.random.SeedSequence(seed, spawn_key=key).generate_state(2, np.uint32)
    return int(state[0]) << 31 | int(state[1]) >> 1


def train(
    module: nn.Module,
    plan: Plan,
    *,
    seed: int,
    identity: Mapping[str, Any],
    context: FitContext = FitContext(),  # noqa: B008
) -> Outcome:
    """Train ``module`` in place and leave it with the weights of its best validation score, in evaluation mode.

    With ``context.workdir`` the state is saved at every validation and once a minute. A later call with the same
    folder goes on from there, on the CPU to the same bits; after a finished fit it only loads. Frozen parameters are
    not saved: the caller builds them as before. A module with nothing to train is scored once and kept as it is.

    Args:
        module: Where its parameters require gradients, they are trained.
        plan: What to do.
        seed: Seeds dropout and whatever else draws from torch's generator, anew for each step.
        identity: JSON values that tell this fit from others; parameter shapes, seed and steps are added.
        context: Device, folder, and whom to tell of progress.

    Raises:
        TrainingDiverged: a loss, a gradient norm or a validation score is NaN or infinite.
        RequestError: the folder holds checkpoints of another fit.
    """
    fit = _Fit(module.to(context.device), plan, seed, identity, context)
    devices = [torch.device(context.device)] if torch.device(context.device).type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        return fit.run()


class _Fit:
    """A fit under way: the module, its optimiser, and what is saved of them."""

    def __init__(
        self, module: nn.Module, plan: Plan, seed: int, identity: Mapping[str, Any], context: FitContext
    ) -> None:
        self.module, self.plan, self.seed, self.context = module, plan, seed, context
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        frozen = {name for name, p in module.named_parameters() if not p.requires_grad}
        self.saved_names = [name for name in module.state_dict() if name not in frozen]
        shapes = {name: list(module.state_dict()[name].shape) for name in self.saved_names}
        self.identity = {**identity, "seed": seed, "steps": plan.steps, "shapes": shapes}
        decayed = [p for p in self.parameters.values() if p.ndim > 1]
        others = [p for p in self.parameters.values() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": plan.weight_decay}, {"params": others, "weight_decay": 0.0}],
            betas=(0.9, 0.999),
        )
        self.step = 0
        self.best: dict[str, torch.Tensor] = {}
        self.best_step, self.best_score = 0, math.inf
        self.scores: dict[int, float] = {}
        self.last_loss = math.nan
        self.saved_at = time.monotonic()

    def run(self) -> Outcome:
        if self._load_final():
            return self._outcome(0)
        self._load_running()
        if not self.parameters:
            self._validate()
            return self._finish(0)
        first, every = self.step, self.plan.validate_every
        batches = self.plan.batches(first)
        while self.step < self.plan.steps:
            self.last_loss = self._train_step(next(batches))
            self.step += 1
            scored = self.step % every == 0 or self.step == self.plan.steps
            if scored:
                self._validate()
            if scored or time.monotonic() - self.saved_at > SAVE_EVERY_S:
                self._save_running()
            if scored or self.step % max(1, self.plan.steps // 50) == 0:
                self.context.progress(self.step, self.plan.steps, self._message())
        return self._finish(self.step - first)

    def _finish(self, trained: int) -> Outcome:
        self._restore(self.best)
        self.module.eval()
        self._save_final()
        return self._outcome(trained)

    def _train_step(self, batch: Any) -> float:
        torch.manual_seed(seeded(self.seed, 1, self.step))
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate(self.step)
        self.module.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.plan.loss(self.module, batch)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), self.plan.max_grad_norm)
        value = self._finite("the training loss", float(loss.detach()))
        self._finite("the gradient norm", float(norm))
        self.optimizer.step()
        return value

    def _validate(self) -> None:
        self.module.eval()
        with torch.no_grad():
            score = self._finite("the validation score", self.plan.validate(self.module))
        self.scores[self.step] = score
        if score < self.best_score:
            self.best_step, self.best_score = self.step, score
            self.best = {name: tensor.clone() for name, tensor in self._weights().items()}

    def _finite(self, what: str, value: float) -> float:
        if not math.isfinite(value):
            raise TrainingDiverged(what, self.step, value)
        return value

    def _message(self) -> Losses:
        return Losses(self.last_loss, self.best_score if self.best else None)

    # --- what is saved

    def _weights(self) -> dict[str, torch.Tensor]:
        state = self.module.state_dict()
        return {name: state[name].detach() for name in self.saved_names}

    def _restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        state = self.module.state_dict()
        with torch.no_grad():
            for name in self.saved_names:
                state[name].copy_(weights[name])

    def _path(self, name: str) -> Path | None:
        return None if self.context.workdir is None else self.context.workdir / name

    def _save_running(self) -> None:
        if (path := self._path(RUNNING)) is None:
            return
        tensors = {f"weights/{name}": tensor for name, tensor in self._weights().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        for name, parameter in self.parameters.items():
            for key, tensor in self.optimizer.state[parameter].items():
                tensors[f"optimizer/{key}/{name}"] = tensor
        numbers: dict[str, Any] = {"step": self.step, **self._numbers()}
        if hasattr(self.plan.loss, "state_dict"):
            numbers["objective"] = self.plan.loss.state_dict()
        write_checkpoint(path, tensors, numbers, self.identity)
        self.saved_at = time.monotonic()

    def _load_running(self) -> None:
        path = self._path(RUNNING)
        if path is None or not path.exists():
            return
        tensors, numbers = read_checkpoint(path, self.identity, self.context.device)
        self._restore(_under("weights/", tensors))
        self.best = _under("best/", tensors)
        for key in ("exp_avg", "exp_avg_sq", "step"):
            for name, tensor in _under(f"optimizer/{key}/", tensors).items():
                # AdamW counts its steps on the CPU wherever the parameters are.
                self.optimizer.state[self.parameters[name]][key] = tensor.cpu() if key == "step" else tensor
        if hasattr(self.plan.loss, "load_state_dict"):
            self.plan.loss.load_state_dict(numbers["objective"])
        self.step = numbers["step"]
        self._read_numbers(numbers)

    def _save_final(self) -> None:
        if (path := self._path(FINAL)) is None:
            return
        write_checkpoint(path, self._weights(), self._numbers(), self.identity)
        (path.parent / RUNNING).unlink(missing_ok=True)

    def _load_final(self) -> bool:
        path = self._path(FINAL)
        if path is None or not path.exists():
            return False
        tensors, numbers = read_checkpoint(path, self.identity, self.context.device)
        self._restore(tensors)
        self._read_numbers(numbers)
        self.module.eval()
        return True

    def _numbers(self) -> dict[str, Any]:
        best = self.best_score if self.best else None
        return {"best_step": self.best_step, "best_score": best, "scores": self.scores}

    def _read_numbers(self, numbers: Mapping[str, Any]) -> None:
        self.best_step = numbers["best_step"]
        self.best_score = math.inf if numbers["best_score"] is None else numbers["best_score"]
        self.scores = {int(step): score for step, score in numbers["scores"].items()}

    def _outcome(self, trained: int) -> Outcome:
        return Outcome(
            best_step=self.best_step, best_score=self.best_score, trained_steps=trained, scores=dict(self.scores)
        )


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
