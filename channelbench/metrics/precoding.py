"""Metrics of precoders ``[groups, subcarriers, users, antennas]``: rates over the true channels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Metric, Target
from channelbench.solvers.precoding import sinr

__all__ = ["FractionOfCeiling", "MinUserRate", "SINRSpread", "SumRate", "user_rates", "user_sinrs"]

PLAIN = "Björnson, Bengtsson and Ottersten 2014, Optimal multiuser transmit beamforming"


def user_sinrs(prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
    """``|h_kᴴw_k|² / (Σ_{j≠k} |h_kᴴw_j|² + σ²)`` over the true channel, ``[groups, subcarriers, users]``."""
    h = target.context["h"]
    groups, subcarriers = h.shape[:2]
    noise_var = np.repeat(target.context["noise_var"].astype(np.float64), subcarriers)
    flat = (groups * subcarriers, *h.shape[2:])
    return sinr(h.reshape(flat), prediction.reshape(flat), noise_var).reshape(h.shape[:3])


def user_rates(prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
    """``log2(1 + SINR)`` of each user, mean over subcarriers, ``[groups, users]``, bit/s/Hz."""
    return np.log2(1 + user_sinrs(prediction, target)).mean(axis=1)


class _Rate(Metric):
    """A mean over groups of a rate."""

    unit = "bit/s/Hz"
    higher_is_better = True

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0]


class SumRate(_Rate):
    """Sum over users of ``log2(1 + SINR)``."""

    card = Card(
        name="sum_rate",
        title="Sum rate",
        description="Sum over the users of a group of log2(1 + SINR), mean over groups (and subcarriers).",
        reference="Multi-task PHY LLM, Eqs. 3 and 5",
        family="metric",
    )

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        return user_rates(prediction, target).sum(axis=1)[:, None]


class MinUserRate(_Rate):
    """``log2(1 + SINR)`` of the user who has least."""

    card = Card(
        name="min_rate",
        title="Least user's rate",
        description="log2(1 + SINR) of the user of a group who has least, mean over groups (and subcarriers).",
        reference=PLAIN,
        family="metric",
    )

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        return np.log2(1 + user_sinrs(prediction, target).min(axis=2)).mean(axis=1)[:, None]


class FractionOfCeiling(Metric):
    """Mean sum rate over the mean of what no precoder exceeds."""

    card = Card(
        name="capacity_share",
        title="Share of capacity",
        description="Mean sum rate over the mean sum capacity of dirty-paper coding on the same groups.",
        reference="Weingarten, Steinberg and Shamai 2006, The capacity region of the Gaussian MIMO broadcast channel",
        family="metric",
    )
    higher_is_better = True

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        return np.stack([user_rates(prediction, target).sum(axis=1), target.context["capacity"]], axis=-1)

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        capacity = mean_terms[..., 1]
        return np.where(capacity > 0, mean_terms[..., 0] / np.where(capacity > 0, capacity, 1.0), 1.0)


class SINRSpread(Metric):
    """How far the SINRs of a group lie apart: 0 dB at the max-min optimum."""

    card = Card(
        name="sinr_spread_db",
        title="SINR spread",
        description="Largest over smallest SINR of a group in dB, at most 60, mean over groups (and subcarriers).",
        reference=PLAIN,
        family="metric",
    )
    unit = "dB"

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        sinrs = np.maximum(user_sinrs(prediction, target), 1e-30)
        spread = 10 * np.log10(sinrs.max(axis=2) / sinrs.min(axis=2))
        return np.minimum(spread, 60.0).mean(axis=1)[:, None]

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0]
