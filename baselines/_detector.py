"""What detectors by formula share: groups of equally many users, and constellations by name."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Method
from channelbench.solvers.constellation import Constellation, constellation_named
from channelbench.tasks.multiuser.answers import DetectionAnswer
from channelbench.tasks.multiuser.observations import DetectionObservation

__all__ = ["Detector"]


class Detector(Method):
    """Symbols of groups in which all have a channel."""

    observes = (DetectionObservation,)

    @abstractmethod
    def detect(self, observation: DetectionObservation, constellation: Constellation) -> DetectionAnswer:
        """The answer for groups of equally many users."""

    def predict(self, task: str, observation: DetectionObservation) -> Any:
        constellation = constellation_named(observation.modulation)
        parts = [(groups, self.detect(part, constellation)) for groups, part in observation.by_users()]
        if len(parts) == 1:
            return parts[0][1]
        x = np.zeros((*observation.y.shape[:2], observation.h.shape[2]), complex)
        for groups, answer in parts:
            x[groups, :, : answer.x.shape[2]] = answer.x
        return DetectionAnswer(x=x)


def spread(per_user: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """A number of each user, ``[groups, users]``, at every use of ``like`` ``[groups, uses, users]``."""
    return np.broadcast_to(per_user[:, None], like.shape)
