"""Vector Prony: exponentials that all subcarriers and antennas of a drop share, continued into coming slots."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from channelbench.baselines._common import in_batches, signal_power
from channelbench.card import Card
from channelbench.contracts import FitContext, FitData, Method, TaskSplit
from channelbench.errors import RequestError
from channelbench.solvers.interpolation import apply_along, linear_weights
from channelbench.solvers.prony import extrapolation_weights, prediction_coefficients, roots, slot_covariance
from channelbench.tasks.link.observations import LaterSlotsObservation

__all__ = ["Setting", "VectorProny"]

ORDERS = (1, 2, 3, 4, 6, 8, 10, 12)


class Setting(NamedTuple):
    """What the validation split decides.

    Attributes:
        order: Exponentials, fewer where there are few slots.
        sparse: Whether series are bins of angle and delay, each weighted by its share of signal.
    """

    order: int
    sparse: bool


class VectorProny(Method):
    """Linear prediction with one set of coefficients per drop, from nothing but the drop's noisy slots."""

    card = Card(
        name="prony",
        title="Vector Prony",
        description="Continues the exponentials that all subcarriers and antennas of a drop share into coming slots.",
        reference=(
            "Yin, Wang, Liu and Debbah 2020, Addressing the curse of mobility in massive MIMO with Prony-based "
            "angular-delay domain channel predictions"
        ),
        family="classical",
        notes=(
            "Our choices: coefficients minimise the forward and backward error of the drop's covariance over slots, "
            "less the noise's part, with a ridge as large as what is left of the noise by chance; roots outside the "
            "unit circle are moved onto it; amplitudes are fitted to all slots by least squares. The validation split "
            "decides how many exponentials, and whether series are coefficients or bins of angle and delay, each "
            "weighted by its share of signal. Observed slots must be equally spaced; a single one is held. Between "
            "pilot subcarriers predictions are interpolated linearly, and the antennas of a panel count as one row."
        ),
    )
    observes = (LaterSlotsObservation,)

    def __init__(self) -> None:
        self.settings: dict[str, Setting] = {}

    def fit(self, data: FitData, context: FitContext) -> None:
        for task, (_, validation) in data.items():
            self.settings[task] = choose(validation)

    def predict(self, task: str, observation: LaterSlotsObservation) -> NDArray[Any]:
        return continue_exponentials(observation, self.settings[task])


def choose(split: TaskSplit) -> Setting:
    """The setting of the least mean normalised error on a split, the simplest of equal ones."""
    candidates = [Setting(order, sparse) for sparse in (False, True) for order in ORDERS]
    errors = np.zeros(len(candidates))
    for observation, target in in_batches(split):
        power = np.maximum(np.sum(np.abs(target.value) ** 2, axis=(1, 2, 3), dtype=np.float64), np.finfo(float).tiny)
        for index, setting in enumerate(candidates):
            off = np.abs(continue_exponentials(observation, setting) - target.value) ** 2
            errors[index] += np.sum(off.sum(axis=(1, 2, 3), dtype=np.float64) / power)
    return candidates[int(errors.argmin())]


def continue_exponentials(observation: LaterSlotsObservation, setting: Setting) -> NDArray[np.complex64]:
    """Coming slots, ``[batch, wanted slots, wanted subcarriers, antennas]``.

    Raises:
        RequestError: observed slots are not equally spaced.
    """
    grid = observation.grid
    seen, wanted = _in_slots(grid.slot_s, grid.target_slot_s)
    power = signal_power(observation)
    scale = np.sqrt(np.where(power > 0, power, 1)).astype(np.float32)[:, None, None, None]
    y, noise = observation.h / scale, observation.noise_var / scale[:, 0, 0, 0].astype(np.float64) ** 2
    if setting.sparse:
        y = _angle_delay(y)
        share = _signal_share(y, noise)
        y, noise = y * share, noise * np.mean(share.astype(np.float64) ** 2, axis=(1, 2, 3))
    future = _continued(y.reshape(*y.shape[:2], -1), noise, setting.order, seen, wanted)
    future = future.reshape(len(y), len(wanted), *y.shape[2:])
    if setting.sparse:
        future = _angle_delay(future, back=True)
    future *= scale
    weights = linear_weights(grid.subcarrier_hz, grid.target_subcarrier_hz)
    return apply_along(weights, future, axis=2).astype(np.complex64, copy=False)


def _continued(
    series: NDArray[np.complex64],
    noise: NDArray[np.floating],
    order: int,
    seen: NDArray[np.float64],
    wanted: NDArray[np.float64],
) -> NDArray[np.complex64]:
    """``[batch, wanted, series]`` of ``[batch, seen, series]`` with noise ``[batch]``; a single slot is held."""
    order = min(order, len(seen) - 1)
    if order == 0:
        return np.repeat(series[:, -1:], len(wanted), axis=1)
    covariance = slot_covariance(series, noise)
    # What chance leaves of the noise in a sum over the equations, of a mean over as many series.
    left = (len(seen) - order) * noise / np.sqrt(series.shape[2])
    z = roots(prediction_coefficients(covariance, order, left))
    future: NDArray[np.complex64] = extrapolation_weights(z, seen, wanted).astype(np.complex64) @ series
    return future


def _in_slots(slot_s: NDArray[np.float64], target_slot_s: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Observed and wanted times from the first observed slot, in slots."""
    if len(slot_s) == 1:
        return np.zeros(1), np.ones(len(target_slot_s))
    step = (slot_s[-1] - slot_s[0]) / (len(slot_s) - 1)
    seen = np.arange(len(slot_s), dtype=np.float64)
    if not np.allclose((slot_s - slot_s[0]) / step, seen, rtol=0, atol=1e-3):
        raise RequestError("slots", expected="equally spaced observed slots", got="others")
    return seen, (target_slot_s - slot_s[0]) / step


def _angle_delay(h: NDArray[np.complex64], *, back: bool = False) -> NDArray[np.complex64]:
    """Unitary transform over subcarriers and antennas."""
    from scipy import fft

    transform = fft.ifft2 if back else fft.fft2
    return transform(h, axes=(2, 3), norm="ortho")


def _signal_share(y: NDArray[np.complex64], noise: NDArray[np.floating]) -> NDArray[np.float32]:
    """Wiener gain of each bin: the share of its mean power over slots that is not noise, ``[batch, 1, bins, bins]``."""
    received = np.mean(y.real**2 + y.imag**2, axis=1, keepdims=True, dtype=np.float64)
    share = 1 - noise[:, None, None, None] / np.maximum(received, np.finfo(float).tiny)
    return np.maximum(share, 0).astype(np.float32)
