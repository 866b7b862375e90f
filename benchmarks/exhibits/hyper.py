"""Fig. 7: the average loss of LLM4WM against the rank of its adapters and against the number of experts."""

from __future__ import annotations

from channelbench.benchmarks.exhibits.cells import AVERAGE, cell, csv_text, noise_note, places, record
from channelbench.benchmarks.exhibits.charts import Curve, curves
from channelbench.benchmarks.exhibits.rows import START_ROW, Line, PaperView, line, paper_views
from channelbench.card import Card
from channelbench.exhibit import Exhibit
from channelbench.families import LLM
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.numbers import fixed
from channelbench.leaderboard.sections import Section, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.views import Run

__all__ = ["Hyper"]

_STEPS = (2, 4, 8, 16)
_DEFAULT = 8
_AXES = {"rank": "LoRA rank, 8 experts", "experts": "number of experts, rank 8"}


class Hyper(Exhibit):
    """The two curves, where a point beside the default has a cell."""

    card = Card(
        name="hyper",
        description="Fig. 7: the average loss of LLM4WM against the rank of its adapters and the number of experts.",
        reference="LLM4WM, Fig. 7",
        family="exhibit",
    )

    def sections(self, run: Run) -> list[Section]:
        views = [v for v in paper_views(run) if any(v.has(_line(axis, step)) for axis in _AXES for step in _STEPS)]
        return [_section(view) for view in views[:1]]


def _section(view: PaperView) -> Section:
    points = {(axis, step): view.average(_line(axis, step)) for axis in _AXES for step in _STEPS}
    start = view.average(START_ROW)
    digits = places([*points.values(), start])
    rows = tuple(
        SectionRow(
            title=title,
            family=LLM,
            cells=tuple(
                cell(points[axis, step], digits, note=_note(view, _line(axis, step), points[axis, step] is None))
                for step in _STEPS
            ),
        )
        for axis, title in _AXES.items()
    )
    panels = [Curve(title, _STEPS, tuple(points[axis, step] for step in _STEPS)) for axis, title in _AXES.items()]
    return Section(
        name="hyper",
        title="Fig. 7: rank and number of experts",
        text=(
            "Average loss of LLM4WM when one of the two numbers changes and the other stays at 8; the point at 8 is "
            "the same in both. The paper shows its curves as a picture without numbers: both fall as the numbers grow. "
            f"{AVERAGE}{_start_note(start, digits)}{noise_note(view)}"
        ),
        columns=tuple(SectionColumn(label=str(step), unit="average loss") for step in _STEPS),
        groups=(SectionGroup(rows=rows),),
        picture=curves(panels, "Average loss (Eq. 28)", "Fig. 7: average loss against rank and number of experts"),
        csv=csv_text(
            [
                record(
                    points[axis, step],
                    conditions=view.condition,
                    axis=axis,
                    step=step,
                    method=_line(axis, step).methods[0],
                    metric="avg_llm4wm",
                )
                for axis, step in points
            ]
        ),
        first="Varied",
    )


def _start_note(start: Estimate | None, digits: int) -> str:
    if start is None:
        return ""
    return f" The aligned start that the networks correct has {fixed(start.value, digits)} by itself."


def _line(axis: str, step: int) -> Line:
    method = "llm4wm" if step == _DEFAULT else f"llm4wm+{axis}{step}"
    return line(method, f"{axis} {step}", LLM)


def _note(view: PaperView, wanted: Line, missing: bool) -> str:
    return "not all six tasks have a score" if missing else view.detail(wanted)
