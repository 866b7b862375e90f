"""BF: choose the mmWave beam from a sub-6-GHz channel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Observation, Target
from channelbench.grid import BeamGrid
from channelbench.metrics.beam import BeamSE, BeamSELink, BeamSELoss, BeamSERatio, TopKAccuracy, WithinOneBeam
from channelbench.prediction import as_numbers
from channelbench.solvers.dft import beam_spectral_efficiency
from channelbench.spec import ScenarioSpec
from channelbench.store.dataset import SplitView
from channelbench.tasks.link.conditions import PilotConditions
from channelbench.tasks.link.observations import BeamObservation
from channelbench.tasks.link.pilots import (
    BAND,
    LinkTask,
    link_context,
    noisy_region,
    observed_grid,
    seen,
    seen_subcarriers,
)

__all__ = ["BeamPrediction"]

BEAM_BAND = "mmwave"


class BeamPrediction(LinkTask):
    """The best of the DFT beams at mmWave from the first slot at sub-6 GHz."""

    card = Card(
        name="bf",
        title="BF",
        description="Sub-6-GHz-aided mmWave beam prediction: the best of the DFT beams by mean spectral efficiency.",
        reference="LLM4WM, Eqs. 5 and 13",
        family="task",
    )
    observation = BeamObservation
    conditions = PilotConditions
    metrics = (
        TopKAccuracy(1),
        WithinOneBeam(),
        TopKAccuracy(3),
        TopKAccuracy(5),
        BeamSE(),
        BeamSERatio(),
        BeamSELoss(),
        BeamSELink(),
    )
    loss = "cross_entropy"
    ceiling_note = "the best beam of the codebook, by exhaustive search"

    def observe(
        self, view: SplitView, cases: NDArray[np.int64], conditions: PilotConditions, *, epoch: int | None = None
    ) -> tuple[BeamObservation, Target]:
        first, beam_band = slice(0, 1), view.spec.bands[BEAM_BAND]
        region = noisy_region(view, self.card.name, cases, conditions, slots=first, epoch=epoch)
        subcarriers = seen_subcarriers(view.spec.bands[BAND], conditions)
        grid = BeamGrid(
            **observed_grid(view, first, subcarriers),
            num_beams=beam_band.num_beams,
            num_beam_antennas=beam_band.array.num_antennas,
            beam_spacing_wavelengths=beam_band.array.spacing_wavelengths,
            beam_carrier_hz=beam_band.carrier_hz,
        )
        rates = beam_rates(view)[cases]
        gains, constants = link_context(view, BEAM_BAND, cases)
        context: dict[str, NDArray[Any]] = {**gains, "beam_se": rates}
        if epoch is None:
            context |= {"h_beam_band": view.rows(f"h_{BEAM_BAND}", cases)}
        target = Target(value=rates.argmax(axis=1), context=context, constants=constants)
        return BeamObservation(**seen(self, region, 1, subcarriers), grid=grid), target

    def check(self, prediction: Any, observation: Observation, target: Target) -> NDArray[Any]:
        return as_numbers(prediction, target.context["beam_se"].shape)

    def ceiling(self, target: Target) -> NDArray[Any]:
        return target.context["beam_se"]

    def same_answers(self, prediction: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
        """Where the same beam is chosen: the first of the highest scores, as the metrics have it."""
        return prediction.argmax(axis=1) == other.argmax(axis=1)

    def supports(self, spec: ScenarioSpec) -> bool:
        """A second band with one row of antennas, whose beams a DFT over the row describes."""
        return spec.mmwave is not None and spec.mmwave.array.rows == 1


def beam_rates(view: SplitView) -> NDArray[np.float32]:
    """Mean spectral efficiency of every beam, ``[samples, beams]``, computed once per dataset and split."""
    return view.memo(
        "beam rates",
        lambda: np.concatenate(
            [
                beam_spectral_efficiency(piece, view.spec.bands[BEAM_BAND].num_beams)
                for piece in view.pieces(f"h_{BEAM_BAND}")
            ]
        ),
    )
