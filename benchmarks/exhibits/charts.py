"""Pictures of exhibits by matplotlib: dots or bars by row and panel, curves over a few steps, and heatmaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from channelbench.families import CLASSICAL, LLM, MULTI_TASK
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.numbers import fixed
from channelbench.leaderboard.pictures import Picture, Scale, blank, colour, label, plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curve", "Mark", "Panel", "Strip", "curves", "heatmaps", "strips"]

_ROW, _TOP, _FOOT, _GAP = 19.0, 44.0, 46.0, 18.0
_LOG_FROM = 8.0


@dataclass(frozen=True)
class Mark:
    """Ours and the paper's value of one row in one panel; either may be missing."""

    ours: Estimate | None = None
    published: float | None = None


@dataclass(frozen=True)
class Strip:
    """One row of a picture of strips: a mark per panel, or a heading without any."""

    title: str
    marks: tuple[Mark, ...] = ()
    family: str = "other"


@dataclass(frozen=True)
class Panel:
    """One panel: ``log`` is whether its axis may be logarithmic, ``bars`` draws ours from 0, ``ink`` is a colour in
    place of the rows' own."""

    title: str
    note: str = ""
    log: bool = True
    bars: bool = False
    ink: str = ""


def strips(
    panels: Sequence[Panel], rows: Sequence[Strip], summary: str, *, width: float = 1180, whiskers: bool = True
) -> Picture | None:
    """Rows of dots with whiskers (ours) and hollow diamonds (the paper's), panel beside panel.

    Returns:
        The picture; nothing where no row has a number of ours.
    """
    if not any(mark.ours is not None for row in rows for mark in row.marks):
        return None
    names = 20 + 6.7 * max(len(row.title) for row in rows)
    bottom = _TOP + _ROW * len(rows)
    figure = blank(width, bottom + _FOOT)
    for i, row in enumerate(rows):
        label(figure, 0, _TOP + _ROW * (i + 0.5) + 4, row.title, ink="ink", bold=not row.marks)
    each = (width - names - _GAP * (len(panels) - 1)) / len(panels)
    for i, panel in enumerate(panels):
        marks = [(row.family, row.marks[i]) if row.marks else None for row in rows]
        _strip_panel(figure, panel, marks, names + i * (each + _GAP), each, bottom)
    published = any(m.published is not None for row in rows for m in row.marks)
    _legend(figure, bottom + 38, published, whiskers)
    return Picture(figure, summary)


def _strip_panel(
    figure: Figure, panel: Panel, marks: Sequence[tuple[str, Mark] | None], start: float, each: float, bottom: float
) -> None:
    values = [v for mark in marks if mark is not None for v in _values(mark[1])]
    positive = [v for v in values if math.isfinite(v) and v > 0]
    log = (
        panel.log and not panel.bars and len(positive) == len(values) > 0 and max(positive) > _LOG_FROM * min(positive)
    )
    scale = Scale.around(values, log=log, zero=panel.bars)
    axes = plot(figure, start, _TOP, each, bottom - _TOP)
    axes.set_ylim(len(marks), 0)
    axes.set_yticks([])
    scale.apply(axes, "x", each, 34)
    label(figure, start, 14, panel.title, ink="ink", size=12.5, bold=True)
    label(figure, start, 30, ", ".join(part for part in (panel.note, "log" if log else "") if part), size=10.5)
    for i, found in enumerate(marks):
        if found is None:
            continue
        axes.axhline(i + 0.5, color=colour("hair"), linewidth=1, zorder=0)
        family, mark = found
        if mark.ours is not None:
            _ours(axes, scale, mark.ours, i, colour(panel.ink or family), panel.bars)
        if mark.published is not None:
            _diamond(axes, scale.inside(mark.published), i)
    if panel.bars:
        axes.axvline(0, color=colour("soft"), linewidth=1)


def _values(mark: Mark) -> list[float]:
    ours = [] if mark.ours is None else [mark.ours.low, mark.ours.value, mark.ours.high]
    return [*ours, *([] if mark.published is None else [mark.published])]


def _ours(axes: Axes, scale: Scale, score: Estimate, row: int, ink: str, bars: bool) -> None:
    y, x = row + 0.5, scale.inside(score.value)
    if bars:
        (bar,) = axes.barh([y], [x], height=0.58, color=ink, alpha=0.55)
        bar.set_gid(f"c-bar~{row}")
    (whisker,) = axes.plot([scale.inside(score.low), scale.inside(score.high)], [y, y], color=ink, linewidth=1.8)
    whisker.set_gid(f"c-whisker~{row}")
    if not bars:
        (dot,) = axes.plot([x], [y], marker="o", markersize=6, color=ink, clip_on=False)
        dot.set_gid(f"c-dot~{row}")


