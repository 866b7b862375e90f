"""What the small networks share: one network per task, trained on the common path."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from channelbench.contracts import FitContext, FitData
from channelbench.models._fitted import NetworkMethod
from channelbench.presets import preset_of
from channelbench.tasks.link.observations import LinkObservation

if TYPE_CHECKING:
    from torch import nn


__all__ = ["SmallNetwork"]


class SmallNetwork(NetworkMethod):
    """A method with one network per task. Subclasses build the network."""

    sizes: ClassVar[Mapping[str, Mapping[type[LinkObservation], int]]]
    """Width of the network, by ``quick`` or ``full``, then by what is observed."""

    @abstractmethod
    def build(self, example: Any, preset: str) -> nn.Module:
        """The untrained network for a task, its shapes and loss taken from an observation of one sample."""

    def fit(self, data: FitData, context: FitContext) -> None:
        from channelbench.models.networks.fitting import at_task, fit_network

        for task, splits in data.items():
            self._fitted[task] = fit_network(
                lambda example: self.build(example, context.preset),
                splits,
                context=at_task(context, task),
                identity={"method": self.card.name, "task": task},
            )

    def width(self, example: LinkObservation, preset: str) -> int:
        """The width at a preset: narrow in the quick ones, the published parameter count in the others."""
        sizes = self.sizes["quick" if preset_of(preset).is_narrow else "full"]
        return next(width for kind, width in sizes.items() if isinstance(example, kind))
