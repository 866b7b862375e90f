"""The leaderboard as a LaTeX table, for a paper: ``\\usepackage{booktabs,graphicx}`` is all that it needs."""

from __future__ import annotations

from collections.abc import Sequence

from channelbench.families import BUNDLE, family_of
from channelbench.leaderboard import labels, verdict
from channelbench.leaderboard.board import Board, Row, Table
from channelbench.leaderboard.entries import Column
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.numbers import decimals, fixed
from channelbench.leaderboard.rowviews import leaders
from channelbench.leaderboard.sections import Section

__all__ = ["as_latex"]

_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "≈": r"$\approx$",
    "×": r"$\times$",
    "∞": r"$\infty$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "\u00a0": "~",
    "’": "'",
    "λ": r"$\lambda$",
}

_SHRUNK = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
"""A table that is wider than the text is made as wide as it, and nothing else."""


def as_latex(board: Board, sections: Sequence[Section] = ()) -> str:
    """One table for each condition, default first: scores with their 95 % intervals, the best ranked of a column bold;
    then the tables of the exhibits.

    Rows without a score are left out; what a caption has to say is in it.
    """
    head = f"% channelbench, suite {board.manifest.suite}, dataset {board.manifest.dataset.digest[:12]}\n"
    tables = [_table(board, table) for table in board.tables]
    return head + "\n".join([*tables, *(_section(section) for section in sections if section.groups)])


def _table(board: Board, table: Table) -> str:
    first = leaders(table)
    rows = [row for row in table.rows if any(entry.state == "ok" for entry in row.entries.values())]
    groups = list(dict.fromkeys(["Methods", *map(_group, rows)]))
    rows.sort(key=lambda row: groups.index(_group(row)))
    places = {
        column.task: decimals([e for row in rows if (e := row.entries[column.task].scores.get(column.metric))])
        for column in table.columns
    }
    heads = ["Method", r"Overall\,$\uparrow$", *(_head(column) for column in table.columns)]
    units = ["", "mean skill", *(_unit(column) for column in table.columns)]
    lines = []
    group = ""
    for row in rows:
        if (name := _group(row)) != group:
            group = name
            lines += [r"\midrule", rf"\multicolumn{{{len(heads)}}}{{l}}{{\emph{{{_tex(group)}}}}} \\"]
        cells = [_score(row.overall, 3, bold=first[""] == row.method)]
        for column in table.columns:
            score = (
                row.entries[column.task].scores.get(column.metric) if row.entries[column.task].state == "ok" else None
            )
            cells.append(_score(score, places[column.task], bold=first[column.task] == row.method))
        lines.append(" & ".join([_tex(row.title), *cells]) + r" \\")
    said = verdict.text(verdict.of_table(table))
    caption = f"{labels.condition_title(table.condition)} conditions, preset {board.manifest.preset}. {said}"
    name = f"{board.manifest.suite}-{'-'.join(_words(table.condition))}"
    return _float(
        _tex(caption) + r" In brackets: 95\,\% intervals. Bold: the best that has a rank.", name, heads, units, lines
    )


def _section(section: Section) -> str:
    """An exhibit's table: our numbers, and below them what is published."""
    heads = [_tex(section.first), *(_tex(column.label) for column in section.columns)]
    units = ["", *(_tex(f"{column.unit} {column.arrow}".strip()) for column in section.columns)]
    lines = []
    for group in section.groups:
        if group.title:
            lines += [r"\midrule", rf"\multicolumn{{{len(heads)}}}{{l}}{{\emph{{{_tex(group.title)}}}}} \\"]
        for row in group.rows:
            cells = [
                _tex(cell.text) + (rf" {{\scriptsize {_tex(cell.interval)}}}" if cell.interval else "")
                for cell in row.cells
            ]
            lines.append(" & ".join([_tex(row.title), *cells]) + r" \\")
            if any(cell.published for cell in row.cells):
                published = [_tex(cell.published) for cell in row.cells]
                lines.append(" & ".join([rf"\quad\emph{{{_tex(section.published)}}}", *published]) + r" \\")
    if lines[0] == r"\midrule":
        del lines[0]
    return _float(_tex(section.title), section.name, heads, units, [r"\midrule", *lines])


def _float(caption: str, name: str, heads: Sequence[str], units: Sequence[str], lines: Sequence[str]) -> str:
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering\small",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{name}}}",
            _SHRUNK,
            rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
            r"\toprule",
            " & ".join(heads) + r" \\",
            " & ".join(units) + r" \\",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table*}",
            "",
        ]
    )


def _words(condition: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "." else " " for c in condition).split()


def _group(row: Row) -> str:
    family = family_of(row.family)
    return "Bundles" if row.family == BUNDLE else "Methods" if family.ranked else family.plural


def _head(column: Column) -> str:
    arrow = r"$\uparrow$" if column.higher_is_better else r"$\downarrow$"
    return rf"{_tex(labels.task_code(column.task))}\,{arrow}"


def _unit(column: Column) -> str:
    metric = column.titles.get(column.metric) or labels.metric_label(column.metric)
    unit = labels.unit(column.unit)
    return _tex(f"{metric}, {unit}" if unit else metric)


def _score(score: Estimate | None, places: int, *, bold: bool) -> str:
    if score is None:
        return "--"
    value = _tex(fixed(score.value, places))
    low, high = fixed(score.low, places), fixed(score.high, places)
    around = "" if low == high else rf" {{\scriptsize[{_tex(low)}, {_tex(high)}]}}"
    return (rf"\textbf{{{value}}}" if bold else value) + around


def _tex(text: str) -> str:
    return "".join(_SPECIAL.get(c, c) for c in text)
