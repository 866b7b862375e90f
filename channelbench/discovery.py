"""Looking for what packages declare: in the modules of ours, behind others' entry points, at ``package.module:Class``.

The registry and the specs' sources both look here, so that nothing is scanned twice. Nothing is imported before
somebody asks. An entry point that cannot be loaded is left out with one warning line: a broken plugin never costs
somebody else's run.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import pkgutil
import traceback
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from channelbench.errors import RequestError

__all__ = ["PACKAGES", "from_entry_points", "from_packages", "is_ours", "leave_out", "load", "owner_of", "reason"]

PACKAGES: dict[str, tuple[str, ...]] = {
    "exhibits": ("channelbench.benchmarks.exhibits",),
    "experiments": ("channelbench.benchmarks.experiments",),
    "generators": ("channelbench.generators",),
    "methods": ("channelbench.baselines", "channelbench.models"),
    "metrics": ("channelbench.metrics",),
    "suites": ("channelbench.benchmarks",),
    "tasks": ("channelbench.tasks",),
}
"""Packages whose public modules are searched for each kind, with their public subpackages; one that has ``HAS_ENTRIES =
False`` is passed by, so that nothing heavy is imported for a list of names."""

_LOG = logging.getLogger("channelbench")


@cache
def from_packages(kind: str) -> tuple[tuple[str, Any], ...]:
    """All that the modules of a kind's packages have names for, each with the module's name."""
    return tuple(
        (module.__name__, item)
        for package in PACKAGES[kind]
        for module in _modules(importlib.import_module(package))
        for item in vars(module).values()
    )


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if info.name.rpartition(".")[2].startswith("_"):
            continue
        module = importlib.import_module(info.name)
        if not info.ispkg:
            yield module
        elif getattr(module, "HAS_ENTRIES", True):
            yield from _modules(module)


@cache
def from_entry_points(kind: str) -> tuple[tuple[EntryPoint, Any], ...]:
    """What installed packages declare under ``channelbench.<kind>``, each with its entry point; without those that
    cannot be loaded."""
    found = []
    for entry in entry_points(group=f"channelbench.{kind}"):
        try:
            found.append((entry, entry.load()))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever somebody else's module does when it is imported
            leave_out(entry, error)
    return tuple(found)


def is_ours(item: type) -> bool:
    """Whether a class is of this package."""
    return owner_of(item) == __name__.partition(".")[0]


def owner_of(item: type) -> str:
    """The top-level package or module of a class: who answers for it."""
    return item.__module__.partition(".")[0]


def leave_out(entry: EntryPoint, error: BaseException) -> None:
    """Say in one line that a plugin is left out, and why."""
    # Workers meet it too: it has been said where they come from.
    level = logging.WARNING if multiprocessing.parent_process() is None else logging.DEBUG
    whose = f"{entry.dist.name}: " if entry.dist is not None else ""
    _LOG.log(level, "plugin left out: %s%s = %s: %s", whose, entry.name, entry.value, reason(error))


def load(path: str) -> Any:
    """What stands at ``package.module:Name``.

    Raises:
        ImportError: it cannot be had, whatever the module raises when it is imported; the message is one line.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ImportError(reason(error)) from None


def reason(error: BaseException) -> str:
    """An error as one line: ours as it is, others with their type and where they were raised."""
    if isinstance(error, RequestError):
        return str(error)
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300].rstrip(": ")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_theirs(frame.filename)]
    return f"{text}, {frames[-1].filename}:{frames[-1].lineno}" if frames else text


def _is_theirs(file: str) -> bool:
    return not file.startswith("<") and file not in (__file__, importlib.__file__, metadata.__file__)
