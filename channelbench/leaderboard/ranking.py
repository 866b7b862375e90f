"""Skill, ranks and the order of rows: the arithmetic of the leaderboard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from channelbench.leaderboard.estimate import LEVEL, Estimate
from channelbench.leaderboard.simultaneous import adjusted_p_values
from channelbench.leaderboard.spread import lenders

__all__ = ["Rank", "anchors_usable", "best", "overall_order", "rank_intervals", "skill"]


@dataclass(frozen=True)
class Rank:
    """The places from ``low`` to ``high``, which drops and seeds cannot tell apart."""

    low: int
    high: int

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}–{self.high}"


def best(estimates: Mapping[str, Estimate], *, higher_is_better: bool) -> str | None:
    """The name with the best value; the first of equals."""
    finite = {name: e.value for name, e in estimates.items() if not math.isnan(e.value)}
    if not finite:
        return None
    return (max if higher_is_better else min)(finite, key=lambda name: finite[name])


def anchors_usable(floor: Estimate | None, ceiling: Estimate | None) -> bool:
    """Whether a skill can be computed: both anchors are there, finite and apart."""
    return (
        floor is not None
        and ceiling is not None
        and math.isfinite(floor.value - ceiling.value)
        and floor.value != ceiling.value
    )


def skill(score: Estimate, floor: Estimate, ceiling: Estimate, least: float | None = None) -> Estimate:
    """``(floor − score) / (floor − ceiling)``: 0 for the best trivial answer, 1 for the ceiling.

    The anchors count as numbers without uncertainty; the interval is the score's own. With ``least``, all three are
    taken as ``log10 max(x, least)``: see ``Metric.least``.
    """
    if least is not None:
        score, floor, ceiling = (each.decades(least) for each in (score, floor, ceiling))
    span = floor.value - ceiling.value
    return score.affine(-1 / span, floor.value / span)


def rank_intervals(
    estimates: Mapping[str, Estimate],
    families: Mapping[str, str],
    *,
    higher_is_better: bool,
    trivial: float | None = None,
) -> dict[str, Rank]:
    """The places that each row may have: 1 + the rows that are better for certain, to all but those that are worse.

    For certain means: a column of equal rows would have any pair so far apart in 5 % of cases; see ``simultaneous``.

    Args:
        estimates: The rows of one column, over their drops.
        families: The family of each.
        higher_is_better: Which way the score points.
        trivial: The score of the floor. What is worse never ranks 1, whoever else is in the column.

    Returns:
        The ranks. Rows without a score have none, nor has a row of one training where no other row has two: how far
        its score hangs on the seed is not known, and the others are ranked without it.
    """
    lent = bool(lenders(estimates))
    ranked = {
        name: estimates[name]
        for name in sorted(estimates)
        if not math.isnan(estimates[name].value) and (lent or not estimates[name].seeds)
    }
    if not ranked:
        return {}
    sign = 1 if higher_is_better else -1
    values = sign * np.array([e.value for e in ranked.values()])
    apart = adjusted_p_values(ranked, families) <= 1 - LEVEL
    ranks = {}
    for name, value, row in zip(ranked, values, apart, strict=True):
        low, high = 1 + int(np.sum(row & (values > value))), len(ranked) - int(np.sum(row & (values < value)))
        if trivial is not None and value < sign * trivial:
            low = max(low, 2)
        ranks[name] = Rank(low, max(low, high))
    return ranks


def overall_order(rows: Sequence[tuple[str, Estimate | None, int]]) -> list[str]:
    """Names of ``(name, overall skill, tasks covered)``: by skill, then those without one by coverage."""

    def key(row: tuple[str, Estimate | None, int]) -> tuple[bool, float, int, str]:
        name, overall, covered = row
        return overall is None, 0.0 if overall is None else -overall.value, -covered, name

    return [name for name, _, _ in sorted(rows, key=key)]
