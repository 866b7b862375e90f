"""What is to be done: a fit with its cells, and the stage of an experiment that it belongs to."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from channelbench.benchmarks.hidden import HiddenTest
from channelbench.benchmarks.origin import Origin
from channelbench.conditions import Conditions, condition_label
from channelbench.contracts import Method, Task
from channelbench.predictions import KeptPredictions
from channelbench.results import cell_name
from channelbench.store.dataset import ChannelDataset

__all__ = ["Job", "OpenStage"]


@dataclass(frozen=True, kw_only=True)
class OpenStage:
    """A stage whose datasets are open: what the cells of one results folder are made from.

    Attributes:
        folder: The results folder.
        train: What methods are fitted on.
        test: What they are scored on.
        source: What the fits were made on before they met ``test``, if it is another dataset.
        setting: How they were carried over, in words.
        checkpoints: Where learned methods keep theirs.
        start: The ``checkpoints`` of the fits to start from.
        scale: The dataset on whose scale ``train`` and ``test`` are observed, if it is another.
        share: Share of the training and validation split that a fit sees.
        keeps_predictions: Whether cells keep what they predict.
        reads: Results folder whose kept predictions tasks may read.
    """

    folder: Path
    train: ChannelDataset
    test: ChannelDataset
    checkpoints: Path
    source: ChannelDataset | None = None
    setting: str = ""
    start: Path | None = None
    scale: ChannelDataset | None = None
    share: float = 1.0
    keeps_predictions: bool = False
    reads: Path | None = None

    @property
    def fits_here(self) -> bool:
        """Whether its fits are made for it: else they are another stage's."""
        return self.checkpoints.parent == self.folder

    def struck_out(self, text: str) -> str:
        """A text without what nobody may read: of a hidden test, its secret and seed."""
        return self.test.secret.struck_out(text) if isinstance(self.test, HiddenTest) else text

    def tested_on(self, test: HiddenTest, out: Path) -> OpenStage:
        """The stage of a run in ``out`` with this test: it has a folder of its own, and the fits of the public one."""
        mine = test.root(out)
        reads = None if self.reads is None else mine / self.reads.relative_to(out)
        return replace(self, folder=mine / self.folder.relative_to(out), test=test, reads=reads)

    def prepare(self, tasks: Iterable[Task]) -> None:
        """Have ``train`` and ``test`` observed on the scale of ``scale``, and the predictions of ``reads`` at hand;
        before anything of them is observed."""
        if self.reads is not None:
            self.test.lent = KeptPredictions(self.reads, self.test.split_digest("test"))
        if self.scale is None:
            return
        for dataset, task in itertools.product({self.train, self.test} - {self.scale}, tasks):
            task.share_scale(self.scale.view("train"), dataset.view("train"))


@dataclass(frozen=True)
class Job:
    """One fit, and the cells that are scored with it.

    Attributes:
        method: What is fitted.
        tasks: To which tasks, in the method's own order.
        seed: With which seed.
        training: Under which conditions, where they differ from a task's own in what a fit sees; a task that lacks
            one of the fields is fitted under its own.
        cells: What is scored.
        origin: Where they come from.
        keep: Whether to go on with a fit of other code.
        stamps: When the cells' files were written last, see ``turns.stamp_of``; 0 where a name is missing.
    """

    method: type[Method]
    tasks: tuple[Task, ...]
    seed: int
    training: Mapping[str, Any]
    cells: tuple[tuple[Task, Conditions], ...]
    origin: Origin = field(default_factory=Origin)
    keep: bool = False
    stamps: Mapping[str, int] = field(default_factory=dict)

    def name_of(self, task: Task, conditions: Conditions) -> str:
        """Stem of the files of one of its cells."""
        return cell_name(self.method.card.name, task.card.name, conditions.label, self.seed)

    @property
    def stem(self) -> str:
        """Name of the fit's folder."""
        what = "joint" if self.method.joint else self.tasks[0].card.name
        return cell_name(self.method.card.name, what, condition_label(self.training), self.seed)
