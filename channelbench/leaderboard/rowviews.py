"""Rows and cells of the page's tables, in words and percentages: the template computes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from channelbench.families import BUNDLE, family_of
from channelbench.leaderboard import cards
from channelbench.leaderboard.board import Column, Entry, Row, Table
from channelbench.leaderboard.entrants import EntrantView, views
from channelbench.leaderboard.estimate import MIN_SEEDS, Estimate
from channelbench.leaderboard.numbers import fixed, interval
from channelbench.leaderboard.ranking import best

__all__ = ["CellView", "RowView", "blank", "caution", "identity", "leaders", "row_view", "scored", "sort_key"]


@dataclass(frozen=True, kw_only=True)
class CellView:
    """One score of a table. ``sort`` is empty where there is none.

    Attributes:
        best: The best of the ranked scores of its column.
        tied: Not shown to be worse than it.
        worse: Than the best trivial answer.
        skill, bar: In words, and how far its bar reaches.
    """

    state: str
    sort: str = ""
    low: str = ""
    high: str = ""
    value: str = ""
    interval: str = ""
    skill: str = ""
    bar: str = "0%"
    rank: str = ""
    best: bool = False
    tied: bool = False
    worse: bool = False
    detail: str = ""
    traceback: str = ""
    caution: str = ""
    note: str = ""
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class RowView:
    """One row of any table."""

    method: str
    title: str
    family: str
    family_label: str
    tag: str
    seeds: str
    members: str
    has_card: bool
    rank: str
    sort_rank: str
    overall: CellView
    cells: tuple[CellView, ...]
    entrant: tuple[EntrantView, ...] = ()


def row_view(
    row: Row,
    table: Table,
    places: Mapping[str, int],
    first: Mapping[str, str | None],
    entrant: Sequence[str] = (),
) -> RowView:
    """A row of the main table; ``first`` names the best row of each column, see ``leaders``, and ``entrant`` the
    columns of who enters it."""
    return RowView(
        **identity(row),
        has_card=row.family != BUNDLE and any(entry.results for entry in row.entries.values()),
        rank=str(row.rank or ""),
        sort_rank="" if row.rank is None else repr(row.rank.low + row.rank.high * 1e-6),
        overall=_overall(row, table.overall, first[""] == row.method),
        cells=tuple(_cell(row, column, places[column.task], first) for column in table.columns),
        entrant=views(row, entrant),
    )


def leaders(table: Table) -> dict[str, str | None]:
    """The method with the best of the ranked scores of each task, and by ``""`` of the overall skill: nobody where even
    that is worse than trivial. Bundles repeat their members' scores and lead nowhere but over all tasks."""
    rows = [row for row in table.rows if row.is_contestant and row.family != BUNDLE]
    first: dict[str, str | None] = {}
    for column in table.columns:
        scores = {
            row.method: e.scores[column.metric]
            for row in rows
            if (e := row.entries[column.task]).rank is not None and e.rank.low == 1
        }
        first[column.task] = best(scores, higher_is_better=column.higher_is_better)
    whole = {
        row.method: row.overall
        for row in table.rows
        if row.rank is not None and row.rank.low == 1 and row.overall is not None
    }
    first[""] = best(whole, higher_is_better=True)
    return first


def identity(row: Row) -> dict[str, str]:
    """Who a row is."""
    members = dict.fromkeys(entry.member for entry in row.entries.values() if entry.member)
    family = family_of(row.family)
    trained = any(score.seeds for entry in row.entries.values() for score in entry.scores.values())
    seeds = f"{row.seeds} seed{'s' if row.seeds > 1 else ''}" if family.seeded or trained else ""
    return {
        "method": row.method,
        "title": row.title,
        "family": row.family,
        "family_label": family.title if family.ranked and row.family != BUNDLE else "",
        "tag": seeds if row.seeds < MIN_SEEDS else "",
        "seeds": seeds if row.seeds >= MIN_SEEDS else "",
        "members": " + ".join(members) if " + ".join(members) != row.title else "",
    }


def _overall(row: Row, tasks: Sequence[str], is_first: bool) -> CellView:
    if row.overall is None:
        covered = sum(row.entries[task].state == "ok" for task in tasks)
        return CellView(state="partial", value=f"{covered}/{len(tasks)} tasks", sort="")
    anchor = family_of(row.family).anchor
    places = 3 if abs(row.overall.value) <= 1 else 2 if abs(row.overall.value) < 10 else 0
    return CellView(
        state="ok",
        sort=sort_key(row.overall.value),
        low=sort_key(row.overall.low),
        high=sort_key(row.overall.high),
        value=fixed(row.overall.value, places),
        interval="" if anchor else interval(row.overall, places),
        bar=_bar(row.overall),
        best=is_first,
        tied=row.rank is not None and row.rank.low == 1,
        worse=row.overall.value < 0 and not anchor,
        caution=caution(row.overall),
    )


def _cell(row: Row, column: Column, places: int, first: Mapping[str, str | None]) -> CellView:
    entry = row.entries[column.task]
    worth = None if family_of(row.family).anchor else entry.skill  # 0 and 1 by definition: no bar
    score = entry.scores.get(column.metric)
    if entry.state != "ok" or score is None:
        return blank(entry)
    return scored(
        score,
        places,
        skill="" if worth is None else _short(worth.value),
        bar="0%" if worth is None else _bar(worth),
        rank=str(entry.rank or ""),
        best=first[column.task] == row.method,
        tied=entry.rank is not None and entry.rank.low == 1 and row.family != BUNDLE,
        worse=worth is not None and worth.value < 0,
        detail=entry.member,
        caution=caution(score),
        kind="limit" if column.limit is not None and column.limit[0] == row.method else "",
    )


def caution(score: Estimate) -> str:
    """What an interval lacks; empty where it lacks nothing."""
    return cards.UNKNOWN_SPREAD if score.spread_unknown else ""


def sort_key(value: float) -> str:
    """A number as the page's script reads it."""
    return "" if math.isnan(value) else repr(value).replace("inf", "Infinity")


def scored(score: Estimate, places: int, **more: Any) -> CellView:
    """A score with its interval, in so many decimal places, and what else there is to say."""
    return CellView(
        state="ok",
        sort=sort_key(score.value),
        low=sort_key(score.low),
        high=sort_key(score.high),
        value=fixed(score.value, places),
        interval=interval(score, places),
        **more,
    )


def blank(entry: Entry) -> CellView:
    """In place of a score."""
    state = {"not run": "not-run", "not supported": "unsupported"}.get(entry.state, "failed")
    traceback = next((cell.traceback for cell in entry.results if cell.traceback), "")
    return CellView(state=state, detail=entry.detail, traceback=traceback)


def _bar(skill: Estimate) -> str:
    share = skill.value if math.isfinite(skill.value) else 0.0
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"


def _short(skill: float) -> str:
    """Two decimals, fewer of what is far below the floor: ``0.87``, ``−3.2``, ``−401``."""
    return fixed(skill, 2 if abs(skill) < 1 else 1 if abs(skill) < 10 else 0)
