"""Precoding: beams for users who share a subcarrier, for their sum rate or for the one who has least."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Metric, Observation, Target, Task
from channelbench.errors import RequestError
from channelbench.metrics.precoding import FractionOfCeiling, MinUserRate, SINRSpread, SumRate
from channelbench.prediction import InvalidPrediction, as_numbers
from channelbench.predictions import Kept, KeptPredictions
from channelbench.solvers.dpc import sum_capacity
from channelbench.solvers.max_min import max_min
from channelbench.spec import ScenarioSpec
from channelbench.store.dataset import SplitView
from channelbench.store.planes import plane, plane_power
from channelbench.tasks.link.channel import LAST_SLOT, LAST_SLOT_ERROR
from channelbench.tasks.multiuser.conditions import NOISE_DBW, TRAIN_POWER_DBW, PrecodingConditions
from channelbench.tasks.multiuser.groups import BAND, draws, members, training_members, unknown_directions
from channelbench.tasks.multiuser.observations import PrecodingObservation

__all__ = ["MaxMinPrecoding", "PrecodingTask", "SumRatePrecoding"]

POWER_TOLERANCE = 1e-4
"""Relative: what precoders in single precision may exceed P_max by."""


class PrecodingTask(Task):
    """Precoders for groups of users, from their channels on one subcarrier or on each of the band."""

    observation = PrecodingObservation
    conditions: ClassVar[type[PrecodingConditions]] = PrecodingConditions

    def default_conditions(self, spec: ScenarioSpec) -> PrecodingConditions:
        """Where methods differ: as many users as antennas, or users near each other, at 20 dB."""
        users = min(8, spec.sub6.array.num_antennas, max(1, spec.sizes.test))
        grouping = "near" if spec.system == "multiuser" else "random"
        return self.conditions(users=users, power_dbw=10.0, grouping=grouping)

    def check_conditions(self, spec: ScenarioSpec, conditions: PrecodingConditions) -> None:
        refuse_more_users_than_there_are(spec, conditions.users)

    def size(self, spec: ScenarioSpec, split: str, conditions: PrecodingConditions) -> int:
        """Groups: disjoint ones of a test, as many as samples in a training."""
        samples = spec.sizes.of(split)
        return samples // conditions.users if split == "test" else samples

    def samples(self, view: SplitView, cases: NDArray[np.int64], conditions: PrecodingConditions) -> NDArray[np.int64]:
        return members(view, conditions)[cases]

    def observe(
        self, view: SplitView, cases: NDArray[np.int64], conditions: PrecodingConditions, *, epoch: int | None = None
    ) -> tuple[PrecodingObservation, Target]:
        true, seen, error_var, users, power_dbw = (
            self._tested(view, cases, conditions) if epoch is None else self._trained(view, cases, conditions, epoch)
        )
        noise_var = np.full(len(cases), 10 ** (NOISE_DBW / 10), np.float32)
        power = (10 ** (power_dbw / 10)).astype(np.float32)
        context: dict[str, NDArray[Any]] = {"h": true, "noise_var": noise_var.copy(), "power": power.copy()}
        if epoch is None:
            context["capacity"] = _capacity(view, cases, conditions, true, power, noise_var)
        observation = PrecodingObservation(
            h=seen, error_var=error_var, power=power, noise_var=noise_var, users=users, loss=self.loss
        )
        return observation, Target(value=np.zeros(len(cases)), context=context)

    def _tested(self, view: SplitView, cases: NDArray[np.int64], conditions: PrecodingConditions) -> tuple[Any, ...]:
        group, slot = members(view, conditions)[cases], view.spec.sub6.num_slots - 1 if conditions.last_slot else 0
        subcarriers = _subcarriers(view.spec, conditions)
        true = plane(view, BAND, slot, subcarriers)[group].swapaxes(1, 2).copy()
        seen, error_var = true.copy(), np.zeros(group.shape, np.float32)
        if (wanted := self.reads(conditions)) is not None:
            seen = self._predicted(view, wanted, LAST_SLOT)[group][:, :, subcarriers].swapaxes(1, 2).copy()
            error_var = self._predicted(view, wanted, LAST_SLOT_ERROR)[group]
        if conditions.csi == "estimated":
            error_var = (plane_power(view, BAND, slot)[group] * 10 ** (-conditions.csi_snr_db / 10)).astype(np.float32)
            noise, _ = view.noise(f"{self.card.name} csi", cases, true.shape[1:], None)
            seen += noise * np.sqrt(error_var)[:, None, :, None]
        return true, seen, error_var, np.full(len(cases), conditions.users), np.full(len(cases), conditions.power_dbw)

    def reads(self, conditions: PrecodingConditions) -> Kept | None:
        return Kept(conditions.predictor, conditions.csi_snr_db) if conditions.predictor else None

    def _predicted(self, view: SplitView, wanted: Kept, name: str) -> NDArray[Any]:
        """What is kept of a prediction, ``[samples, …]``."""
        if not isinstance(view.lent, KeptPredictions):
            raise wanted.refused("a run without earlier predictions")
        return view.memo((wanted, name), lambda: view.lent.read(wanted, name))

    def _trained(
        self, view: SplitView, cases: NDArray[np.int64], conditions: PrecodingConditions, epoch: int
    ) -> tuple[Any, ...]:
        group = training_members(view, conditions)[cases]
        uniform = draws(view, self.card.name, cases, 2, epoch)
        users = drawn_users(conditions.train_users, uniform[:, 0], group.shape[1])
        centre = _subcarriers(view.spec, conditions.model_copy(update={"band": "centre"}))
        true = plane(view, BAND, 0, centre)[group].swapaxes(1, 2).copy()
        true *= (np.arange(group.shape[1]) < users[:, None])[:, None, :, None]
        low, high = TRAIN_POWER_DBW
        return true, true.copy(), np.zeros(group.shape, np.float32), users, low + (high - low) * uniform[:, 1]

    def check(self, prediction: Any, observation: Observation, target: Target) -> NDArray[Any]:
        beams = as_numbers(prediction, target.context["h"].shape, allow_complex=True)
        used = (np.abs(beams) ** 2).sum(axis=(2, 3), dtype=np.float64).max(axis=1, initial=0.0)
        allowed = target.context["power"].astype(np.float64)
        over = used > allowed * (1 + POWER_TOLERANCE)
        if over.any():
            worst = int(np.argmax(used - allowed))
            raise InvalidPrediction(
                f"precoders of {int(over.sum())} of {len(beams)} groups exceed P_max, e.g. {used[worst]:.5g} W of "
                f"{allowed[worst]:.5g} W"
            )
        return beams

    def ceiling_terms(self, metric: Metric, target: Target) -> NDArray[np.float64] | None:
        capacity = target.context["capacity"]
        if isinstance(metric, SumRate):
            return capacity[:, None]
        if isinstance(metric, FractionOfCeiling):
            return np.stack([capacity, capacity], axis=-1)
        return metric.accumulate(fairest(target), target)

    def supports(self, spec: ScenarioSpec) -> bool:
        """More than one antenna, and a group of two at least."""
        return spec.sub6.array.num_antennas > 1 and spec.sizes.test >= 2

    def lacks(self, variables: Collection[str], conditions: PrecodingConditions) -> list[str]:
        return unknown_directions(variables, conditions)


class SumRatePrecoding(PrecodingTask):
    """The largest sum of rates."""

    card = Card(
        name="pre_sr",
        title="PRE-SR",
        description="Multi-user precoding for the sum rate: beams for the users of a group from their channels.",
        reference="Multi-task PHY LLM, section II-A",
        family="task",
    )
    metrics = (SumRate(), FractionOfCeiling(), MinUserRate())
    loss = "sum_rate"
    ceiling_note = "the sum capacity of dirty-paper coding, which linear precoders do not reach"


class MaxMinPrecoding(PrecodingTask):
    """The largest rate of the user who has least."""

    card = Card(
        name="pre_mm",
        title="PRE-MM",
        description="Multi-user precoding for fairness: the largest rate of the user of a group who has least.",
        reference="Björnson, Bengtsson and Ottersten 2014, Optimal multiuser transmit beamforming",
        family="task",
    )
    metrics = (MinUserRate(), SINRSpread(), SumRate())
    loss = "min_rate"
    ceiling_note = "the max-min optimum: all users have the same SINR, and no precoder gives the least of them more"

    def ceiling(self, target: Target) -> NDArray[Any]:
        return fairest(target)


def fairest(target: Target) -> NDArray[np.complex64]:
    """Precoders of the max-min optimum over the true channels."""
    h = target.context["h"]
    flat = h.reshape(-1, *h.shape[2:])
    power, noise_var = (np.repeat(target.context[name], h.shape[1]) for name in ("power", "noise_var"))
    return max_min(flat, power, noise_var).w.reshape(h.shape).astype(np.complex64)


def drawn_users(trained: tuple[int, int], uniform: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Numbers of users, uniform over a range, but not more than there are."""
    low, high = trained
    return np.minimum(low + np.floor(uniform * (high - low + 1)).astype(np.int64), most)


