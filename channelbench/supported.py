"""Whether a task can be scored on a dataset, and why not."""

from __future__ import annotations

import inspect
from collections.abc import Collection

from channelbench.contracts import Task
from channelbench.errors import RequestError
from channelbench.spec import ScenarioSpec

__all__ = ["shortfall", "why_not"]


def shortfall(task: Task, spec: ScenarioSpec, variables: Collection[str]) -> str:
    """What datasets of ``spec`` with these variables lack for a task, under whatever conditions; empty for nothing."""
    if not task.supports(spec):
        # What a task asks of a dataset it says there itself; the contract's words are about asking.
        needs = inspect.cleandoc(type(task).supports.__doc__ or "something that this dataset does not have")
        first = needs.splitlines()[0].rstrip(".")
        return f"it needs: {first[:1].lower()}{first[1:]}"
    lost = task.lacks(variables, task.default_conditions(spec))
    return f"it has no {' and no '.join(lost)}" if lost else ""


def why_not(task: Task, spec: ScenarioSpec, variables: Collection[str]) -> str:
    """Why a task cannot be scored on datasets of ``spec`` with these variables, in words; empty where it can, under
    its own conditions."""
    if lost := shortfall(task, spec, variables):
        return lost
    try:
        task.check_conditions(spec, task.default_conditions(spec))
    except RequestError as error:
        return str(error)
    return ""
