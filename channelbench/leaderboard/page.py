"""The page: views of a board, in words and percentages, for a template that computes nothing."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from channelbench.costs import LATENCY_BATCHES
from channelbench.families import BUNDLE, FAMILIES, family_of, palette
from channelbench.leaderboard import cards, cite, entrants, labels, provenance, taskviews, verdict
from channelbench.leaderboard.board import Board, Row, Table
from channelbench.leaderboard.estimate import MIN_SEEDS
from channelbench.leaderboard.figures import ROW_PX, TOP_PX
from channelbench.leaderboard.numbers import decimals
from channelbench.leaderboard.rowviews import leaders, row_view
from channelbench.leaderboard.sections import Section
from channelbench.leaderboard.sweeps import curves, swept_tables
from channelbench.manifests import skipped_lines

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["render"]

_METHODS = ("Methods", "by mean skill over all tasks; incomplete rows follow")
_BUNDLES = ("Bundles", "a choice of methods each, not a method: every task has its first member that supports it")
_VARIED = "the tasks that have the condition"
_GROUPS = (_METHODS, _BUNDLES, *((f.plural, f.note) for f in FAMILIES.values() if not f.ranked))
_SHA256 = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


def render(board: Board, sections: Sequence[Section] = (), remarks: Sequence[str] = ()) -> str:
    """The whole page, with everything it needs inside: the leaderboard, then ``sections``; ``remarks`` at its top."""
    families = dict.fromkeys(row.family for table in board.tables for row in table.rows)
    known = [*(f for f in FAMILIES if f in families), *(f for f in families if f not in FAMILIES)]
    steps = swept_tables(board)
    panels = [_panel(index, board, table, steps) for index, table in enumerate(board.tables)]
    titles = {row.method: row.title for table in board.tables for row in table.rows}
    return _template().render(
        title="channelbench leaderboard",
        header=cards.header(board),
        notes=[
            *provenance.notes(board.results, board.left_out, board.unchecked, board.code),
            *(f"Skipped, as something is not installed: {line}" for line in skipped_lines(board.manifest.skipped)),
            *remarks,
        ],
        urgent=bool(board.left_out or remarks),
        dataset=cards.dataset(board.manifest.dataset),
        every_row=labels.source_remark(board.manifest.dataset.spec),
        protocol=cards.protocol(board),
        about=cards.methods(board),
        bibtex=cite.bibtex(board.manifest, board.results, titles),
        families=[(family, family_of(family).title) for family in known],
        panels=panels,
        curves=curves(board),
        tabs=any(panel["tab"] for panel in panels),
        steps=not all(panel["tab"] for panel in panels),
        sections=[{"section": section, "numbers": _footnotes(section)} for section in sections],
        palettes={"light": palette(), "dark": palette(dark=True)},
        marks=FAMILIES.values(),
        batches=" and of ".join(str(batch) for batch in LATENCY_BATCHES),
        plot={"row": ROW_PX, "top": TOP_PX},
        unknown=cards.UNKNOWN_SPREAD,
        min_seeds=MIN_SEEDS,
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("channelbench.leaderboard", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shortened"] = _shortened
    return environment.get_template("page.html.jinja")


def _shortened(text: str) -> str:
    """Digests by their first digits: in full they stand once, with the method."""
    return _SHA256.sub(r"\1…", text)


def _footnotes(section: Section) -> dict[str, int]:
    """Numbers of what the cells of a section have to say, each once."""
    notes = dict.fromkeys(
        cell.note for group in section.groups for row in group.rows for cell in row.cells if cell.note
    )
    return {note: number for number, note in enumerate(notes, start=1)}


def _panel(index: int, board: Board, table: Table, steps: Container[str]) -> dict[str, Any]:
    places = {
        column.task: decimals([e for row in table.rows if (e := row.entries[column.task].scores.get(column.metric))])
        for column in table.columns
    }
    first, entrant = leaders(table), entrants.shown(board.results)
    groups = [
        {
            "name": name,
            "note": note.replace("all tasks", _counted(table)),
            "rows": [row_view(row, table, places, first, entrant) for row in table.rows if _group(row) == place],
        }
        for place, (name, note) in enumerate(_GROUPS)
    ]
    panel = f"condition-{index}"
    return {
        "id": panel,
        "label": table.condition,
        "slug": re.sub(r"[^A-Za-z0-9]+", "-", table.condition).strip("-"),
        "title": labels.condition_title(table.condition),
        "tab": index == 0 or table.condition not in steps,
        "verdict": verdict.of_table(table),
        "sentence": cards.conditions(board, table),
        "notes": [note for note in _notes(table) if note],
        "has_gains": table.has_gains,
        "overall": _overall_unit(table),
        "columns": [taskviews.head(board, column) for column in table.columns],
        "entrant": [entrants.COLUMNS[name] for name in entrant],
        "groups": [group for group in groups if group["rows"]],
        "tasks": [taskviews.task(panel, board, table, column, _group) for column in table.columns],
        "costs": taskviews.cost_columns(table),
    }


def _counted(table: Table) -> str:
    """The tasks of the overall skill, in words."""
    varied = [column.task for column in table.columns if column.varied]
    if len(table.overall) < len(varied):
        return ", ".join(map(labels.task_code, table.overall))
    return "all tasks" if len(varied) == len(table.columns) else _VARIED


def _overall_unit(table: Table) -> str:
    number = len(table.overall)
    if number == len(table.columns):
        return "mean skill"
    return f"mean skill, {number} task{'s' if number != 1 else ''}"


def _notes(table: Table) -> tuple[str, ...]:
    return cards.noise_floor(table) if table.noisy else "", cards.unranked(table), cards.adds_nothing(table)


def _group(row: Row) -> int:
    """The place in ``_GROUPS``."""
    if row.family == BUNDLE:
        return _GROUPS.index(_BUNDLES)
    family = family_of(row.family)
    return _GROUPS.index(_METHODS if family.ranked else (family.plural, family.note))
