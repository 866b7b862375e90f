"""DE and PE: read the distance and the main path's loss off a received channel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Observation, Target
from channelbench.grid import Grid
from channelbench.metrics.scalar import MAEinMetres, MAEofSpan, NMSECentred, NMSELinear, RMSEindB
from channelbench.prediction import as_numbers
from channelbench.store.dataset import SplitView
from channelbench.tasks.link.conditions import PilotConditions
from channelbench.tasks.link.observations import ScalarObservation
from channelbench.tasks.link.pilots import BAND, LinkTask, noisy_region, observed_grid, seen, seen_subcarriers

__all__ = ["DistanceEstimation", "PathLossEstimation", "ScalarTask"]


class ScalarTask(LinkTask):
    """One number per sample from the first slot, received with its path gain.

    The received channel is scaled by one constant of the training split: scaling each sample by itself would erase
    the answer.
    """

    observation = ScalarObservation
    conditions = PilotConditions
    ceiling_note = "the true value: error 0"

    needs: ClassVar[tuple[str, ...]]
    """Variables that it reads."""

    def lacks(self, variables: Collection[str], conditions: PilotConditions) -> list[str]:
        """What is received has its path gain."""
        return [name for name in (*self.needs, f"path_gain_db_{BAND}") if name not in variables]

    @abstractmethod
    def values(self, view: SplitView) -> NDArray[np.float32]:
        """The wanted number of every sample of a split, ``[samples]``."""

    def observe(
        self, view: SplitView, cases: NDArray[np.int64], conditions: PilotConditions, *, epoch: int | None = None
    ) -> tuple[ScalarObservation, Target]:
        first = slice(0, 1)
        region = noisy_region(
            view,
            self.card.name,
            cases,
            conditions,
            slots=first,
            epoch=epoch,
            amplitude=received_amplitude(view)[cases],
            set_power=mean_received_power(view) / _reference_power(view),
        )
        subcarriers = seen_subcarriers(view.spec.bands[BAND], conditions)
        grid = Grid(**observed_grid(view, first, subcarriers))
        train = self.values(view.train).astype(np.float64)
        target = Target(
            value=self.values(view)[cases],
            constants={"train_mean": float(train.mean()), "train_span": float(np.ptp(train))},
        )
        return ScalarObservation(**seen(self, region, 1, subcarriers), grid=grid), target

    def check(self, prediction: Any, observation: Observation, target: Target) -> NDArray[Any]:
        return as_numbers(prediction, target.value.shape)

    def ceiling(self, target: Target) -> NDArray[Any]:
        return target.value

    def share_scale(self, source: SplitView, target: SplitView) -> None:
        """As a receiver that was calibrated on ``source`` sees ``target``, whose own scale would tell a fit the mean of
        what it is to estimate.

        Raises:
            RuntimeError: ``target`` has been observed on another scale.
        """
        power = _reference_power(source)
        if target.train.memo(_REFERENCE_POWER, lambda: power) != power:
            raise RuntimeError("the target has been observed on another scale")


def received_amplitude(view: SplitView) -> NDArray[np.float64]:
    """Amplitude of the path gain, such that the training split's mean received power is 1, ``[samples]``."""
    return np.sqrt(_path_gain(view) / _reference_power(view))


def mean_received_power(view: SplitView) -> float:
    """Mean of path gain times ``|h|²`` over the training split."""
    train = view.train
    return train.memo("mean received power", lambda: float((_path_gain(train) * train.sample_power(BAND)).mean()))


_REFERENCE_POWER = "reference received power"


def _reference_power(view: SplitView) -> float:
    return view.train.memo(_REFERENCE_POWER, lambda: mean_received_power(view))


def _path_gain(view: SplitView) -> NDArray[np.float64]:
    return 10 ** (view.array(f"path_gain_db_{BAND}").astype(np.float64) / 10)


class DistanceEstimation(ScalarTask):
    """Distance between base station and user."""

    card = Card(
        name="de",
        title="DE",
        description="Distance estimation: metres to the user from one slot of its received channel.",
        reference="LLM4WM, Eq. 14",
        family="task",
    )
    metrics = (MAEinMetres(), MAEofSpan())
    needs = ("distance_m",)
    loss = "absolute"

    def values(self, view: SplitView) -> NDArray[np.float32]:
        return view.array("distance_m")


class PathLossEstimation(ScalarTask):
    """Loss of the main path in dB."""

    card = Card(
        name="pe",
        title="PE",
        description="Path loss estimation: decibels lost on the main path from one slot of the received channel.",
        reference="LLM4WM, Eq. 15",
        family="task",
    )
    metrics = (RMSEindB(), NMSECentred(), NMSELinear())
    needs = (f"main_path_gain_db_{BAND}",)
    loss = "squared"

    def values(self, view: SplitView) -> NDArray[np.float32]:
        return -view.array(f"main_path_gain_db_{BAND}")
