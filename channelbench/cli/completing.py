"""What a shell completes: names, read off the sources, because importing what they name takes seconds.

Installed packages' entry points are told by their own names. A test holds that these are the registry's names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

from channelbench.discovery import PACKAGES
from channelbench.presets import PUBLIC_PRESETS

__all__ = ["complete", "complete_list", "names_of"]

CARD = re.compile(r'\b(?:Card\(\s*name=|_suite\(\s*)"([^"]+)"')
"""How our modules write the name of an entry that a shell completes."""

WITHOUT_ENTRIES = re.compile(r"^HAS_ENTRIES = False", re.MULTILINE)
"""What a package says that has none; see ``discovery``."""


def names_of(kind: str) -> list[str]:
    """The names of a kind of the registry, or the presets, sorted; nothing is imported for them."""
    if kind == "presets":
        return list(PUBLIC_PRESETS)
    root = Path(__file__).parents[1]
    folders = [root.joinpath(*package.split(".")[1:]) for package in PACKAGES[kind]]
    found = {name for folder in folders for file in _modules(folder) for name in CARD.findall(file.read_text("utf-8"))}
    return sorted(found | {entry.name for entry in entry_points(group=f"channelbench.{kind}")})


def complete(kind: str) -> Callable[[str], list[str]]:
    """Completes one name of a kind."""

    def names(incomplete: str) -> list[str]:
        return [name for name in names_of(kind) if name.startswith(incomplete)]

    return names


def complete_list(kind: str) -> Callable[[str], list[str]]:
    """Completes the last name of a list with commas; none that is there already."""

    def lists(incomplete: str) -> list[str]:
        there, comma, begun = incomplete.rpartition(",")
        taken = there.split(",")
        return [f"{there}{comma}{name}" for name in complete(kind)(begun) if name not in taken]

    return lists


def _modules(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("_"):
            continue
        if path.suffix == ".py":
            yield path
        elif (marker := path / "__init__.py").exists() and not WITHOUT_ENTRIES.search(marker.read_text("utf-8")):
            yield from _modules(path)
