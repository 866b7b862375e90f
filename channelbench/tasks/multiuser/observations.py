"""What methods see of a group of users, by what is wanted of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Observation

__all__ = ["DetectionObservation", "GroupObservation", "PrecodingObservation"]


@dataclass(frozen=True, kw_only=True)
class GroupObservation(Observation):
    """Groups of single-antenna users.

    Attributes:
        users: How many users each group has, ``[groups]``. All have as many as ``h`` holds in a test; in a training
            some have fewer, and what ``h`` holds beyond them is zero. ``by_users`` has them apart, without zeros.
        noise_var: Variance of the complex noise of a channel use, ``[groups]``, float32.
        loss: What an answer is judged by; see ``Task.loss``.
    """

    users: NDArray[np.int64]
    noise_var: NDArray[np.float32]
    loss: str = ""

    def __len__(self) -> int:
        return len(self.users)

    def of(self, groups: NDArray[np.int64]) -> Self:
        """Some of the groups, which have to have equally many users."""
        raise NotImplementedError

    def by_users(self) -> Iterator[tuple[NDArray[np.int64], Self]]:
        """The groups of each number of users: their positions, and their observation."""
        for users in np.unique(self.users):
            groups = np.flatnonzero(self.users == users)
            yield groups, self.of(groups)


@dataclass(frozen=True, kw_only=True)
class PrecodingObservation(GroupObservation):
    """Precoders are wanted, ``[groups, subcarriers, users, antennas]``, complex: user k of a group receives
    ``Σ_j h_kᴴ w_j s_j`` of unit-power symbols s, and ``Σ_j ‖w_j‖²`` is at most ``power`` on each subcarrier.

    Attributes:
        h: Channels as the base station knows them, ``[groups, subcarriers, users, antennas]``, complex64.
        error_var: Variance of the complex error of each coefficient of ``h``; 0 where they are perfect or nobody
            knows, ``[groups, users]``, float32.
        power: P_max of each subcarrier, in the units of ``noise_var``, ``[groups]``, float32.
    """

    h: NDArray[np.complex64]
    error_var: NDArray[np.float32]
    power: NDArray[np.float32]

    def of(self, groups: NDArray[np.int64]) -> Self:
        users = int(self.users[groups[0]])
        return replace(
            self,
            users=self.users[groups],
            noise_var=self.noise_var[groups],
            power=self.power[groups],
            h=np.ascontiguousarray(self.h[groups][:, :, :users]),
            error_var=np.ascontiguousarray(self.error_var[groups][:, :users]),
        )


@dataclass(frozen=True, kw_only=True)
class DetectionObservation(GroupObservation):
    """Transmitted symbols are wanted; see ``tasks.multiuser.answers``. ``y = Hx + n`` at every use, H staying.

    Attributes:
        h: Channels, known perfectly, ``[groups, antennas, users]``, complex64.
        y: What is received, ``[groups, uses, antennas]``, complex64.
        modulation: What was sent; see ``solvers.constellation``.
    """

    h: NDArray[np.complex64]
    y: NDArray[np.complex64]
    modulation: str

    def of(self, groups: NDArray[np.int64]) -> Self:
        users = int(self.users[groups[0]])
        return replace(
            self,
            users=self.users[groups],
            noise_var=self.noise_var[groups],
            h=np.ascontiguousarray(self.h[groups][:, :, :users]),
            y=self.y[groups],
        )
