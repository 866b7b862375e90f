"""The training loss of a fit by step, which its progress carries."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from channelbench.losses import Losses
from channelbench.results import write_atomic

__all__ = ["Curve", "loss_of"]

KEEP_EVERY_S = 10.0
MOST = 2000
"""Points of a curve; where there are more, every other one goes."""


def loss_of(message: str) -> float | None:
    """The training loss that a fit's progress carries; ``None`` where it carries none, or no finite one."""
    value = float(message.training) if isinstance(message, Losses) else math.nan
    return value if math.isfinite(value) else None


@dataclass
class Curve:
    """Training losses by steps made, kept in a file beside the fit's checkpoints: one that goes on has them all, and so
    have cells that are scored with a finished fit.

    Steps that begin anew are those of a further stage of the fit, and are counted on.

    Attributes:
        file: Where they are kept; ``None`` keeps nothing.
        losses: By steps made.
    """

    file: Path | None = None
    losses: dict[int, float] = field(default_factory=dict)
    _first: int = 0
    _last: int = 0
    _total: int = 0
    _goes_on: bool = False
    _kept_at: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, workdir: Path | None, *, goes_on: bool) -> Curve:
        """That of the fit in this folder.

        Args:
            workdir: See ``FitContext``.
            goes_on: Whether the fit goes on, or is loaded; else its curve begins anew.
        """
        if workdir is None:
            return cls()
        curve = cls(workdir.with_name(f"{workdir.name}.losses.json"))
        assert curve.file is not None
        if not goes_on:
            curve.file.unlink(missing_ok=True)
        else:
            with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):  # a lost curve costs no cell
                content = json.loads(curve.file.read_bytes())
                curve.losses = {int(step): float(loss) for step, loss in content["losses"].items()}
                curve._first, curve._last, curve._total = (int(content[key]) for key in ("first", "last", "total"))
                curve._goes_on = curve._last < curve._total
        return curve

    def heard(self, progress: Callable[[int, int, str], Any]) -> Callable[[int, int, str], None]:
        """A fit's progress, which the curve listens to."""

        def step(done: int, total: int, message: str) -> None:
            self._note(int(done), int(total), message)
            progress(done, total, message)

        return step

    def _note(self, done: int, total: int, message: str) -> None:
        if done < self._last and not self._goes_on:
            self._first += self._total
        self._last, self._total, self._goes_on = done, total, False
        if (loss := loss_of(message)) is None:
            return
        self.losses[self._first + done] = loss
        if len(self.losses) > MOST:
            self.losses = dict(list(self.losses.items())[1::2])
        if time.monotonic() - self._kept_at > KEEP_EVERY_S:
            self.keep()

    def keep(self) -> None:
        """Write it down, where there is anything."""
        if self.file is None or not self.losses:
            return
        content = {"losses": self.losses, "first": self._first, "last": self._last, "total": self._total}
        write_atomic(self.file, json.dumps(content).encode())
        self._kept_at = time.monotonic()
