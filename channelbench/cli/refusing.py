"""What typer refuses, in our words; and how every refusal is told, in a line or as JSON.

typer brings its own copy of click, so that its exceptions are told by what they carry, not by their class.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from channelbench.errors import RequestError, shorten

__all__ = ["Commands", "refusal", "tell"]

LONGEST = 3000
"""Characters of a message."""


class Commands(TyperGroup):
    """The commands; an unknown one is refused as every other name is."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            remedy = "`channelbench -h` says what each does"
            raise RequestError(
                "command", expected="a known command", got=args[0], choices=self.list_commands(ctx), remedy=remedy
            )
        return super().resolve_command(ctx, args)


def refusal(error: Exception) -> RequestError | None:
    """What typer complains of; ``None`` where the error is none of its complaints."""
    if not hasattr(error, "format_message"):
        return None
    text = " ".join(error.format_message().split())
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    command = None if context is None else context.command
    # Of an option without its value typer does not say whose it is: what follows the program's name is a command.
    words = sys.argv[1:2] if command is None else [] if isinstance(command, Commands) else [command.name]
    called = " ".join(("channelbench", *words))
    remedy = f"`{called} -h` says what it takes"
    if (option := getattr(error, "option_name", None)) is not None:
        if "requires an argument" in text:
            return RequestError(option, expected="a value behind it", got="nothing", remedy=remedy)
        if "does not take a value" in text:
            return RequestError(option, expected="no value, as it is a switch", got="one", remedy=remedy)
        options = [] if command is None else _options(command)
        return RequestError(option, expected=f"an option of `{called}`", got=option, choices=options, remedy=remedy)
    if param is not None and text.startswith("Missing"):
        name = param.metavar or param.name if param.param_type_name == "argument" else param.opts[0]
        return RequestError(name, expected=_small(param.help or "a value"), got="nothing", remedy=remedy)
    if text.startswith("Got unexpected extra argument"):
        return RequestError("arguments", expected="no more of them", got=text[text.rfind("(") + 1 : -1], remedy=remedy)
    return RequestError("arguments", expected=f"what `{called}` takes", got=text, remedy=remedy)


def tell(message: str, code: int, error: RequestError | None = None) -> None:
    """Say what is wrong in one line on standard error, as JSON on standard output too where ``--json`` was asked for,
    and leave with ``code``."""
    line = shorten(" ".join(message.split()), LONGEST)
    if "--json" in sys.argv[1:]:
        from channelbench.cli.answers import ErrorAnswer

        typer.echo(json.dumps(ErrorAnswer.of(line, code, error).document()))
    typer.echo(f"error: {line}", err=True)
    sys.exit(code)


def _options(command: Any) -> list[str]:
    """The long options of a command, ``-h`` aside."""
    names = [name for param in command.params for name in (*param.opts, *param.secondary_opts)]
    return [*(name for name in names if name.startswith("--")), "--help"]


def _small(text: str) -> str:
    """A help text as a part of a sentence."""
    return text[0].lower() + text[1:].rstrip(".") if text[:2] != text[:2].upper() else text.rstrip(".")
