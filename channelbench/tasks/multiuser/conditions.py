"""What may be varied about a group of users."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from channelbench.conditions import Conditions

__all__ = ["CSI", "NOISE_DBW", "TRAIN_POWER_DBW", "TRAIN_SNR_DB", "TRAIN_USERS", "DetectionConditions"]
__all__ += ["GroupConditions", "PrecodingConditions"]

TRAIN_USERS = (4, 8)
"""Training draws the number of a group's users uniformly from this range (multi-task PHY LLM, section V-A)."""

TRAIN_POWER_DBW = (-10.0, 10.0)
"""Training draws the power of a base station uniformly from this range (section V-C)."""

TRAIN_SNR_DB = (5.0, 20.0)
"""Training draws the SNR of a detection uniformly from this range (section V-A)."""

NOISE_DBW = -10.0
"""Noise of a precoded subcarrier (section V-C)."""

PERFECT, ESTIMATED, PREDICTED = "perfect", "estimated", "predicted"
CSI = r"^(perfect|estimated|predicted:[A-Za-z0-9_.:()+-]+)$"


class GroupConditions(Conditions):
    """Who is served together.

    Fits see groups of ``TRAIN_USERS`` users, half of them drawn at random and half of them near, so that one fit
    answers for all the numbers in that range and for either grouping; a number outside the range is part of a fit.

    Attributes:
        users: K, how many users a group has.
        grouping: ``random`` users, or ``near`` ones: users whose strongest paths leave the base station in similar
            directions, matched greedily.
    """

    users: int = Field(4, ge=1, le=64)
    grouping: Literal["random", "near"] = "random"

    @property
    def train_users(self) -> tuple[int, int]:
        """Least and most users of a group that a fit sees."""
        return min(TRAIN_USERS[0], self.users), max(TRAIN_USERS[1], self.users)

    def of_fit(self) -> dict[str, Any]:
        outside = self.train_users != TRAIN_USERS
        return super().of_fit() | ({"users": self.users} if outside else {})

    @property
    def sentence(self) -> str:
        return f"groups of {self.users} {self.grouping} users"


def _within(value: float, unit: str, trained: tuple[float, float]) -> str:
    """The value in words, and whether it is one that no training sees."""
    low, high = trained
    said = f"{value:g} {unit}".replace("-", "−")
    return said if low <= value <= high else f"{said} (outside the training range)"


class PrecodingConditions(GroupConditions):
    """Power, and what the base station knows of the channels.

    Fits see perfect channels of the first slot at the centre subcarrier, and powers of ``TRAIN_POWER_DBW``.

    Attributes:
        power_dbw: P_max of a subcarrier; the noise has −10 dBW.
        band: The ``centre`` subcarrier alone, or ``all``, each with P_max: rates are then means over subcarriers.
        slot: The ``first`` or the ``last`` slot of the dataset, whose channels transmission meets.
        csi: What precoders are designed for: the ``perfect`` channels; ``estimated`` ones, with noise of
            ``csi_snr_db``; or ``predicted:<method>``, what that method of channel prediction said of the last slot.
            Whatever is not perfect is of the last slot.
        csi_snr_db: SNR of estimated channels, relative to each user's mean power in that slot; of predicted ones that
            of the slots that the prediction is made from.
    """

    power_dbw: float = Field(0.0, ge=-100, le=100)
    band: Literal["centre", "all"] = "centre"
    slot: Literal["first", "last"] = "first"
    csi: str = Field(PERFECT, pattern=CSI)
    csi_snr_db: float = Field(10.0, ge=-50, le=100)

    @property
    def last_slot(self) -> bool:
        """Whether the last slot is precoded for."""
        return self.slot == "last" or self.csi != PERFECT

    @property
    def predictor(self) -> str:
        """The method whose predictions stand for the channels; empty where none do."""
        kind, _, method = self.csi.partition(":")
        return method if kind == PREDICTED else ""

    @property
    def sentence(self) -> str:
        power = _within(self.power_dbw, "dBW", TRAIN_POWER_DBW)
        where = "the centre subcarrier" if self.band == "centre" else "all subcarriers"
        parts = [super().sentence, f"P_max {power} over noise of −10 dBW on {where}"]
        if self.last_slot:
            parts.append("the last slot")
        if self.csi != PERFECT:
            known = f"predicted by {self.predictor}" if self.predictor else "estimated"
            parts.append(f"channels {known} at {self.csi_snr_db:g} dB")
        return ", ".join(parts)


class DetectionConditions(GroupConditions):
    """Symbols and noise.

    Attributes:
        modulation: What the users send.
        snr_db: ‖H‖²_F / (N σ²) of the group, symbols having unit power; training draws it from ``TRAIN_SNR_DB``.
    """

    refits: ClassVar[frozenset[str]] = frozenset({"modulation"})

    modulation: Literal["bpsk", "qpsk", "16qam", "64qam", "256qam"] = "16qam"
    snr_db: float = Field(10.0, ge=-50, le=100)

    @property
    def sentence(self) -> str:
        return f"{super().sentence}, {self.modulation}, SNR {_within(self.snr_db, 'dB', TRAIN_SNR_DB)}"
