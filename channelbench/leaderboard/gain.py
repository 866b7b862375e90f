"""What a row gains over the start that all networks correct: the share of the start's error that it removes.

The error of a score is its distance to the ceiling's, so that noise in the targets, which nobody can remove, is none of
it. 0 is the start, 1 the ceiling, as skill has it between floor and ceiling. Unlike skill a gain is paired: start, row
and ceiling are scored on the same resampled drops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from channelbench.families import REFERENCE
from channelbench.leaderboard.estimate import Estimate, Spread, difference_interval, percentiles, seed_error
from channelbench.leaderboard.numbers import percent
from channelbench.results import Result

__all__ = ["MEANING", "NONE_SHOWN", "START", "gain_over", "is_shown", "same_as_start", "start_of", "words"]

START = "start"
"""The method whose row is the start."""

NONE_SHOWN = "≈ start"
"""In place of a gain whose interval holds 0."""

FAR_WORSE = "< −100\u00a0%"
"""In place of the number where a row's error is more than twice the start's."""

MEANING = (
    "The share of the aligned start’s error (its distance to the ceiling, on the task’s primary metric) that a row "
    "removes, with its 95\u00a0% interval, paired over drops and with the spread between trainings in it. Where that "
    f"holds 0 there is “{NONE_SHOWN}”: no difference is shown."
)


def start_of(estimates: Mapping[str, Estimate], families: Mapping[str, str]) -> Estimate | None:
    """The start among the rows of a column; ``None`` where it has no complete score."""
    return estimates.get(START) if families.get(START) == REFERENCE else None


def gain_over(start: Estimate | None, score: Estimate, ceiling: Estimate | None) -> Estimate | None:
    """``(start − score)/(start − ceiling)`` with its interval, whichever way the metric points.

    Over the drops the interval is the bootstrap's of that ratio; where a row lacks replicates, that of the difference,
    the span taken as exact. The spreads of both trainings are added in squares, to first order.

    Args:
        start, score, ceiling: Scores over the same drops, the spread between trainings known as far as it can be.

    Returns:
        The gain, its spread unknown where that of either score is; ``None`` without a start or a ceiling, or where
        these are not apart.
    """
    if start is None or ceiling is None:
        return None
    span = start.value - ceiling.value
    if not math.isfinite(span) or span == 0 or not math.isfinite(score.value):
        return None
    value, unknown = (start.value - score.value) / span + 0.0, start.spread_unknown or score.spread_unknown
    ratios = _replicates(start, score, ceiling)
    if ratios is None:  # these intervals hold the spreads as they are
        low, high = difference_interval(start.affine(1 / span, 0.0), score.affine(1 / span, 0.0))
        return Estimate(value=value, low=low, high=high, seeds=int(unknown))
    low, high = percentiles(ratios)
    if unknown:
        return Estimate(value=value, low=low, high=high, seeds=1)
    # d gain/d score = −1/span; d gain/d start = (score − ceiling)/span².
    parts = (score.affine(-1 / span, 0.0), start.affine((score.value - ceiling.value) / span**2, 0.0))
    variance, freedom = seed_error(parts)
    return Estimate(value=value, low=low, high=high, seeds=1).widened(Spread(variance=variance, freedom=freedom))


def _replicates(start: Estimate, score: Estimate, ceiling: Estimate) -> NDArray[np.float64] | None:
    """The ratio on each set of resampled drops; ``None`` where it is not known on all."""
    if start.replicates is None or score.replicates is None:
        return None
    best = ceiling.value if ceiling.replicates is None else ceiling.replicates
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (start.replicates - score.replicates) / (start.replicates - best)
    return ratios if bool(np.isfinite(ratios).all()) else None


def is_shown(gain: Estimate) -> bool:
    """Whether the interval leaves out 0: by itself, without a correction for how many are looked at."""
    return gain.low > 0 or gain.high < 0


def words(gain: Estimate) -> tuple[str, str]:
    """A gain in a few words, and in full: ``+2.1 %``, ``+2.1 % (1.0–3.2)``; the interval in brackets where the spread
    between trainings is unknown."""
    value, around = percent(gain)
    whole = f"{value} {around if around.startswith('[') else f'({around})'}" if around else value
    short = value if gain.value >= -1 else FAR_WORSE
    return short if is_shown(gain) else NONE_SHOWN, whole


def same_as_start(results: Sequence[Result]) -> str:
    """What cells of one method on one task say of cases that it answers as its own start does, in a sentence; empty
    where none says anything, or no case is."""
    counts = [r.same_as_start for r in results if r.same_as_start]
    if not counts:
        return ""
    nothing = sum(r.adds_nothing for r in results)
    if nothing == len(results):
        return f"answers as its start does on all {_number(results[0].num_test)} cases: the network adds nothing"
    if nothing:
        cases = _number(results[0].num_test)
        return f"{nothing} of {len(results)} trainings answer as their start does on all {cases} cases"
    fewest, most = min(r.same_as_start or 0 for r in results), max(counts)
    some = _number(most) if fewest == most else f"{_number(fewest)} to {_number(most)}"
    return f"answers as its start does on {some} of {_number(results[0].num_test)} cases"


def _number(value: int) -> str:
    return f"{value:,}"
