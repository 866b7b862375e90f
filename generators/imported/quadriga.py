"""What QuaDRiGa's two formats have in common: an array of channel objects, receivers by transmitters by carriers."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.imported.contract import BandFacts, BandLinks, Description, Links, Reader, Settings
from channelbench.generators.imported.damage import in_one_line
from channelbench.generators.imported.rays import CarrierAt, height_of
from channelbench.generators.imported.taps import Antennas, Taps, chosen_antennas, stack
from channelbench.spec import BandSpec

__all__ = ["Channel", "Facts", "QuadrigaReader", "QuadrigaSettings"]

SIGHT = re.compile(r"(?:^|_)(N?LOS)(?:_|$)")
"""Names of channels begin with the scenario, as in ``3GPP_38.901_UMa_NLOS_Tx1_Rx1``, until segments are merged."""


class QuadrigaSettings(Settings):
    """Which side of the links is the base station.

    Attributes:
        base_station: The side whose antennas are the array.
        bs: Number of the base station, from 0, where there are several; the other side's terminals are the users.
        user_antenna: Which of the users' antennas is read, from 0.
        antennas: Which of the base station's are the array: ``0::2`` of two polarisations that take turns is one.
        carrier_at: Which subcarrier lies on the carrier: the ``centre`` of the band, or the ``first`` one, where
            QuaDRiGa's own ``fr`` begins.
    """

    base_station: Literal["tx", "rx"] = "tx"
    bs: int | None = None
    user_antenna: int = 0
    antennas: Antennas = ":"
    carrier_at: CarrierAt = "centre"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A channel object without its arrays; ``None`` where it is not said.

    Attributes:
        rx, tx: Antennas.
        snapshots: Their number.
        carrier_hz: Centre frequency.
        name: Of the object.
        has_positions: Whether both sides' are there.
    """

    rx: int
    tx: int
    snapshots: int
    carrier_hz: float | None
    name: str
    has_positions: bool


@dataclass(frozen=True, kw_only=True)
class Channel:
    """The arrays of a channel object.

    Attributes:
        coeff: Of each snapshot, complex ``[rx, tx, paths]``.
        delay_s: Of each snapshot, ``[rx or 1, tx or 1, paths]``.
        rx_position, tx_position: m, at the first snapshot, ``[3]``; ``None`` where unknown.
        aod, aoa: Azimuths at the first snapshot, radian, ``[paths]``; ``None`` where unknown.
    """

    coeff: list[NDArray[np.complex128]]
    delay_s: list[NDArray[np.float64]]
    rx_position: NDArray[np.float64] | None = None
    tx_position: NDArray[np.float64] | None = None
    aod: NDArray[np.float64] | None = None
    aoa: NDArray[np.float64] | None = None


