"""From a folder of result cells to ``leaderboard.csv`` and ``leaderboard.html``. It reads nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from channelbench.leaderboard.sections import Section

if TYPE_CHECKING:
    from channelbench.leaderboard.board import Board

__all__ = ["Section", "report", "write"]


def report(
    results: str | Path,
    csv: str | Path | None = None,
    html: str | Path | None = None,
    sections: Sequence[Section] = (),
    remarks: Sequence[str] = (),
    complain: Callable[[str], None] = lambda line: None,
    latex: bool = False,
) -> tuple[Path, Path]:
    """Write the leaderboard of a results folder, of those of its cells that are what they say.

    Args:
        results: A folder with ``run.json`` and ``cells/``; it may still be filling.
        csv: Where the tidy table goes; ``leaderboard.csv`` in the folder by default.
        html: Where the page goes; ``leaderboard.html`` in the folder by default.
        sections: Further tables and pictures for the page, below the leaderboard's own.
        remarks: Further lines for the top of the page.
        complain: Called with a line for each cell that is left out.
        latex: Whether the tables are also written for a paper, beside the CSV with the suffix ``.tex``.

    Returns:
        The paths of the table and of the page.

    Raises:
        RequestError: ``results`` is no results folder, or all its cells had to be left out (nothing is written then);
            or a file cannot be written.
    """
    from channelbench.leaderboard.board import build
    from channelbench.paths import expanded

    folder = expanded(results, field="results")
    return write(build(folder), folder, csv, html, sections, remarks, complain, latex)


def write(
    board: Board,
    folder: Path,
    csv: str | Path | None = None,
    html: str | Path | None = None,
    sections: Sequence[Section] = (),
    remarks: Sequence[str] = (),
    complain: Callable[[str], None] = lambda line: None,
    latex: bool = False,
) -> tuple[Path, Path]:
    """``report`` of a folder whose leaderboard is at hand."""
    from channelbench.errors import RequestError
    from channelbench.leaderboard.page import render
    from channelbench.leaderboard.table import as_csv, tidy
    from channelbench.paths import expanded
    from channelbench.results import write_atomic

    table_path = folder / "leaderboard.csv" if csv is None else expanded(csv, field="csv")
    page_path = folder / "leaderboard.html" if html is None else expanded(html, field="html")
    for problem in board.left_out:
        complain(f"left out: {problem}")
    if board.left_out and not board.results:
        got = f"{folder} ({board.left_out[0]})"
        raise RequestError("results", expected="a folder with a cell that is what it says", got=got)
    table, page = as_csv(tidy(board)), render(board, sections, remarks).encode()
    files = [("csv", table_path, table), ("html", page_path, page)]
    if latex:
        from channelbench.leaderboard.latex import as_latex

        files.append(("latex", table_path.with_suffix(".tex"), as_latex(board, sections).encode()))
    for field, path, data in files:
        try:
            write_atomic(path, data)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RequestError(field, expected="a file that can be written", got=f"{path} ({reason})") from None
    return table_path, page_path
