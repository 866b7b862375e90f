"""``generate``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from channelbench.bars import progress
from channelbench.cli.completing import complete
from channelbench.errors import RequestError
from channelbench.options import MAX_SEED, MAX_WORKERS, number
from channelbench.presets import DEFAULT_PRESET, preset_words

if TYPE_CHECKING:
    from channelbench.target import Target

__all__ = ["generate"]


def generate(
    scenario: Annotated[
        str | None,
        typer.Option(
            help="Scenario, uma by default; see `channelbench list scenarios`.", autocompletion=complete("generators")
        ),
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
    preset: Annotated[
        str | None,
        typer.Option(
            help=f"{preset_words()}: how many samples; {DEFAULT_PRESET} by default.", autocompletion=complete("presets")
        ),
    ] = None,
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be made, how large and how long, and write nothing.")
    ] = False,
) -> None:
    """Write a dataset, finish one that was interrupted, or add samples to one that is there."""
    from channelbench.generation import generate as generate_dataset
    from channelbench.generation import make_spec
    from channelbench.spec import flat_assignments, parse_assignments, read_toml, split_samples
    from channelbench.store import open_dataset

    assignments = flat_assignments({} if spec is None else read_toml(spec))
    assignments |= flat_assignments(parse_assignments(set_ or []))
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
        preset=DEFAULT_PRESET if preset is None else preset,
        sizes=None if samples is None else split_samples(samples),
        assignments=assignments,
    )
    # Whoever says nothing of sizes does not wish what is there to have others.
    grow = samples is not None or preset is not None or any(f"{name}.".startswith("sizes.") for name in assignments)
    if dry_run:
        from channelbench.dry_run import lines

        cut = {"file_samples": file_samples, "chunk_samples": chunk_samples}
        for line in lines(made, out, seed=seed, workers=workers, scheduler=scheduler, grow=grow, **cut):
            typer.echo(line)
        return
    began = time.perf_counter()
    first: list[int] = []
    found: list[Target] = []

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
            grow=grow,
            look_at=found.append,
        )
    seconds, fresh = time.perf_counter() - began, made.sizes.total - first[0]
    digest = open_dataset(path).digest
    if (there := found[0].there) is not None:
        typer.echo(f"{there.total} samples kept, {made.sizes.total - there.total} added")
    if fresh:
        typer.echo(f"{fresh} samples in {seconds:.1f} s ({fresh / seconds:.0f} per second, start-up included)")
    else:
        typer.echo("already complete: nothing to do")
    typer.echo(f"digest {digest}")
    typer.echo(str(path))
