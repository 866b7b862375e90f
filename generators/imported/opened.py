"""A file that is being imported: its reader, and what one pass over its links has found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.imported.columns import band_power, check_links
from channelbench.generators.imported.contract import Links, Reader
from channelbench.generators.imported.sharing import Shared
from channelbench.spec import BandSpec, ScenarioSpec

__all__ = ["AT_ONCE", "Opened", "Survey", "content_sha256", "opened_as", "opened_for", "survey"]

AT_ONCE = 200
"""Links that are read together, as many as are written together."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Survey:
    """What one pass over all links has found.

    Attributes:
        power: What tells the scale, by band, ``[links]``; see ``columns.band_power``.
        position: m, ``[links, 3]``.
        los: ``[links]``.
        first: Links that have power, some of the first: what every one of them has, it has.
    """

    power: Mapping[str, NDArray[np.float64]]
    position: NDArray[np.float64] | None
    los: NDArray[np.bool_] | None
    first: Links

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Links with power in every band, ``[links]``."""
        return np.all([power > 0 for power in self.power.values()], axis=0)


def survey(reader: Reader, bands: Mapping[str, BandSpec], count: int, progress: Progress) -> Survey:
    """Read every link once: is each a number, which carry power, where are they.

    Raises:
        RequestError: a value that is no number, with its place; no link with power.
    """
    parts: list[Links] = []
    power: dict[str, list[NDArray[np.float64]]] = {name: [] for name in bands}
    first: Links | None = None
    progress(0, count)
    for start in range(0, count, AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, count))
        links = reader.links(rows, bands)
        check_links(links, bands, rows, str(reader.path))
        found = {name: band_power(links, name) for name in bands}
        for name, values in found.items():
            if not np.isfinite(values).all():
                got = f"{reader.path}: link {rows[~np.isfinite(values)][0]} at {name}, whose power overflows"
                raise RequestError("PATH", expected="amplitudes whose squares are numbers", got=got)
            power[name].append(values)
        if first is None and (usable := np.all([p > 0 for p in found.values()], axis=0)).any():
            first = reader.links(rows[usable][:1], bands)
        parts.append(Links(bands={}, ue_position=links.ue_position, los=links.los))
        progress(int(rows[-1]) + 1, count)
    if first is None:
        raise RequestError("PATH", expected="links with power", got=f"{reader.path}: all {count} channels are zero")
    return Survey(
        power={name: np.concatenate(values) for name, values in power.items()},
        position=_joined([links.ue_position for links in parts]),
        los=_joined([links.los for links in parts]),
        first=first,
    )


def _joined(parts: list[Any]) -> Any:
    return None if any(part is None for part in parts) else np.concatenate(parts)


@dataclass(frozen=True)
class Opened:
    """A file whose links are ready to be written as a dataset."""

    reader: Reader
    shared: Shared

    def links(self, rows: NDArray[np.int64], bands: Mapping[str, BandSpec]) -> Links:
        """Some links, checked again: whoever writes a file while it is read writes it into nobody's dataset.

        Raises:
            RequestError: a value that is no number.
        """
        links = self.reader.links(rows, bands)
        check_links(links, bands, rows, str(self.reader.path))
        return links


_OPEN: dict[str, Opened] = {}
"""Files that are open in this process, by the written form of the spec that records them."""


@contextmanager
def opened_as(spec: ScenarioSpec, opened: Opened) -> Iterator[None]:
    """While samples of this spec are made of this file."""
    key = spec.canonical()
    _OPEN[key] = opened
    try:
        yield
    finally:
        _OPEN.pop(key, None)


def opened_for(spec: ScenarioSpec) -> Opened | None:
    """The file that a spec is about, where it is open in this process."""
    return _OPEN.get(spec.canonical())


def content_sha256(reader: Reader, progress: Progress) -> str:
    """Digest of the names and bytes of the files that a reader reads. Of a single file, that of its bytes: what
    ``sha256sum`` says."""
    files = reader.files()
    total = sum(path.stat().st_size for path in files)
    done, digests = 0, list[str]()
    for path in files:
        digest = hashlib.sha256()
        for piece in _bytes_of(path):
            digest.update(piece)
            done += len(piece)
            progress(done, max(total, 1))
        digests.append(digest.hexdigest())
    if files == [reader.path]:
        return digests[0]
    lines = [f"{digest}  {_name(reader.path, path)}" for path, digest in zip(files, digests, strict=True)]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _name(folder: Path, path: Path) -> str:
    """Of a file below a folder; its own beside it."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _bytes_of(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(2**24):
            yield piece
