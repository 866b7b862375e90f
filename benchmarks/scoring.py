"""One cell: predict, check, score, measure what it cost."""

from __future__ import annotations

import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.benchmarks.arithmetic import arithmetic
from channelbench.benchmarks.keeping import Keeper
from channelbench.bootstrap import interval
from channelbench.conditions import Conditions
from channelbench.contracts import Asked, Genie, GenieMethod, Method, Metric, Observation, Target, Task
from channelbench.errors import shorten
from channelbench.families import CEILING, family_of
from channelbench.prediction import InvalidPrediction
from channelbench.results import MetricScore, Result
from channelbench.store.dataset import ChannelDataset

__all__ = [
    "Scored",
    "Where",
    "answer_of",
    "ceiling_cell",
    "common_fields",
    "failed_cell",
    "hardware",
    "score",
    "scored_cell",
    "threads_for",
    "versions",
]

CHUNK = 256
"""Samples observed and scored at a time, which bounds memory whatever the test split's size."""

LONGEST_TRACEBACK = 12_000
"""Characters of it in a cell: its two ends."""

Terms = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Where:
    """What a cell was made on.

    Attributes:
        device: A torch device name.
        hardware: Processor or GPU, in words.
        threads: Of the libraries that fitted and scored; 0 where that is not known.
        versions: Of what decides a score.
        arithmetic: In what it was computed, in words; see ``benchmarks.arithmetic``.
    """

    device: str
    hardware: str
    threads: int
    versions: Mapping[str, str]
    arithmetic: str = ""

    @classmethod
    def here(cls, device: str, threads: int, *, learned: bool) -> Where:
        """This process."""
        return cls(device, hardware(device), threads, versions(), arithmetic(device, learned=learned))

    def computing(self, precision: str) -> Where:
        """With what a method says of its own precision."""
        return replace(self, arithmetic=", ".join(part for part in (self.arithmetic, precision) if part))


@dataclass(frozen=True)
class Scored:
    """Terms of all metrics on the test split.

    Attributes:
        terms: ``{metric: [cases, terms]}``.
        units: The independent unit of each case, ``[cases]``; ``None`` where each is one.
        same_as_start: Cases that are answered as the start alone answers them; ``None`` where there is none.
        metrics: What the terms are of.
        strata: What the task tells apart of the cases, ``{stratum: [cases]}``.
    """

    terms: Terms
    units: NDArray[np.int64] | None = None
    same_as_start: int | None = None
    metrics: tuple[Metric, ...] = ()
    strata: Terms = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        terms: Mapping[str, list[NDArray[np.float64]]],
        units: list[NDArray[np.int64]],
        same_as_start: int | None = None,
        strata: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> Scored:
        """The parts of all batches, joined."""
        unit = np.concatenate(units)
        return cls(
            {name: np.concatenate(parts) for name, parts in terms.items()},
            None if len(np.unique(unit)) == len(unit) else unit,
            same_as_start,
            strata=dict(strata or {}),
        )


Answer = Callable[[Observation, Target, Genie], Any]
Start = Callable[[Observation], Any]


def answer_of(method: Method, task: str) -> Answer:
    """What the method answers; test targets stop here, and identities too unless it is a reference that needs them."""
    if isinstance(method, GenieMethod) and family_of(method.card.family).genie:
        return lambda observation, target, genie: method.predict_knowing(task, observation, genie)
    return lambda observation, target, genie: method.predict(task, observation)


