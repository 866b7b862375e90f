"""``import`` and ``export``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from channelbench.bars import progress
from channelbench.options import MAX_SEED, number

if TYPE_CHECKING:
    from channelbench.generators.imported.importing import Found

__all__ = ["export", "import_"]


def import_(
    path: Annotated[str, typer.Argument(help="File or folder to import.", show_default=False)],
    out: Annotated[str | None, typer.Option(help="Folder or URL (s3://…) of the dataset to write.")] = None,
    format: Annotated[
        str | None, typer.Option(help="Its format, where the content does not tell; docs/importing.md has a table.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="TOML file with what the data do not say themselves.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="One such setting: sub6.carrier_hz=3.5e9")] = None,
    scale: Annotated[str | None, typer.Option(help="paths, physical, unscaled or normalised amplitudes.")] = None,
    split: Annotated[str | None, typer.Option(help="seed, area or file: how links are shared out.")] = None,
    seed: Annotated[int, number("--seed", 0, "Seed of the split.", maximum=MAX_SEED)] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is there, and write nothing.")] = False,
) -> None:
    """Make a dataset of channels that were made elsewhere, or finish one that was interrupted."""
    from channelbench.assignments import parse_assignments, read_toml
    from channelbench.errors import RequestError
    from channelbench.generators.imported.importing import import_dataset, look
    from channelbench.store import open_dataset
    from channelbench.units import all_in_si

    assignments: dict[str, Any] = {
        **all_in_si(read_toml(settings, field="--settings") if settings is not None else {}),
        **all_in_si(parse_assignments(set_ or [])),
        **{name: value for name, value in (("scale", scale), ("split", split)) if value is not None},
    }
    if dry_run:
        found = look(path, format=format, assignments=assignments)
        try:
            for line in _seen(found):
                typer.echo(line)
        finally:
            found.reader.close()
        return
    if out is None:
        raise RequestError("--out", expected="where to write the dataset, or --dry-run", got="nothing")
    began = time.perf_counter()
    with progress() as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, unit="bytes" if what == "hashing" else "links")
            bars.update(tasks[what], completed=done, total=total)

        made = import_dataset(path, out, format=format, assignments=assignments, seed=seed, progress=show)
    source, total = made.source, made.spec.sizes.total
    typer.echo(f"{total} of {source.links} links in {time.perf_counter() - began:.1f} s")
    if source.rejected:
        typer.echo(f"{source.rejected} links without power are left out")
    if (guarded := source.links - source.rejected - total) > 0:
        typer.echo(f"{guarded} links are left out between splits")
    typer.echo(f"digest {open_dataset(made.path).digest}")
    typer.echo(str(made.path))


def export(
    data: Annotated[str, typer.Argument(help="Dataset to export.", show_default=False)],
    format: Annotated[str, typer.Option(help="Its new format; docs/importing.md has a table.", show_default=False)],
    out: Annotated[str | None, typer.Option(help="File or folder to write; the dataset's name by default.")] = None,
) -> None:
    """Write a dataset in a format of other tools."""
    from channelbench.generators.imported.exporting import export_dataset
    from channelbench.generators.imported.formats import writer_named

    lost = writer_named(format).loses
    with progress() as bars:
        bar = bars.add_task(f"exporting {data}", total=None, unit="samples")
        target = export_dataset(
            data, format=format, out=out, progress=lambda done, total: bars.update(bar, completed=done, total=total)
        )
    if lost:
        typer.echo(f"not in it: {lost}")
    typer.echo(str(target))


def _seen(found: Found) -> Iterator[str]:
    """What ``--dry-run`` says."""
    from channelbench.assignments import flatten
    from channelbench.generators.imported.completing import complete_bands

    seen, reader = found.description, found.reader
    yield f"format    {reader.name}: {reader.title}"
    yield f"links     {seen.num_links}"
    for name, facts in seen.bands.items():
        known = {key: value for key, value in vars(facts).items() if value is not None and key not in ("kind", "usual")}
        if facts.array is not None:
            known["array"] = f"{facts.array.rows}×{facts.array.columns}"
        said = flatten(found.bands.get(name, {}))
        usual = {key: value for key, value in facts.usual.items() if key not in said}
        yield f"{name:<9} {'paths' if facts.kind == 'paths' else 'channels'}: {_listed(known)}"
        if usual:
            yield f"{'':<9} unless you say otherwise: {_listed(usual)}"
        if said:
            yield f"{'':<9} as you say: {_listed(said)}"
    yield f"also      {', '.join(sorted(seen.quantities)) or 'nothing besides'}"
    yield f"scale     {found.scale}"
    yield f"licence   {found.asked.licence or seen.licence or 'not stated'}"
    yield f"citation  {found.asked.citation or seen.citation or 'not stated'}"
    bands = {} if found.needed else complete_bands(seen, found.bands)
    for note in (*seen.notes, *(reader.remarks(bands) if bands else ())):
        yield f"note      {note}"
    for field in found.needed:
        yield f"needed    {field} (--set {field}=… or --settings)"
    for hint in seen.hints:
        yield f"hint      {hint}"


def _listed(values: dict[str, Any]) -> str:
    numbers = {key: f"{value:g}" if isinstance(value, float) else str(value) for key, value in values.items()}
    return ", ".join(f"{key} {number}" for key, number in numbers.items())
