"""Tables and pictures beside the leaderboard: one module per exhibit, found by the names that a suite states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from channelbench.paths import expanded

if TYPE_CHECKING:
    from channelbench.leaderboard.board import Board
    from channelbench.leaderboard.sections import Section
    from channelbench.leaderboard.views import Run

__all__ = ["Written", "report", "sections", "written"]

EVERYWHERE = ("learning",)
"""Exhibits of every suite, which have something to show wherever a cell does."""

HAS_ENTRIES = False  # the registry looks for suites beside this package


class Written(NamedTuple):
    """A report.

    Attributes:
        csv, html: Its files.
        board: What they show.
    """

    csv: Path
    html: Path
    board: Board


def report(
    results: str | Path,
    csv: str | Path | None = None,
    html: str | Path | None = None,
    complain: Callable[[str], None] = lambda line: None,
    latex: bool = False,
) -> tuple[Path, Path]:
    """Write the leaderboard of a results folder with the exhibits of its suite.

    Beside the leaderboard's two files each exhibit leaves ``<name>.csv`` in the folder and, where it has a picture,
    ``<name>.svg``, and ``<name>.pdf`` for a paper. The same cells make the same bytes.

    Args:
        results: A folder with ``run.json`` and ``cells/``; it may still be filling.
        csv: Where the tidy table goes; ``leaderboard.csv`` in the folder by default.
        html: Where the page goes; ``leaderboard.html`` in the folder by default.
        complain: Called with a line for each cell that is left out, those of further stages too.
        latex: Whether all tables are also written for a paper, beside the CSV with the suffix ``.tex``.

    Returns:
        The paths of the table and of the page.

    Raises:
        RequestError: ``results`` is no results folder, or all its cells had to be left out (nothing is written then);
            or a file cannot be written.
    """
    found = written(results, csv, html, complain, latex)
    return found.csv, found.html


def written(
    results: str | Path,
    csv: str | Path | None = None,
    html: str | Path | None = None,
    complain: Callable[[str], None] = lambda line: None,
    latex: bool = False,
) -> Written:
    """``report``, and what it shows."""
    from channelbench import leaderboard
    from channelbench.leaderboard.pictures import Picture, standalone
    from channelbench.leaderboard.views import Run

    results = expanded(results, field="results")
    run = Run.read(results)
    parts = [part for name in _exhibits(run) for part in _sections(name, run)]
    below = list(_left_out_below(results))
    paths = leaderboard.write(run.board, results, csv, html, parts, below, complain, latex)
    for line in below:
        complain(line)
    for part in parts:
        if part.csv:
            _write(results / f"{part.name}.csv", part.csv)
        if part.picture:
            _write(results / f"{part.name}.svg", standalone(part.svg))
        if isinstance(part.picture, Picture):
            _write(results / f"{part.name}.pdf", part.picture.pdf)
    return Written(*paths, run.board)


def sections(results: str | Path) -> list[Section]:
    """What the exhibits of a folder's suite have to show. One that cannot be found or made is a line that says so.

    Raises:
        RequestError: ``results`` is no results folder.
    """
    from channelbench.leaderboard.views import Run

    run = Run.read(expanded(results, field="results"))
    return [part for name in _exhibits(run) for part in _sections(name, run)]


def _left_out_below(folder: Path) -> Iterator[str]:
    """A line for each cell of a further stage that is left out."""
    from channelbench.leaderboard.audit import audit

    for stage in sorted({path.parent.parent for path in folder.rglob("cells/*.json")} - {folder}):
        for problem in audit(stage).problems:
            yield f"left out: {stage.relative_to(folder).as_posix()}/{problem}"


def _exhibits(run: Run) -> tuple[str, ...]:
    """The names that the folder was made with, of one from before they were written those of the suite of its name; and
    what every folder has."""
    from channelbench import registry
    from channelbench.errors import RequestError

    manifest = run.board.manifest
    names = manifest.exhibits
    if names is None:
        try:
            names = tuple(registry.find("suites", manifest.suite).exhibits)
        except RequestError:
            names = ()
    return tuple(dict.fromkeys((*names, *EVERYWHERE)))


def _sections(name: str, run: Run) -> list[Section]:
    from channelbench import registry
    from channelbench.leaderboard.sections import Section

    try:
        return list(registry.create("exhibits", name).sections(run))
    except Exception as error:  # somebody else's exhibit costs its own section, not the report
        reason = " ".join(str(error).split()) or "no reason given"
        slug = "".join(c if c.isalnum() else "-" for c in name)
        text = f"Not shown: {type(error).__name__}: {reason}"
        return [Section(name=f"missing-{slug}", title=f"Exhibit {name}", text=text)]


def _write(path: Path, content: str | bytes) -> None:
    from channelbench.errors import RequestError
    from channelbench.results import write_atomic

    try:
        write_atomic(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RequestError("results", expected="a folder that can be written", got=f"{path} ({reason})") from None
