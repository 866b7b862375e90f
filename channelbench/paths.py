"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

from channelbench.errors import RequestError

__all__ = ["expanded"]


def expanded(path: str | Path, *, field: str) -> Path:
    """The path with ``~`` and ``~name`` as the home folders that they mean, also where no shell has seen them.

    Raises:
        RequestError: nobody of that name has one.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise RequestError(field, expected="a path whose ~ is a home folder", got=str(path)) from None
