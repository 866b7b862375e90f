"""What networks on groups of users share: one network per task, trained on the common path."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from channelbench.contracts import FitContext, FitData
from channelbench.models._fitted import NetworkMethod

if TYPE_CHECKING:
    from torch import nn

__all__ = ["GroupNetworkMethod"]


class GroupNetworkMethod(NetworkMethod):
    """A method with one network per task of groups. Subclasses build the network."""

    @abstractmethod
    def build(self, example: Any, preset: str) -> nn.Module:
        """The untrained network (a ``GroupNetwork``) for a task, from an observation of one group of the most users."""

    def fit(self, data: FitData, context: FitContext) -> None:
        from channelbench.models.networks.fitting import at_task
        from channelbench.models.networks.groups import fit_groups

        for task, splits in data.items():
            self._fitted[task] = fit_groups(
                lambda example: self.build(example, context.preset),
                splits,
                context=at_task(context, task),
                identity={"method": self.card.name, "task": task},
            )
