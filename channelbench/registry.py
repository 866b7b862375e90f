"""What is there to run: found by scanning the house's folders, by entry points, or by ``package.module:Class``.

Nothing is imported before somebody asks. Two of ours with one name raise. An entry point that cannot be loaded, has no
card or a name that is taken is left out with one warning line: a broken plugin never costs somebody else's run.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import multiprocessing
import pkgutil
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Literal

from channelbench.card import Card
from channelbench.contracts import Method, Metric, Suite, Task
from channelbench.errors import RequestError
from channelbench.families import declared
from channelbench.generator import Generator

__all__ = ["Kind", "address", "create", "find", "names", "refuse_taken", "tasks_of"]

Kind = Literal["generators", "methods", "metrics", "suites", "tasks"]

_LOG = logging.getLogger("channelbench")


@dataclass(frozen=True, kw_only=True)
class _KindInfo:
    """How entries of one kind are told and where they are. Plugins declare theirs as ``channelbench.<kind>``.

    Attributes:
        base: What they are made from.
        packages: Packages whose public modules are searched, with their public subpackages; one that has
            ``HAS_ENTRIES = False`` is passed by, so that nothing heavy is imported for a list of names.
        singular: One of them, in messages and as the family of its card.
        classes, instances: Whether an entry is a class, an instance, or either.
    """

    base: type
    packages: tuple[str, ...]
    singular: str
    classes: bool = True
    instances: bool = False

    @property
    def wanted(self) -> str:
        """What an entry has to be, in words."""
        concrete = f"a concrete subclass of {self.base.__name__}" if self.classes else ""
        made = f"an instance of {self.base.__name__}" if self.instances else ""
        return f"{' or '.join(part for part in (concrete, made) if part)} with a card"

    @property
    def families(self) -> tuple[str, ...]:
        """The families that a card may have."""
        return declared() if self.base is Method else (self.singular,)


_KINDS: Mapping[Kind, _KindInfo] = {
    "generators": _KindInfo(base=Generator, packages=("channelbench.generators",), singular="scenario"),
    "methods": _KindInfo(base=Method, packages=("channelbench.baselines", "channelbench.models"), singular="method"),
    "metrics": _KindInfo(base=Metric, packages=("channelbench.metrics",), singular="metric", instances=True),
    "suites": _KindInfo(
        base=Suite, packages=("channelbench.benchmarks",), singular="suite", classes=False, instances=True
    ),
    "tasks": _KindInfo(base=Task, packages=("channelbench.tasks",), singular="task"),
}


def names(kind: Kind) -> list[str]:
    """All registered names of a kind, sorted; of methods those without options."""
    return sorted(_entries(kind))


def find(kind: Kind, name: str) -> Any:
    """The class or instance called ``name``; ``package.module:Class`` is imported from there.

    A method's name may carry options, ``name+option+…``: the class is then what ``Method.variant`` makes of the method
    called ``name``, the same one each time and for any order of the options, which its own name has sorted. A
    registered name that has a ``+`` itself comes first.

    Raises:
        RequestError: nothing has that name, what the import finds is of another kind or has no good card, the import
            fails, whatever it raises, or a method has no such option.
    """
    if kind == "methods" and "+" in name and name not in _entries(kind):
        base, *options = name.split("+")
        return _variant(find(kind, base), tuple(sorted(options)))
    if ":" in name:
        return _import(kind, name)
    try:
        return _entries(kind)[name]
    except KeyError:
        singular = _KINDS[kind].singular
        raise RequestError(singular, expected=f"a known {singular}", got=name, choices=names(kind)) from None


def create(kind: Kind, name: str) -> Any:
    """An instance of what ``find`` finds.

    Raises:
        RequestError: as ``find``, or the class is from elsewhere and cannot be made without arguments.
    """
    found = find(kind, name)
    if not inspect.isclass(found):
        return found
    try:
        return found()
    except Exception as error:
        if found.__module__.startswith("channelbench."):
            raise  # a bug of ours
        expected = "a class that can be made without arguments"
        raise RequestError(_KINDS[kind].singular, expected=expected, got=f"{name} ({_reason(error)})") from None


def refuse_taken(kind: Kind, path: str, field: str) -> None:
    """Refuse a class from elsewhere that calls itself as a registered one; options do not make it another.

    Args:
        kind: What ``path`` names.
        path: ``package.module:Class``, perhaps with options.
        field: The option that it was given to.

    Raises:
        RequestError: its name is another's.
    """
    found = find(kind, path.partition("+")[0])
    if _entries(kind).get(found.card.name, found) is not found:
        raise RequestError(field, expected="a name that is not taken", got=f"{path} ({found.card.name})")


def address(kind: Kind, found: type) -> str:
    """The name under which another process finds a class: that of its card, or ``package.module:Class`` where it is
    not registered."""
    name = str(found.card.name)  # type: ignore[attr-defined]
    return name if _entries(kind).get(name) is found else f"{found.__module__}:{found.__qualname__}"


def tasks_of(method: type[Method]) -> tuple[str, ...]:
    """Names of the registered tasks that a method understands, in the order of its joint fits."""
    covered = [task for task in _entries("tasks").values() if method.covers(task)]
    return tuple(task.card.name for task in sorted(covered, key=method.order))


@cache
def _variant(base: type[Method], options: tuple[str, ...]) -> type[Method]:
    if base.variants and (not all(options) or len(set(options)) < len(options)):
        raise RequestError(
            "method",
            expected="each option once after a +",
            got="+".join((base.card.name, *options)),
            choices=base.variants,
        )
    return base.variant(options)


# --- ours ------------------------------------------------------------------------------------------------------------


@cache
def _entries(kind: Kind) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for item in _scan(kind):
        if entries.setdefault(item.card.name, item) is not item:
            raise RuntimeError(f"two {kind} are called {item.card.name!r}: {entries[item.card.name]!r} and {item!r}")
    for entry in entry_points(group=f"channelbench.{kind}"):
        _add_plugin(entries, kind, entry)
    return entries


def _listed(item: Any) -> Iterator[Any]:
    """What is listed of an entry: of a class of metrics some of its instances, else itself."""
    if inspect.isclass(item) and issubclass(item, Metric):
        yield from (item(**each) for each in item.listed)
    else:
        yield item


def _scan(kind: Kind) -> Iterator[Any]:
    for package in _KINDS[kind].packages:
        for module in _modules(importlib.import_module(package)):
            for item in vars(module).values():
                # A class is its own module's entry; an instance is one wherever it is, and the same one.
                if _is_entry(kind, item) and (not inspect.isclass(item) or item.__module__ == module.__name__):
                    yield from _listed(item)


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if info.name.rpartition(".")[2].startswith("_"):
            continue
        module = importlib.import_module(info.name)
        if not info.ispkg:
            yield module
        elif getattr(module, "HAS_ENTRIES", True):
            yield from _modules(module)


def _is_entry(kind: Kind, item: Any) -> bool:
    wanted = _KINDS[kind]
    if not inspect.isclass(item):
        return wanted.instances and isinstance(item, wanted.base) and isinstance(getattr(item, "card", None), Card)
    if not wanted.classes or not issubclass(item, wanted.base) or inspect.isabstract(item):
        return False
    # The instances of a class with parameters have a card each.
    return isinstance(getattr(item, "card", None), (Card, property) if wanted.instances else Card)


# --- from elsewhere --------------------------------------------------------------------------------------------------


def _add_plugin(entries: dict[str, Any], kind: Kind, entry: EntryPoint) -> None:
    try:
        for item in _listed(_checked(kind, entry.value, entry.load())):
            _check_family(kind, entry.value, item.card)
            if entries.setdefault(item.card.name, item) is not item:
                raise RequestError("card.name", expected="a name that is not taken", got=item.card.name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever somebody else's module does when it is imported
        # Workers meet it too: it has been said where they come from.
        level = logging.WARNING if multiprocessing.parent_process() is None else logging.DEBUG
        whose = f"{entry.dist.name}: " if entry.dist is not None else ""
        _LOG.log(level, "plugin left out: %s%s = %s: %s", whose, entry.name, entry.value, _reason(error))


def _import(kind: Kind, path: str) -> Any:
    module_name, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # as above
        raise RequestError(
            _KINDS[kind].singular, expected="an importable package.module:Class", got=f"{path} ({_reason(error)})"
        ) from None
    return _checked(kind, path, found)


def _checked(kind: Kind, path: str, found: Any) -> Any:
    wanted = _KINDS[kind]
    if not _is_entry(kind, found):
        raise RequestError(wanted.singular, expected=wanted.wanted, got=path)
    if isinstance(found.card, Card):
        _check_family(kind, path, found.card)
    return found


def _check_family(kind: Kind, path: str, card: Card) -> None:
    wanted = _KINDS[kind]
    if card.family not in wanted.families:
        got = f"{card.family} ({path})"
        raise RequestError("card.family", expected=f"that of a {wanted.singular}", got=got, choices=wanted.families)


def _reason(error: BaseException) -> str:
    """An error as one line: ours as it is, others with their type and where they were raised."""
    if isinstance(error, RequestError):
        return str(error)
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300].rstrip(": ")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_theirs(frame.filename)]
    return f"{text}, {frames[-1].filename}:{frames[-1].lineno}" if frames else text


def _is_theirs(file: str) -> bool:
    return not file.startswith("<") and file not in (__file__, importlib.__file__, metadata.__file__)
