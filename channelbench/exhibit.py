"""Exhibits: further tables and pictures that a suite puts below its leaderboard."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from channelbench.card import Card
from channelbench.leaderboard.sections import Section

__all__ = ["Exhibit"]


class Exhibit(ABC):
    """What a suite shows of its cells beside the leaderboard: one class, one file."""

    card: ClassVar[Card]

    @abstractmethod
    def sections(self, run: Any) -> list[Section]:
        """The sections that ``run``, a ``channelbench.leaderboard.views.Run``, has something to show for.

        A section's ``name`` is what its files in the results folder are called: ``<name>.csv`` and ``<name>.svg``.
        """
