"""A run's progress on a terminal, or in a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from channelbench.benchmarks.jobs import Job, Reporter
from channelbench.benchmarks.plan import RunPlan
from channelbench.results import Result

if TYPE_CHECKING:
    from rich.progress import TaskID

    from channelbench.meters import Bars

__all__ = ["BarReporter"]


class BarReporter(Reporter):
    """One bar for the cells, one for each fit under way, one for datasets that are made, and a line per finished cell.

    Args:
        bars: Where they are shown.
    """

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.cells = bars.add_task("cells", total=None, unit="cells", visible=False)
        self.blocks = bars.add_task("", total=None, unit="blocks", visible=False)
        self.samples = bars.add_task("", total=None, unit="samples", visible=False)
        self.fits: dict[str, TaskID] = {}
        self.folder = self.dataset = ""

    def began(self, plan: RunPlan) -> None:
        self.bars.update(self.blocks, visible=False)
        for line in plan.lines():
            self.bars.say(line)

    def read(self, name: str, done: int, total: int) -> None:
        self.bars.update(self.blocks, description=f"checking {name}", visible=done < total, completed=done, total=total)

    def remarked(self, text: str) -> None:
        self.bars.say(text)

    def entered(self, name: str) -> None:
        self.bars.update(self.samples, visible=False)
        self.folder = name
        if name:
            self.bars.say(f"{name}:")

    def generating(self, name: str, done: int, total: int) -> None:
        if name != self.dataset:
            self.dataset = name
            self.bars.reset(self.samples, description=f"generating {name}", visible=True, total=total)
        self.bars.update(self.samples, completed=done)

    def planned(self, cells: int, done: int) -> None:
        self.bars.say(f"{cells} cell{'' if cells == 1 else 's'} to make, {done} there")
        self.bars.reset(self.cells, description=f"cells {self.folder}".rstrip(), visible=True, total=cells)

    def started(self, job: Job) -> None:
        tasks = " ".join(task.card.name for task in job.tasks)
        self.fits[job.stem] = self.bars.add_task(f"fitting {job.method.card.name} {tasks}", total=None, unit="steps")

    def fitting(self, job: Job, done: int, total: int, message: str) -> None:
        self.bars.update(self.fits[job.stem], completed=done, total=total)

    def ended(self, job: Job) -> None:
        self.bars.remove_task(self.fits.pop(job.stem))

    def finished(self, result: Result) -> None:
        self.bars.advance(self.cells)
        if result.status == "failed":
            outcome = f"FAILED {result.error}"
        else:
            score = result.scores[result.primary_metric]
            outcome = f"{score.value:.4g} {score.unit} [{score.low:.4g}, {score.high:.4g}]"
        self.bars.say(f"{result.method:<15} {result.task:<3} {result.condition:<18} {outcome}")
