"""Methods that answer with the networks that they were fitted with, one per task or one that all tasks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from channelbench.contracts import FitContext, FitData, Method
from channelbench.results import Training

if TYPE_CHECKING:
    from channelbench.models.networks.fitting import Fitted
    from channelbench.models.networks.groups import FittedGroups

__all__ = ["NetworkMethod", "OneByOne"]


class NetworkMethod(Method):
    """A learned method. Subclasses fill ``_fitted`` when they fit."""

    learned = True

    def __init__(self) -> None:
        self._fitted: dict[str, Fitted | FittedGroups] = {}

    def predict(self, task: str, observation: Any) -> NDArray[Any]:
        return self._of(task).predict(observation)

    def predict_start(self, task: str, observation: Any) -> NDArray[Any] | None:
        return self._of(task).predict_start(observation)

    def fit_record(self, task: str) -> Training:
        outcome = self._of(task).outcome
        return Training(
            steps=max(outcome.scores, default=None), best_step=outcome.best_step, validation=dict(outcome.scores)
        )

    def costs(self, task: str) -> dict[str, float]:
        return self._of(task).costs()

    def _of(self, task: str) -> Any:
        if task not in self._fitted:
            raise RuntimeError(f"{self.card.name} has not been fitted for {task}")
        return self._fitted[task]


class OneByOne(NetworkMethod):
    """Goes before a joint method among the bases of its twin, which fits each task alone."""

    joint = False

    def fit(self, data: FitData, context: FitContext) -> None:
        from channelbench.models.networks.fitting import at_task

        for task, splits in data.items():
            super().fit({task: splits}, at_task(context, task))
