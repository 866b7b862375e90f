"""``run`` and ``report``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from channelbench.bars import progress
from channelbench.cli.completing import complete, complete_list
from channelbench.errors import RequestError
from channelbench.options import MAX_WORKERS, AsJson, listed, number
from channelbench.presets import DEFAULT_PRESET, preset_words

if TYPE_CHECKING:
    from channelbench.benchmarks.exhibits import Written
    from channelbench.benchmarks.plan import RunPlan
    from channelbench.results import Result

__all__ = ["report", "run"]

Redo = Annotated[
    str | None, typer.Option("--redo", help="Remove cells and fits of these methods of the run, and make them again.")
]
Shard = Annotated[
    str | None, typer.Option("--shard", help="I/N: make this share of the fits; see `channelbench merge`.")
]

Debug = Annotated[
    bool, typer.Option("--debug", help="Stop at the first failure of a method, at a terminal in the debugger.")
]
TestSeedFile = Annotated[
    str | None,
    typer.Option("--test-seed-file", help="File with a secret: score on a test split drawn from it, as a challenge."),
]
Submissions = Annotated[
    list[str] | None, typer.Option("--submission", help="Folder that was handed in: score its method; may be repeated.")
]
LogName = Annotated[str | None, typer.Option("--log", help="Learning curves to tensorboard or trackio, too.")]


def run(
    suite: Annotated[
        str, typer.Option(help="Suite; see `channelbench list suites`.", autocompletion=complete("suites"))
    ] = "full",
    data: Annotated[
        str | None, typer.Option(help="Dataset, folder or URL; the last one generated here by default.")
    ] = None,
    out: Annotated[str, typer.Option(help="Folder of the results.")] = "results",
    methods: Annotated[
        str | None,
        typer.Option(
            help="These methods, comma-separated; pkg.module:Class works.", autocompletion=complete_list("methods")
        ),
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(help="These tasks, comma-separated.", autocompletion=complete_list("tasks"))
    ] = None,
    preset: Annotated[
        str, typer.Option(help=f"{preset_words()}: how long to train.", autocompletion=complete("presets"))
    ] = DEFAULT_PRESET,
    seeds: Annotated[int | None, number("--seeds", 1, "Seeds of learned methods.", maximum=1000)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    backbone: Annotated[
        str, typer.Option(help="Language model of the llm methods: minilm, gpt2, a hub name or folder, random:NAME.")
    ] = "minilm",
    controls: Annotated[
        bool, typer.Option("--controls", help="Also each llm method's +random, +none and +scratch.")
    ] = False,
    workers: Annotated[
        int,
        number(
            "--workers",
            1,
            "Processes; more than 1 have one thread each and measure no latency or peak memory.",
            maximum=MAX_WORKERS,
        ),
    ] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Work on the dask cluster at this address, tcp://host:8786, or scheduler file.")
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(help="Longest silence of a job, 90s, 10m or 6h; 10m, 60m or 6h by default, as the preset."),
    ] = None,
    max_time: Annotated[
        str | None, typer.Option(help="Longest job; by default 24h for methods that are not ours.")
    ] = None,
    condition: Annotated[list[str] | None, typer.Option(help="Test conditions: snr_db=0,10,20")] = None,
    stale: Annotated[str, typer.Option(help="Cells of other code than today's: remake them, or keep them.")] = "remake",
    redo: Redo = None,
    shard: Shard = None,
    debug: Debug = False,
    log: LogName = None,
    test_seed_file: TestSeedFile = None,
    submission: Submissions = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    json: AsJson = False,
) -> None:
    """Score methods on a dataset; a second call makes only what is missing."""
    from channelbench.benchmarks.progress import BarReporter
    from channelbench.benchmarks.request import parse_conditions
    from channelbench.benchmarks.runner import Reporter
    from channelbench.benchmarks.runner import run as run_suite

    with _stopping_at_failures(), progress() as bars:
        outcome = run_suite(
            suite,
            data=data,
            out=out,
            methods=_names("methods", methods),
            tasks=_names("tasks", tasks),
            conditions=parse_conditions(condition or []),
            preset=preset,
            seeds=seeds,
            device=device,
            backbone=backbone,
            controls=controls,
            workers=workers,
            scheduler=scheduler,
            timeout=timeout,
            max_time=max_time,
            stale=stale,
            redo=redo or (),
            shard=shard,
            debug=debug,
            log=log,
            test_seed_file=test_seed_file,
            submissions=submission or (),
            dry_run=dry_run,
            reporter=Reporter() if dry_run else BarReporter(bars),
        )
    assert outcome.plan is not None, "the outcome of a run has its plan"
    if dry_run:
        _say_plan(outcome.plan, json=json)
        return
    complaints, written = _write_report(outcome.folder)
    parts = {"": outcome, **outcome.stages}
    failed = [(place, result) for place, part in parts.items() for result in part.failed]
    made, kept = sum(len(part.written) for part in parts.values()), sum(part.kept for part in parts.values())
    for place, result in failed:
        typer.echo(f"failed: {place}{'/' if place else ''}{result.name}: {result.error}", err=True)
    if json:
        _answer_run(outcome.plan, made, kept, failed, written, outcome.folder)
    else:
        typer.echo(f"{made} cells made, {kept} were there, {len(failed)} failed")
        _say_end(written, outcome.plan.skipped)
        for path in (written.csv, written.html):
            typer.echo(str(path))
    if failed or complaints:
        raise typer.Exit(1)


def report(
    results: Annotated[Path, typer.Argument(help="Folder that `run` wrote.")] = Path("results"),
    csv: Annotated[Path | None, typer.Option(help="CSV file; results/leaderboard.csv by default.")] = None,
    html: Annotated[Path | None, typer.Option(help="HTML file; results/leaderboard.html by default.")] = None,
    latex: Annotated[
        bool, typer.Option("--latex", help="Also the tables for a paper, beside the CSV as .tex.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Write the leaderboard of a results folder as CSV and HTML; exit 1 if a cell had to be left out."""
    complaints, written = _write_report(results, csv=csv, html=html, latex=latex)
    if json:
        from channelbench.cli.answering import answer, board_model
        from channelbench.cli.answers import ReportAnswer

        answer(ReportAnswer(report=board_model(written, results)))
    else:
        _say_end(written, written.board.manifest.skipped)
        for path in [written.csv, written.html, *([written.csv.with_suffix(".tex")] if latex else [])]:
            typer.echo(str(path))
    if complaints:
        raise typer.Exit(1)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _names(kind: str, text: str | None) -> tuple[str, ...]:
    """A comma-separated list whose every name is known."""
    from channelbench import registry

    field = f"--{kind}"
    if text is None:
        return ()
    names = listed(text)
    if not names:
        raise RequestError(field, expected="at least one name", got=text)
    for name in names:
        try:
            registry.find(kind, name)  # type: ignore[arg-type]
        except RequestError as error:
            raise error.about(field) from None
    return names


