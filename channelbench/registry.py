"""What is there to run: found by scanning four folders, by entry points, or by ``package.module:Class``.

Nothing is imported before somebody asks. Duplicate names raise.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Literal

from channelbench import discovery
from channelbench.contracts import Method, Metric, Suite, Task
from channelbench.errors import RequestError
from channelbench.exhibit import Exhibit
from channelbench.experiment import Experiment
from channelbench.generator import Generator
from channelbench.sources import default_of, makers

__all__ = ["Kind", "address", "create", "find", "names", "refresh", "tasks_of"]

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
_DECLARES: dict[str, tuple[str, ...]] = {"generators": ("card", "source", "geometry")}
"""What a class has to say about itself, where that is more than a card."""
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


def find(kind: Kind, name: str, *, source: str | None = None) -> Any:
    """The class (or, for suites, the instance) called ``name``; ``package.module:Class`` is imported from there.

    A method's name may carry options, ``name+option+…``: the class is then what ``Method.variant`` makes of the method
    called ``name``, the same one each time and for any order of the options, which its own name has sorted. A
    registered name that has a ``+`` itself comes first.

    A scenario may come from several sources. ``source`` says from which; without it, it is the scenario's own.

    Raises:
        RequestError: nothing has that name, what the import finds is of another kind, or a method has no such option.
    """
    if kind == "methods" and "+" in name and name not in _entries(kind):
        base, *options = name.split("+")
        return _variant(find(kind, base), tuple(sorted(options)))
    if kind == "generators":
        return _generator(name, source)
    if ":" in name:
        return _import(kind, name)
    try:
        return _entries(kind)[name]
    except KeyError:
        raise _unknown(kind, name) from None


def _unknown(kind: Kind, name: str) -> RequestError:
    return RequestError(_SINGULAR[kind], expected=f"a known {_SINGULAR[kind]}", got=name, choices=names(kind))


def _generator(scenario: str, source: str | None) -> type[Generator]:
    if ":" in scenario:
        _import("generators", scenario)
    elif scenario not in _entries("generators"):
        raise _unknown("generators", scenario)
    found = makers(scenario)
    name = default_of(scenario, found) if source is None else source
    if name not in found:
        raise RequestError("source", expected=f"a source of {scenario}", got=name, choices=found)
    return found[name]


def create(kind: Kind, name: str, *, source: str | None = None) -> Any:
    """An instance of what ``find`` finds."""
    found = find(kind, name, source=source)
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


def refresh() -> None:
    """Look again when asked next: packages may have been installed since."""
    discovery.from_packages.cache_clear()
    discovery.from_entry_points.cache_clear()
    _entries.cache_clear()


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
    entries: dict[Any, Any] = {}
    for item in _listed([*_scan(kind), *_from_entry_points(kind)]):
        key = (item.card.name, item.source.name) if kind == "generators" else item.card.name
        if key in entries and entries[key] is not item:
            raise RuntimeError(f"two {kind} are called {key!r}: {entries[key]!r} and {item!r}")
        entries[key] = item
    return {item.card.name: item for item in entries.values()}


def _listed(found: Iterable[Any]) -> Iterator[Any]:
    """Of a class of metrics, the instances that lists show."""
    for item in found:
        if inspect.isclass(item) and issubclass(item, Metric):
            yield from (item(**each) for each in item.listed)
        else:
            yield item


def _scan(kind: Kind) -> Iterator[Any]:
    yield from (item for module, item in discovery.from_packages(kind) if _belongs(item, kind, module))


def _belongs(item: Any, kind: Kind, module: str) -> bool:
    if kind == "suites":
        return isinstance(item, _BASES[kind])
    return _is_concrete(item, kind) and item.__module__ == module


def _is_concrete(item: Any, kind: Kind) -> bool:
    if not inspect.isclass(item) or not issubclass(item, _BASES[kind]) or inspect.isabstract(item):
        return False
    return all(hasattr(item, name) for name in _declares(kind))


def _declares(kind: Kind) -> tuple[str, ...]:
    return _DECLARES.get(kind, ("card",))


def _from_entry_points(kind: Kind) -> Iterator[Any]:
    for path, item in discovery.from_entry_points(kind):
        yield _checked(kind, path, item)


def _import(kind: Kind, path: str) -> Any:
    try:
        found = discovery.load(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(
            _SINGULAR[kind], expected="an importable package.module:Class", got=f"{path} ({error})"
        ) from None
    return _checked(kind, path, found)


def _checked(kind: Kind, path: str, found: Any) -> Any:
    base = _BASES[kind]
    if not (isinstance(found, base) if kind == "suites" else _is_concrete(found, kind)):
        declares = " and a ".join(_declares(kind))
        raise RequestError(
            _SINGULAR[kind], expected=f"a concrete subclass of {base.__name__} with a {declares}", got=path
        )
    return found
