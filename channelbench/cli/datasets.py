"""``inspect`` and ``verify``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from channelbench.bars import progress
from channelbench.errors import RequestError
from channelbench.options import AsJson, listed

if TYPE_CHECKING:
    from channelbench.cli.answers import Answer
    from channelbench.store.verify import Finding

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
    json: AsJson = False,
) -> None:
    """Print a dataset's sizes, units and statistics, and draw a sheet of pictures of it; or, with --results, one
    sample's predictions against the truth."""
    from channelbench.store.inspect import drawn, summary

    if results is not None:
        if json:
            raise RequestError("--json", expected="no --results, which draws a picture for people", got="both")
        _predictions(data, results, sample, methods, tasks, picture)
        return
    if given := [
        name for name, value in (("sample", sample), ("methods", methods), ("tasks", tasks)) if value is not None
    ]:
        raise RequestError("--results", expected=f"a folder that `run` wrote, with --{given[0]}", got="nothing")
    with progress() as bars:
        bar = bars.add_task(f"inspecting {data}", total=2, unit="steps")
        text, found = ("", _inspected(data)) if json else (summary(data), None)
        bars.update(bar, completed=1)
        target, sentences = drawn(data, picture)
        bars.update(bar, completed=2)
    if found is not None:
        from channelbench.cli.answering import answer

        answer(found.model_copy(update={"picture": str(target)}))
        return
    typer.echo("\n".join([text, "", *sentences]))
    typer.echo(str(target))


def _predictions(
    data: str, results: str, sample: int | None, methods: str | None, tasks: str | None, picture: Path | None
) -> None:
    """``inspect --results``."""
    from channelbench.benchmarks.prediction_sheet import show_sample

    with progress() as bars:
        bars.add_task(f"predicting a sample of {data}", total=None, unit="steps")
        lines, target = show_sample(
            data, results, sample, methods=listed(methods), tasks=listed(tasks), picture=picture
        )
    for line in lines:
        typer.echo(line)
    typer.echo(str(target))


def verify(data: Annotated[str, typer.Argument(help="Dataset to check.")], json: AsJson = False) -> None:
    """Check digests, completeness, physics and leakage of a dataset; exit 1 if something is wrong."""
    from channelbench.store import verify as verify_dataset

    with progress() as bars:
        bar = bars.add_task(f"reading {data}", total=None, unit="blocks")
        findings = verify_dataset(data, progress=lambda done, total: bars.update(bar, completed=done, total=total))
    if json:
        from channelbench.cli.answering import answer

        answer(_verified(data, findings))
    for finding in findings if not json else ():
        typer.echo(f"{'ok ' if finding.ok else 'BAD'} {finding.check:<9} {finding.question}")
        for problem in finding.problems[:10]:
            typer.echo(f"      {problem}")
        if len(finding.problems) > 10:
            typer.echo(f"      and {len(finding.problems) - 10} more")
        for note in finding.notes:
            typer.echo(f"      note: {note}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


# --- answers ---------------------------------------------------------------------------------------------------------


def _inspected(data: str) -> Answer:
    """What ``inspect`` says, but for the picture."""
    from channelbench.cli.answers import InspectAnswer, VariableModel
    from channelbench.spec import SPLITS
    from channelbench.store import open_dataset
    from channelbench.store.inspect import cautions, facts

    dataset = open_dataset(data, field="data")
    variables = []
    for fact in facts(dataset):
        mean, std, least, largest = fact.statistics or (None, None, None, None)
        of = "power" if fact.of_power else "values"
        numbers = {"mean": mean, "std": std, "min": least, "max": largest, "of": of}
        variables.append(
            VariableModel(name=fact.name, shape=list(fact.shape), dtype=fact.dtype, unit=fact.unit, **numbers)
        )
    return InspectAnswer(
        path=str(data),
        digest=dataset.digest,
        seed=dataset.seed,
        samples={split: dataset.spec.sizes.of(split) for split in SPLITS},
        spec=dataset.spec.model_dump(mode="json"),
        warnings=cautions(dataset.spec),
        variables=variables,
        picture="",
    )


def _verified(data: str, findings: Sequence[Finding]) -> Answer:
    from channelbench.cli.answers import CheckModel, VerifyAnswer

    checks = [
        CheckModel(
            check=finding.check,
            question=finding.question,
            ok=finding.ok,
            problems=list(finding.problems),
            notes=list(finding.notes),
        )
        for finding in findings
    ]
    return VerifyAnswer(path=str(data), ok=all(finding.ok for finding in findings), checks=checks)
