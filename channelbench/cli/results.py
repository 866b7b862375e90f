"""``show``, ``compare``, ``reproduce``, ``rm`` and ``merge``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from channelbench.bars import progress
from channelbench.errors import RequestError
from channelbench.options import AsJson, listed

if TYPE_CHECKING:
    from channelbench.benchmarks.reproducing import Reproduced
    from channelbench.cli.answers import DifferenceModel
    from channelbench.folders.comparing import Difference

__all__ = ["compare", "merge", "reproduce", "rm", "said_again", "show"]

CellName = Annotated[
    str, typer.Argument(metavar="CELL", help="Its file, or method/task[/condition[/seed]].", show_default=False)
]
Results = Annotated[str, typer.Option(help="Folder that `run` wrote.")]


def show(cell: CellName, results: Results = "results", json: AsJson = False) -> None:
    """Say what a cell is: of what, on what, by which command, commit and code."""
    from channelbench.folders.finding import find_cell
    from channelbench.folders.showing import judged, said

    if json:
        from channelbench.cli.answering import answer
        from channelbench.cli.answers import ShowAnswer

        found = find_cell(cell, results)
        code, problems = judged(found)
        told = found.result.model_dump(mode="json")
        answer(ShowAnswer(path=str(found.path), cell=told, code=code, problems=[str(p) for p in problems]))
        return
    for line in said(find_cell(cell, results)):
        typer.echo(line)


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A method, or a results folder.", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="The other one of these.", show_default=False)],
    results: Results = "results",
    json: AsJson = False,
) -> None:
    """Compare two methods, or two results folders: paired differences A − B with 95 % intervals."""
    from channelbench.folders.comparing import compare as differences

    found = differences(a, b, results)
    if json:
        from channelbench.cli.answering import answer
        from channelbench.cli.answers import CompareAnswer

        answer(CompareAnswer(a=a, b=b, differences=[_model(difference) for difference in found]))
        return
    for line in _table(found):
        typer.echo(line)
    if any(difference.spread_unknown for difference in found):
        typer.echo("* one training: the interval is over drops alone, and another seed may be further off")


def reproduce(
    cell: CellName,
    results: Results = "results",
    data: Annotated[
        str | None, typer.Option(help="The dataset that it was scored on; the last one generated here by default.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="New folder to keep it in; else it is thrown away.")] = None,
) -> None:
    """Make a cell again, and say whether it agrees, and within what; exit 1 unless it does."""
    from channelbench.benchmarks.progress import BarReporter
    from channelbench.benchmarks.reproducing import reproduce as make_again
    from channelbench.folders.finding import find_cell
    from channelbench.paths import expanded

    found = find_cell(cell, results)
    with tempfile.TemporaryDirectory(prefix="channelbench-") as scratch:
        folder = Path(scratch) / "again" if out is None else expanded(out, field="--out")
        if folder.exists() and any(folder.iterdir()):
            raise RequestError("--out", expected="a new folder", got=out)
        with progress() as bars:
            again = make_again(found, data=data, out=folder, reporter=BarReporter(bars))
    for line in said_again(again):
        typer.echo(line)
    if not again.agrees:
        raise typer.Exit(1)


def rm(
    cells: Annotated[list[str] | None, typer.Argument(metavar="[CELL]...", help="Cells, as `show` takes them.")] = None,
    results: Results = "results",
    methods: Annotated[str | None, typer.Option(help="All cells of these methods, comma-separated.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Of these tasks alone, comma-separated.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Those alone that failed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and leave it.")] = False,
) -> None:
    """Remove cells with their terms, and the fits that no cell is left of."""
    from channelbench.folders.finding import cells_of, find_cell, folders_of, results_folder
    from channelbench.folders.removing import remove_cells
    from channelbench.results import Result

    folder = results_folder(results)
    if not (cells or methods or tasks or failed):
        raise RequestError("rm", expected="cells, --methods, --tasks or --failed", got="nothing")
    named = {(found.folder, found.result.name) for found in (find_cell(cell, folder) for cell in cells or ())}
    stages = folders_of(folder)
    there = [cell for stage in stages for cell in cells_of(stage)]
    chosen = _listed("--methods", methods, sorted({cell.method for cell in there}))
    of_tasks = _listed("--tasks", tasks, sorted({cell.task for cell in there}))

    def is_meant(stage: Path, cell: Result) -> bool:
        if cells and (stage, cell.name) not in named:
            return False
        parts = ((chosen, cell.method), (of_tasks, cell.task))
        return all(not names or name in names for names, name in parts) and (not failed or cell.status == "failed")

    gone = [
        path
        for stage in stages
        for path in remove_cells(stage, lambda cell, stage=stage: is_meant(stage, cell), dry_run=dry_run)  # type: ignore[misc]
    ]
    number = sum(path.suffix == ".json" for path in gone)
    for path in gone:
        if path.suffix == ".json" or path.is_dir() or path.parent.name == "checkpoints":
            typer.echo(str(path))
    typer.echo(f"{number} cells {'would go' if dry_run else 'gone'}")
    if number and not dry_run:
        typer.echo(f"`channelbench report {results}` writes the page without them")


def merge(
    parts: Annotated[list[str], typer.Argument(metavar="RESULTS...", help="Folders of one run.", show_default=False)],
    out: Annotated[str, typer.Option(help="Folder to merge them into.", show_default=False)],
) -> None:
    """Put results folders that several machines made together; exit 1 if a cell had to be left out."""
    from channelbench.benchmarks.exhibits import report
    from channelbench.benchmarks.merging import merge as merge_folders

    lines: list[str] = []
    given = merge_folders(parts, out, lines.append)
    for line in lines:
        typer.echo(line, err=True)
    typer.echo(f"{given} cells from {len(parts)} folder{'' if len(parts) == 1 else 's'}")
    for path in report(out):
        typer.echo(str(path))
    if lines:
        raise typer.Exit(1)


# --- lines -----------------------------------------------------------------------------------------------------------


def _listed(field: str, text: str | None, known: Sequence[str]) -> set[str]:
    names = set(listed(text))
    for name in sorted(names):
        if name not in known:
            raise RequestError(field, expected="one that the folder has", got=name, choices=known)
    return names


def _table(found: Sequence[Difference]) -> Iterator[str]:
    width = max(len(difference.what) for difference in found)
    for d in found:
        verdict = {"A": "A is better", "B": "B is better", "": "no difference shown"}[d.better]
        seeds = "" if d.seeds == (1, 1) else f", {d.seeds[0]} and {d.seeds[1]} seeds"
        metric = f"{d.metric}{f' {d.unit}' if d.unit else ''}"
        yield (
            f"{d.what:<{width}}  {metric}: A {d.a:.4g}, B {d.b:.4g}, A − B {d.value:+.4g} [{d.low:+.4g}, {d.high:+.4g}]"
            f"{'*' if d.spread_unknown else ''}  {verdict}{seeds}"
        )


def _model(d: Difference) -> DifferenceModel:
    from channelbench.cli.answers import DifferenceModel, EstimateModel

    return DifferenceModel(
        what=d.what,
        metric=d.metric,
        unit=d.unit,
        higher_is_better=d.higher_is_better,
        a=d.a,
        b=d.b,
        difference=EstimateModel.model_validate(d),
        better=d.better,
        seeds=d.seeds,
        spread_unknown=d.spread_unknown,
    )


def said_again(again: Reproduced) -> Iterator[str]:
    """Lines about a cell that was made again."""
    for score in again.scores:
        off = abs(score.now - score.before)
        verdict = {True: "agrees", False: "DIFFERS", None: "differs"}[score.agrees]
        limit = "" if score.tolerance is None else f" (at most {score.tolerance:.3g})"
        yield f"{score.name:<16} then {score.before:.9g}, now {score.now:.9g}: {verdict}, off by {off:.3g}{limit}"
    yield f"tolerance        {again.within}"
    for difference in again.differs:
        yield f"not the same     {difference}"
    words = {True: "agrees", False: "does not agree", None: "differs, and nobody knows whether by too much"}
    yield f"{again.now.name} {words[again.agrees]}"
