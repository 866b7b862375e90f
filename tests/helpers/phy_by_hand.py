"""Results folders of the multi-user tasks made by hand: cells scored from terms that a test states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench import registry
from channelbench.bootstrap import interval
from channelbench.results import (
    DatasetCard,
    MetricScore,
    Result,
    RunManifest,
    TaskEntry,
    VariedEntry,
    split_digest,
    write_cell,
)

__all__ = ["claim", "put"]

FAMILIES = {"random_symbols": "floor", "mrt": "floor", "zero": "floor", "ceiling": "ceiling", "start": "reference"}


def claim(folder: Path, suite: str, tasks: Sequence[str], labels: Sequence[str] = (), **more: Any) -> Path:
    """``run.json`` of a folder whose tasks all have the conditions of each label."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {name: registry.create("tasks", name) for name in tasks}
    run = RunManifest(
        suite=suite,
        preset="quick",
        dataset=DatasetCard(digest="d", spec={"scenario": "uma"}, seed=0),
        tasks=tuple(tasks),
        task_entries={
            name: TaskEntry(
                title=task.card.label,
                description=task.card.description,
                fields={field: info.default for field, info in task.conditions.model_fields.items()},
            )
            for name, task in kinds.items()
        },
        conditions={label: VariedEntry(cells=dict.fromkeys(tasks, label), tasks=tuple(tasks)) for label in labels},
        methods=(),
        **more,
    )
    (folder / "run.json").write_text(run.model_dump_json())
    return folder


def put(
    folder: Path,
    method: str,
    task: str,
    terms: Mapping[str, NDArray[np.float64]],
    *,
    conditions: Mapping[str, Any] | None = None,
    seed: int = 0,
    strata: Mapping[str, NDArray[np.float64]] | None = None,
    artefacts: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    **more: Any,
) -> None:
    """A cell of metrics by their per-case terms, ``[cases]`` or ``[cases, terms]``; the first is primary."""
    arrays = {name: array.reshape(len(array), -1).astype(float) for name, array in terms.items()}
    scores = {}
    for name, array in arrays.items():
        metric = registry.create("metrics", name)
        value, low, high = interval(metric, array.astype(np.float32).astype(float))
        scores[name] = MetricScore(value=value, low=low, high=high, higher_is_better=metric.higher_is_better)
    result = Result(
        method=method,
        title=method,
        family=FAMILIES.get(method, "llm" if "llm" in method else "classical"),
        reference="a test",
        task=task,
        primary_metric=next(iter(terms)),
        conditions=conditions or {},
        seed=seed,
        preset="quick",
        status="ok",
        scores=scores,
        num_test=len(next(iter(arrays.values()))),
        train_digest="",
        test_digest=split_digest("d", "test"),
        artefacts=tuple(artefacts or ()),
        **more,
    )
    write_cell(folder, result, arrays, None, artefacts, strata)