def _diamond(axes: Axes, x: float, row: int) -> None:
    """What is published."""
    (mark,) = axes.plot(
        [x],
        [row + 0.5],
        marker="D",
        markersize=6,
        markerfacecolor="none",
        markeredgecolor=colour("ink"),
        markeredgewidth=1.3,
        clip_on=False,
    )
    mark.set_gid(f"c-published~{row}")


def _legend(figure: Figure, y: float, published: bool, whiskers: bool = True) -> None:
    words = "Dots: ours" + (", whiskers: 95 % interval." if whiskers else ".")
    label(figure, 0, y, words + (" Hollow diamonds: paper." if published else ""))


@dataclass(frozen=True)
class Curve:
    """Estimates over a few steps of one setting; ``None`` leaves a gap."""

    title: str
    steps: tuple[int, ...]
    points: tuple[Estimate | None, ...]


def curves(
    panels: Sequence[Curve], y_label: str, summary: str, *, width: float = 860, height: float = 300
) -> Picture | None:
    """Panels side by side over one vertical axis; steps stand equally far apart, as doublings do."""
    points = [p for panel in panels for p in panel.points if p is not None]
    if not points:
        return None
    figure = blank(width, height)
    top, bottom, left = 40.0, height - 60, 56.0
    scale = Scale.around([v for p in points for v in (p.low, p.value, p.high)])
    each = (width - left - 40 * (len(panels) - 1)) / len(panels)
    label(figure, 0, 16, y_label, ink="ink", size=12.5, bold=True)
    for i, panel in enumerate(panels):
        start = left + i * (each + 40)
        axes = plot(figure, start, top, each, bottom - top)
        scale.apply(axes, "y", bottom - top, 26)
        if i:
            axes.tick_params(labelleft=False)
        axes.set_xlim(-0.5, len(panel.steps) - 0.5)
        axes.set_xticks(range(len(panel.steps)), [str(step) for step in panel.steps])
        label(figure, start + each / 2, bottom + 36, panel.title, anchor="center", ink="ink")
        _curve(axes, panel, scale)
    _legend(figure, height - 4, False)
    return Picture(figure, summary)


def _curve(axes: Axes, panel: Curve, scale: Scale) -> None:
    ink = colour(LLM)
    heights = [math.nan if point is None else point.value for point in panel.points]
    axes.plot(range(len(heights)), heights, color=ink, linewidth=1.4, alpha=0.6)
    for i, point in enumerate(panel.points):
        if point is None:
            axes.text(i, scale.low, "–", color=colour("soft"), ha="center", va="bottom")
            continue
        axes.plot([i, i], [point.low, point.high], color=ink, linewidth=1.8)
        (dot,) = axes.plot([i], [point.value], marker="o", markersize=6, color=ink)
        dot.set_gid(f"c-dot~{i}")


def heatmaps(grid: Sequence[Sequence[tuple[str, NDArray[np.float64]]]], labels: Sequence[str], summary: str) -> Picture:
    """Square matrices of correlations in rows and columns of panels; NaN (no correlation to speak of) is a dash.

    Colour says the strength, blue for positive and orange for negative; the number stands in the cell.
    """
    side, pad, head = 44.0, 70.0, 34.0
    size = side * len(labels)
    across, down = max(len(row) for row in grid), len(grid)
    figure = blank(across * (size + pad), down * (size + head + 40))
    for j, row in enumerate(grid):
        for i, (title, matrix) in enumerate(row):
            left, top = i * (size + pad) + 38, j * (size + head + 40) + head
            label(figure, left, top - 12, title, ink="ink", size=12.5, bold=True)
            _heatmap(plot(figure, left, top, size, size), matrix, labels)
    return Picture(figure, summary)


def _heatmap(axes: Axes, matrix: NDArray[np.float64], labels: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    number = len(labels)
    axes.set_xlim(0, number)
    axes.set_ylim(number, 0)
    axes.set_xticks(np.arange(number) + 0.5, labels)
    axes.set_yticks(np.arange(number) + 0.5, labels)
    axes.spines["bottom"].set_visible(False)
    for (i, j), value in np.ndenumerate(matrix):
        strength = min(abs(float(value)), 1.0) if math.isfinite(value) else 0.0
        ink = colour(CLASSICAL if value >= 0 else MULTI_TASK)
        axes.add_patch(Rectangle((j, i), 0.98, 0.98, facecolor=ink, alpha=0.06 + 0.54 * strength, linewidth=0))
        axes.text(
            j + 0.49, i + 0.5, fixed(float(value), 2), color=colour("ink"), ha="center", va="center", fontsize=11.5
        )
