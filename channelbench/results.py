"""Result cells: one method on one task under one condition and one seed, as one JSON file written atomically."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from channelbench.contracts import Conditions

__all__ = [
    "DatasetCard",
    "MetricScore",
    "Result",
    "RunManifest",
    "cell_name",
    "read_cells",
    "read_terms",
    "sweep",
    "write_atomic",
    "write_cell",
]

RESULT_SCHEMA = "1"


class _Frozen(BaseModel):
    # The ceiling's NMSE of 0 is −Infinity dB: as a string it stays valid JSON and reads back as a number.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class MetricScore(_Frozen):
    """A score on the test split with its 95 % bootstrap interval over drops."""

    value: float
    low: float
    high: float
    unit: str = ""
    higher_is_better: bool = False


class DatasetCard(_Frozen):
    """What the leaderboard says of the data."""

    digest: str
    spec: Mapping[str, Any]
    seed: int
    versions: Mapping[str, str] = Field(default_factory=dict)


class RunManifest(_Frozen):
    """``run.json`` of a results folder: what all its cells share. Another value of any field is another folder."""

    schema_version: str = RESULT_SCHEMA
    suite: str
    preset: str
    dataset: DatasetCard
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: Mapping[str, int] = Field(default_factory=dict)
    """How many seeds each method is run with; 1 where it is not named."""
    method_tasks: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """The tasks that each method declares: a cell that is missing there has not been run, elsewhere it never will."""
    joint_tasks: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """The tasks that each method which is fitted to all at once was given: on others it would be another fit."""
    bundles: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    backbone: str = ""
    """The language model behind the methods of family ``llm``; empty where there are none."""
    source: DatasetCard | None = None
    """What the fits were made on before they met ``dataset``; ``None`` where they were made on it alone."""
    setting: str = ""
    """How fits were carried from ``source`` to ``dataset``: ``zero-shot`` or ``transfer 10 %``; empty without one."""


class Result(_Frozen):
    """One cell.

    ``family`` is ``floor``, ``ceiling``, ``reference``, ``classical``, ``small``, ``multi-task`` or ``llm``.
    ``scores`` is empty and ``error`` set where the method raised or returned something that is no prediction.
    """

    schema_version: str = RESULT_SCHEMA
    method: str
    title: str
    family: str
    reference: str
    notes: str = ""
    task: str
    primary_metric: str
    conditions: Conditions
    seed: int
    preset: str
    status: Literal["ok", "failed"]
    error: str = ""
    scores: Mapping[str, MetricScore] = Field(default_factory=dict)
    num_test: int
    train_digest: str
    test_digest: str
    costs: Mapping[str, float] = Field(default_factory=dict)
    """``trainable_parameters``, ``total_parameters``, ``flops_per_sample``, ``fit_s``, ``predict_s``,
    ``latency_ms_batch1``, ``latency_ms_batch512``, ``peak_memory_mb``: those that were measured."""
    weights: str = ""
    """Which backbone weights the method used, in words; empty for a method without one."""
    device: str = "cpu"
    hardware: str = ""
    versions: Mapping[str, str] = Field(default_factory=dict)
    created: str = ""

    @property
    def name(self) -> str:
        return cell_name(self.method, self.task, self.conditions, self.seed)


def cell_name(method: str, task: str, conditions: Conditions, seed: int) -> str:
    """File stem of a cell."""
    safe = "".join(c if c.isalnum() or c in "._-=,+" else "-" for c in f"{method}__{task}__{conditions.label}")
    return f"{safe}__seed{seed}"


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all, whenever the process or the disk gives up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sweep(folder: Path, *, before: float) -> None:
    """Remove the halves of cells that a killed process has left: those that nobody has touched since ``before``."""
    for half in folder.rglob("cells/.*.[0-9]*"):
        with suppress(FileNotFoundError):
            if half.stat().st_mtime < before:
                half.unlink()


def write_cell(folder: Path, result: Result, terms: Mapping[str, NDArray[np.float64]]) -> None:
    """Write a cell; the per-drop terms of its metrics go beside it first, so that a cell never lacks them."""
    import io

    if terms:
        buffer, compact = io.BytesIO(), {name: values.astype(np.float32) for name, values in terms.items()}
        np.savez_compressed(buffer, **compact)  # type: ignore[arg-type]
        write_atomic(folder / "cells" / f"{result.name}.npz", buffer.getvalue())
    write_atomic(folder / "cells" / f"{result.name}.json", (result.model_dump_json(indent=1) + "\n").encode())


def read_cells(folder: Path) -> Iterator[Result]:
    """All cells of a results folder, by file name."""
    for path in sorted((folder / "cells").glob("*.json")):
        yield Result(**json.loads(path.read_text()))


def read_terms(folder: Path, result: Result) -> dict[str, NDArray[np.float64]]:
    """Per-drop terms ``{metric: [drops, terms]}`` of a cell; empty where it failed."""
    path = folder / "cells" / f"{result.name}.npz"
    if not path.exists():
        return {}
    with np.load(path) as archive:
        return {name: archive[name].astype(np.float64) for name in archive.files}
