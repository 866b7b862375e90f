"""The three kinds of picture: dots or bars by row and panel, curves over a few steps, and heatmaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channelbench.benchmarks.exhibits.drawing import Axis, Canvas
from channelbench.families import CLASSICAL, LLM, MULTI_TASK
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.numbers import fixed

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
) -> str:
    """Rows of dots with whiskers (ours) and hollow diamonds (the paper's), panel beside panel.

    Returns:
        An SVG element; nothing where no row has a number of ours.
    """
    if not any(mark.ours is not None for row in rows for mark in row.marks):
        return ""
    names = 20 + 6.7 * max(len(row.title) for row in rows)
    bottom = _TOP + _ROW * len(rows)
    canvas = Canvas(width, bottom + _FOOT)
    for i, row in enumerate(rows):
        y = _TOP + _ROW * i + _ROW / 2
        canvas.text(0, y + 4, row.title, ink="soft" if row.marks else "ink", bold=not row.marks)
        if row.marks:
            canvas.line(names, y, width, y, "hair")
    each = (width - names - _GAP * (len(panels) - 1)) / len(panels)
    for i, panel in enumerate(panels):
        start = names + i * (each + _GAP)
        marks = [(row.family, row.title, row.marks[i] if row.marks else Mark()) for row in rows]
        _strip_panel(canvas, panel, marks, start, start + each, bottom)
    published = any(m.published is not None for row in rows for m in row.marks)
    _legend(canvas, bottom + 38, published, whiskers)
    return canvas.svg(summary)


def _strip_panel(
    canvas: Canvas, panel: Panel, marks: Sequence[tuple[str, str, Mark]], start: float, stop: float, bottom: float
) -> None:
    values = [v for _, _, mark in marks for v in _values(mark)]
    positive = [v for v in values if math.isfinite(v) and v > 0]
    log = (
        panel.log and not panel.bars and len(positive) == len(values) > 0 and max(positive) > _LOG_FROM * min(positive)
    )
    axis = Axis.around(values, start + 5, stop - 5, log=log, zero=panel.bars)
    canvas.text(start, 14, panel.title, ink="ink", size=12.5, bold=True)
    canvas.text(start, 30, ", ".join(part for part in (panel.note, "log" if log else "") if part), size=10.5)
    for x, label in axis.marks(34):
        canvas.line(x, _TOP - 4, x, bottom, "hair")
        canvas.text(x, bottom + 15, label, anchor="middle", size=10.5)
    canvas.line(start, bottom, stop, bottom)
    if panel.bars:
        canvas.line(axis.at(0), _TOP - 4, axis.at(0), bottom, "soft")
    for i, (family, title, mark) in enumerate(marks):
        y = _TOP + _ROW * i + _ROW / 2
        if mark.ours is not None and math.isfinite(mark.ours.value):
            _ours(canvas, axis, mark.ours, y, panel.ink or family, f"{title}, {panel.title}", panel.bars)
        if mark.published is not None:
            canvas.diamond(axis.at(mark.published), y, f"{title}, {panel.title}: paper {mark.published:.4g}")


def _values(mark: Mark) -> list[float]:
    ours = [] if mark.ours is None else [mark.ours.low, mark.ours.value, mark.ours.high]
    return [*ours, *([] if mark.published is None else [mark.published])]


def _ours(canvas: Canvas, axis: Axis, score: Estimate, y: float, family: str, label: str, bars: bool) -> None:
    tip = f"{label}: {score.value:.4g} ({score.low:.4g} to {score.high:.4g})"
    x = axis.at(score.value)
    if bars:
        zero = axis.at(0)
        canvas.rect(min(x, zero), y - 5.5, abs(x - zero), 11, family, tip, opacity=0.55)
    canvas.line(axis.at(score.low), y, axis.at(score.high), y, family, 1.8)
    if not bars:
        canvas.dot(x, y, family, tip)


def _legend(canvas: Canvas, y: float, published: bool, whiskers: bool = True) -> None:
    canvas.dot(5, y - 4, "soft")
    canvas.text(16, y, "ours, whiskers: 95 % interval" if whiskers else "ours")
    if published:
        at = 205 if whiskers else 60
        canvas.diamond(at, y - 4)
        canvas.text(at + 11, y, "paper")


@dataclass(frozen=True)
class Curve:
    """Estimates over a few steps of one setting; ``None`` leaves a gap."""

    title: str
    steps: tuple[int, ...]
    points: tuple[Estimate | None, ...]


def curves(panels: Sequence[Curve], y_label: str, summary: str, *, width: float = 860, height: float = 300) -> str:
    """Panels side by side over one vertical axis; steps stand equally far apart, as doublings do."""
    points = [p for panel in panels for p in panel.points if p is not None]
    if not points:
        return ""
    canvas = Canvas(width, height)
    top, bottom, left = 40.0, height - 60, 56.0
    axis = Axis.around([v for p in points for v in (p.low, p.value, p.high)], bottom, top)
    each = (width - left - 40 * (len(panels) - 1)) / len(panels)
    canvas.text(0, 16, y_label, ink="ink", size=12.5, bold=True)
    for i, panel in enumerate(panels):
        start = left + i * (each + 40)
        for y, label in axis.marks(26):
            canvas.line(start, y, start + each, y, "hair")
            if i == 0:
                canvas.text(left - 8, y + 4, label, anchor="end", size=10.5)
        canvas.line(start, bottom, start + each, bottom)
        canvas.text(start + each / 2, bottom + 36, panel.title, anchor="middle", ink="ink")
        _curve(canvas, panel, axis, start, each, bottom)
    _legend(canvas, height - 4, False)
    return canvas.svg(summary)


def _curve(canvas: Canvas, panel: Curve, axis: Axis, start: float, each: float, bottom: float) -> None:
    stride = each / len(panel.steps)
    drawn: list[tuple[float, float]] = []
    for i, (step, point) in enumerate(zip(panel.steps, panel.points, strict=True)):
        x = start + stride * (i + 0.5)
        canvas.text(x, bottom + 17, str(step), anchor="middle")
        if point is None:
            canvas.text(x, bottom - 8, "–", anchor="middle")
            _join(canvas, drawn)
            drawn = []
            continue
        y = axis.at(point.value)
        drawn.append((x, y))
        canvas.line(x, axis.at(point.low), x, axis.at(point.high), LLM, 1.8)
        canvas.dot(x, y, LLM, f"{panel.title} {step}: {point.value:.4g} ({point.low:.4g} to {point.high:.4g})")
    _join(canvas, drawn)


def _join(canvas: Canvas, points: list[tuple[float, float]]) -> None:
    if len(points) > 1:
        canvas.path(points, LLM)


def heatmaps(grid: Sequence[Sequence[tuple[str, NDArray[np.float64]]]], labels: Sequence[str], summary: str) -> str:
    """Square matrices of correlations in rows and columns of panels; NaN (no correlation to speak of) is a dash.

    Colour says the strength, blue for positive and orange for negative; the number stands in the cell.
    """
    side, pad, head = 44.0, 70.0, 34.0
    size = side * len(labels)
    across, down = max(len(row) for row in grid), len(grid)
    canvas = Canvas(across * (size + pad), down * (size + head + 40))
    for j, row in enumerate(grid):
        for i, (title, matrix) in enumerate(row):
            _heatmap(canvas, title, matrix, labels, i * (size + pad) + 38, j * (size + head + 40) + head, side)
    return canvas.svg(summary)


def _heatmap(
    canvas: Canvas, title: str, matrix: NDArray[np.float64], labels: Sequence[str], x: float, y: float, side: float
) -> None:
    canvas.text(x, y - 12, title, ink="ink", size=12.5, bold=True)
    for i, row in enumerate(labels):
        canvas.text(x - 8, y + side * (i + 0.5) + 4, row, anchor="end")
        canvas.text(x + side * (i + 0.5), y + side * len(labels) + 16, row, anchor="middle")
        for j, column in enumerate(labels):
            value = float(matrix[i, j])
            known = math.isfinite(value)
            strength = min(abs(value), 1.0) if known else 0.0
            ink = CLASSICAL if value >= 0 else MULTI_TASK
            tip = f"{row} and {column}: {fixed(value, 3)}"
            canvas.rect(x + side * j, y + side * i, side - 1, side - 1, ink, tip, opacity=0.06 + 0.74 * strength)
            words = fixed(value, 2)
            canvas.text(x + side * (j + 0.5) - 0.5, y + side * (i + 0.5) + 4, words, anchor="middle", ink="ink")
