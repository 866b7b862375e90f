"""``inspect`` and ``verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from channelbench.bars import progress

__all__ = ["inspect", "verify"]


def inspect(
    data: Annotated[str, typer.Argument(help="Dataset to look at.")],
    picture: Annotated[Path | None, typer.Option(help="PNG to write; beside a local dataset by default.")] = None,
) -> None:
    """Print a dataset's sizes, units and statistics, and draw a sheet of pictures of it."""
    from channelbench.store.inspect import draw, summary

    with progress() as bars:
        bar = bars.add_task(f"inspecting {data}", total=2, unit="steps")
        text = summary(data)
        bars.update(bar, completed=1)
        target = draw(data, picture)
        bars.update(bar, completed=2)
    typer.echo(text)
    typer.echo(str(target))


def verify(data: Annotated[str, typer.Argument(help="Dataset to check.")]) -> None:
    """Check digests, completeness, physics and leakage of a dataset; exit 1 if something is wrong."""
    from channelbench.store import verify as verify_dataset

    with progress() as bars:
        bar = bars.add_task(f"reading {data}", total=None, unit="blocks")
        findings = verify_dataset(data, progress=lambda done, total: bars.update(bar, completed=done, total=total))
    for finding in findings:
        typer.echo(f"{'ok ' if finding.ok else 'BAD'} {finding.check:<9} {finding.question}")
        for problem in finding.problems[:10]:
            typer.echo(f"      {problem}")
        if len(finding.problems) > 10:
            typer.echo(f"      and {len(finding.problems) - 10} more")
        for note in finding.notes:
            typer.echo(f"      note: {note}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
