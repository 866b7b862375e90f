"""``inspect`` and ``verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from channelbench.bars import progress
from channelbench.errors import RequestError

__all__ = ["inspect", "verify"]


def inspect(
    data: Annotated[str, typer.Argument(help="Dataset to look at.")],
    picture: Annotated[Path | None, typer.Option(help="PNG to write; beside a local dataset by default.")] = None,
    results: Annotated[
        str | None, typer.Option(help="Folder that `run` wrote: show what its methods predict for one sample.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="That sample, a row of the dataset; the first of the test split by default.")
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="These, comma-separated; the best of each task by default.")
    ] = None,
    tasks: Annotated[str | None, typer.Option(help="Of these, comma-separated; all by default.")] = None,
) -> None:
    """Print a dataset's sizes, units and statistics, and draw a sheet of pictures of it; or, with --results, one
    sample's predictions against the truth."""
    from channelbench.store.inspect import drawn, summary

    if results is not None:
        _predictions(data, results, sample, methods, tasks, picture)
        return
    if given := [
        name for name, value in (("sample", sample), ("methods", methods), ("tasks", tasks)) if value is not None
    ]:
        raise RequestError("--results", expected=f"a folder that `run` wrote, with --{given[0]}", got="nothing")
    with progress() as bars:
        bar = bars.add_task(f"inspecting {data}", total=2, unit="steps")
        text = summary(data)
        bars.update(bar, completed=1)
        target, sentences = drawn(data, picture)
        bars.update(bar, completed=2)
    typer.echo("\n".join([text, "", *sentences]))
    typer.echo(str(target))


def _predictions(
    data: str, results: str, sample: int | None, methods: str | None, tasks: str | None, picture: Path | None
) -> None:
    """``inspect --results``."""
    from channelbench.benchmarks.prediction_sheet import show_sample

    def listed(text: str | None) -> list[str]:
        return [part.strip() for part in (text or "").split(",") if part.strip()]

    with progress() as bars:
        bars.add_task(f"predicting a sample of {data}", total=None, unit="steps")
        lines, target = show_sample(
            data, results, sample, methods=listed(methods), tasks=listed(tasks), picture=picture
        )
    for line in lines:
        typer.echo(line)
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
