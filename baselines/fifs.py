"""FIFS: fingerprints of coherence-band-averaged channel power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._common import in_batches
from channelbench.card import Card
from channelbench.contracts import FitContext, FitData, Method, TaskSplit
from channelbench.tasks.link.observations import LinkObservation, ScalarObservation

__all__ = ["FIFS", "band_powers_db", "coherence_bandwidth", "kernel_average"]

CORRELATION = 0.5
BANDWIDTHS_DB = np.geomspace(0.25, 16.0, 19)
_CHUNK_ELEMENTS = 4_000_000


@dataclass(frozen=True)
class Fingerprints:
    """What FIFS keeps of a training split.

    Attributes:
        features: Band powers, dB, ``[fingerprints, features]``.
        values: Distances in m or losses in dB, ``[fingerprints]``.
        band: Subcarriers per coherence band.
        bandwidth_db: The kernel's width, in dB of root mean square difference.
    """

    features: NDArray[np.float64]
    values: NDArray[np.float64]
    band: int
    bandwidth_db: float


class FIFS(Method):
    """Kernel-weighted average of the values stored with similar fingerprints."""

    card = Card(
        name="fifs",
        title="FIFS",
        description="Fingerprints of coherence-band-averaged power per antenna; Gaussian-kernel average of values.",
        reference="Xiao, Wu, Yi and Ni 2012, FIFS: Fine-grained indoor fingerprinting system; LLM4WM, section V-B",
        family="classical",
        notes=(
            "Drops are independent here: neighbours in space share no clusters, so a fingerprint carries little beyond "
            "its power, and FIFS is far from what it reaches in one building. Our choices: powers in dB; coherence "
            "bands as wide as the training channels' frequency correlation stays above 0.5; the kernel's width by "
            "validation error (absolute for DE, squared for PE)."
        ),
    )
    observes = (ScalarObservation,)

    def __init__(self) -> None:
        self._stored: dict[str, Fingerprints] = {}

    def fit(self, data: FitData, context: FitContext) -> None:
        for task, (train, validation) in data.items():
            band = coherence_bandwidth(train)
            features, values = _collect(train, band)
            queries, truth = _collect(validation, band)
            guesses = kernel_average(queries, features, values, BANDWIDTHS_DB)
            errors = np.abs(guesses - truth) if train.loss == "absolute" else (guesses - truth) ** 2
            best = float(BANDWIDTHS_DB[errors.mean(axis=1).argmin()])
            self._stored[task] = Fingerprints(features, values, band, best)

    def predict(self, task: str, observation: ScalarObservation) -> NDArray[Any]:
        stored = self._stored[task]
        queries = band_powers_db(observation, stored.band)
        width = np.array([stored.bandwidth_db])
        return kernel_average(queries, stored.features, stored.values, width)[0].astype(np.float32)


def coherence_bandwidth(train: TaskSplit) -> int:
    """Subcarriers over which the mean frequency correlation of a split stays above one half; at least one."""
    correlation: NDArray[np.complex128] | float = 0.0
    for observation, _ in in_batches(train):
        h = observation.h
        lags = [np.vdot(h[:, :, : h.shape[2] - lag], h[:, :, lag:]) for lag in range(h.shape[2])]
        # Noise is white: it adds to lag 0 alone.
        lags[0] -= observation.noise_var.sum(dtype=np.float64) * h[0].size
        correlation = correlation + np.array(lags) / (h.shape[2] - np.arange(h.shape[2]))
    magnitude = np.abs(correlation)
    below = np.flatnonzero(magnitude < CORRELATION * magnitude[0])
    return int(below[0]) if len(below) else len(magnitude)


def band_powers_db(observation: LinkObservation, band: int) -> NDArray[np.float64]:
    """Mean power over slots and ``band`` neighbouring subcarriers per antenna, dB, ``[batch, features]``.

    The last band is narrower where ``band`` does not divide the subcarriers.
    """
    power = (np.abs(observation.h) ** 2).mean(axis=1, dtype=np.float64)
    starts = np.arange(0, power.shape[1], band)
    widths = np.diff(starts, append=power.shape[1])
    means = np.add.reduceat(power, starts, axis=1) / widths[:, None]
    return 10 * np.log10(np.maximum(means, 1e-30)).reshape(len(power), -1)


def kernel_average(
    queries: NDArray[np.float64],
    features: NDArray[np.float64],
    values: NDArray[np.float64],
    widths: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Averages of ``values`` weighted by ``exp(−d²/2w²)``, d the root mean square difference of two fingerprints.

    Args:
        queries: ``[queries, features]``.
        features: ``[fingerprints, features]``.
        values: ``[fingerprints]``.
        widths: Kernel widths w, ``[widths]``.

    Returns:
        ``[widths, queries]``. As w shrinks to 0 it becomes the nearest fingerprint's value.
    """
    averages = np.empty((len(widths), len(queries)))
    centre = features.mean(axis=0)
    stored = features - centre
    step = max(1, _CHUNK_ELEMENTS // len(stored))
    for start in range(0, len(queries), step):
        part = queries[start : start + step] - centre
        cross = part @ stored.T
        squared = (part**2).sum(axis=1)[:, None] - 2 * cross + (stored**2).sum(axis=1)
        # The nearest fingerprint gets weight 1, so that no sum of weights vanishes however narrow the kernel.
        squared = (squared - squared.min(axis=1, keepdims=True)) / stored.shape[1]
        for row, width in enumerate(widths):
            weights = np.exp(-squared / (2 * width**2))
            averages[row, start : start + step] = weights @ values / weights.sum(axis=1)
    return averages


def _collect(split: TaskSplit, band: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    parts = [(band_powers_db(seen, band), np.asarray(target.value, np.float64)) for seen, target in in_batches(split)]
    features, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    return features, values
