"""``list``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from channelbench.errors import RequestError
from channelbench.options import AsJson

if TYPE_CHECKING:
    from channelbench.cli.answers import EntryModel

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

SCHEMAS = "schemas"
"""A further kind: of what ``--json`` writes."""

FURTHER = {"methods": ["family", "tasks"], "scenarios": ["sources"]}
"""Columns of the table beside name and description."""


def _kinds(incomplete: str) -> list[str]:
    return [kind for kind in (*KINDS, SCHEMAS) if kind.startswith(incomplete)]


def list_(
    kind: Annotated[str, typer.Argument(help=" | ".join((*KINDS, SCHEMAS)), autocompletion=_kinds, show_default=False)],
    json: AsJson = False,
) -> None:
    """List what there is."""
    if kind not in (*KINDS, SCHEMAS):
        raise RequestError("list", expected="a known kind", got=kind, choices=(*KINDS, SCHEMAS))
    found = list(_schemas() if kind == SCHEMAS else _entries(kind))
    if json:
        from channelbench.cli.answering import answer
        from channelbench.cli.answers import ListAnswer

        answer(ListAnswer(kind=kind, entries=found))
        return
    from rich.console import Console
    from rich.table import Table

    table, further = Table(box=None, pad_edge=False, header_style="bold"), FURTHER.get(kind, [])
    for heading in ("name", *further, "description"):
        table.add_column(heading, no_wrap=heading != "description")
    for entry in found:
        description = entry.description
        description += f"\nwith {' '.join(f'+{option}' for option in entry.variants)}" if entry.variants else ""
        table.add_row(entry.name, *(_cell(getattr(entry, column)) for column in further), description)
    Console(highlight=False).print(table)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(value or ())


def _entries(kind: str) -> Iterator[EntryModel]:
    """What the registry has of a kind, by name."""
    from channelbench import registry
    from channelbench.cli.answers import EntryModel
    from channelbench.sources import makers

    for name in registry.names(KINDS[kind]):  # type: ignore[arg-type]
        sources = list(makers(name)) if kind == "scenarios" else []
        found = registry.find(KINDS[kind], name, source=next(iter(sources), None))  # type: ignore[arg-type]
        card = found.card
        facts: dict[str, Any] = {}
        match kind:
            case "scenarios":
                facts = {"sources": sources}
            case "methods":
                facts = {"family": card.family, "tasks": list(registry.tasks_of(found)), "needs": _needs(card.extra)}
                facts["variants"] = list(found.variants)
            case "suites":
                facts = {"tasks": list(found.tasks), "methods": list(found.methods)}
            case "tasks":
                facts = {"conditions": {key: info.default for key, info in found.conditions.model_fields.items()}}
            case "metrics":
                facts = {"unit": found.unit, "higher_is_better": found.higher_is_better}
        yield EntryModel(name=name, title=card.label, description=card.description, reference=card.reference, **facts)


def _needs(extra: str) -> str | None:
    return f"pip install channelbench[{extra}]" if extra else None


def _schemas() -> Iterator[EntryModel]:
    from channelbench.cli.answers import ANSWERS, EntryModel

    for name, model in ANSWERS.items():
        document = model.model_json_schema(by_alias=True)
        description = " ".join((model.__doc__ or "").split())
        title = f"channelbench.{name}"
        yield EntryModel(
            name=name, title=title, description=description, reference="docs/command-line.md", document=document
        )
