"""A run that stops at a method's failure, for whoever writes the method."""

from __future__ import annotations

import pdb
import sys
import traceback
from collections.abc import Callable

__all__ = ["Stopped", "look_into"]


class Stopped(Exception):
    """A method failed in a run that was to stop at it. The method's own error is its ``__cause__``.

    Args:
        message: In one line.
        struck_out: Takes from a text what nobody may read.
    """

    def __init__(self, message: str, struck_out: Callable[[str], str] = lambda text: text) -> None:
        super().__init__(message)
        self.struck_out = struck_out


def look_into(stopped: Stopped) -> None:
    """Show where a method failed; at a terminal also stop there, with its variables at hand."""
    error = stopped.__cause__
    assert error is not None
    print(stopped.struck_out("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    print(stopped, file=sys.stderr)
    if sys.stdin.isatty() and sys.stdout.isatty():
        pdb.post_mortem(error.__traceback__)
