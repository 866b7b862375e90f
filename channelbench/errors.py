"""The one error that users are meant to see."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["RequestError", "is_text", "shorten"]

LONGEST = {"field": 200, "expected": 1000, "got": 1500}
"""Characters of each part of a message: what a fuzzer or a wrong file gives is not repeated whole."""


class RequestError(Exception):
    """A request that cannot be carried out as written; nothing has been changed when it is raised.

    It is deliberately no ``ValueError``: argument parsers swallow those, and this one has to reach the user whole.

    Args:
        field: The argument, option or attribute that is wrong.
        expected: What would have been accepted, in words.
        got: What was given.
        choices: The accepted values, where there are few.
    """

    def __init__(self, field: str, *, expected: str, got: Any, choices: Iterable[str] = ()) -> None:
        self.field, self.expected, self.got, self.choices = field, expected, got, tuple(choices)
        shown = {"field": field, "expected": expected, "got": _repr(got)}
        message = "{field}: expected {expected}, got {got}".format(
            **{part: shorten(text, LONGEST[part]) for part, text in shown.items()}
        )
        if self.choices:
            message += f"; choices: {', '.join(self.choices)}"
        super().__init__(" ".join(message.split()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers raise it too; by itself an exception is pickled without its keywords."""
        return partial(type(self), expected=self.expected, got=self.got, choices=self.choices), (self.field,)

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
