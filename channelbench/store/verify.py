"""``verify``: is every byte there and the one that was written, and does the content make sense?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.core.sync import sync

from channelbench.errors import RequestError
from channelbench.spec import BLOCK_SIZE, SPLITS
from channelbench.store import exact_rows, layout
from channelbench.store.dataset import ChannelDataset, open_dataset
from channelbench.store.direct import DirectArray
from channelbench.store.files import DIGEST, FILE_BYTES, MAX_BLOCKS, digest_rows
from channelbench.store.location import is_network_error
from channelbench.store.metadata import disagreements, metadata_digests
from channelbench.store.power import power_notes, power_problems
from channelbench.store.separation import too_near
from channelbench.variables import Variable

__all__ = ["CHECKS", "Finding", "verify"]

CHECKS = ("complete", "metadata", "chunks", "digests", "nan", "zeros", "power", "splits", "paths")


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
class _Piece:
    """Rows that are read together: whole blocks, all of them written."""

    start: int
    stop: int


@dataclass(frozen=True)
class _Report:
    start: int
    changed: tuple[tuple[str, int], ...]
    nan: tuple[str, ...]
    zero_rows: tuple[tuple[str, int], ...]
    power: dict[str, NDArray[np.float64]]


def verify(
    path: str | Path, *, progress: Callable[[int, int], None] = lambda done, total: None, again: bool = True
) -> list[Finding]:
    """Read a dataset once and report on it, check by check, in the order of ``CHECKS``. Of an unfinished one, what is
    written.

    Args:
        path: Where it is.
        progress: Called with (blocks read, all blocks).
        again: Whether channels are compared with their paths whatever has passed before; else what passes is noted in
            this folder, and the same content is not compared there again.

    Raises:
        RequestError: there is no dataset of this schema at ``path``.
    """
    dataset = open_dataset(path, field="data", allow_unfinished=True)
    with dataset.reading():
        written = dataset.group[DIGEST][:].any(axis=(1, 2))
        todo = layout.missing_units(dataset.group, dataset.spec)
    there = np.repeat(written, BLOCK_SIZE)[: dataset.spec.sizes.total]
    pieces, reports = list(_pieces(dataset, written)), list[_Report]()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, report in enumerate(pool.map(lambda piece: _inspect(dataset, piece), pieces), 1):
            reports.append(report)
            progress(done, len(pieces))
    changed = [each for report in reports for each in report.changed]
    metadata, notes = _metadata(dataset)
    findings = [
        Finding("complete", "is the dataset finished?", tuple(_completeness(dataset, len(todo)))),
        Finding("metadata", "are coordinates, units, shapes and attributes those that were written?", metadata, notes),
        Finding(
            "chunks",
            "is every file there? (Zarr reads lost ones as zeros)",
            tuple(_chunks(dataset, written, set(changed))),
        ),
        Finding(
            "digests",
            "is every byte the one that was written?",
            (*_content(dataset, bool(todo)), *(f"{name} in rows {first}…" for name, first in changed)),
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
        _power(dataset, reports, there),
        Finding("splits", _splits_question(dataset), tuple(_leakage(dataset, there))),
    ]
    return [*findings, _paths(dataset, wrong={finding.check for finding in findings if not finding.ok}, again=again)]


def _paths(dataset: ChannelDataset, *, wrong: set[str], again: bool) -> Finding:
    """The comparison of ``exact_rows``, where nothing else is wrong."""
    question = f"is the channel the exact sum over its paths, in {exact_rows.ROWS} samples of each split?"
    if wrong:
        reason = "the dataset is not finished" if wrong == {"complete"} else "something else is wrong"
        return Finding("paths", question, (), (f"not checked: {reason}",))
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


def _pieces(dataset: ChannelDataset, written: NDArray[np.bool_]) -> Iterator[_Piece]:
    """The written blocks, in pieces as ``generate`` would write them: a copy's files may be of any size."""
    total, sample = dataset.spec.sizes.total, 1
    for name in dataset.variables:
        array = dataset.group[name]
        sample = max(sample, int(np.prod(array.shape[1:], dtype=object)) * array.dtype.itemsize)
    natural = max(1, min(MAX_BLOCKS, FILE_BYTES // (sample * BLOCK_SIZE))) * BLOCK_SIZE
    step = min(natural, layout.unit_rows(dataset.group))
    for start in range(0, total, step):
        stop = min(start + step, total)
        if written[start // BLOCK_SIZE : -(-stop // BLOCK_SIZE)].all():
            yield _Piece(start, stop)


def _inspect(dataset: ChannelDataset, piece: _Piece) -> _Report:
    """Everything that needs the samples' bytes, in one read of them."""
    blocks = range(piece.start, piece.stop, BLOCK_SIZE)
    digests = dataset.group[DIGEST]
    expected = digests[piece.start // BLOCK_SIZE : -(-piece.stop // BLOCK_SIZE)]
    algorithm = digests.attrs.get("algorithm", "blake2b")
    los = _read(dataset, "los", piece) if "los" in dataset.variables else None
    changed, nan, zero_rows, power = [], [], [], {}
    for position, (name, variable) in enumerate(dataset.variables.items()):
        values = _read(dataset, name, piece)
        if values is None:
            changed += [(name, start) for start in blocks]
            continue
        for block, start in enumerate(blocks):
            part = values[start - piece.start : start - piece.start + BLOCK_SIZE]
            if not np.array_equal(digest_rows(part, algorithm), expected[block, position]):
                changed.append((name, start))
        if name.startswith("h_"):
            pairs = values.view(np.float32).reshape(len(values), -1)
            with np.errstate(all="ignore"):  # flipped bits make infinities, which the NaN check reports
                power[name] = np.vecdot(pairs, pairs).astype(np.float64) / (pairs.shape[1] // 2)
            zero_rows += [(name, piece.start + int(row)) for row in np.flatnonzero(power[name] == 0)]
        # A sum of squares that is finite has no part that is not: the channels need no second look.
        if values.dtype.kind in "fc" and not (name in power and np.isfinite(power[name]).all()):
            finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
            if not (finite | _may_be_nan(variable, los, len(values))).all():
                nan.append(name)
    return _Report(piece.start, tuple(changed), tuple(nan), tuple(zero_rows), power)


def _may_be_nan(variable: Variable, los: NDArray[Any] | None, rows: int) -> NDArray[np.bool_]:
    if variable.nan == "nlos" and los is not None:
        return ~los
    return np.full(rows, variable.nan == "anywhere")


def _read(dataset: ChannelDataset, name: str, piece: _Piece) -> NDArray[Any] | None:
    """A piece's rows, or None where nobody can make sense of a file: cut short, with a damaged index, or no file."""
    array = dataset.group[name]
    try:
        if direct := DirectArray.of(array):
            values = np.empty((piece.stop - piece.start, *array.shape[1:]), array.dtype)
            if direct.read(piece.start, piece.stop, values):
                return values
        return np.asarray(array[piece.start : piece.stop])
    except Exception as error:  # foreign bytes make codecs raise all kinds
        if is_network_error(error, dataset.group.store):
            raise
        return None


def _completeness(dataset: ChannelDataset, todo: int) -> Iterator[str]:
    if todo:
        total = len(layout.units(dataset.spec, layout.unit_rows(dataset.group)))
        yield f"{todo} of {total} blocks are not written"
    elif not dataset.record.complete:
        yield "all blocks are written, but the dataset is not marked complete: run the same generate command again"


def _metadata(dataset: ChannelDataset) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is wrong with all that is no sample, and what has not been compared."""
    problems, notes, record = list(disagreements(dataset.group)), [], dataset.record
    marks = record.metadata_digest, record.storage_digest
    if not record.complete:
        notes += ["not compared with a digest, which comes when the dataset is finished"]
    elif None in marks and marks != (None, None):
        problems += ["one of metadata_digest and storage_digest is missing"]
    elif marks == (None, None):
        notes += ["not compared with a digest: this dataset has none of its metadata"]
    else:
        try:
            with dataset.reading():
                found = metadata_digests(dataset.group, dataset.spec)
        except RequestError as error:
            problems += [f"coordinates cannot be read: {error.got}"]
        else:
            if found["metadata_digest"] != record.metadata_digest:
                there, here = f"{record.metadata_digest or 'none'}"[:12], found["metadata_digest"][:12]
                problems += [f"metadata digest {there}… in the attributes, {here}… from what is there"]
            if found["storage_digest"] != record.storage_digest:
                notes += ["stored in other chunks or codecs than when it was made, as a copy may be"]
    return tuple(problems), tuple(notes)


def _chunks(dataset: ChannelDataset, written: NDArray[np.bool_], changed: set[tuple[str, int]]) -> Iterator[str]:
    """Files of written blocks that are not in the store. One is not lost where what is read in its stead has the
    digests of what was written: many writers leave out what holds nothing but zeros."""
    for name in dataset.variables:
        array = dataset.group[name]
        rows, there = (array.shards or array.chunks)[0], _keys(array)
        files = lost = 0
        for key, first in _expected(array):
            blocks = range(first // BLOCK_SIZE, -(-min(first + rows, array.shape[0]) // BLOCK_SIZE))
            if written[blocks.start : blocks.stop].all():
                files += 1
                lost += key not in there and any((name, block * BLOCK_SIZE) in changed for block in blocks)
        if lost:
            yield f"{name}: {lost} of {files} files are missing"


def _keys(array: Any) -> set[str]:
    async def listed() -> set[str]:
        return {key async for key in array.store.list_prefix(f"{array.path}/")}

    return sync(listed())


def _expected(array: Any) -> Iterator[tuple[str, int]]:
    """The key of each file of an array, and its first row."""
    pieces = tuple(array.shards or array.chunks)
    grid = tuple(-(-length // piece) for length, piece in zip(array.shape, pieces, strict=True))
    for index in np.ndindex(grid):
        yield f"{array.path}/{array.metadata.encode_chunk_key(index)}", index[0] * pieces[0]


def _content(dataset: ChannelDataset, unfinished: bool) -> Iterator[str]:
    if unfinished or not dataset.record.complete:
        return
    found = layout.content_digest(dataset.spec, dataset.seed, dataset.group[DIGEST][:])
    if found != dataset.digest:
        yield f"content digest {dataset.digest[:12]}… in the attributes, {found[:12]}… from spec, seed and blocks"


def _power(dataset: ChannelDataset, reports: list[_Report], there: NDArray[np.bool_]) -> Finding:
    problems = list[str]()
    try:
        with dataset.reading():
            drops = np.asarray(dataset.group["drop"][:])
    except RequestError:  # other checks say so
        drops = None
    for name in (f"h_{band}" for band in dataset.spec.bands):
        parts = [(report.start, report.power[name]) for report in reports if name in report.power]
        problems += power_problems(dataset.spec, name, parts, drops)
    notes = power_notes(dataset.spec, drops, there)
    return Finding("power", "unit mean power per element?", tuple(problems), tuple(notes))


def _splits_question(dataset: ChannelDataset) -> str:
    question = "no drop, position or trajectory in two splits?"
    if apart := dataset.spec.source.separation_m(dataset.spec.bands):
        question = f"{question.removesuffix('?')}, and users of two splits at least {apart:.4g} m apart?"
    return question


def _leakage(dataset: ChannelDataset, there: NDArray[np.bool_]) -> Iterator[str]:
    """A drop number, or a position and velocity, that two splits share; and split marks that do not fit the sizes."""
    group = dataset.group
    columns: dict[str, NDArray[Any]] = {}
    for name in ("split", "drop", "ue_position", "ue_velocity"):
        if name not in dataset.variables:
            continue
        try:
            with dataset.reading():
                columns[name] = np.asarray(group[name][:])
        except RequestError:
            yield f"not known, because {name} cannot be read"
            return
    rows = {split: np.arange(span.start, span.stop) for split, span in layout.split_rows(dataset.spec).items()}
    rows = {split: numbers[there[numbers]] for split, numbers in rows.items()}
    for code, split in enumerate(SPLITS):
        if not (columns["split"][rows[split]] == code).all():
            yield f"rows of {split} are not all marked {code}"
    keys: dict[str, NDArray[Any]] = {"drop": columns["drop"]}
    if "ue_position" in columns:
        known = [name for name in ("ue_position", "ue_velocity") if name in columns]
        motion = np.ascontiguousarray(np.concatenate([columns[name] for name in known], axis=1))
        what = " and ".join(name.removeprefix("ue_") for name in known)
        keys[what] = motion.view([("", motion.dtype)] * motion.shape[1]).ravel()
    for what, values in keys.items():
        seen = {split: np.unique(values[rows[split]]) for split in SPLITS}
        for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
            shared = np.intersect1d(seen[first], seen[second])
            if len(shared):
                yield f"{len(shared)} values of {what} stand in both {first} and {second}"
    apart = dataset.spec.source.separation_m(dataset.spec.bands)
    if apart and "ue_position" in columns:
        yield from too_near({split: columns["ue_position"][rows[split]] for split in SPLITS}, apart)
