"""Distance and path loss from received power alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._common import in_batches, signal_power
from channelbench.card import Card
from channelbench.contracts import FitContext, FitData, Method
from channelbench.tasks.link.observations import LinkObservation, ScalarObservation

__all__ = ["ReceivedPower", "fit_polynomial"]

DEGREE = 3
IRLS_STEPS = 100


@dataclass(frozen=True)
class Polynomial:
    """A polynomial of standardised decibels, clipped to the range of the values it was fitted to."""

    coefficients: NDArray[np.float64]
    centre: float
    scale: float
    low: float
    high: float

    def __call__(self, power_db: NDArray[np.float64]) -> NDArray[np.float64]:
        basis = _basis((power_db - self.centre) / self.scale)
        return np.clip(basis @ self.coefficients, self.low, self.high)


class ReceivedPower(Method):
    """A cubic in decibels of received power: no other feature of the channel is used."""

    card = Card(
        name="received_power",
        title="Received power",
        description="Distance or path loss as a cubic polynomial of the received power in decibels, and nothing else.",
        reference="Koenker and Bassett 1978, Regression quantiles (DE); ordinary least squares (PE)",
        family="reference",
        notes=(
            "The line that a method has to beat before it can claim to read the channel's structure. DE is scored by "
            "absolute error, so its cubic minimises absolute error; PE's minimises squared error. Power is what was "
            "received less the noise variance. Predictions are clipped to the training targets' range."
        ),
    )
    observes = (ScalarObservation,)

    def __init__(self) -> None:
        self._curves: dict[str, Polynomial] = {}

    def fit(self, data: FitData, context: FitContext) -> None:
        for task, (train, _) in data.items():
            pairs = [(_power_db(seen), np.asarray(target.value, np.float64)) for seen, target in in_batches(train)]
            power_db, value = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
            self._curves[task] = fit_polynomial(power_db, value, absolute=train.loss == "absolute")

    def predict(self, task: str, observation: ScalarObservation) -> NDArray[Any]:
        return self._curves[task](_power_db(observation)).astype(np.float32)


def fit_polynomial(power_db: NDArray[np.float64], value: NDArray[np.float64], *, absolute: bool) -> Polynomial:
    """The cubic of least absolute or least squared error.

    Absolute error is minimised by iteratively reweighted least squares, whose weights 1/|residual| are bounded by a
    width that shrinks to a millionth of the values' spread.

    Args:
        power_db: ``[samples]``.
        value: Distances in m or losses in dB, ``[samples]``.
        absolute: Minimise absolute rather than squared error.
    """
    centre, scale = float(power_db.mean()), float(power_db.std()) or 1.0
    basis = _basis((power_db - centre) / scale)
    coefficients = _least_squares(basis, value)
    if absolute:
        spread = float(value.std()) or 1.0
        for width in spread * np.geomspace(1, 1e-6, IRLS_STEPS):
            root = 1 / np.sqrt(np.maximum(np.abs(value - basis @ coefficients), width))
            coefficients = _least_squares(basis * root[:, None], value * root)
    return Polynomial(coefficients, centre, scale, float(value.min()), float(value.max()))


def _least_squares(basis: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.lstsq(basis, value, rcond=None)[0], np.float64)


def _basis(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.polynomial.polynomial.polyvander(x, DEGREE), np.float64)


def _power_db(observation: LinkObservation) -> NDArray[np.float64]:
    return 10 * np.log10(np.maximum(signal_power(observation), 1e-30))
