"""Which split each link belongs to, and which independent unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.imported.source import Split
from channelbench.spec import SPLITS

__all__ = ["LEFT_OUT", "SHARES", "Shared", "share_out"]

SHARES = (10, 2, 3)
"""Of train, val and test, as ``--samples`` of ``generate`` has it."""

LEFT_OUT = -1


@dataclass(frozen=True)
class Shared:
    """Which links a dataset has, and where.

    Attributes:
        split: 0, 1, 2 for train, val, test, or ``LEFT_OUT``, ``[links]``.
        unit: Number of the independent unit of each link, no two splits sharing one, ``[links]``.
    """

    split: NDArray[np.int8]
    unit: NDArray[np.int64]

    def rows(self, split: str) -> NDArray[np.int64]:
        """Links of a split, ascending."""
        return np.flatnonzero(self.split == SPLITS.index(split))


def share_out(
    how: Split,
    usable: NDArray[np.bool_],
    seed: int,
    *,
    groups: NDArray[np.int64] | None = None,
    given: NDArray[np.int8] | None = None,
    position: NDArray[np.float64] | None = None,
    guard_m: float = 0.0,
    unit_m: float = 0.0,
) -> Shared:
    """Share links out to the splits, 10:2:3.

    Args:
        how: ``seed``: at random; ``area``: in three strips across the longer side of where users are; ``file``: as
            ``given`` says, and at random among the splits that it does not name where it says −1.
        usable: Links to be shared out, ``[links]``.
        seed: Of what is drawn.
        groups: Equal for links that stay together, ``[links]``; users at one place do in any case.
        given: Splits in the file, ``[links]``.
        position: m, ``[links, 3]``, where known.
        guard_m: Of ``area``: links nearer than this to a strip's border are left out.
        unit_m: Side of the squares that are independent units, where positions are known; 0 for none.

    Raises:
        RequestError: what is asked for needs something that the file does not have, or a split comes out empty.
    """
    together = _together(len(usable), groups, position)
    if how == "area":
        if position is None:
            raise RequestError("split", expected="seed: the file has no positions", got=how, choices=["seed"])
        split = _strips(position, usable, guard_m)
        split = _united(split, together)
    elif how == "file":
        if given is None:
            raise RequestError("split", expected="seed or area: the file has no splits", got=how)
        split = _as_given(given, together, usable, seed)
    else:
        split = np.full(len(usable), LEFT_OUT, np.int8)
        split[usable] = _at_random(together[usable], range(len(SPLITS)), seed)
    split[~usable] = LEFT_OUT
    for code, name in enumerate(SPLITS):
        if not (split == code).any():
            expected = "links enough for train, val and test"
            guard = f", {guard_m:g} m from the next split" if how == "area" else ""
            got = f"no link in {name}, of {int(usable.sum())} by {how}{guard}"
            raise RequestError("split", expected=expected, got=got)
    return Shared(split, _units(split, together, position, unit_m, alone=groups is None))


def _together(count: int, groups: NDArray[np.int64] | None, position: NDArray[np.float64] | None) -> NDArray[np.int64]:
    """A number for each link, equal for those that stay together."""
    if groups is not None:
        return np.unique(groups, return_inverse=True)[1].reshape(-1)
    if position is not None:
        return np.unique(position.astype(np.float32), axis=0, return_inverse=True)[1].reshape(-1)
    return np.arange(count)


def _at_random(together: NDArray[np.int64], codes: range | list[int], seed: int) -> NDArray[np.int8]:
    """Splits of links, whole groups at a time, in the proportions of these splits."""
    names, member, counts = np.unique(together, return_inverse=True, return_counts=True)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    order = rng.permutation(len(names))
    middle = np.cumsum(counts[order]) - counts[order] / 2  # a group stands where its middle does
    shares = np.cumsum([SHARES[code] for code in codes])
    place = np.searchsorted(shares / shares[-1] * len(together), middle, side="right")
    of_group = np.empty(len(names), np.int8)
    of_group[order] = np.asarray(codes, np.int8)[np.minimum(place, len(codes) - 1)]
    return of_group[member.reshape(-1)]


def _strips(position: NDArray[np.float64], usable: NDArray[np.bool_], guard_m: float) -> NDArray[np.int8]:
    """Strips across the longer side: train, val, test."""
    span = np.ptp(position[usable, :2], axis=0)
    along = position[:, int(np.argmax(span))]
    shares = np.cumsum(SHARES)[:-1] / sum(SHARES)
    borders = np.quantile(along[usable], shares)
    split = np.searchsorted(borders, along, side="right").astype(np.int8)
    if guard_m > 0:
        split[(np.abs(along[:, None] - borders) < guard_m / 2).any(axis=1)] = LEFT_OUT
    return split


def _united(split: NDArray[np.int8], together: NDArray[np.int64]) -> NDArray[np.int8]:
    """A group that lies in several strips is left out."""
    first = np.full(together.max() + 1, np.iinfo(np.int8).max, np.int8)
    last = np.full(together.max() + 1, np.iinfo(np.int8).min, np.int8)
    np.minimum.at(first, together, split)
    np.maximum.at(last, together, split)
    return np.where(first[together] == last[together], split, LEFT_OUT).astype(np.int8)


def _as_given(
    given: NDArray[np.int8], together: NDArray[np.int64], usable: NDArray[np.bool_], seed: int
) -> NDArray[np.int8]:
    split, open_ = given.astype(np.int8), usable & (given < 0)
    if open_.any():
        free = [code for code in range(len(SPLITS)) if not (given == code).any()] or [0]
        split[open_] = _at_random(together[open_], free, seed)
    mixed = _united(split, together)[usable] != split[usable]
    if mixed.any():
        expected = "splits that share no track and no place"
        raise RequestError("split", expected=expected, got=f"file, in which {int(mixed.sum())} links do")
    return split


def _units(
    split: NDArray[np.int8],
    together: NDArray[np.int64],
    position: NDArray[np.float64] | None,
    unit_m: float,
    *,
    alone: bool,
) -> NDArray[np.int64]:
    """Groups, else squares of the ground, else links; numbered from 0, each in one split."""
    if alone and position is not None and unit_m > 0:
        keys = np.floor(position[:, :2] / unit_m).astype(np.int64)
    else:
        keys = together[:, None]
    keys = np.concatenate([split[:, None].astype(np.int64), keys], axis=1)
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
