"""A network of one's own on the common training path: a module and a loss, and everything else is ours."""

from __future__ import annotations

import inspect
import re
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from channelbench.card import Card
from channelbench.contracts import FitContext, FitData, Observation
from channelbench.errors import RequestError
from channelbench.families import SMALL
from channelbench.models._fitted import NetworkMethod
from channelbench.tasks.link.observations import ChannelObservation, LinkObservation

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["TorchMethod"]


class TorchMethod(NetworkMethod):
    """A method that is a torch module: one network per task, on the budget of the preset, seeded, resumable.

    A subclass says how the module is built. Where it has no ``card``, one is made of its name and docstring: ``MyNet``
    is called ``my_net``. ``observes`` are types of ``tasks.link.observations``; channels are wanted by default.
    """

    observes: ClassVar[tuple[type[Observation], ...]] = (ChannelObservation,)
    loss: ClassVar[Callable[..., Any] | None] = None
    """``loss(prediction, target)``, a scalar, which training minimises and by which the kept weights are chosen: a
    method, or a loss of torch. ``None`` for the task's own (``Task.loss``)."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if not all(inspect.isclass(kind) and issubclass(kind, LinkObservation) for kind in cls.observes):
            raise RequestError("observes", expected="types of observations of a link", got=cls.observes)
        if "card" not in vars(cls):
            cls.card = _card_of(cls)

    @abstractmethod
    def build(self, example: Any) -> nn.Module:
        """The untrained module for a task; whatever it draws is seeded.

        Args:
            example: An observation of one sample: ``h`` ``[1, slots, subcarriers, antennas]``, complex64, ``grid``,
                and ``answer_shape``, the shape of what is wanted of it.
        """

    def answer(self, network: nn.Module, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        """What the module answers, ``[batch, *answer_shape]``: complex channels, or scores of beams, or numbers. By
        default ``network(h, noise_var)``.

        Args:
            network: What ``build`` made.
            h: ``[batch, slots, subcarriers, antennas]``, complex64.
            noise_var: ``[batch]``, float32.
        """
        return network(h, noise_var)

    def calibrate(self, network: nn.Module, h: torch.Tensor, noise_var: torch.Tensor, target: torch.Tensor) -> None:
        """Take statistics of the training split before training, without gradients; nothing by default. What is to be
        part of the checkpoint goes into buffers of ``network``.

        Args:
            network: What ``build`` made.
            h, noise_var: As of ``answer``, of up to 20,000 training cases.
            target: What is wanted of them.
        """

    def fit(self, data: FitData, context: FitContext) -> None:
        from channelbench.models.networks.fitting import at_task, fit_network
        from channelbench.models.networks.own import OwnNetwork

        for task, splits in data.items():
            self._fitted[task] = fit_network(
                lambda example: OwnNetwork(self.build(example), self, example),
                splits,
                context=at_task(context, task),
                identity={"method": self.card.name, "task": task},
            )


def _card_of(cls: type) -> Card:
    """A card for a class that has none."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower().strip("_")
    said = inspect.cleandoc(vars(cls).get("__doc__") or "").partition("\n")[0]
    return Card(
        name=name,
        title=cls.__name__,
        description=said if len(said) >= 10 else "A torch module, trained on the common path.",
        reference=f"{cls.__module__}:{cls.__qualname__}",
        family=SMALL,
    )