def score(
    task: Task,
    dataset: ChannelDataset,
    conditions: Conditions,
    answer: Answer,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    start: Start = lambda observation: None,
    keep: Keeper | None = None,
    secondary: bool = False,
    error_variance: Callable[[Any], NDArray[Any] | None] = lambda observation: None,
) -> tuple[Scored, float]:
    """Terms of all metrics on the test split, and the seconds spent in ``answer``.

    Args:
        task, dataset, conditions: What is scored.
        answer: What is predicted.
        progress: Called with (done, all) cases.
        start: What would be predicted without a network, as ``Method.predict_start`` has it.
        keep: Is given what is predicted.
        secondary: Whether the task's secondary scores are worked out, too.
        error_variance: What the method knows of its errors.
    """
    view, metrics = dataset.view("test"), task.metrics_for(dataset.spec, conditions)
    total = task.size(dataset.spec, "test", conditions)
    collected: dict[str, list[NDArray[np.float64]]] = {}
    further: dict[str, Metric] = {}
    units: list[NDArray[np.int64]] = []
    seconds, same = 0.0, _SameAsStart(task, start)
    for cases in _chunks(task, dataset, conditions):
        observation, target = task.observe(view, cases, conditions)
        genie = task.genie(view, cases, conditions)
        began = time.perf_counter()
        raw = answer(observation, target, genie)
        seconds += time.perf_counter() - began
        prediction = task.check(raw, observation, target)
        metrics = tuple(metric for metric in metrics if metric.can_score(target))
        for metric in metrics:
            collected.setdefault(metric.card.name, []).append(metric.accumulate(prediction, target))
        if secondary:
            asked = Asked(partial(_asked, task, answer, genie), error_variance)
            for metric, terms in task.secondary(view, cases, conditions, prediction, asked):
                collected.setdefault(metric.card.name, []).append(terms)
                further[metric.card.name] = metric
        units.append(task.drops(view, cases, conditions))
        if keep is not None:
            keep.add(prediction, error_variance(observation))
        same.count(prediction, observation, target)
        progress(int(cases[-1]) + 1, total)
    strata = task.strata(view, np.arange(total), conditions)
    found = Scored.of(collected, units, same.cases, strata)
    return replace(found, metrics=(*metrics, *further.values())), seconds


def _asked(task: Task, answer: Answer, genie: Genie, observation: Observation, target: Target) -> NDArray[Any]:
    """What is said of another observation of the same cases, as the task has it."""
    return task.check(answer(observation, target, genie), observation, target)


class _SameAsStart:
    """Counts the cases that are answered as the start alone answers them: ``cases``, ``None`` without a start."""

    def __init__(self, task: Task, start: Start) -> None:
        self.task, self.start = task, start
        self.cases: int | None = None

    def count(self, prediction: NDArray[Any], observation: Observation, target: Target) -> None:
        """Those of one batch.

        Raises:
            InvalidPrediction: the start's answer is no prediction.
        """
        raw = self.start(observation)
        if raw is None:
            return
        try:
            alone = self.task.check(raw, observation, target)
        except InvalidPrediction as error:
            raise InvalidPrediction(f"predict_start: {error}") from error
        self.cases = (self.cases or 0) + int(np.sum(self.task.same_answers(prediction, alone)))


def _chunks(task: Task, dataset: ChannelDataset, conditions: Conditions) -> Iterator[NDArray[np.int64]]:
    """Cases of the test split, a few at a time."""
    total = task.size(dataset.spec, "test", conditions)
    for start in range(0, total, CHUNK):
        yield np.arange(start, min(start + CHUNK, total))


def scored_cell(
    common: Mapping[str, Any], metrics: tuple[Metric, ...], scored: Scored, costs: Mapping[str, float]
) -> Result:
    """A finished cell from its terms."""
    scores = {}
    for metric in metrics:
        terms = scored.terms[metric.card.name]
        value, low, high = interval(metric, terms, scored.units)
        if (exact := metric.exact_interval(terms)) is not None:
            low, high = exact
        scores[metric.card.name] = MetricScore(
            value=value,
            low=low,
            high=high,
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            metric=metric.path,
            parameters=metric.parameters,
            title=metric.card.label,
            note=metric.note(terms),
        )
    return Result(**common, status="ok", scores=scores, costs=dict(costs), same_as_start=scored.same_as_start)


def failed_cell(
    common: Mapping[str, Any], error: BaseException, struck_out: Callable[[str], str] = lambda text: text
) -> Result:
    """A cell that says why it has no scores; ``struck_out`` takes from a text what nobody may read."""
    reason = struck_out(" ".join(f"{type(error).__name__}: {_message(error)}".split()))[:500]
    return Result(**common, status="failed", error=reason, traceback=_traceback(error, struck_out))


