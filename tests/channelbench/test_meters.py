"""What a log shows of work: lines, not bars; and what says which of the two it is."""

import io
import re
from collections.abc import Iterator

import pytest

from channelbench import bars
from channelbench.meters import Bars, LogLines

STAMP = re.compile(r"\d\d:\d\d:\d\d ")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def lines(clock: Clock, log: io.StringIO) -> Iterator[LogLines]:
    with LogLines(log, clock=clock, every_s=10) as lines:
        yield lines


def read(log: io.StringIO) -> list[str]:
    """The lines without the time of day, which all have."""
    found = log.getvalue().splitlines()
    assert all(STAMP.match(line) for line in found)
    return [STAMP.sub("", line, count=1) for line in found]


def test_a_line_every_so_often_with_rate_and_time_left(lines: LogLines, clock: Clock, log: io.StringIO) -> None:
    task = lines.add_task("fitting mlp ce", total=120, unit="steps")
    for step in range(1, 121):
        clock.now += 0.5  # 2 steps a second, a minute in all
        lines.update(task, completed=step, total=120)
    found = read(log)
    assert found[0].startswith("fitting mlp ce: 20/120 steps, 2")
    assert found[0].endswith("steps/s, 0:50 left")
    assert [line.split()[3] for line in found] == ["20/120", "40/120", "60/120", "80/120", "100/120", "120/120"]
    assert found[-1].endswith("done in 1:00")


def test_what_is_quick_leaves_no_line(lines: LogLines, clock: Clock, log: io.StringIO) -> None:
    task = lines.add_task("reading", total=None, unit="blocks")
    for done in range(1, 6):
        clock.now += 1
        lines.update(task, completed=done, total=5)
    lines.remove_task(task)
    assert read(log) == []


def test_two_works_have_lines_of_their_own_and_ends(lines: LogLines, clock: Clock, log: io.StringIO) -> None:
    cells, fit = lines.add_task("cells", total=None, visible=False), lines.add_task("fitting a ce", total=None)
    clock.now = 11
    lines.update(cells, completed=1)
    assert read(log) == [], "nobody sees it yet"
    lines.reset(cells, total=3, visible=True)
    lines.update(fit, completed=5, total=10)
    clock.now = 22
    lines.advance(cells)
    lines.advance(cells)
    lines.remove_task(fit)
    assert read(log) == ["fitting a ce: 5/10", "cells: 1/3", "fitting a ce: ended after 0:22"]


def test_a_line_is_whole_however_long_and_in_brackets(lines: LogLines, log: io.StringIO) -> None:
    lines.say("[1, 2] " + "x" * 300)
    assert read(log) == ["[1, 2] " + "x" * 300]
    assert "\x1b" not in log.getvalue()


def test_a_log_gets_lines_even_where_colours_are_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with bars.progress() as shown:
        assert isinstance(shown, LogLines)

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", Screen())
    with bars.progress() as shown:
        assert type(shown) is Bars
    monkeypatch.setenv("TERM", "dumb")
    assert not bars.is_terminal(Screen())
