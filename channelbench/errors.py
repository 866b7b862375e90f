"""The one error that users are meant to see."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["RequestError", "is_text", "nearest", "shorten"]

LONGEST = {"field": 200, "expected": 1000, "got": 1500}
"""Characters of each part of a message: what a fuzzer or a wrong file gives is not repeated whole."""

FEW = 12
"""So many choices are told beside a suggestion; more would hide it."""

ALIKE = 0.7
"""How alike a word and a name have to be, by ``difflib``, for the one to be taken as the other misspelt."""


class RequestError(Exception):
    """A request that cannot be carried out as written; nothing has been changed when it is raised.

    It is deliberately no ``ValueError``: argument parsers swallow those, and this one has to reach the user whole.

    Args:
        field: The argument, option or attribute that is wrong.
        expected: What would have been accepted, in words.
        got: What was given.
        choices: The accepted values. Where ``got`` is nearly one of them, that one is suggested.
        remedy: What to do about it, in words, where ``expected`` and the choices do not say so.
    """

    def __init__(self, field: str, *, expected: str, got: Any, choices: Iterable[str] = (), remedy: str = "") -> None:
        self.field, self.expected, self.got, self.choices = field, expected, got, tuple(choices)
        self.remedy, self.suggestion = remedy, nearest(got, self.choices)
        shown = {"field": field, "expected": expected, "got": _repr(got)}
        message = "{field}: expected {expected}, got {got}".format(
            **{part: shorten(text, LONGEST[part]) for part, text in shown.items()}
        )
        if self.suggestion:
            message += f"; did you mean {self.suggestion}?"
        if self.choices and not (self.suggestion and len(self.choices) > FEW):
            message += f"; choices: {', '.join(self.choices)}"
        if remedy:
            message += f"; {remedy}"
        super().__init__(" ".join(message.split()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers raise it too; by itself an exception is pickled without its keywords."""
        keywords = {"expected": self.expected, "got": self.got, "choices": self.choices, "remedy": self.remedy}
        return partial(type(self), **keywords), (self.field,)

    def about(self, field: str) -> RequestError:
        """The same complaint about another field: of what somebody typed rather than of where it was found wrong."""
        return RequestError(field, expected=self.expected, got=self.got, choices=self.choices, remedy=self.remedy)

    @classmethod
    def from_pydantic(cls, error: ValidationError, model: type[BaseModel]) -> RequestError:
        """The first complaint of a pydantic model, in our words."""
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or model.__name__
        got, expected = first["input"], first["msg"].removeprefix("Input should be ")
        choices: tuple[str, ...] = ()
        expected = expected.removeprefix("Value error, ")
        match first["type"]:
            case "extra_forbidden":
                expected, choices, got = "a known field", tuple(_fields_at(model, first["loc"][:-1])), first["loc"][-1]
            case "model_type" | "dict_type" | "model_attributes_type":
                expected, choices = "a group of fields, each set by itself", tuple(_fields_at(model, first["loc"]))
            case "missing":
                expected, got = "a value", "nothing"
            case "string_pattern_mismatch":
                expected = f"text of the form {first['ctx']['pattern']}"
            case "string_too_long":
                expected = f"at most {first['ctx']['max_length']} characters"
            case "string_too_short":
                expected = f"at least {first['ctx']['min_length']} characters"
            case "literal_error":
                choices = tuple(part.strip("' ") for part in first["ctx"]["expected"].replace(" or ", ",").split(","))
                expected = "one of the choices"
        return cls(field, expected=expected, got=got, choices=choices)


def nearest(got: Any, choices: Sequence[str]) -> str:
    """The one of ``choices`` that ``got`` is nearly, or begins, in any case, with ``-`` or ``_``; empty if it is none.
    What stands in parentheses behind a name is about it."""
    if not isinstance(got, str) or len(got) > LONGEST["field"] or got in choices:
        return ""
    word = _plain(got.partition(" (")[0])
    plain = {_plain(choice): choice for choice in reversed(choices)}
    begun = [name for name in plain if len(word) > 2 and name.startswith(word)]
    near = difflib.get_close_matches(word, plain, n=1, cutoff=ALIKE) or sorted(begun, key=len)
    return plain[near[0]] if near else ""


def _plain(word: str) -> str:
    return word.lower().replace("_", "-")


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # thousands of digits or of levels, or somebody's own
        return f"a value of type {type(value).__name__} that cannot be shown"


def is_text(word: str) -> bool:
    """Whether a word can be printed and stored: a path in another encoding than UTF-8 cannot, nor a zero byte."""
    return "\0" not in word and not any("\ud800" <= character <= "\udfff" for character in word)


def shorten(text: str, longest: int) -> str:
    """The text, or its two ends where it is longer."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} … {text[-half:]} ({len(text)} characters)"


def _fields_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Field names of the sub-model that ``path`` leads to."""
    from typing import get_args

    current: Any = model
    for part in path:
        annotation = current.model_fields[part].annotation
        candidates = [annotation, *get_args(annotation)]
        current = next(item for item in candidates if hasattr(item, "model_fields"))
    return sorted(current.model_fields)
