"""Pictures by matplotlib: SVG in the page's own colours, light or dark, and PDF for a paper.

The SVG has no scripts, styles, ids or outer references, so that any number of them stands in one page; text stays text.
The same numbers make the same bytes.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree

from channelbench.families import palette
from channelbench.leaderboard.numbers import ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "Picture", "Scale", "blank", "colour", "label", "plot", "standalone"]

COLOURS = {
    "ink": "#15181c",
    "soft": "#56606a",
    "rule": "#d9dee3",
    "hair": "#eceef0",
    "bg": "#ffffff",
    **palette(),
    "other": "#7b8590",
}

_FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "channelbench", "pdf.fonttype": 42, "axes.unicode_minus": True}
_NAMED = {value: name for name, value in COLOURS.items()}
_FONT_STYLE = re.compile(r"font: (?:(\d+|bold|italic) )?([\d.]+)px [^;]*")


def colour(name: str) -> str:
    """A colour of the page; unknown names are ``other``."""
    return COLOURS.get(name, COLOURS["other"])


@dataclass(frozen=True)
class Picture:
    """A drawn figure, with ``summary`` for who cannot see it."""

    figure: Figure
    summary: str

    @cached_property
    def svg(self) -> str:
        """An SVG element for the page."""
        with _settings():
            raw = io.StringIO()
            self.figure.savefig(raw, format="svg", metadata={"Date": None, "Creator": None})
        return _tidied(raw.getvalue(), self.summary)

    @cached_property
    def pdf(self) -> bytes:
        """A PDF file with its fonts inside."""
        with _settings():
            raw = io.BytesIO()
            self.figure.savefig(raw, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
        return raw.getvalue()


def standalone(svg: str) -> str:
    """The picture as a file of its own: fixed colours, which every viewer knows, on white."""
    fixed = re.sub(r"var\(--[a-z-]+,(#[0-9a-f]+)\)", r"\1", svg)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{fixed}\n'


@contextmanager
def _settings() -> Iterator[None]:
    """Ours and nobody else's, whatever a user's matplotlib is set to."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def blank(width: float, height: float) -> Figure:
    """An empty figure of so many pixels."""
    from matplotlib.figure import Figure

    with _settings():
        return Figure(figsize=(width / 72, height / 72), dpi=72, facecolor=colour("bg"))


