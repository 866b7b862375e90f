"""What the small networks share: one network per task, trained on the common path."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from channelbench.contracts import FitContext, Observation, TaskSplit
from channelbench.models._fitted import NetworkMethod

if TYPE_CHECKING:
    from torch import nn


__all__ = ["SmallNetwork"]


class SmallNetwork(NetworkMethod):
    """A method with one network per task. Subclasses build the network."""

    sizes: ClassVar[Mapping[str, Mapping[str, int]]]
    """Width of the network, by ``quick`` or ``full``, then by task."""

    @abstractmethod
    def build(self, task: str, example: Observation, preset: str) -> nn.Module:
        """The untrained network for a task, its shapes taken from an observation of one sample."""

    def fit(
        self,
        data: Mapping[str, tuple[TaskSplit, TaskSplit]],
        seed: int,
        context: FitContext = FitContext(),  # noqa: B008 - frozen
    ) -> None:
        from channelbench.models.networks.fitting import at_task, fit_network

        for task, splits in data.items():
            self._fitted[task] = fit_network(
                lambda example, task=task: self.build(task, example, context.preset),  # type: ignore[misc]
                splits,
                seed=seed,
                context=at_task(context, task),
                identity={"method": self.card.name, "task": task},
            )

    def width(self, task: str, preset: str) -> int:
        """The width at a preset: narrow in the quick ones, the published parameter count in the others."""
        return self.sizes["full" if preset in ("standard", "paper") else "quick"][task]
