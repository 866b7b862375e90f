"""Result cells: one method on one task under one condition and one seed, as one JSON file written atomically."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from channelbench.conditions import condition_label
from channelbench.terms import UNITS, packed, read_strata, read_terms, read_units, terms_path

__all__ = [
    "KNOWN_SCHEMAS",
    "UNITS",
    "DatasetCard",
    "MetricScore",
    "Result",
    "RunManifest",
    "TaskEntry",
    "Training",
    "VariedEntry",
    "cell_name",
    "check_artefacts",
    "read_artefact",
    "read_cells",
    "read_strata",
    "read_terms",
    "read_units",
    "split_digest",
    "sweep",
    "write_atomic",
    "write_cell",
]

RESULT_SCHEMA = "2"
KNOWN_SCHEMAS = ("1", RESULT_SCHEMA)
"""Cells of schema 1 do not say which code made them."""

_SPECIAL = re.compile(r"[^\w.=,+-]")
"""What the name of a file is not to have, on any system."""

_LONGEST = 160
"""Of a cell's stem, without digest, seed and what temporary names add; file systems have room for 255 bytes."""

_WRITTEN_IN_FULL = {
    "snr_db": 10.0,
    "snr_reference": "sample",
    "paper_compat": False,
    "pilot_spacing": 8,
    "pilots_only": False,
}
"""Conditions that earlier cells list at their defaults too."""


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
    metric: str = ""
    """Where the metric's class is found, ``package.module:Class``."""
    parameters: Mapping[str, Any] = Field(default_factory=dict)
    """The arguments of that class."""
    title: str = ""
    """What the metric is called."""
    note: str = ""
    """What a reader has to know of it, in a few words."""


class DatasetCard(_Frozen):
    """What the leaderboard says of the data.

    Attributes:
        digest: Of its content; of a hidden test the commitment, an HMAC under its secret.
        seed: Of a hidden test that of the public dataset.
        fitted: Digest of the public dataset whose training and validation splits belong to a hidden test; empty where
            no test is hidden.
    """

    digest: str
    spec: Mapping[str, Any]
    seed: int
    versions: Mapping[str, str] = Field(default_factory=dict)
    fitted: str = ""


class TaskEntry(_Frozen):
    """What the leaderboard says of a task, wherever its class is.

    Attributes:
        title, description: Of its card.
        fields: Its conditions and their defaults.
        sentences: What is observed and compared, by label of conditions.
    """

    title: str
    description: str
    fields: Mapping[str, bool | int | float | str | None] = Field(default_factory=dict)
    sentences: Mapping[str, str] = Field(default_factory=dict)


class VariedEntry(_Frozen):
    """A table of the leaderboard: what is varied there.

    Attributes:
        cells: Label of the conditions of each task's cells.
        tasks: The tasks that have the conditions that are varied; the others' cells are at their own.
    """

    cells: Mapping[str, str]
    tasks: tuple[str, ...]


class RunManifest(_Frozen):
    """``run.json`` of a results folder: what all its cells share. Another value of any field is another folder."""

    schema_version: str = "1"
    suite: str
    preset: str
    dataset: DatasetCard
    tasks: tuple[str, ...]
    task_entries: Mapping[str, TaskEntry] = Field(default_factory=dict)
    """What is known of each task; earlier runs did not say."""
    conditions: Mapping[str, VariedEntry] = Field(default_factory=dict)
    """What was varied, by label. Earlier runs did not say: there every task's cells have the label itself."""
    methods: tuple[str, ...]
    seeds: Mapping[str, int] = Field(default_factory=dict)
    """How many seeds each method is run with; 1 where it is not named."""
    method_tasks: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """The tasks that each method understands: a cell missing there has not been run, elsewhere it never will be."""
    joint_tasks: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """The tasks that each method which is fitted to all at once was given: on others it would be another fit."""
    bundles: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    overall: tuple[str, ...] = ()
    """The tasks whose mean skill is the overall one; all of a table where none is named, or none of these is there."""
    once: tuple[str, ...] = ()
    """Methods that were run under the tasks' own conditions alone: other tables have a row of theirs only where
    somebody asked for its cells."""
    backbone: str = ""
    """The language model behind the methods of family ``llm``; empty where there are none."""
    source: DatasetCard | None = None
    """What the fits were made on before they met ``dataset``; ``None`` where they were made on it alone."""
    exhibits: tuple[str, ...] | None = None
    """What its report shows beside the leaderboard, by name; ``None`` in a folder from before this was written."""
    skipped: Mapping[str, str] = Field(default_factory=dict)
    """Methods of the suite that were left out, each with what was not installed and how to get it."""
    setting: str = ""
    """How fits were carried from ``source`` to ``dataset``: ``zero-shot`` or ``transfer 10 %``; empty without one."""


