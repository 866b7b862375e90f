"""Metadata as Zenodo takes them: ``.zenodo.json``, and the ``metadata`` of a deposit."""

from __future__ import annotations

from html import escape
from typing import Any

from channelbench.errors import RequestError
from channelbench.store.cards.facts import Facts
from channelbench.store.cards.licences import spdx_names

__all__ = ["FILE", "check_zenodo", "deposit"]

FILE = ".zenodo.json"


def check_zenodo(authors: tuple[str, ...], licence: str) -> None:
    """Raise where something is missing that Zenodo takes no deposit without.

    Raises:
        RequestError: no author, or no licence that Zenodo knows.
    """
    if not authors:
        raise RequestError("--author", expected="one at least with --zenodo: 'Family, Given'", got="none")
    if not spdx_names(licence):
        raise RequestError("--zenodo", expected="a dataset under a licence with an SPDX identifier", got=licence)


def deposit(facts: Facts) -> dict[str, Any]:
    """The metadata of a deposit (https://developers.zenodo.org, "Deposit metadata"). A deposit has one licence: the
    first that the dataset names; the description has all its words."""
    made = {
        "title": facts.title,
        "upload_type": "dataset",
        "description": f"<p>{escape(facts.summary)}</p><p>Content digest {facts.dataset.digest}. "
        f"Licence: {escape(facts.licence)}. {escape(facts.citation)}</p>",
        "creators": [{"name": name} for name in facts.publication.authors],
        "license": spdx_names(facts.licence)[0].lower(),
        "access_right": "open",
        "keywords": list(facts.keywords),
        "version": facts.version,
        "doi": facts.publication.doi,
    }
    return {name: value for name, value in made.items() if value}
