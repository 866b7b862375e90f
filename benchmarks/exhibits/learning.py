"""How the fits went: training and validation loss by step, of every learned method on every task."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from channelbench.card import Card
from channelbench.exhibit import Exhibit
from channelbench.families import BUNDLE
from channelbench.leaderboard.catalogue import task_entry
from channelbench.leaderboard.curves import MARKS, apart
from channelbench.leaderboard.labels import condition_title, task_code
from channelbench.leaderboard.pictures import Picture, Scale, blank, colour, label, plot
from channelbench.leaderboard.sections import Section
from channelbench.leaderboard.views import Run, View
from channelbench.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Fit", "LearningCurves", "fits"]

_HEADS = ("task", "condition", "method", "title", "family", "seed", "status", "curve", "step", "value")
_TEXT = (
    "Solid: the score of the validation split, by which the kept weights are chosen; lower is better. Dashed: the "
    "training loss, which may be of another objective, and of a single batch. Methods that are fitted to several tasks "
    "at once have a panel of their own. A line for each seed; a dot where there is one value. Lines of different "
    "methods compare as far as their objectives do: the scores are in the tables above."
)
_WIDTH, _TOP, _FOOT, _LEFT, _GAP = 1180.0, 44.0, 40.0, 46.0, 26.0
_HEIGHT, _ROOM, _LEGEND = 190.0, 13.5, 26.0
_NARROWEST = 150.0
"""A plot beside its names, at least: else there are fewer panels in a row."""
_POINTS = 40
_LOG_FROM = 8.0
"""From where to where values have to reach for an axis to be logarithmic."""
_DASHED = (4.0, 2.0)


@dataclass(frozen=True)
class Fit:
    """The curves of one method on one task.

    Attributes:
        title: Of the method, with what became of it where it failed.
        family: Of the method.
        results: A cell for each seed, which have the curves.
    """

    title: str
    family: str
    results: tuple[Result, ...]

    @property
    def lowest(self) -> float:
        """The lowest value of its curves."""
        return min(value for _, _, values in self.curves for value in values.values())

    @property
    def numbers(self) -> tuple[object, ...]:
        """Of its curves: one training has the same wherever it is shown."""
        return (self.title, *((name, seed, *values.items()) for name, seed, values in self.curves))

    @property
    def curves(self) -> Iterator[tuple[str, int, Mapping[int, float]]]:
        """``(training or validation, seed, value by step)`` of those that there are; steps in order."""
        for result in self.results:
            if (training := result.training) is not None:
                for name, values in (("training", training.losses), ("validation", training.validation)):
                    kept = {step: values[step] for step in sorted(values) if math.isfinite(values[step])}
                    if any(kept):  # what is scored before a first step and never again has learned nothing
                        yield name, result.seed, kept


class LearningCurves(Exhibit):
    """A panel for each task, wherever a cell says how its fit went."""

    card = Card(
        name="learning",
        description="Training and validation loss by step, of every learned method on every task.",
        reference="the cells' own curves",
        family="exhibit",
    )

    def sections(self, run: Run) -> list[Section]:
        found = fits(run)
        if not found:
            return []
        codes = {task: _title(run, task) for task in found}
        picture = _drawn(_panels({codes[task]: each for task, (_, each) in found.items()}))
        tables = dict.fromkeys(f"“{condition_title(view.condition)}”" for view, _ in found.values())
        return [
            Section(
                name="learning",
                title="Learning curves",
                text=f"The fits behind the table{'s' * (len(tables) > 1)} {' and '.join(tables)}. {_TEXT}",
                picture=picture,
                csv=_csv(found),
            )
        ]


def fits(run: Run) -> dict[str, tuple[View, list[Fit]]]:
    """By task, the first condition under which cells have curves, and the methods with any."""
    found: dict[str, tuple[View, list[Fit]]] = {}
    for view in (*run.views, *run.all_views):
        for task in run.board.manifest.tasks:
            if task not in found and (there := list(_of_task(view, task))):
                found[task] = (view, there)
    return {task: found[task] for task in run.board.manifest.tasks if task in found}


def _of_task(view: View, task: str) -> Iterator[Fit]:
    for row in view.table.rows:
        entry = row.entries[task]
        fit = Fit(row.title + (" (failed)" if entry.state == "failed" else ""), row.family, entry.results)
        if row.family != BUNDLE and any(True for _ in fit.curves):
            yield fit


def _title(run: Run, task: str) -> str:
    title = task_entry(run.board.manifest, task).title
    code = task_code(task)
    return code + (f"  {title}" if title.lower() not in (task.lower(), code.lower()) else "")


def _csv(found: Mapping[str, tuple[View, Sequence[Fit]]]) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(_HEADS)
    for task, (view, there) in found.items():
        for fit in there:
            first = fit.results[0]
            for name, seed, values in fit.curves:
                status = next(result.status for result in fit.results if result.seed == seed)
                about = (task, view.condition, first.method, first.title, fit.family, seed, status, name)
                lines.writerows((*about, step, repr(value)) for step, value in values.items())
    return text.getvalue()


def _panels(found: Mapping[str, Sequence[Fit]]) -> dict[str, list[Fit]]:
    """By title, the fits of a panel: each task's own, those whose objective goes below 0 apart from those of which it
    cannot, and once those of several tasks. On one axis the one would flatten the other."""
    count = Counter(fit.numbers for there in found.values() for fit in there)
    panels: dict[str, list[Fit]] = {}
    for title, there in found.items():
        own = [fit for fit in there if count[fit.numbers] == 1]
        above = [fit for fit in own if fit.lowest > 0]
        panels[title] = above or own
        panels[f"{title}, objectives below 0"] = [fit for fit in own if above and fit.lowest <= 0]
    joint = {fit.numbers: fit for there in found.values() for fit in there if count[fit.numbers] > 1}
    panels["Fitted to several tasks at once"] = list(joint.values())
    return {title: there for title, there in panels.items() if there}


# --- the picture -----------------------------------------------------------------------------------------------------


def _drawn(found: Mapping[str, Sequence[Fit]]) -> Picture:
    """Panels side by side, in as many rows as they need."""
    names = 25 + 6.0 * max(len(fit.title) for each in found.values() for fit in each)
    across = max(1, min(len(found), int((_WIDTH + _GAP) // (_LEFT + _NARROWEST + names + _GAP))))
    each = (_WIDTH - across * (_LEFT + names) - _GAP * (across - 1)) / across
    height = max(_HEIGHT, _ROOM * (1 + max(len(there) for there in found.values())))
    rows = math.ceil(len(found) / across)
    looks = _looks(fit for there in found.values() for fit in there)
    figure = blank(_WIDTH, rows * (_TOP + height + _FOOT) + _LEGEND)
    for number, (title, there) in enumerate(found.items()):
        row, column = divmod(number, across)
        start = column * (_LEFT + each + names + _GAP) + _LEFT
        top = row * (_TOP + height + _FOOT) + _TOP
        _Panel(figure, start, top, each, height).draw(title, there, looks, number)
    label(figure, 0, rows * (_TOP + height + _FOOT) + 14, "Solid: validation. Dashed: training. A line for each seed.")
    return Picture(
        figure, f"Training and validation loss by step: {'; '.join(title.split('  ')[0] for title in found)}"
    )


def _looks(fits: Iterable[Fit]) -> dict[str, str]:
    """The mark of each method, the same in all panels: those of a family share its colour."""
    found: dict[str, str] = {}
    counts: dict[str, int] = {}
    for fit in fits:
        if fit.title not in found:
            counts[fit.family] = counts.get(fit.family, -1) + 1
            found[fit.title] = MARKS[counts[fit.family] % len(MARKS)]
    return found


class _Panel:
    """One task."""

    def __init__(self, figure: Figure, start: float, top: float, width: float, height: float) -> None:
        self.figure, self.start, self.top, self.width, self.height = figure, start, top, width, height

    def draw(self, title: str, there: Sequence[Fit], looks: Mapping[str, str], number: int) -> None:
        axes = plot(self.figure, self.start, self.top, self.width, self.height)
        curves = [values for fit in there for _, _, values in fit.curves]
        x = Scale(0.0, 1.02 * max(step for values in curves for step in values))
        heights = [value for values in curves for value in values.values()]
        y = Scale.around(heights, log=min(heights) > 0 and max(heights) > _LOG_FROM * min(heights))
        x.apply(axes, "x", self.width, 38)
        y.apply(axes, "y", self.height, 24)
        axes.grid(False, axis="x")
        label(self.figure, self.start - _LEFT, self.top - 26, title, ink="ink", size=12.5, bold=True)
        label(self.figure, self.start - _LEFT, self.top - 11, f"loss{', log' if y.log else ''}, by step", size=10.5)
        for place, fit in enumerate(there):
            _lines(axes, fit, looks[fit.title], x, y, f"{number}-{place}")
        self._names(there, looks, x, y)

    def _names(self, there: Sequence[Fit], looks: Mapping[str, str], x: Scale, y: Scale) -> None:
        """At the right, as high as their last points where there is room."""
        from matplotlib.lines import Line2D

        ends = []
        for fit in there:
            known = {name: values for name, _, values in fit.curves}
            values = known.get("validation", known.get("training", {}))
            step = max(values)
            down = self.top + self.height * (1 - y.share(values[step]))
            ends.append((down, self.start + self.width * x.share(step), fit))
        ends.sort(key=lambda end: end[0])
        whole, deep = (72 * float(size) for size in self.figure.get_size_inches())
        places = apart([y for y, _, _ in ends], self.top, self.top + self.height)
        stop = self.start + self.width
        for (y_at, x_at, fit), at in zip(ends, places, strict=True):
            ink = colour(fit.family)
            ends_of = [(x_at + 4) / whole, (stop + 6) / whole], [1 - y_at / deep, 1 - at / deep]
            self.figure.add_artist(Line2D(*ends_of, color=ink, lw=0.7, alpha=0.7, ls=":"))
            mark = Line2D([(stop + 11) / whole], [1 - at / deep], color=ink, marker=looks[fit.title], ms=4.5, ls="none")
            self.figure.add_artist(mark)
            label(self.figure, stop + 18, at + 4, fit.title, ink="ink", size=10.5)


def _thinned(values: Mapping[int, float]) -> dict[int, float]:
    """As many points as a line of this size shows, evenly, with the last: a page has hundreds of lines."""
    steps = list(values)
    apart_by = math.ceil(len(steps) / _POINTS)
    return {step: values[step] for step in sorted({*steps[::apart_by], steps[-1]})}


def _lines(axes: Axes, fit: Fit, mark: str, x: Scale, y: Scale, gid: str) -> None:
    ink = colour(fit.family)
    for number, (name, _, whole) in enumerate(fit.curves):
        values = _thinned(whole)
        xs, ys = [x.inside(step) for step in values], [y.inside(value) for value in values.values()]
        is_validation = name == "validation"
        (line,) = axes.plot(
            xs,
            ys,
            color=ink,
            linewidth=1.1 if is_validation else 0.7,
            alpha=0.9 if is_validation else 0.45,
            marker=mark if is_validation or len(values) == 1 else None,
            markersize=3.4,
            zorder=3 if is_validation else 2,
        )
        if not is_validation:
            line.set_dashes(_DASHED)
        line.set_gid(f"c-{name}~{gid}-{number}")
