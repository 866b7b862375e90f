"""Which rows of a column differ, all pairs at once: errors of 5 % for the whole column, over drops and over trainings.

The statistic of a pair is its difference over its standard error; the critical value is the 95 % point of the largest
statistic of all pairs in a world where every row is equal. That world is drawn: from the drops, random signs of what
each drop adds to each row's error (``bootstrap.flipped_errors``, the same signs for all rows); from the trainings,
normal draws of each row's spread, and with them the spread that would have been measured, so that a spread that is
known from few seeds costs what it should. Without drops and with many seeds the result is Tukey's and Kramer's;
without seeds it is the sign-flip form of Westfall's and Young's max-T.

The spread is pooled over all learned rows of the column, and a row whose own seeds lie further apart has its own.
Pooling alone would be too bold where trainings of one method scatter more than those of another. docs/protocol.md has
the rates at which equal rows are told apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channelbench.bootstrap import FLIPS
from channelbench.leaderboard.estimate import Estimate, quantile
from channelbench.leaderboard.spread import lenders

__all__ = ["adjusted_p_values"]

Floats = NDArray[np.float64]

_ROUNDING = 1e-12
"""Of a score: differences and errors below that are none."""


def adjusted_p_values(estimates: Mapping[str, Estimate], families: Mapping[str, str]) -> Floats:
    """For each pair of rows the probability that a column of equal rows has a pair which is further apart.

    Rows that are the same to the last digits are equal (1); rows of infinite score differ from all others (0), and so
    does a constant difference; where a row's error is not known, nothing is shown (1).

    Args:
        estimates: The rows of one column over their drops; those that are learned need a lender in it.
        families: The family of each.

    Returns:
        ``[rows, rows]``, symmetric, in the order of ``estimates``.
    """
    rows = list(estimates.values())
    column = _Column(
        values=np.array([e.value for e in rows]),
        errors=np.stack([_draws(e, place) for place, e in enumerate(rows)], axis=1),
        units=np.array([e.errors.units if e.errors is not None else math.inf for e in rows]),
        seeds=_Seeds.of(estimates, families),
    )
    pairs = [column.compare(i) for i in range(len(rows) - 1)]
    largest = np.max([draws for _, draws in pairs], axis=0, initial=0.0) if pairs else np.zeros(FLIPS)
    largest.sort()
    p = np.ones((len(rows), len(rows)))
    for i, (observed, _) in enumerate(pairs):
        above = len(largest) - np.searchsorted(largest, observed, side="left")
        p[i, i + 1 :] = p[i + 1 :, i] = np.where(np.isinf(observed), 0.0, (1 + above) / (1 + len(largest)))
    return p


@dataclass(frozen=True, kw_only=True)
class _Seeds:
    """The spread between trainings: variances of the rows' values, as they are and as they might have been measured.

    Attributes:
        variance: ``[rows]``.
        measured: ``[flips, rows]``.
        noise: Normal draws of ``variance``, ``[flips, rows]``.
        freedom: Degrees of freedom of the pool; infinite where nothing is learned.
    """

    variance: Floats
    measured: Floats
    noise: Floats
    freedom: float

    @classmethod
    def of(cls, estimates: Mapping[str, Estimate], families: Mapping[str, str]) -> _Seeds:
        names, known = list(estimates), lenders(estimates)
        shares = np.array([1 / e.seeds if e.seeds else 0.0 for e in estimates.values()])
        if not known:
            nothing = np.zeros((FLIPS, len(names)))
            return cls(variance=nothing[0], measured=nothing, noise=nothing, freedom=math.inf)
        rng = np.random.default_rng(np.random.SeedSequence(2026, spawn_key=(FLIPS, 2)))
        freedoms = np.array([len(estimates[name].by_seed) - 1.0 for name in known])
        total = float(freedoms.sum())
        by_drops = np.array([_by_drops(estimates[name]) for name in known])
        own = np.array([np.var(list(estimates[name].by_seed.values()), ddof=1) for name in known]) - by_drops
        # What a row knows of its own spread: its seeds say; else those of its family; else all.
        weights = np.stack([_weights(name, known, families) * freedoms for name in names])
        weights /= weights.sum(axis=1, keepdims=True)

        def spread(variances: Floats) -> Floats:
            pooled = (variances @ freedoms / total)[..., None]
            return np.maximum(np.maximum(variances @ weights.T, pooled), 0.0)

        variance = spread(own)
        true = variance[[names.index(name) for name in known]]
        again = (true + by_drops) * rng.chisquare(freedoms, (FLIPS, len(known))) / freedoms - by_drops
        noise = rng.standard_normal((FLIPS, len(names))) * np.sqrt(variance * shares)
        return cls(variance=variance * shares, measured=spread(again) * shares, noise=noise, freedom=total)


@dataclass(frozen=True, kw_only=True)
class _Column:
    """The rows of a column: ``values [rows]``, ``errors [flips, rows]`` over drops, ``units [rows]``."""

    values: Floats
    errors: Floats
    units: Floats
    seeds: _Seeds

    def compare(self, row: int) -> tuple[Floats, Floats]:
        """Statistics of a row and each one after it, ``[others]``, and the largest of each draw, ``[flips]``."""
        others = slice(row + 1, None)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            apart = self.values[row] - self.values[others]
            drops = self.errors[:, [row]] - self.errors[:, others]
            by_drops = np.mean(drops**2, axis=0)
            by_seeds = self.seeds.variance[row] + self.seeds.variance[others]
            units = np.minimum(self.units[row], self.units[others])
            freedom = _freedom(by_drops, by_seeds, units, self.seeds.freedom)
            observed = _normal(apart**2 / (by_drops + by_seeds), freedom)
            drawn = (drops + self.seeds.noise[:, [row]] - self.seeds.noise[:, others]) ** 2
            # In each draw the error is measured again, about the difference of that draw.
            measured = np.maximum(by_drops - drops**2 / units, 0.0) / (1 - 1 / units)
            measured += self.seeds.measured[:, [row]] + self.seeds.measured[:, others]
            draws = _normal(drawn / measured, freedom)
        scale = np.maximum(np.abs(self.values[row]), np.abs(self.values[others]))
        infinite = ~np.isfinite(scale)
        certain = infinite | (np.sqrt(by_drops + by_seeds) <= _ROUNDING * scale)
        with np.errstate(invalid="ignore"):
            close = ~infinite & (np.abs(apart) <= _ROUNDING * scale)
        same = (self.values[row] == self.values[others]) | close
        observed = np.where(certain, np.inf, np.nan_to_num(observed, nan=0.0, posinf=np.finfo(float).max))
        draws = np.where(certain | np.isnan(draws), 0.0, draws)
        return np.where(same, 0.0, observed), draws.max(axis=1, initial=0.0)


def _freedom(by_drops: Floats, by_seeds: Floats, units: Floats, freedom: float) -> Floats:
    """Satterthwaite's, of the error of a difference."""
    parts = by_drops**2 / (units - 1) + by_seeds**2 / freedom
    return np.where(parts > 0, (by_drops + by_seeds) ** 2 / parts, np.inf)


