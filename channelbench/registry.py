"""What is there to run: found by scanning the house's folders, by entry points, or by ``package.module:Class``.

Nothing is imported before somebody asks. Two of ours with one name raise. An entry point that cannot be loaded, has no
card or a name that is taken is left out with one warning line: a broken plugin never costs somebody else's run.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from channelbench import discovery
from channelbench.card import Card
from channelbench.contracts import Method, Metric, Observation, Task
from channelbench.errors import RequestError
from channelbench.exhibit import Exhibit
from channelbench.experiment import Experiment
from channelbench.families import FAMILIES, declared
from channelbench.generator import Generator
from channelbench.sources import default_of, makers, unknown_source
from channelbench.suite import Suite

__all__ = ["Kind", "address", "create", "find", "is_lent", "lend", "names", "refresh", "refuse_taken", "tasks_of"]

Kind = Literal["exhibits", "experiments", "generators", "methods", "metrics", "suites", "tasks"]


@dataclass(frozen=True, kw_only=True)
class _KindInfo:
    """How entries of one kind are told. Plugins declare theirs as ``channelbench.<kind>``.

    Attributes:
        base: What they are made from.
        singular: One of them, in messages and as the family of its card.
        classes, instances: Whether an entry is a class, an instance, or either.
        declares: What a class has to say about itself besides its card.
    """

    base: type
    singular: str
    classes: bool = True
    instances: bool = False
    declares: tuple[str, ...] = ()

    @property
    def wanted(self) -> str:
        """What an entry has to be, in words."""
        concrete = f"a concrete subclass of {self.base.__name__}" if self.classes else ""
        made = f"an instance of {self.base.__name__}" if self.instances else ""
        kinds = " or ".join(part for part in (concrete, made) if part)
        return f"{kinds} with a {' and a '.join(('card', *self.declares))}"

    @property
    def families(self) -> tuple[str, ...]:
        """The families that a card may have."""
        return declared() if self.base is Method else (self.singular,)


_KINDS: Mapping[Kind, _KindInfo] = {
    "exhibits": _KindInfo(base=Exhibit, singular="exhibit"),
    "experiments": _KindInfo(base=Experiment, singular="experiment"),
    "generators": _KindInfo(base=Generator, singular="scenario", declares=("source", "geometry")),
    "methods": _KindInfo(base=Method, singular="method"),
    "metrics": _KindInfo(base=Metric, singular="metric", instances=True),
    "suites": _KindInfo(base=Suite, singular="suite", classes=False, instances=True),
    "tasks": _KindInfo(base=Task, singular="task"),
}


RESERVED = tuple(family.name for family in FAMILIES.values() if not family.declared)
"""Names of methods that the protocol itself makes cells and rows of."""


def names(kind: Kind) -> list[str]:
    """All registered names of a kind, sorted; of methods those without options."""
    return sorted(_entries(kind))


def find(kind: Kind, name: str, *, source: str | None = None) -> Any:
    """The class or instance called ``name``; ``package.module:Class`` is imported from there.

    A method's name may carry options, ``name+option+…``: the class is then what ``Method.variant`` makes of the method
    called ``name``, the same one each time and for any order of the options, which its own name has sorted. A
    registered name that has a ``+`` itself comes first.

    A scenario may come from several sources. ``source`` says from which; without it, it is the scenario's own.

    Raises:
        RequestError: nothing has that name, what the import finds is of another kind or has no good card, the import
            fails, whatever it raises, or a method has no such option.
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
    singular = _KINDS[kind].singular
    listed = "scenarios" if kind == "generators" else kind
    return RequestError(
        singular,
        expected=f"a known {singular}",
        got=name,
        choices=names(kind),
        remedy=f"`channelbench list {listed}` says what each is",
    )


def _generator(scenario: str, source: str | None) -> type[Generator]:
    if ":" in scenario:
        _import("generators", scenario)
    elif scenario not in _entries("generators"):
        raise _unknown("generators", scenario)
    found = makers(scenario)
    name = default_of(scenario, found) if source is None else source
    if name not in found:
        raise unknown_source(scenario, name, found)
    return found[name]


def create(kind: Kind, name: str, *, source: str | None = None) -> Any:
    """An instance of what ``find`` finds.

    Raises:
        RequestError: as ``find``, or the class is from elsewhere and cannot be made without arguments.
    """
    found = find(kind, name, source=source)
    if not inspect.isclass(found):
        return found
    try:
        return found()
    except Exception as error:
        if discovery.is_ours(found):
            raise  # a bug of ours
        got = f"{name} ({discovery.reason(error)})"
        expected = "a class that can be made without arguments"
        raise RequestError(_KINDS[kind].singular, expected=expected, got=got) from None


def address(kind: Kind, found: type) -> str:
    """The name under which another process finds a class: that of its card, or ``package.module:Class`` where it is
    not registered."""
    name = str(found.card.name)  # type: ignore[attr-defined]
    return name if _entries(kind).get(name) is found else f"{found.__module__}:{found.__qualname__}"


def tasks_of(method: type[Method]) -> tuple[str, ...]:
    """Names of the registered tasks that a method understands, in the order of its joint fits."""
    covered = [task for task in _entries("tasks").values() if method.covers(task)]
    return tuple(task.card.name for task in sorted(covered, key=method.order))


