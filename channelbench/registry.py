"""What is there to run: found by scanning four folders, by entry points, or by ``package.module:Class``.

Nothing is imported before somebody asks. Duplicate names raise.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal

from channelbench.contracts import Method, Metric, Suite, Task
from channelbench.errors import RequestError
from channelbench.exhibit import Exhibit
from channelbench.experiment import Experiment
from channelbench.generator import Generator

__all__ = ["Kind", "address", "create", "find", "names", "tasks_of"]

Kind = Literal["exhibits", "experiments", "generators", "methods", "metrics", "suites", "tasks"]

_BASES: dict[str, type] = {
    "exhibits": Exhibit,
    "experiments": Experiment,
    "generators": Generator,
    "methods": Method,
    "metrics": Metric,
    "suites": Suite,
    "tasks": Task,
}
_PACKAGES: dict[str, tuple[str, ...]] = {
    "exhibits": ("channelbench.benchmarks.exhibits",),
    "experiments": ("channelbench.benchmarks.experiments",),
    "generators": ("channelbench.generators",),
    "methods": ("channelbench.baselines", "channelbench.models"),
    "metrics": ("channelbench.metrics",),
    "suites": ("channelbench.benchmarks",),
    "tasks": ("channelbench.tasks.link",),
}
_SINGULAR = {
    "exhibits": "exhibit",
    "experiments": "experiment",
    "generators": "scenario",
    "methods": "method",
    "metrics": "metric",
    "suites": "suite",
    "tasks": "task",
}


def names(kind: Kind) -> list[str]:
    """All registered names of a kind, sorted; of methods those without options."""
    return sorted(_entries(kind))


def find(kind: Kind, name: str) -> Any:
    """The class (or, for suites, the instance) called ``name``; ``package.module:Class`` is imported from there.

    A method's name may carry options, ``name+option+…``: the class is then what ``Method.variant`` makes of the method
    called ``name``, the same one each time and for any order of the options, which its own name has sorted. A
    registered name that has a ``+`` itself comes first.

    Raises:
        RequestError: nothing has that name, what the import finds is of another kind, or a method has no such option.
    """
    if kind == "methods" and "+" in name and name not in _entries(kind):
        base, *options = name.split("+")
        return _variant(find(kind, base), tuple(sorted(options)))
    if ":" in name:
        return _import(kind, name)
    try:
        return _entries(kind)[name]
    except KeyError:
        raise RequestError(
            _SINGULAR[kind], expected=f"a known {_SINGULAR[kind]}", got=name, choices=names(kind)
        ) from None


def create(kind: Kind, name: str) -> Any:
    """An instance of what ``find`` finds."""
    found = find(kind, name)
    return found() if inspect.isclass(found) else found


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


@cache
def _entries(kind: Kind) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for item in _listed([*_scan(kind), *_from_entry_points(kind)]):
        name = item.card.name
        if name in entries and entries[name] is not item:
            raise RuntimeError(f"two {kind} are called {name!r}: {entries[name]!r} and {item!r}")
        entries[name] = item
    return entries


def _listed(found: Iterable[Any]) -> Iterator[Any]:
    """Of a class of metrics, the instances that lists show."""
    for item in found:
        if inspect.isclass(item) and issubclass(item, Metric):
            yield from (item(**each) for each in item.listed)
        else:
            yield item


def _scan(kind: Kind) -> Iterator[Any]:
    for package_name in _PACKAGES[kind]:
        package = importlib.import_module(package_name)
        for info in pkgutil.iter_modules(package.__path__):
            if info.ispkg or info.name.startswith("_"):
                continue
            module = importlib.import_module(f"{package_name}.{info.name}")
            yield from (item for item in vars(module).values() if _belongs(item, kind, module.__name__))


def _belongs(item: Any, kind: Kind, module: str) -> bool:
    base = _BASES[kind]
    if kind == "suites":
        return isinstance(item, base)
    return _is_concrete(item, base) and item.__module__ == module


def _is_concrete(item: Any, base: type) -> bool:
    return inspect.isclass(item) and issubclass(item, base) and not inspect.isabstract(item) and hasattr(item, "card")


def _from_entry_points(kind: Kind) -> Iterator[Any]:
    for entry in entry_points(group=f"channelbench.{kind}"):
        yield _checked(kind, entry.value, entry.load())


def _import(kind: Kind, path: str) -> Any:
    module_name, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(
            _SINGULAR[kind], expected="an importable package.module:Class", got=f"{path} ({error})"
        ) from None
    return _checked(kind, path, found)


def _checked(kind: Kind, path: str, found: Any) -> Any:
    base = _BASES[kind]
    if not (isinstance(found, base) if kind == "suites" else _is_concrete(found, base)):
        raise RequestError(_SINGULAR[kind], expected=f"a concrete subclass of {base.__name__} with a card", got=path)
    return found
