"""Somebody's module as the training loop has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from channelbench.errors import RequestError
from channelbench.models.networks.reconstruction import nmse
from channelbench.tasks.link.observations import ChannelObservation, LinkObservation

if TYPE_CHECKING:
    from channelbench.models.torch_method import TorchMethod

__all__ = ["OwnNetwork"]

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

    def loss(self, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scalar loss of a batch: the method's own, or the task's."""
        criterion = self.held.method.loss or CRITERIA[self.loss_name]
        value = criterion(self(h, noise_var), target)
        if value.ndim:
            raise RequestError("loss", expected="a scalar", got=tuple(value.shape))
        return value
