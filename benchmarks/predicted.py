"""What methods of a results folder predict for one sample: asked again, of the fits that the folder keeps."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench import registry
from channelbench.benchmarks import scoring
from channelbench.benchmarks.job import Job, OpenStage
from channelbench.benchmarks.jobs import splits_of
from channelbench.conditions import Conditions
from channelbench.contracts import FitContext, Method, Observation, Target, Task
from channelbench.errors import RequestError
from channelbench.families import CEILING, family_of
from channelbench.folders.finding import cells_of
from channelbench.leaderboard.provenance import code_states
from channelbench.manifests import Unreadable, read_manifest
from channelbench.results import Result
from channelbench.spec import SPLITS
from channelbench.store import layout
from channelbench.store.dataset import ChannelDataset, SplitView

__all__ = ["Answer", "Place", "Predicted", "place_of", "predicted"]

BEST = 3
"""So many methods of a task are shown where none are named: those of the best scores."""


@dataclass(frozen=True)
class Place:
    """Which sample is meant.

    Attributes:
        sample: Its row in the dataset.
        split: That it is of, ``train``, ``val`` or ``test``.
        position: Within the split.
    """

    sample: int
    split: str
    position: int


@dataclass(frozen=True)
class Answer:
    """What one method says of one case.

    Attributes:
        cell: The cell that it is shown for.
        prediction: As the task's ``check`` gives it, of one case.
        value: Its score on this case alone, by the cell's primary metric.
    """

    cell: Result
    prediction: NDArray[Any]
    value: float

    @property
    def unit(self) -> str:
        """Of the score."""
        return self.cell.scores[self.cell.primary_metric].unit


@dataclass(frozen=True)
class Predicted:
    """A task's case with the sample in it, and what methods say of it.

    Attributes:
        task: The task.
        conditions: Under which it is observed.
        members: Positions within the split of the samples that make up the case, ``[members]``.
        view: The split.
        observation, target: Of this case alone.
        answers: In the order of their scores on the test split, the best first.
    """

    task: Task
    conditions: Conditions
    members: NDArray[np.int64]
    view: SplitView
    observation: Any
    target: Target
    answers: tuple[Answer, ...]


def place_of(dataset: ChannelDataset, sample: int | None) -> Place:
    """The split of a sample; the first of the test split where none is named.

    Raises:
        RequestError: the dataset has no such sample.
    """
    rows = layout.split_rows(dataset.spec)
    if sample is None:
        sample = rows["test"].start
    total = dataset.spec.sizes.total
    if not 0 <= sample < total:
        spans = ", ".join(f"{name} {rows[name].start}–{rows[name].stop - 1}" for name in SPLITS)
        raise RequestError("--sample", expected=f"a sample of the dataset, 0 to {total - 1} ({spans})", got=sample)
    split = next(name for name in SPLITS if sample < rows[name].stop)
    return Place(sample, split, sample - rows[split].start)


def predicted(
    dataset: ChannelDataset,
    folder: Path,
    place: Place,
    *,
    methods: Sequence[str] = (),
    tasks: Sequence[str] = (),
    heard: Callable[[str], None] = lambda line: None,
) -> list[Predicted]:
    """Have methods that a results folder has cells of answer the cases that a sample is in. Formulas are computed
    again; of learned methods the fits are loaded that the folder keeps, and nothing is trained.

    Args:
        dataset: The one that the cells were scored on.
        folder: The results folder.
        place: Of the sample.
        methods: These; by default the best of each task, without floors and references.
        tasks: Of these; by default of all that the folder has.
        heard: Is told in one line what could not be shown, and why.

    Raises:
        RequestError: the cells are of another dataset, there are none of what is named, or nothing can be shown.
    """
    cells = _cells(dataset, folder)
    chosen = [cell for cell in cells if cell.task in _named("--tasks", tasks, {cell.task for cell in cells})]
    wanted = _named("--methods", methods, {cell.method for cell in chosen})
    tried = (
        _of_task(name, own, dataset, folder, place, heard, explicit=bool(methods))
        for name, own in _by_task(cell for cell in chosen if cell.method in wanted).items()
    )
    found = [one for one in tried if one is not None]
    if not found:
        got = f"{', '.join(methods)} on {', '.join(tasks)}" if methods or tasks else f"nothing of {folder}"
        raise RequestError("--results", expected="a prediction that can be made again", got=got)
    return found


def _cells(dataset: ChannelDataset, folder: Path) -> list[Result]:
    """Those with scores on this dataset."""
    there = [cell for cell in cells_of(folder) if cell.method != CEILING and cell.status == "ok"]
    own = [cell for cell in there if cell.dataset == dataset.digest]
    if not own:
        others = sorted({cell.dataset[:12] or "unknown" for cell in there})
        got = f"{folder}, whose cells are of {', '.join(others)}" if there else f"{folder} without scores"
        raise RequestError("--results", expected=f"cells of the dataset with digest {dataset.digest[:12]}", got=got)
    try:
        manifest = read_manifest(folder)
    except Unreadable as error:
        got = f"{folder} ({error})"
        raise RequestError("--results", expected="a folder with a readable run.json", got=got) from None
    if manifest.source is not None or manifest.setting:
        got = f"{folder} ({manifest.setting})"
        raise RequestError("--results", expected="cells whose fits were made on this dataset alone", got=got)
    return own


def _named(field: str, names: Iterable[str], known: set[str]) -> set[str]:
    chosen = set(names)
    for name in sorted(chosen - known):
        raise RequestError(field, expected="one that the results have scores of", got=name, choices=sorted(known))
    return chosen or known


def _by_task(cells: Iterable[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for cell in cells:
        found.setdefault(cell.task, []).append(cell)
    return found


def _of_task(
    name: str,
    cells: Sequence[Result],
    dataset: ChannelDataset,
    folder: Path,
    place: Place,
    heard: Callable[[str], None],
    *,
    explicit: bool,
) -> Predicted | None:
    """The task's case and answers; ``None`` where there is none to show, and a line that says why."""
    task: Task = registry.create("tasks", cells[0].found_at.get("task", name))
    usual = task.default_conditions(dataset.spec)
    labels = {cell.condition: cell.conditions for cell in cells}
    label = usual.label if usual.label in labels else min(labels)
    conditions = task.conditions.of(labels[label])
    if task.reads(conditions) is not None:
        heard(f"{name}: not shown, because its conditions {label} read predictions of another stage")
        return None
    view = dataset.view(place.split)
    case = _case(task, view, conditions, place.position)
    if case is None:
        heard(f"{name}: not shown, because sample {place.sample} is in none of its groups")
        return None
    observation, target = task.observe(view, np.array([case]), conditions)
    answers: list[Answer] = []
    for cell in _best_first([cell for cell in cells if cell.condition == label], explicit=explicit):
        if not explicit and len(answers) == BEST:
            break
        try:
            answers.append(_answer(cell, task, conditions, case, dataset, folder, view, observation, target))
        except RequestError as error:
            if explicit:
                raise
            heard(f"{name}: {cell.method} is not shown: {error}")
    if not answers:
        return None
    states = code_states(read_manifest(folder), [answer.cell for answer in answers])
    for answer in answers:
        if states[answer.cell.name] == "changed":
            heard(f"{name}: {answer.cell.method} is of other code than is installed here, which answers now")
    members = np.atleast_1d(task.samples(view, np.array([case]), conditions)[0])
    return Predicted(task, conditions, members, view, observation, target, tuple(answers))


