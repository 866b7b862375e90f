"""Options of ``run`` for whoever writes a method: part of the command line, and under its rules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

__all__ = ["Debug", "LogName", "Redo", "Shard", "stopping_at_failures"]

Redo = Annotated[
    str | None, typer.Option("--redo", help="Remove cells and fits of these methods of the run, and make them again.")
]
Shard = Annotated[
    str | None, typer.Option("--shard", help="I/N: make this share of the fits; see `channelbench merge`.")
]

Debug = Annotated[
    bool, typer.Option("--debug", help="Stop at the first failure of a method, at a terminal in the debugger.")
]
LogName = Annotated[str | None, typer.Option("--log", help="Learning curves to tensorboard or trackio, too.")]


@contextmanager
def stopping_at_failures() -> Iterator[None]:
    """Shows where a method failed, where the run was to stop there; exit 1."""
    from channelbench.benchmarks.stopping import Stopped, look_into

    try:
        yield
    except Stopped as stopped:
        look_into(stopped)
        raise typer.Exit(1) from None
