"""Curves and scores of a run for whoever watches it: in TensorBoard or trackio, which are optional."""

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from channelbench.benchmarks.curves import loss_of
from channelbench.benchmarks.jobs import Job, Reporter
from channelbench.benchmarks.plan import RunPlan
from channelbench.errors import RequestError
from channelbench.results import Result, cell_name

__all__ = ["LOGS", "Log", "LogReporter", "opened_log"]

FOLDER = "logs"


class Log(ABC):
    """Numbers by step, in one curve per tag of each run; a run here is a fit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def point(self, run: str, tag: str, step: int, value: float) -> None:
        """One number."""

    @abstractmethod
    def close(self, run: str) -> None:
        """There will be no more of this run."""


class TensorBoard(Log):
    """Event files below ``logs/`` of the results folder: ``tensorboard --logdir results/logs``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._writers: dict[str, Any] = {}

    def point(self, run: str, tag: str, step: int, value: float) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if run not in self._writers:
            self._writers[run] = SummaryWriter(str(self.folder / FOLDER / run))
        self._writers[run].add_scalar(tag, value, step)

    def close(self, run: str) -> None:
        if writer := self._writers.pop(run, None):
            writer.close()


class Trackio(Log):
    """Runs of a trackio project that is called as the results folder. It has one run at a time, so that a fit's numbers
    come when the fit is over."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._points: dict[str, dict[int, dict[str, float]]] = {}

    def point(self, run: str, tag: str, step: int, value: float) -> None:
        self._points.setdefault(run, {}).setdefault(step, {})[tag] = value

    def close(self, run: str) -> None:
        points = self._points.pop(run, {})
        if not points:
            return
        trackio: Any = importlib.import_module("trackio")
        trackio.init(project=self.folder.absolute().name, name=run)
        for step in sorted(points):
            trackio.log(points[step], step=step)
        trackio.finish()


LOGS: Mapping[str, type[Log]] = {"tensorboard": TensorBoard, "trackio": Trackio}
"""By the package that each needs."""


def opened_log(name: str, folder: Path) -> Log:
    """The log of this name for a results folder; nothing is written yet.

    Raises:
        RequestError: there is none, or its package is not installed.
    """
    if name not in LOGS:
        raise RequestError("--log", expected="a known log", got=name, choices=LOGS)
    if importlib.util.find_spec(name) is None:
        got = f"{name}, which is not installed: pip install {name}"
        raise RequestError("--log", expected="a log whose package is installed", got=got, choices=LOGS)
    return LOGS[name](folder)


class LogReporter(Reporter):
    """Passes on what it hears, and logs it: the training loss as it comes, the validation loss and the scores when a
    cell is done.

    Args:
        log: Where to.
        further: Whom to tell, too.
    """

    def __init__(self, log: Log, further: Reporter) -> None:
        self.log, self.further = log, further
        self._stage = ""
        self._fits: dict[str, str] = {}
        self._validated: set[tuple[str, str]] = set()

    def began(self, plan: RunPlan) -> None:
        self.further.began(plan)

    def read(self, name: str, done: int, total: int) -> None:
        self.further.read(name, done, total)

    def remarked(self, text: str) -> None:
        self.further.remarked(text)

    def entered(self, name: str) -> None:
        self._stage = name
        self._fits.clear()
        self.further.entered(name)

    def generating(self, name: str, done: int, total: int) -> None:
        self.further.generating(name, done, total)

    def planned(self, cells: int, done: int) -> None:
        self.further.planned(cells, done)

    def started(self, job: Job) -> None:
        for task, condition in job.cells:
            name = cell_name(job.method.card.name, task.card.name, condition.label, job.seed)
            self._fits[name] = job.stem
        self.further.started(job)

    def fitting(self, job: Job, done: int, total: int, message: str) -> None:
        if (loss := loss_of(message)) is not None:
            self.log.point(self._run(job.stem), "loss/training", done, loss)
        self.further.fitting(job, done, total, message)

    def ended(self, job: Job) -> None:
        self.log.close(self._run(job.stem))
        self.further.ended(job)

    def finished(self, result: Result) -> None:
        self._log(result)
        self.further.finished(result)

    def _run(self, stem: str) -> str:
        return f"{self._stage}/{stem}" if self._stage else stem

    def _log(self, result: Result) -> None:
        fit, training = self._fits.get(result.name), result.training
        if fit is None or training is None or not (training.losses or training.validation):
            return  # nothing was learned
        run = self._run(fit)
        if (run, result.task) not in self._validated:
            self._validated.add((run, result.task))
            for step, loss in training.validation.items():
                self.log.point(run, f"loss/validation {result.task}", step, loss)
        for name, score in result.scores.items():
            self.log.point(run, f"{name}/{result.task} {result.condition}", training.steps or 0, score.value)
