"""Fig. 11 of the multi-task PHY LLM: how the training loss falls, with instructions and without."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channelbench.benchmarks.exhibits.cells import cell, csv_text, record
from channelbench.card import Card
from channelbench.exhibit import Exhibit
from channelbench.families import LLM
from channelbench.leaderboard import labels
from channelbench.leaderboard.curves import Line, LinesPanel, Point, lines
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.numbers import decimals
from channelbench.leaderboard.sections import Section, SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.views import Run
from channelbench.results import read_artefact

__all__ = ["Curve", "Instruction", "read_curves"]

_ROWS = {
    "phy_llm": "multi-task, instructions",
    "phy_llm(s)": "single task, instructions",
    "phy_llm(s)+no-prompt": "single task, none",
}
_TASKS = ("det", "cp")
"""Whose loss is the same thing from the first step to the last; precoding changes from labels to rates."""

_PARTS = 20
"""Of the training, each a point."""

_NEAR = 1.1
"""Times the least mean of any row: what counts as there."""


@dataclass(frozen=True)
class Curve:
    """The losses of one method's trainings for a task.

    Attributes:
        steps: Number of each step, ``[steps]``, the same for all seeds.
        losses: ``[seeds, steps]``.
    """

    method: str
    steps: NDArray[np.float64]
    losses: NDArray[np.float64]

    def means(self) -> list[Point]:
        """Means over the parts of the training, at each part's last step, with the interval of the mean of so many
        steps as if these were independent."""
        found = []
        for part in np.array_split(np.arange(len(self.steps)), min(_PARTS, len(self.steps))):
            values = self.losses[:, part].ravel()
            half = 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
            mean = float(values.mean())
            score = Estimate(value=mean, low=mean - half, high=mean + half)
            found.append(Point(float(self.steps[part[-1]]), score))
        return found

    @property
    def final(self) -> Estimate:
        """The mean of the last part."""
        score = self.means()[-1].score
        assert score is not None
        return score

    def reached(self, level: float) -> float:
        """The end of the first part with a mean of at most ``level``; NaN where there is none."""
        return next((p.x for p in self.means() if p.score is not None and p.score.value <= level), math.nan)


class Instruction(Exhibit):
    """Curves and table, where a cell has left its losses."""

    card = Card(
        name="phy-instruction",
        description="Fig. 11: training losses with instructions and without, of one task and of all.",
        reference="Multi-task PHY LLM, Fig. 11",
        family="exhibit",
    )

    def sections(self, run: Run) -> list[Section]:
        found = {task: curves for task in _TASKS if (curves := read_curves(run, task))}
        return [_section(found)] if found else []


def read_curves(run: Run, task: str) -> list[Curve]:
    """The losses that cells of a task have left as the artefact ``loss``, ``steps`` and ``training``; what cannot be
    read, or is of another length than the first seed's, is passed over."""
    found = []
    for method in _ROWS:
        kept: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        for result in (r for r in run.board.results if r.method == method and r.task == task):
            if "loss" in result.artefacts and result.seed not in kept:
                try:
                    arrays = read_artefact(run.folder, result, "loss")
                    steps, losses = (np.asarray(arrays[name], float).ravel() for name in ("steps", "training"))
                except (KeyError, ValueError):
                    continue
                if len(steps) == len(losses) > 0 and np.isfinite(losses).all():
                    kept[result.seed] = steps, losses
        if kept:
            steps = next(iter(kept.values()))[0]
            alike = [losses for own, losses in kept.values() if np.array_equal(own, steps)]
            found.append(Curve(method, steps, np.stack(alike)))
    return found


def _section(found: dict[str, list[Curve]]) -> Section:
    panels = [
        LinesPanel(labels.task_code(task), tuple(Line(_ROWS[c.method], LLM, tuple(c.means())) for c in curves))
        for task, curves in found.items()
    ]
    return Section(
        name="phy-instruction",
        title="Fig. 11: training with instructions and without",
        text=(
            "Training loss over the steps of the task, means of a twentieth of the training each. The paper shows "
            "detection, as a picture: the single-task network with instructions converges first, the multi-task one "
            "after as many epochs (200), and without instructions it takes half as long again (300). “There” is the "
            f"end of the first part whose mean is at most {_NEAR:g} times the least that any row ends with. Intervals "
            "are of steps alone: they hold nothing of what another seed would change."
        ),
        columns=(
            SectionColumn(label="Loss at the end"),
            SectionColumn(label="There after", unit="steps of the task"),
        ),
        groups=tuple(SectionGroup(title=labels.task_code(task), rows=_table(curves)) for task, curves in found.items()),
        picture=lines(panels, "steps of the task", "training loss", "Fig. 11: training loss by steps", log=True),
        csv=csv_text(
            [
                record(point.score, task=task, method=curve.method, step=point.x)
                for task, curves in found.items()
                for curve in curves
                for point in curve.means()
            ]
        ),
        first="Training",
    )


def _table(curves: Sequence[Curve]) -> tuple[SectionRow, ...]:
    level = _NEAR * min(curve.final.value for curve in curves)
    digits = decimals([curve.final for curve in curves])
    rows = []
    for curve in curves:
        there = curve.reached(level)
        steps = (
            SectionCell(note="not in this training")
            if math.isnan(there)
            else SectionCell(text=f"{there:g}", value=there)
        )
        rows.append(SectionRow(title=_ROWS[curve.method], cells=(cell(curve.final, digits), steps), family=LLM))
    return tuple(rows)
