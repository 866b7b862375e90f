"""CE, CP and PF: reconstruct channel coefficients in frequency, in time, and across a duplex gap."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Asked, Metric, Observation, Target
from channelbench.errors import RequestError
from channelbench.grid import ChannelGrid
from channelbench.metrics.channel import NMSE, SE, NMSEdB, NMSEInSlot, NMSEPooled, SELink
from channelbench.prediction import as_numbers
from channelbench.spec import BandSpec, ScenarioSpec
from channelbench.store.dataset import SplitView
from channelbench.store.schema import slot_times, subcarrier_hz
from channelbench.tasks.link.coded import coded_scores
from channelbench.tasks.link.conditions import CombConditions, LinkConditions, SlotConditions
from channelbench.tasks.link.observations import ChannelObservation, LaterSlotsObservation, SameSlotsObservation
from channelbench.tasks.link.pilots import (
    BAND,
    LinkTask,
    comb,
    link_context,
    noisy_region,
    observed_grid,
    seen,
    seen_subcarriers,
)

__all__ = [
    "LAST_SLOT",
    "LAST_SLOT_ERROR",
    "ChannelEstimation",
    "ChannelPrediction",
    "ChannelTask",
    "Cut",
    "FrequencyPrediction",
]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Which part of the grid is seen and which is wanted; both begin at ``slots`` or later.

    Attributes:
        slots: The piece of the grid that noise is drawn for, from the first slot seen.
        seen_slots, wanted_slots: Slots of a band.
        seen_subcarriers, wanted_subcarriers: Subcarriers of a band.
    """

    slots: slice
    seen_slots: slice
    wanted_slots: slice
    seen_subcarriers: NDArray[np.int64]
    wanted_subcarriers: NDArray[np.int64]


LAST_SLOT, LAST_SLOT_ERROR = "last_slot", "last_slot_error"
"""Of a kept prediction: its last slot, and the variance of its errors."""


class ChannelTask(LinkTask):
    """Observation and target are both cut from one noisy piece of the grid; targets are its clean version.

    A subclass says which parts, in ``cut``, and which observation tells methods of them: then every method for
    channels learns and answers it.
    """

    observation: ClassVar[type[ChannelObservation]]
    metrics = (NMSE(), NMSEdB(), NMSEPooled(), SE(), SELink())
    loss = "nmse"
    ceiling_note = "the clean channel: NMSE 0 against clean targets, the noise floor against noisy ones"

    @abstractmethod
    def cut(self, band: BandSpec, conditions: Any) -> Cut:
        """What is seen and what is wanted of a band."""

    def observe(
        self, view: SplitView, cases: NDArray[np.int64], conditions: LinkConditions, *, epoch: int | None = None
    ) -> tuple[ChannelObservation, Target]:
        band = view.spec.bands[BAND]
        cut = self.cut(band, conditions)
        region = noisy_region(view, self.card.name, cases, conditions, slots=cut.slots, epoch=epoch)
        grid = ChannelGrid(
            **observed_grid(view, cut.seen_slots, cut.seen_subcarriers),
            target_subcarrier_hz=subcarrier_hz(band)[cut.wanted_subcarriers],
            target_slot_s=slot_times(band)[cut.wanted_slots],
        )
        first = cut.slots.start
        wanted = slice(cut.wanted_slots.start - first, cut.wanted_slots.stop - first)
        clean = np.ascontiguousarray(region.clean[:, wanted][:, :, cut.wanted_subcarriers])
        value = clean
        if conditions.paper_compat and epoch is None:
            value = np.ascontiguousarray(region.noisy[:, wanted][:, :, cut.wanted_subcarriers])
        context, constants = link_context(view, BAND, cases)
        target = Target(value=value, context={"h_clean": clean, **context}, constants=constants)
        return self.observation(**seen(self, region, len(grid.slot_s), cut.seen_subcarriers), grid=grid), target

    def check(self, prediction: Any, observation: Observation, target: Target) -> NDArray[Any]:
        return as_numbers(prediction, target.value.shape, allow_complex=True)

    def ceiling(self, target: Target) -> NDArray[Any]:
        return target.context["h_clean"]


