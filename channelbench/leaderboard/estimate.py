"""Scores with their uncertainty: over drops by a paired bootstrap, over seeds by what trainings differ.

All methods are resampled with the same drops, so that the difference of two estimates is a paired one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from channelbench.bootstrap import flipped_errors, influences, resampled_scores
from channelbench.contracts import Metric
from channelbench.results import MetricScore

__all__ = ["LEVEL", "MIN_SEEDS", "Errors", "Estimate", "Spread", "average", "difference"]
__all__ += ["difference_interval", "estimate", "percentiles", "quantile", "seed_error"]

MIN_SEEDS = 3
"""Learned rows with fewer seeds are marked: most of what is known of their spread, they have from other rows."""

LEVEL = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Errors:
    """What the drops leave open, as draws that are the same for all methods: see ``bootstrap.flipped_errors``.

    Attributes:
        draws: Errors of the mean over seeds, ``[flips]``; NaN where the drops do not say.
        by_seed: Errors of each seed, likewise.
        units: How many independent units they come from.
    """

    draws: Floats
    by_seed: Mapping[int, Floats]
    units: int

    def scaled(self, scale: float) -> Errors:
        """Errors of ``scale`` times the score."""
        by_seed = {seed: scale * draws for seed, draws in self.by_seed.items()}
        return replace(self, draws=scale * self.draws, by_seed=by_seed)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far trainings that differ in their seed alone lie apart.

    Attributes:
        variance: Of the score of one seed.
        freedom: Degrees of freedom that it is known with.
        pooled: Whether other rows are in it.
    """

    variance: float
    freedom: float
    pooled: bool = False


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A score, or a skill, of one method.

    Attributes:
        value: The mean over seeds.
        low, high: 95 % interval.
        by_seed: The value of each seed. One entry: the method has, or was given, one seed.
        replicates: The mean over seeds on each set of resampled drops, ``[resamples]``; ``None`` where the per-drop
            terms or the metric are not at hand.
        errors: Draws of what the drops leave open; ``None`` likewise, and where nobody has asked for them.
        seeds: How many trainings the value is a mean of; 0 where nothing is trained, and no seed changes anything.
        spread: What ``low`` and ``high`` hold of the spread between trainings; ``None`` where they hold nothing of it.
    """

    value: float
    low: float
    high: float
    by_seed: Mapping[int, float] = field(default_factory=dict)
    replicates: Floats | None = None
    errors: Errors | None = None
    seeds: int = 0
    spread: Spread | None = None

    @property
    def spread_unknown(self) -> bool:
        """Whether the score hangs on a seed, and the interval does not say how much."""
        return self.seeds > 0 and self.spread is None

    def affine(self, scale: float, offset: float) -> Estimate:
        """The estimate of ``scale·x + offset``."""
        low, high = sorted((scale * self.low + offset, scale * self.high + offset))
        return replace(
            self,
            value=scale * self.value + offset,
            low=low,
            high=high,
            by_seed={seed: scale * value + offset for seed, value in self.by_seed.items()},
            replicates=None if self.replicates is None else scale * self.replicates + offset,
            errors=None if self.errors is None else self.errors.scaled(scale),
            spread=None if self.spread is None else replace(self.spread, variance=scale**2 * self.spread.variance),
        )

    def decades(self, least: float) -> Estimate:
        """The estimate of ``log10 max(x, least)``; what is known by small errors alone, to first order."""
        slope = 1 / (max(self.value, least) * math.log(10)) if self.value > least else 0.0

        def scaled(value: float) -> float:
            return math.log10(max(value, least))

        return replace(
            self,
            value=scaled(self.value),
            low=scaled(self.low),
            high=scaled(self.high),
            by_seed={seed: scaled(value) for seed, value in self.by_seed.items()},
            replicates=None if self.replicates is None else np.log10(np.maximum(self.replicates, least)),
            errors=None if self.errors is None else self.errors.scaled(slope),
            spread=None if self.spread is None else replace(self.spread, variance=slope**2 * self.spread.variance),
        )

    def widened(self, spread: Spread | None) -> Estimate:
        """The estimate whose interval holds the spread between trainings too: the distances add as squares."""
        if spread is None or self.seeds == 0:
            return self
        half = quantile(spread.freedom) * math.sqrt(spread.variance / self.seeds)
        low, high = _widened(self.value, self.low, self.high, half)
        return replace(self, low=low, high=high, spread=spread)


def estimate(
    scores: Mapping[int, MetricScore],
    terms: Mapping[int, Floats],
    metric: Metric | None,
    units: NDArray[np.int64] | None = None,
    *,
    learned: bool = False,
    ranked: bool = False,
) -> Estimate:
    """The estimate of one metric of one method on one task, over its drops: ``spread`` says what to widen it by.

    One seed keeps the interval that its cell states. Several are averaged; the interval is the bootstrap's 2.5 and
    97.5 % points of the seeds' mean on the same resampled drops.

    Args:
        scores: The cells' scores by seed.
        terms: Their per-case terms ``[cases, terms]`` by seed; may lack seeds.
        metric: ``None`` where it is not installed; then the intervals of several seeds are averaged.
        units: The independent unit of each case, ``[cases]``; ``None`` where each is one.
        learned: Whether another seed is another training.
        ranked: Whether ranks are made of it, which take ``errors``.
    """
    by_seed = {seed: score.value for seed, score in sorted(scores.items())}
    value = _mean(by_seed.values())
    replicates = errors = None
    if metric is not None and set(terms) == set(scores) and len({len(array) for array in terms.values()}) == 1:
        replicates = np.mean([_replicates(metric, terms[seed], units) for seed in by_seed], axis=0)
        errors = _errors(metric, {seed: terms[seed] for seed in by_seed}, units) if ranked else None
    if len(scores) == 1 or replicates is None:
        low, high = _mean(s.low for s in scores.values()), _mean(s.high for s in scores.values())
    else:
        low, high = percentiles(replicates)
    return Estimate(
        value=value,
        low=low,
        high=high,
        by_seed=by_seed,
        replicates=replicates,
        errors=errors,
        seeds=len(scores) if learned else 0,
    )


def average(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of estimates that share their drops, such as one method's skills on several tasks; over the drops.

    Seeds are averaged seed by seed, because one fit may serve several tasks; an estimate of one seed counts with
    every seed of the others. Without replicates the bounds are averaged, which is the widest that they can be.
    The mean has as many trainings as the least trained of those that are trained.
    """
    several = [set(e.by_seed) for e in estimates if len(e.by_seed) > 1]
    seeds = sorted(set.intersection(*several)) if several else [0]
    mean = Estimate(
        value=_mean(e.value for e in estimates),
        low=_mean(e.low for e in estimates),
        high=_mean(e.high for e in estimates),
        by_seed={seed: _mean(e.by_seed[seed] if len(e.by_seed) > 1 else e.value for e in estimates) for seed in seeds},
        errors=_mean_errors([e.errors for e in estimates if e.errors is not None], len(estimates), seeds),
        seeds=min((e.seeds for e in estimates if e.seeds), default=0),
    )
    replicates = [e.replicates for e in estimates if e.replicates is not None]
    if len(replicates) < len(estimates):
        return mean
    joint = np.mean(replicates, axis=0)
    low, high = percentiles(joint)
    return replace(mean, low=low, high=high, replicates=joint)