class Training(_Frozen):
    """How a fit went.

    Attributes:
        steps: Optimiser steps that were made; ``None`` where the method does not say.
        samples: Cases of the training split that it was given, each time counted, over all its tasks; ``None`` where
            the fit was not made whole where the cell was.
        budget_steps, budget_samples: Those that the preset allows a learned method: steps of a batch of each task, and
            one look at the training split.
        best_step: Steps after which the kept weights were scored.
        validation: Score of the validation split by steps made, lower is better.
        losses: Training loss by steps made, of those at which the fit told of it; empty where it did not, and in
            earlier cells.
    """

    steps: int | None = None
    samples: int | None = None
    budget_steps: int | None = None
    budget_samples: int | None = None
    best_step: int | None = None
    validation: Mapping[int, float] = Field(default_factory=dict)
    losses: Mapping[int, float] = Field(default_factory=dict)


class Result(_Frozen):
    """One cell.

    ``family`` is one of ``channelbench.families``.
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
    conditions: Mapping[str, bool | int | float | str | None] = Field(default_factory=dict)
    """What differs from the task's own conditions."""
    seed: int
    preset: str
    status: Literal["ok", "failed"]
    error: str = ""
    traceback: str = ""
    """Where it failed; empty where that is not known, and in earlier cells."""
    scores: Mapping[str, MetricScore] = Field(default_factory=dict)
    num_test: int
    same_as_start: int | None = None
    """Test cases on which the method answers as the start that its network corrects does alone, see
    ``Method.predict_start``; ``None`` where it has none, and in earlier cells."""
    train_digest: str
    test_digest: str
    costs: Mapping[str, float] = Field(default_factory=dict)
    """``{key: figure}`` of those in ``channelbench.costs`` that were measured, and what else the method reports."""
    derived_costs: tuple[str, ...] = ()
    """Keys of latencies that were not timed but worked out from the time that the test split took."""
    organisation: str = ""
    """Who made or handed in the method, as its card or the submission says; so with the next two."""
    code_address: str = ""
    weights_licence: str = ""
    weights: str = ""
    """Which backbone weights the method used, in words; empty for a method without one."""
    artefacts: tuple[str, ...] = ()
    """Names of the arrays beside the cell; see ``read_artefact``."""
    device: str = "cpu"
    hardware: str = ""
    arithmetic: str = ""
    """In what it was computed, in words: the instructions that libraries chose, and what was not float32."""
    threads: int = 0
    """Of the libraries, while the method was fitted and scored; 0 where that was not noted."""
    versions: Mapping[str, str] = Field(default_factory=dict)
    created: str = ""
    suite: str = ""
    dataset: str = ""
    """Content digest of the dataset that it was scored on."""
    code_digest: str = ""
    """Of the code that fitted and scored it, see ``channelbench.code``; empty where that is not known."""
    found_at: Mapping[str, str] = Field(default_factory=dict)
    """Under which names ``method`` and ``task`` are found: registered, or ``package.module:Class``."""
    command: str = ""
    commits: Mapping[str, str] = Field(default_factory=dict)
    """Git commits of the packages that come from a checkout, with ``-dirty`` where its code was changed since."""
    training: Training | None = None

    @field_validator("conditions", mode="before")
    @classmethod
    def _only_changes(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not value.keys() >= _WRITTEN_IN_FULL.keys():
            return value
        return {name: v for name, v in value.items() if v != _WRITTEN_IN_FULL.get(name)}

    @property
    def condition(self) -> str:
        """The conditions' label."""
        return condition_label(self.conditions)

    @property
    def adds_nothing(self) -> bool:
        """Whether every test case is answered as the start alone answers it."""
        return self.same_as_start == self.num_test

    @property
    def name(self) -> str:
        """Stem of its files."""
        return cell_name(self.method, self.task, self.condition, self.seed)


def cell_name(method: str, task: str, condition: str, seed: int) -> str:
    """File stem of the cell under the conditions of this label: no two cells share one, and every disk takes it."""
    whole = f"{method}__{task}__{condition}"
    safe = _SPECIAL.sub("-", whole)
    # Parentheses of a method's name are told apart by where they stand (``Card``), a label's characters are not.
    if _SPECIAL.search(condition) or len(safe.encode()) > _LONGEST:
        safe = f"{safe.encode()[:_LONGEST].decode(errors='ignore')}~{hashlib.sha256(whole.encode()).hexdigest()[:16]}"
    return f"{safe}__seed{seed}"


def split_digest(dataset: str, split: str) -> str:
    """Digest of one split of the dataset with this content digest."""
    return hashlib.sha256(f"{dataset}\n{split}".encode()).hexdigest()


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


def write_cell(
    folder: Path,
    result: Result,
    terms: Mapping[str, NDArray[np.float64]],
    units: NDArray[np.int64] | None = None,
    artefacts: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    strata: Mapping[str, NDArray[np.float64]] | None = None,
) -> None:
    """Write a cell; the per-case terms of its metrics and its artefacts go beside it first, so that a cell never lacks
    them.

    Args:
        folder: The results folder.
        result: The cell.
        terms: ``{metric: [cases, terms]}``; float32 on the disk.
        units: The independent unit of each case, ``[cases]``; ``None`` where each is one.
        artefacts: What the method left of its fit, ``{artefact: {name: array}}``.
        strata: What the task tells apart of the cases, ``{stratum: [cases]}``; see ``Task.strata``.
    """
    if terms:
        _write_arrays(terms_path(folder, result), packed(terms, units, strata))
    for name, arrays in (artefacts or {}).items():
        _write_arrays(_artefact_path(folder, result, name), arrays)
    write_atomic(folder / "cells" / f"{result.name}.json", (result.model_dump_json(indent=1) + "\n").encode())


def _write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())


