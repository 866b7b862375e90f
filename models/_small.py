"""What the small networks share: one network per task, trained on the common path."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from channelbench.contracts import FitContext, Method, Observation, TaskSplit

if TYPE_CHECKING:
    from torch import nn

    from channelbench.models.networks.fitting import Fitted

__all__ = ["SmallNetwork"]


class SmallNetwork(Method):
    """A method with one network per task. Subclasses build the network."""

    learned = True
    sizes: ClassVar[Mapping[str, Mapping[str, int]]]
    """Width of the network, by ``quick`` or ``full``, then by task."""

    def __init__(self) -> None:
        self._fitted: dict[str, Fitted] = {}

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

    def predict(self, task: str, observation: Observation) -> NDArray[Any]:
        return self._of(task).predict(observation)

    def costs(self, task: str) -> dict[str, float]:
        return self._of(task).costs()

    def width(self, task: str, preset: str) -> int:
        """The width at a preset: narrow in the quick ones, the published parameter count in the others."""
        return self.sizes["full" if preset in ("standard", "paper") else "quick"][task]

    def _of(self, task: str) -> Fitted:
        if task not in self._fitted:
            raise RuntimeError(f"{self.card.name} has not been fitted for {task}")
        return self._fitted[task]
