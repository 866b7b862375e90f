"""Looking for what packages declare: in the modules of ours, behind others' entry points, at ``package.module:Class``.

The registry and the specs' sources both look here, so that nothing is scanned twice. Nothing is imported before
somebody asks.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from typing import Any

__all__ = ["PACKAGES", "from_entry_points", "from_packages", "load"]

PACKAGES: dict[str, tuple[str, ...]] = {
    "exhibits": ("channelbench.benchmarks.exhibits",),
    "experiments": ("channelbench.benchmarks.experiments",),
    "generators": ("channelbench.generators",),
    "methods": ("channelbench.baselines", "channelbench.models"),
    "metrics": ("channelbench.metrics",),
    "suites": ("channelbench.benchmarks",),
    "tasks": ("channelbench.tasks.link",),
}
"""Where we keep what there is of each kind: in modules directly below these packages."""


@cache
def from_packages(kind: str) -> tuple[tuple[str, Any], ...]:
    """All that the modules of a kind's packages have names for, each with the module's name."""
    return tuple(
        (module, item)
        for package in PACKAGES[kind]
        for module in _modules(package)
        for item in vars(importlib.import_module(module)).values()
    )


@cache
def from_entry_points(kind: str) -> tuple[tuple[str, Any], ...]:
    """What installed packages declare under ``channelbench.<kind>``, each with the path that the entry point names."""
    return tuple((entry.value, entry.load()) for entry in entry_points(group=f"channelbench.{kind}"))


def load(path: str) -> Any:
    """What stands at ``package.module:Name``.

    Raises:
        ImportError: there is no such module.
        AttributeError: the module has no such name.
        ValueError: that is no such path.
    """
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _modules(package: str) -> Iterator[str]:
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not info.ispkg and not info.name.startswith("_"):
            yield f"{package}.{info.name}"
