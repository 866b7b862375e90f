"""Two methods of a results folder, or two folders: paired differences of their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from channelbench.errors import RequestError
from channelbench.folders.finding import results_folder
from channelbench.leaderboard.audit import audit
from channelbench.leaderboard.catalogue import find_metric
from channelbench.leaderboard.estimate import Estimate, Spread, difference_interval, estimate
from channelbench.leaderboard.spread import are_trainings
from channelbench.manifests import MANIFEST
from channelbench.results import Result, read_terms, read_units

__all__ = ["Difference", "compare", "compare_folders", "compare_methods"]

Cells = Mapping[tuple[str, str, str], Mapping[int, Result]]
"""``{(method, task, condition): {seed: cell}}``."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """``a − b`` of one primary score.

    Attributes:
        what: Method or methods, task, condition.
        metric, unit: What is compared.
        a, b: The scores, means over seeds.
        value, low, high: Their difference with its 95 % interval: paired over the independent units of the test split,
            and over trainings where each side has several.
        higher_is_better: Of the metric.
        seeds: How many each side has.
        spread_unknown: Whether a training is in it whose spread over seeds nobody knows.
    """

    what: str
    metric: str
    unit: str
    a: float
    b: float
    value: float
    low: float
    high: float
    higher_is_better: bool
    seeds: tuple[int, int]
    spread_unknown: bool

    @property
    def better(self) -> Literal["A", "B", ""]:
        """``A`` or ``B`` where the interval leaves out 0, else nothing."""
        if self.low <= 0 <= self.high:
            return ""
        return "A" if (self.value > 0) == self.higher_is_better else "B"


def compare(a: str, b: str, results: str | Path = "results") -> list[Difference]:
    """Two results folders where both are such, else two methods of ``results``.

    Raises:
        RequestError: they have nothing in common that can be compared.
    """
    are_folders = [(Path(name) / MANIFEST).exists() for name in (a, b)]
    if all(are_folders):
        return compare_folders(Path(a), Path(b))
    if any(are_folders):
        other = a if are_folders[1] else b
        raise RequestError(
            "compare", expected="two results folders, or two methods", got=f"{a} and {b}: {other} is none"
        )
    return compare_methods(a, b, results_folder(results))


def compare_folders(a: Path, b: Path) -> list[Difference]:
    """What both have cells of: the same method, task and condition.

    Raises:
        RequestError: there is none, or they are scored on other data.
    """
    ours, theirs = _cells(a), _cells(b)
    keys = [key for key in ours if key in theirs]
    if not keys:
        raise RequestError("compare", expected="folders with a cell in common", got=f"{a} and {b}")
    return [_difference(" ".join(key), (a, ours[key]), (b, theirs[key])) for key in keys]


def compare_methods(a: str, b: str, folder: Path) -> list[Difference]:
    """The tasks and conditions that both methods have cells of.

    Raises:
        RequestError: there are none.
    """
    cells = _cells(folder)
    methods = sorted({method for method, _, _ in cells})
    for name in (a, b):
        if name not in methods:
            raise RequestError("compare", expected=f"a method with scores in {folder}", got=name, choices=methods)
    both = [key[1:] for key in cells if key[0] == a and (b, *key[1:]) in cells]
    if not both:
        raise RequestError("compare", expected="methods with a task and condition in common", got=f"{a} and {b}")
    return [_difference(" ".join(key), (folder, cells[a, *key]), (folder, cells[b, *key])) for key in both]


def _cells(folder: Path) -> Cells:
    """Those with scores that are what they say."""
    found: dict[tuple[str, str, str], dict[int, Result]] = {}
    for cell in audit(folder).results:
        if cell.status == "ok":
            found.setdefault((cell.method, cell.task, cell.condition), {})[cell.seed] = cell
    return found


Side = tuple[Path, Mapping[int, Result]]


def _difference(what: str, a: Side, b: Side) -> Difference:
    first, second = next(iter(a[1].values())), next(iter(b[1].values()))
    for field in ("test_digest", "num_test", "primary_metric"):
        got = getattr(first, field), getattr(second, field)
        if got[0] != got[1]:
            raise RequestError(f"{what}: {field}", expected="the same on both sides", got=" and ".join(map(str, got)))
    name = first.primary_metric
    score = first.scores[name]
    ours, theirs = (_estimate(folder, cells, name) for folder, cells in (a, b))
    low, high = difference_interval(ours, theirs)
    return Difference(
        what=what,
        metric=name,
        unit=score.unit,
        a=ours.value,
        b=theirs.value,
        value=ours.value - theirs.value,
        low=low,
        high=high,
        higher_is_better=score.higher_is_better,
        seeds=(len(a[1]), len(b[1])),
        spread_unknown=ours.spread_unknown or theirs.spread_unknown,
    )


def _estimate(folder: Path, cells: Mapping[int, Result], name: str) -> Estimate:
    results = tuple(cells.values())
    terms = {seed: arrays[name] for seed, cell in cells.items() if name in (arrays := read_terms(folder, cell))}
    scores = {seed: cell.scores[name] for seed, cell in cells.items()}
    metric = find_metric(name, results[0].scores[name])
    found = estimate(scores, terms, metric, read_units(folder, results[0]), learned=are_trainings(results))
    if len(results) < 2:
        return found
    variance = float(np.var(list(found.by_seed.values()), ddof=1))
    return found.widened(Spread(variance=variance, freedom=len(results) - 1))
