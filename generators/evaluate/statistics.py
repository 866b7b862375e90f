"""Per-link numbers that a list of paths realises."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.evaluate.paths import DrawnPaths

__all__ = ["angular_spread_deg", "delay_spread_s", "link_statistics"]


def delay_spread_s(power: NDArray[np.float64], delay_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power-weighted RMS delay spread in s, ``[batch, paths]`` to ``[batch]``."""
    weight = power / power.sum(axis=-1, keepdims=True)
    mean = np.sum(weight * delay_s, axis=-1, keepdims=True)
    return np.sqrt(np.sum(weight * (delay_s - mean) ** 2, axis=-1))


def angular_spread_deg(power: NDArray[np.float64], phasor: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Circular angular spread √(−2·ln|Σ w·e^{jφ}|) in degrees (TR 38.901 Eq. A-1), ``[batch, paths]`` → ``[batch]``.

    ``phasor`` is ``e^{jφ}``.
    """
    resultant = np.abs(np.einsum("bp,bp->b", power, phasor)) / power.sum(axis=-1)
    return np.degrees(np.sqrt(-2 * np.log(np.minimum(resultant, 1.0))))


def link_statistics(paths: DrawnPaths, path_gain_db: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The per-band scalars of the dataset by their names without the band, each ``[batch]``.

    The strongest path is the specular one in line of sight, else the strongest ray; the rays of a cluster being
    equally strong, the first of its rays.
    """
    row = np.arange(len(paths.power))
    strongest = np.where(paths.los, 0, np.argmax(paths.power, axis=-1))
    share = paths.power[row, strongest]
    diffuse = paths.power[:, 1:].sum(axis=-1)
    k_factor = np.where(paths.los, paths.power[:, 0] / diffuse, np.nan)
    return {
        "path_gain_db": path_gain_db,
        "main_path_gain_db": path_gain_db + 10 * np.log10(share),
        "delay_spread_s": delay_spread_s(paths.power, paths.delay_s),
        "asd_deg": angular_spread_deg(paths.power, paths.aod_phasor),
        "asa_deg": angular_spread_deg(paths.power, paths.aoa_phasor),
        "k_factor_db": 10 * np.log10(k_factor),
        "strongest_aod_deg": np.degrees(paths.aod[row, strongest]),
    }
