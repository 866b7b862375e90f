"""CE, CP and PF: reconstruct channel coefficients in frequency, in time, and across a duplex gap."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Conditions, Observation, Target, Task
from channelbench.metrics.channel import (
    NMSE,
    SE,
    NMSEdB,
    NMSEPooled,
    NMSESlot1,
    NMSESlot2,
    NMSESlot3,
    NMSESlot4,
    SELink,
)
from channelbench.spec import BandSpec, ScenarioSpec
from channelbench.store.schema import slot_times, subcarrier_hz
from channelbench.tasks._observe import (
    BAND,
    history_slots,
    link_context,
    noisy_region,
    observation,
    pilot_subcarriers,
)

if TYPE_CHECKING:
    from channelbench.store.dataset import ChannelDataset

__all__ = ["ChannelEstimation", "ChannelPrediction", "FrequencyPrediction"]


class _ChannelTask(Task):
    """Observation and target are both cut from one noisy piece of the grid; targets are its clean version."""

    kind = "channel"

    @abstractmethod
    def _cut(
        self, band: BandSpec, conditions: Conditions
    ) -> tuple[slice, slice, NDArray[np.int64], slice, NDArray[np.int64]]:
        """Slots of the piece; observed slots and subcarriers; target slots and subcarriers."""

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
        band = dataset.spec.bands[BAND]
        piece, seen_slots, seen, wanted_slots, wanted = self._cut(band, conditions)
        region = noisy_region(
            dataset,
            self.card.name,
            split,
            indices,
            conditions,
            slots=piece,
            training=training,
            epoch=epoch,
        )
        seen_observation = observation(
            dataset,
            region,
            split,
            indices,
            slots=seen_slots,
            subcarriers=seen,
            grid_extra={
                "target_subcarrier_hz": subcarrier_hz(band)[wanted],
                "target_slot_s": slot_times(band)[wanted_slots],
            },
        )
        clean = np.ascontiguousarray(region.clean[:, wanted_slots][:, :, wanted])
        noisy_targets = conditions.paper_compat and not training
        value = np.ascontiguousarray(region.noisy[:, wanted_slots][:, :, wanted]) if noisy_targets else clean
        context, constants = link_context(dataset, BAND, split, indices)
        return seen_observation, Target(value=value, context={"h_clean": clean, **context}, constants=constants)

    def ceiling(self, target: Target) -> NDArray[Any]:
        return target.context["h_clean"]

    ceiling_note = "the clean channel: NMSE 0 against clean targets, the noise floor against noisy ones"


class ChannelEstimation(_ChannelTask):
    """Interpolate a comb of pilots over frequency."""

    card = Card(
        name="ce",
        title="CE",
        description="Channel estimation: all subcarriers of the observed slots from a comb of pilots.",
        reference="LLM4WM, Eq. 10",
        family="task",
    )
    metrics = (NMSE(), NMSEdB(), NMSEPooled(), SE(), SELink())

    def _cut(
        self, band: BandSpec, conditions: Conditions
    ) -> tuple[slice, slice, NDArray[np.int64], slice, NDArray[np.int64]]:
        slots = slice(0, history_slots(band))
        return slots, slots, pilot_subcarriers(band, conditions), slots, np.arange(band.num_subcarriers)


class ChannelPrediction(_ChannelTask):
    """Predict the coming slots."""

    card = Card(
        name="cp",
        title="CP",
        description="Time-domain channel prediction: slots 17–20 from slots 1–16.",
        reference="LLM4WM, Eq. 11",
        family="task",
    )
    metrics = (NMSE(), NMSEdB(), NMSEPooled(), NMSESlot1(), NMSESlot2(), NMSESlot3(), NMSESlot4(), SE(), SELink())

    def _cut(
        self, band: BandSpec, conditions: Conditions
    ) -> tuple[slice, slice, NDArray[np.int64], slice, NDArray[np.int64]]:
        history, everything = history_slots(band), np.arange(band.num_subcarriers)
        seen = pilot_subcarriers(band, conditions) if conditions.pilots_only else everything
        return slice(0, band.num_slots), slice(0, history), seen, slice(history, band.num_slots), everything

    def supports(self, spec: ScenarioSpec) -> bool:
        """Four predicted slots are scored one by one, so there have to be 20."""
        return spec.bands[BAND].num_slots - history_slots(spec.bands[BAND]) == 4


class FrequencyPrediction(_ChannelTask):
    """Predict the downlink half of the band from the uplink half."""

    card = Card(
        name="pf",
        title="PF",
        description="Frequency-domain channel prediction: the upper half of the band from the lower half.",
        reference="LLM4WM, Eq. 12",
        family="task",
    )
    metrics = (NMSE(), NMSEdB(), NMSEPooled(), SE(), SELink())

    def _cut(
        self, band: BandSpec, conditions: Conditions
    ) -> tuple[slice, slice, NDArray[np.int64], slice, NDArray[np.int64]]:
        slots, half = slice(0, history_slots(band)), band.num_subcarriers // 2
        return slots, slots, np.arange(half), slots, np.arange(half, band.num_subcarriers)

    def supports(self, spec: ScenarioSpec) -> bool:
        return spec.bands[BAND].num_subcarriers >= 2
