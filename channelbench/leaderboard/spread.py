"""How far trainings lie apart, pooled over comparable rows: learned rows on one task, condition and preset.

A row of one seed cannot know; that it does not know is no reason to take it for exact. It borrows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from channelbench.families import FAMILIES, family_of
from channelbench.leaderboard.estimate import Estimate, Spread
from channelbench.results import Result

__all__ = ["are_trainings", "is_learned", "lenders", "of_mean", "spreads", "widened"]


def is_learned(family: str, seeds: int) -> bool:
    """Whether another seed would be another training. Of a family that this version does not know it may be."""
    return seeds > 1 or family not in FAMILIES or FAMILIES[family].seeded


def are_trainings(results: Sequence[Result]) -> bool:
    """Whether another seed would have been another training than those of these cells, of one method on one task. A
    reference may be trained or not; its cells say so."""
    family = results[0].family
    if is_learned(family, len(results)):
        return True
    return not family_of(family).ranked and any(r.training and r.training.budget_steps for r in results)


def lenders(estimates: Mapping[str, Estimate]) -> list[str]:
    """Names of the rows that show a spread between trainings: learned, of two seeds or more."""
    return [name for name, e in estimates.items() if e.seeds > 1 and len(e.by_seed) > 1 and _finite(e)]


def spreads(estimates: Mapping[str, Estimate], families: Mapping[str, str]) -> dict[str, Spread]:
    """What each learned row's interval is widened by; rows that nobody can lend to are left out.

    The variance is pooled over the learned rows of the same family that have two seeds or more, itself among them;
    without such a row over the contestants of any family: references are no measure of these. A row whose own seeds lie
    further apart than that keeps its own.

    Args:
        estimates: The rows of one column.
        families: The family of each.
    """
    known = lenders(estimates)
    found = {}
    for name in (name for name, e in estimates.items() if e.seeds):
        relatives = [other for other in known if families[other] == families[name]]
        relatives = relatives or [other for other in known if family_of(families[other]).ranked]
        if not relatives:
            continue
        variance, freedom = _pool(estimates[other] for other in relatives)
        own = _variance(estimates[name]) if name in known else 0.0
        found[name] = Spread(variance=max(own, variance), freedom=freedom, pooled=relatives != [name])
    return found


def widened(estimates: Mapping[str, Estimate], families: Mapping[str, str]) -> dict[str, Estimate]:
    """The rows of one column with the spread between trainings in their intervals, as far as it is known."""
    found = spreads(estimates, families)
    return {name: e.widened(found.get(name)) for name, e in estimates.items()}


def of_mean(mean: Estimate, parts: Sequence[Estimate]) -> Spread | None:
    """The spread of a mean of estimates of one method, such as its losses on several tasks.

    What its own seeds show of the mean; with one seed what the parts' spreads allow at most, as if one training were
    lucky or unlucky in all of them. ``None`` where nothing is trained, or a part's spread is not known.
    """
    if mean.seeds == 0 or any(e.spread_unknown for e in parts):
        return None
    if lenders({"mean": mean}):
        return Spread(variance=_variance(mean), freedom=len(mean.by_seed) - 1)
    known = [e.spread for e in parts if e.spread is not None]
    deviation = sum(math.sqrt(spread.variance) for spread in known) / len(parts)
    return Spread(variance=deviation**2, freedom=min(spread.freedom for spread in known), pooled=True)


def _pool(estimates: Iterable[Estimate]) -> tuple[float, int]:
    parts = [(_variance(e), len(e.by_seed) - 1) for e in estimates]
    freedom = sum(each for _, each in parts)
    return sum(variance * each for variance, each in parts) / freedom, freedom


def _variance(e: Estimate) -> float:
    return float(np.var(list(e.by_seed.values()), ddof=1))


def _finite(e: Estimate) -> bool:
    return all(map(math.isfinite, e.by_seed.values()))
