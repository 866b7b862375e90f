"""Sparse Bayesian estimation of channels, drop by drop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from channelbench.baselines._common import channel_shape
from channelbench.baselines._ensemble import Ensemble, ensemble_of
from channelbench.card import Card
from channelbench.contracts import FitContext, FitData, Method, TaskSplit
from channelbench.grid import ChannelGrid
from channelbench.solvers.dictionaries import Axis, antenna_axis, antenna_groups, lattice, slot_axis, subcarrier_axis
from channelbench.solvers.profile import power_delay_profile
from channelbench.solvers.sparse import SparseDictionary, sparse_estimates
from channelbench.tasks.link.observations import ChannelObservation

__all__ = ["SparseBayesian"]

LARGEST_GROUP = 8
"""Antennas of a larger array are estimated in groups of neighbours."""

UNKNOWNS = (256, 384, 512, 640)
"""How many observations are kept of a group, in its strongest delay taps, where as many modes are kept as ``MISSING``
asks for: validation chooses among these,"""

MOST_UNKNOWNS = 6144
"""and for large arrays among those with which all groups together have no more."""

LARGEST_PROBLEM = 1536
"""Observations that are kept of a group with more modes: taps go first."""

MISSING, OF_NOISE = 0.02, 0.2
"""Modes of slots are kept until this share of the energy is missing, or this share of the noise's beside it."""

MOST_STEPS = 12
VALIDATION_SAMPLES = 40

SLACK = 0.01
"""A smaller problem is taken where its error is at most this share above that of the best."""

LEAST_SIGNAL, LEAST_NOISE = 1e-2, 1e-5
"""Shares of what was received: the signal is at least so much of it, and noise beside a signal of power 1."""

FINE = 32
"""Points per antenna at which the strongest direction is looked for."""


@dataclass(frozen=True)
class _Effort:
    """How many delay taps of a drop are kept, and how many steps are made."""

    taps: int
    steps: int


class SparseBayesian(Method):
    """Finds, for each drop by itself, the few paths that explain its noisy pilots."""

    card = Card(
        name="sparse",
        title="Sparse Bayes",
        description="Sparse Bayesian estimation of each drop's paths on a grid of delays, angles and Dopplers.",
        reference="Tipping 2001, Sparse Bayesian learning and the relevance vector machine; Wipf and Rao 2004",
        family="classical",
        notes=(
            "Knows that channels are sums of paths, and of the training set its power-delay profile and its largest "
            "Doppler. Ours: three delays per inverse bandwidth, four angles per antenna, nine Dopplers; slots in the "
            "modes that hold 98 % of the Dopplers, and more where there is less noise; the strongest direction's beam "
            "squint is taken out; MacKay's fixed point, where atoms stay that have twice the noise; of each drop the "
            "strongest delay taps, as many of them and as many steps as 40 validation samples want; arrays of more "
            "than eight antennas in groups."
        ),
    )
    observes = (ChannelObservation,)

    def __init__(self) -> None:
        self._ensembles: dict[str, Ensemble] = {}
        self._efforts: dict[str, _Effort] = {}

    def fit(self, data: FitData, context: FitContext) -> None:
        for task, (train, validation) in data.items():
            self._ensembles[task] = ensemble_of(train)
            with _libraries().limit(limits=1):
                self._efforts[task] = _choose(self._ensembles[task], validation, context)

    def predict(self, task: str, observation: ChannelObservation) -> NDArray[Any]:
        estimator, effort = _Estimator(observation.grid, self._ensembles[task]), self._efforts[task]
        answer = np.empty(channel_shape(observation), np.complex64)
        with _libraries().limit(limits=1):
            for row, (h, noise_var) in enumerate(zip(observation.h, observation.noise_var, strict=True)):
                answer[row] = estimator.estimate(h, float(noise_var), effort.taps, (effort.steps,))[0]
        return answer


@cache
def _libraries() -> ThreadpoolController:
    """Whose threads are limited, as a run does for formulas: on matrices of this size two wait for each other longer
    than they work."""
    return ThreadpoolController()


