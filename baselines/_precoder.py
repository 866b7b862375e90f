"""What precoders by formula share: groups and subcarriers become one batch, and channel errors count as noise."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Method
from channelbench.tasks.multiuser.observations import PrecodingObservation

__all__ = ["Precoder"]


class Precoder(Method):
    """Beams of a group on a subcarrier from its channels, power and noise."""

    observes = (PrecodingObservation,)

    @abstractmethod
    def beams(
        self, h: NDArray[np.complex64], power: NDArray[np.float64], noise_var: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Precoders ``[groups, users, antennas]`` for channels of that shape, powers and noise ``[groups]``."""

    def predict(self, task: str, observation: PrecodingObservation) -> NDArray[Any]:
        _, subcarriers, users, antennas = observation.h.shape
        power, noise_var = (
            np.repeat(each, subcarriers) for each in (observation.power.astype(np.float64), known_noise(observation))
        )
        beams = self.beams(observation.h.reshape(-1, users, antennas), power, noise_var)
        return beams.astype(np.complex64).reshape(observation.h.shape)


def known_noise(observation: PrecodingObservation) -> NDArray[np.float64]:
    """σ² and what errors of the channels add to it: an error of variance ε hears beams of power P as noise of Pε,
    whatever their directions, ``[groups]``.

    Source: S. Wagner et al., IEEE Trans. Inf. Theory 58 (2012), section IV, for equal errors of all users.
    """
    error = observation.error_var.astype(np.float64).mean(axis=1)
    return observation.noise_var.astype(np.float64) + observation.power.astype(np.float64) * error
