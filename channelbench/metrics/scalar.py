"""Metrics of one number per sample: distance in m, path loss in dB. See docs/protocol.md."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Metric, Target

__all__ = ["MAEinMetres", "MAEofSpan", "NMSECentred", "NMSELinear", "RMSEindB"]


def _error(prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
    return prediction.astype(np.float64) - target.value.astype(np.float64)


class MAEinMetres(Metric):
    """Mean absolute error in metres."""

    card = Card(
        name="mae_m",
        title="MAE",
        description="Mean absolute error of the distance in metres.",
        reference="LLM4WM, section V-A4",
        family="metric",
    )
    unit = "m"

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        return np.abs(_error(prediction, target))[:, None]

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0]


class MAEofSpan(MAEinMetres):
    """Mean absolute error over the span of the training split's distances: what the paper averages."""

    card = Card(
        name="mae_of_span",
        title="MAE / span",
        description="Mean absolute error as a fraction of the training split's span of distances.",
        reference="LLM4WM, Eq. 28",
        family="metric",
    )
    unit = ""

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        return super().accumulate(prediction, target) / target.constants["train_span"]


class RMSEindB(Metric):
    """Root of the mean squared error of the path loss in dB."""

    card = Card(
        name="rmse_db",
        title="RMSE",
        description="Root mean squared error of the main path's loss in dB.",
        reference="the protocol's own; the paper's NMSE of dB values stands beside it",
        family="metric",
    )
    unit = "dB"

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        return (_error(prediction, target) ** 2)[:, None]

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sqrt(mean_terms[..., 0])


class NMSECentred(Metric):
    """``Σ(ŷ − y)² / Σ(y − ȳ)²`` in dB values, ȳ the training mean: 1 for whoever always answers the mean."""

    card = Card(
        name="nmse_centred",
        title="NMSE (centred)",
        description="Squared error over squared distance from the training mean, both of dB values.",
        reference="LLM4WM, section V-A4 (its PE NMSE, with the reference point stated)",
        family="metric",
    )

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        spread = target.value.astype(np.float64) - target.constants["train_mean"]
        return np.stack([_error(prediction, target) ** 2, spread**2], axis=-1)

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0] / mean_terms[..., 1]


class NMSELinear(Metric):
    """``Σ(10^(ŷ/10) − 10^(y/10))² / Σ10^(y/5)``: dominated by the farthest users."""

    card = Card(
        name="nmse_linear",
        title="NMSE (linear)",
        description="Squared error over squared value of the path loss as a linear ratio.",
        reference="LLM4WM, section V-A4 (its PE NMSE, read as linear)",
        family="metric",
    )

    def accumulate(self, prediction: NDArray[Any], target: Target) -> NDArray[np.float64]:
        # Scaled by the training mean, which cancels in the ratio: 10^(y/5) of 150 dB overflows float32 sums.
        predicted = 10 ** ((prediction.astype(np.float64) - target.constants["train_mean"]) / 10)
        wanted = 10 ** ((target.value.astype(np.float64) - target.constants["train_mean"]) / 10)
        return np.stack([(predicted - wanted) ** 2, wanted**2], axis=-1)

    def finalize(self, mean_terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean_terms[..., 0] / mean_terms[..., 1]
