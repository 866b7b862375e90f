"""Bootstrap over drops: exact and cheap, because a score is a function of mean terms.

Two kinds, each with the same draws for every method, so that differences of methods are paired. Resampled drops make
the percentile intervals that are shown. Flipped signs make the errors that ranks are taken from: where two methods are
equal the difference of their terms is as often positive as negative, whatever the skew of the terms, and this is what
random signs keep and resampling does not (docs/protocol.md has both, measured).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Metric

__all__ = ["FLIPS", "RESAMPLES", "flipped_errors", "influences", "interval", "resampled_scores"]

RESAMPLES = 1000

FLIPS = 2000
"""Draws of signs: the level of a test at 5 % is then within 0.5 points of what endless draws would give."""

_CHUNK = 250


@lru_cache(maxsize=8)
def _weights(num_drops: int, resamples: int) -> NDArray[np.float64]:
    """How often each drop stands in each resample, over the number of drops: ``[resamples, drops]``.

    The same for every method, so that differences of two methods are paired.
    """
    rng = np.random.default_rng(np.random.SeedSequence(2026, spawn_key=(num_drops, resamples)))
    return rng.multinomial(num_drops, np.full(num_drops, 1 / num_drops), size=resamples) / num_drops


def resampled_scores(
    metric: Metric,
    terms: NDArray[np.float64],
    units: NDArray[np.int64] | None = None,
    resamples: int = RESAMPLES,
) -> NDArray[np.float64]:
    """Scores of bootstrap draws of the independent units.

    Args:
        metric: What makes a score of mean terms.
        terms: Per case, ``[cases, terms]``.
        units: The unit that each case belongs to, ``[cases]``; all cases of a unit are drawn together. ``None`` where
            each case is one.
        resamples: How many draws.

    Returns:
        ``[resamples]``.
    """
    if units is None:
        return metric.finalize(_weights(len(terms), resamples) @ terms)
    _, which = np.unique(units, return_inverse=True)
    counts = np.bincount(which).astype(np.float64)
    sums = np.zeros((len(counts), terms.shape[1]))
    np.add.at(sums, which, terms)
    weights = _weights(len(counts), resamples)
    return metric.finalize((weights @ sums) / (weights @ counts)[:, None])


def influences(
    metric: Metric, terms: NDArray[np.float64], units: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """What each independent unit adds to the error of a score, by the jackknife (Efron 1982): their mean is 0.

    Args:
        metric: What makes a score of mean terms.
        terms: Per case, ``[cases, terms]``.
        units: The unit that each case belongs to, ``[cases]``; ``None`` where each case is one.

    Returns:
        ``[units]``; NaN where there is one unit alone, which says nothing, or where the score is not finite.
    """
    counts, sums = np.ones(len(terms)), terms
    if units is not None:
        _, which = np.unique(units, return_inverse=True)
        counts = np.bincount(which).astype(np.float64)
        sums = np.zeros((len(counts), terms.shape[1]))
        np.add.at(sums, which, terms)
    if len(counts) < 2:
        return np.full(len(counts), np.nan)
    mean = terms.mean(axis=0)
    with np.errstate(all="ignore"):  # a score of −∞ dB has no influences, and that is no fault of anybody
        # Deviations from the mean first: what is left of two large sums would be rounded.
        others = mean - (sums - counts[:, None] * mean) / (counts.sum() - counts)[:, None]
        without = np.asarray(metric.finalize(others), dtype=np.float64)
        found: NDArray[np.float64] = (len(counts) - 1) * (without.mean() - without)
    return found if np.isfinite(found).all() else np.full(len(counts), np.nan)


@lru_cache(maxsize=4)
def _signs(num_units: int, flips: int) -> NDArray[np.int8]:
    """``[flips, units]`` of −1 and 1, the same for every method."""
    rng = np.random.default_rng(np.random.SeedSequence(2026, spawn_key=(num_units, flips, 1)))
    return (2 * rng.integers(0, 2, (flips, num_units), dtype=np.int8) - 1).astype(np.int8)


def flipped_errors(influence: NDArray[np.float64], flips: int = FLIPS) -> NDArray[np.float64]:
    """Errors that a score would have if each unit had drawn its deviation with the other sign as well: the wild
    bootstrap of Rademacher weights (Liu 1988).

    Args:
        influence: See ``influences``; ``[units]``, or ``[units, scores]`` for several scores on the same units.
        flips: How many draws.

    Returns:
        ``[flips]`` or ``[flips, scores]``; their variance is that of the score's mean over independent units.
    """
    number = len(influence)
    if number < 2:
        return np.full((flips, *influence.shape[1:]), np.nan)
    signs, scale = _signs(number, flips), np.sqrt(number * (number - 1.0))
    parts = [signs[at : at + _CHUNK].astype(np.float64) @ influence for at in range(0, flips, _CHUNK)]
    return np.concatenate(parts) / scale


def interval(
    metric: Metric,
    terms: NDArray[np.float64],
    units: NDArray[np.int64] | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> tuple[float, float, float]:
    """Score and percentile interval ``(value, low, high)`` of per-case ``terms [cases, k]``; see
    ``resampled_scores``."""
    value = float(metric.finalize(terms.mean(axis=0)))
    tails = [50 * (1 - level), 50 * (1 + level)]
    low, high = np.percentile(resampled_scores(metric, terms, units, resamples), tails)
    return value, float(low), float(high)
