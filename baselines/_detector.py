"""What detectors by formula share: constellations by name."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from channelbench.contracts import Method
from channelbench.solvers.constellation import Constellation, constellation_named
from channelbench.tasks.multiuser.answers import DetectionAnswer
from channelbench.tasks.multiuser.observations import DetectionObservation

__all__ = ["Detector"]


class Detector(Method):
    """Symbols of groups, from what is received and the channels."""

    observes = (DetectionObservation,)

    @abstractmethod
    def detect(self, observation: DetectionObservation, constellation: Constellation) -> DetectionAnswer:
        """The answer."""

    def predict(self, task: str, observation: DetectionObservation) -> Any:
        return self.detect(observation, constellation_named(observation.modulation))
