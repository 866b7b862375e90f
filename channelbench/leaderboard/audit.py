"""Whether the cells of a results folder are what they say: every score is worked out again from its terms.

A cell that is not is left out, with one line that names its file and the field. Nothing is changed on the disk.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from channelbench.contracts import Metric
from channelbench.errors import RequestError
from channelbench.leaderboard.catalogue import find_metric
from channelbench.manifests import MANIFEST, Unreadable, most_common, read_manifest, told_from, with_tasks_of
from channelbench.results import KNOWN_SCHEMAS, UNITS, MetricScore, Result, RunManifest, split_digest
from channelbench.terms import stratum_of

__all__ = ["Audit", "Problem", "agrees", "audit", "score_again"]

ROUNDING = 2.0**-23
"""Terms lie on the disk as float32: each is off by half of this share at most,"""

TINIEST = 2.0**-149
"""and by half of this where it is next to nothing."""

_UNREADABLE = (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file of a results folder, in one line.

    Attributes:
        file: Its path below the folder.
        field: What of it, as ``scores.nmse.value``.
        text: What was expected, and what is there.
        cell: Stem of the file, where it is a cell's.
    """

    file: str
    field: str
    text: str
    cell: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.field}: {self.text}"


@dataclass(frozen=True)
class Audit:
    """A results folder, read.

    Attributes:
        manifest: Its run, with the tasks of all cells; told from the cells where ``run.json`` does not say.
        results: The cells that are what they say, by file name.
        problems: What is wrong with the others.
        unchecked: Names of the cells some of whose scores cannot be worked out again: their metrics are not installed.
    """

    manifest: RunManifest
    results: tuple[Result, ...]
    problems: tuple[Problem, ...]
    unchecked: frozenset[str]


class _WrongError(Exception):
    def __init__(self, field: str, expected: object, got: object) -> None:
        super().__init__()
        self.field, self.text = field, f"expected {expected}, got {got}"


def audit(folder: Path) -> Audit:
    """Read a results folder and check every cell.

    Raises:
        RequestError: it has neither a readable ``run.json`` nor a cell.
    """
    cells: dict[Path, Result] = {}
    problems: dict[Path, Problem] = {}
    for path in sorted((folder / "cells").glob("*.json")):
        try:
            cells[path] = _read(path)
        except _WrongError as error:
            problems[path] = _problem(folder, path, error)
    try:
        manifest, lost = read_manifest(folder), None
    except Unreadable as error:
        if not cells:
            got, remedy = f"{folder} ({error})", "`channelbench run --out FOLDER` makes one"
            raise RequestError("results", expected=f"a folder with a {MANIFEST}", got=got, remedy=remedy) from None
        manifest = told_from(tuple(cells.values()))
        lost = Problem(MANIFEST, "file", f"cannot be read ({error}); the cells say what there is")
    shared = _Shared.of(manifest, cells.values())
    unchecked: set[str] = set()
    for path, cell in cells.items():
        try:
            if not _check(path, cell, shared):
                unchecked.add(cell.name)
        except _WrongError as error:
            problems[path] = _problem(folder, path, error)
    sound = tuple(cell for path, cell in cells.items() if path not in problems)
    wrong = tuple(problems[path] for path in sorted(problems))
    problems_found = wrong if lost is None else (lost, *wrong)
    return Audit(with_tasks_of(manifest, sound), sound, problems_found, frozenset(unchecked))


def _problem(folder: Path, path: Path, error: _WrongError) -> Problem:
    return Problem(path.relative_to(folder).as_posix(), error.field, " ".join(error.text.split())[:300], path.stem)