def refuse_more_users_than_there_are(spec: ScenarioSpec, users: int) -> None:
    """Raises: RequestError: a split has not one group of so many."""
    for split in ("train", "val", "test"):
        if users > spec.sizes.of(split):
            raise RequestError("users", expected=f"at most the {spec.sizes.of(split)} samples of {split}", got=users)


def _subcarriers(spec: ScenarioSpec, conditions: PrecodingConditions) -> tuple[int, ...]:
    number = spec.sub6.num_subcarriers
    return tuple(range(number)) if conditions.band == "all" else (number // 2,)


def _capacity(
    view: SplitView,
    cases: NDArray[np.int64],
    conditions: PrecodingConditions,
    h: NDArray[np.complex64],
    power: NDArray[np.float32],
    noise_var: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Sum capacity of the cases, mean over subcarriers, ``[cases]``; each is worked out once."""
    fields = conditions.model_dump(include={"users", "grouping", "power_dbw", "band"}) | {"last": conditions.last_slot}
    known = view.memo(("sum capacity", *fields.values()), lambda: np.full(len(members(view, conditions)), np.nan))
    todo = np.isnan(known[cases])
    if todo.any():
        flat = h[todo].reshape(-1, *h.shape[2:])
        each = sum_capacity(flat, np.repeat(power[todo], h.shape[1]), np.repeat(noise_var[todo], h.shape[1])).capacity
        known[cases[todo]] = each.reshape(-1, h.shape[1]).mean(axis=1)
    return known[cases]
