"""Table VI: what the average loss of LLM4WM becomes without each of its parts."""

from __future__ import annotations

from collections.abc import Sequence

from channelbench.benchmarks.exhibits import paper
from channelbench.benchmarks.exhibits.cells import AVERAGE, cell, csv_text, noise_floor, places, record
from channelbench.benchmarks.exhibits.charts import Mark, Panel, Strip, strips
from channelbench.benchmarks.exhibits.gains import percent_increase
from channelbench.benchmarks.exhibits.rows import START_ROW, PaperView, line, paper_views
from channelbench.card import Card
from channelbench.exhibit import Exhibit
from channelbench.families import LLM
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.numbers import decimals
from channelbench.leaderboard.pictures import Picture
from channelbench.leaderboard.sections import Section, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.views import Run

__all__ = ["Ablation"]

_LINES = {
    "LLM4WM": (line("llm4wm", "LLM4WM", LLM), "LLM4WM"),
    **{
        title: (line(f"llm4wm+{option}", title, LLM), name)
        for option, title, name in (
            ("no-adapter-in", "without input adapter", "no input adapter"),
            ("no-adapter-out", "without output adapter", "no output adapter"),
            ("no-adapter", "without adapters", "no adapter"),
            ("none", "without language model", "no LLM"),
            ("frozen", "language model frozen, no MoE-LoRA", "frozen LLM"),
            ("random", "random frozen trunk", ""),
        )
    },
    START_ROW.title: (START_ROW, ""),
}
"""Our row and the paper's name of it, by title; a row that the paper does not have waits for its first cell."""


class Ablation(Exhibit):
    """The table and its bars, where any of the rows has a cell."""

    card = Card(
        name="ablation",
        description="Table VI: what the average loss of LLM4WM becomes without each of its parts.",
        reference="LLM4WM, Table VI",
        family="exhibit",
    )

    def sections(self, run: Run) -> list[Section]:
        rows = [row for row, _ in _LINES.values() if row is not START_ROW]
        views = [view for view in paper_views(run) if any(map(view.has, rows))]
        return [_section(views)] if views else []


def _section(views: Sequence[PaperView]) -> Section:
    results = [(view, _losses(view)) for view in views]
    text = (
        "LLM4WM’s Table VI: each row is trained without one part of the method; the last, where it was run, has no "
        "network. The increase is that of the average loss over LLM4WM’s, in percent, with its interval paired over "
        f"drops. {AVERAGE}"
    )
    noisy = [view for view in views if view.noisy]
    return Section(
        name="ablation",
        title="Table VI: LLM4WM without its parts",
        text=" ".join([text, *(f"With paper_compat: {noise_floor(view)}" for view in noisy)]),
        columns=(
            SectionColumn(label="Average loss", unit="Eq. 28"),
            SectionColumn(label="Increase", unit="% over LLM4WM"),
        ),
        groups=tuple(_group(view, losses, len(views) > 1) for view, losses in results),
        picture=_picture(*results[0]),
        csv=csv_text([item for view, losses in results for item in _records(view, losses)]),
    )


def _losses(view: PaperView) -> dict[str, tuple[Estimate | None, Estimate | None]]:
    """Average loss and increase of every row, by title."""
    averages = {title: view.average(row) for title, (row, name) in _LINES.items() if name or view.has(row)}
    whole = averages["LLM4WM"]
    return {
        title: (loss, percent_increase(loss, whole) if loss and whole and title != "LLM4WM" else None)
        for title, loss in averages.items()
    }


def _published(name: str) -> tuple[float | None, float | None]:
    increase = None if name == "LLM4WM" else paper.number("VI", name, "all", "loss increase %")
    return paper.number("VI", name, "all", "average loss"), increase


def _group(view: PaperView, losses: dict[str, tuple[Estimate | None, Estimate | None]], several: bool) -> SectionGroup:
    loss_digits = places(loss for loss, _ in losses.values())
    increase_digits = decimals([i for _, i in losses.values() if i is not None], most=1)
    rows = []
    for title in losses:
        row, name = _LINES[title]
        loss, increase = losses[title]
        theirs, their_increase = _published(name)
        note = "" if loss is not None else "not all six tasks have a score"
        cells = (
            cell(loss, loss_digits, theirs, note),
            cell(increase, increase_digits, their_increase, note, printed_with=2),
        )
        rows.append(SectionRow(title=title, cells=cells, family=row.family, detail=view.detail(row)))
    return SectionGroup(title=view.title if several else "", rows=tuple(rows))


def _records(view: PaperView, losses: dict[str, tuple[Estimate | None, Estimate | None]]) -> list[dict[str, object]]:
    found = []
    for title in losses:
        row, name = _LINES[title]
        for metric, ours, theirs in zip(
            ("avg_llm4wm", "increase_percent"), losses[title], _published(name), strict=True
        ):
            keys = {"conditions": view.condition, "method": row.methods[0], "metric": metric}
            found.append(record(ours, theirs, **keys))
    for item in found:
        if item["metric"] == "increase_percent":
            item["seeds"] = None  # a ratio of means over seeds has no seeds of its own
    return found


def _picture(view: PaperView, losses: dict[str, tuple[Estimate | None, Estimate | None]]) -> Picture | None:
    rows = [
        Strip(
            title,
            tuple(Mark(ours, theirs) for ours, theirs in zip(losses[title], _published(_LINES[title][1]), strict=True)),
            _LINES[title][0].family,
        )
        for title in losses
    ]
    panels = [Panel("Average loss", "Eq. 28", bars=True), Panel("Increase", "% over LLM4WM", bars=True)]
    return strips(panels, rows, f"Table VI, {view.title}: average loss without each part", width=900)
