"""Curves of many methods over one condition: panels side by side, every point with its interval, names at the ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from channelbench.benchmarks.exhibits.drawing import Axis, Canvas
from channelbench.leaderboard.estimate import Estimate

__all__ = ["Line", "LinesPanel", "Point", "lines"]

_TOP, _BOTTOM, _LEFT, _GAP = 44.0, 74.0, 52.0, 26.0
_SPACING = 13.5
"""Between names, at least."""

_DASHES = ("", "7 3", "2 2.5", "9 3 2 3", "4 2", "12 3", "1.5 4", "7 2 2 2 2 2")
"""Of the methods of a family, which share its colour."""


@dataclass(frozen=True)
class Point:
    """A value at ``x``; with ``below`` one that is not told from 0, which is drawn hollow and at ``below``."""

    x: float
    score: Estimate | None
    below: float | None = None

    @property
    def height(self) -> float | None:
        """Where it is drawn; ``None`` leaves a gap."""
        if self.below is not None:
            return self.below
        return None if self.score is None or not math.isfinite(self.score.value) else self.score.value


@dataclass(frozen=True)
class Line:
    """One method."""

    title: str
    family: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class LinesPanel:
    """The methods under what is not varied."""

    title: str
    lines: tuple[Line, ...]

    @property
    def drawn(self) -> list[Line]:
        """Those with a point."""
        return [line for line in self.lines if any(point.height is not None for point in line.points)]


def lines(
    panels: Sequence[LinesPanel],
    x_label: str,
    y_label: str,
    summary: str,
    *,
    log: bool = False,
    lowest: float = 0.0,
    trained: tuple[float, float] | None = None,
) -> str:
    """Panels side by side, each with its own vertical axis.

    Args:
        panels: One or more.
        x_label, y_label: What the axes are.
        summary: For who cannot see it.
        log: Whether the vertical axis is logarithmic; what is not positive is then left out.
        lowest: Where a logarithmic axis ends, whatever whiskers go below.
        trained: What training has seen of the condition; beyond it the ground is shaded.

    Returns:
        An SVG element; nothing where no panel has a point.
    """
    shown = [panel for panel in panels if panel.drawn]
    if not shown:
        return ""
    most = max(len(panel.drawn) for panel in shown)
    height = max(400.0, _TOP + _BOTTOM + _SPACING * (most + 1))
    names = 18 + 6.1 * max(len(line.title) for panel in shown for line in panel.drawn)
    each = max(300.0, (1180 - len(shown) * (_LEFT + names) - _GAP * (len(shown) - 1)) / len(shown))
    each = min(each, 620.0)
    canvas = Canvas(len(shown) * (_LEFT + each + names) + _GAP * (len(shown) - 1), height)
    canvas.text(0, 14, f"{y_label}{', log' if log else ''}", ink="ink", size=12.5, bold=True)
    dashes = _dashes(shown)
    for i, panel in enumerate(shown):
        start = i * (_LEFT + each + names + _GAP) + _LEFT
        _Plot(canvas, panel, (start, start + each), height - _BOTTOM, log, lowest).draw(x_label, trained, dashes)
    _legend(canvas, height - 8, shown, trained)
    return canvas.svg(summary)


def _dashes(panels: Sequence[LinesPanel]) -> dict[str, str]:
    """The pattern of each method, the same in all panels."""
    found: dict[str, str] = {}
    counts: dict[str, int] = {}
    for line in (line for panel in panels for line in panel.drawn):
        if line.title not in found:
            number = counts.get(line.family, 0)
            found[line.title], counts[line.family] = _DASHES[number % len(_DASHES)], number + 1
    return found


class _Plot:
    """One panel, between two positions and down to ``bottom``."""

    def __init__(
        self, canvas: Canvas, panel: LinesPanel, sides: tuple[float, float], bottom: float, log: bool, lowest: float
    ) -> None:
        self.canvas, self.panel, (self.start, self.stop), self.bottom = canvas, panel, sides, bottom
        self.steps = sorted({point.x for line in panel.drawn for point in line.points})
        values = [v for line in panel.drawn for point in line.points for v in _extent(point)]
        self.x = Axis(self.steps[0], self.steps[-1], self.start + 14, self.stop - 14) if len(self.steps) > 1 else None
        self.y = Axis.around([v for v in values if not log or v >= lowest], bottom, _TOP, log=log)

    def at(self, x: float) -> float:
        return (self.start + self.stop) / 2 if self.x is None else self.x.at(x)

    def draw(self, x_label: str, trained: tuple[float, float] | None, dashes: dict[str, str]) -> None:
        self._shade(trained)
        for y, label in self.y.marks(24):
            self.canvas.line(self.start, y, self.stop, y, "hair")
            self.canvas.text(self.start - 7, y + 4, label, anchor="end", size=10.5)
        self.canvas.line(self.start, self.bottom, self.stop, self.bottom)
        last = -math.inf
        for step in self.steps:
            if self.at(step) - last >= 26:
                last = self.at(step)
                self.canvas.text(last, self.bottom + 16, _number(step), anchor="middle", size=10.5)
        self.canvas.text((self.start + self.stop) / 2, self.bottom + 34, x_label, anchor="middle")
        self.canvas.text(self.start, 32, self.panel.title, ink="ink", size=12)
        drawn = self.panel.drawn
        for i, line in enumerate(drawn):
            self._line(line, min(1.3, 10 / len(drawn)) * (i - (len(drawn) - 1) / 2), dashes[line.title])
        self._names(drawn)

    def _shade(self, trained: tuple[float, float] | None) -> None:
        if trained is None or self.x is None:
            return
        for low, high in ((self.steps[0], trained[0]), (trained[1], self.steps[-1])):
            if high > low:
                left = self.start if low == self.steps[0] else self.at(low)
                right = self.stop if high == self.steps[-1] else self.at(high)
                self.canvas.rect(left, _TOP, right - left, self.bottom - _TOP, "soft", opacity=0.09)

    def _line(self, line: Line, aside: float, dash: str) -> None:
        """The curve; its whiskers stand a little aside, so that those of several methods are seen."""
        run: list[tuple[float, float]] = []
        for point in line.points:
            if point.height is None:
                self._join(run, line.family, dash)
                run = []
                continue
            run.append((self.at(point.x), self.y.at(point.height)))
        self._join(run, line.family, dash)
        for point in line.points:
            if point.height is not None:
                self._mark(line, point, aside)

    def _join(self, points: list[tuple[float, float]], ink: str, dash: str) -> None:
        if len(points) > 1:
            self.canvas.path(points, ink, dash)

    def _mark(self, line: Line, point: Point, aside: float) -> None:
        x, y = self.at(point.x), self.y.at(point.height or 0.0)
        name = f"{line.title} at {_number(point.x)}"
        if point.below is not None:
            self.canvas.ring(x, y, line.family, f"{name}: below {point.below:.3g}")
        elif point.score is not None:
            score = point.score
            self.canvas.line(x + aside, self.y.at(score.low), x + aside, self.y.at(score.high), line.family, 1.2)
            tip = f"{name}: {score.value:.4g} ({score.low:.4g} to {score.high:.4g})"
            self.canvas.dot(x, y, line.family, tip)

    def _names(self, drawn: Sequence[Line]) -> None:
        """Names at the right, as high as their last points where there is room."""
        ends = []
        for line in drawn:
            point = next(p for p in reversed(line.points) if p.height is not None)
            ends.append((self.y.at(point.height or 0.0), self.at(point.x), line))
        ends.sort(key=lambda end: end[0])
        for (y, x, line), at in zip(ends, _apart([y for y, _, _ in ends], _TOP, self.bottom), strict=True):
            self.canvas.line(x + 5, y, self.stop + 2, at, "rule")
            self.canvas.text(self.stop + 6, at + 4, line.title, ink=line.family, size=10.5)


def _apart(wanted: Sequence[float], top: float, bottom: float) -> list[float]:
    """Heights as near to those that are wanted, sorted, as the room between names allows."""
    found: list[float] = []
    for y in wanted:
        found.append(max(y, found[-1] + _SPACING if found else top))
    over = found[-1] - bottom
    if over > 0:
        limit = bottom
        for i in range(len(found) - 1, -1, -1):
            found[i] = min(found[i], limit)
            limit = found[i] - _SPACING
    return found


def _extent(point: Point) -> list[float]:
    if point.height is None:
        return []
    if point.below is not None or point.score is None:
        return [point.height]
    return [point.score.low, point.height, point.score.high]


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _legend(canvas: Canvas, y: float, panels: Sequence[LinesPanel], trained: tuple[float, float] | None) -> None:
    canvas.dot(5, y - 4, "soft")
    canvas.text(16, y, "ours, whiskers: 95 % interval")
    at = 205.0
    points = [point for panel in panels for line in panel.drawn for point in line.points]
    if any(point.below is not None for point in points):
        canvas.ring(at, y - 4, "soft")
        canvas.text(at + 11, y, "below this")
        at += 95
    if trained is not None and any(not trained[0] <= point.x <= trained[1] for point in points):
        canvas.rect(at - 5, y - 11, 14, 13, "soft", opacity=0.12)
        canvas.text(at + 15, y, "outside the training range")
