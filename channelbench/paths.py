"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

from channelbench.errors import RequestError, is_text

__all__ = ["check_words", "expanded"]


def expanded(path: str | Path, *, field: str) -> Path:
    """The path with ``~`` and ``~name`` as the home folders that they mean, also where no shell has seen them.

    Raises:
        RequestError: nobody of that name has one, or nothing can be called so.
    """
    check_words(str(path), field=field)
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise RequestError(field, expected="a path whose ~ is a home folder", got=str(path)) from None


def check_words(place: str, *, field: str) -> None:
    """Whether a folder, a file or a URL can be called so.

    Raises:
        RequestError: nothing on any disk can.
    """
    if not place.strip():
        raise RequestError(field, expected="a folder or a URL", got=place)
    if not is_text(place):
        raise RequestError(field, expected="a name in UTF-8, without zero bytes", got=place)
    if max(len(part.encode()) for part in place.split("/")) > 255 or len(place.encode()) > 4095:
        raise RequestError(field, expected="names of up to 255 bytes, 4095 in all", got=place)