def difference_interval(a: Estimate, b: Estimate, level: float = LEVEL) -> tuple[float, float]:
    """Interval of ``a − b``: paired over drops, independent over seeds, the distances added as squares.

    The spread between trainings is what ``spread`` says of either (Welch's interval where each knows its own). Where
    one lacks replicates the intervals are taken as independent and extreme: it holds 0 if they overlap.
    """
    if a.replicates is None or b.replicates is None:
        return a.low - b.high, a.high - b.low
    with np.errstate(invalid="ignore"):
        low, high = percentiles(a.replicates - b.replicates, level)
    variance, freedom = seed_error((a, b))
    return _widened(a.value - b.value, low, high, quantile(freedom, level) * math.sqrt(variance))


def difference(a: Estimate, b: Estimate) -> Estimate:
    """``a − b`` with its ``difference_interval``; its spread is unknown where that of either is."""
    low, high = difference_interval(a, b)
    unknown = a.spread_unknown or b.spread_unknown
    return Estimate(value=a.value - b.value, low=low, high=high, seeds=int(unknown))


def seed_error(estimates: Iterable[Estimate]) -> tuple[float, float]:
    """Variance of a sum or difference of seed means, as far as the spreads are known, and its degrees of freedom."""
    known = [(e.spread, e.spread.variance / e.seeds) for e in estimates if e.spread is not None and e.seeds]
    variance = sum(part for _, part in known)
    if variance == 0:
        return 0.0, math.inf
    freedom = variance**2 / sum(part**2 / spread.freedom for spread, part in known)  # Welch–Satterthwaite
    if any(spread.pooled for spread, _ in known):  # the two may be one pool: its freedom counts once
        freedom = min(freedom, *(spread.freedom for spread, _ in known))
    return variance, freedom


def quantile(freedom: float, level: float = LEVEL) -> float:
    """Half the width of Student's t interval, in standard errors."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))


def _replicates(metric: Metric, terms: Floats, units: NDArray[np.int64] | None) -> Floats:
    with np.errstate(all="ignore"):  # the ceiling's NMSE of 0 is −∞ dB, and stays so when resampled
        return np.asarray(resampled_scores(metric, terms, units), dtype=np.float64)


def _errors(metric: Metric, terms: Mapping[int, Floats], units: NDArray[np.int64] | None) -> Errors:
    of_units = np.stack([influences(metric, array, units) for array in terms.values()], axis=1)
    draws = flipped_errors(of_units)
    by_seed = dict(zip(terms, draws.T, strict=True))
    return Errors(draws=draws.mean(axis=1), by_seed=by_seed, units=len(of_units))


def _mean_errors(errors: Sequence[Errors], wanted: int, seeds: Sequence[int]) -> Errors | None:
    if len(errors) < wanted:
        return None
    by_seed = {
        seed: np.mean([e.by_seed[seed] if len(e.by_seed) > 1 else e.draws for e in errors], axis=0) for seed in seeds
    }
    draws = np.mean([e.draws for e in errors], axis=0)
    return Errors(draws=draws, by_seed=by_seed, units=min(e.units for e in errors))


def percentiles(replicates: Floats, level: float = LEVEL) -> tuple[float, float]:
    """The middle ``level`` of replicates."""
    ordered = np.sort(replicates)
    # Plain order statistics: interpolating between infinities would make NaN.
    tail = round((1 - level) / 2 * (len(ordered) - 1))
    return float(ordered[tail]), float(ordered[-1 - tail])


def _widened(value: float, low: float, high: float, half: float) -> tuple[float, float]:
    """The interval, each side widened by ``half`` in squares."""
    if half == 0 or not math.isfinite(half):
        return low, high
    return value - math.hypot(max(value - low, 0.0), half), value + math.hypot(max(high - value, 0.0), half)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return math.fsum(numbers) / len(numbers) if all(map(math.isfinite, numbers)) else float(np.mean(numbers))
