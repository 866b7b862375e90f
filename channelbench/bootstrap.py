"""Bootstrap over drops: exact and cheap, because a score is a function of mean terms."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Metric

__all__ = ["RESAMPLES", "interval", "resampled_scores"]

RESAMPLES = 1000


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
