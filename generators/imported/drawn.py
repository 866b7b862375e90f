"""The paths behind a dataset, drawn again: what exports of formats that hold paths are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generator import Block
from channelbench.generators.evaluate.exact import evaluate
from channelbench.generators.evaluate.paths import ArrivingPaths
from channelbench.sources import makers
from channelbench.spec import BLOCK_SIZE, SPLITS, ScenarioSpec
from channelbench.store.dataset import ChannelDataset

__all__ = ["DrawnRows", "drawn_rows", "refuse_without_paths", "squints"]

CHECKED = 4
"""Rows whose channels are held against the paths' own sum before anything is written."""

CLOSE = 1e-3
"""Relative root mean square error; the fast engine's channels are within 6e-4 of the exact sum."""


class Drawing(Protocol):
    """A generator whose channels are sums over paths that it can draw again."""

    def drawn_paths(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, ArrivingPaths]:
        """The paths of the rows that ``sample`` returns, by band, with phases and zenith angles of arrival."""
        ...


@dataclass(frozen=True, kw_only=True)
class DrawnRows:
    """Some rows of a split with their paths.

    Attributes:
        split: Which one.
        rows: Of the split.
        paths: By band; ``power`` sums to about 1 over the paths of a link.
    """

    split: str
    rows: slice
    paths: dict[str, ArrivingPaths]

    def amplitude(self, dataset: ChannelDataset, band: str) -> NDArray[np.complex128]:
        """Amplitudes of the paths with the path gain in them, at the array's centre, the carrier and time 0,
        ``[rows, paths]``."""
        gain_db = dataset.array(f"path_gain_db_{band}", self.split)[self.rows].astype(np.float64)
        paths = self.paths[band]
        return np.sqrt(10 ** (gain_db[:, None] / 10) * paths.power) * np.exp(1j * paths.phase)


def refuse_without_paths(dataset: ChannelDataset, field: str = "data") -> None:
    """Refuse a dataset whose paths cannot be drawn again.

    Raises:
        RequestError: its source keeps no paths, or draws others than the stored channels were made of.
    """
    expected = "a dataset whose source can draw its paths again"
    if (generator := _drawing(dataset)) is None:
        got = f"{dataset.spec.source.name}, which keeps none; formats of channels take it, such as npz"
        raise RequestError(field, expected=expected, got=got)
    count = min(CHECKED, dataset.spec.sizes.train)
    block = Block(split="train", index=0, start=0, stop=count)
    paths, squint = generator.drawn_paths(dataset.spec, block, dataset.seed), squints(dataset)
    for name, band in dataset.spec.bands.items():
        stored = dataset.view("train").rows(f"h_{name}", np.arange(count))
        error = np.linalg.norm(evaluate(paths[name], band, squint=squint) - stored) / np.linalg.norm(stored)
        if not error < CLOSE:
            got = f"paths of other channels at {name} (error {error:.2g}): made by other versions, or altered"
            raise RequestError(field, expected=expected, got=got)


def squints(dataset: ChannelDataset) -> bool:
    """Whether the array's phases follow the subcarrier's frequency in a dataset."""
    return bool(getattr(dataset.spec.source, "squint", True))


def drawn_rows(dataset: ChannelDataset) -> Iterator[DrawnRows]:
    """All rows, train, val and test after each other, a block at a time."""
    generator = _drawing(dataset)
    if generator is None:
        return
    for split in SPLITS:
        total = dataset.spec.sizes.of(split)
        for start in range(0, total, BLOCK_SIZE):
            stop = min(start + BLOCK_SIZE, total)
            block = Block(split=split, index=start // BLOCK_SIZE, stop=stop - start)
            paths = generator.drawn_paths(dataset.spec, block, dataset.seed)
            yield DrawnRows(split=split, rows=slice(start, stop), paths=paths)


def _drawing(dataset: ChannelDataset) -> Drawing | None:
    """A generator of the dataset's source that can draw paths; ``None`` where there is none."""
    maker = makers(dataset.spec.scenario).get(dataset.spec.source.name)
    generator: Any = None if maker is None else maker()
    return generator if hasattr(generator, "drawn_paths") else None
