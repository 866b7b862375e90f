"""What may be varied about a task's observations: a base class, of which each task has a model of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from channelbench.errors import RequestError

__all__ = ["DEFAULT", "Conditions", "condition_label"]

DEFAULT = "default"
"""Label of conditions that differ in nothing from a task's own."""


class Conditions(BaseModel):
    """The conditions of one task; see docs/protocol.md. A subclass has a field, with a default, for each of them.

    Numbers and words only: a condition is part of every result. A test is what they change; only the fields in
    ``refits`` change what a fit sees too, and under other conditions a fit is reused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    refits: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields that change the observations a method is fitted to."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Conditions:
        """The conditions with these values; they may be text.

        Raises:
            RequestError: a field that is not here, or a value that it refuses.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise RequestError.from_pydantic(error, cls) from None

    @classmethod
    def has(cls, names: Iterable[str]) -> bool:
        """Whether all these fields are here."""
        return set(names) <= set(cls.model_fields)

    def changes(self) -> dict[str, Any]:
        """The fields that differ from their defaults, in the order of the model."""
        values = self.model_dump(mode="json")
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        return {name: value for name, value in values.items() if value != defaults[name]}

    def of_fit(self) -> dict[str, Any]:
        """The changes that a fit sees too."""
        return {name: value for name, value in self.changes().items() if name in self.refits}

    @property
    def label(self) -> str:
        """See ``condition_label``."""
        return condition_label(self.changes())

    @property
    def sentence(self) -> str:
        """What is observed and what it is compared with, for the page; empty where the label says it all."""
        return ""


def condition_label(changes: Mapping[str, Any]) -> str:
    """Changes in a form that names of cells hold, e.g. ``snr_db=0,paper_compat=true``; ``default`` without any."""
    return ",".join(f"{name}={_plain(value)}" for name, value in changes.items()) or DEFAULT


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
