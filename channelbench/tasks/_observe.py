"""What all tasks on the sub-6-GHz band share: noise by counter, SNR references, the observed grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Conditions, Grid, Observation
from channelbench.noise import noise_key, unit_noise
from channelbench.spec import BandSpec
from channelbench.store.schema import antenna_positions, slot_times, subcarrier_hz

if TYPE_CHECKING:
    from channelbench.store.dataset import ChannelDataset

__all__ = ["BAND", "Region", "history_slots", "link_context", "noisy_region", "observation", "pilot_subcarriers"]

BAND = "sub6"

TX_POWER_DBM = {"sub6": 46.0, "mmwave": 30.0}


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


def history_slots(band: BandSpec) -> int:
    """Slots that are observed: four fifths, 16 of the default 20."""
    return max(1, band.num_slots * 4 // 5)


def pilot_subcarriers(band: BandSpec, conditions: Conditions) -> NDArray[np.int64]:
    """Every ``pilot_spacing``-th subcarrier, from the first."""
    return np.arange(0, band.num_subcarriers, conditions.pilot_spacing)


def noisy_region(
    dataset: ChannelDataset,
    task: str,
    split: str,
    indices: NDArray[np.int64],
    conditions: Conditions,
    *,
    slots: slice,
    training: bool,
    epoch: int,
    amplitude: NDArray[np.float64] | None = None,
    set_power: float | None = None,
) -> Region:
    """Pilots' view ``h + n`` of all subcarriers in ``slots``, with ``E|n|² = P·10^(−snr/10)``.

    P is the sample's mean ``|h|²`` over the whole band and all slots, or the training split's mean
    (``snr_reference = "set"``). ``amplitude`` scales samples (and with them their noise) before that; ``set_power``
    is then the training split's mean power of the scaled samples.
    """
    clean = dataset.array(f"h_{BAND}", split)[indices, slots]
    power = dataset.sample_power(BAND, split)[indices]
    if amplitude is not None:
        clean = (clean * amplitude[:, None, None, None]).astype(np.complex64)
        power = power * amplitude**2
    key = noise_key(dataset.seed, dataset.spec.identity(), split, task, f"epoch {epoch}" if training else "test")
    noise, uniform = unit_noise(key, indices, clean.shape[1:])
    if training:
        low, high = Conditions.TRAIN_SNR_DB
        snr_db = low + (high - low) * uniform
    else:
        snr_db = np.full(len(indices), conditions.snr_db)
    if not training and conditions.effective_snr_reference == "set":
        mean_power = dataset.sample_power(BAND, "train").mean() if set_power is None else set_power
        power = np.full(len(indices), mean_power)
    noise_var = power * 10 ** (-snr_db / 10)
    noise *= np.sqrt(noise_var).astype(np.float32)[:, None, None, None]
    noise += clean
    return Region(clean=clean, noisy=noise, noise_var=noise_var.astype(np.float32))


def observation(
    dataset: ChannelDataset,
    region: Region,
    split: str,
    indices: NDArray[np.int64],
    *,
    slots: slice,
    subcarriers: NDArray[np.int64],
    grid_extra: dict[str, object] | None = None,
) -> Observation:
    """An observation of ``subcarriers`` of a region whose first slot is ``slots.start``."""
    band = dataset.spec.bands[BAND]
    grid = Grid(
        carrier_hz=band.carrier_hz,
        subcarrier_hz=subcarrier_hz(band)[subcarriers],
        slot_s=slot_times(band)[slots],
        antenna_position=antenna_positions(band),
        **(grid_extra or {}),  # type: ignore[arg-type]
    )
    h = region.noisy[:, : len(grid.slot_s)][:, :, subcarriers]
    return Observation(
        h=np.ascontiguousarray(h),
        noise_var=region.noise_var,
        grid=grid,
        spec=dataset.spec,
        seed=dataset.seed,
        split=split,
        indices=indices,
    )


def link_context(
    dataset: ChannelDataset, band: str, split: str, indices: NDArray[np.int64]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, float]]:
    """Context and constants that ``se_link`` needs."""
    context = {"path_gain_db": dataset.array(f"path_gain_db_{band}", split)[indices]}
    return context, {"bandwidth_hz": dataset.spec.bands[band].bandwidth_hz, "tx_power_dbm": TX_POWER_DBM[band]}
