"""BF: choose the mmWave beam from a sub-6-GHz channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Conditions, Observation, Target, Task
from channelbench.metrics.beam import BeamSE, BeamSELink, BeamSELoss, Top1Accuracy, Top3Accuracy, Top5Accuracy
from channelbench.solvers.dft import beam_spectral_efficiency
from channelbench.spec import ScenarioSpec
from channelbench.tasks._observe import BAND, link_context, noisy_region, observation, pilot_subcarriers

if TYPE_CHECKING:
    from channelbench.store.dataset import ChannelDataset

__all__ = ["BeamPrediction"]

BEAM_BAND = "mmwave"


class BeamPrediction(Task):
    """The best of the DFT beams at mmWave from the first slot at sub-6 GHz."""

    card = Card(
        name="bf",
        title="BF",
        description="Sub-6-GHz-aided mmWave beam prediction: the best of the DFT beams by mean spectral efficiency.",
        reference="LLM4WM, Eqs. 5 and 13",
        family="task",
    )
    kind = "beam"
    metrics = (Top1Accuracy(), Top3Accuracy(), Top5Accuracy(), BeamSE(), BeamSELoss(), BeamSELink())
    ceiling_note = "the best beam of the codebook, by exhaustive search"

    def observe(
        self,
        dataset: ChannelDataset,
        split: str,
        indices: NDArray[np.int64],
        conditions: Conditions,
        *,
        training: bool = False,
        epoch: int = 0,
    ) -> tuple[Observation, Target]:
        band, beam_band = dataset.spec.bands[BAND], dataset.spec.bands[BEAM_BAND]
        first = slice(0, 1)
        region = noisy_region(
            dataset, self.card.name, split, indices, conditions, slots=first, training=training, epoch=epoch
        )
        everything = np.arange(band.num_subcarriers)
        seen = observation(
            dataset,
            region,
            split,
            indices,
            slots=first,
            subcarriers=pilot_subcarriers(band, conditions) if conditions.pilots_only else everything,
            grid_extra={"num_beams": beam_band.num_beams, "num_beam_antennas": beam_band.array.num_antennas},
        )
        rates = beam_rates(dataset, split)[indices]
        context, constants = link_context(dataset, BEAM_BAND, split, indices)
        context |= {"beam_se": rates}
        if not training:
            context |= {"h_beam_band": dataset.array(f"h_{BEAM_BAND}", split)[indices]}
        return seen, Target(value=rates.argmax(axis=1), context=context, constants=constants)

    def ceiling(self, target: Target) -> NDArray[Any]:
        return target.context["beam_se"]

    def supports(self, spec: ScenarioSpec) -> bool:
        """A second band with one row of antennas, whose beams a DFT over the row describes."""
        return spec.mmwave is not None and spec.mmwave.array.rows == 1


def beam_rates(dataset: ChannelDataset, split: str) -> NDArray[np.float32]:
    """Mean spectral efficiency of every beam, ``[samples, beams]``, computed once per dataset and split."""
    return dataset.memo(
        ("beam rates", split),
        lambda: beam_spectral_efficiency(
            dataset.array(f"h_{BEAM_BAND}", split), dataset.spec.bands[BEAM_BAND].num_beams
        ),
    )
