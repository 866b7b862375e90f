"""Sionna's own coefficients and OFDM response, in double precision. Its arrays are narrowband: the carrier's phases."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT
from channelbench.generators.tr38901.drops import Drops
from channelbench.generators.tr38901.rays import BandRays
from channelbench.generators.tr38901.scenarios import PRECISION
from channelbench.spec import BandSpec
from channelbench.store.schema import antenna_positions, subcarrier_hz

__all__ = ["sionna_channel"]

MAX_COEFFICIENTS = 2_000_000
"""Path gains at once. Sionna expands clusters × slots × antennas × links, and holds several such arrays."""


def sionna_channel(rays: BandRays, drops: Drops, band: BandSpec, rows: slice) -> NDArray[np.complex64]:
    """``[batch, slots, subcarriers, antennas]`` of links ``rows``; the rays are in the order of ``rays_sionna``."""
    per_link = rays.power.shape[1] * band.num_slots * band.array.num_antennas
    step = max(1, MAX_COEFFICIENTS // per_link)
    parts = [
        _some_links(rays, drops, band, slice(start, min(start + step, rows.stop)))
        for start in range(rows.start, rows.stop, step)
    ]
    return np.concatenate(parts).astype(np.complex64)


def _some_links(rays: BandRays, drops: Drops, band: BandSpec, rows: slice) -> NDArray[np.complex128]:
    import torch
    from sionna.phy.channel import cir_to_ofdm_channel
    from sionna.phy.channel.tr38901 import ChannelCoefficientsGenerator, PanelArray

    double: dict[str, Any] = {"precision": PRECISION, "device": "cpu"}
    element = ("single", "V", "omni", band.carrier_hz)
    station = PanelArray(
        band.array.rows,
        band.array.columns,
        *element,
        element_vertical_spacing=band.array.spacing_wavelengths,
        element_horizontal_spacing=band.array.spacing_wavelengths,
        **double,
    )
    coefficients = ChannelCoefficientsGenerator(
        band.carrier_hz, station, PanelArray(1, 1, *element, **double), subclustering=True, **double
    )
    gains, delays = coefficients(
        band.num_slots,
        1 / band.slot_s,
        _tensor(rays.large_scale.k_factor, rows),
        _rays(rays, rows),
        _topology(rays, drops, rows),
        _tensor(rays.cluster_delay_spread_s, rows),
    )
    h = cir_to_ofdm_channel(
        torch.from_numpy(subcarrier_hz(band) - band.carrier_hz),
        gains.permute(0, 2, 4, 1, 5, 3, 6),
        delays.permute(0, 2, 1, 3),
    )
    # Sionna counts a panel's elements down its columns, we count along rows: match them by position.
    theirs = station.ant_pos.numpy() * band.carrier_hz / SPEED_OF_LIGHT
    away = np.linalg.norm(antenna_positions(band)[:, None] - theirs, axis=-1)
    return h.numpy()[:, 0, 0, 0].transpose(0, 2, 3, 1)[..., away.argmin(axis=1)]


def _tensor(values: NDArray[Any], rows: slice) -> Any:
    """``[links, ...]`` to Sionna's ``[links, 1, 1, ...]``, one station and one user each."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(values[rows]))[:, None, None]


def _rays(rays: BandRays, rows: slice) -> Any:
    import torch
    from sionna.phy.channel.tr38901 import Rays

    anchor = rays.anchor
    phases = np.zeros((*rays.phase.shape, 4))  # of the four polarisations the vertical one is used
    phases[..., 0] = rays.phase
    return Rays(
        delays=_tensor(anchor.delay_s, rows),
        powers=_tensor(rays.power, rows),
        aoa=_tensor(anchor.aoa, rows),
        aod=_tensor(anchor.aod, rows),
        zoa=_tensor(anchor.zoa, rows),
        zod=_tensor(anchor.zod, rows),
        xpr=torch.ones_like(_tensor(anchor.aoa, rows)),
        phases=_tensor(phases, rows),
        strongest_cluster_indices=_tensor(rays.strongest, rows),
    )


def _topology(rays: BandRays, drops: Drops, rows: slice) -> Any:
    import torch
    from sionna.phy.channel.tr38901 import Topology

    aod, zod = np.arctan2(drops.offset[:, 1], drops.offset[:, 0]), np.arccos(drops.offset[:, 2] / drops.distance_m)
    still = torch.zeros(rows.stop - rows.start, 1, 3, dtype=torch.float64)
    return Topology(
        velocities=torch.from_numpy(drops.velocity[rows])[:, None],
        moving_end="rx",
        los_aoa=_tensor(aod + np.pi, rows),
        los_aod=_tensor(aod, rows),
        los_zoa=_tensor(np.pi - zod, rows),
        los_zod=_tensor(zod, rows),
        los=_tensor(rays.los, rows),
        distance_3d=_tensor(drops.distance_m, rows),
        tx_orientations=still,
        rx_orientations=still,
    )
