"""Skill, shared ranks and overall ranks: the arithmetic of the leaderboard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from channelbench.leaderboard.estimate import Estimate, difference_interval

__all__ = ["Rank", "anchors_usable", "best", "overall_order", "share_ranks", "skill"]


@dataclass(frozen=True)
class Rank:
    """A place that may be shared."""

    place: int
    shared: bool = False

    def __str__(self) -> str:
        return f"{self.place}=" if self.shared else str(self.place)


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


def skill(score: Estimate, floor: Estimate, ceiling: Estimate) -> Estimate:
    """``(floor − score) / (floor − ceiling)``: 0 for the best trivial answer, 1 for the ceiling.

    The anchors count as numbers without uncertainty; the interval is the score's own.
    """
    span = floor.value - ceiling.value
    return score.affine(-1 / span, floor.value / span)


def share_ranks(estimates: Mapping[str, Estimate], *, higher_is_better: bool) -> dict[str, Rank]:
    """Ranks, best first, shared by what the drops and seeds cannot tell apart.

    The best value leads the first group. Going down the values, a method joins the group if the 95 % interval of its
    paired difference to the group's *leader* holds 0, else it leads the next group. A group's rank is the place of
    its leader: 1, 1, 3.
    """
    sign = -1 if higher_is_better else 1
    order = sorted(estimates, key=lambda name: (sign * estimates[name].value, name))
    groups: list[list[str]] = []
    for name in order:
        if groups and _indistinguishable(estimates[name], estimates[groups[-1][0]]):
            groups[-1].append(name)
        else:
            groups.append([name])
    ranks: dict[str, Rank] = {}
    for group in groups:
        place = len(ranks) + 1
        ranks |= {name: Rank(place, len(group) > 1) for name in group}
    return ranks


def overall_order(rows: Sequence[tuple[str, Estimate | None, int]]) -> list[str]:
    """Names of ``(name, overall skill, tasks covered)``: by skill, then those without one by coverage."""

    def key(row: tuple[str, Estimate | None, int]) -> tuple[bool, float, int, str]:
        name, overall, covered = row
        return overall is None, 0.0 if overall is None else -overall.value, -covered, name

    return [name for name, _, _ in sorted(rows, key=key)]


def _indistinguishable(a: Estimate, b: Estimate) -> bool:
    low, high = difference_interval(a, b)
    return a.value == b.value or low <= 0 <= high