def history_slots(band: BandSpec) -> int:
    """Slots that are observed: four fifths, 16 of the default 20."""
    return max(1, band.num_slots * 4 // 5)


class ChannelEstimation(ChannelTask):
    """Interpolate a comb of pilots over frequency."""

    card = Card(
        name="ce",
        title="CE",
        description="Channel estimation: all subcarriers of the observed slots from a comb of pilots.",
        reference="LLM4WM, Eq. 10",
        family="task",
    )
    observation = SameSlotsObservation
    conditions = CombConditions

    def cut(self, band: BandSpec, conditions: CombConditions) -> Cut:
        slots = slice(0, history_slots(band))
        return Cut(
            slots=slots,
            seen_slots=slots,
            wanted_slots=slots,
            seen_subcarriers=comb(band, conditions.pilot_spacing),
            wanted_subcarriers=np.arange(band.num_subcarriers),
        )

    def secondary(
        self,
        view: SplitView,
        cases: NDArray[np.int64],
        conditions: CombConditions,
        prediction: NDArray[Any],
        method: Asked,
    ) -> Sequence[tuple[Metric, NDArray[np.float64]]]:
        """A coded link that is equalised with the estimate, and with the variance of its errors where that is known."""
        observation, target = self.observe(view, cases, conditions)
        error_var = method.error_variance(observation)
        clean, noise_var = target.context["h_clean"], observation.noise_var
        return coded_scores(view, self.card.name, cases, clean, noise_var, prediction, error_var)


class ChannelPrediction(ChannelTask):
    """Predict the coming slots."""

    card = Card(
        name="cp",
        title="CP",
        description="Time-domain channel prediction: the last slots from those before, 17–20 from 1–16 by default.",
        reference="LLM4WM, Eq. 11",
        family="task",
    )
    observation = LaterSlotsObservation
    conditions = SlotConditions

    def cut(self, band: BandSpec, conditions: SlotConditions) -> Cut:
        seen_slots, wanted_slots = _slots(band, conditions)
        return Cut(
            slots=slice(0, wanted_slots.stop),
            seen_slots=seen_slots,
            wanted_slots=wanted_slots,
            seen_subcarriers=seen_subcarriers(band, conditions),
            wanted_subcarriers=np.arange(band.num_subcarriers),
        )

    def kept(self, prediction: NDArray[Any], error_var: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
        """The last slot: what precoders may be designed for, ``[cases, subcarriers, antennas]``, and the mean variance
        of its errors, ``[cases]``; 0 where the method does not know it."""
        error = np.zeros(len(prediction)) if error_var is None else error_var[:, -1].mean(axis=(1, 2))
        last = np.ascontiguousarray(prediction[:, -1], dtype=np.complex64)
        return {LAST_SLOT: last, LAST_SLOT_ERROR: error.astype(np.float32)}

    def supports(self, spec: ScenarioSpec) -> bool:
        """Slots to come."""
        return spec.bands[BAND].num_slots > history_slots(spec.bands[BAND])

    def check_conditions(self, spec: ScenarioSpec, conditions: SlotConditions) -> None:
        total = spec.bands[BAND].num_slots
        seen_slots, wanted_slots = _slots(spec.bands[BAND], conditions)
        if seen_slots.stop >= total:
            expected = f"fewer than the {total} slots of the dataset"
            raise RequestError("observed_slots", expected=expected, got=conditions.observed_slots)
        if wanted_slots.stop > total:
            expected = f"at most the {total - seen_slots.stop} slots after the {seen_slots.stop} observed ones"
            raise RequestError("predicted_slots", expected=expected, got=conditions.predicted_slots)

    def metrics_for(self, spec: ScenarioSpec, conditions: SlotConditions) -> tuple[Metric, ...]:
        """Each predicted slot is scored by itself too."""
        _, wanted = _slots(spec.bands[BAND], conditions)
        each = (NMSEInSlot(number) for number in range(1, wanted.stop - wanted.start + 1))
        return (NMSE(), NMSEdB(), NMSEPooled(), *each, SE(), SELink())


def _slots(band: BandSpec, conditions: SlotConditions) -> tuple[slice, slice]:
    """Observed and predicted slots of CP."""
    seen_slots = conditions.observed_slots or history_slots(band)
    wanted = conditions.predicted_slots or band.num_slots - seen_slots
    return slice(0, seen_slots), slice(seen_slots, seen_slots + wanted)


class FrequencyPrediction(ChannelTask):
    """Predict the downlink half of the band from the uplink half."""

    card = Card(
        name="pf",
        title="PF",
        description="Frequency-domain channel prediction: the upper half of the band from the lower half.",
        reference="LLM4WM, Eq. 12",
        family="task",
    )
    observation = SameSlotsObservation
    conditions = LinkConditions

    def cut(self, band: BandSpec, conditions: LinkConditions) -> Cut:
        slots, half = slice(0, history_slots(band)), band.num_subcarriers // 2
        return Cut(
            slots=slots,
            seen_slots=slots,
            wanted_slots=slots,
            seen_subcarriers=np.arange(half),
            wanted_subcarriers=np.arange(half, band.num_subcarriers),
        )

    def supports(self, spec: ScenarioSpec) -> bool:
        """Two subcarriers at least."""
        return spec.bands[BAND].num_subcarriers >= 2
