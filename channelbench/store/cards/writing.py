"""``channelbench card``: what a dataset is published with, beside it in a folder."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from channelbench.errors import RequestError
from channelbench.paths import expanded
from channelbench.store.cards import croissant, readme, samples, zenodo
from channelbench.store.cards.facts import Facts, Publication
from channelbench.store.cards.recipe import SPEC_FILE
from channelbench.store.dataset import open_dataset
from channelbench.store.location import Location

__all__ = ["write_card"]


def write_card(
    path: str | Path,
    out: str | Path | None = None,
    *,
    authors: tuple[str, ...] = (),
    url: str = "",
    doi: str = "",
    for_zenodo: bool = False,
) -> Path:
    """Write ``README.md`` (the card, as Hugging Face's hub reads it), ``croissant.json``, ``samples.parquet``,
    ``spec.toml`` and, if asked for, ``.zenodo.json``.

    Args:
        path: A finished dataset, a folder or a URL.
        out: Folder to write; beside a local dataset, or here if that is remote, unless told otherwise.
        authors: Who publishes it, ``Family, Given``.
        url: The page on which it is, once there is one.
        doi: Its DOI, once there is one.
        for_zenodo: Whether to write Zenodo's metadata as well.

    Returns:
        The folder.

    Raises:
        RequestError: no finished dataset, a folder with another README, an address that is none, or pyarrow is missing.
            Nothing has been written.
    """
    publication = Publication(authors=_checked_authors(authors), url=_checked_url(url), doi=_checked_doi(doi))
    samples.require_parquet()
    dataset = open_dataset(path, field="data")
    facts = Facts.of(dataset, publication)
    if for_zenodo:
        zenodo.check_zenodo(publication.authors, facts.licence)
    folder = _folder(path, facts, out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        table = folder / samples.FILE
        half = table.with_suffix(".partial")
        samples.write_samples(facts, half)
        os.replace(half, table)
        _put(folder / SPEC_FILE, facts.recipe.toml)
        _put(folder / croissant.FILE, _json(croissant.metadata(facts, table)))
        if for_zenodo:
            _put(folder / zenodo.FILE, _json(zenodo.deposit(facts)))
        _put(folder / readme.FILE, readme.card(facts))
    except OSError as error:
        if error.filename is None or not Path(error.filename).is_relative_to(folder):
            raise
        raise RequestError("--out", expected="a folder to write", got=f"{folder} ({error.strerror})") from None
    return folder


def _folder(path: str | Path, facts: Facts, out: str | Path | None) -> Path:
    """Where the card goes.

    Raises:
        RequestError: a place inside the dataset, a file, or a folder whose README is somebody's own.
    """
    data = Location.of(path, field="data").folder
    own = Path() if data is None else data.absolute().parent
    folder = own / f"{facts.name}-card" if out is None else expanded(out, field="--out")
    if data is not None and folder.resolve().is_relative_to(data.resolve()):
        raise RequestError("--out", expected="a folder outside the dataset", got=str(folder))
    there = folder / readme.FILE
    if folder.is_file() or (there.is_file() and readme.MARK not in there.read_text(errors="replace")):
        expected = f"a folder without a {readme.FILE} of your own"
        raise RequestError("--out", expected=expected, got=str(folder))
    return folder


def _checked_authors(authors: tuple[str, ...]) -> tuple[str, ...]:
    for name in authors:
        if not name.strip() or len(name) > 200 or not name.isprintable():
            raise RequestError("--author", expected="a name, as 'Family, Given'", got=name)
    return tuple(name.strip() for name in authors)


def _checked_url(url: str) -> str:
    if url and not re.fullmatch(r"https?://[^\s<>\"{}|\\^`]+\.[^\s<>\"{}|\\^`]+", url):
        raise RequestError("--url", expected="the dataset's page, as https://host/page", got=url)
    return url


def _checked_doi(doi: str) -> str:
    found = re.fullmatch(r"(?:https://doi\.org/|doi:)?(10\.\d{4,9}/[^\s<>\"{}|\\^`]+)", doi)
    if doi and not found:
        raise RequestError("--doi", expected="a DOI, as 10.1234/abc", got=doi)
    return found[1] if found else ""


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _put(target: Path, text: str) -> None:
    half = target.with_name(f"{target.name}.partial")
    half.write_text(text, encoding="utf-8")
    os.replace(half, target)
