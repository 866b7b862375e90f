"""Somebody's module as the training loop has it, and the head of somebody's embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from channelbench.errors import RequestError
from channelbench.models.networks.frames import MOST_CASES
from channelbench.models.networks.reconstruction import MATRIX_GAIN, nmse
from channelbench.tasks.link.observations import ChannelObservation, LinkObservation, ScalarObservation

if TYPE_CHECKING:
    from channelbench.models.torch_method import TorchMethod

__all__ = ["LinearHead", "OwnNetwork"]

CRITERIA: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "nmse": nmse,
    "cross_entropy": functional.cross_entropy,
    "absolute": functional.l1_loss,
    "squared": functional.mse_loss,
}
"""The losses of tasks of a link, by name."""


class _Held:
    """Keeps a method where a copy of the module does not copy it."""

    def __init__(self, method: TorchMethod) -> None:
        self.method = method

    def __deepcopy__(self, memo: dict[int, Any]) -> _Held:
        return self


class OwnNetwork(nn.Module):
    """A ``fitting.TaskNetwork`` of a module and of the method that says how it answers.

    Args:
        network: What the method built.
        method: Asked for answers, and for the loss where it has one.
        example: An observation of one sample: what is wanted, and the task's loss.
    """

    def __init__(self, network: nn.Module, method: TorchMethod, example: LinkObservation) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise RequestError("build", expected="a torch.nn.Module", got=type(network).__name__)
        self.network, self.held = network, _Held(method)
        self.wanted = example.answer_shape
        self.is_complex = isinstance(example, ChannelObservation)
        self.loss_name = example.loss

    def forward(self, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """The method's answer.

        Raises:
            RequestError: it is not of the wanted shape or kind: a loss would broadcast it, and learn something else.
        """
        answer = self.held.method.answer(self.network, h, noise_var)
        shape = (len(h), *self.wanted)
        if not isinstance(answer, torch.Tensor) or answer.shape != shape or answer.is_complex() != self.is_complex:
            got = f"{answer.dtype} {tuple(answer.shape)}" if isinstance(answer, torch.Tensor) else type(answer).__name__
            raise RequestError("answer", expected=f"a {'complex' if self.is_complex else 'real'} {shape}", got=got)
        return answer

    @property
    def calibration_samples(self) -> int:
        """Training cases that ``calibrate`` is given, at most: none where the method has no use for them."""
        from channelbench.models.torch_method import TorchMethod

        return 0 if type(self.held.method).calibrate is TorchMethod.calibrate else MOST_CASES

    def calibrate(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> None:
        """Statistics of the training split, for a method that wants them."""
        self.held.method.calibrate(self.network, h, noise_var, target)

    def loss(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scalar loss of a batch: the method's own, or the task's."""
        criterion = self.held.method.loss or CRITERIA[self.loss_name]
        value = criterion(self(h, noise_var), target)
        if value.ndim:
            raise RequestError("loss", expected="a scalar", got=tuple(value.shape))
        return value


class LinearHead(nn.Module):
    """``offset + scale · (W z + b)`` of standardised features ``z``, from zero; complex answers are two real ones.

    Matrix and vector are stored divided by ``MATRIX_GAIN``, so that a budget meant for layers takes them further.

    Args:
        embed: ``EmbedMethod.embed``, asked for the number of features.
        example: An observation of one sample: what is wanted.
    """

    mean: torch.Tensor
    spread: torch.Tensor
    offset: torch.Tensor
    scale: torch.Tensor

    def __init__(self, embed: Callable[[Any], Any], example: LinkObservation) -> None:
        super().__init__()
        self.example = example
        self.is_complex, self.is_scalar = (isinstance(example, k) for k in (ChannelObservation, ScalarObservation))
        h, noise_var = torch.as_tensor(example.h), torch.as_tensor(example.noise_var)
        size = self.features(embed, h, noise_var).shape[1]
        wanted = int(torch.Size(example.answer_shape).numel()) * (2 if self.is_complex else 1)
        self.linear = nn.Linear(size, wanted)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        for name, value in (("mean", torch.zeros(size)), ("spread", torch.ones(size))):
            self.register_buffer(name, value)
        for name, value in (("offset", torch.zeros(())), ("scale", torch.ones(()))):
            self.register_buffer(name, value)

    def features(self, embed: Callable[[Any], Any], h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """The embedding of a batch, ``[batch, features]``, real float32.

        Raises:
            RequestError: it is something else, or not finite.
        """
        seen = replace(self.example, h=h.cpu().numpy(), noise_var=noise_var.cpu().numpy())
        found = torch.as_tensor(embed(seen)).detach().to(h.device)
        if found.ndim != 2 or len(found) != len(h) or not found.shape[1]:
            raise RequestError("embed", expected=f"numbers ({len(h)}, features)", got=tuple(found.shape))
        if found.is_complex():
            found = torch.view_as_real(found).flatten(1)
        if not bool(torch.isfinite(found).all()):
            raise RequestError("embed", expected="finite numbers", got="NaN or infinite ones")
        return found.float()

    def standardise(self, features: torch.Tensor, target: torch.Tensor) -> None:
        """Take the features' mean and standard deviation, and the size of what is wanted, from these."""
        self.mean.copy_(features.mean(0))
        deviation = features.std(0, correction=0)
        self.spread.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))
        if self.is_scalar:
            self.offset.copy_(target.float().mean())
            self.scale.copy_(target.float().std(correction=0).clamp_min(1e-12))
        elif self.is_complex:
            self.scale.copy_(target.abs().square().mean().sqrt())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The answer to ``features``, ``[batch, *answer_shape]``."""
        answer = self.offset + self.scale * MATRIX_GAIN * self.linear((features - self.mean) / self.spread)
        shape = (len(features), *self.example.answer_shape)
        return torch.view_as_complex(answer.reshape(*shape, 2)) if self.is_complex else answer.reshape(shape)
