"""From clusters and rays to a flat list of paths: TR 38.901 clause 7.5, step 11."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT, DrawnPaths
from channelbench.generators.tr38901.clusters import AnchorRays
from channelbench.generators.tr38901.drops import Drops
from channelbench.generators.tr38901.rays import BandRays

__all__ = ["Directions", "directions", "expand"]


@dataclass(frozen=True, kw_only=True)
class Directions:
    """Where the paths of a block's wanted links lead, the same in all bands. Path 0 is the specular one.

    Attributes:
        aod: Azimuths of departure, radian, ``[batch, paths]``.
        aod_phasor, aoa_phasor: ``e^{jφ}`` of the azimuths, ``[batch, paths]``.
        departure: Unit vectors, ``[batch, paths, 3]``.
        closing_mps: Speed of the user towards where the path comes from, ``[batch, paths]``.
        distance_m: 3-D, ``[batch]``.
    """

    aod: NDArray[Any]
    aod_phasor: NDArray[Any]
    aoa_phasor: NDArray[Any]
    departure: NDArray[Any]
    closing_mps: NDArray[Any]
    distance_m: NDArray[np.float64]


def directions(anchor: AnchorRays, drops: Drops, rows: slice) -> Directions:
    """Of the specular path, then of every ray of every cluster, ``1 + clusters·rays`` in all; as precise as the
    anchor's angles are."""
    offset, distance = drops.offset[rows], drops.distance_m[rows]
    precision = anchor.aod.dtype
    specular_aod = np.arctan2(offset[:, 1], offset[:, 0]).astype(precision)
    specular_zod = np.arccos(offset[:, 2] / distance).astype(precision)
    aod = _join(specular_aod, anchor.aod[rows])
    aod_phasor = _phasor(aod)
    aoa_phasor = _phasor(_join(_wrap(specular_aod + np.pi), anchor.aoa[rows]))
    arrival = _unit_vector(_join(np.pi - specular_zod, anchor.zoa[rows]), aoa_phasor)
    return Directions(
        aod=aod,
        aod_phasor=aod_phasor,
        aoa_phasor=aoa_phasor,
        departure=_unit_vector(_join(specular_zod, anchor.zod[rows]), aod_phasor),
        # Eq. 7.5-22: the wave arrives from the direction `arrival`; moving towards it raises the frequency.
        closing_mps=(arrival @ drops.velocity[rows, :, None].astype(precision))[..., 0],
        distance_m=distance,
    )


def expand(rays: BandRays, where: Directions, carrier_hz: float, rows: slice) -> DrawnPaths:
    """The paths of links ``rows`` in one band, in the order of ``where``."""
    los, anchor = rays.los[rows], rays.anchor
    k = np.where(los, rays.large_scale.k_factor[rows], 0.0)
    diffuse_share, specular_share = 1 / (k + 1), k / (k + 1)  # Eq. 7.5-30

    num_rays = anchor.aod.shape[-1]
    ray_power = np.repeat(rays.power[rows, :, None] * diffuse_share[:, None, None] / num_rays, num_rays, axis=-1)
    split = np.zeros(rays.power.shape, dtype=bool)
    np.put_along_axis(split, rays.strongest, True, axis=-1)
    # Eq. 7.5-26
    ray_delay = anchor.delay_s[rows, :, None] + (
        split[rows, :, None] * anchor.subcluster_offsets * rays.cluster_delay_spread_s[rows, None, None]
    )
    wavelength = SPEED_OF_LIGHT / carrier_hz
    return DrawnPaths(
        power=_join(specular_share, ray_power),
        delay_s=_join(np.zeros_like(k), ray_delay),
        doppler_hz=where.closing_mps / wavelength,
        direction=where.departure,
        phase=_join(-2 * np.pi * where.distance_m / wavelength, rays.phase[rows]),  # Eq. 7.5-29
        aod=where.aod,
        aod_phasor=where.aod_phasor,
        aoa_phasor=where.aoa_phasor,
        los=los,
    )


def _join(specular: NDArray[Any], rays: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([specular[:, None], rays.reshape(len(rays), -1)], axis=1)


def _wrap(angle: NDArray[Any]) -> NDArray[Any]:
    return np.mod(angle + np.pi, 2 * np.pi) - np.pi


def _phasor(angle: NDArray[Any]) -> NDArray[Any]:
    phasor = np.empty(angle.shape, np.result_type(angle, np.complex64))
    np.cos(angle, out=phasor.real)
    np.sin(angle, out=phasor.imag)
    return phasor


def _unit_vector(zenith: NDArray[Any], azimuth: NDArray[Any]) -> NDArray[Any]:
    """Eq. 7.1-6, ``[...]`` to ``[..., 3]``, of a zenith in radians and the phasor of an azimuth."""
    sine = np.sin(zenith)
    return np.stack([sine * azimuth.real, sine * azimuth.imag, np.cos(zenith)], axis=-1)
