"""A finished dataset that becomes a larger one of the same spec and seed.

What a sample is does not depend on how many there are, but where it stands does: the splits follow one another. So the
larger dataset is made as a whole in a folder of the smaller one, ``growing``, where samples that are there already are
copied. The smaller one stays what it was until all of the larger is there, and then gives way file by file: from the
first of them on it says that it is unfinished, and what is interrupted goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generator import Block
from channelbench.spec import BLOCK_SIZE, SPLITS, ScenarioSpec, SizesSpec
from channelbench.store import layout
from channelbench.store.dataset import open_dataset, read_group, recorded_spec
from channelbench.store.direct import DirectArray
from channelbench.store.exact_rows import why_not
from channelbench.store.files import DIGEST, Files, digest_rows, put
from channelbench.store.location import ROOT, Location
from channelbench.store.record import names_of
from channelbench.store.schema import coordinates

__all__ = ["STAGE", "Kept", "fresh_rows", "promote", "shrinking", "stage_of"]

STAGE = "growing"
"""The folder within a dataset where the larger one is made."""


def stage_of(location: Location) -> Location:
    """Where the dataset at a place grows."""
    return location.within(STAGE)


def shrinking(there: SizesSpec, asked: SizesSpec) -> list[str]:
    """``split: there → asked`` for each split that would become smaller."""
    return [f"{s}: {there.of(s)} → {asked.of(s)}" for s in SPLITS if there.of(s) > asked.of(s)]


def kept_rows(piece: Block, there: SizesSpec | None) -> int:
    """How many rows of a piece are in a dataset of these sizes: the first ones of it."""
    if there is None:
        return 0
    return max(0, min(piece.num_samples, there.of(piece.split) - piece.index * BLOCK_SIZE - piece.start))


def fresh_rows(unit: layout.Unit, there: SizesSpec | None) -> int:
    """How many rows of a unit are in no dataset of these sizes."""
    return sum(piece.num_samples - kept_rows(piece, there) for piece in unit.pieces)


class Kept:
    """The samples of the smaller dataset, as they were written: whatever is no longer that is refused.

    Attributes:
        sizes: Samples per split.
    """

    def __init__(self, place: str) -> None:
        self._dataset = open_dataset(place, field="--out")
        self.sizes = self._dataset.spec.sizes
        self._first = layout.split_rows(self._dataset.spec)
        digests = self._dataset.group[DIGEST]
        self._digests, self._algorithm = digests[:], digests.attrs.get("algorithm", "blake2b")

    @classmethod
    @lru_cache(maxsize=2)
    def of(cls, place: str, digest: str) -> Kept:
        """The samples at a place, opened once per content.

        Raises:
            RequestError: there is no finished dataset.
        """
        return cls(place)

    def fill(self, piece: Block, columns: Mapping[str, NDArray[Any]]) -> int:
        """The rows of a piece that are there, into the first rows of columns of the piece; how many these are.

        Raises:
            RequestError: they are not those that were written.
        """
        if not (count := kept_rows(piece, self.sizes)):
            return 0
        start = self._first[piece.split].start + piece.index * BLOCK_SIZE + piece.start
        low, total = start // BLOCK_SIZE * BLOCK_SIZE, self.sizes.total
        high = min(-(-(start + count) // BLOCK_SIZE) * BLOCK_SIZE, total)
        for position, name in enumerate(self._dataset.variables):
            values = self._read(name, low, high)
            for first in range(low, high, BLOCK_SIZE):
                found = digest_rows(values[first - low : first - low + BLOCK_SIZE], self._algorithm)
                if not np.array_equal(found, self._digests[first // BLOCK_SIZE, position]):
                    raise _damaged(self._dataset.path, f"{name} in rows {first}…")
            columns[name][:count] = values[start - low : start - low + count]
        return count

    def why_not(self) -> str:
        """In what whoever made them differs from here; empty if in nothing that is recorded."""
        return why_not(self._dataset)

    def _read(self, name: str, low: int, high: int) -> NDArray[Any]:
        array = self._dataset.group[name]
        values = np.empty((high - low, *array.shape[1:]), array.dtype)
        with self._dataset.reading():
            if (direct := DirectArray.of(array)) is None or not direct.read(low, high, values):
                values[...] = array[low:high]
        return values


def _damaged(path: str, what: str) -> RequestError:
    expected = "a dataset whose samples are those that were written, to grow (`channelbench verify` says which are not)"
    return RequestError("--out", expected=expected, got=f"{path} ({what})")


def promote(location: Location) -> None:
    """Put the larger dataset, all of which is there, in the place of the smaller one. Called again it goes on where it
    was interrupted; a second process waits for the first."""
    stage = stage_of(location)
    with _alone(stage):
        if not stage.has(ROOT):
            return  # another process has done it
        group, record = read_group(stage.place, field="--out")
        spec = recorded_spec(record, stage.place, "--out")
        _mark(location, group, spec, record.seed)
        wanted, staged = set(_keys(group, spec)), set(stage.files())
        arrays = {key.partition("/")[0] for key in wanted}
        there = (key for key in location.files() if key.partition("/")[0] in arrays)
        digests = {key for key in staged if key.startswith(f"{DIGEST}/c/")}
        # The smaller one's digests go first and the larger one's come last: in between nothing is there by them.
        location.remove([key for key in there if key not in wanted or key in digests])
        for key in sorted(staged & wanted, key=lambda key: (key.startswith(f"{DIGEST}/"), key)):
            location.take(stage, key)
        location.remove([f"{layout.UNFINISHED}/{ROOT}"])
        location.take(stage, ROOT)
        stage.clear()


def _mark(location: Location, group: zarr.Group, spec: ScenarioSpec, seed: int) -> None:
    """Let the dataset say that it is the larger one, and not finished."""
    made = layout.skeleton(spec, seed, str(group.attrs["engine"]), Files.of(group))
    store = location.store()
    put(store, {key: made[key] for key in (f"{layout.UNFINISHED}/{ROOT}",)})
    put(store, {ROOT: made[ROOT]})


def _keys(group: zarr.Group, spec: ScenarioSpec) -> Iterator[str]:
    """The files of all arrays of a dataset."""
    for name in (*coordinates(spec), DIGEST, *names_of(group[DIGEST].attrs["variables"])):
        array: Any = group[name]
        pieces = tuple(array.shards or array.chunks)
        yield f"{name}/{ROOT}"
        for index in np.ndindex(tuple(-(-length // piece) for length, piece in zip(array.shape, pieces, strict=True))):
            yield f"{name}/{array.metadata.encode_chunk_key(index)}"


@contextmanager
def _alone(stage: Location) -> Iterator[None]:
    """Without another process that does the same, where the place is a folder; the system ends it with the process."""
    if stage.folder is None or not stage.folder.exists():
        yield
        return
    import fcntl

    with open(Path(stage.folder) / "lock", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
