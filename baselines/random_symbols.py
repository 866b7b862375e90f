"""Symbols that have nothing to do with what is received."""

from __future__ import annotations

import numpy as np

from channelbench.baselines._detector import Detector
from channelbench.card import Card
from channelbench.solvers.constellation import Constellation
from channelbench.tasks.multiuser.answers import DetectionAnswer
from channelbench.tasks.multiuser.observations import DetectionObservation

__all__ = ["RandomSymbols"]


class RandomSymbols(Detector):
    """Estimates 0, the symbols' mean, which has NMSE 1; decides the points in turn, which is as good as at random; and
    says nothing of the bits."""

    card = Card(
        name="random_symbols",
        title="Random symbols",
        description="Decides on symbols without looking, estimates their mean 0, and says nothing of the bits.",
        reference="trivial answer",
        family="floor",
    )

    def detect(self, observation: DetectionObservation, constellation: Constellation) -> DetectionAnswer:
        shape = (*observation.y.shape[:2], observation.h.shape[2])
        turns = (np.arange(shape[1])[:, None] + np.arange(shape[2])) % len(constellation.points)
        llrs = np.zeros((*shape, constellation.num_bits))
        return DetectionAnswer(x=np.zeros(shape, complex), decisions=np.broadcast_to(turns, shape), llrs=llrs)
