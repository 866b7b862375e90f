"""Experiments: what a run fits on which data, what from, and where each of these fits is scored.

An experiment only plans. Whoever carries the plan out (``benchmarks/runner.py``) knows none by name: it checks the
plan, makes the datasets that are missing, and fills one results folder per stage.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from channelbench.card import Card
from channelbench.errors import RequestError
from channelbench.spec import ScenarioSpec

__all__ = ["DATA", "Experiment", "ExperimentSpec", "Plan", "PlannedDataset", "Stage"]

DATA = "data"
"""The name that plans have for the dataset that the run was given."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_RESERVED = ("cells", "checkpoints")
"""What every results folder has itself."""


@dataclass(frozen=True, kw_only=True)
class PlannedDataset:
    """A dataset that a plan needs beside the run's own. It is made beside that one, or found there.

    Attributes:
        spec: What it is made of.
        seed: The seed it is made with; the run's own by default.
    """

    spec: ScenarioSpec
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One results folder: what its methods are fitted on, what from, and what they are scored on.

    Attributes:
        folder: Where its cells go below the run's own folder, which itself is ``""``.
        train: Name of the dataset whose training and validation splits methods are fitted on.
        test: Name of the dataset whose test split they are scored on.
        share: Share of the training and validation splits that a fit sees, the first samples of each.
        start: Folder of an earlier stage whose fits the fits of learned methods start from; ``None`` starts anew.
        tasks: Names of those of the run's tasks that are its own; all by default.
        keeps_predictions: Whether its cells keep what they predict, as tasks have it (``Task.kept``), for later stages.
        reads: Folder of an earlier stage whose kept predictions its tasks may read.
        fits: Folder of an earlier stage whose fits are scored here as they are. Nothing is trained then: ``train``,
            ``share`` and ``start`` are that stage's and stay unset here.
        setting: How the fits came about, in words, for ``run.json`` and the page. A results folder keeps to one
            setting, so it has to name whatever of the experiment's parameters changes the stage's scores.
    """

    folder: str = ""
    train: str = DATA
    test: str = DATA
    share: float = 1.0
    start: str | None = None
    fits: str | None = None
    setting: str = ""
    tasks: tuple[str, ...] | None = None
    keeps_predictions: bool = False
    reads: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The stages of an experiment, in the order in which they are made, and the datasets that they need.

    The first stage is the run's own folder, so that a report finds it. All datasets of a plan are observed on the
    scale of the run's own: a fit that is carried over knows no other.

    Attributes:
        stages: At least one.
        datasets: By name; they lie beside the run's own as ``<its name>-<this name>.zarr``.

    Raises:
        RequestError: on construction, where the stages do not fit together.
    """

    stages: tuple[Stage, ...]
    datasets: Mapping[str, PlannedDataset] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.stages or self.stages[0].folder:
            got = self.stages[0].folder if self.stages else "no stage"
            raise RequestError("experiment", expected="a first stage in the run's own folder, ''", got=got)
        for name in self.datasets:
            if name == DATA or not _NAME.fullmatch(name):
                raise RequestError("experiment", expected=f"a dataset name like a-1.9, not {DATA!r}", got=name)
        for stage in self.stages:
            self._check(stage)

    def training(self, stage: Stage) -> Stage:
        """The stage whose fits are scored in ``stage``: mostly itself."""
        return stage if stage.fits is None else self._earlier(stage, stage.fits)

    def origin(self, stage: Stage) -> str:
        """Name of the dataset that the fits of ``stage`` were made on first, before any that they went on to."""
        trained = self.training(stage)
        return trained.train if trained.start is None else self.origin(self._earlier(trained, trained.start))

    def read_by(self, stage: Stage) -> Stage | None:
        """The stage whose predictions the tasks of ``stage`` may read."""
        return None if stage.reads is None else self._earlier(stage, stage.reads)

    def _earlier(self, stage: Stage, folder: str) -> Stage:
        before = {earlier.folder: earlier for earlier in takewhile(lambda other: other is not stage, self.stages)}
        if folder not in before:
            where, known = f"experiment, stage {stage.folder!r}", map(repr, before)
            raise RequestError(where, expected="an earlier stage", got=folder, choices=known)
        return before[folder]

    def _check(self, stage: Stage) -> None:
        where = f"experiment, stage {stage.folder!r}"
        parts = stage.folder.split("/") if stage.folder else []
        if not all(_NAME.fullmatch(part) and part not in _RESERVED for part in parts):
            raise RequestError(
                where, expected=f"folders like rma/zero-shot, not {' or '.join(_RESERVED)}", got=stage.folder
            )
        for other in (other for other in self.stages if other is not stage):
            if other.folder == stage.folder or (other.folder and stage.folder.startswith(f"{other.folder}/")):
                raise RequestError(where, expected="a folder that is in no other stage's", got=other.folder)
        for name in (stage.train, stage.test):
            if name != DATA and name not in self.datasets:
                raise RequestError(where, expected="a dataset of the plan", got=name, choices=(DATA, *self.datasets))
        if not 0 < stage.share <= 1:
            raise RequestError(where, expected="a share above 0 and up to 1", got=stage.share)
        if stage.fits is not None and (stage.train, stage.share, stage.start) != (DATA, 1.0, None):
            raise RequestError(where, expected="fits, or what new ones are made from", got="both")
        if stage.reads is not None and not self._earlier(stage, stage.reads).keeps_predictions:
            raise RequestError(where, expected="predictions of a stage that keeps them", got=stage.reads)
        for folder in (stage.fits, stage.start):
            if folder is not None and self._earlier(stage, folder).fits is not None:
                raise RequestError(where, expected="a stage with fits of its own", got=folder)


class Experiment(BaseModel, ABC):
    """A kind of plan; its fields are its parameters, which a suite states.

    A subclass is one file: a card, fields with their types and defaults, and ``plan``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: ClassVar[Card]

    @abstractmethod
    def plan(self, spec: ScenarioSpec, seed: int) -> Plan:
        """The stages for a run on a dataset of ``spec``, made with ``seed``.

        Raises:
            RequestError: the experiment cannot be made with this dataset. Nothing has been written then.
        """


class ExperimentSpec(BaseModel):
    """An experiment as a suite states it: strings and numbers, which the experiment's own model checks.

    Attributes:
        name: A name from ``channelbench list experiments``, or ``package.module:Class``.
        parameters: Its fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "single"
    parameters: Mapping[str, JsonValue] = Field(default_factory=dict)
