"""Options that several commands have: whole numbers within bounds, lists, and JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from channelbench.errors import RequestError

__all__ = ["MAX_SEED", "MAX_WORKERS", "AsJson", "listed", "number"]

MAX_SEED = 2**63 - 1
MAX_WORKERS = 1024

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output; see docs/command-line.md.")]


def listed(text: str | None) -> tuple[str, ...]:
    """The parts of a list with commas; none of no text."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def number(field: str, minimum: int, text: str, *, maximum: int = 10**9) -> Any:
    """An option that takes integers from ``minimum`` to ``maximum``; ``text`` is its help."""
    return typer.Option(parser=_whole_number(field, minimum, maximum), help=text)


def _whole_number(field: str, minimum: int, maximum: int) -> Callable[[str], int]:
    """A parser of integers that complains in our words."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise RequestError(field, expected=f"an integer of at least {minimum}", got=text) from None
        if value < minimum:
            raise RequestError(field, expected=f"an integer of at least {minimum}", got=value)
        if value > maximum:
            raise RequestError(field, expected=f"an integer of at most {maximum}", got=value)
        return value

    parse.__name__ = "INTEGER"
    return parse
