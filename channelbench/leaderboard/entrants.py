"""Who enters a method, where its code is and under which licence its weights are: columns for those who say so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from channelbench.families import BUNDLE
from channelbench.leaderboard.entries import Row
from channelbench.results import Result

__all__ = ["COLUMNS", "EntrantView", "shown", "views"]

COLUMNS = {"organisation": "Organisation", "code_address": "Code", "weights_licence": "Weights"}
"""Fields of cells, and what the page calls them."""

_LINKED = ("https://", "http://")


@dataclass(frozen=True)
class EntrantView:
    """What a row says in one of these columns, and where it leads."""

    text: str
    url: str = ""


def shown(results: Iterable[Result]) -> tuple[str, ...]:
    """Those of the columns that a cell has something for."""
    known = list(results)
    return tuple(name for name in COLUMNS if any(getattr(result, name) for result in known))


def views(row: Row, columns: Iterable[str]) -> tuple[EntrantView, ...]:
    """What a row says in these columns, several things where its cells differ; a bundle is nobody's."""
    results = [] if row.family == BUNDLE else [result for entry in row.entries.values() for result in entry.results]
    return tuple(_view(dict.fromkeys(getattr(result, name) for result in results)) for name in columns)


def _view(values: Iterable[str]) -> EntrantView:
    told = [value for value in values if value]
    if len(told) == 1 and told[0].startswith(_LINKED):
        return EntrantView(told[0].split("://", 1)[1].rstrip("/"), told[0])
    return EntrantView("; ".join(told))
