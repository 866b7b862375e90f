"""What one loss gains over another on the same drops, with intervals: in percent and in dB."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from channelbench.leaderboard.estimate import Estimate, difference_interval

__all__ = ["decibels", "percent_increase"]


def percent_increase(loss: Estimate, reference: Estimate) -> Estimate | None:
    """By how many percent ``loss`` lies above ``reference``; ``None`` where either is not positive."""
    found = _log_ratio(loss, reference)
    if found is None:
        return None
    value, low, high = (100 * math.expm1(v) for v in found)
    return Estimate(value=value, low=low, high=high)


def decibels(before: Estimate, after: Estimate) -> Estimate | None:
    """10·log10(before / after): the gain in dB, positive where the loss fell; ``None`` where either is not positive."""
    found = _log_ratio(before, after)
    if found is None:
        return None
    value, low, high = (10 / math.log(10) * v for v in found)
    return Estimate(value=value, low=low, high=high)


def _log_ratio(a: Estimate, b: Estimate) -> tuple[float, float, float] | None:
    """ln(a/b) with its interval: a difference of logarithms, paired over drops."""
    if not (a.value > 0 and b.value > 0):
        return None
    first, second = _logarithm(a), _logarithm(b)
    return (first.value - second.value, *difference_interval(first, second))


def _logarithm(e: Estimate) -> Estimate:
    usable = e.replicates is not None and bool(np.all(e.replicates > 0))
    spread = None if e.spread is None else replace(e.spread, variance=e.spread.variance / e.value**2)
    return Estimate(
        value=math.log(e.value),
        low=math.log(e.low) if e.low > 0 else -math.inf,
        high=math.log(e.high),
        by_seed={seed: math.log(v) for seed, v in e.by_seed.items()} if min(e.by_seed.values(), default=1) > 0 else {},
        replicates=np.log(e.replicates) if usable and e.replicates is not None else None,
        seeds=e.seeds,
        spread=spread,  # to first order: spreads are small beside what they are of
    )