_LENT: dict[tuple[str, str], type] = {}
"""Classes that no import finds, by kind and ``package.module:Class``: of a notebook, or of a function."""


def lend(kind: Kind, thing: Any) -> str:
    """The name under which ``find`` finds what a caller has in hand; a name stays what it is. A class that no import
    finds (one of a function, say) is kept for the life of this process.

    Raises:
        RequestError: it is neither a name nor a class of this kind.
    """
    if isinstance(thing, str):
        return thing
    wanted = _KINDS[kind]
    if not (inspect.isclass(thing) and _is_entry(kind, thing)):
        got = f"{thing.__name__}, with methods to write" if inspect.isabstract(thing) else thing
        raise RequestError(wanted.singular, expected=f"a name, or {wanted.wanted}", got=got)
    name = str(thing.card.name)  # type: ignore[attr-defined]
    if _entries(kind).get(name.partition("+")[0]) is not None:
        with suppress(RequestError):
            if find(kind, name) is thing:
                return name
    path = f"{thing.__module__}:{thing.__qualname__}"
    _LENT.pop((kind, path), None)
    with suppress(ImportError):
        if discovery.load(path) is thing:
            return path
    _LENT[kind, path] = thing
    return path


def is_lent(path: str) -> bool:
    """Whether this process alone has what stands at ``path``."""
    return any(path == known for _, known in _LENT)


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
    for item in _scan(kind):
        if entries.setdefault(_key(kind, item), item) is not item:
            first = entries[_key(kind, item)]
            raise RuntimeError(f"two {kind} are called {item.card.name!r}: {first!r} and {item!r}")
    for entry, found in discovery.from_entry_points(kind):
        try:
            for item in _listed(_checked(kind, entry.value, found)):
                _check_family(kind, entry.value, item.card)
                if entries.setdefault(_key(kind, item), item) is not item:
                    raise RequestError("card.name", expected="a name that is not taken", got=item.card.name)
        except Exception as error:
            discovery.leave_out(entry, error)
    return {item.card.name: item for item in entries.values()}


def _key(kind: Kind, item: Any) -> Any:
    """What no two entries share; a scenario may come from several sources."""
    return (item.card.name, item.source.name) if kind == "generators" else item.card.name


def _scan(kind: Kind) -> Iterator[Any]:
    for module, item in discovery.from_packages(kind):
        # A class is its own module's entry; an instance is one wherever it is, and the same one.
        if _is_entry(kind, item) and (not inspect.isclass(item) or item.__module__ == module):
            yield from _listed(item)


def _listed(item: Any) -> Iterator[Any]:
    """What is listed of an entry: of a class of metrics some of its instances, else itself."""
    if inspect.isclass(item) and issubclass(item, Metric):
        yield from (item(**each) for each in item.listed)
    else:
        yield item


def _is_entry(kind: Kind, item: Any) -> bool:
    wanted = _KINDS[kind]
    if not inspect.isclass(item):
        return wanted.instances and isinstance(item, wanted.base) and isinstance(getattr(item, "card", None), Card)
    if not wanted.classes or not issubclass(item, wanted.base) or inspect.isabstract(item):
        return False
    if not all(hasattr(item, name) for name in wanted.declares):
        return False
    # The instances of a class with parameters have a card each.
    return isinstance(getattr(item, "card", None), (Card, property) if wanted.instances else Card)


def _import(kind: Kind, path: str) -> Any:
    if (kind, path) in _LENT:
        return _checked(kind, path, _LENT[kind, path])
    try:
        found = discovery.load(path)
    except ImportError as error:
        raise RequestError(
            _KINDS[kind].singular, expected="an importable package.module:Class", got=f"{path} ({error})"
        ) from None
    return _checked(kind, path, found)


def _checked(kind: Kind, path: str, found: Any) -> Any:
    wanted = _KINDS[kind]
    if not _is_entry(kind, found):
        raise RequestError(wanted.singular, expected=wanted.wanted, got=path)
    if isinstance(found.card, Card):
        _check_family(kind, path, found.card)
    if kind == "methods":
        _check_method(path, found)
    return found


def _check_method(path: str, method: type[Method]) -> None:
    """What a run asks of a class before anything is fitted, asked here, where an error is one line."""
    if method.card.name in RESERVED:
        raise RequestError(
            "card.name", expected="a name that is not the protocol's own", got=f"{path} ({method.card.name})"
        )
    observes = getattr(method, "observes", None)
    if not isinstance(observes, tuple) or not observes or not all(map(_is_observation, observes)):
        raise RequestError("observes", expected="types of observations", got=f"{path} ({observes!r})"[:300])
    try:
        for task in _entries("tasks").values():
            if method.covers(task):
                method.order(task)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever somebody else's class method does
        got = f"{path} ({discovery.reason(error)})"
        raise RequestError("method", expected="a class that says which tasks it covers", got=got) from None


def _is_observation(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Observation)


def _check_family(kind: Kind, path: str, card: Card) -> None:
    wanted = _KINDS[kind]
    if card.family not in wanted.families:
        got = f"{card.family} ({path})"
        raise RequestError("card.family", expected=f"that of a {wanted.singular}", got=got, choices=wanted.families)
