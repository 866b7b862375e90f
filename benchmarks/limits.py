"""How long a job may be silent, and how long it may last."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from channelbench.contracts import Method
from channelbench.discovery import is_ours
from channelbench.errors import RequestError
from channelbench.presets import preset_of

__all__ = ["Limits", "seconds"]

OUTSIDE_S = 24 * 3600.0
"""The longest job of a class that is not ours; what is ours ends by itself."""

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Limits:
    """After which times a job fails.

    Attributes:
        silence_s: Since its last sign of progress, s.
        job_s: Since its beginning, s; ``None`` for none, but for ``OUTSIDE_S`` of classes from outside.
    """

    silence_s: float
    job_s: float | None = None

    @classmethod
    def of(cls, preset: str, timeout: float | str | None, max_time: float | str | None) -> Limits:
        """Those that are asked for, in seconds or as ``90s``, ``10m`` or ``6h``; by default the preset's.

        Raises:
            RequestError: that is no time.
        """
        silence = preset_of(preset).silence_s if timeout is None else seconds("--timeout", timeout)
        return cls(silence, None if max_time is None else seconds("--max-time", max_time))

    def exceeded(self, method: type[Method], *, silent_s: float, lasted_s: float) -> TimeoutError | None:
        """What a job of ``method`` fails by, if it does."""
        if silent_s > self.silence_s:
            return TimeoutError(f"no progress for {self.silence_s:g} s (--timeout)")
        longest = self.job_s
        if longest is None and not is_ours(method):
            longest = OUTSIDE_S
        if longest is not None and lasted_s > longest:
            return TimeoutError(f"not done after {longest:g} s (--max-time)")
        return None


def seconds(field: str, time: float | str) -> float:
    """``90``, ``"90s"``, ``"10m"`` or ``"6h"`` in seconds.

    Raises:
        RequestError: none of these, or not positive.
    """
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*([smh]?)", str(time).strip())
    value = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < value < math.inf:
        raise RequestError(field, expected="seconds, or a time like 90s, 10m or 6h", got=time)
    return value