def _traceback(error: BaseException, struck_out: Callable[[str], str]) -> str:
    """Where an error was raised, as Python shows it; empty where it was raised elsewhere."""
    if error.__traceback__ is None:
        return ""
    try:
        return shorten(struck_out("".join(traceback.format_exception(error))), LONGEST_TRACEBACK)
    except BaseException:  # what shows an error asks the error, which is a method's doing
        return "".join(traceback.format_tb(error.__traceback__))[-LONGEST_TRACEBACK:]


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as another:  # also a method's doing
        return f"its message cannot be had ({type(another).__name__})"


def ceiling_cell(
    common: Mapping[str, Any], task: Task, dataset: ChannelDataset, conditions: Conditions
) -> tuple[Result, Scored]:
    """The cell of what no method can beat: of the metrics for which that is known."""
    view, units = dataset.view("test"), []
    collected: dict[str, list[NDArray[np.float64]]] = {}
    metrics = task.metrics_for(dataset.spec, conditions)
    for cases in _chunks(task, dataset, conditions):
        _, target = task.observe(view, cases, conditions)
        for metric in metrics:
            if metric.can_score(target) and (terms := task.ceiling_terms(metric, target)) is not None:
                collected.setdefault(metric.card.name, []).append(terms)
        units.append(task.drops(view, cases, conditions))
    every = np.arange(task.size(dataset.spec, "test", conditions))
    scored = Scored.of(collected, units, strata=task.strata(view, every, conditions))
    known = tuple(metric for metric in metrics if metric.card.name in collected)
    return scored_cell(common, known, scored, {}), scored


def common_fields(
    *,
    task: Task,
    train: ChannelDataset,
    test: ChannelDataset,
    conditions: Conditions,
    seed: int,
    preset: str,
    where: Where,
    method: type[Method] | Method | None,
) -> dict[str, Any]:
    """What a cell says whether or not it succeeds; without a method it is the ceiling's.

    ``train`` and ``test`` are the datasets whose splits of these names were used; mostly they are one.
    """
    identity = {
        "method": CEILING,
        "title": family_of(CEILING).title,
        "family": CEILING,
        "reference": "the protocol's own",
        "notes": task.ceiling_note,
    }
    if method is not None:
        card = method.card
        identity = {
            "method": card.name,
            "title": card.label,
            "family": card.family,
            "reference": card.reference,
            "notes": card.notes,
        }
    return identity | {
        "task": task.card.name,
        "primary_metric": task.primary_for(test.view("test"), conditions).card.name,
        "conditions": conditions.changes(),
        "seed": seed,
        "preset": preset,
        "num_test": task.size(test.spec, "test", conditions),
        "train_digest": train.split_digest("train"),
        "test_digest": test.split_digest("test"),
        "dataset": test.digest,
        "device": where.device,
        "hardware": where.hardware,
        "arithmetic": where.arithmetic,
        "threads": where.threads,
        "versions": where.versions,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@contextmanager
def threads_for(method: type[Method], threads: int | None = None) -> Iterator[int]:
    """The libraries' threads for a job, as many as it gives: one for formulas, whose matrices are small, so that two
    threads wait for each other longer than they work; ``threads`` for what is learned, or by default what the
    libraries take."""
    from threadpoolctl import threadpool_limits

    if not method.learned:
        with threadpool_limits(limits=1):
            yield 1
        return
    import torch

    before = torch.get_num_threads()
    if threads is None:
        yield before
        return
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(limits=threads):
            yield threads
    finally:
        torch.set_num_threads(before)


@cache
def versions() -> dict[str, str]:
    """Versions of what decides a score."""
    packages = ("channelbench", "numpy", "scipy", "torch")
    return {"python": platform.python_version()} | {package: version(package) for package in packages}


@cache
def hardware(device: str) -> str:
    """The processor, in words."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    import os

    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {os.cpu_count()} cores"
