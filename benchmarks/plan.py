"""What a run is about to do, in numbers and in lines; ``planning`` works it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from channelbench.manifests import skipped_lines
from channelbench.quantities import duration

__all__ = ["DataPlan", "RunPlan", "StagePlan", "Time"]


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """A dataset of the run.

    Attributes:
        path: Where it is, or will be.
        title: Scenario and state.
        samples: In all splits.
        digest: Of its content; empty until it is made.
    """

    path: str
    title: str
    samples: int
    digest: str = ""

    @property
    def line(self) -> str:
        """Where it is and of what."""
        there = "" if self.digest else ", which is made first"
        return f"{self.path} ({self.title}, {self.samples} samples{there})"


@dataclass(frozen=True, kw_only=True)
class Time:
    """What is known of how long the fits and predictions take, from cells of the same folder.

    Attributes:
        seconds: Of the jobs that are known, one after the other.
        jobs, known: How many there are, and of how many of them it is known.
    """

    seconds: float = 0.0
    jobs: int = 0
    known: int = 0

    def __add__(self, other: Time) -> Time:
        return Time(seconds=self.seconds + other.seconds, jobs=self.jobs + other.jobs, known=self.known + other.known)

    @property
    def words(self) -> str:
        """``at least 2 min: …``; ``unknown`` where no cell tells."""
        if not self.jobs:
            return "nothing to fit"
        if not self.known:
            return "unknown: no such fit has been made here yet"
        which = "all" if self.known == self.jobs else f"{self.known} of the {self.jobs}"
        rest = "" if self.known == self.jobs else "; of the others nothing is known"
        return f"at least {duration(self.seconds)}, as fits and predictions of {which} fits took here{rest}"


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """One results folder of the run.

    Attributes:
        folder: Below the run's own; empty for that itself.
        data: What its cells are scored on.
        cells: To make.
        there: That are there and stay.
        stale: That are there and of other code than today's.
        keep_stale: Whether these stay, too; else they are among those to make.
        fits: Of methods; ``learned`` of them are trainings, none where an earlier folder's are scored.
        time: What is known of how long.
    """

    folder: str
    data: DataPlan
    cells: int
    there: int
    stale: int = 0
    keep_stale: bool = False
    fits: int = 0
    learned: int = 0
    time: Time = Time()

    @property
    def line(self) -> str:
        """The numbers."""
        fate = "kept" if self.keep_stale else "made again"
        stale = f", {self.stale} of other code ({fate})" if self.stale else ""
        learned = f", {self.learned} of them trained" if self.learned else ""
        return f"{self.cells} to make, {self.there} there{stale}; {self.fits} fits{learned}"


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What a run is about to do.

    Attributes:
        suite, preset: As they were asked for.
        data: What it was given.
        device: What learned methods are fitted on.
        where: Who does it, in words.
        training: How long a learned method is trained, in words; empty where none is.
        share: ``2/8`` of a run that makes a share; empty for all.
        stages: One at least; the run's own folder first.
        further: Datasets that its experiment needs besides.
        skipped: Of methods and stages that are left out for want of something, ``{name: what, and the remedy}``.
    """

    suite: str
    preset: str
    data: DataPlan
    device: str
    where: str
    stages: tuple[StagePlan, ...]
    training: str = ""
    share: str = ""
    further: tuple[DataPlan, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def cells(self) -> int:
        """To make in all folders."""
        return sum(stage.cells for stage in self.stages)

    @property
    def time(self) -> Time:
        """Of all folders."""
        return sum((stage.time for stage in self.stages), Time())

    def lines(self) -> Iterator[str]:
        """One for each thing that somebody wants to know before they wait for it."""
        yield _line("dataset", self.data.line)
        yield _line("digest", self.data.digest or "none until it is made")
        for data in self.further:
            yield _line("", data.line)
        share = f", share {self.share}" if self.share else ""
        where = f"device {self.device}, {self.where}"
        yield _line("run", f"suite {self.suite}, preset {self.preset}{share}, {where}")
        if len(self.stages) > 1:
            yield _line("cells", f"{self.cells} to make in {len(self.stages)} folders")
        for stage in self.stages:
            name = f"{stage.folder or 'its own'}: " if len(self.stages) > 1 else ""
            yield _line("" if len(self.stages) > 1 else "cells", f"{name}{stage.line}")
        if self.training:
            yield _line("training", self.training)
        for line in skipped_lines(self.skipped):
            yield _line("skipped", line)
        yield _line("time", self.time.words)


def _line(name: str, text: str) -> str:
    return f"{name:<9}{text}"
