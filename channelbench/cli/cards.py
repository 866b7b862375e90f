"""``card``."""

from __future__ import annotations

from typing import Annotated

import typer

from channelbench.bars import progress

__all__ = ["card"]


def card(
    data: Annotated[str, typer.Argument(help="Finished dataset to describe.", show_default=False)],
    out: Annotated[
        str | None, typer.Option(help="Folder to write; NAME-card beside a local dataset by default.")
    ] = None,
    author: Annotated[
        list[str] | None, typer.Option(help="Who publishes it, 'Family, Given'; may be repeated.")
    ] = None,
    url: Annotated[str, typer.Option(help="Its page, once it has one.", show_default=False)] = "",
    doi: Annotated[str, typer.Option(help="Its DOI, once it has one.", show_default=False)] = "",
    zenodo: Annotated[bool, typer.Option("--zenodo", help="Write .zenodo.json as well.")] = False,
) -> None:
    """Write what a dataset is published with: card, Croissant metadata, a table of its samples."""
    from channelbench.store.cards import write_card

    with progress() as bars:
        bar = bars.add_task(f"describing {data}", total=1, unit="datasets")
        folder = write_card(data, out, authors=tuple(author or ()), url=url, doi=doi, for_zenodo=zenodo)
        bars.update(bar, completed=1)
    typer.echo(str(folder))
