"""The paper's tables and pictures from result cells: one module per exhibit, one section of the page each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from channelbench.benchmarks.exhibits.rows import Run
    from channelbench.leaderboard.sections import Section

__all__ = ["report", "sections"]

HAS_ENTRIES = False  # the registry looks for suites beside this package


def report(results: str | Path, csv: str | Path | None = None, html: str | Path | None = None) -> tuple[Path, Path]:
    """Write the leaderboard of a results folder with the exhibits of its suite.

    Beside the leaderboard's two files each exhibit leaves ``<name>.csv`` and, where it has a picture, ``<name>.svg`` in
    the folder. The same cells make the same bytes.

    Args:
        results: A folder with ``run.json`` and ``cells/``; it may still be filling.
        csv: Where the tidy table goes; ``leaderboard.csv`` in the folder by default.
        html: Where the page goes; ``leaderboard.html`` in the folder by default.

    Returns:
        The paths of the table and of the page.

    Raises:
        RequestError: ``results`` is no results folder (nothing is written then), or a file cannot be written.
    """
    from channelbench import leaderboard
    from channelbench.benchmarks.exhibits.drawing import standalone

    parts = sections(results)
    paths = leaderboard.report(results, csv=csv, html=html, sections=parts)
    for part in parts:
        if part.csv:
            _write(Path(results) / f"{part.name}.csv", part.csv)
        if part.picture:
            _write(Path(results) / f"{part.name}.svg", standalone(part.picture))
    return paths


def sections(results: str | Path) -> list[Section]:
    """The exhibits of a folder's suite that have something to show; of other suites there are none.

    Raises:
        RequestError: ``results`` is no results folder.
    """
    from channelbench.benchmarks.exhibits.rows import Run

    run = Run.read(Path(results))
    return [part for make in _exhibits(run.suite) for part in make(run)]


def _exhibits(suite: str) -> list[Callable[[Run], list[Section]]]:
    from channelbench.benchmarks.exhibits import (
        ablation,
        cost,
        experts,
        hyper,
        multitask,
        pretraining,
        table4,
        transfer,
    )

    def single(make: Callable[[Run], Section | None]) -> Callable[[Run], list[Section]]:
        return lambda run: [part] if (part := make(run)) is not None else []

    overall = [table4.sections, single(pretraining.section)]
    by_suite: dict[str, list[Callable[[Run], list[Section]]]] = {
        "full": overall,
        "llm4wm": overall,
        "llm4wm-transfer": [single(transfer.section)],
        "llm4wm-ablation": [single(ablation.section)],
        "llm4wm-hyper": [single(hyper.section)],
        "llm4wm-experts": [single(experts.section)],
        "llm4wm-cost": [single(cost.section)],
        "llm4wm-multitask": [single(multitask.section)],
    }
    return by_suite.get(suite, [])


def _write(path: Path, text: str) -> None:
    from channelbench.errors import RequestError
    from channelbench.results import write_atomic

    try:
        write_atomic(path, text.encode())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RequestError("results", expected="a folder that can be written", got=f"{path} ({reason})") from None