def _case(task: Task, view: SplitView, conditions: Conditions, position: int) -> int | None:
    """The case that a sample is in, as a test has cases, whichever split it is of."""
    members = np.atleast_1d(task.samples(view, np.array([0]), conditions)[0]).size
    if members == 1:
        return position
    every = task.samples(view, np.arange(view.size // members), conditions)
    found = np.flatnonzero((every == position).any(axis=1))
    return int(found[0]) if len(found) else None


def _best_first(cells: Sequence[Result], *, explicit: bool) -> Iterator[Result]:
    """One cell of each method, of its first seed; of floors and references where they are named, or nothing else is."""
    first: dict[str, Result] = {}
    contestants = [cell for cell in cells if family_of(cell.family).ranked]
    for cell in sorted(cells if explicit else contestants or cells, key=lambda cell: cell.seed):
        first.setdefault(cell.method, cell)
    every = [cell for cell in first.values() if cell.primary_metric in cell.scores]

    def merit(cell: Result) -> float:
        score = cell.scores[cell.primary_metric]
        return -score.value if score.higher_is_better else score.value

    yield from sorted(every, key=merit)


def _answer(
    cell: Result,
    task: Task,
    conditions: Conditions,
    case: int,
    dataset: ChannelDataset,
    folder: Path,
    view: SplitView,
    observation: Observation,
    target: Target,
) -> Answer:
    cases = np.array([case])
    with scoring.threads_for(registry.find("methods", _place(cell))), tempfile.TemporaryDirectory() as scratch:
        method = _fitted(cell, task, conditions, dataset, folder, Path(scratch))
        raw = scoring.answer_of(method, task.card.name)(observation, target, task.genie(view, cases, conditions))
    prediction = task.check(raw, observation, target)
    metrics = task.metrics_for(dataset.spec, conditions)
    metric = next(metric for metric in metrics if metric.card.name == cell.primary_metric)
    return Answer(cell, prediction, float(metric.finalize(metric.accumulate(prediction, target).mean(axis=0))))


def _place(cell: Result) -> str:
    return cell.found_at.get("method", cell.method)


def _fitted(
    cell: Result, task: Task, conditions: Conditions, dataset: ChannelDataset, folder: Path, scratch: Path
) -> Method:
    """The method as it was scored.

    Raises:
        RequestError: it is learned, and the folder does not keep its fit.
    """
    kind: type[Method] = registry.find("methods", _place(cell))
    manifest = read_manifest(folder)
    together = [name for name in manifest.joint_tasks.get(cell.method, ()) if name != cell.task]
    tasks = sorted([task, *(registry.create("tasks", name) for name in together)], key=kind.order)
    job = Job(kind, tuple(tasks), cell.seed, conditions.of_fit(), ((task, conditions),))
    stage = OpenStage(folder=folder, train=dataset, test=dataset, checkpoints=folder / "checkpoints")
    workdir = None
    if kind.learned:
        kept = stage.checkpoints / job.stem
        if not kept.is_dir() or not any(kept.iterdir()):
            expected = f"a method whose fit is kept (`channelbench run --redo {cell.method}` makes it again)"
            raise RequestError("--methods", expected=expected, got=f"{cell.method}, without {kept}")
        workdir = Path(shutil.copytree(kept, scratch / job.stem))  # what is loaded stays as it is
    context = FitContext(
        seed=cell.seed,
        preset=cell.preset,
        data=dataset.key,
        backbone=manifest.backbone or "minilm",
        workdir=workdir,
        code=_code_of(stage.checkpoints / f"{job.stem}.code"),
    )
    method = kind()
    kind.check(context)
    method.fit(splits_of(job, stage), context)
    return method


def _code_of(note: Path) -> str:
    """By which code a fit was made, which tells it from others; empty where that was not noted."""
    return note.read_text().strip() if note.is_file() else ""
