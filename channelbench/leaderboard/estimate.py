"""Scores with their uncertainty: over drops by a paired bootstrap, over seeds by Student's t.

All methods are resampled with the same drops, so that the difference of two estimates is a paired one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from channelbench.bootstrap import resampled_scores
from channelbench.contracts import Metric
from channelbench.results import MetricScore

__all__ = ["MIN_SEEDS", "Estimate", "average", "difference_interval", "estimate"]

MIN_SEEDS = 3
"""Fewer seeds say nothing about the spread between seeds: it is left out of the interval and the row is marked."""

_LEVEL = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A score, or a skill, of one method.

    Attributes:
        value: The mean over seeds.
        low, high: 95 % interval.
        by_seed: The value of each seed. One entry: the method has, or was given, one seed.
        replicates: The mean over seeds on each set of resampled drops, ``[resamples]``; ``None`` where the per-drop
            terms or the metric are not at hand.
    """

    value: float
    low: float
    high: float
    by_seed: Mapping[int, float] = field(default_factory=dict)
    replicates: Floats | None = None

    def affine(self, scale: float, offset: float) -> Estimate:
        """The estimate of ``scale·x + offset``."""
        low, high = sorted((scale * self.low + offset, scale * self.high + offset))
        return Estimate(
            value=scale * self.value + offset,
            low=low,
            high=high,
            by_seed={seed: scale * value + offset for seed, value in self.by_seed.items()},
            replicates=None if self.replicates is None else scale * self.replicates + offset,
        )


def estimate(
    scores: Mapping[int, MetricScore],
    terms: Mapping[int, Floats],
    metric: Metric | None,
    units: NDArray[np.int64] | None = None,
) -> Estimate:
    """The estimate of one metric of one method on one task.

    One seed keeps the interval that its cell states. Several are averaged; the interval is the bootstrap's 2.5 and
    97.5 % points of the seeds' mean on the same resampled drops, widened, from three seeds on, by the t interval of
    the seeds' mean: the two distances from the value add as squares.

    Args:
        scores: The cells' scores by seed.
        terms: Their per-case terms ``[cases, terms]`` by seed; may lack seeds.
        metric: ``None`` where it is not installed; then the intervals of several seeds are averaged.
        units: The independent unit of each case, ``[cases]``; ``None`` where each is one.
    """
    by_seed = {seed: score.value for seed, score in sorted(scores.items())}
    value = _mean(by_seed.values())
    replicates = None
    if metric is not None and set(terms) == set(scores) and len({len(array) for array in terms.values()}) == 1:
        replicates = np.mean([_replicates(metric, terms[seed], units) for seed in by_seed], axis=0)
    if len(scores) == 1 or replicates is None:
        low, high = _mean(s.low for s in scores.values()), _mean(s.high for s in scores.values())
    else:
        low, high = _interval(value, replicates, _seed_half_width(by_seed))
    return Estimate(value=value, low=low, high=high, by_seed=by_seed, replicates=replicates)


def average(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of estimates that share their drops, such as one method's skills on several tasks.

    Seeds are averaged seed by seed, because one fit may serve several tasks; an estimate of one seed counts with
    every seed of the others. Without replicates the bounds are averaged, which is the widest that they can be.
    """
    value = _mean(e.value for e in estimates)
    several = [set(e.by_seed) for e in estimates if len(e.by_seed) > 1]
    seeds = sorted(set.intersection(*several)) if several else [0]
    by_seed = {seed: _mean(e.by_seed[seed] if len(e.by_seed) > 1 else e.value for e in estimates) for seed in seeds}
    replicates = [e.replicates for e in estimates if e.replicates is not None]
    if len(replicates) < len(estimates):
        low, high = _mean(e.low for e in estimates), _mean(e.high for e in estimates)
        return Estimate(value=value, low=low, high=high, by_seed=by_seed)
    mean = np.mean(replicates, axis=0)
    low, high = _interval(value, mean, _seed_half_width(by_seed))
    return Estimate(value=value, low=low, high=high, by_seed=by_seed, replicates=mean)


def difference_interval(a: Estimate, b: Estimate) -> tuple[float, float]:
    """95 % interval of ``a − b``: paired over drops, independent over seeds (Welch), distances added as squares.

    Where one lacks replicates the intervals are taken as independent and extreme: it holds 0 if they overlap.
    """
    if a.replicates is None or b.replicates is None:
        return a.low - b.high, a.high - b.low
    with np.errstate(invalid="ignore"):
        replicates = a.replicates - b.replicates
    return _interval(a.value - b.value, replicates, _seed_half_width(a.by_seed, b.by_seed))


def _replicates(metric: Metric, terms: Floats, units: NDArray[np.int64] | None) -> Floats:
    with np.errstate(all="ignore"):  # the ceiling's NMSE of 0 is −∞ dB, and stays so when resampled
        return np.asarray(resampled_scores(metric, terms, units), dtype=np.float64)


def _interval(value: float, replicates: Floats, seed_half_width: float) -> tuple[float, float]:
    """Percentile interval, each side widened by ``seed_half_width`` in squares."""
    ordered = np.sort(replicates)
    # Plain order statistics: interpolating between infinities would make NaN.
    tail = round((1 - _LEVEL) / 2 * (len(ordered) - 1))
    low, high = float(ordered[tail]), float(ordered[-1 - tail])
    if seed_half_width == 0:
        return low, high
    return (
        value - math.hypot(max(value - low, 0.0), seed_half_width),
        value + math.hypot(max(high - value, 0.0), seed_half_width),
    )


def _seed_half_width(*groups: Mapping[int, float]) -> float:
    """Half-width of the 95 % interval of a sum or difference of seed means; groups below three seeds add nothing."""
    from scipy.special import stdtrit

    spread = [np.asarray(list(g.values())) for g in groups if len(g) >= MIN_SEEDS]
    parts = [(float(np.var(v, ddof=1)) / len(v), len(v) - 1) for v in spread]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(part**2 / dof for part, dof in parts)  # Welch–Satterthwaite
    return float(stdtrit(freedom, 0.5 + _LEVEL / 2)) * math.sqrt(variance)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return math.fsum(numbers) / len(numbers) if all(map(math.isfinite, numbers)) else float(np.mean(numbers))
