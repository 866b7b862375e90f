"""A page for each method and each task, made of its card."""

import inspect
import re
from typing import Literal, get_args, get_origin

import recorded
from pydantic.fields import FieldInfo

from channelbench import registry
from channelbench.conditions import Conditions
from channelbench.contracts import Method, Task
from channelbench.families import FAMILIES
from channelbench.generation import make_spec

UP = "../"


def methods() -> dict[str, str]:
    """``{file: page}`` of all registered methods, families in their order."""
    found = [registry.find("methods", name) for name in registry.names("methods")]
    return {f"methods/{recorded.file_of(cls.card.name)}": _method(cls) for cls in found}


def by_family() -> list[dict[str, list[str]]]:
    """The pages of methods as a menu: under each family those of its methods."""
    found = [registry.find("methods", name).card for name in registry.names("methods")]
    return [
        {family.plural: [f"methods/{recorded.file_of(card.name)}" for card in found if card.family == family.name]}
        for family in FAMILIES.values()
        if family.declared
    ]


def linked(text: str) -> str:
    """A page with the names that begin a row of a table as links to their pages, where they have one."""
    known = {name: f"methods/{recorded.file_of(name)}" for name in registry.names("methods")}
    known |= {name: f"tasks/{name}.md" for name in registry.names("tasks")}

    def link(row: re.Match[str]) -> str:
        return f"| [`{row[1]}`]({known[row[1]]}) |" if row[1] in known else row[0]

    return re.sub(r"^\| `([^`]+)` \|", link, text, flags=re.M)


def tasks() -> dict[str, str]:
    """``{file: page}`` of all registered tasks."""
    return {f"tasks/{name}.md": _task(registry.create("tasks", name)) for name in registry.names("tasks")}


def _method(cls: type[Method]) -> str:
    card, family = cls.card, FAMILIES[cls.card.family]
    covered = registry.tasks_of(cls)
    text = f"# {card.label}\n\n{_cell(card.description)}\n\n"
    text += _facts(
        {
            "name": f"`{card.name}`",
            "family": f"{family.title}" + (f": {family.note}" if family.note else ""),
            "source": card.reference,
            "tasks": ", ".join(f"[{name}](../tasks/{name}.md)" for name in covered),
            "options": ", ".join(f"`{card.name}+{option}`" for option in cls.variants),
            "needs": f"`pip install 'channelbench[{card.extra}]'`" if card.extra else "",
        }
    )
    if card.notes:
        text += f"\n## What differs from the source\n\n{_sentences(card.notes)}\n"
    text += _run_it(f"--methods {_quoted(card.name)} --tasks {','.join(covered)}")
    if scores := recorded.of_method(card.name, UP):
        text += "\n## Recorded scores\n\nWith 95 % intervals, each task under its own conditions; "
        text += f"[what skill and place mean]({UP}protocol.md#skill-ranks-intervals).\n\n{scores}"
    return text + _class(cls)


def _task(task: Task) -> str:
    card, spec = task.card, make_spec()
    defaults = task.default_conditions(spec)
    metrics = task.metrics_for(spec, defaults)
    answering = [registry.find("methods", name) for name in registry.names("methods")]
    answering = [cls for cls in answering if cls.covers(type(task))]
    text = f"# {card.label}\n\n{card.description}\n\n"
    text += _facts(
        {
            "name": f"`{card.name}`",
            "source": card.reference,
            "ranked by": f"`{metrics[0].card.name}`, {'more' if metrics[0].higher_is_better else 'less'} is better",
            "at best": task.ceiling_note,
            "a fit minimises": f"`{task.loss}`" if task.loss else "",
            "observed as": f"`{task.observation.__name__}`",
        }
    )
    text += f"\n[The protocol]({UP}protocol.md#tasks) says what is observed and wanted, exactly.\n"
    text += "\n## Metrics\n\n| name | | unit | better |\n|---|---|---|---|\n"
    for metric in metrics:
        better = "higher" if metric.higher_is_better else "lower"
        text += f"| `{metric.card.name}` | {_cell(metric.card.description)} | {metric.unit or '1'} | {better} |\n"
    text += "\n## Conditions\n\n`--condition NAME=VALUE` changes one, `NAME=A,B` runs both.\n\n"
    text += _conditions(task, defaults)
    text += _run_it(f"--suite full --tasks {card.name} --data data/uma.zarr")
    text += "\n## Methods\n\n| family | |\n|---|---|\n"
    for family in FAMILIES.values():
        members = [cls.card for cls in answering if cls.card.family == family.name]
        links = [f"[{card.label}]({UP}methods/{recorded.file_of(card.name)})" for card in members]
        text += f"| {family.plural} | {', '.join(links)} |\n" if links else ""
    if scores := recorded.of_task(card.name, UP):
        text += (
            "\n## Recorded scores\n\nNo condition is changed from its default above; with 95 % intervals.\n" + scores
        )
    return text + _class(type(task))


def _run_it(options: str) -> str:
    return f"\n## Run it\n\n```console\n$ channelbench run {options}\n```\n"


def _class(cls: type) -> str:
    """Where the reference has it."""
    return f"\n## In Python\n\n[`{cls.__module__}.{cls.__qualname__}`][{cls.__module__}.{cls.__qualname__}]\n"


def _conditions(task: Task, defaults: Conditions) -> str:
    said = _attributes(type(defaults))
    text = "| name | default | may be | |\n|---|---|---|---|\n"
    for name, field in type(defaults).model_fields.items():
        value, asked = field.default, getattr(defaults, name)
        unasked = "" if asked == value else f"; {_word(asked)} where nobody asks"
        refits = " Has fits of its own." if name in task.conditions.refits else ""
        text += f"| `{name}` | {_word(value)}{unasked} | {_range(field)} | {_cell(said[name])}{refits} |\n"
    return text


def _attributes(model: type) -> dict[str, str]:
    """What the ``Attributes`` sections of a class and its bases say, ``{name: words}``."""
    said: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        section = re.search(r"^Attributes:\n(.*?)(?=^\S|\Z)", inspect.cleandoc(cls.__doc__ or ""), re.M | re.S)
        if section:
            said |= dict(re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w+: |\Z)", section[1], re.M | re.S))
    return said


def _word(value: object) -> str:
    return "as the data have it" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _range(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    if field.annotation is bool:
        return "`false`, `true`"
    bounds = {name: getattr(bound, name) for bound in field.metadata for name in ("ge", "le") if hasattr(bound, name)}
    words = [f"{word} {bounds[name]:g}" for name, word in (("ge", "from"), ("le", "to")) if name in bounds]
    return " ".join(words).replace("-", "−") or "a word"


def _facts(facts: dict[str, str]) -> str:
    return "| | |\n|---|---|\n" + "".join(f"| {key} | {_cell(value)} |\n" for key, value in facts.items() if value)


def _sentences(notes: str) -> str:
    """Notes as a list, a sentence or half of one each, where they are long."""
    if len(notes) < 300:
        return notes
    # A mark within parentheses ends nothing: what follows it has a closing one before the next opening.
    parts = re.split(r"(?<=[.;]) (?![^()]*\))", " ".join(notes.split()))
    return "\n".join(f"- {part.removesuffix(';')}" for part in parts)


def _cell(text: str) -> str:
    """Words of a card or a docstring within a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("``", "`")


def _quoted(name: str) -> str:
    return f'"{name}"' if "(" in name else name
