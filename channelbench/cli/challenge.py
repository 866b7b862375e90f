"""``check-submission`` and ``hidden-digest``: what an organiser of a challenge needs besides ``run``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from channelbench.bars import progress
from channelbench.options import number

__all__ = ["check_submission", "hidden_digest"]

Data = Annotated[str | None, typer.Option(help="The public dataset; the last one generated here by default.")]


def check_submission(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="With a submission.toml.", show_default=False)],
    data: Data = None,
    cells: Annotated[int, number("--cells", 1, "Cells that are made again, chosen at random.")] = 3,
    seed: Annotated[int, number("--seed", 0, "Of the choice.")] = 0,
    with_fits: Annotated[
        bool, typer.Option("--with-fits", help="Score with the fits that were handed in; fit nothing again.")
    ] = False,
) -> None:
    """Make some cells of a submission again, by its own code, and say which agree; exit 1 unless all do."""
    from channelbench.benchmarks.checking import chosen_cells, handed_in, made_again
    from channelbench.benchmarks.progress import BarReporter
    from channelbench.cli.results import said_again

    handed = handed_in(folder)
    card, submission = handed.method.card, handed.submission
    typer.echo(f"{card.label} ({card.name}, {card.family}), by {', '.join(submission.authors)}")
    weights = f", weights under {submission.weights_licence}" if submission.weights_licence else ""
    typer.echo(f"{submission.organisation}: {submission.code} under {submission.licence}{weights}")
    wrong = [] if handed.audit is None else list(handed.audit.problems)
    for problem in wrong:
        typer.echo(f"not what it says: {problem}", err=True)
    chosen = chosen_cells(handed, cells, seed)
    agreed = 0
    with tempfile.TemporaryDirectory(prefix="channelbench-") as scratch, progress() as bars:
        again = made_again(chosen, data=data, scratch=Path(scratch), with_fits=with_fits, reporter=BarReporter(bars))
        for one in again:
            for line in said_again(one):
                typer.echo(line)
            agreed += one.agrees is True
    typer.echo(f"{agreed} of {len(chosen)} cells agree, of {len(handed.cells)} that were handed in")
    if agreed < len(chosen) or wrong:
        raise typer.Exit(1)


def hidden_digest(
    test_seed_file: Annotated[str, typer.Argument(metavar="FILE", help="With the secret.", show_default=False)],
    data: Data = None,
) -> None:
    """Print the digest of the hidden test that a secret draws: to publish it beforehand, and to check it afterwards."""
    from channelbench.benchmarks.hidden import digest_of
    from channelbench.benchmarks.progress import BarReporter

    with progress() as bars:
        reporter = BarReporter(bars)
        digest = digest_of(test_seed_file, data, lambda done, total: reporter.generating("hidden test", done, total))
    typer.echo(digest)
