"""Several results folders of one run, made on several machines, as one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path

from channelbench.benchmarks.claim import claim, joined, place
from channelbench.errors import RequestError
from channelbench.folders.finding import folders_of, results_folder
from channelbench.leaderboard.audit import Audit, audit
from channelbench.results import Result, write_atomic

__all__ = ["merge"]


def merge(parts: Sequence[str | Path], out: str | Path, complain: Callable[[str], None] = lambda line: None) -> int:
    """Copy the cells and fits of results folders, and of the stages below them, into one.

    A cell that several have is taken from the first that has scores for it; where these differ nothing is merged.

    Args:
        parts: The folders.
        out: The folder that they are merged into: a new one, or one of the same run.
        complain: Hears of each cell that is left out because it is not what it says.

    Returns:
        How many cells the folder has been given.

    Raises:
        RequestError: the parts are of different runs, or have different scores for one cell. Nothing has been written.
    """
    folders = [results_folder(part, "merge") for part in parts]
    target = place(out)
    if target.absolute() in [folder.absolute() for folder in folders]:
        raise RequestError("--out", expected="another folder than those that are merged", got=str(out))
    below: dict[Path, list[Path]] = {}
    for folder in [*folders, *([target] if target.exists() else [])]:
        for stage in folders_of(folder):
            below.setdefault(stage.relative_to(folder), []).append(stage)
    plans = {name: _plan(name, stages, target / name) for name, stages in below.items()}
    for audits, _ in plans.values():
        for stage, found in audits.items():
            for problem in found.problems:
                complain(f"left out: {stage}/{problem}")
    return sum(_carry_out(target / name, *plan) for name, plan in plans.items())


Audits = dict[Path, Audit]
Chosen = dict[str, tuple[Path, Result]]


def _plan(name: Path, stages: Sequence[Path], target: Path) -> tuple[Audits, Chosen]:
    """What one folder is to be given; that nothing stands against it."""
    audits = {stage: audit(stage) for stage in stages}
    reduce(lambda one, other: joined(one, other, target), (found.manifest for found in audits.values()))
    chosen: Chosen = {}
    for stage, found in audits.items():
        for cell in found.results:
            before = chosen.get(cell.name)
            if before is None or (before[1].status, cell.status) == ("failed", "ok"):
                chosen[cell.name] = stage, cell
            elif cell.status == "ok" and _values(before[1]) != _values(cell):
                metric = cell.primary_metric
                values = [f"{c.scores[metric].value:.9g} in {place}" for place, c in (before, (stage, cell))]
                got = f"{' and '.join(values)}: `channelbench rm` takes one of them out"
                raise RequestError(f"{name / cell.name}: {metric}", expected="one score in all folders", got=got)
    return audits, chosen


def _values(cell: Result) -> dict[str, float]:
    return {name: score.value for name, score in cell.scores.items()}


def _carry_out(target: Path, audits: Audits, chosen: Chosen) -> int:
    for found in audits.values():
        claim(target, found.manifest)
    given = 0
    for name, (stage, _) in chosen.items():
        if stage == target:
            continue
        beside = [path for path in (stage / "cells").glob(f"{_literal(name)}.*") if path.suffix == ".npz"]
        for path in (*beside, stage / "cells" / f"{name}.json"):  # so that a cell never lacks its terms
            write_atomic(target / "cells" / path.name, path.read_bytes())
        given += 1
    for stage in audits:
        for fit in (stage / "checkpoints").glob("*") if stage != target else ():
            copy = target / "checkpoints" / fit.name
            if not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if fit.is_dir() else shutil.copy2)(fit, copy)
    return given


def _literal(name: str) -> str:
    """A name as a pattern that matches it alone."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
