"""A run that stops at a method's failure, for whoever writes the method."""

from __future__ import annotations

import pdb
import sys
import traceback

__all__ = ["Stopped", "look_into"]


class Stopped(Exception):
    """A method failed in a run that was to stop at it. The method's own error is its ``__cause__``."""


def look_into(stopped: Stopped) -> None:
    """Show where a method failed; at a terminal also stop there, with its variables at hand."""
    error = stopped.__cause__
    assert error is not None
    traceback.print_exception(error)
    print(stopped, file=sys.stderr)
    if sys.stdin.isatty() and sys.stdout.isatty():
        pdb.post_mortem(error.__traceback__)