class QuadrigaReader(Reader):
    """An array of channel objects: the terminals of one side are users, snapshots are slots, and two carriers in the
    third dimension are two bands. A subclass reads the objects."""

    settings: ClassVar[type[Settings]] = QuadrigaSettings
    missing: ClassVar[str] = "bandwidth, the array's shape, time between snapshots; velocities, path gains apart"

    def __init__(self, path: Path, settings: QuadrigaSettings) -> None:
        super().__init__(path, settings)
        self._settings, self._field = settings, str(path)

    @property
    @abstractmethod
    def _dims(self) -> tuple[int, int, int, int]:
        """Lengths of the array of objects: receivers, transmitters, and what else there is."""

    @abstractmethod
    def _facts(self, number: int) -> Facts:
        """Of the object at this place in the array, the first dimension running fastest."""

    @abstractmethod
    def _channel(self, number: int) -> Channel:
        """The arrays of that object."""

    @in_one_line
    def describe(self) -> Description:
        places, first = self._places, self._known["sub6"][0]
        positions = all(facts.has_positions for facts in self._known["sub6"])
        quantities = {"ue_position"} if positions else set()
        quantities |= {"los"} if self._sight is not None else set()
        bands = {
            name: BandFacts(
                kind="paths",
                carrier_hz=facts[0].carrier_hz,
                num_slots=facts[0].snapshots,
                num_antennas=self._num_antennas(facts[0]),
            )
            for name, facts in self._known.items()
        }
        users = self._ends(first)[1]
        notes = [f"{'×'.join(map(str, self._dims))} channel objects, {len(places['sub6'])} of them read"]
        notes += [f"antenna {self._settings.user_antenna} of the users' {users}"] if users > 1 else []
        if self._num_antennas(first) > 1:
            notes += ["antennas are taken for places of one polarisation; antennas = 0::2 takes every other one"]
        return Description(
            num_links=len(places["sub6"]),
            bands=bands,
            quantities=frozenset(quantities),
            scale="paths",
            bs_height_m=height_of(self._origin) if positions else None,
            notes=tuple(notes),
        )

    @in_one_line
    def links(self, rows: NDArray[np.int64], bands: Mapping[str, BandSpec]) -> Links:
        found, position = dict[str, BandLinks](), list[NDArray[np.float64]]()
        for name, band in bands.items():
            taps = []
            for row in rows:
                number = self._places[name][row]
                channel = self._channel(number)
                taps.append(self._taps(channel, self._known[name][row], f"channel {number + 1}"))
                user = channel.rx_position if self._settings.base_station == "tx" else channel.tx_position
                if name == "sub6" and user is not None:
                    position.append(user)
            found[name] = BandLinks(paths=stack(taps, band, carrier_at=self._settings.carrier_at))
        known = all(facts.has_positions for facts in self._known["sub6"])
        return Links(
            bands=found,
            ue_position=np.stack(position) - self._origin * [1.0, 1.0, 0.0] if known else None,
            los=None if self._sight is None else self._sight[rows],
        )

    @cached_property
    def _places(self) -> dict[str, NDArray[np.int64]]:
        """Of each band the objects that are its links."""
        array = np.arange(np.prod(self._dims)).reshape(self._dims, order="F")
        carriers = [self._facts(int(number)).carrier_hz or 0.0 for number in array[0, 0, :, 0]]
        two = len(carriers) == 2 and carriers[0] != carriers[1] and min(carriers) > 0
        names = ("sub6", "mmwave") if two else ("sub6",)
        order = sorted(range(len(names)), key=carriers.__getitem__)
        return {name: self._of_one_station(array[:, :, i, 0]) for name, i in zip(names, order, strict=True)}

    def _of_one_station(self, array: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of receivers by transmitters those of one base station; all of a single row, where none was asked for."""
        asked = self._settings
        by_user = array if asked.base_station == "tx" else array.T
        if asked.bs is None and by_user.shape[0] == 1:
            return by_user[0]
        if not 0 <= (asked.bs or 0) < by_user.shape[1]:
            choices = map(str, range(min(by_user.shape[1], 20)))
            raise RequestError(self._field, expected="the number of a base station", got=asked.bs, choices=choices)
        return by_user[:, asked.bs or 0]

    @cached_property
    def _known(self) -> dict[str, list[Facts]]:
        """Of each band the facts of its links, which have as many antennas and snapshots each."""
        known = {name: [self._facts(int(number)) for number in places] for name, places in self._places.items()}
        for name, facts in known.items():
            for i, other in enumerate(facts):
                if (other.rx, other.tx, other.snapshots) != (facts[0].rx, facts[0].tx, facts[0].snapshots):
                    expected = (
                        f"{facts[0].rx}×{facts[0].tx} antennas and {facts[0].snapshots} snapshots in all channels"
                    )
                    got = f"{other.rx}×{other.tx} and {other.snapshots} in channel {self._places[name][i] + 1}"
                    raise RequestError(self._field, expected=expected, got=got)
                if other.carrier_hz != facts[0].carrier_hz:
                    got = f"{other.carrier_hz} Hz in channel {self._places[name][i] + 1}"
                    raise RequestError(self._field, expected=f"one carrier, {facts[0].carrier_hz} Hz", got=got)
        users = self._ends(known["sub6"][0])[1]
        if not 0 <= self._settings.user_antenna < users:
            raise RequestError(
                "user_antenna", expected=f"one of the users' {users} antennas, from 0", got=self._settings.user_antenna
            )
        return known

    def _num_antennas(self, facts: Facts) -> int:
        """Of the array."""
        count = self._ends(facts)[0]
        return len(range(*chosen_antennas(self._settings.antennas, count).indices(count)))

    def _ends(self, facts: Facts) -> tuple[int, int]:
        """Antennas of the base station and of a user."""
        return (facts.tx, facts.rx) if self._settings.base_station == "tx" else (facts.rx, facts.tx)

    @cached_property
    def _sight(self) -> NDArray[np.bool_] | None:
        """Line of sight by the names of the links, where all of them say it."""
        said = [SIGHT.search(facts.name) for facts in self._known["sub6"]]
        return None if None in said else np.array([match is not None and match[1] == "LOS" for match in said])

    @cached_property
    def _origin(self) -> NDArray[np.float64]:
        """Where the base station of the first link is."""
        channel = self._channel(int(self._places["sub6"][0]))
        found = channel.tx_position if self._settings.base_station == "tx" else channel.rx_position
        return np.zeros(3) if found is None else found

    def _taps(self, channel: Channel, facts: Facts, where: str) -> Taps:
        """The paths from the base station's antennas to the user's, those that one snapshot lacks absent."""
        axis, longest = (0 if self._settings.base_station == "tx" else 1), max(c.shape[2] for c in channel.coeff)
        if len(channel.delay_s) != len(channel.coeff):
            got = f"{len(channel.delay_s)} in {where}"
            raise RequestError(self._field, expected=f"delays of {len(channel.coeff)} snapshots", got=got)

        def chosen(values: list[NDArray[Any]]) -> NDArray[Any]:
            ours = [v.take(min(self._settings.user_antenna, v.shape[axis] - 1), axis=axis) for v in values]
            return np.stack([np.pad(v, ((0, 0), (0, longest - v.shape[1]))) for v in ours], axis=-1)

        for coeff, delay in zip(channel.coeff, channel.delay_s, strict=True):
            if delay.ndim != 3 or coeff.shape != (facts.rx, facts.tx, delay.shape[2]):
                expected = f"coefficients of {facts.rx}×{facts.tx} antennas and delays of as many paths"
                raise RequestError(self._field, expected=expected, got=f"{coeff.shape}, {delay.shape} in {where}")
        aod, aoa = (channel.aod, channel.aoa) if axis == 0 else (channel.aoa, channel.aod)
        angles = [None if a is None else np.pad(a, (0, max(0, longest - len(a)))) for a in (aod, aoa)]
        taps = Taps(coeff=chosen(channel.coeff), delay_s=chosen(channel.delay_s), aod=angles[0], aoa=angles[1])
        taps.check(self._field, where)
        return taps.of(chosen_antennas(self._settings.antennas, len(taps.coeff)))
