"""Table IV: every method on the six tasks, ours beside the paper's numbers; and how far the rankings agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from channelbench.benchmarks.exhibits import paper
from channelbench.benchmarks.exhibits.cells import AVERAGE, GAINS, blank, cell, csv_text, noise_floor, places, record
from channelbench.benchmarks.exhibits.charts import Mark, Panel, Strip, strips
from channelbench.benchmarks.exhibits.paper import COLUMNS, TASKS, PaperColumn
from channelbench.benchmarks.exhibits.rows import PAPER_ROWS, Line, PaperView, line, paper_views, table_rows
from channelbench.card import Card
from channelbench.exhibit import Exhibit
from channelbench.families import CEILING, REFERENCE
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.numbers import fixed
from channelbench.leaderboard.pictures import Picture
from channelbench.leaderboard.sections import Section, SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.views import Run

__all__ = ["Table4", "correlation"]


_NOISE_FLOOR = line(CEILING, "Exact channel: the noise floor", REFERENCE, always=False)


class Table4(Exhibit):
    """The table under each condition, then the agreement of the rankings."""

    card = Card(
        name="table4",
        description="Table IV: every method on the six tasks beside the paper's numbers, and how far rankings agree.",
        reference="LLM4WM, Table IV",
        family="exhibit",
    )

    def sections(self, run: Run) -> list[Section]:
        views = paper_views(run)
        found = [part for view in views if (part := _table(view)) is not None]
        return [*found, _agreement(views)] if found else []


def _lines(view: PaperView) -> list[Line]:
    shown = [row for row in table_rows([view]) if row.always or view.has(row)]
    return [*shown, _NOISE_FLOOR] if view.noisy and view.has(_NOISE_FLOOR) else shown


def _table(view: PaperView) -> Section | None:
    lines = _lines(view)
    if not any(view.has(row) for row in lines if row is not _NOISE_FLOOR):
        return None
    averages = {row.title: None if row is _NOISE_FLOOR else view.average(row) for row in lines}
    groups = [
        SectionGroup(title=title, note=note, rows=_rows(view, [r for r in lines if r.published == theirs], averages))
        for title, note, theirs in (
            ("The paper’s rows", "our number, its 95 % interval, and the paper’s", True),
            ("Beside them", "rows that the paper does not have", False),
        )
    ]
    kind = "" if not view.noisy else ", noisy targets as in the paper’s code"
    return Section(
        name="table4" if not view.noisy else "table4-paper_compat",
        title=f"Table IV: all methods on six tasks{kind}",
        text=" ".join((_text(view), _interval_note(averages.values()), *([GAINS] if view.table.has_gains else []))),
        columns=(
            *(SectionColumn(label=c.task.upper(), unit=c.label, better=view.better(c)) for c in COLUMNS),
            SectionColumn(label="Avg.", unit="Eq. 28", hint="mean loss over the six tasks"),
        ),
        groups=tuple(group for group in groups if group.rows),
        picture=_picture(view, lines, averages),
        csv=csv_text([item for row in lines for item in _records(view, row, averages[row.title])]),
    )


def _text(view: PaperView) -> str:
    targets = (
        noise_floor(view) + " Compare these numbers with no other table’s."
        if view.noisy
        else "Targets are clean here; the paper’s public evaluation adds noise to them, so its channel NMSEs cannot "
        "fall below about 0.09 and ours can."
    )
    return (
        "LLM4WM’s Table IV on this dataset. The paper’s numbers are of QuaDRiGa channels, 15,000 training samples and "
        "250 epochs, without intervals: they are to be read beside ours, not against them. It does not say by what it "
        f"divides the distance error, nor from where it counts the path loss. {targets} {AVERAGE}"
    )


def _interval_note(averages: Iterable[Estimate | None]) -> str:
    known = [a for a in averages if a is not None]
    if not known:
        return ""
    if all(a.replicates is not None for a in known):
        return "Its interval is a bootstrap over drops, the same ones in all six tasks."
    return "Its interval is a bootstrap over drops; where terms per drop are missing, the mean of the tasks’ bounds."


def _rows(view: PaperView, lines: Sequence[Line], averages: dict[str, Estimate | None]) -> tuple[SectionRow, ...]:
    digits = {c: places(_score(view, row, c) for row in table_rows([view])) for c in COLUMNS}
    average_digits = places(averages.values())
    return tuple(
        SectionRow(
            title=row.title,
            family=row.family,
            detail=view.detail(row),
            cells=(
                *(_cell(view, row, column, digits[column]) for column in COLUMNS),
                cell(
                    averages[row.title],
                    average_digits,
                    paper.average(row.paper_names) if row.published else None,
                    "" if averages[row.title] is not None else "not all six tasks have a score",
                ),
            ),
        )
        for row in lines
    )


def _score(view: PaperView, row: Line, column: PaperColumn) -> Estimate | None:
    return view.score(row.members[column.task], column.task, column.metric) if column.task in row.members else None


def _published(row: Line, column: PaperColumn) -> float | None:
    name = row.paper_name(column.task)
    return paper.number("IV", name, column.task, column.published) if name and column.published else None


def _cell(view: PaperView, row: Line, column: PaperColumn, digits: int) -> SectionCell:
    if column.task not in row.members:
        return blank("not a task of this row")
    score = _score(view, row, column)
    note = "" if score is not None else view.missing(row.members[column.task], column.task)
    if note == "ok":
        note = "not among the metrics of these cells"
    remark = view.gain(row.members[column.task], column.task) if _has_gain(view, column) else ""
    return cell(score, digits, _published(row, column), note, remark=remark)


def _has_gain(view: PaperView, column: PaperColumn) -> bool:
    """Whether a column is its task's primary metric, of which gains are, or a multiple of it."""
    return view.primary(column.task) in (column.metric, column.scaled)


