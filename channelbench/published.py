"""Where the project is published: one line of ``pyproject.toml``, which is not there before it is.

``[project.urls] Repository`` feeds the clone line and the badge of the README, ``CITATION.cff`` (``make docs`` writes
them) and the cards of datasets (here, from the metadata of the installed package). Setuptools takes no empty address.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import metadata

__all__ = ["address_in", "repository"]


def repository() -> str:
    """The address of the repository; empty before it has one."""
    return address_in(metadata("channelbench").get_all("Project-URL") or ())


def address_in(entries: Iterable[str]) -> str:
    """That in the ``Project-URL`` entries of a package's metadata: ``Repository, https://host/page``."""
    for entry in entries:
        label, _, address = entry.partition(",")
        if label.strip().lower() == "repository":
            return address.strip()
    return ""
