"""Coefficients of each path at each antenna — what link-level tools keep — as the contract's paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from channelbench.errors import RequestError
from channelbench.generators.imported.contract import LinkPaths
from channelbench.generators.imported.rays import CarrierAt, to_first_subcarrier
from channelbench.spec import BandSpec

__all__ = ["Antennas", "Taps", "chosen_antennas", "stack"]

Antennas = Annotated[str, Field(pattern=r"^[0-9]*:[0-9]*(:[1-9][0-9]*)?$")]
"""Which of a base station's antennas are the array, as Python's slices have it: ``0::2`` is one of two polarisations
that take turns, ``:16`` the first sixteen, ``:`` all."""


def chosen_antennas(said: str, count: int) -> slice:
    """The antennas of ``count`` that are the array.

    Raises:
        RequestError: none of them is.
    """
    chosen = slice(*(int(part) if part else None for part in said.split(":")))
    if not range(*chosen.indices(count)):
        raise RequestError("antennas", expected=f"some of the base station's {count} antennas", got=said)
    return chosen


@dataclass(frozen=True, kw_only=True)
class Taps:
    """The paths of one link at the antennas of its base station.

    Attributes:
        coeff: Complex, ``[antennas, paths, slots]``.
        delay_s: ``[antennas or 1, paths, slots]``.
        aod, aoa: Azimuths of departure and arrival at the first slot, radian, ``[paths]``; ``None`` where unknown.
    """

    coeff: NDArray[np.complex128]
    delay_s: NDArray[np.float64]
    aod: NDArray[np.float64] | None = None
    aoa: NDArray[np.float64] | None = None

    def of(self, antennas: slice) -> Taps:
        """Those at some of the antennas."""
        delay = self.delay_s if self.delay_s.shape[0] == 1 else self.delay_s[antennas]
        return replace(self, coeff=self.coeff[antennas], delay_s=delay)

    def check(self, field: str, where: str) -> None:
        """Refuse delays that do not belong to the coefficients.

        Raises:
            RequestError: what does not fit.
        """
        antennas, paths, slots = self.coeff.shape
        if self.delay_s.shape not in ((1, paths, slots), (antennas, paths, slots)):
            expected = f"a delay for each of {paths} paths and {slots} snapshots, or of each antenna too"
            raise RequestError(field, expected=expected, got=f"shape {self.delay_s.shape} in {where}")
        for name, angle in (("departure", self.aod), ("arrival", self.aoa)):
            if angle is not None and angle.shape != (paths,):
                got = f"{angle.size} angles of {name} in {where}"
                raise RequestError(field, expected=f"an angle for each of {paths} paths", got=got)


def stack(links: Sequence[Taps], band: BandSpec, *, carrier_at: CarrierAt = "centre") -> LinkPaths:
    """Links of as many antennas and slots each as paths of the contract, those that one link lacks absent.

    Args:
        links: At least one.
        band: Its grid.
        carrier_at: Which subcarrier the coefficients' phases hold for.
    """
    antennas, _, slots = links[0].coeff.shape
    longest = max(1, *(link.coeff.shape[1] for link in links))
    wide = max(link.delay_s.shape[0] for link in links)
    amplitude = np.zeros((len(links), slots, longest, antennas), np.complex128)
    delay = np.zeros((len(links), slots, longest, wide))
    for i, link in enumerate(links):
        amplitude[i, :, : link.coeff.shape[1]] = link.coeff.transpose(2, 1, 0)
        delay[i, :, : link.coeff.shape[1]] = link.delay_s.transpose(2, 1, 0)
    if carrier_at == "first":
        amplitude = to_first_subcarrier(amplitude, delay, band)
    return LinkPaths(
        amplitude=amplitude,
        delay_s=delay,
        aod_azimuth=_angles([link.aod for link in links], longest),
        aoa_azimuth=_angles([link.aoa for link in links], longest),
    )


def _angles(found: list[NDArray[np.float64] | None], longest: int) -> NDArray[np.float64] | None:
    known = [angle for angle in found if angle is not None]
    if len(known) < len(found):
        return None
    return np.stack([np.pad(angle, (0, longest - len(angle))) for angle in known])
