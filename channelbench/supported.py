"""Whether a task can be scored on a dataset, and why not."""

from __future__ import annotations

import inspect
from collections.abc import Collection

from channelbench.contracts import Task
from channelbench.errors import RequestError
from channelbench.spec import ScenarioSpec

__all__ = ["why_not"]


def why_not(task: Task, spec: ScenarioSpec, variables: Collection[str]) -> str:
    """Why a task cannot be scored on datasets of ``spec`` with these variables, in words; empty where it can, under
    its own conditions."""
    if not task.supports(spec):
        needs = inspect.getdoc(type(task).supports) or ""  # which says what it asks of a dataset
        first = needs.splitlines()[0].rstrip(".") if needs else "something that this dataset does not have"
        return f"it needs: {first[:1].lower()}{first[1:]}"
    conditions = task.default_conditions(spec)
    if lacking := task.lacks(variables, conditions):
        return f"it has no {' and no '.join(lacking)}"
    try:
        task.check_conditions(spec, conditions)
    except RequestError as error:
        return str(error)
    return ""
