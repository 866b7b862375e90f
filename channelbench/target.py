"""What is where a dataset is to be written, and what ``generate`` makes of it: found by reading alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import zarr

from channelbench.errors import RequestError
from channelbench.spec import ScenarioSpec, SizesSpec
from channelbench.store import growing, layout
from channelbench.store.checked import checked_arrays
from channelbench.store.dataset import read_group, reading, recorded_spec
from channelbench.store.files import DIGEST, Files
from channelbench.store.location import Location, is_store_error, said
from channelbench.store.record import Record, names_of
from channelbench.store.schema import variables

__all__ = ["Target", "claim", "look"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is at a place, seen from a spec and a seed.

    Attributes:
        state: ``new``: nothing is there. ``unfinished``: the same dataset, begun. ``complete``: the same. ``smaller``:
            one of fewer samples, which grows. ``growing``: the same, and its growth has begun.
        location: Where the units are written: the place, or the folder within it where the dataset grows.
        there: Samples per split of the smaller dataset, where there is one and all of it can still be read.
        digest: Its content digest.
        left: Samples that are still to be made.
    """

    state: Literal["new", "unfinished", "complete", "smaller", "growing"]
    location: Location
    there: SizesSpec | None = None
    digest: str = ""
    left: int = 0

    @property
    def grows(self) -> bool:
        """Whether there is, or was, a smaller dataset that gives way at the end."""
        return self.state in ("smaller", "growing")


def look(location: Location, spec: ScenarioSpec, seed: int, *, grow: bool = True) -> Target:
    """What is there.

    Args:
        location: The place.
        spec: What is to be made.
        seed: Of it.
        grow: Whether the sizes are somebody's wish: else a dataset of others is another dataset.

    Raises:
        RequestError: something else: a file, another dataset, one that is larger, or no dataset; or it cannot be read.
    """
    if location.folder is not None and location.folder.is_file():
        raise RequestError("--out", expected="a folder to create", got=f"{location} (a file)")
    with _writing(location):
        nothing = location.is_empty() or (not location.has(layout.ROOT) and _is_half_created(location, spec))
    if nothing:
        return Target(state="new", location=location, left=spec.sizes.total)
    group, record, recorded = _read(location)
    stage = growing.stage_of(location)
    begun = _read(stage) if stage.has(layout.ROOT) else None
    if begun is not None and begun[2].sizes == spec.sizes != recorded.sizes:
        _check_same(stage, begun, spec, seed)
        there, digest = (recorded.sizes, record.content_digest) if record.complete else (None, "")
        left = sum(growing.fresh_rows(unit, there) for unit in _missing(stage, begun[0], spec))
        return Target(state="growing", location=stage, there=there, digest=digest, left=left)
    if begun is not None and not record.complete:  # killed while the larger one took its place
        _check_same(stage, begun, spec, seed)
        return Target(state="growing", location=stage)
    if (
        recorded.sizes == spec.sizes
        or not grow
        or _differences(location, group, record, recorded, spec, seed, sizes=False)
    ):
        _check_same(location, (group, record, recorded), spec, seed)
        left = sum(unit.stop - unit.start for unit in _missing(location, group, spec))
        state: Literal["complete", "unfinished"] = "complete" if record.complete else "unfinished"
        return Target(state=state, location=location, left=left)
    _check_growth(location, record, recorded, spec, begun)
    left = spec.sizes.total - recorded.sizes.total
    return Target(state="smaller", location=stage, there=recorded.sizes, digest=record.content_digest, left=left)


def claim(target: Target, spec: ScenarioSpec, seed: int, engine: str, files: Files) -> None:
    """Make the place ours: create what is not there, and see that the rest can be written.

    Raises:
        RequestError: it cannot be.
    """
    location = target.location
    if target.state in ("new", "smaller"):
        with _writing(location):
            if location.has(layout.ROOT):  # another process has been quicker
                _check_same(location, _read(location), spec, seed)
            else:
                if target.grows and not location.is_empty() and not _is_half_created(location, spec):
                    location.clear()  # what a growth that has ended was killed before removing
                layout.create(str(location), spec, seed, engine, files)
    if location.folder is not None and not os.access(location.folder, os.W_OK):
        raise RequestError("--out", expected="a place that can be written", got=f"{location} (read-only)")


@contextmanager
def _writing(location: Location) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_store_error(error) and not isinstance(error, NotImplementedError):  # HTTP takes nothing
            raise
        reason = "read-only" if isinstance(error, NotImplementedError) else said(error)
        raise RequestError("--out", expected="a place that can be written", got=f"{location} ({reason})") from None


Found = tuple[zarr.Group, Record, ScenarioSpec]


def _read(location: Location) -> Found:
    group, record = read_group(location.place, field="--out")
    return group, record, recorded_spec(record, location.place, "--out")


def _missing(location: Location, group: zarr.Group, spec: ScenarioSpec) -> list[layout.Unit]:
    with reading(group, location.place, "--out"):
        return layout.missing_units(group, spec)


def _is_half_created(location: Location, spec: ScenarioSpec) -> bool:
    """Whether a process was killed there before the group existed; anything else in a folder is not ours."""
    skeleton: Mapping[str, Any] = layout.skeleton(spec, 0, "", Files.choose(spec))
    return all(key in skeleton or key.endswith(".partial") for key in location.files())


def _differences(
    location: Location,
    group: zarr.Group,
    record: Record,
    recorded: ScenarioSpec,
    spec: ScenarioSpec,
    seed: int,
    *,
    sizes: bool = True,
) -> list[str]:
    """In what a dataset that is there is another one than is asked for; ``sizes``: also by how many samples."""
    differences = [each for each in recorded.differences(spec) if sizes or not each.startswith("sizes.")]
    if record.seed != seed:
        differences.append(f"seed: {record.seed} → {seed}")
    with reading(group, location.place, "--out"):
        there, ours = names_of(group[DIGEST].attrs["variables"]), list(variables(spec))
    if there != ours:
        differences.append(f"variables: {' '.join(there)} → {' '.join(ours)}")
    return differences


def _check_same(location: Location, found: Found, spec: ScenarioSpec, seed: int) -> None:
    group, record, recorded = found
    if differences := _differences(location, group, record, recorded, spec, seed):
        imported = (
            f"; `{recorded.source.maker}` makes it, anew where it is to be larger" if recorded.source.maker else ""
        )
        raise RequestError(
            "--out",
            expected=f"a new folder, or the dataset of the same spec and seed{imported}",
            got=f"{location}, which differs in {'; '.join(differences)}",
        )
    checked_arrays(group, spec, location.place, "--out")


def _check_growth(
    location: Location, record: Record, recorded: ScenarioSpec, spec: ScenarioSpec, begun: Found | None
) -> None:
    """Whether a dataset of other sizes can become that of the spec."""
    here = _words(recorded.sizes)
    if less := growing.shrinking(recorded.sizes, spec.sizes):
        expected = f"a new folder, or at least as many samples of each split as are there ({here})"
        raise RequestError("--out", expected=expected, got=f"{location}, which would shrink: {', '.join(less)}")
    if not record.complete:
        expected = f"the dataset that was begun there ({here}) to be finished before it grows"
        raise RequestError("--out", expected=expected, got=_words(spec.sizes))
    if begun is not None:
        place = growing.stage_of(location)
        expected = f"the growth that was begun ({_words(begun[2].sizes)}), or {place} to be removed, which ends it"
        raise RequestError("--out", expected=expected, got=_words(spec.sizes))


def _words(sizes: SizesSpec) -> str:
    return f"{sizes.total} samples: train {sizes.train}, val {sizes.val}, test {sizes.test}"
