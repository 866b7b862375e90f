"""DE and PE: read the distance and the main path's loss off a received channel."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Conditions, Observation, Target, Task
from channelbench.metrics.scalar import MAEinMetres, MAEofSpan, NMSECentred, NMSELinear, RMSEindB
from channelbench.tasks._observe import BAND, noisy_region, observation, pilot_subcarriers

if TYPE_CHECKING:
    from channelbench.store.dataset import ChannelDataset

__all__ = ["DistanceEstimation", "PathLossEstimation"]


class _ScalarTask(Task):
    """One number per sample from the first slot, received with its path gain.

    The received channel is scaled by one constant of the training split: scaling each sample by itself would erase
    the answer.
    """

    kind = "scalar"
    ceiling_note = "the true value: error 0"

    @abstractmethod
    def _values(self, dataset: ChannelDataset, split: str) -> NDArray[np.float32]:
        """The wanted number of every sample of a split."""

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
        band, first = dataset.spec.bands[BAND], slice(0, 1)
        region = noisy_region(
            dataset,
            self.card.name,
            split,
            indices,
            conditions,
            slots=first,
            training=training,
            epoch=epoch,
            amplitude=received_amplitude(dataset, split)[indices],
            set_power=mean_received_power(dataset) / _reference_power(dataset),
        )
        everything = np.arange(band.num_subcarriers)
        seen = observation(
            dataset,
            region,
            split,
            indices,
            slots=first,
            subcarriers=pilot_subcarriers(band, conditions) if conditions.pilots_only else everything,
        )
        train = self._values(dataset, "train").astype(np.float64)
        return seen, Target(
            value=self._values(dataset, split)[indices],
            constants={"train_mean": float(train.mean()), "train_span": float(np.ptp(train))},
        )

    def ceiling(self, target: Target) -> NDArray[Any]:
        return target.value


def received_amplitude(dataset: ChannelDataset, split: str) -> NDArray[np.float64]:
    """Amplitude of the path gain, such that the training split's mean received power is 1, ``[samples]``."""
    return np.sqrt(_path_gain(dataset, split) / _reference_power(dataset))


def mean_received_power(dataset: ChannelDataset) -> float:
    """Mean of path gain times ``|h|²`` over the training split."""
    return dataset.memo(
        "mean received power",
        lambda: float((_path_gain(dataset, "train") * dataset.sample_power(BAND, "train")).mean()),
    )


def share_reference_power(source: ChannelDataset, target: ChannelDataset) -> None:
    """Let ``target`` be observed on the scale of ``source``, as a receiver that was calibrated there sees it.

    A fit that is carried over knows no other scale, and the target's own would tell it the mean of what it is to
    estimate. It has to be said before the first observation of ``target``.
    """
    power = _reference_power(source)
    if target.memo(_REFERENCE_POWER, lambda: power) != power:
        raise RuntimeError(f"{target.path} has been observed on another scale")


_REFERENCE_POWER = "reference received power"


def _reference_power(dataset: ChannelDataset) -> float:
    return dataset.memo(_REFERENCE_POWER, lambda: mean_received_power(dataset))


def _path_gain(dataset: ChannelDataset, split: str) -> NDArray[np.float64]:
    return 10 ** (dataset.array(f"path_gain_db_{BAND}", split).astype(np.float64) / 10)


class DistanceEstimation(_ScalarTask):
    """Distance between base station and user."""

    card = Card(
        name="de",
        title="DE",
        description="Distance estimation: metres to the user from one slot of its received channel.",
        reference="LLM4WM, Eq. 14",
        family="task",
    )
    metrics = (MAEinMetres(), MAEofSpan())

    def _values(self, dataset: ChannelDataset, split: str) -> NDArray[np.float32]:
        return dataset.array("distance_m", split)


class PathLossEstimation(_ScalarTask):
    """Loss of the main path in dB."""

    card = Card(
        name="pe",
        title="PE",
        description="Path loss estimation: decibels lost on the main path from one slot of the received channel.",
        reference="LLM4WM, Eq. 15",
        family="task",
    )
    metrics = (RMSEindB(), NMSECentred(), NMSELinear())

    def _values(self, dataset: ChannelDataset, split: str) -> NDArray[np.float32]:
        return -dataset.array(f"main_path_gain_db_{BAND}", split)