@contextmanager
def _stopping_at_failures() -> Iterator[None]:
    """Shows where a method failed, where the run was to stop there; exit 1."""
    from channelbench.benchmarks.stopping import Stopped, look_into

    try:
        yield
    except Stopped as stopped:
        look_into(stopped)
        raise typer.Exit(1) from None


def _write_report(
    results: str | Path, csv: Path | None = None, html: Path | None = None, latex: bool = False
) -> tuple[int, Written]:
    """How many cells had to be left out, each with a line that says so; and the report."""
    from channelbench.benchmarks.exhibits import written

    lines: list[str] = []

    def complain(line: str) -> None:
        lines.append(line)
        typer.echo(line, err=True)

    found = written(results, csv=csv, html=html, complain=complain, latex=latex)
    return len(lines), found


def _say_plan(plan: RunPlan, *, json: bool) -> None:
    if json:
        from channelbench.cli.answering import answer, plan_model
        from channelbench.cli.answers import RunAnswer

        answer(RunAnswer(dry_run=True, plan=plan_model(plan)))
        return
    for line in plan.lines():
        typer.echo(line)


def _say_end(written: Written, skipped: Mapping[str, str]) -> None:
    """What was left out, and what came of the rest: the sentence at the top of the page."""
    from channelbench.leaderboard import verdict
    from channelbench.manifests import skipped_lines

    for line in skipped_lines(skipped):
        typer.echo(f"skipped: {line}")
    if written.board.tables and (words := verdict.text(verdict.of_table(written.board.tables[0]))):
        typer.echo(words)


def _answer_run(
    plan: RunPlan, made: int, there: int, failed: Sequence[tuple[str, Result]], written: Written, folder: Path
) -> None:
    from channelbench.cli.answering import answer, board_model, plan_model
    from channelbench.cli.answers import FailureModel, RunAnswer

    failures = [
        FailureModel(folder=place, cell=cell.name, method=cell.method, task=cell.task, error=cell.error)
        for place, cell in failed
    ]
    answer(
        RunAnswer(
            dry_run=False,
            plan=plan_model(plan),
            made=made,
            there=there,
            failed=failures,
            report=board_model(written, folder),
        )
    )
