"""Making a cell again, and whether it comes out as it was."""

from __future__ import annotations

import glob
import math
import shutil
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from channelbench.benchmarks.jobs import Reporter
from channelbench.benchmarks.runner import run
from channelbench.errors import RequestError
from channelbench.families import CEILING
from channelbench.folders.finding import Found, cells_of
from channelbench.folders.removing import fits_of
from channelbench.generation import last_dataset
from channelbench.leaderboard.spread import are_trainings
from channelbench.manifests import MANIFEST, UNKNOWN, Unreadable, read_manifest
from channelbench.results import Result, RunManifest, write_atomic
from channelbench.store import open_dataset

__all__ = ["Reproduced", "ScoreAgain", "reproduce"]

FORMULA = 1e-6
"""Share of its score by which a formula may differ on another processor: 6e-7 were measured, docs/reproduction.md."""

Z = 1.96 * math.sqrt(2)
"""Two trainings differ by less than so many standard deviations of one, 19 times of 20."""

SAME = ("device", "hardware", "arithmetic", "threads", "versions")
"""Where all of these are the same, a score repeats to the last digit."""


@dataclass(frozen=True)
class ScoreAgain:
    """One score, then and now."""

    name: str
    before: float
    now: float
    tolerance: float | None

    @property
    def agrees(self) -> bool | None:
        """Whether they agree; ``None`` where nobody knows how far apart they may be."""
        if self.before == self.now:
            return True
        return None if self.tolerance is None else abs(self.now - self.before) <= self.tolerance


@dataclass(frozen=True)
class Reproduced:
    """A cell that was made again.

    Attributes:
        before, now: The cell, then and now.
        scores: Each score.
        differs: What is not as it was, of code and machine, in words.
        within: Where the tolerance is from, in words.
    """

    before: Result
    now: Result
    scores: tuple[ScoreAgain, ...]
    differs: tuple[str, ...]
    within: str

    @property
    def agrees(self) -> bool | None:
        """Whether all scores do; ``None`` where that is not known of one, and none disagrees."""
        verdicts = [score.agrees for score in self.scores]
        return False if False in verdicts else None if None in verdicts else True


def reproduce(
    found: Found,
    *,
    data: str | Path | None,
    out: Path,
    with_fits: bool = False,
    reporter: Reporter | None = None,
) -> Reproduced:
    """Fit and score one cell again, in a folder of its own.

    Args:
        found: The cell.
        data: The dataset that it was scored on; by default the last one that was generated in this folder.
        out: A folder that is not there yet, or is empty.
        with_fits: Whether to score with the fits beside the cell, instead of fitting again.
        reporter: Hears of the progress.

    Raises:
        RequestError: it cannot be made again from what it says, or the dataset is another. Nothing has been written.
    """
    cell, manifest = found.result, _manifest(found)
    tasks = manifest.joint_tasks.get(cell.method, (cell.task,))
    place = _dataset(cell, data)
    if with_fits:
        _take_fits(found, out)
    places = {c.task: c.found_at["task"] for c in cells_of(found.folder) if "task" in c.found_at}
    run(
        data=place,
        out=out,
        methods=[cell.found_at.get("method", cell.method)],
        tasks=[places.get(task, task) for task in tasks],
        conditions=[cell.conditions],
        preset=cell.preset,
        seeds=cell.seed + 1,
        device="cuda" if cell.device.startswith("cuda") else "cpu",
        backbone=manifest.backbone or "minilm",
        only=[cell.name],
        reporter=reporter,
    )
    now = next((again for again in cells_of(out) if again.name == cell.name), None)
    if now is None:
        raise RequestError("CELL", expected="one that its method and task still make", got=cell.name)
    if now.status == "failed":
        raise RequestError("reproduce", expected="a method that does not fail", got=f"{cell.name}: {now.error}")
    differs = tuple(_differences(cell, now))
    within, share, absolute = _tolerance(found, cell, now)
    scores = [
        ScoreAgain(
            name, score.value, now.scores[name].value, absolute.get(name) if share is None else share * abs(score.value)
        )
        for name, score in cell.scores.items()
        if name in now.scores
    ]
    return Reproduced(cell, now, tuple(scores), differs, within)


