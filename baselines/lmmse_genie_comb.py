"""LMMSE with each drop's paths known up to what a comb of pilots cannot tell: which repeat a delay is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines.lmmse_genie import GenieLMMSE
from channelbench.card import Card
from channelbench.contracts import Genie
from channelbench.generator import Paths
from channelbench.grid import ChannelGrid
from channelbench.solvers.aliases import Comb, comb_of, delay_profile, repeat_gain
from channelbench.solvers.lmmse import path_lmmse
from channelbench.spec import BLOCK_SIZE
from channelbench.tasks.link.observations import SameSlotsObservation

__all__ = ["GenieCombLMMSE"]

TRAINING_DROPS = 2000
"""Whose paths make the power-delay profile, or as many as there are."""

SPECULAR = 0


class GenieCombLMMSE(GenieLMMSE):
    """Knows powers, directions, Dopplers and delays modulo the comb's period, and the training drops' delay profile."""

    card = Card(
        name="lmmse_genie_comb",
        title="LMMSE, delays modulo the comb",
        description="LMMSE that knows each path of the drop but for the repeat of its delay under the comb of pilots.",
        reference="Kay 1993, Fundamentals of Statistical Signal Processing: Estimation Theory, Eqs. 11.36–11.39",
        family="reference",
        notes=(
            "On subcarriers D apart, delays 1/D apart look alike (133 ns for every eighth subcarrier of 60 MHz/64). "
            "Each scattered path counts as all of its repeats within the period of the wanted subcarriers, in the "
            "proportion that the mean power-delay profile of up to 2000 training drops has there; the specular path "
            "(the generator's first) keeps its delay. An estimator that learns the ensemble's profile and all that "
            "pilots show of a drop's paths can do no better; one that guesses the drop's own delay spread might, a "
            "little. Where neighbouring subcarriers are observed (PF) nothing is ambiguous, and it is `lmmse_genie`."
        ),
    )
    observes = (SameSlotsObservation,)

    def __init__(self) -> None:
        super().__init__()
        self._profile: tuple[tuple[str, int, Comb], NDArray[np.float64]] | None = None

    def estimate(
        self, h: NDArray[np.complex64], noise_var: NDArray[np.float32], paths: Paths, grid: ChannelGrid, genie: Genie
    ) -> NDArray[np.complex64]:
        comb = comb_of(grid.subcarrier_hz, grid.target_subcarrier_hz)
        if comb.repeats == 1:
            return path_lmmse(h, noise_var, paths, grid)
        gain = np.empty((len(h), len(comb.position), paths.power.shape[1]), np.complex64)
        profile = self.training_profile(genie, comb)
        for row, delay_s in enumerate(paths.delay_s):
            gain[row] = repeat_gain(delay_s, profile, comb)
        gain[:, :, SPECULAR] = 1
        return path_lmmse(h, noise_var, paths, grid, gain)

    def training_profile(self, genie: Genie, comb: Comb) -> NDArray[np.float64]:
        """Mean power of the training drops' scattered paths by delay; it is kept for the next observation."""
        key = (genie.spec.identity(), genie.seed, comb)
        if self._profile is None or self._profile[0] != key:
            total = None
            drops = min(TRAINING_DROPS, genie.spec.sizes.train)
            for start in range(0, drops, BLOCK_SIZE):
                stop = min(BLOCK_SIZE, drops - start)
                paths = self.redraw(genie, "train", start // BLOCK_SIZE, stop)
                scattered = np.delete(paths.power, SPECULAR, 1), np.delete(paths.delay_s, SPECULAR, 1)
                total = delay_profile(*scattered, comb, total)
            assert total is not None, "a dataset has training drops"
            self._profile = (key, total / drops)
        return self._profile[1]