def _records(view: PaperView, row: Line, average: Estimate | None) -> list[dict[str, object]]:
    shared = {"conditions": view.condition, "row": row.title}
    found = [
        record(
            _score(view, row, column),
            _published(row, column),
            **shared,
            method=row.members[column.task],
            task=column.task,
            metric=column.metric,
        )
        for column in COLUMNS
        if column.task in row.members
    ]
    mean = record(
        average,
        paper.average(row.paper_names) if row.published else None,
        **shared,
        method="+".join(row.methods),
        task="all",
        metric="avg_llm4wm",
    )
    return [*found, mean]


def _picture(view: PaperView, lines: Sequence[Line], averages: dict[str, Estimate | None]) -> Picture | None:
    shown = [column for column in COLUMNS if column.term]
    panels = [Panel(c.task.upper(), c.label, log=view.better(c) == "low") for c in shown]
    rows = [
        Strip(
            row.title,
            (
                *(Mark(_score(view, row, column), _published(row, column)) for column in shown),
                Mark(averages[row.title], paper.average(row.paper_names) if row.published else None),
            ),
            row.family,
        )
        for row in lines
    ]
    return strips([*panels, Panel("Avg.", "Eq. 28")], rows, f"Table IV, {view.title}: scores of ours and of the paper")


# --- do the rankings agree? ------------------------------------------------------------------------------------------


SIGNIFICANT = {8: 0.738, 7: 0.786}
"""Smallest rank correlation of so many rows that fewer than 5 % of all orders reach, of either sign."""


def correlation(view: PaperView, task: str, rows: Sequence[Line] = PAPER_ROWS) -> tuple[float, int]:
    """Spearman's rank correlation between ours and the paper's numbers of a task (``all``: Avg.) over the paper's rows
    that have both, ties sharing their mean rank; and how many rows that is. NaN below three rows or without any order.
    """
    from scipy.stats import rankdata, spearmanr

    pairs = []
    for row in rows:
        ours = view.average(row) if task == "all" else view.loss(row.members[task], task)
        theirs = paper.average(row.paper_names) if task == "all" else paper.loss(row.paper_name(task), task)
        if ours is not None and theirs is not None and math.isfinite(ours.value):
            pairs.append((ours.value, theirs))
    if len(pairs) < 3:
        return math.nan, len(pairs)
    # Equal printed numbers are equal: 1 − accuracy must not tell them apart by its last bit.
    ours_ranks, their_ranks = (rankdata([round(value, 12) for value in column]) for column in zip(*pairs, strict=True))
    if min(ours_ranks.std(), their_ranks.std()) == 0:
        return math.nan, len(pairs)
    return float(spearmanr(ours_ranks, their_ranks).statistic), len(pairs)


def _agreement(views: Sequence[PaperView]) -> Section:
    pair = [next((v for v in views if v.noisy == noisy), None) for noisy in (False, True)]
    heads = [(without, name) for without in _LEFT_OUT for name in ("clean", "paper_compat")]
    found = {
        task: [
            (math.nan, 0) if view is None else correlation(view, task, rows)
            for rows in _LEFT_OUT.values()
            for view in pair
        ]
        for task in (*TASKS, "all")
    }
    rows = tuple(
        SectionRow(title="Avg." if task == "all" else task.upper(), cells=tuple(_rank_cell(*pair) for pair in pairs))
        for task, pairs in found.items()
    )
    records = [
        {"task": task, "conditions": name, "without": without, "spearman": rho, "rows": count}
        for task, pairs in found.items()
        for (without, name), (rho, count) in zip(heads, pairs, strict=True)
    ]
    return Section(
        name="rank-correlation",
        title="Table IV: does our ranking agree with the paper’s?",
        text=(
            "Spearman’s rank correlation between our scores and the paper’s over the paper’s rows, tied scores sharing "
            "their mean rank: 1 is the same order, 0 no relation. One row that is last in both tables by far makes "
            "any two rankings look alike, hence also without the row of formulas. By chance alone, one case in 20 "
            f"reaches ±{SIGNIFICANT[8]:.2f} with all eight rows and ±{SIGNIFICANT[7]:.2f} with seven; with fewer it "
            "reaches farther."
        ),
        columns=tuple(
            SectionColumn(
                label=name if name == "paper_compat" else "clean targets",
                unit="without BI + Codebook + FIFS" if without else "rank correlation",
                better="high",
            )
            for without, name in heads
        ),
        groups=(SectionGroup(rows=rows),),
        csv=csv_text(records),
        first="Task",
    )


_LEFT_OUT = {"": PAPER_ROWS, "bi": tuple(row for row in PAPER_ROWS if "bi" not in row.methods)}
"""Rows that are ranked, by the method whose row is left out."""


def _rank_cell(rho: float, count: int) -> SectionCell:
    if math.isnan(rho):
        return blank(f"{count} rows have both numbers" if count < 3 else "no order among the rows")
    return SectionCell(text=fixed(rho, 2), interval=f"{count} rows", value=rho)
