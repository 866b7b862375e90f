"""From clusters and rays to a flat list of paths: TR 38.901 clause 7.5, step 11."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channelbench.contracts import Paths
from channelbench.generators._drops import Drops
from channelbench.generators._rays import BandRays

__all__ = ["DrawnPaths", "expand"]

SPEED_OF_LIGHT = 299_792_458.0

SUBCLUSTER_OFFSETS = np.zeros(20)
SUBCLUSTER_OFFSETS[[8, 9, 10, 11, 16, 17]] = 1.28
SUBCLUSTER_OFFSETS[[12, 13, 14, 15]] = 2.56
"""Delay of each ray of the two strongest clusters, in units of c_DS (Table 7.5-5, Eq. 7.5-26)."""


@dataclass(frozen=True, kw_only=True)
class DrawnPaths(Paths):
    """Paths with what one draw adds to them. Path 0 is the specular one, absent without line of sight.

    Attributes:
        phase: Phase at the array's centre, the carrier and time 0, radian, ``[batch, paths]``.
        aod, aoa: Azimuths of departure and arrival, radian, ``[batch, paths]``.
        los: ``[batch]``.
    """

    phase: NDArray[np.float64]
    aod: NDArray[np.float64]
    aoa: NDArray[np.float64]
    los: NDArray[np.bool_]

    def without_phases(self) -> Paths:
        """What is known of a drop but for its phases."""
        return Paths(power=self.power, delay_s=self.delay_s, doppler_hz=self.doppler_hz, direction=self.direction)


def expand(rays: BandRays, drops: Drops, carrier_hz: float, rows: slice) -> DrawnPaths:
    """The paths of links ``rows``: the specular path, then every ray of every cluster, ``1 + clusters·rays`` in all."""
    los = rays.los[rows]
    k = np.where(los, rays.k_factor[rows], 0.0)
    diffuse_share, specular_share = 1 / (k + 1), k / (k + 1)  # Eq. 7.5-30

    num_rays = rays.aod.shape[-1]
    ray_power = np.repeat(rays.power[rows, :, None] * diffuse_share[:, None, None] / num_rays, num_rays, axis=-1)
    split = np.zeros(rays.power.shape, dtype=bool)
    np.put_along_axis(split, rays.strongest, True, axis=-1)
    ray_delay = rays.delay_s[rows, :, None] + (
        split[rows, :, None] * SUBCLUSTER_OFFSETS * rays.cluster_delay_spread_s[rows, None, None]
    )

    offset, distance = drops.offset[rows], drops.distance_m[rows]
    specular_aod = np.arctan2(offset[:, 1], offset[:, 0])
    specular_zod = np.arccos(offset[:, 2] / distance)
    aod = _join(specular_aod, rays.aod[rows])
    aoa = _join(_wrap(specular_aod + np.pi), rays.aoa[rows])
    arrival = _unit_vector(_join(np.pi - specular_zod, rays.zoa[rows]), aoa)
    wavelength = SPEED_OF_LIGHT / carrier_hz
    return DrawnPaths(
        power=_join(specular_share, ray_power),
        delay_s=_join(np.zeros_like(distance), ray_delay),
        # Eq. 7.5-22: the wave arrives from the direction `arrival`; moving towards it raises the frequency.
        doppler_hz=np.einsum("bpx,bx->bp", arrival, drops.velocity[rows]) / wavelength,
        direction=_unit_vector(_join(specular_zod, rays.zod[rows]), aod),
        phase=_join(-2 * np.pi * distance / wavelength, rays.phase[rows]),  # Eq. 7.5-29
        aod=aod,
        aoa=aoa,
        los=los,
    )


def _join(specular: NDArray[np.float64], rays: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([specular[:, None], rays.reshape(len(rays), -1)], axis=1)


def _wrap(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.mod(angle + np.pi, 2 * np.pi) - np.pi


def _unit_vector(zenith: NDArray[np.float64], azimuth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eq. 7.1-6, ``[...]`` to ``[..., 3]``."""
    sine = np.sin(zenith)
    return np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), np.cos(zenith)], axis=-1)
