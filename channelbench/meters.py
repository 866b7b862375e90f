"""Bars of work at a terminal, and the same as lines for a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["Bars", "LogLines"]

EVERY_S = 20.0
"""Between two lines of a log about one and the same work."""

MEMORY_S = 300.0
"""Over how long the rate is taken: steps of a fit may take a minute each."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_rate(task))


class Bars(Progress):
    """Bars on standard error, with rate and time left, and lines above them."""

    def __init__(self, console: Console, **options: Any) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        super().__init__(*columns, console=console, speed_estimate_period=MEMORY_S, **options)

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class LogLines(Bars):
    """The same work as plain lines with the time of day, for logs: of each piece one every ``EVERY_S`` at most, and
    one at its end if it had any.

    Args:
        file: Where they go.
        clock: Seconds, for the intervals.
        every_s: Between two lines of one piece of work.
    """

    def __init__(
        self, file: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic, every_s: float = EVERY_S
    ) -> None:
        super().__init__(Console(file=file or sys.stderr, no_color=True), get_time=clock, disable=True)
        self.clock, self.every_s = clock, every_s
        self._said: dict[TaskID, float] = {}
        self._open: set[TaskID] = set()  # that have a line, and have not ended

    def say(self, line: str) -> None:
        """A line, with the time."""
        print(f"{datetime.now():%H:%M:%S} {line}", file=self.console.file, flush=True)

    def add_task(self, description: str, *arguments: Any, **options: Any) -> TaskID:
        task = super().add_task(description, *arguments, **options)
        self._said[task] = self.clock()
        return task

    def reset(self, task_id: TaskID, *arguments: Any, **options: Any) -> None:
        super().reset(task_id, *arguments, **options)
        self._said[task_id] = self.clock()
        self._open.discard(task_id)

    def update(self, task_id: TaskID, **options: Any) -> None:
        super().update(task_id, **options)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._tell(task_id)

    def remove_task(self, task_id: TaskID) -> None:
        task = self._tasks[task_id]
        if task_id in self._open:
            self.say(f"{task.description}: ended after {_time(task.elapsed)}")
        super().remove_task(task_id)
        self._said.pop(task_id)
        self._open.discard(task_id)

    def _tell(self, task_id: TaskID) -> None:
        task = self._tasks[task_id]
        if not task.visible or not task.completed:
            return
        if task.finished:
            if task_id in self._open:
                self._open.discard(task_id)
                self.say(_progress_of(task))
        elif self.clock() - self._said[task_id] >= self.every_s:
            self._said[task_id] = self.clock()
            self._open.add(task_id)
            self.say(_progress_of(task))


def _rate(task: Task) -> str:
    speed, unit = task.finished_speed or task.speed, task.fields.get("unit", "")
    return f"{speed:.3g} {unit}/s" if speed else ""


def _progress_of(task: Task) -> str:
    """``fitting mlp ce: 40/120 steps, 3.2 steps/s, 0:25 left``."""
    total, unit = "" if task.total is None else f"/{task.total:.0f}", task.fields.get("unit", "")
    parts = [f"{task.completed:.0f}{total} {unit}".rstrip(), _rate(task)]
    if task.finished:
        parts.append(f"done in {_time(task.finished_time)}")
    elif task.time_remaining is not None:
        parts.append(f"{_time(task.time_remaining)} left")
    return f"{task.description}: {', '.join(part for part in parts if part)}"


def _time(seconds: float | None) -> str:
    """``0:25``, ``1:02:03``."""
    minutes, rest = divmod(round(seconds or 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
