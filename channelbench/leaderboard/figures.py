"""Dot-and-whisker pictures of one task: positions in percent of the width, so that text keeps its size on a phone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from channelbench.families import BUNDLE, CEILING, FLOOR, family_of
from channelbench.leaderboard.board import Column, Row
from channelbench.leaderboard.numbers import decimals, fixed, interval, ticks

__all__ = ["ROW_PX", "TOP_PX", "Figure", "Line", "Point", "draw"]

ROW_PX = 22
TOP_PX = 54
_BOTTOM_PX = 24
_MARGIN = 2.5  # percent of the width that stays free at either end
_TICK_GAP = 18  # percent of the width, which is some 25 pixels on a phone
_LOG_FROM = 8.0  # ratio of the largest to the smallest score from which a logarithmic axis reads better


@dataclass(frozen=True, kw_only=True)
class Point:
    """One method: dot, whisker and the words beside it. Positions in percent and pixels."""

    title: str
    family: str
    reference: bool
    x: str
    low: str
    high: str
    y: int
    text: str
    detail: str
    beyond: str = ""
    """Which way it lies off the axis: its number stands beside the picture."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A vertical line with a label, or the label alone where the line is off a logarithmic axis."""

    kind: str
    label: str
    x: str
    label_y: int
    anchor: str
    drawn: bool


@dataclass(frozen=True, kw_only=True)
class Figure:
    """All that the template draws."""

    points: tuple[Point, ...]
    lines: tuple[Line, ...]
    ticks: tuple[tuple[str, str], ...]
    height: int
    bottom: int
    log: bool
    summary: str
    clipped: str = ""
    """Who lies off the axis, in a sentence with the numbers."""


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    log: bool

    def percent(self, value: float) -> float:
        scale = math.log10 if self.log else float
        share = (scale(max(value, self.low)) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return _MARGIN + (100 - 2 * _MARGIN) * min(max(share, 0.0), 1.0)

    def shows(self, value: float) -> bool:
        return math.isfinite(value) and (not self.log or value > 0)


def draw(column: Column, rows: Sequence[Row], ceiling_label: str = CEILING) -> Figure | None:
    """Contestants and references on the primary metric, best first, or ``None`` where nobody has a score."""
    metric = column.metric
    shown = [
        row
        for row in rows
        if row.family != BUNDLE and not family_of(row.family).anchor and metric in row.entries[column.task].scores
    ]
    if not shown:
        return None
    sign = -1 if column.higher_is_better else 1
    shown.sort(key=lambda row: sign * row.entries[column.task].scores[metric].value)
    estimates = [row.entries[column.task].scores[metric] for row in shown]
    anchors = [a[1].value for a in (column.floor, column.ceiling) if a is not None]
    far = _far(column)
    near = [e for e in estimates if not far(e.value)] or estimates
    axis = _axis(column, [v for e in near for v in (e.low, e.value, e.high)], anchors)
    if len(near) < len(estimates):
        axis = _kept(axis, column)
    places = decimals(estimates)
    away = "◂" if column.higher_is_better else "▸"
    points = tuple(
        Point(
            title=row.title,
            family=row.family,
            reference=not row.is_contestant,
            x=_percent(axis.percent(e.value)),
            low=_percent(axis.percent(e.low)),
            high=_percent(axis.percent(e.high)),
            y=TOP_PX + ROW_PX * i + ROW_PX // 2,
            text=fixed(e.value, places),
            detail=f"{row.title}: {fixed(e.value, places)} ({interval(e, places) or 'exact'})",
            beyond=away if far(e.value) and len(near) < len(estimates) else "",
        )
        for i, (row, e) in enumerate(zip(shown, estimates, strict=True))
    )
    bottom = TOP_PX + ROW_PX * len(shown)
    return Figure(
        points=points,
        lines=tuple(_lines(column, axis, places, ceiling_label)),
        ticks=tuple((_percent(axis.percent(t)), f"{t:.6g}".replace("-", "−")) for t in _thinned(axis)),
        height=bottom + _BOTTOM_PX,
        bottom=bottom,
        log=axis.log,
        summary="; ".join(point.detail for point in points),
        clipped=_clipped([point for point in points if point.beyond]),
    )


def _far(column: Column) -> Callable[[float], bool]:
    """Whether a score is further below the floor than the ceiling is above it: it would squeeze all others."""
    if not column.has_skill or column.floor is None or column.ceiling is None:
        return lambda value: False
    floor, span = column.floor[1].value, column.floor[1].value - column.ceiling[1].value
    return lambda value: (value - floor) / span > 1


def _kept(axis: _Axis, column: Column) -> _Axis:
    """The axis, ended a little behind the floor."""
    assert column.floor is not None
    floor = column.floor[1].value
    if axis.log:
        return _Axis(axis.low, max(1.6 * floor, axis.high), True)
    room = 0.12 * (axis.high - axis.low)
    if column.higher_is_better:
        return _Axis(min(axis.low, floor - room), axis.high, False)
    return _Axis(axis.low, max(axis.high, floor + room), False)


def _clipped(points: Sequence[Point]) -> str:
    if not points:
        return ""
    return f"Off the axis, far worse than trivial: {', '.join(f'{p.title} {p.text}' for p in points)}."


def _axis(column: Column, values: Sequence[float], anchors: Sequence[float]) -> _Axis:
    finite = [v for v in values if math.isfinite(v)] or [0.0]
    everything = [*finite, *(a for a in anchors if math.isfinite(a))]
    positive = [v for v in everything if v > 0]
    low, high = min(everything), max(everything)
    if not column.higher_is_better and min(finite) > 0 and max(positive) / min(positive) >= _LOG_FROM:
        return _Axis(min(positive) / 1.1, max(positive) * 1.1, True)
    if not column.higher_is_better or 0 <= low < 0.5 * high:
        low = min(low, 0.0)
    return _Axis(low, high if high > low else low + 1, False)


def _thinned(axis: _Axis) -> Sequence[float]:
    """Ticks that have room for their labels."""
    marks: list[float] = []
    for tick in ticks(axis.low, axis.high, log=axis.log):
        if not marks or axis.percent(tick) - axis.percent(marks[-1]) >= _TICK_GAP:
            marks.append(tick)
    return marks


def _lines(column: Column, axis: _Axis, places: int, ceiling_label: str) -> Sequence[Line]:
    """Ceiling, reachable limit and floor, their labels on lines of their own so that they never collide."""
    lines = []
    known = (
        (CEILING, column.ceiling, ceiling_label, 12),
        ("limit", column.limit, "reachable limit", 27),
        (FLOOR, column.floor, FLOOR, 42),
    )
    for kind, anchor, name, y in known:
        if anchor is None or not math.isfinite(anchor[1].value):
            continue
        value = anchor[1].value
        drawn = axis.shows(value)
        at = axis.percent(value) if drawn else _MARGIN
        text = f"{name} {fixed(value, places if value else 0)}"
        lines.append(
            Line(
                kind=kind,
                label=text if drawn else f"◂ {text}",
                x=_percent(at),
                label_y=y,
                anchor="start" if at < 20 else "end" if at > 80 else "middle",
                drawn=drawn,
            )
        )
    return lines


def _percent(value: float) -> str:
    return f"{value:.2f}%"
