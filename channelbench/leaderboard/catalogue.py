"""What the cells of a folder are about: the tasks and metrics they name, wherever these are installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from channelbench import registry
from channelbench.contracts import GenieMethod, Metric, Task
from channelbench.errors import RequestError
from channelbench.results import MetricScore, Result, RunManifest, TaskEntry

__all__ = ["find_metric", "is_genie", "is_third_party", "known_here", "observed", "sentence", "task_entry"]


def find_metric(name: str, score: MetricScore) -> Metric | None:
    """The metric that made a score, if it is installed here: a results folder may come from elsewhere."""
    try:
        if not score.metric:  # earlier cells did not say where it is found
            return registry.create("metrics", name)
        kind: type[Metric] = registry.find("metrics", score.metric)
        return kind(**score.parameters)
    except Exception:  # whatever a plugin raises, the cells are there to be shown
        return None


def is_genie(result: Result) -> bool:
    """Whether the method of a cell was told which samples it saw; of one that is not installed here nobody knows."""
    try:
        return issubclass(registry.find("methods", result.found_at.get("method", result.method)), GenieMethod)
    except Exception:  # whatever a plugin raises, its cells are there to be shown
        return False


def is_third_party(result: Result) -> bool:
    """Whether the method of a cell is none of this package's, as far as is known here."""
    name = result.found_at.get("method", result.method)
    if ":" in name:
        return not name.startswith("channelbench.")
    try:
        return not str(registry.find("methods", name).__module__).startswith("channelbench.")
    except Exception:  # whatever a plugin raises, its cells are there to be shown
        return True


class Known(NamedTuple):
    """What a method is called and of which family it is."""

    title: str
    family: str


def known_here(method: str) -> Known:
    """Of a method without a cell: what its card says, if it is installed here."""
    try:
        card = registry.find("methods", method).card
        return Known(card.label, card.family)
    except Exception:  # as above
        return Known(method, "unknown")


def task_entry(manifest: RunManifest, name: str) -> TaskEntry:
    """What is known of a task: what the run has left word of, else its card if it is installed here."""
    if name in manifest.task_entries:
        return manifest.task_entries[name]
    try:
        task: type[Task] = registry.find("tasks", name)
    except RequestError:
        return TaskEntry(title=name, description="")
    fields = {field: info.default for field, info in task.conditions.model_fields.items()}
    return TaskEntry(title=task.card.label, description=task.card.description, fields=fields)


def sentence(manifest: RunManifest, name: str, condition: str, changes: Mapping[str, Any]) -> str:
    """What is observed of a task under a condition, from the run or, if it did not say, from the task installed here;
    else nothing."""
    known = task_entry(manifest, name).sentences.get(condition)
    if known is not None:
        return known
    try:
        task: type[Task] = registry.find("tasks", name)
        return task.conditions.of({key: v for key, v in changes.items() if task.conditions.has([key])}).sentence
    except RequestError:
        return ""


def observed(sentences: Mapping[str, str]) -> str:
    """One sentence of those of several tasks, whose clauses end in semicolons: what they share is said once."""
    clauses = {task: text.split("; ") for task, text in sentences.items() if text}
    if not clauses:
        return ""
    shared = [clause for clause in next(iter(clauses.values())) if all(clause in each for each in clauses.values())]
    apart: dict[str, list[str]] = {}
    for task, each in clauses.items():
        if own := "; ".join(clause for clause in each if clause not in shared):
            apart.setdefault(own, []).append(task)
    return "; ".join([*shared, *(f"{', '.join(tasks)}: {own}" for own, tasks in apart.items())]) + "."
