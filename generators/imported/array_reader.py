"""Readers of channels in arrays: what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.bands import BandSpec
from channelbench.errors import RequestError
from channelbench.generators.imported.array_axes import ChannelArray
from channelbench.generators.imported.array_files import ArrayFile, StoredArray, open_arrays
from channelbench.generators.imported.contract import BandFacts, BandLinks, Links, Reader

__all__ = ["ArraysReader", "Part", "facts_of"]

UNKNOWN_SPLIT = -1


@dataclass(frozen=True)
class Part:
    """Links that stand in the same arrays.

    Attributes:
        bands: Of each band, arrays that follow each other in time.
        split: 0, 1, 2 where the file says so, else −1.
        user: Further arrays with a row per sample, by the names of ``Links``.
        numbers: Those of a band, by band and variable.
    """

    bands: Mapping[str, Sequence[ChannelArray]]
    split: int = UNKNOWN_SPLIT
    user: Mapping[str, StoredArray] = field(default_factory=dict)
    numbers: Mapping[str, Mapping[str, StoredArray]] = field(default_factory=dict)

    @property
    def first(self) -> ChannelArray:
        """That which says how many links there are."""
        return next(iter(self.bands.values()))[0]

    def check(self) -> None:
        """Whether all arrays have the same links.

        Raises:
            RequestError: they have not.
        """
        links, samples = self.first.num_links, self.first.num_samples
        for arrays in self.bands.values():
            for array in arrays:
                if array.num_links != links:
                    got = f"{array.num_links} in {array.stored.name}, {links} in {self.first.stored.name}"
                    raise RequestError("PATH", expected="as many links in all arrays", got=got)
        further = [*self.user.values(), *(each for band in self.numbers.values() for each in band.values())]
        for stored in further:
            length = max(stored.shape, default=0) if 1 in stored.shape else stored.shape[0] if stored.shape else 0
            if not stored.numeric or length != samples:
                expected = f"numbers for {samples} samples"
                raise RequestError("PATH", expected=expected, got=f"{stored.name} of shape {list(stored.shape)}")

    def links(self, rows: NDArray[np.int64]) -> Links:
        """Some links of this part."""
        samples = rows // self.first.links_each
        user = {name: _rows(stored, samples) for name, stored in self.user.items()}
        bands = {}
        for name, arrays in self.bands.items():
            numbers = {key: _rows(stored, samples) for key, stored in self.numbers.get(name, {}).items()}
            h = np.concatenate([array.links(rows) for array in arrays], axis=1)
            gain = numbers.pop("path_gain_db", None)
            bands[name] = BandLinks(h=h, path_gain_db=gain, numbers=numbers)
        los = self._sight(user.pop("los"), rows) if "los" in user else None
        return Links(bands=bands, los=los, **user)

    def _sight(self, values: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        wrong = ~np.isin(values, (0, 1))
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0])
            got = f"{values[place]} of link {rows[place[0]]} in {self.user['los'].name}"
            raise RequestError("PATH", expected="a line of sight of 1, with one, or 0, without", got=got)
        return values.astype(bool)


def _rows(stored: StoredArray, samples: NDArray[np.int64]) -> NDArray[Any]:
    """Some rows of an array with one for each sample; a vector whichever way MATLAB has laid it."""
    values = stored.whole()
    if values.ndim == 2 and 1 in values.shape:
        values = values.reshape(-1)
    return values[samples]


def facts_of(arrays: Sequence[ChannelArray], usual: Mapping[str, Any] | None = None) -> BandFacts:
    """What arrays of one band say of it.

    Raises:
        RequestError: arrays that follow each other in time differ in subcarriers or antennas.
    """
    first = arrays[0]
    shapes = {(array.length("subcarrier"), array.num_antennas) for array in arrays}
    if len(shapes) > 1:
        got = " and ".join(f"{list(array.stored.shape)}" for array in arrays)
        raise RequestError("PATH", expected="arrays of the same subcarriers and antennas", got=got)
    known: dict[str, Any] = dict(usual or {})
    if "row" in first.axes or "column" in first.axes:
        known = {"array.rows": first.length("row"), "array.columns": first.length("column")} | known
    return BandFacts(
        kind="h",
        num_subcarriers=first.length("subcarrier"),
        num_slots=sum(array.length("slot") for array in arrays),
        num_antennas=first.num_antennas,
        usual=known,
    )


class ArraysReader(Reader):
    """Links in parts, one after the other. A subclass opens them: ``self.parts``."""

    parts: list[Part]

    def open(self, path: Path) -> ArrayFile:
        """The arrays of a file, which ``close`` lets go of.

        Raises:
            RequestError: as ``open_arrays``.
        """
        opened = open_arrays(path)
        self._opened.append(opened)
        return opened

    def __init__(self, path: Path, given: Any) -> None:
        super().__init__(path, given)
        self._opened: list[ArrayFile] = []
        try:
            self.parts = self.make_parts()
            for part in self.parts:
                part.check()
        except BaseException:
            self.close()
            raise

    def make_parts(self) -> list[Part]:
        """Open the files."""
        raise NotImplementedError

    @property
    def starts(self) -> NDArray[np.int64]:
        """Number of the first link of each part, and of all links."""
        return np.cumsum([0, *(part.first.num_links for part in self.parts)])

    @property
    def num_links(self) -> int:
        """All links."""
        return int(self.starts[-1])

    def links(self, rows: NDArray[np.int64], bands: Mapping[str, BandSpec]) -> Links:
        starts = self.starts
        found = [
            part.links(rows[inside] - start)
            for part, start, stop in zip(self.parts, starts[:-1], starts[1:], strict=True)
            if (inside := (rows >= start) & (rows < stop)).any()
        ]
        if len(found) == 1:
            return found[0]
        order = np.argsort(np.argsort(np.searchsorted(starts, rows, side="right"), kind="stable"), kind="stable")
        return _taken(found, order)

    def groups(self) -> NDArray[np.int64] | None:
        """Polarisations of one sample stay together."""
        if all(part.first.links_each == 1 for part in self.parts):
            return None
        found, first = [], 0
        for part in self.parts:
            found.append(first + np.arange(part.first.num_links) // part.first.links_each)
            first += part.first.num_samples
        return np.concatenate(found)

    def splits(self) -> NDArray[np.int8] | None:
        codes = [np.full(part.first.num_links, part.split, np.int8) for part in self.parts]
        return None if all(part.split == UNKNOWN_SPLIT for part in self.parts) else np.concatenate(codes)

    def close(self) -> None:
        for opened in self._opened:
            opened.close()
        self._opened.clear()


def _taken(parts: Sequence[Links], order: NDArray[np.int64]) -> Links:
    """Links of several parts in the order in which they were asked for."""

    def joined(values: list[Any]) -> Any:
        return None if any(value is None for value in values) else np.concatenate(values)[order]

    bands = {}
    for name in parts[0].bands:
        each = [part.bands[name] for part in parts]
        numbers = {key: joined([band.numbers[key] for band in each]) for key in each[0].numbers}
        gain = joined([band.path_gain_db for band in each])
        bands[name] = BandLinks(h=joined([band.h for band in each]), path_gain_db=gain, numbers=numbers)
    user = {name: joined([getattr(part, name) for part in parts]) for name in USER}
    return Links(bands=bands, **user)


USER = ("ue_position", "ue_velocity", "los", "distance_m")
