"""Maximum likelihood: the combination of symbols that explains best what is received."""

from __future__ import annotations

from dataclasses import replace

from channelbench.baselines._detector import Detector
from channelbench.card import Card
from channelbench.solvers.constellation import Constellation
from channelbench.solvers.detection import lmmse, maximum_likelihood
from channelbench.tasks.multiuser.answers import DetectionAnswer, of_linear
from channelbench.tasks.multiuser.observations import DetectionObservation

__all__ = ["MLDetector"]

MOST_VISITS = 2**24
"""Of one search, some seconds. What takes longer, many users of few antennas in much noise, is refused."""


class MLDetector(Detector):
    """``argmin ‖y − Hx‖²`` over all combinations, by a sphere search.

    Its estimate is its decision, which is not the one of least squared error; its LLRs are the LMMSE filter's, since a
    decision says nothing of its own doubt.
    """

    card = Card(
        name="ml_detector",
        title="ML detector",
        description="Maximum likelihood over all combinations of symbols, exactly, by a sphere search.",
        reference="Agrell et al. 2002, Closest point search in lattices",
        family="classical",
    )

    def detect(self, observation: DetectionObservation, constellation: Constellation) -> DetectionAnswer:
        decisions = maximum_likelihood(observation.h, observation.y, constellation, most_visits=MOST_VISITS)
        soft = of_linear(lmmse(observation.h, observation.y, observation.noise_var), constellation)
        return replace(soft, x=constellation.points[decisions], decisions=decisions)
