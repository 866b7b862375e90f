"""Uplink detection: the symbols of users who send at once, from what the antennas receive."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Asked, Metric, Observation, Target, Task
from channelbench.metrics.detection import BitErrorRate, MutualInformation, SymbolErrorRate, SymbolNMSE, SymbolNMSEdB
from channelbench.solvers.constellation import constellation_named, symbol_bits
from channelbench.solvers.detection import MOST_SUMMED, posterior
from channelbench.spec import ScenarioSpec
from channelbench.store.dataset import SplitView
from channelbench.store.planes import plane
from channelbench.tasks.multiuser.answers import as_form, scored_form
from channelbench.tasks.multiuser.coded import coded_scores
from channelbench.tasks.multiuser.conditions import TRAIN_SNR_DB, DetectionConditions
from channelbench.tasks.multiuser.groups import BAND, draws, members, training_members, unknown_directions
from channelbench.tasks.multiuser.observations import DetectionObservation
from channelbench.tasks.multiuser.precoding import drawn_users, refuse_more_users_than_there_are

__all__ = ["USES", "Detection"]

USES = 8
"""Channel uses of a case (multi-task PHY LLM, section III-B)."""

FEWEST_ERRORS = 100
"""Of the ceiling's, below which the SER of a split does not tell detectors apart."""


