"""A dataset in a few lines, for people who look at it in Python or a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

from channelbench.errors import RequestError
from channelbench.quantities import band_words, size_words
from channelbench.spec import SPLITS, ScenarioSpec
from channelbench.store.location import Location
from channelbench.store.record import Record

__all__ = ["described", "in_html", "in_text"]


def described(path: str, spec: ScenarioSpec, record: Record, variables: Iterable[str]) -> dict[str, str]:
    """What there is to say of a dataset: where it is, of what, how much, whether it is finished."""
    source = spec.source
    lines = {
        "path": path,
        "scenario": " ".join([spec.title, *([] if spec.system is None else [spec.system])]),
        "source": f"{source.label}, seed {record.seed}",
    }
    for name, band in spec.bands.items():
        shape = " × ".join(map(str, (spec.sizes.total, band.num_slots, band.num_subcarriers, band.array.num_antennas)))
        lines[f"h_{name}"] = f"{shape} (sample, slot, subcarrier, antenna) complex64; {band_words(band)}"
    lines["beside"] = ", ".join(name for name in variables if not name.startswith("h_"))
    lines["samples"] = ", ".join(f"{spec.sizes.of(split)} {split}" for split in SPLITS)
    lines["digest"] = record.content_digest or "none yet"
    lines["on disk"] = _size(path)
    lines["complete"] = "yes" if record.complete else "no: the same command continues it"
    lines["licence"], lines["citation"] = source.licence, source.citation
    return lines


def in_text(lines: Mapping[str, str]) -> str:
    """What is described, as lines of text."""
    width = max(map(len, lines))
    return "\n".join(["<channelbench dataset>", *(f"  {name:<{width}}  {text}" for name, text in lines.items())])


def in_html(lines: Mapping[str, str]) -> str:
    """What is described, as a table for notebooks."""
    rows = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(text)}</td></tr>'
        for name, text in lines.items()
    )
    return f"<table><caption>channelbench dataset</caption><tbody>{rows}</tbody></table>"


def _size(path: str) -> str:
    """Of all its files, where they are on this machine; a remote store would have to be asked for each."""
    try:
        folder = Location.of(path, field="data").folder
        if folder is None:
            return "not looked up (remote)"
        return size_words(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()))
    except (OSError, RequestError):  # files go while they are counted
        return "unknown"
