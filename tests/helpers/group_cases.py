"""Test cases of tasks of groups of users."""

from __future__ import annotations

from typing import Any

import numpy as np

from channelbench import registry
from channelbench.contracts import Target, Task
from channelbench.store.dataset import ChannelDataset


def seen(dataset: ChannelDataset, name: str, **changes: Any) -> tuple[Any, Target, Any]:
    """All test cases of a task under its defaults with these changes."""
    task: Task = registry.create("tasks", name)
    conditions = task.default_conditions(dataset.spec).model_copy(update=changes)
    cases = np.arange(task.size(dataset.spec, "test", conditions))
    return *task.observe(dataset.view("test"), cases, conditions), task