def _normal(squared: Floats, freedom: Floats) -> Floats:
    """Student's |t|, given as its square, as the normal |z| of the same tail (Wallace 1959).

    One critical value serves all pairs then: those whose spread is known from few seeds do not raise it for the others.
    """
    with np.errstate(invalid="ignore"):
        z = (8 * freedom + 1) / (8 * freedom + 3) * np.sqrt(freedom * np.log1p(squared / freedom))
    return np.where(np.isinf(freedom), np.sqrt(squared), z)


def _draws(e: Estimate, place: int) -> Floats:
    """A row's errors over drops. Without terms they are taken as normal, independent of the others', and as wide as the
    interval that the cell states."""
    if e.errors is not None:
        return e.errors.draws
    if e.low == e.high:
        return np.zeros(FLIPS)
    rng = np.random.default_rng(np.random.SeedSequence(2026, spawn_key=(FLIPS, 3, place)))
    return (e.high - e.low) / (2 * quantile(math.inf)) * rng.standard_normal(FLIPS)


def _by_drops(e: Estimate) -> float:
    """The part of the variance between a row's seeds that the drops explain, because each training errs on others: the
    drops' own error has it already."""
    if e.errors is None or len(e.errors.by_seed) < 2:
        return 0.0
    draws = np.array(list(e.errors.by_seed.values()))
    apart = draws - draws.mean(axis=0)
    found = float(np.sum(np.mean(apart**2, axis=1)) / (len(draws) - 1))
    return found if math.isfinite(found) else 0.0


def _weights(name: str, known: list[str], families: Mapping[str, str]) -> Floats:
    if name in known:
        return np.array([float(other == name) for other in known])
    relatives = np.array([float(families[other] == families[name]) for other in known])
    return relatives if relatives.any() else np.ones(len(known))
