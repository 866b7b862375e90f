"""A small SVG canvas. Colours are the page's, by CSS variable with a fixed value behind it: ``var(--ink, #15181c)``.

Pictures have no scripts, styles, ids or outer references, so that any number of them stands in one page, and the same
numbers make the same bytes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from channelbench.families import palette
from channelbench.leaderboard.numbers import ticks

__all__ = ["COLOURS", "Axis", "Canvas", "colour", "standalone"]

COLOURS = {
    "ink": "#15181c",
    "soft": "#5c6670",
    "rule": "#dfe3e7",
    "hair": "#eceef0",
    "bg": "#ffffff",
    **palette(),
    "other": "#7b8590",
}

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"


def colour(name: str) -> str:
    """A colour of the page; unknown names are ``other``."""
    known = name if name in COLOURS else "other"
    return f"var(--{known},{COLOURS[known]})"


def standalone(svg: str) -> str:
    """The picture as a file of its own: fixed colours, which every viewer knows, on white."""
    fixed = re.sub(r"var\(--[a-z-]+,(#[0-9a-f]+)\)", r"\1", svg)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{fixed}\n'


@dataclass
class Canvas:
    """Elements in the order that they are painted; positions in pixels from the upper left."""

    width: float
    height: float
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, ink: str = "rule", width: float = 1) -> None:
        """A straight line."""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'style="stroke:{colour(ink)};stroke-width:{width:g}"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: Literal["start", "middle", "end"] = "start",
        ink: str = "soft",
        size: float = 11.5,
        bold: bool = False,
    ) -> None:
        """Words at a baseline."""
        weight = ";font-weight:600" if bold else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'style="fill:{colour(ink)};font-size:{size:g}px{weight}">{escape(words)}</text>'
        )

    def rect(
        self, x: float, y: float, width: float, height: float, ink: str, tip: str = "", opacity: float = 1.0
    ) -> None:
        """A filled rectangle; ``tip`` is shown on hover."""
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'style="fill:{colour(ink)};fill-opacity:{opacity:.3g}">{_tip(tip)}</rect>'
        )

    def dot(self, x: float, y: float, ink: str, tip: str = "") -> None:
        """A filled circle: what was measured."""
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.8" style="fill:{colour(ink)}">{_tip(tip)}</circle>')

    def ring(self, x: float, y: float, ink: str, tip: str = "") -> None:
        """A hollow circle: what lies below what can be measured."""
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" '
            f'style="fill:{colour("bg")};stroke:{colour(ink)};stroke-width:1.4">{_tip(tip)}</circle>'
        )

    def diamond(self, x: float, y: float, tip: str = "") -> None:
        """What is published."""
        corners = f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5-5z"
        self.parts.append(
            f'<path d="{corners}" style="fill:none;stroke:{colour("ink")};stroke-width:1.3">{_tip(tip)}</path>'
        )

    def path(self, points: list[tuple[float, float]], ink: str, dash: str = "") -> None:
        """A line through points, of dashes and gaps where ``dash`` says how long."""
        dashed = f";stroke-dasharray:{dash}" if dash else ""
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{corners}" '
            f'style="fill:none;stroke:{colour(ink)};stroke-width:1.4;stroke-opacity:.6{dashed}"/>'
        )

    def svg(self, summary: str) -> str:
        """The element, with ``summary`` for who cannot see it."""
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
                f'width="{self.width:g}" height="{self.height:g}" role="img" aria-label="{escape(summary)}" '
                f'style="font-family:{FONT};background:{colour("bg")}">',
                *self.parts,
                "</svg>",
            ]
        )


def _tip(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""


@dataclass(frozen=True)
class Axis:
    """Values to pixels, linear or logarithmic; what is beyond the ends is drawn at the end."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    @classmethod
    def around(cls, values: list[float], start: float, stop: float, *, log: bool = False, zero: bool = False) -> Axis:
        """An axis that shows all finite values with some room; ``zero`` makes it show 0 too (never on a log axis)."""
        finite = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
        if not finite:
            return cls(0.0, 1.0, start, stop)
        low, high = min(finite), max(finite)
        if log:
            return cls(low / 1.25, high * 1.25, start, stop, True)
        low, high = (min(low, 0.0), max(high, 0.0)) if zero else (low, high)
        room = 0.08 * ((high - low) or abs(high) or 1.0)
        return cls(low if zero and low == 0 else low - room, high if zero and high == 0 else high + room, start, stop)

    def at(self, value: float) -> float:
        """Pixels of a value."""
        if self.log:
            if value <= 0:
                return self.start
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + (self.stop - self.start) * min(max(share, 0.0), 1.0)

    def marks(self, gap: float) -> list[tuple[float, str]]:
        """Round values, at least ``gap`` pixels apart, and their labels."""
        found: list[tuple[float, str]] = []
        for value in ticks(self.low, self.high, log=self.log):
            x = self.at(value)
            if not found or abs(x - found[-1][0]) >= gap:
                found.append((x, _short(value)))
        return found


def _short(value: float) -> str:
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= scale:
            factor = 1e3 if prefix == "k" else scale
            return f"{value / factor:.4g}{prefix}"
    return f"{value:.6g}".replace("-", "−")
