"""Where a method is from, and how this page is cited: links that a reader may follow, and BibTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from urllib.parse import quote_plus

from channelbench import registry
from channelbench._version import __version__
from channelbench.results import Result, RunManifest

__all__ = ["bibtex", "code_of_method", "description", "paper", "short_names"]

_DOI = re.compile(r"\b(?:doi:\s*|https://doi\.org/)?(10\.\d{4,9}/[^\s,;)]+)", re.IGNORECASE)
_ARXIV = re.compile(r"\barxiv:?\s*(\d{4}\.\d{4,5})", re.IGNORECASE)
_URL = re.compile(r"https://[^\s,;)]+")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")

_NAME = re.compile(r"\(([^()]+)\)")
"""The short name of a paper, as a reference that has its address says it in parentheses."""

_SPECIAL = str.maketrans({"&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "$": r"\$", "{": r"\{", "}": r"\}"})


def short_names(results: Sequence[Result] = ()) -> dict[str, dict[str, str]]:
    """Links by short name of papers, of what cards of suites and cells refer to: ``Liu et al. 2025 (LLM4WM), arXiv
    2501.12983, Table IV`` says where those find the paper that say ``LLM4WM, section V``."""
    found: dict[str, dict[str, str]] = {}
    for reference in (*_suites_references(), *(result.reference for result in results)):
        for part in reference.split(";"):
            name, link = _NAME.search(part), _address(part)
            if name is not None and link is not None:
                found.setdefault(name[1], link)
    return found


@cache
def _suites_references() -> tuple[str, ...]:
    found = []
    for name in registry.names("suites"):
        with suppress(Exception):  # somebody else's costs its own names
            found.append(str(registry.find("suites", name).card.reference))
    return tuple(found)


def paper(reference: str, known: Mapping[str, dict[str, str]] | None = None) -> dict[str, str] | None:
    """``{url, label}`` of a reference: its DOI, arXiv number or address where it has one, the paper's that it has the
    short name of, a search for its words where it names a year, nothing for what no paper is about.

    Args:
        reference: Of a card.
        known: Links by short name, see ``short_names``.
    """
    if found := _address(reference):
        return found
    names = short_names() if known is None else known
    own = _NAME.search(reference)
    if own is not None and own[1] in names:
        return names[own[1]]
    if _YEAR.search(reference):
        words = reference.split(";")[0]
        return {"url": f"https://scholar.google.com/scholar?q={quote_plus(words)}", "label": "look it up"}
    told = (name for name in sorted(names, key=len, reverse=True) if re.search(rf"\b{re.escape(name)}\b", reference))
    return names.get(next(told, ""))


def _address(reference: str) -> dict[str, str] | None:
    """The address that a reference states itself."""
    if found := _DOI.search(reference):
        return {"url": f"https://doi.org/{found[1].rstrip('.')}", "label": "DOI"}
    if found := _ARXIV.search(reference):
        return {"url": f"https://arxiv.org/abs/{found[1]}", "label": "arXiv"}
    if found := _URL.search(reference):
        return {"url": found[0].rstrip("."), "label": "open"}
    return None


def description(result: Result) -> str:
    """What the method's card says, where it is installed here."""
    try:
        return str(registry.find("methods", result.found_at.get("method", result.method)).card.description)
    except Exception:  # whatever a plugin raises, its cells are there to be shown
        return ""


def code_of_method(result: Result, state: str) -> dict[str, str]:
    """``{place, url, words}``: the class, its page in the project's repository where one is published, and what the
    cell says of its version."""
    name = result.found_at.get("method", result.method)
    place = name
    try:
        found = registry.find("methods", name)
        place = f"{found.__module__}:{found.__qualname__}"
    except Exception:  # as above
        state = "not installed"
    commit = next((c for package, c in result.commits.items() if place.startswith(package)), "")
    words = [f"commit {commit[:12]}{'-dirty' if commit.endswith('-dirty') else ''}"] if commit else []
    words += [f"digest {result.code_digest[:12]}"] if result.code_digest else []
    words += {"changed": ["other than is installed here"], "not installed": ["not installed here"]}.get(state, [])
    home = _repository()
    module = place.split(":")[0]
    path = _path(module) if home and module.startswith("channelbench.") else ""
    url = f"{home}/blob/{commit.removesuffix('-dirty') or 'main'}/{path}" if path else ""
    return {"place": place, "url": url, "words": ", ".join(words)}


def _path(module: str) -> str:
    """A module's file in a checkout, where the four folders stand beside the core."""
    parts = module.split(".")[1:]
    beside = ("models", "generators", "baselines", "benchmarks")
    return "/".join(parts if parts[0] in beside else ["channelbench", *parts]) + ".py"


@cache
def _repository() -> str:
    """The address that the package's metadata states; empty until one is published."""
    try:
        stated = metadata("channelbench").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    urls = dict(line.split(", ", 1) for line in stated if ", " in line)
    return str(urls.get("Repository", "")).rstrip("/").removesuffix(".git")


def bibtex(manifest: RunManifest, results: Sequence[Result], titles: Mapping[str, str]) -> str:
    """Entries for the software, for this run of it, and for what each method refers to."""
    dates = sorted(result.created[:10] for result in results if result.created)
    year = dates[-1][:4] if dates else ""
    entries = [
        _entry("software", "channelbench", title="{channelbench}", version=__version__, year=year, url=_repository()),
        _entry(
            "misc",
            f"channelbench-{_slug(manifest.suite)}-{manifest.dataset.digest[:8]}",
            title=f"Leaderboard of suite {_tex(manifest.suite)}, preset {_tex(manifest.preset)}",
            howpublished=f"channelbench {__version__}",
            note=f"Dataset {manifest.dataset.digest[:12]}" + (f", {dates[0]} to {dates[-1]}" if dates else ""),
            year=year,
        ),
    ]
    seen: dict[str, list[str]] = {}
    known = short_names(results)
    for result in results:
        if paper(result.reference, known) is not None:
            methods = seen.setdefault(result.reference, [])
            if result.method not in methods:
                methods.append(result.method)
    for reference, methods in seen.items():
        years = _YEAR.findall(reference)
        link = paper(reference, known) or {"url": "", "label": ""}
        direct = link["url"] if link["label"] != "look it up" else ""
        entries.append(
            _entry(
                "misc",
                _slug(methods[0]),
                title=_tex(reference.split(";")[0]),
                note=_tex(f"As {', '.join(titles.get(m, m) for m in methods)} refer{'s' * (len(methods) == 1)} to it"),
                year=years[0] if years else "",
                url=direct,
            )
        )
    return "\n".join(entries)


def _entry(kind: str, key: str, **fields: str) -> str:
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@{kind}{{{key},\n{lines}}}\n"


def _tex(text: str) -> str:
    return text.translate(_SPECIAL)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")