def plot(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in pixels from the upper left: a base line, and nothing else yet."""
    across, down = (72 * float(size) for size in figure.get_size_inches())
    place = (left / across, 1 - (top + height) / down, width / across, height / down)
    with _settings():
        axes = figure.add_axes(place)
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(colour("rule"))
    axes.tick_params(length=0, labelsize=10.5, labelcolor=colour("soft"), pad=5, which="both")
    axes.set_axisbelow(True)
    return axes


def label(
    figure: Figure,
    x: float,
    y: float,
    words: str,
    *,
    ink: str = "soft",
    size: float = 11.5,
    bold: bool = False,
    anchor: Literal["left", "center", "right"] = "left",
) -> None:
    """Words at a baseline, in pixels from the upper left of the figure."""
    across, down = (72 * float(size_) for size_ in figure.get_size_inches())
    weight = "bold" if bold else "normal"
    # A lone dollar sign would begin a formula.
    text = words.replace("$", r"\$")
    figure.text(x / across, 1 - y / down, text, color=colour(ink), fontsize=size, fontweight=weight, ha=anchor)


@dataclass(frozen=True)
class Scale:
    """The ends of an axis, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, values: Sequence[float], *, log: bool = False, zero: bool = False) -> Scale:
        """One that shows all finite values with some room; ``zero`` makes it show 0 too (never where it is log)."""
        finite = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
        if not finite:
            return cls(0.0, 1.0)
        low, high = min(finite), max(finite)
        if log:
            return cls(low / 1.25, high * 1.25, True)
        low, high = (min(low, 0.0), max(high, 0.0)) if zero else (low, high)
        room = 0.08 * ((high - low) or abs(high) or 1.0)
        return cls(low if zero and low == 0 else low - room, high if zero and high == 0 else high + room)

    def inside(self, value: float) -> float:
        """The value, or the end of the axis beyond which it lies."""
        return min(max(value, self.low), self.high)

    def share(self, value: float) -> float:
        """How far along the axis a value lies, 0 to 1."""
        scale = math.log if self.log else float
        return (scale(self.inside(value)) - scale(self.low)) / (scale(self.high) - scale(self.low))

    def apply(self, axes: Axes, which: Literal["x", "y"], pixels: float, gap: float) -> None:
        """Set an axis of so many pixels, with round marks at least ``gap`` apart."""
        from matplotlib.ticker import NullLocator

        axis = axes.xaxis if which == "x" else axes.yaxis
        if self.log:
            (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        (axes.set_xlim if which == "x" else axes.set_ylim)(self.low, self.high)
        marks: list[float] = []
        for value in ticks(self.low, self.high, log=self.log):
            if not marks or (self.share(value) - self.share(marks[-1])) * pixels >= gap:
                marks.append(value)
        axis.set_ticks(marks, [_short(mark) for mark in marks])
        axis.set_minor_locator(NullLocator())
        axes.grid(True, axis=which, color=colour("hair"), linewidth=1)


def _short(value: float) -> str:
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= scale:
            factor = 1e3 if prefix == "k" else scale
            return f"{value / factor:.4g}{prefix}"
    return f"{value:.6g}".replace("-", "−")


def _tidied(text: str, summary: str) -> str:
    """What a page can take in: marks in place of references to them, classes in place of ids, colours by name."""
    root = ElementTree.fromstring(text)
    shapes = {path.get("id"): path for path in root.iter(f"{_SVG}path") if path.get("id")}
    for parent in list(root.iter()):
        for place, child in enumerate(list(parent)):
            if child.tag == f"{_SVG}use":
                parent[place] = _placed(child, shapes)
        for child in [c for c in parent if c.tag in (f"{_SVG}defs", f"{_SVG}metadata")]:
            parent.remove(child)
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.removeprefix(_SVG)
        name = element.attrib.pop("id", "")
        if name.startswith("c-"):
            element.set("class", name[2:].split("~")[0])
        element.attrib.pop("clip-path", None)
        if style := element.get("style"):
            element.set("style", _styled(style))
        element.text, element.tail = ((t.strip() or None) if t else None for t in (element.text, element.tail))
    width, height = (float(v) for v in (root.get("viewBox") or "0 0 0 0").split()[2:])
    root.attrib.clear()
    root.attrib.update(
        {
            "xmlns": _SVG.strip("{}"),
            "viewBox": f"0 0 {width:g} {height:g}",
            "width": f"{width:g}",
            "height": f"{height:g}",
            "role": "img",
            "aria-label": summary,
            "style": f"font-family:{_FONT};background:{_named(COLOURS['bg'])}",
        }
    )
    return ElementTree.tostring(root, encoding="unicode")


def _placed(use: ElementTree.Element, shapes: dict[str | None, ElementTree.Element]) -> ElementTree.Element:
    shape = shapes[(use.get(_LINK) or "").removeprefix("#")]
    x, y = float(use.get("x", "0")), float(use.get("y", "0"))
    style = "; ".join(part for part in (shape.get("style"), use.get("style")) if part)
    outline = shape.get("d", "").split()
    if outline.count("C") == 8 and outline[:2] == ["M", "0"]:  # how matplotlib draws a circle of this radius
        circle = {"cx": f"{x:.6g}", "cy": f"{y:.6g}", "r": f"{float(outline[2]):g}", "style": style}
        return ElementTree.Element(f"{_SVG}circle", circle)
    return ElementTree.Element(
        f"{_SVG}path", {"d": shape.get("d", ""), "transform": f"translate({x:.6g} {y:.6g})", "style": style}
    )


def _styled(style: str) -> str:
    style = _FONT_STYLE.sub(lambda m: f"font-size: {m[2]}px" + (f"; font-weight: {m[1]}" if m[1] else ""), style)
    return re.sub(r"#[0-9a-f]{6}", lambda m: _named(m[0]), style).replace("; ", ";").replace(": ", ":")


def _named(value: str) -> str:
    name = _NAMED.get(value)
    return value if name is None else f"var(--{name},{value})"