def _read(path: Path) -> Result:
    """A cell, if it is one of a schema that is known and lies where its content says."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise _WrongError("file", "a cell", f"what cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise _WrongError("file", "a cell", f"a {type(content).__name__}")
    if (schema := content.get("schema_version", KNOWN_SCHEMAS[0])) not in KNOWN_SCHEMAS:
        raise _WrongError("schema_version", " or ".join(KNOWN_SCHEMAS), schema)
    try:
        result = Result(**content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "file"
        raise _WrongError(field, first["msg"].removeprefix("Input should be "), repr(first["input"])[:80]) from None
    except TypeError as error:
        raise _WrongError("file", "a cell", f"what is none ({error})") from None
    if result.name != path.stem:
        twin = path.with_name(f"{result.name}.json")
        got = f"that of {twin.name}" + (", which is there too: a duplicate" if twin.exists() else "")
        raise _WrongError("file name", "the cell of its name", got)
    return result


@dataclass(frozen=True)
class _Shared:
    """What the cells of a folder have in common.

    Attributes:
        preset, test_digest: Of all.
        num_test: Cases by task and condition.
    """

    preset: str
    test_digest: str
    num_test: Mapping[tuple[str, str], int]

    @classmethod
    def of(cls, manifest: RunManifest, cells: Iterable[Result]) -> _Shared:
        known = list(cells)
        digest = manifest.dataset.digest
        counts: dict[tuple[str, str], Counter[int]] = {}
        for cell in known:
            counts.setdefault((cell.task, cell.condition), Counter())[cell.num_test] += 1
        return cls(
            preset=manifest.preset,
            test_digest=split_digest(digest, "test") if digest else most_common(c.test_digest for c in known),
            num_test={key: count.most_common(1)[0][0] for key, count in counts.items()},
        )


def _check(path: Path, cell: Result, shared: _Shared) -> bool:
    """Whether all scores of a cell could be worked out again."""
    for field, expected in (("preset", shared.preset), ("test_digest", shared.test_digest)):
        if (got := getattr(cell, field)) != expected:
            raise _WrongError(field, f"{expected} as the folder's", got or "none")
    if cell.num_test != (usual := shared.num_test[cell.task, cell.condition]):
        raise _WrongError("num_test", f"{usual} as the others of the task", cell.num_test)
    if cell.same_as_start is not None and not 0 <= cell.same_as_start <= cell.num_test:
        raise _WrongError("same_as_start", f"from 0 to the {cell.num_test} cases", cell.same_as_start)
    if cell.status == "failed":
        if cell.scores:
            raise _WrongError("scores", "none of a cell that failed", ", ".join(cell.scores))
        return True
    if not cell.scores:
        raise _WrongError("scores", "those of a cell that did not fail", "none")
    terms = _terms(path.with_suffix(".npz"), cell)
    known = {name: _check_score(name, score, terms[name]) for name, score in cell.scores.items()}
    return all(known.values())


def _terms(path: Path, cell: Result) -> dict[str, NDArray[np.float64]]:
    """The terms of all scores, of the right rows and without NaN."""
    if not path.exists():
        raise _WrongError("terms", path.name, "no such file")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        raise _WrongError("terms", f"a readable {path.name}", f"{type(error).__name__}: {error}") from None
    for name, array in arrays.items():
        what = "unit" if name == UNITS else stratum_of(name)
        if what and array.shape != (cell.num_test,):
            raise _WrongError("terms", f"a {what} of each of the {cell.num_test} cases", f"{list(array.shape)}")
    found = {}
    for name in cell.scores:
        field = f"terms.{name}"
        if name not in arrays:
            raise _WrongError(field, f"an array in {path.name}", "none")
        array = arrays[name]
        if array.ndim != 2 or array.dtype.kind not in "fiub":
            raise _WrongError(field, "numbers [cases, terms]", f"{array.dtype} {list(array.shape)}")
        if len(array) != cell.num_test:
            raise _WrongError(field, f"{cell.num_test} rows", len(array))
        if np.isnan(array).any():
            raise _WrongError(field, "numbers", f"NaN in {int(np.isnan(array).any(axis=1).sum())} rows")
        found[name] = array.astype(np.float64)
    return found


def _check_score(name: str, score: MetricScore, terms: NDArray[np.float64]) -> bool:
    """Whether a score could be worked out again; the one that is stated then agrees."""
    for field in ("value", "low", "high"):
        if math.isnan(getattr(score, field)):
            raise _WrongError(f"scores.{name}.{field}", "a number", "NaN")
    metric = find_metric(name, score)
    if metric is None:
        return False
    try:
        again, low, high = score_again(metric, terms)
    except Exception as error:  # whatever a plugin's metric raises
        raise _WrongError(f"terms.{name}", "what the metric can score", f"{type(error).__name__}: {error}") from None
    if not agrees(score.value, again, low, high):
        raise _WrongError(f"scores.{name}.value", f"{again:.9g} from its terms", f"{score.value:.9g}")
    return True


def score_again(metric: Metric, terms: NDArray[np.float64]) -> tuple[float, float, float]:
    """The score of the terms on the disk, and from where to where it may have been before these were rounded."""
    mean = terms.mean(axis=0)
    moved = np.nan_to_num(ROUNDING * np.abs(terms).mean(axis=0) + TINIEST, posinf=0.0)
    with np.errstate(all="ignore"):  # the ceiling's NMSE of 0 is −∞ dB
        again = low = high = float(metric.finalize(mean))
        for step in np.diag(moved):
            for other in (float(metric.finalize(mean + step)), float(metric.finalize(mean - step))):
                if math.isinf(again):
                    low, high = min(low, other), max(high, other)
                elif math.isfinite(other):
                    low, high = low + min(other - again, 0.0), high + max(other - again, 0.0)
    return again, low, high


def agrees(stated: float, again: float, low: float, high: float) -> bool:
    """Whether a score is the one that its terms give, to the rounding of these; ±∞ is a score too."""
    slack = 1e-9 * abs(again) if math.isfinite(again) else 0.0
    return stated == again or low - slack <= stated <= high + slack
