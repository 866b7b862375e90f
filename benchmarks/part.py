"""Which cells of a request one run makes: all of them, a share, or some by name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from channelbench.errors import RequestError

__all__ = ["Part"]


@dataclass(frozen=True)
class Part:
    """A part of a request.

    Attributes:
        shard: Which of how many shares of the fits, from 1.
        only: Names of cells; ``None`` for all.
    """

    shard: tuple[int, int] = (1, 1)
    only: frozenset[str] | None = None

    @classmethod
    def of(cls, shard: str | None, only: Iterable[str] | None = None) -> Part:
        """The part that ``2/8`` means, and of it the cells of these names.

        Raises:
            RequestError: it means none.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", "1/1" if shard is None else shard.strip())
        which, number = (int(part) for part in found.groups()) if found else (0, 0)
        if not 1 <= which <= number:
            raise RequestError("--shard", expected="I/N with I from 1 to N, such as 2/8", got=shard)
        return cls((which, number), None if only is None else frozenset(only))

    def has_cell(self, name: str, *, fit: str) -> bool:
        """Whether a cell is in it. All cells of a fit are in one share, whatever else is asked for, and the fits that
        further stages start from are in the same.

        Args:
            name: Of the cell.
            fit: Of the fit that it is scored with.
        """
        which, number = self.shard
        share = int.from_bytes(hashlib.sha256(fit.encode()).digest()[:8], "big") % number
        return share == which - 1 and (self.only is None or name in self.only)
