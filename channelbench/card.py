"""Cards: who an entry of the registry is, in fields that lists and docs tables are made from."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Card", "Family"]

Family = Literal[
    "floor",
    "reference",
    "classical",
    "small",
    "multi-task",
    "llm",
    "scenario",
    "task",
    "metric",
    "suite",
    "experiment",
    "exhibit",
]


class Card(BaseModel):
    """One entry of the registry.

    ``family`` of a method says how the leaderboard treats it: a *floor* is a trivial answer that fixes skill 0, a
    *reference* knows or uses something that contestants do not and is shown beside them without a rank.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.+()-]*$")
    title: str = ""
    description: str = Field(min_length=10)
    reference: str = Field(min_length=3)
    family: Family
    extra: str = ""
    notes: str = ""

    @property
    def label(self) -> str:
        """What tables and pictures call it."""
        return self.title or self.name
