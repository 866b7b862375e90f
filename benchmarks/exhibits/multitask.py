"""Fig. 5: what training the six tasks together gains, for a small and for a large network."""

from __future__ import annotations

from collections.abc import Mapping

from channelbench.benchmarks.exhibits import paper
from channelbench.benchmarks.exhibits.cells import AVERAGE, cell, csv_text, noise_note, places, record
from channelbench.benchmarks.exhibits.charts import Mark, Panel, Strip, strips
from channelbench.benchmarks.exhibits.gains import decibels
from channelbench.benchmarks.exhibits.paper import TASKS, TERMS
from channelbench.benchmarks.exhibits.rows import START_ROW, Line, PaperView, line, paper_views
from channelbench.card import Card
from channelbench.exhibit import Exhibit
from channelbench.families import LLM, MULTI_TASK
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.numbers import decimals
from channelbench.leaderboard.pictures import Picture
from channelbench.leaderboard.sections import Section, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.views import Run

__all__ = ["Multitask"]

_PAIRS = (
    (line("cross_stitch(s)", "Cross-stitch(s)", MULTI_TASK), line("cross_stitch", "Cross-stitch", MULTI_TASK)),
    (line("llm4wm(s)", "LLM4WM(s)", LLM), line("llm4wm", "LLM4WM", LLM)),
)
_SIZES = ("small", "large")
_PARTS = (*TASKS, "all")

Losses = Mapping[str, Estimate | None]


class Multitask(Exhibit):
    """The table and its bars, where any of the four networks has a cell."""

    card = Card(
        name="multitask",
        description="Fig. 5: what training the six tasks together gains, for a small and for a large network.",
        reference="LLM4WM, Fig. 5",
        family="exhibit",
    )

    def sections(self, run: Run) -> list[Section]:
        views = [view for view in paper_views(run) if any(view.has(row) for pair in _PAIRS for row in pair)]
        return [_section(view) for view in views[:1]]


def _section(view: PaperView) -> Section:
    losses = {row.title: _losses(view, row) for pair in _PAIRS for row in pair}
    gains = [
        {part: _gain(losses[alone.title][part], losses[joint.title][part]) for part in _PARTS}
        for alone, joint in _PAIRS
    ]
    return Section(
        name="multitask",
        title="Fig. 5: one network for six tasks, or six networks",
        text=(
            "Loss of each task when its network is trained for it alone, marked (s), and when one network is trained "
            "for all six; the gain is 10·log10 of their ratio, positive where training together lowers the loss. The "
            "paper states a gain of the average loss of 0.19 dB for the small network and 0.99 dB for the large one; "
            f"its gains per task follow from its Table IV. BF’s loss is 1 − accuracy. {AVERAGE}"
            f"{noise_note(view)}"
        ),
        columns=tuple(
            SectionColumn(label="Avg.", unit="Eq. 28")
            if part == "all"
            else SectionColumn(label=part.upper(), unit=TERMS[part].loss_label)
            for part in _PARTS
        ),
        groups=(
            *(
                SectionGroup(title=f"The {size} network", rows=_rows(view, pair, losses, gain))
                for size, pair, gain in zip(_SIZES, _PAIRS, gains, strict=True)
            ),
            *([SectionGroup(title="No network", rows=(_start(view),))] if view.has(START_ROW) else []),
        ),
        picture=_picture(gains),
        csv=csv_text(_records(view, losses, gains)),
    )


def _start(view: PaperView) -> SectionRow:
    """The losses that all four networks begin from."""
    losses = _losses(view, START_ROW)
    cells = tuple(cell(losses[part], places([losses[part]]), note=_note(view, START_ROW, part)) for part in _PARTS)
    return SectionRow(title=START_ROW.title, cells=cells, family=START_ROW.family, detail=view.detail(START_ROW))


def _losses(view: PaperView, row: Line) -> dict[str, Estimate | None]:
    return {**{task: view.loss(row.methods[0], task) for task in TASKS}, "all": view.average(row)}


def _gain(alone: Estimate | None, joint: Estimate | None) -> Estimate | None:
    return None if alone is None or joint is None else decibels(alone, joint)


def _published_gain(alone: Line, joint: Line, part: str) -> float | None:
    """What the paper states for the average; what its Table IV says of a task."""
    if part == "all":
        return paper.number("Fig. 5", paper.NAMES[joint.methods[0]], "all", "gain dB")
    before, after = _published_loss(alone, part), _published_loss(joint, part)
    if not before or not after:
        return None
    found = decibels(_exact(before), _exact(after))
    return None if found is None else found.value


def _exact(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value)


def _rows(
    view: PaperView, pair: tuple[Line, Line], losses: Mapping[str, Losses], gain: Losses
) -> tuple[SectionRow, ...]:
    digits = {part: places(losses[row.title][part] for row in pair) for part in _PARTS}
    rows = [
        SectionRow(
            title=row.title,
            family=row.family,
            detail=view.detail(row),
            cells=tuple(
                cell(losses[row.title][part], digits[part], _published_loss(row, part), _note(view, row, part))
                for part in _PARTS
            ),
        )
        for row in pair
    ]
    gain_digits = max(decimals([g for g in gain.values() if g is not None]), 2)
    cells = tuple(cell(gain[part], gain_digits, _published_gain(*pair, part), printed_with=2) for part in _PARTS)
    return (*rows, SectionRow(title="Gain, dB", family=pair[1].family, cells=cells))


def _published_loss(row: Line, part: str) -> float | None:
    if part == "all":
        return paper.average((paper.NAMES[row.methods[0]],))
    return paper.loss(paper.NAMES[row.methods[0]], part)


def _note(view: PaperView, row: Line, part: str) -> str:
    if part == "all":
        return "" if view.average(row) is not None else "not all six tasks have a score"
    return "" if view.loss(row.methods[0], part) is not None else view.missing(row.methods[0], part)


def _records(
    view: PaperView, losses: Mapping[str, Losses], gains: list[dict[str, Estimate | None]]
) -> list[dict[str, object]]:
    found = []
    for pair, gain, size in zip(_PAIRS, gains, _SIZES, strict=True):
        for part in _PARTS:
            keys = {"conditions": view.condition, "network": size, "task": part}
            for row in pair:
                score, theirs = losses[row.title][part], _published_loss(row, part)
                found.append(record(score, theirs, **keys, what="loss", method=row.methods[0]))
            change = record(gain[part], _published_gain(*pair, part), **keys, what="gain_db", method=pair[1].methods[0])
            found.append(change | {"seeds": None})
    return found


def _picture(gains: list[dict[str, Estimate | None]]) -> Picture | None:
    panels = [
        Panel("Small: Cross-stitch(s) → Cross-stitch", "gain in dB", bars=True, ink=MULTI_TASK),
        Panel("Large: LLM4WM(s) → LLM4WM", "gain in dB", bars=True, ink=LLM),
    ]
    rows = [
        Strip(
            "Avg." if part == "all" else part.upper(),
            tuple(Mark(gain[part], _published_gain(*pair, part)) for pair, gain in zip(_PAIRS, gains, strict=True)),
            LLM,
        )
        for part in _PARTS
    ]
    return strips(panels, rows, "Fig. 5: gain in dB of training the tasks together", width=900)
