"""Cards: who an entry of the registry is, in fields that lists and docs tables are made from."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from channelbench.errors import RequestError
from channelbench.families import declared

__all__ = ["OTHER_FAMILIES", "Card"]

OTHER_FAMILIES = ("scenario", "task", "metric", "suite", "experiment", "exhibit")
"""What the cards of entries that are no methods have as their family."""


class Card(BaseModel):
    """One entry of the registry.

    Attributes:
        name: What commands and result cells call it: at most 100 of lower case, digits and ``_.+()-``. There is no
            ``__``, which parts the names of cells; parentheses end a name or what is before a ``+``, and hyphens do
            not, because files have hyphens for both.
        title: What tables and pictures call it; the name by default.
        description: One sentence.
        reference: Where it is from.
        family: Of a method, one of ``channelbench.families``: how the leaderboard treats it. Of anything else, what it
            is: ``scenario``, ``task``, ``metric``, ``suite``, ``experiment`` or ``exhibit``.
        extra: The optional dependencies that it needs, as in ``pip install channelbench[extra]``.
        notes: What differs from the reference, for the docs and the page.
        organisation, code, weights_licence: Of a method: who made it, the address of its code, the licence of its
            weights. The leaderboard has columns for them where a row says so.

    Raises:
        RequestError: on construction, naming the field, what was expected and what was given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.+()-]*$", max_length=100)
    title: str = ""
    description: str = Field(min_length=10)
    reference: str = Field(min_length=3)
    family: str
    extra: str = ""
    notes: str = ""
    organisation: str = Field("", max_length=200)
    code: str = Field("", pattern=r"^(https?://\S+)?$", max_length=300)
    weights_licence: str = Field("", max_length=200)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            found = RequestError.from_pydantic(error, type(self))
            whose = f"card.{found.field}"
            raise found.about(whose) from None

    @field_validator("name")
    @classmethod
    def _parts_no_cell(cls, name: str) -> str:
        if "__" in name:
            raise RequestError("card.name", expected="a name without __", got=name)
        for part in name.split("+"):
            if not re.fullmatch(r"[^()]*[^()-]|[^()]*\([^()]+\)", part):
                expected = "a name whose parts end in a letter, a digit or one pair of parentheses"
                raise RequestError("card.name", expected=expected, got=name)
        return name

    @field_validator("family")
    @classmethod
    def _is_known(cls, family: str) -> str:
        known = (*declared(), *OTHER_FAMILIES)
        if family not in known:
            raise RequestError("card.family", expected="a known family", got=family, choices=known)
        return family

    @property
    def label(self) -> str:
        """What tables and pictures call it."""
        return self.title or self.name
