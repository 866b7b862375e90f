"""Tables of rays — gain, phase, delay and angles of each path of each user — as the contract's paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT
from channelbench.generators.imported.contract import LinkPaths
from channelbench.spec import BandSpec
from channelbench.store.schema import antenna_positions

__all__ = [
    "CarrierAt",
    "RayTable",
    "arrives_late",
    "line_of_sight",
    "link_paths",
    "to_first_subcarrier",
    "unit_vectors",
]

CarrierAt = Literal["centre", "first"]
"""Which subcarrier lies on the frequency that phases hold for: the middle one of the band, or the first, as in the
formulas of tools that count baseband frequencies from 0."""


@dataclass(frozen=True, kw_only=True)
class RayTable:
    """Rays of some users at one instant, ``[users, paths]`` each; a path without a gain is absent.

    Attributes:
        gain_db: Path gain; NaN or −∞ where there is no path.
        phase_deg: Phase at the carrier.
        delay_s: Delay.
        aod_deg, zod_deg: Azimuth and zenith of departure; 0° azimuth is +x, 90° is +y.
        aoa_deg, zoa_deg: Of arrival, pointing to where the wave comes from; ``None`` where unknown.
        interactions: 0 for a path that met nothing; ``None`` where unknown.
        doppler_hz: ``None`` where unknown.
    """

    gain_db: NDArray[np.float64]
    phase_deg: NDArray[np.float64]
    delay_s: NDArray[np.float64]
    aod_deg: NDArray[np.float64]
    zod_deg: NDArray[np.float64]
    aoa_deg: NDArray[np.float64] | None = None
    zoa_deg: NDArray[np.float64] | None = None
    interactions: NDArray[np.float64] | None = None
    doppler_hz: NDArray[np.float64] | None = None

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether a path is there, ``[users, paths]``."""
        return ~(np.isnan(self.gain_db) | np.isneginf(self.gain_db))

    def changed(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> RayTable:
        """The table with ``change`` done to each of its arrays."""
        arrays: dict[str, Any] = {n: None if values is None else change(values) for n, values in vars(self).items()}
        return RayTable(**arrays)

    def check(self, field: str, users: NDArray[np.int64]) -> None:
        """Refuse paths that have a gain but no phase, delay or angles, or arrive before they are sent.

        Args:
            field: For the complaint.
            users: Their numbers in the file, ``[users]``.

        Raises:
            RequestError: the first of them.
        """
        needed = {"power": self.gain_db, "phase": self.phase_deg, "delay": self.delay_s}
        needed |= {"azimuth of departure": self.aod_deg, "zenith of departure": self.zod_deg}
        for name, values in needed.items():
            broken = np.argwhere(self.present & ~np.isfinite(values))
            if len(broken):
                user, path = broken[0]
                got = f"{name} {values[user, path]} of user {users[user]}, path {path}"
                raise RequestError(field, expected="paths whose values are all finite, or all absent", got=got)
        early = np.argwhere(self.present & (self.delay_s < 0))
        if len(early):
            user, path = early[0]
            got = f"{self.delay_s[user, path]} of user {users[user]}, path {path}"
            raise RequestError(field, expected="delays of 0 s or more", got=got)


def line_of_sight(table: RayTable) -> NDArray[np.int8]:
    """Of each user: 1 with a path that met nothing, 0 with others alone, −1 without any, ``[users]``. It needs
    ``interactions``."""
    direct = table.present & (table.interactions == 0)
    return np.where(direct.any(axis=1), 1, np.where(table.present.any(axis=1), 0, -1)).astype(np.int8)


def unit_vectors(azimuth: NDArray[np.float64], zenith: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors of angles in radians, ``[...]`` to ``[..., 3]``."""
    sine = np.sin(zenith)
    return np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), np.cos(zenith)], axis=-1)


def height_of(transmitter: NDArray[np.float64]) -> float | None:
    """The base station's height, where it is one that a dataset can have."""
    height = float(transmitter[2])
    return height if 1.5 < height <= 150 else None


def arrives_late(delay_s: NDArray[np.float64], band: BandSpec) -> NDArray[np.bool_]:
    """Whether a delay is as long as an OFDM symbol without its prefix, ``subcarriers/bandwidth``, or longer."""
    return delay_s * band.bandwidth_hz >= band.num_subcarriers


def to_first_subcarrier(
    amplitude: NDArray[np.complex128], delay_s: NDArray[np.float64], band: BandSpec
) -> NDArray[np.complex128]:
    """Amplitudes of paths whose phases hold at the first subcarrier: with them the sum over a centred band is that over
    one that counts from 0."""
    before_hz = (band.num_subcarriers // 2) * band.bandwidth_hz / band.num_subcarriers
    return amplitude * np.exp(-2j * np.pi * before_hz * delay_s)


def link_paths(
    tables: Sequence[RayTable],
    band: BandSpec,
    *,
    boresight_deg: float = 0.0,
    carrier_at: CarrierAt = "centre",
    drop_late: bool = False,
    velocity: NDArray[np.float64] | None = None,
) -> LinkPaths:
    """Rays at each slot as paths of the contract, with the path in line of sight first.

    Phases are taken to hold at element 0 of the array, which stands at the transmitter's position.

    Args:
        tables: One for each slot, or one for all of them.
        band: Its grid and array.
        boresight_deg: Azimuth that the array faces in the frame of the angles.
        carrier_at: Which subcarrier phases hold for.
        drop_late: Whether paths that arrive later than one symbol are left out.
        velocity: Of the users in the frame of the angles, m/s, ``[users, 3]``; with one table it gives the Doppler
            shifts, which also needs the angles of arrival.
    """
    tables = _as_long([_specular_first(table) for table in tables])
    gain = np.stack([np.where(t.present, t.gain_db, -np.inf) for t in tables], axis=1)
    here = np.isfinite(gain)

    def values(name: str) -> NDArray[np.float64]:
        return np.where(here, np.stack([getattr(table, name) for table in tables], axis=1), 0.0).astype(np.float64)

    delay, azimuth = values("delay_s"), np.deg2rad(values("aod_deg") - boresight_deg)
    if drop_late:
        gain = np.where(arrives_late(delay, band), -np.inf, gain)
    direction = unit_vectors(azimuth, np.deg2rad(values("zod_deg")))
    first_element = direction @ antenna_positions(band)[0]
    amplitude = 10 ** (gain / 20) * np.exp(1j * np.deg2rad(values("phase_deg")) - 2j * np.pi * first_element)
    if carrier_at == "first":
        amplitude = to_first_subcarrier(amplitude, delay, band)
    arrival = tables[0].aoa_deg
    return LinkPaths(
        amplitude=amplitude[..., None],
        delay_s=delay[..., None],
        direction=direction,
        doppler_hz=_doppler_hz(tables, band, velocity),
        aoa_azimuth=None if arrival is None else np.deg2rad(_finite(arrival) - boresight_deg),
        specular=tables[0].interactions is not None,
    )


def _doppler_hz(
    tables: Sequence[RayTable], band: BandSpec, velocity: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    """What the file says, or what the speed towards the arriving wave is; with a table per slot, phases have it."""
    table = tables[0]
    if len(tables) > 1:
        return None
    if table.doppler_hz is not None:
        return _finite(table.doppler_hz)
    if velocity is None or table.aoa_deg is None or table.zoa_deg is None:
        return None
    arrival = unit_vectors(np.deg2rad(_finite(table.aoa_deg)), np.deg2rad(_finite(table.zoa_deg)))
    return np.einsum("upx,ux->up", arrival, velocity) * band.carrier_hz / SPEED_OF_LIGHT


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _specular_first(table: RayTable) -> RayTable:
    """The same rays with the one that met nothing at the front, the others in their order."""
    if table.interactions is None or not table.gain_db.size:
        return table
    order = np.argsort(~(table.present & (table.interactions == 0)), axis=1, kind="stable")
    return table.changed(lambda values: np.take_along_axis(values, order, axis=1))


def _as_long(tables: list[RayTable]) -> list[RayTable]:
    """Tables of as many paths each, those that are missing absent."""
    longest = max(1, *(table.gain_db.shape[1] for table in tables))

    def fill(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.pad(values, ((0, 0), (0, longest - values.shape[1])), constant_values=np.nan)

    return [table.changed(fill) for table in tables]
