"""What every command shows while it works: bars at a terminal, lines in a log."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

    from channelbench.meters import Bars

__all__ = ["is_terminal", "progress"]


def is_terminal(file: TextIO) -> bool:
    """Whether whatever moves can be shown there. Colours may be forced on a log, which makes it no terminal."""
    try:
        return file.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
    except ValueError:  # closed
        return False


@contextmanager
def progress() -> Iterator[Bars]:
    """Bars on standard error, or lines where that is no terminal."""
    from rich.console import Console

    from channelbench.meters import Bars, LogLines

    bars = Bars(Console(stderr=True)) if is_terminal(sys.stderr) else LogLines()
    with bars:
        try:
            yield bars
        except BaseException:
            bars.live.transient = True  # an error is one line, not a line under a dead bar
            raise
