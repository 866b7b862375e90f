"""Licences as people write them, and as Hugging Face, Zenodo and SPDX call them."""

from __future__ import annotations

import re

__all__ = ["UNSTATED", "addresses", "hub_names", "spdx_names"]

UNSTATED = "not stated"
"""What a source says whose licence nobody has given."""

KNOWN = {
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
    "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0",
    "CC-BY-NC-ND-4.0": "cc-by-nc-nd-4.0",
    "CC-BY-ND-4.0": "cc-by-nd-4.0",
    "CC-BY-3.0": "cc-by-3.0",
    "CC0-1.0": "cc0-1.0",
    "ODbL-1.0": "odbl",
    "ODC-By-1.0": "odc-by",
    "PDDL-1.0": "pddl",
    "Apache-2.0": "apache-2.0",
    "MIT": "mit",
    "BSD-2-Clause": "bsd-2-clause",
    "BSD-3-Clause": "bsd-3-clause",
    "GPL-3.0": "gpl-3.0",
}
"""The SPDX identifier of each licence that data come with, and its name in the metadata of Hugging Face's hub."""


def spdx_names(licence: str) -> list[str]:
    """SPDX identifiers that a licence in words names, in its order: ``CC-BY-4.0; the scenes' geometry … ODbL-1.0``
    names two."""
    words = {name.lower(): name for name in KNOWN}
    found = re.findall(r"[a-z0-9]+(?:[-.][a-z0-9]+)*", licence.lower())
    return list(dict.fromkeys(words[word] for word in found if word in words))


def hub_names(licence: str) -> list[str]:
    """What Hugging Face's hub calls it: ``unknown`` where nobody has said, ``other`` for words without identifier."""
    if licence.strip() in ("", UNSTATED):
        return ["unknown"]
    return [KNOWN[name] for name in spdx_names(licence)] or ["other"]


def addresses(licence: str) -> list[str]:
    """The SPDX page of each licence that it names; its own words where it names none."""
    return [f"https://spdx.org/licenses/{name}.html" for name in spdx_names(licence)] or [licence]
