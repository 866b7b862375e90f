"""The contract of scenarios: what makes the samples of a block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.spec import BLOCK_SIZE, ScenarioSpec

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Block", "Generator", "Paths"]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows ``start:stop`` of block ``index`` of ``split``: the block is the unit that random draws are keyed by."""

    split: str
    index: int
    start: int = 0
    stop: int = BLOCK_SIZE

    @property
    def num_samples(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Propagation paths of one band; absent ones have zero power. ``h(t, f)[n] = Σ_p √power · e^{jΦ_p} ·
    e^{j2π(doppler·t − (f − carrier)·delay)} · e^{j2π(f/carrier)·(direction·position_n)}`` with random phases Φ.

    Attributes:
        power: Mean power, summing to about 1 over paths, ``[batch, paths]``.
        delay_s: Delay, ``[batch, paths]``.
        doppler_hz: Doppler shift, ``[batch, paths]``.
        direction: Unit vectors of departure, ``[batch, paths, 3]``.
    """

    power: NDArray[np.float64]
    delay_s: NDArray[np.float64]
    doppler_hz: NDArray[np.float64]
    direction: NDArray[np.float64]


class Generator(ABC):
    """Makes the samples of one scenario.

    ``sample`` is pure: the values of a row depend on the spec without its sizes, the split, the block index and the
    seed alone; asking for fewer rows gives the same rows."""

    card: ClassVar[Card]
    geometry: ClassVar[Mapping[str, float]]
    """Scenario defaults: ``bs_height_m``, ``min_distance_m``, ``max_distance_m``."""

    @abstractmethod
    def sample(self, spec: ScenarioSpec, block: Block, seed: int) -> xr.Dataset:
        """Rows of one block, as ``store.schema.variables`` has them."""

    def fill(self, spec: ScenarioSpec, block: Block, seed: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """``sample`` into arrays that are there, for generators that can spare a copy."""
        made = self.sample(spec, block, seed)
        for name, column in columns.items():
            if made[name].shape != column.shape:
                raise ValueError(f"{spec.scenario} made {name} of shape {made[name].shape}, expected {column.shape}")
            column[...] = made[name].values

    def paths(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, Paths]:
        """The paths behind ``sample``, by band, for reference lines that know a drop's true covariance."""
        raise NotImplementedError(f"{self.card.name} keeps no paths")
