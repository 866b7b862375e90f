"""Clusters and rays as one band, the anchor, draws them for all: TR 38.901 clause 7.5, steps 5 to 8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_CLUSTER_POWER", "AnchorRays", "delay_scaling"]

MIN_CLUSTER_POWER = 10**-2.5
"""Step 6 removes clusters that are more than 25 dB below the strongest."""


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
