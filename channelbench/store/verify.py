"""``verify``: is every byte there and the one that was written, and does the content make sense?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.spec import BLOCK_SIZE, SPLITS
from channelbench.store import exact_rows, layout
from channelbench.store.dataset import ChannelDataset, open_dataset
from channelbench.store.direct import DirectArray
from channelbench.store.files import DIGEST, digest_rows
from channelbench.store.power import power_problems
from channelbench.variables import Variable

__all__ = ["CHECKS", "Finding", "verify"]

CHECKS = ("complete", "chunks", "digests", "nan", "zeros", "power", "splits", "paths")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: ``problems`` is empty where all is well; ``notes`` say what has not been looked at."""

    check: str
    question: str
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(frozen=True)
class _UnitReport:
    start: int
    changed: tuple[tuple[str, int], ...]
    nan: tuple[str, ...]
    zero_rows: tuple[tuple[str, int], ...]
    power: dict[str, NDArray[np.float64]]


def verify(
    path: str | Path, *, progress: Callable[[int, int], None] = lambda done, total: None, again: bool = True
) -> list[Finding]:
    """Read a dataset once and report on it, check by check, in the order of ``CHECKS``.

    Args:
        path: Where it is.
        progress: Called with (blocks read, all blocks).
        again: Whether channels are compared with their paths whatever has passed before; else what passes is noted in
            this folder, and the same content is not compared there again.

    Raises:
        RequestError: there is no dataset of this schema at ``path``.
    """
    dataset = open_dataset(path, field="data", allow_unfinished=True)
    todo = {unit.index for unit in layout.missing_units(dataset.group, dataset.spec)}
    ready = [unit for unit in _units(dataset) if unit.index not in todo]
    reports: list[_UnitReport] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, report in enumerate(pool.map(lambda unit: _inspect_unit(dataset, unit), ready), 1):
            reports.append(report)
            progress(done, len(ready))
    findings = [
        Finding("complete", "is the dataset finished?", tuple(_completeness(dataset, todo))),
        Finding("chunks", "is every file there? (Zarr reads lost ones as zeros)", tuple(_chunks(dataset, todo))),
        Finding(
            "digests",
            "is every byte the one that was written?",
            (*_content(dataset, todo), *(f"{name} in rows {first}…" for r in reports for name, first in r.changed)),
        ),
        Finding(
            "nan",
            "no NaN or infinity where none may be?",
            tuple(f"{name} in rows {report.start}…" for report in reports for name in report.nan),
        ),
        Finding(
            "zeros",
            "no all-zero channel?",
            tuple(f"{name} of sample {row}" for report in reports for name, row in report.zero_rows),
        ),
        Finding("power", "unit mean power per element?", tuple(_power(dataset, reports))),
        Finding("splits", "no drop, position or trajectory in two splits?", tuple(_leakage(dataset))),
    ]
    return [*findings, _paths(dataset, sound=all(finding.ok for finding in findings), again=again)]


def _paths(dataset: ChannelDataset, *, sound: bool, again: bool) -> Finding:
    """The comparison of ``exact_rows``, where nothing else is wrong."""
    question = f"is the channel the exact sum over its paths, in {exact_rows.ROWS} samples of each split?"
    if not sound:
        return Finding("paths", question, (), ("not checked: something else is wrong",))
    if not again and exact_rows.has_passed(dataset.digest):
        return Finding("paths", question, (), ("this content has passed before",))
    if reason := exact_rows.why_not(dataset):
        return Finding("paths", question, (), (f"not checked: {reason}",))
    try:
        problems = tuple(exact_rows.compare(dataset))
    except Exception as error:  # a third party's, or a lack of memory, says nothing about the dataset
        reason = str(error) if isinstance(error, NotImplementedError | RequestError) else repr(error)
        return Finding("paths", question, (), (f"not checked: {reason}",))
    if not problems and not again:
        exact_rows.note_pass(dataset.digest)
    return Finding("paths", question, problems)


def _units(dataset: ChannelDataset) -> list[layout.Unit]:
    return layout.units(dataset.spec, layout.unit_rows(dataset.group))


