"""Curves of many methods over one condition: panels side by side, every point with its interval, names at the ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.pictures import Picture, Scale, blank, colour, label, plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MARKS", "Line", "LinesPanel", "Point", "apart", "lines"]

_TOP, _BOTTOM, _LEFT, _GAP = 44.0, 74.0, 52.0, 26.0
_SPACING = 13.5
"""Between names, at least."""

_DASHES: tuple[tuple[float, ...], ...] = ((), (7, 3), (2, 2.5), (9, 3, 2, 3), (4, 2), (12, 3), (1.5, 4))
MARKS = "osD^vPX"
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
    """One method. A ``limit`` is drawn as what bounds the others: dashed, in ink, without whiskers."""

    title: str
    family: str
    points: tuple[Point, ...]
    limit: bool = False

    @property
    def ink(self) -> str:
        """Its colour."""
        return "ink" if self.limit else self.family


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
    width: float = 1180,
    height: float = 400,
) -> Picture | None:
    """Panels side by side, each with its own vertical axis.

    Args:
        panels: One or more.
        x_label, y_label: What the axes are.
        summary: For who cannot see it.
        log: Whether the vertical axis is logarithmic; what is not positive is then left out.
        lowest: Where a logarithmic axis ends, whatever whiskers go below.
        trained: What training has seen of the condition; beyond it the ground is shaded.
        width, height: Pixels that are aimed at; many panels and many names need more.

    Returns:
        The picture; nothing where no panel has a point.
    """
    shown = [panel for panel in panels if panel.drawn]
    if not shown:
        return None
    most = max(len(panel.drawn) for panel in shown)
    height = max(height, _TOP + _BOTTOM + _SPACING * (most + 1))
    names = 18 + 6.1 * max(len(line.title) for panel in shown for line in panel.drawn)
    each = max(min(300.0, width / 2), (width - len(shown) * (_LEFT + names) - _GAP * (len(shown) - 1)) / len(shown))
    each = min(each, 620.0)
    figure = blank(len(shown) * (_LEFT + each + names) + _GAP * (len(shown) - 1), height)
    label(figure, 0, 14, f"{y_label}{', log' if log else ''}", ink="ink", size=12.5, bold=True)
    looks = _looks(shown)
    for i, panel in enumerate(shown):
        start = i * (_LEFT + each + names + _GAP) + _LEFT
        _Plot(figure, panel, start, each, height, log, lowest).draw(x_label, trained, looks)
    _legend(figure, height - 8, shown, trained)
    return Picture(figure, summary)


def _looks(panels: Sequence[LinesPanel]) -> dict[str, int]:
    """Which pattern each method has, the same in all panels."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    for line in (line for panel in panels for line in panel.drawn):
        if line.title not in found:
            found[line.title] = counts.get(line.family, 0)
            counts[line.family] = found[line.title] + 1
    return found


