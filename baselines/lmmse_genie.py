"""LMMSE with the true covariance of each drop."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench import registry
from channelbench.baselines._common import channel_shape
from channelbench.card import Card
from channelbench.contracts import Genie, GenieMethod
from channelbench.generator import Block, Generator, Paths
from channelbench.grid import ChannelGrid
from channelbench.solvers.lmmse import path_lmmse
from channelbench.spec import BLOCK_SIZE
from channelbench.tasks.link.observations import ChannelObservation

__all__ = ["GenieLMMSE"]

BAND = "sub6"


class GenieLMMSE(GenieMethod):
    """Redraws a drop's rays from the dataset's seed and knows everything about them but their phases."""

    card = Card(
        name="lmmse_genie",
        title="LMMSE, true covariance",
        description="LMMSE with the drop's true covariance: delays, directions, Dopplers and powers are known.",
        reference="Kay 1993, Fundamentals of Statistical Signal Processing: Estimation Theory, Eqs. 11.36–11.39",
        family="reference",
        notes=(
            "The rays are redrawn from the seed, which no contestant may do. Phases count as independent and uniform; "
            "a linear estimator cannot do better, nor, with 240 and more paths of random phase, can any other by much."
        ),
    )
    observes = (ChannelObservation,)

    def __init__(self) -> None:
        # The block that was redrawn last: small batches walk through one block many times.
        self._block: tuple[tuple[str, int, str, int], Paths] | None = None

    def predict_knowing(self, task: str, observation: ChannelObservation, genie: Genie) -> NDArray[Any]:
        estimate = np.empty(channel_shape(observation), np.complex64)
        blocks = genie.samples // BLOCK_SIZE
        for index in np.unique(blocks):
            rows = np.flatnonzero(blocks == index)
            paths = _take(self._paths(genie, int(index)), genie.samples[rows] % BLOCK_SIZE)
            seen = observation.h[rows], observation.noise_var[rows]
            estimate[rows] = self.estimate(*seen, paths, observation.grid, genie)
        return estimate

    def estimate(
        self, h: NDArray[np.complex64], noise_var: NDArray[np.float32], paths: Paths, grid: ChannelGrid, genie: Genie
    ) -> NDArray[np.complex64]:
        """The answer to drops whose paths are known."""
        return path_lmmse(h, noise_var, paths, grid)

    def redraw(self, genie: Genie, split: str, index: int, rows: int) -> Paths:
        """The first ``rows`` drops of a block of a split, without their phases."""
        generator: Generator = registry.create("generators", genie.spec.scenario, source=genie.spec.source.name)
        block = Block(split=split, index=index, start=0, stop=rows)
        return generator.paths(genie.spec, block, genie.seed)[BAND]

    def _paths(self, genie: Genie, index: int) -> Paths:
        spec, split = genie.spec, genie.split
        key = (spec.identity(), genie.seed, split, index)
        if self._block is None or self._block[0] != key:
            rows = min(BLOCK_SIZE, spec.sizes.of(split) - index * BLOCK_SIZE)
            self._block = (key, self.redraw(genie, split, index, rows))
        return self._block[1]


def _take(paths: Paths, rows: NDArray[np.int64]) -> Paths:
    return Paths(
        power=paths.power[rows],
        delay_s=paths.delay_s[rows],
        doppler_hz=paths.doppler_hz[rows],
        direction=paths.direction[rows],
    )