def _inspect_unit(dataset: ChannelDataset, unit: layout.Unit) -> _UnitReport:
    """Everything that needs the unit's bytes, in one read of them."""
    blocks = range(unit.start, unit.stop, BLOCK_SIZE)
    digests = dataset.group[DIGEST]
    expected = digests[unit.start // BLOCK_SIZE : -(-unit.stop // BLOCK_SIZE)]
    algorithm = digests.attrs.get("algorithm", "blake2b")
    los = _read(dataset, "los", unit)
    changed, nan, zero_rows, power = [], [], [], {}
    for position, (name, variable) in enumerate(dataset.variables.items()):
        values = _read(dataset, name, unit)
        if values is None:
            changed.append((name, unit.start))
            continue
        for block, start in enumerate(blocks):
            part = values[start - unit.start : start - unit.start + BLOCK_SIZE]
            if not np.array_equal(digest_rows(part, algorithm), expected[block, position]):
                changed.append((name, start))
        if name.startswith("h_"):
            pairs = values.view(np.float32).reshape(len(values), -1)
            with np.errstate(all="ignore"):  # flipped bits make infinities, which the NaN check reports
                power[name] = np.vecdot(pairs, pairs).astype(np.float64) / (pairs.shape[1] // 2)
            zero_rows += [(name, unit.start + int(row)) for row in np.flatnonzero(power[name] == 0)]
        # A sum of squares that is finite has no part that is not: the channels need no second look.
        if values.dtype.kind in "fc" and not (name in power and np.isfinite(power[name]).all()):
            finite = np.isfinite(values.view(np.float32)).reshape(len(values), -1).all(axis=1)
            if not (finite | _may_be_nan(variable, los, len(values))).all():
                nan.append(name)
    return _UnitReport(unit.start, tuple(changed), tuple(nan), tuple(zero_rows), power)


def _may_be_nan(variable: Variable, los: NDArray[Any] | None, rows: int) -> NDArray[np.bool_]:
    if variable.nan == "nlos" and los is not None:
        return ~los
    return np.full(rows, variable.nan == "anywhere")


def _read(dataset: ChannelDataset, name: str, unit: layout.Unit) -> NDArray[Any] | None:
    """A unit's rows, or None where Zarr cannot make sense of the file: cut short, or with a damaged index."""
    array = dataset.group[name]
    if direct := DirectArray.of(array):
        values = np.empty((unit.stop - unit.start, *array.shape[1:]), array.dtype)
        if direct.read(unit.start, unit.stop, values):
            return values
    try:
        return np.asarray(array[unit.start : unit.stop])
    except ValueError:
        return None


def _completeness(dataset: ChannelDataset, todo: set[int]) -> Iterator[str]:
    if todo:
        yield f"{len(todo)} of {len(_units(dataset))} blocks are not written"
    elif not dataset.group.attrs["complete"]:
        yield "all blocks are written, but the dataset is not marked complete: run the same generate command again"


def _chunks(dataset: ChannelDataset, todo: set[int]) -> Iterator[str]:
    """Files of finished units that are not in the store."""
    if todo:
        return
    for name in (*dataset.variables, DIGEST):
        array = dataset.group[name]
        in_file = array.shards[0] // array.chunks[0] if array.shards else 1
        files = -(-array.shape[0] // (array.shards or array.chunks)[0])
        if lost := files - array.nchunks_initialized // in_file:
            yield f"{name}: {lost} of {files} files are missing"


def _content(dataset: ChannelDataset, todo: set[int]) -> Iterator[str]:
    if todo or not dataset.group.attrs["complete"]:
        return
    found = layout.content_digest(dataset.spec, dataset.seed, dataset.group[DIGEST][:])
    if found != dataset.digest:
        yield f"content digest {dataset.digest[:12]}… in the attributes, {found[:12]}… from spec, seed and blocks"


def _power(dataset: ChannelDataset, reports: Iterable[_UnitReport]) -> Iterator[str]:
    reports = list(reports)
    for name in (f"h_{band}" for band in dataset.spec.bands):
        parts = [(report.start, report.power[name]) for report in reports if name in report.power]
        yield from power_problems(dataset.spec, name, parts)


def _leakage(dataset: ChannelDataset) -> Iterator[str]:
    """A drop number, or a position and velocity, that two splits share; and split marks that do not fit the sizes."""
    group = dataset.group
    rows = layout.split_rows(dataset.spec)
    marks = np.asarray(group["split"][:])
    for code, split in enumerate(SPLITS):
        if not (marks[rows[split]] == code).all():
            yield f"rows of {split} are not all marked {code}"
    motion = np.concatenate([group["ue_position"][:], group["ue_velocity"][:]], axis=1)
    keys: dict[str, NDArray[Any]] = {
        "drop": np.asarray(group["drop"][:]),
        "position and velocity": np.ascontiguousarray(motion).view([("", motion.dtype)] * motion.shape[1]).ravel(),
    }
    for what, values in keys.items():
        seen = {split: np.unique(values[rows[split]]) for split in SPLITS}
        for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
            shared = np.intersect1d(seen[first], seen[second])
            if len(shared):
                yield f"{len(shared)} values of {what} stand in both {first} and {second}"
