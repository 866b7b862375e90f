"""What is drawn once for all bands, by whichever engine, and what each band's table adds to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_CLUSTER_POWER", "AnchorRays", "LargeScale", "delay_scaling"]

MIN_CLUSTER_POWER = 10**-2.5
"""Step 6 removes clusters that are more than 25 dB below the strongest."""


@dataclass(frozen=True, kw_only=True)
class LargeScale:
    """One band's large-scale parameters as drawn, ``[links]`` each.

    Attributes:
        path_gain_db: −(path loss + shadowing).
        k_factor: Rician K, linear; without meaning where there is no line of sight.
        ds: Delay spread, s.
        asd, asa, zsd, zsa: Angular spreads, degrees.
        sf: Shadow fading, linear.
    """

    path_gain_db: NDArray[np.float64]
    k_factor: NDArray[np.float64]
    ds: NDArray[np.float64]
    asd: NDArray[np.float64]
    asa: NDArray[np.float64]
    zsd: NDArray[np.float64]
    zsa: NDArray[np.float64]
    sf: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AnchorRays:
    """What is drawn once, at the anchor. Angles are in radians, powers linear.

    Attributes:
        delay_s, power: Of the clusters, before the line of sight takes its share; removed ones have power 0 and delay
            0, ``[links, clusters]``.
        aod, zod, aoa, zoa: Of the rays, ``[links, clusters, rays]``.
        subcluster_offsets: Delay of each ray of a split cluster, in units of c_DS, ``[rays]``.
    """

    delay_s: NDArray[np.float64]
    power: NDArray[np.float64]
    aod: NDArray[np.float64]
    zod: NDArray[np.float64]
    aoa: NDArray[np.float64]
    zoa: NDArray[np.float64]
    subcluster_offsets: NDArray[np.float64]


def delay_scaling(los: NDArray[np.bool_], k_factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """C_τ of Eq. 7.5-3, by which step 5 has divided the delays of links with line of sight, ``[links]``."""
    k = 10 * np.log10(k_factor)
    return np.where(los, 0.7705 - 0.0433 * k + 0.0002 * k**2 + 0.000017 * k**3, 1.0)
