"""The command line: the composition root. Heavy imports stay inside the commands: ``--help`` answers at once."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from channelbench._version import __version__
from channelbench.cli import cards, challenge, datasets, exchange, generating, listing, results, running
from channelbench.cli.refusing import Commands, refusal, tell
from channelbench.errors import RequestError
from channelbench.surroundings import check_surroundings

__all__ = ["app", "main"]

app = typer.Typer(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Make wireless-channel datasets, score methods on them, and read the leaderboard.",
)

app.command()(generating.generate)
app.command()(running.run)
app.command()(running.report)
app.command(name="list")(listing.list_)
app.command()(datasets.inspect)
app.command()(datasets.verify)
app.command()(cards.card)
app.command(name="import")(exchange.import_)
app.command()(exchange.export)
for _command in (results.show, results.compare, results.reproduce, results.rm, results.merge):
    app.command()(_command)
app.command(name="check-submission")(challenge.check_submission)
app.command(name="hidden-digest")(challenge.hidden_digest)


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Make wireless-channel datasets, score methods on them, and read the leaderboard."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Entry point: errors of the request are one line and exit 2, bugs are tracebacks."""
    command = typer.main.get_command(app)
    # Waiting threads that spin take the processor from those that work: on a busy machine a fit took ten times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        check_surroundings()
        code = command.main(standalone_mode=False)
    except RequestError as error:
        tell(str(error), 2, error)
    except OSError as error:
        tell(f"{error.filename or 'the store'}: {error.strerror or error}; the same command continues", 1)
    except Exception as error:
        from channelbench.store.location import is_store_error, said

        if is_store_error(error):
            tell(f"the store: {said(error)}; the same command continues", 1)
        if (refused := refusal(error)) is None:
            raise
        tell(str(refused), 2, refused)
    if code == 130:  # typer turns Ctrl-C into this
        _stop()
    sys.exit(code if isinstance(code, int) else 0)


def _stop() -> None:
    """Leave without taking the libraries apart: that takes a second, and they complain of what was under way."""
    typer.echo("error: stopped; what is done is kept, and the same command continues", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(130)