def _artefact_path(folder: Path, result: Result, name: str) -> Path:
    return folder / "cells" / f"{result.name}.{name}.npz"


def check_artefacts(artefacts: Mapping[str, Mapping[str, NDArray[Any]]]) -> tuple[str, ...]:
    """The names of what a method left, if all of it can be stored and read again without running its code.

    Raises:
        ValueError: a name that cannot be a file's, or an array of objects.
    """
    for name, arrays in artefacts.items():
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
            raise ValueError(f"an artefact is called {name!r}: lower-case letters, digits, _ and - make a name")
        for key, array in arrays.items():
            if np.asarray(array).dtype.hasobject:
                raise ValueError(f"{key!r} of the artefact {name!r} is an array of objects")
    return tuple(artefacts)


def read_artefact(folder: Path, result: Result, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of one artefact of a cell, by name, as the method gave them.

    Raises:
        KeyError: the cell has no artefact of that name.
        ValueError: its file is lost or unreadable.
    """
    if name not in result.artefacts:
        raise KeyError(f"{result.name} has no artefact {name!r}; it has {', '.join(result.artefacts) or 'none'}")
    path = _artefact_path(folder, result, name)
    try:
        # From memory: where numpy finds no archive in a file it leaves the file open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def read_cells(folder: Path) -> Iterator[Result]:
    """All cells of a results folder, by file name."""
    for path in sorted((folder / "cells").glob("*.json")):
        yield Result(**json.loads(path.read_text()))
