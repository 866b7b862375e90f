"""What was handed in, checked: the method loads, its cells are what they say, and some of them come out again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from channelbench.benchmarks.jobs import Reporter
from channelbench.benchmarks.reproducing import Reproduced, reproduce
from channelbench.contracts import Method
from channelbench.errors import RequestError
from channelbench.folders.finding import Found
from channelbench.leaderboard.audit import Audit, audit
from channelbench.submission import Submission

__all__ = ["Handed", "chosen_cells", "handed_in", "made_again"]


@dataclass(frozen=True)
class Handed:
    """A submission that loads.

    Attributes:
        submission: As its card has it.
        method: The class.
        audit: Of the results that came with it; ``None`` where none did.
    """

    submission: Submission
    method: type[Method]
    audit: Audit | None

    @property
    def cells(self) -> list[Found]:
        """The method's own cells with scores, by name."""
        if self.audit is None or (folder := self.submission.results) is None:
            return []
        own = self.method.card.name
        return [
            Found(folder, cell)
            for cell in sorted(self.audit.results, key=lambda cell: cell.name)
            if cell.method == own and cell.status == "ok"
        ]


def handed_in(place: str | Path) -> Handed:
    """Load what was handed in; its code is run.

    Raises:
        RequestError: it is no submission, or its method cannot be had.
    """
    submission = Submission.read(place)
    method = submission.load()
    folder = submission.results
    return Handed(submission, method, None if folder is None else audit(folder))


def chosen_cells(handed: Handed, number: int, seed: int) -> list[Found]:
    """Cells at random, the same for the same seed: which they are, nobody knows who hands in before the seed is said.

    Args:
        handed: What was handed in.
        number: How many; all where there are fewer.
        seed: Of the choice.

    Raises:
        RequestError: there is none to choose from.
    """
    cells = handed.cells
    if not cells:
        place = handed.submission.results or handed.submission.folder
        got = f"none in {place}: `channelbench run --submission {handed.submission.folder}` makes them"
        raise RequestError("submission", expected=f"cells of {handed.method.card.name} with scores", got=got)
    return random.Random(seed).sample(cells, min(number, len(cells)))


def made_again(
    found: list[Found],
    *,
    data: str | Path | None,
    scratch: Path,
    with_fits: bool = False,
    reporter: Reporter | None = None,
) -> Iterator[Reproduced]:
    """Each of these cells, made again.

    Args:
        found: The cells.
        data: The dataset; by default the last one that was generated in this folder.
        scratch: A folder for what is made.
        with_fits: Whether to score with the fits that were handed in, instead of fitting again.
        reporter: Hears of the progress.

    Raises:
        RequestError: see ``reproduce``.
    """
    for number, cell in enumerate(found):
        yield reproduce(cell, data=data, out=scratch / str(number), with_fits=with_fits, reporter=reporter)
