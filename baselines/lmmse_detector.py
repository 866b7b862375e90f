"""The linear detector of least mean squared error."""

from __future__ import annotations

from channelbench.baselines._detector import Detector
from channelbench.card import Card
from channelbench.solvers.constellation import Constellation
from channelbench.solvers.detection import lmmse
from channelbench.tasks.multiuser.answers import DetectionAnswer, of_linear
from channelbench.tasks.multiuser.observations import DetectionObservation

__all__ = ["LMMSEDetector"]


class LMMSEDetector(Detector):
    """``x̂ = (HᴴH + σ²I)⁻¹Hᴴy``; decisions and LLRs are of x̂ by its gain, which is not shrunk towards 0."""

    card = Card(
        name="lmmse_detector",
        title="LMMSE detector",
        description="Linear estimates of least squared error, decided after division by their gain.",
        reference="Multi-task PHY LLM, section V-D; Verdú 1998, Multiuser Detection, section 6.2",
        family="classical",
    )

    def detect(self, observation: DetectionObservation, constellation: Constellation) -> DetectionAnswer:
        return of_linear(lmmse(observation.h, observation.y, observation.noise_var), constellation)
