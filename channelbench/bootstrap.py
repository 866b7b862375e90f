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


def resampled_scores(metric: Metric, terms: NDArray[np.float64], resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """Scores of ``resamples`` bootstrap draws of the drops, ``[resamples]``, from per-drop ``terms [drops, k]``."""
    return metric.finalize(_weights(len(terms), resamples) @ terms)


def interval(
    metric: Metric, terms: NDArray[np.float64], level: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """Score and percentile interval ``(value, low, high)`` of per-drop ``terms [drops, k]``."""
    value = float(metric.finalize(terms.mean(axis=0)))
    tails = [50 * (1 - level), 50 * (1 + level)]
    low, high = np.percentile(resampled_scores(metric, terms, resamples), tails)
    return value, float(low), float(high)