class Detection(Task):
    """Symbols of a group over several uses of the centre subcarrier, its channels staying and known."""

    card = Card(
        name="det",
        title="DET",
        description="Uplink detection: what the users of a group sent, from 8 receptions and the channels.",
        reference="Multi-task PHY LLM, section II-B",
        family="task",
    )
    observation = DetectionObservation
    conditions: ClassVar[type[DetectionConditions]] = DetectionConditions
    metrics = (SymbolErrorRate(), SymbolNMSE(), SymbolNMSEdB(), BitErrorRate(), MutualInformation())
    loss = "symbols"
    ceiling_note = (
        "the symbol-wise posterior maximum (and mean) where all combinations of symbols can be summed; elsewhere the "
        "matched-filter bound, each user without the others on the same draws, which no detector reaches"
    )

    def __init__(self) -> None:
        self._bounded: tuple[Target, NDArray[np.float64]] | None = None

    def default_conditions(self, spec: ScenarioSpec) -> DetectionConditions:
        """Where detectors differ: 4 users on few antennas at 10 dB; 8 near ones on the planar array at 5 dB."""
        if spec.system == "multiuser":
            return self.conditions(users=min(8, max(1, spec.sizes.test)), grouping="near", snr_db=5.0)
        return self.conditions(users=min(4, max(1, spec.sizes.test)))

    def check_conditions(self, spec: ScenarioSpec, conditions: DetectionConditions) -> None:
        refuse_more_users_than_there_are(spec, conditions.users)

    def size(self, spec: ScenarioSpec, split: str, conditions: DetectionConditions) -> int:
        """Groups: disjoint ones of a test, as many as samples in a training."""
        samples = spec.sizes.of(split)
        return samples // conditions.users if split == "test" else samples

    def samples(self, view: SplitView, cases: NDArray[np.int64], conditions: DetectionConditions) -> NDArray[np.int64]:
        return members(view, conditions)[cases]

    def observe(
        self, view: SplitView, cases: NDArray[np.int64], conditions: DetectionConditions, *, epoch: int | None = None
    ) -> tuple[DetectionObservation, Target]:
        if epoch is None:
            group, snr_db = members(view, conditions)[cases], np.full(len(cases), conditions.snr_db)
            users = np.full(len(cases), conditions.users)
        else:
            group = training_members(view, conditions)[cases]
            uniform = draws(view, f"{self.card.name} case", cases, 2, epoch)
            users = drawn_users(conditions.train_users, uniform[:, 0], group.shape[1])
            snr_db = TRAIN_SNR_DB[0] + (TRAIN_SNR_DB[1] - TRAIN_SNR_DB[0]) * uniform[:, 1]
        present = np.arange(group.shape[1]) < users[:, None]
        h = plane(view, BAND, 0, (view.spec.sub6.num_subcarriers // 2,))[group, 0] * present[..., None]
        indices = self._symbols(view, cases, group.shape[1], conditions, epoch)
        constellation = constellation_named(conditions.modulation)
        x = constellation.points[indices] * present[:, None]
        noise, _ = view.noise(self.card.name, cases, (USES, h.shape[2]), epoch)
        noise_var = (np.abs(h) ** 2).sum(axis=(1, 2), dtype=np.float64) / h.shape[2] * 10 ** (-snr_db / 10)
        noise = noise * np.sqrt(noise_var)[:, None, None]
        y = x @ h + noise
        observation = DetectionObservation(
            h=np.ascontiguousarray(h.swapaxes(1, 2)).astype(np.complex64),
            y=y.astype(np.complex64),
            noise_var=noise_var.astype(np.float32),
            users=users,
            modulation=conditions.modulation,
            loss=self.loss,
        )
        context: dict[str, NDArray[Any]] = {"symbols": indices, "bits": symbol_bits(indices, constellation)}
        if epoch is None:
            context |= {"h": observation.h.copy(), "y": observation.y.copy(), "noise_var": noise_var}
        return observation, Target(value=x.astype(np.complex64), context=context)

    def _symbols(
        self, view: SplitView, cases: NDArray[np.int64], users: int, conditions: DetectionConditions, epoch: int | None
    ) -> NDArray[np.int64]:
        """What was sent, positions in the constellation, ``[cases, uses, users]``."""
        number = len(constellation_named(conditions.modulation).points)
        uniform = draws(view, f"{self.card.name} symbols", cases, USES * users, epoch)
        return np.minimum((uniform * number).astype(np.int64), number - 1).reshape(len(cases), USES, users)

    def secondary(
        self,
        view: SplitView,
        cases: NDArray[np.int64],
        conditions: DetectionConditions,
        prediction: NDArray[Any],
        method: Asked,
    ) -> Sequence[tuple[Metric, NDArray[np.float64]]]:
        """A coded link of the method's LLRs."""
        return coded_scores(view, self.card.name, cases, conditions, USES, method)

    def check(self, prediction: Any, observation: Observation, target: Target) -> NDArray[Any]:
        assert isinstance(observation, DetectionObservation)
        return scored_form(prediction, observation)

    def ceiling(self, target: Target) -> NDArray[Any]:
        """Worked out once per target, whatever asks for it: every metric does."""
        if self._bounded is None or self._bounded[0] is not target:
            self._bounded = target, _best(target)
        return self._bounded[1].copy()

    def primary_for(self, view: SplitView, conditions: DetectionConditions) -> Metric:
        """SER; the NMSE of the symbols where even the ceiling decides too few wrongly for error rates to say much."""
        cases = np.arange(self.size(view.spec, view.split, conditions))
        fields = conditions.model_dump().values()
        wrong = view.memo(("ceiling's errors", *fields), lambda: self._wrong(view, cases, conditions))
        return self.primary if wrong >= FEWEST_ERRORS else SymbolNMSE()

    def _wrong(self, view: SplitView, cases: NDArray[np.int64], conditions: DetectionConditions) -> int:
        """Symbols of the cases that the ceiling decides wrongly."""
        total = 0
        for start in range(0, len(cases), 256):
            _, target = self.observe(view, cases[start : start + 256], conditions)
            total += int((_best(target)[..., 2] != target.context["symbols"]).sum())
        return total

    def same_answers(self, prediction: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
        """Where estimates, decisions and likelihood ratios are the same: all of them are scored. NaN, for what is not
        given, is like NaN."""
        same = (prediction == other) | (np.isnan(prediction) & np.isnan(other))
        return np.asarray(same.reshape(len(prediction), -1).all(axis=1))

    def supports(self, spec: ScenarioSpec) -> bool:
        """More than one antenna, and a group of two at least."""
        return spec.sub6.array.num_antennas > 1 and spec.sizes.test >= 2

    def lacks(self, variables: Collection[str], conditions: DetectionConditions) -> list[str]:
        return unknown_directions(variables, conditions)


def _best(target: Target) -> NDArray[np.float64]:
    """The answer that the ceiling is, in the form that is scored."""
    sent, h, y, noise_var = (target.value, *(target.context[name] for name in ("h", "y", "noise_var")))
    bits, users = target.context["bits"].shape[-1], h.shape[2]
    constellation = constellation_named(f"{2**bits}qam" if bits > 1 else "bpsk")
    if len(constellation.points) ** users <= MOST_SUMMED:
        best = posterior(h, y, noise_var, constellation)
        return as_form(best.mean, best.decision, best.llrs)
    # Each user after matched filtering without the others: one scalar channel of gain ‖h_k‖.
    gain = np.linalg.norm(h.astype(np.complex128), axis=1)
    matched = (y - sent @ h.swapaxes(1, 2)) @ h.conj() / np.maximum(gain, 1e-30)[:, None] + gain[:, None] * sent
    scalar = matched.swapaxes(1, 2).reshape(-1, y.shape[1], 1)
    best = posterior(gain.reshape(-1, 1, 1), scalar, np.repeat(noise_var, users), constellation)
    parts = (best.mean, best.decision, best.llrs)
    shape = (len(h), users, y.shape[1])
    return as_form(*(part.reshape(*shape, *part.shape[3:]).swapaxes(1, 2) for part in parts))
