"""The command line: the composition root. Heavy imports stay inside the commands: ``--help`` answers at once."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from channelbench._version import __version__
from channelbench.bars import progress
from channelbench.cli_exchange import export, import_
from channelbench.cli_results import compare, merge, reproduce, rm, show
from channelbench.cli_running import Debug, LogName, Redo, Shard, stopping_at_failures
from channelbench.errors import RequestError, shorten
from channelbench.options import MAX_SEED, MAX_WORKERS, number
from channelbench.presets import DEFAULT_PRESET, preset_words
from channelbench.surroundings import check_surroundings

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Make wireless-channel datasets, score methods on them, and read the leaderboard.",
)

KINDS = {
    "scenarios": "generators",
    "tasks": "tasks",
    "methods": "methods",
    "metrics": "metrics",
    "suites": "suites",
    "experiments": "experiments",
    "exhibits": "exhibits",
}


@app.command()
def generate(
    scenario: Annotated[
        str | None, typer.Option(help="Scenario, uma by default; see `channelbench list scenarios`.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder or URL (s3://…) to write; data/<scenario>.zarr by default.")
    ] = None,
    state: Annotated[str | None, typer.Option(help="los, nlos or random; the system's default.")] = None,
    source: Annotated[
        str | None, typer.Option(help="Where the channels come from; the scenario's own source by default.")
    ] = None,
    scene: Annotated[
        str | None, typer.Option(help="What a source traces rays through, by name or as a Mitsuba FILE.xml.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="dualband, the default, or multiuser.")] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="What draws and sums them, where the source has a choice; of 3GPP's: fast, cuda, sionna."),
    ] = None,
    preset: Annotated[str, typer.Option(help=f"{preset_words()}: how many samples.")] = DEFAULT_PRESET,
    samples: Annotated[int | None, number("--samples", 15, "So many samples, split 10:2:3.", maximum=10**30)] = None,
    seed: Annotated[int, number("--seed", 0, "Seed; the bytes depend on it and the spec alone.", maximum=MAX_SEED)] = 0,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A field of the spec: sub6.carrier_hz=2.4e9")] = None,
    spec: Annotated[Path | None, typer.Option(help="TOML file with fields of the spec.")] = None,
    workers: Annotated[int, number("--workers", 1, "Processes of one thread each.", maximum=MAX_WORKERS)] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Work on the dask cluster at this address, tcp://host:8786, or scheduler file.")
    ] = None,
    file_samples: Annotated[
        int | None, number("--file-samples", 1, "Samples in a file, a multiple of 200; up to 128 MiB by default.")
    ] = None,
    chunk_samples: Annotated[
        int | None, number("--chunk-samples", 1, "Samples in a chunk of the channels; up to 4 MiB by default.")
    ] = None,
) -> None:
    """Write a dataset, or finish one that was interrupted."""
    from channelbench.generation import generate as generate_dataset
    from channelbench.generation import make_spec
    from channelbench.spec import flat_assignments, parse_assignments, read_toml, split_samples
    from channelbench.store import open_dataset

    assignments = flat_assignments(
        {**(read_toml(spec) if spec is not None else {}), **flat_assignments(parse_assignments(set_ or []))}
    )
    flags = {"scenario": scenario, "system": system, "state": state, "source": source, "engine": engine, "scene": scene}
    for field, flag in flags.items():
        if flag is not None and assignments.get(field, flag) != flag:
            expected = f"what --set or --spec says of {field}, {assignments[field]}, or no flag"
            raise RequestError(f"--{field}", expected=expected, got=flag)
    if scene is not None:
        assignments["scene"] = scene
    made = make_spec(
        "uma" if scenario is None else scenario,
        system="dualband" if system is None else system,
        state=state,
        source=source,
        engine=engine,
        preset=preset,
        sizes=None if samples is None else split_samples(samples),
        assignments=assignments,
    )
    began = time.perf_counter()
    first: list[int] = []

    with progress() as bars:
        bar = bars.add_task(f"generating {made.scenario}", total=made.sizes.total, unit="samples")

        def show(done: int, total: int) -> None:
            first.append(done)
            bars.update(bar, completed=done)

        path = generate_dataset(
            made,
            out,
            seed=seed,
            workers=workers,
            scheduler=scheduler,
            file_samples=file_samples,
            chunk_samples=chunk_samples,
            progress=show,
        )
    seconds, fresh = time.perf_counter() - began, made.sizes.total - first[0]
    digest = open_dataset(path).digest
    if fresh:
        typer.echo(f"{fresh} samples in {seconds:.1f} s ({fresh / seconds:.0f} per second, start-up included)")
    else:
        typer.echo("already complete: nothing to do")
    typer.echo(f"digest {digest}")
    typer.echo(str(path))


@app.command()
def run(
    suite: Annotated[str, typer.Option(help="Suite; see `channelbench list suites`.")] = "full",
    data: Annotated[
        str | None, typer.Option(help="Dataset, folder or URL; the last one generated here by default.")
    ] = None,
    out: Annotated[str, typer.Option(help="Folder of the results.")] = "results",
    methods: Annotated[str | None, typer.Option(help="These methods, comma-separated; pkg.module:Class works.")] = None,
    tasks: Annotated[str | None, typer.Option(help="These tasks, comma-separated.")] = None,
    preset: Annotated[str, typer.Option(help=f"{preset_words()}: how long to train.")] = DEFAULT_PRESET,
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
) -> None:
    """Score methods on a dataset; a second call makes only what is missing."""
    from channelbench.benchmarks.progress import BarReporter
    from channelbench.benchmarks.request import parse_conditions
    from channelbench.benchmarks.runner import run as run_suite

    with stopping_at_failures(), progress() as bars:
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
            reporter=BarReporter(bars),
        )
    complaints, csv, html = _write_report(out)
    parts = {"": outcome, **outcome.stages}
    failed = [(place, result) for place, part in parts.items() for result in part.failed]
    made, kept = sum(len(part.written) for part in parts.values()), sum(part.kept for part in parts.values())
    typer.echo(f"{made} cells made, {kept} were there, {len(failed)} failed")
    for place, result in failed:
        typer.echo(f"failed: {place}{'/' if place else ''}{result.name}: {result.error}", err=True)
    typer.echo(str(csv))
    typer.echo(str(html))
    if failed or complaints:
        raise typer.Exit(1)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Folder that `run` wrote.")] = Path("results"),
    csv: Annotated[Path | None, typer.Option(help="CSV file; results/leaderboard.csv by default.")] = None,
    html: Annotated[Path | None, typer.Option(help="HTML file; results/leaderboard.html by default.")] = None,
    latex: Annotated[
        bool, typer.Option("--latex", help="Also the tables for a paper, beside the CSV as .tex.")
    ] = False,
) -> None:
    """Write the leaderboard of a results folder as CSV and HTML; exit 1 if a cell had to be left out."""
    complaints, *paths = _write_report(results, csv=csv, html=html, latex=latex)
    for path in [*paths, *([paths[0].with_suffix(".tex")] if latex else [])]:
        typer.echo(str(path))
    if complaints:
        raise typer.Exit(1)


@app.command(name="list")
def list_(kind: Annotated[str, typer.Argument(help=" | ".join(KINDS))]) -> None:
    """List what there is."""
    from rich.console import Console
    from rich.table import Table

    from channelbench import registry
    from channelbench.sources import makers

    if kind not in KINDS:
        raise RequestError("list", expected="a known kind", got=kind, choices=KINDS)
    table = Table(box=None, pad_edge=False, header_style="bold")
    further = {"methods": ["family", "tasks"], "scenarios": ["sources"]}.get(kind, [])
    for heading in ("name", *further, "description"):
        table.add_column(heading, no_wrap=heading != "description")
    for name in registry.names(KINDS[kind]):  # type: ignore[arg-type]
        sources = makers(name) if kind == "scenarios" else {}
        found = registry.find(KINDS[kind], name, source=next(iter(sources), None))  # type: ignore[arg-type]
        card, extra, description = found.card, [" ".join(sources)] if sources else [], found.card.description
        if kind == "methods":
            extra = [card.family, " ".join(registry.tasks_of(found))]
            description += f"\nwith {' '.join(f'+{option}' for option in found.variants)}" if found.variants else ""
        table.add_row(name, *extra, description)
    Console(highlight=False).print(table)


@app.command()
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


@app.command()
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


app.command(name="import")(import_)
app.command()(export)
for _command in (show, compare, reproduce, rm, merge):
    app.command()(_command)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _known(kind: Any, name: str) -> Any:
    from channelbench import registry

    return registry.find(kind, name)


def _names(kind: str, text: str | None) -> tuple[str, ...]:
    """A comma-separated list whose every name is known."""
    if text is None:
        return ()
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise RequestError(f"--{kind}", expected="at least one name", got=text)
    for name in names:
        _known(kind, name)
    return names


def _write_report(
    results: str | Path, csv: Path | None = None, html: Path | None = None, latex: bool = False
) -> tuple[int, Path, Path]:
    """How many cells had to be left out, each with a line that says so; and the files."""
    from channelbench.benchmarks.exhibits import report as write_report

    lines: list[str] = []

    def complain(line: str) -> None:
        lines.append(line)
        typer.echo(line, err=True)

    paths = write_report(results, csv=csv, html=html, complain=complain, latex=latex)
    return len(lines), *paths


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Make wireless-channel datasets, score methods on them, and read the leaderboard."""


def main() -> None:
    """Entry point: errors of the request are one line and exit 2, bugs are tracebacks."""
    command = typer.main.get_command(app)
    # Waiting threads that spin take the processor from those that work: on a busy machine a fit took ten times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        check_surroundings()
        code = command.main(standalone_mode=False)
    except RequestError as error:
        _fail(str(error), 2)
    except OSError as error:
        _fail(f"{error.filename or 'the store'}: {error.strerror or error}; the same command continues", 1)
    except Exception as error:
        from channelbench.store.location import is_store_error, said

        if is_store_error(error):
            _fail(f"the store: {said(error)}; the same command continues", 1)
        # typer brings its own copy of click, so its exceptions are told by what they carry.
        if not hasattr(error, "format_message"):
            raise
        _fail(" ".join(error.format_message().split()), 2)
    if code == 130:  # typer turns Ctrl-C into this
        _stop()
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    typer.echo(f"error: {shorten(' '.join(message.split()), 3000)}", err=True)
    sys.exit(code)


def _stop() -> None:
    """Leave without taking the libraries apart: that takes a second, and they complain of what was under way."""
    typer.echo("error: stopped; what is done is kept, and the same command continues", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(130)


if __name__ == "__main__":
    main()
