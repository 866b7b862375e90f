"""One difference put to the test, and several at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from channelbench.leaderboard.estimate import Estimate, quantile, seed_error

__all__ = ["Contrast", "contrast", "holm"]

POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A difference of two scores with its standard error, over drops (paired) and over trainings.

    Attributes:
        value: The difference.
        error: Its standard error.
        freedom: Degrees of freedom of that (Satterthwaite).
    """

    value: float
    error: float
    freedom: float

    @property
    def p_value(self) -> float:
        """Of no difference, two-sided, by Student's t; 1 where the error is not known."""
        from scipy.special import stdtr

        if not math.isfinite(self.value / self.error if self.error else 0.0):
            return 1.0
        if self.error == 0:
            return float(self.value == 0)
        return float(2 * stdtr(self.freedom, -abs(self.value) / self.error))

    def detectable(self, level: float) -> float:
        """The difference that a test at ``level``, two-sided, shows in four of five repeats, by the noncentral t."""
        from scipy.special import nctdtrinc

        return float(nctdtrinc(self.freedom, 1 - POWER, quantile(self.freedom, 1 - level))) * self.error


def contrast(a: Estimate, b: Estimate) -> Contrast | None:
    """``a − b``; ``None`` where the errors of either over drops or over trainings are not known."""
    if a.errors is None or b.errors is None or a.spread_unknown or b.spread_unknown:
        return None
    by_drops = float(np.mean((a.errors.draws - b.errors.draws) ** 2))
    by_seeds, freedom = seed_error((a, b))
    parts = by_drops**2 / (min(a.errors.units, b.errors.units) - 1) + by_seeds**2 / freedom
    return Contrast(
        value=a.value - b.value,
        error=math.sqrt(by_drops + by_seeds),
        freedom=(by_drops + by_seeds) ** 2 / parts if parts > 0 else math.inf,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected over all tests made (Holm 1979): one at most 5 % shows something where there is nothing in 5 %
    of such families of tests."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, largest = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected
