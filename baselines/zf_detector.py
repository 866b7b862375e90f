"""Zero forcing: the symbols that the channel's pseudo-inverse gives."""

from __future__ import annotations

from channelbench.baselines._detector import Detector
from channelbench.card import Card
from channelbench.solvers.constellation import Constellation
from channelbench.solvers.detection import zf
from channelbench.tasks.multiuser.answers import DetectionAnswer
from channelbench.tasks.multiuser.observations import DetectionObservation

__all__ = ["ZFDetector"]


class ZFDetector(Detector):
    """``x̂ = H⁺y``: no interference, and noise as it comes."""

    card = Card(
        name="zf_detector",
        title="ZF detector",
        description="Zero forcing: the pseudo-inverse of the channels times what is received.",
        reference="Verdú 1998, Multiuser Detection, section 5.1",
        family="classical",
    )

    def detect(self, observation: DetectionObservation, constellation: Constellation) -> DetectionAnswer:
        found = zf(observation.h, observation.y, observation.noise_var)
        return DetectionAnswer(x=found.unbiased, error_var=found.error_variance[:, None])
