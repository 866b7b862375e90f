"""The contract of scenarios: what makes the samples of a block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.ranges import Ranges, idle_fields
from channelbench.sources import SourceSpec
from channelbench.spec import BLOCK_SIZE, ScenarioSpec

__all__ = ["Block", "Generator", "Panel", "Paths", "View"]

View = Callable[[Any], None]
"""Draws one picture on the matplotlib axes that it is given."""


@dataclass(frozen=True)
class Panel:
    """A picture that explains itself: a ``View`` with words.

    Attributes:
        title: What it is, in a few words.
        draw: Draws it.
        sentence: What is seen, and what would be wrong: printed, and written under the picture.
    """

    title: str
    draw: View
    sentence: str

    def __call__(self, axes: Any) -> None:
        self.draw(axes)


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
    Path 0 is the specular one, absent without line of sight.

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
    """Makes the samples of one scenario from one source.

    ``sample`` is pure: the values of a row depend on the spec without its sizes, the split, the block index and the
    seed alone; asking for fewer rows gives the same rows.
    """

    card: ClassVar[Card]
    """Its ``name`` is the scenario's; another class may make the same scenario from another source."""
    geometry: ClassVar[Mapping[str, float]]
    """Scenario defaults: ``bs_height_m``, ``min_distance_m``, ``max_distance_m``."""
    source: ClassVar[type[SourceSpec]]
    """What can be set about its channels, and what they are called."""
    ranges: ClassVar[Ranges | None] = None
    """What its formulas hold for, where that is known: specs outside are made with a warning."""

    @classmethod
    def cautions(cls, spec: ScenarioSpec) -> list[str]:
        """What is doubtful about a spec of this scenario and source, one line each: values outside ``ranges``, fields
        that were set and change nothing. ``generate`` warns of them before it begins, and ``inspect`` repeats them."""
        return [*(cls.ranges.outside(spec) if cls.ranges is not None else ()), *idle_fields(spec)]

    @classmethod
    def refuse(cls, spec: ScenarioSpec) -> None:
        """Refuse a spec of this scenario and source that no world has. It is asked on the machine that ``generate`` is
        called on, before anything is written.

        Raises:
            RequestError: which field, and why.
        """
        if cls.ranges is not None:
            cls.ranges.check(spec)

    @classmethod
    def check(cls, spec: ScenarioSpec) -> None:
        """Whether this machine has what samples of ``spec`` need. It is asked before anything is written.

        Raises:
            RequestError: what is missing.
        """
        return

    @classmethod
    def engine(cls, spec: ScenarioSpec) -> str:
        """What makes the samples, for the dataset's attributes: ``package:scenario processor``."""
        return f"{cls.__module__.rpartition('.')[0]}:{cls.card.name} cpu"

    @classmethod
    def views(cls, dataset: Any) -> list[View]:
        """Pictures of a dataset of this scenario and source that ``inspect`` adds to its sheet, two in a row: what a
        source knows of its world that the variables do not show. A ``Panel`` says beside what is seen.

        Args:
            dataset: A ``ChannelDataset``, finished, of a spec of this scenario and source.

        Raises:
            RequestError: this machine lacks what they need; the sheet says so and is drawn without them.
        """
        return []

    @abstractmethod
    def sample(self, spec: ScenarioSpec, block: Block, seed: int) -> Mapping[Any, Any]:
        """Rows of one block: by name, every variable of ``store.schema.variables(spec)``, ``[block.num_samples, …]``.

        Args:
            spec: Of this scenario and source.
            block: Which rows.
            seed: From 0 to 2^63 − 1.

        Returns:
            Arrays, or an xarray dataset; they are stored in the dtype that the table has.
        """

    def fill(self, spec: ScenarioSpec, block: Block, seed: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """``sample`` into arrays that are there, by variable, ``[block.num_samples, …]`` each; for generators that can
        spare a copy."""
        made = self.sample(spec, block, seed)
        for name, column in columns.items():
            values = np.asarray(made[name])
            if values.shape != column.shape:
                raise ValueError(f"{spec.scenario} made {name} of shape {values.shape}, expected {column.shape}")
            column[...] = values

    def paths(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, Paths]:
        """The paths behind ``sample``, by band, for reference lines that know a drop's true covariance."""
        raise NotImplementedError(f"{self.card.name} keeps no paths")

    def channels(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, NDArray[Any]]:
        """The channels behind ``sample``, by band, ``[block.num_samples, slots, subcarriers, antennas]`` each: the sum
        over their paths in float64, however ``sample`` makes them. ``verify`` holds some stored samples against it."""
        raise NotImplementedError(f"{self.card.name} keeps no paths")
