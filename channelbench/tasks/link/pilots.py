"""What all tasks on the sub-6-GHz band share: noise by counter, SNR references, the observed grid, default SNRs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Task
from channelbench.grid import Grid
from channelbench.spec import BandSpec, ScenarioSpec
from channelbench.store.dataset import SplitView
from channelbench.store.schema import antenna_positions, slot_times, subcarrier_hz
from channelbench.systems import KMH
from channelbench.tasks.link.conditions import TRAIN_SNR_DB, LinkConditions, PilotConditions

__all__ = ["BAND", "LinkTask", "Region", "comb", "link_context", "noisy_region", "observed_grid", "seen_subcarriers"]

BAND = "sub6"

TX_POWER_DBM = {"sub6": 46.0, "mmwave": 30.0}

MULTIUSER_SNR_DB = 20.0


class LinkTask(Task):
    """A problem of one link: its cases are a dataset's samples."""

    conditions: ClassVar[type[LinkConditions]]

    def default_conditions(self, spec: ScenarioSpec) -> LinkConditions:
        """10 dB, but 20 dB on the system of multi-user prediction."""
        return self.conditions(snr_db=MULTIUSER_SNR_DB) if spec.system == "multiuser" else self.conditions()

    def strata(self, view: SplitView, cases: NDArray[np.int64], conditions: Any) -> dict[str, NDArray[np.float64]]:
        """The user's speed in km/h, to a hundredth, where the test has a grid of speeds; NaN off the grid."""
        if not view.spec.test_speeds_mps or view.split != "test":
            return {}
        grid = np.round(np.abs(view.spec.test_speeds_mps) / KMH, 2)
        speed = np.round(np.linalg.norm(view.array("ue_velocity")[cases].astype(np.float64), axis=1) / KMH, 2)
        return {"speed_kmh": np.where(np.isin(speed, grid), speed, np.nan)}


@dataclass(frozen=True)
class Region:
    """A piece of the resource grid with noise on it.

    Attributes:
        clean, noisy: ``[batch, slots, subcarriers, antennas]``, complex64.
        noise_var: ``[batch]``, float32.
    """

    clean: NDArray[np.complex64]
    noisy: NDArray[np.complex64]
    noise_var: NDArray[np.float32]


def comb(band: BandSpec, spacing: int) -> NDArray[np.int64]:
    """Every ``spacing``-th subcarrier, from the first."""
    return np.arange(0, band.num_subcarriers, spacing)


def seen_subcarriers(band: BandSpec, conditions: PilotConditions) -> NDArray[np.int64]:
    """All subcarriers, or the comb."""
    return comb(band, conditions.pilot_spacing if conditions.pilots_only else 1)


def noisy_region(
    view: SplitView,
    task: str,
    cases: NDArray[np.int64],
    conditions: LinkConditions,
    *,
    slots: slice,
    epoch: int | None,
    amplitude: NDArray[np.float64] | None = None,
    set_power: float | None = None,
) -> Region:
    """Pilots' view ``h + n`` of all subcarriers in ``slots``, with ``E|n|² = P·10^(−snr/10)``.

    P is the sample's mean ``|h|²`` over the whole band and all slots, or the training split's mean
    (``snr_reference = "set"``). ``amplitude`` scales samples (and with them their noise) before that; ``set_power``
    is then the training split's mean power of the scaled samples.
    """
    clean = view.rows(f"h_{BAND}", cases, slots)
    power = view.sample_power(BAND)[cases]
    if amplitude is not None:
        clean = (clean * amplitude[:, None, None, None]).astype(np.complex64)
        power = power * amplitude**2
    noise, uniform = view.noise(task, cases, clean.shape[1:], epoch)
    if epoch is not None:
        low, high = TRAIN_SNR_DB
        snr_db = low + (high - low) * uniform
    else:
        snr_db = np.full(len(cases), conditions.snr_db)
    if epoch is None and conditions.effective_snr_reference == "set":
        mean_power = view.train.sample_power(BAND).mean() if set_power is None else set_power
        power = np.full(len(cases), mean_power)
    noise_var = power * 10 ** (-snr_db / 10)
    noise *= np.sqrt(noise_var).astype(np.float32)[:, None, None, None]
    noise += clean
    return Region(clean=clean, noisy=noise, noise_var=noise_var.astype(np.float32))


def observed_grid(view: SplitView, slots: slice, subcarriers: NDArray[np.int64]) -> dict[str, Any]:
    """The fields of a ``Grid``."""
    band = view.spec.bands[BAND]
    grid = Grid(
        carrier_hz=band.carrier_hz,
        subcarrier_hz=subcarrier_hz(band)[subcarriers],
        slot_s=slot_times(band)[slots],
        antenna_position=antenna_positions(band),
    )
    return vars(grid)


def seen(task: Task, region: Region, num_slots: int, subcarriers: NDArray[np.int64]) -> dict[str, Any]:
    """The fields of a ``LinkObservation`` of the first slots of a region, without its grid."""
    h = region.noisy[:, :num_slots][:, :, subcarriers]
    return {"h": np.ascontiguousarray(h), "noise_var": region.noise_var, "loss": task.loss}


def link_context(
    view: SplitView, band: str, cases: NDArray[np.int64]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, float]]:
    """Context and constants that ``se_link`` needs; no context where the dataset does not know path gain."""
    name = f"path_gain_db_{band}"
    context = {"path_gain_db": view.array(name)[cases]} if name in view.variables else {}
    return context, {"bandwidth_hz": view.spec.bands[band].bandwidth_hz, "tx_power_dbm": TX_POWER_DBM[band]}
