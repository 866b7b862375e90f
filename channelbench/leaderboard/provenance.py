"""What the page says of where its cells come from: whether the code that made them is the code that is here."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cache
from typing import Literal

from channelbench import registry
from channelbench.code import code_of
from channelbench.families import CEILING
from channelbench.results import Result, RunManifest

__all__ = ["CodeState", "code_states", "notes"]

CodeState = Literal["same", "changed", "not installed", "unknown"]
"""Of the code of a cell beside the code that is here; ``unknown`` where the cell does not say what it was."""


def code_states(manifest: RunManifest, results: Sequence[Result]) -> dict[str, CodeState]:
    """``{cell: state}``."""
    places = {cell.task: cell.found_at.get("task", cell.task) for cell in results}

    @cache
    def here(method: str, tasks: tuple[str, ...]) -> str:
        try:
            found = None if method == CEILING else registry.find("methods", method)
            return code_of(found, [registry.create("tasks", places.get(task, task)) for task in tasks])
        except Exception:  # whatever a plugin raises, its cells are there to be shown
            return ""

    def state(cell: Result) -> CodeState:
        if not cell.code_digest:
            return "unknown"
        tasks = manifest.joint_tasks.get(cell.method, (cell.task,))
        digest = here(cell.found_at.get("method", cell.method), tasks)
        if not digest:
            return "not installed"
        return "same" if digest == cell.code_digest else "changed"

    return {cell.name: state(cell) for cell in results}


def notes(
    results: Sequence[Result],
    left_out: Iterable[object],
    unchecked: Container[str],
    code: Mapping[str, CodeState],
) -> list[str]:
    """Lines for the top of the page: what was left out, and which cells are of other code or of code unknown.

    Args:
        results: The cells that are shown.
        left_out: What is wrong with the others.
        unchecked: Names of cells whose metrics are not installed.
        code: See ``code_states``.
    """
    lines = [f"Left out: {problem}" for problem in left_out]
    marked = {
        "Made by other code than is installed here": [cell for cell in results if code[cell.name] == "changed"],
        "Without digest of code": [cell for cell in results if code[cell.name] == "unknown"],
        "Their metrics are not installed here, so that nobody can work them out again": [
            cell for cell in results if cell.name in unchecked
        ],
    }
    for text, cells in marked.items():
        if cells and len(cells) == len(results):
            lines.append(f"{text}: all cells")
        elif cells:
            lines.append(f"{text}: {_named(cells)}")
    return lines


def _named(cells: Sequence[Result]) -> str:
    """Methods with their tasks: ``lstm (ce, cp); mlp (bf)``."""
    tasks: dict[str, dict[str, None]] = {}
    for cell in cells:
        tasks.setdefault(cell.method, {})[cell.task] = None
    return "; ".join(f"{method} ({', '.join(names)})" for method, names in tasks.items())
