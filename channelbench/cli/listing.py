"""``list``."""

from __future__ import annotations

from typing import Annotated

import typer

from channelbench.errors import RequestError

__all__ = ["list_"]

KINDS = {
    "scenarios": "generators",
    "tasks": "tasks",
    "methods": "methods",
    "metrics": "metrics",
    "suites": "suites",
    "experiments": "experiments",
    "exhibits": "exhibits",
}


def list_(kind: Annotated[str, typer.Argument(help=" | ".join(KINDS))]) -> None:
    """List what there is."""
    from rich.console import Console
    from rich.table import Table

    from channelbench import registry
    from channelbench.sources import makers

    if kind not in KINDS:
        raise RequestError("list", expected="a known kind", got=kind, choices=KINDS)
    table = Table(box=None, pad_edge=False, header_style="bold")
    further = {"methods": ["family", "tasks"], "scenarios": ["sources"]}.get(kind, [])
    for heading in ("name", *further, "description"):
        table.add_column(heading, no_wrap=heading != "description")
    for name in registry.names(KINDS[kind]):  # type: ignore[arg-type]
        sources = makers(name) if kind == "scenarios" else {}
        found = registry.find(KINDS[kind], name, source=next(iter(sources), None))  # type: ignore[arg-type]
        card, extra, description = found.card, [" ".join(sources)] if sources else [], found.card.description
        if kind == "methods":
            extra = [card.family, " ".join(registry.tasks_of(found))]
            description += f"\nwith {' '.join(f'+{option}' for option in found.variants)}" if found.variants else ""
        table.add_row(name, *extra, description)
    Console(highlight=False).print(table)
