"""Pictures in rows, and the sentence under each, and above it in print."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from channelbench.generator import Panel, View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["caption", "lay_out", "said"]

_PER_INCH = 14.5
"""Letters of a caption."""
_BELOW = 40
"""Points from the axes to it: ticks and their label are between."""


def caption(ax: Axes, view: View, inches: float) -> None:
    """Write a picture's sentence under it, where it has one.

    Args:
        ax: What it is drawn on.
        view: The picture.
        inches: How wide it is, about.
    """
    if isinstance(view, Panel) and view.sentence:
        text = textwrap.fill(view.sentence, max(24, int(_PER_INCH * inches)))
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
        ax.annotate(text, (0, 0), (-24, -_BELOW), va="top", ha="left", fontsize=8, color="#475569", **place)


def lay_out(sheet: Any, rows: Sequence[Sequence[View]], inches: float) -> None:
    """Each row over the whole width, however many panels are in it."""
    grid = sheet.add_gridspec(len(rows), 6)
    for number, row in enumerate(rows):
        width = 6 // len(row)
        for place, panel in enumerate(row):
            ax = sheet.add_subplot(grid[number, place * width : (place + 1) * width])
            panel(ax)
            caption(ax, panel, inches / len(row))


def said(views: Iterable[View]) -> Iterator[str]:
    """A line for each picture that explains itself."""
    for view in views:
        if isinstance(view, Panel) and view.sentence:
            yield from textwrap.wrap(f"{view.title}: {view.sentence}", 100, subsequent_indent="    ")