def _manifest(found: Found) -> RunManifest:
    cell = found.result
    if cell.method == CEILING or cell.status == "failed":
        got = f"{found.path} (of the {cell.method})" if cell.method == CEILING else f"{found.path} (failed)"
        raise RequestError("CELL", expected="a method's cell with scores", got=got)
    try:
        manifest = read_manifest(found.folder)
    except Unreadable as error:
        raise RequestError("CELL", expected="one beside a readable run.json", got=f"{found.path} ({error})") from None
    if manifest.dataset.fitted:
        got = f"{found.path}: `run --test-seed-file` makes it again, for whoever has the secret"
        raise RequestError("CELL", expected="one that was not scored on a hidden test", got=got)
    if manifest.source is not None or manifest.setting:
        got = f"{found.path} ({manifest.setting}): `run --redo {cell.method}` makes it again with its stages"
        raise RequestError("CELL", expected="one whose fit was made on its own dataset alone", got=got)
    return manifest


def _take_fits(found: Found, out: Path) -> None:
    """Copy the fits of a cell, and the run that they are of: another run would not go on with them.

    Raises:
        RequestError: there are none of what is learned.
    """
    fits = fits_of(found.folder, found.result)
    if not fits and are_trainings([found.result]):
        expected = "a cell whose fit is beside it, in checkpoints/"
        raise RequestError("CELL", expected=expected, got=f"{found.path} without")
    for fit in fits:
        shutil.copytree(fit, out / "checkpoints" / fit.name)
        for note in fit.parent.glob(f"{glob.escape(fit.name)}.*"):
            shutil.copy2(note, out / "checkpoints" / note.name)
    manifest = read_manifest(found.folder).model_copy(update={"suite": UNKNOWN})  # it is made again as of another suite
    write_atomic(out / MANIFEST, manifest.model_dump_json().encode())


def _dataset(cell: Result, data: str | Path | None) -> str | Path:
    place = last_dataset() if data is None else data
    expected = f"the dataset with digest {cell.dataset[:12]}"
    if place is None:
        raise RequestError("--data", expected=expected, got="nothing")
    if (digest := open_dataset(place).digest) != cell.dataset:
        raise RequestError("--data", expected=expected, got=f"{place} with {digest[:12]}")
    return place


def _differences(before: Result, now: Result) -> list[str]:
    found = []
    if before.code_digest != now.code_digest:
        found.append(f"code {before.code_digest[:12] or 'unknown'} → {now.code_digest[:12] or 'unknown'}")
    for field in SAME:
        old, new = getattr(before, field), getattr(now, field)
        if old == new:
            continue
        if isinstance(old, Mapping):
            found += [
                f"{name} {old.get(name)} → {new.get(name)}" for name in {**old, **new} if old.get(name) != new.get(name)
            ]
        else:
            found.append(f"{field} {old or 'unknown'} → {new or 'unknown'}")
    return found


def _tolerance(found: Found, before: Result, now: Result) -> tuple[str, float | None, dict[str, float]]:
    """In words; as a share of the score; or in its unit, by score."""
    if all(getattr(before, field) == getattr(now, field) for field in SAME) and before.device == "cpu":
        return "to the last digit, as on one processor with one number of threads", 0.0, {}
    if not are_trainings([before]):
        return f"within {FORMULA:g} of the score, as formulas on different processors", FORMULA, {}
    key = (before.method, before.task, before.condition)
    seeds = [c for c in cells_of(found.folder) if (c.method, c.task, c.condition) == key and c.status == "ok"]
    if len(seeds) < 2:
        return (
            "unknown: on another machine a training is another, and no further seed says how far they lie apart",
            None,
            {},
        )
    spread = {name: Z * statistics.stdev(c.scores[name].value for c in seeds) for name in before.scores}
    return f"within what two of its {len(seeds)} seeds may differ by, as trainings on different machines", None, spread