def _choose(ensemble: Ensemble, validation: TaskSplit, context: FitContext) -> _Effort:
    """The least effort that is within ``SLACK`` of the best on validation samples."""
    observation, target = validation.observe(np.arange(min(len(validation), VALIDATION_SAMPLES)))
    estimator, steps = _Estimator(observation.grid, ensemble), range(1, MOST_STEPS + 1)
    groups, most = len(estimator.groups), observation.h.shape[2]
    sizes = UNKNOWNS[:1] + tuple(size for size in UNKNOWNS[1:] if groups * size <= MOST_UNKNOWNS)
    a_tap = estimator.slots.number(MISSING) * max(len(group.members) for group in estimator.groups)
    candidates = sorted({max(1, min(size // a_tap, most)) for size in sizes})
    errors: dict[_Effort, float] = {}
    for number, taps in enumerate(candidates):
        sums = np.zeros(len(steps))
        for row, (h, noise_var) in enumerate(zip(observation.h, observation.noise_var, strict=True)):
            context.progress(number * len(observation) + row, len(candidates) * len(observation), "validation")
            error = estimator.estimate(h, float(noise_var), taps, steps) - target.value[row]
            power = np.sum(np.abs(target.value[row]) ** 2)
            sums += np.sum(np.abs(error) ** 2, axis=(1, 2, 3)) / power if power > 0 else 0.0
        errors |= {_Effort(taps, step): float(total) for step, total in zip(steps, sums, strict=True)}
    enough = (1 + SLACK) * min(errors.values())
    return next(effort for effort, error in errors.items() if error <= enough)


class _Estimator:
    """Estimates of single drops on one grid."""

    def __init__(self, grid: ChannelGrid, ensemble: Ensemble) -> None:
        self.grid = grid
        self.slots = slot_axis(grid.slot_s, grid.target_slot_s, ensemble.doppler_hz)
        self.subcarriers = subcarrier_axis(grid.subcarrier_hz, grid.target_subcarrier_hz)
        delays = self.subcarriers.points
        self.profile = power_delay_profile(ensemble.lags_hz, ensemble.correlation, delays)
        self.groups = [
            _Group(members, grid.antenna_position[members])
            for members in antenna_groups(grid.antenna_position, LARGEST_GROUP)
        ]

    def estimate(
        self, h: NDArray[np.complex64], noise_var: float, taps: int, steps: Sequence[int]
    ) -> NDArray[np.complex64]:
        """What is wanted, after each of these numbers of steps, ``[numbers, wanted slots, wanted subcarriers,
        antennas]``, from one drop ``[slots, subcarriers, antennas]``."""
        grid = self.grid
        shape = len(steps), len(grid.target_slot_s), len(grid.target_subcarrier_hz), h.shape[-1]
        answer = np.zeros(shape, np.complex64)
        for group in self.groups:
            part = h[:, :, group.members].astype(np.complex128)
            received = float(np.mean(np.abs(part) ** 2))
            if received > 0:
                answer[..., group.members] = self._of_group(group, part, received, noise_var, taps, steps)
        return answer

    def _of_group(
        self,
        group: _Group,
        h: NDArray[np.complex128],
        received: float,
        noise_var: float,
        taps: int,
        steps: Sequence[int],
    ) -> NDArray[np.complex128]:
        power = max(received - noise_var, LEAST_SIGNAL * received)
        noise = max(noise_var / power, LEAST_NOISE)
        slots = self.slots.rows(np.arange(self.slots.number(min(MISSING, OF_NOISE * noise))))
        frequencies, wanted = self.grid.subcarrier_hz, self.grid.target_subcarrier_hz
        squint = group.squint(h, self.grid.carrier_hz)
        z = _along(h / np.sqrt(power) * squint(frequencies).conj(), slots, self.subcarriers, group.antennas)
        number = max(1, min(taps, LARGEST_PROBLEM // (z.shape[0] * z.shape[2])))
        strongest = np.sort(np.argsort(-np.sum(np.abs(z) ** 2, axis=(0, 2)), kind="stable")[:number])
        axes = slots, self.subcarriers.rows(strongest), group.antennas
        dictionary = SparseDictionary.of(*(axis.observed for axis in axes))
        dopplers, delays, angles = dictionary.shape
        prior = np.broadcast_to(self.profile[:, None] / (dopplers * angles), (dopplers, delays, angles))
        found = sparse_estimates(z[:, strongest], dictionary, prior, noise, max(steps))
        parts = [_synthesis(found[step].amplitudes, axes) for step in steps]
        return np.sqrt(power) * squint(wanted) * np.stack(parts)


class _Group:
    """Neighbouring antennas that are estimated together.

    Attributes:
        members: Their places in the array.
        antennas: What paths look like across them.
    """

    def __init__(self, members: NDArray[np.int64], position: NDArray[np.float64]) -> None:
        self.members, self.antennas = members, antenna_axis(position)
        axes = lattice(position) or []
        index = np.stack(axes, axis=1) if axes else np.zeros((len(members), 0))
        self.offset = index - index.mean(axis=0)
        fine = [np.arange(FINE * (int(axis.max()) + 1)) / (FINE * (int(axis.max()) + 1)) - 0.5 for axis in axes]
        self.cycles = np.stack(np.meshgrid(*fine, indexing="ij"), axis=-1).reshape(-1, len(axes)) if axes else None
        self.steering = None if self.cycles is None else np.exp(2j * np.pi * self.offset @ self.cycles.T)

    def squint(self, h: NDArray[np.complex128], carrier_hz: float) -> Any:
        """What beam squint does to the strongest direction, as a function of frequencies: ``[subcarriers, antennas]``.

        Phases across the array grow with frequency (LLM4WM, Eq. 2): away from the carrier those of one direction are
        off by ``e^{j2πu·n (f−f_c)/f_c}``.
        """
        if self.cycles is None or self.steering is None:
            return lambda frequencies: np.ones((len(frequencies), len(self.members)))
        rows = h.reshape(-1, h.shape[-1])
        across = rows.T @ rows.conj()
        spectrum = np.einsum("na,nm,ma->a", self.steering.conj(), across, self.steering, optimize=True).real
        turns = self.offset @ self.cycles[int(spectrum.argmax())]
        return lambda frequencies: np.exp(2j * np.pi * np.outer((frequencies - carrier_hz) / carrier_hz, turns))


def _along(h: NDArray[np.complex128], slots: Axis, subcarriers: Axis, antennas: Axis) -> NDArray[np.complex128]:
    """An observation in the bases of its axes, ``[modes, taps, beams]``."""
    for axis in (slots, subcarriers, antennas):
        h = np.tensordot(h, axis.analysis, axes=(0, 1))
    return h


def _synthesis(amplitudes: NDArray[np.complexfloating], axes: tuple[Axis, Axis, Axis]) -> NDArray[np.complexfloating]:
    """The channel that amplitudes make where it is wanted, ``[slots, subcarriers, antennas]``."""
    for axis in axes:
        amplitudes = np.tensordot(amplitudes, axis.wanted.astype(amplitudes.dtype), axes=(0, 1))
    return amplitudes
