"""A representation of one's own, held still: a function from observation to embedding, under a linear head of ours."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from channelbench.models.torch_method import TorchMethod
from channelbench.tasks.link.observations import BeamObservation, ChannelObservation, ScalarObservation

if TYPE_CHECKING:
    import torch
    from torch import nn

    from channelbench.models.networks.own import LinearHead

__all__ = ["EmbedMethod"]


class EmbedMethod(TorchMethod):
    """A method that is an embedding: what a linear map of it tells of each task, on the budget of the preset.

    A subclass writes ``embed``. Embeddings are standardised by the training split; what is trained is one matrix and
    one vector per task, from zero.
    """

    observes = (ChannelObservation, BeamObservation, ScalarObservation)

    @abstractmethod
    def embed(self, observation: Any) -> NDArray[Any] | torch.Tensor:
        """What is known of each case, ``[batch, features]``, real or complex; the same for a case in any batch. It is
        not trained: gradients stop here.

        Args:
            observation: Of the task, as methods see it: ``h``, ``noise_var``, ``grid``.
        """

    def build(self, example: Any) -> nn.Module:
        from channelbench.models.networks.own import LinearHead

        return LinearHead(self.embed, example)

    def answer(self, network: nn.Module, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        head: LinearHead = network  # type: ignore[assignment]
        return head(head.features(self.embed, h, noise_var))

    def calibrate(self, network: nn.Module, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> None:
        head: LinearHead = network  # type: ignore[assignment]
        head.standardise(head.features(self.embed, h, noise_var), target)

    def costs(self, task: str) -> dict[str, float]:
        """Those of the head, and the parameters of the torch modules that the embedding has among its attributes."""
        costs = super().costs(task)
        own = {name: value for name, value in vars(self).items() if name != "_fitted"}
        parameters = {id(p): p.numel() for module in _modules(own) for p in module.parameters()}
        return {**costs, "total_parameters": costs["total_parameters"] + sum(parameters.values())}


def _modules(item: Any) -> Iterator[nn.Module]:
    """The torch modules in a value, or in containers of values."""
    from torch import nn

    if isinstance(item, nn.Module):
        yield item
    elif isinstance(item, (dict, list, tuple)):
        for part in item.values() if isinstance(item, dict) else item:
            yield from _modules(part)