class _Plot:
    """One panel, from ``start`` on."""

    def __init__(
        self, figure: Figure, panel: LinesPanel, start: float, each: float, height: float, log: bool, lowest: float
    ) -> None:
        self.figure, self.panel, self.start, self.each = figure, panel, start, each
        self.bottom = height - _BOTTOM
        self.axes: Axes = plot(figure, start, _TOP, each, self.bottom - _TOP)
        self.steps = sorted({point.x for line in panel.drawn for point in line.points})
        values = [v for line in panel.drawn for point in line.points for v in _extent(point)]
        self.y = Scale.around([v for v in values if not log or v >= lowest], log=log)
        span = (self.steps[-1] - self.steps[0]) or 2.0
        room = 14 / (each - 28) * span
        middle = 1.0 if len(self.steps) == 1 else room
        self.x = Scale(self.steps[0] - middle, self.steps[-1] + middle)

    def at(self, x: float) -> float:
        """Pixels of a step."""
        return self.start + self.each * self.x.share(x)

    def height_of(self, value: float) -> float:
        """Pixels of a score, from the top of the figure."""
        return self.bottom - (self.bottom - _TOP) * self.y.share(value)

    def draw(self, x_label: str, trained: tuple[float, float] | None, looks: dict[str, int]) -> None:
        self.y.apply(self.axes, "y", self.bottom - _TOP, 24)
        self.axes.set_xlim(self.x.low, self.x.high)
        self._shade(trained)
        kept: list[float] = []
        for step in self.steps:
            if not kept or self.at(step) - self.at(kept[-1]) >= 26:
                kept.append(step)
        self.axes.set_xticks(kept, [_number(step) for step in kept])
        label(self.figure, self.start + self.each / 2, self.bottom + 34, x_label, anchor="center")
        label(self.figure, self.start, 32, self.panel.title, ink="ink", size=12)
        drawn = self.panel.drawn
        for i, line in enumerate(drawn):
            aside = min(1.3, 10 / len(drawn)) * (i - (len(drawn) - 1) / 2)
            self._line(line, aside / self.each * (self.x.high - self.x.low), looks[line.title], i)
        self._names(drawn)

    def _shade(self, trained: tuple[float, float] | None) -> None:
        if trained is None or len(self.steps) < 2:
            return
        for low, high in ((self.x.low, trained[0]), (trained[1], self.x.high)):
            if high > low and (self.steps[0] < trained[0] if low == self.x.low else self.steps[-1] > trained[1]):
                shade = self.axes.axvspan(low, high, color=colour("soft"), alpha=0.09, lw=0)
                shade.set_gid(f"c-shade~{low:g}")

    def _line(self, line: Line, aside: float, look: int, place: int) -> None:
        """The curve; its whiskers stand a little aside, so that those of several methods are seen."""
        ink = colour(line.ink)
        for run in _runs(line.points):
            xs, ys = [p.x for p in run], [self.y.inside(p.height or 0.0) for p in run]
            (drawn,) = self.axes.plot(xs, ys, color=ink, linewidth=1.4, alpha=0.6 if not line.limit else 1.0)
            drawn.set_dashes((5, 3) if line.limit else _DASHES[look % len(_DASHES)] or (None, None))
            drawn.set_gid(f"c-curve~{place}-{xs[0]:g}")
        for point in line.points:
            if point.height is not None and not line.limit:
                self._mark(line, point, aside, look, place)

    def _mark(self, line: Line, point: Point, aside: float, look: int, place: int) -> None:
        y = self.y.inside(point.height or 0.0)
        ink = colour(line.ink)
        hollow = point.below is not None
        if not hollow and point.score is not None:
            low, high = self.y.inside(point.score.low), self.y.inside(point.score.high)
            (whisker,) = self.axes.plot([point.x + aside] * 2, [low, high], color=ink, linewidth=1.2, clip_on=False)
            whisker.set_gid(f"c-whisker~{place}-{point.x:g}")
        (mark,) = self.axes.plot(
            [point.x],
            [y],
            marker=MARKS[look % len(MARKS)],
            markersize=5.5,
            color=ink,
            markerfacecolor=colour("bg") if hollow else ink,
            clip_on=False,
            linestyle="none",
        )
        mark.set_gid(f"c-{'ring' if hollow else 'dot'}~{place}-{point.x:g}")

    def _names(self, drawn: Sequence[Line]) -> None:
        """Names at the right, as high as their last points where there is room."""
        ends = []
        for line in drawn:
            point = next(p for p in reversed(line.points) if p.height is not None)
            ends.append((self.height_of(point.height or 0.0), self.at(point.x), line))
        ends.sort(key=lambda end: end[0])
        across, down = (72 * float(size) for size in self.figure.get_size_inches())
        from matplotlib.lines import Line2D

        for (y, x, line), at in zip(ends, apart([y for y, _, _ in ends], _TOP, self.bottom), strict=True):
            stop = self.start + self.each
            ys = [1 - y / down, 1 - at / down]
            self.figure.add_artist(Line2D([(x + 5) / across, (stop + 2) / across], ys, color=colour(line.ink), lw=1))
            label(self.figure, stop + 6, at + 4, line.title, ink="ink", size=10.5)


def _runs(points: Sequence[Point]) -> list[list[Point]]:
    """Stretches without a gap."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if point.height is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if len(run) > 1]


def apart(wanted: Sequence[float], top: float, bottom: float) -> list[float]:
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


def _legend(figure: Figure, y: float, panels: Sequence[LinesPanel], trained: tuple[float, float] | None) -> None:
    found = [line for panel in panels for line in panel.drawn]
    points = [point for line in found for point in line.points]
    words = ["Whiskers: 95 % interval."]
    if any(line.limit for line in found):
        words.append("Dashed, without marks: what bounds them.")
    if any(point.below is not None for point in points):
        words.append("Hollow: below this.")
    if trained is not None and any(not trained[0] <= point.x <= trained[1] for point in points):
        words.append("Shaded: outside the training range.")
    label(figure, 0, y, " ".join(words))
