"""DeepMIMO v4: a folder of matrices, users by paths, of a ray tracer's scenario."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.imported.contract import BandFacts, BandLinks, Description, Links, Reader, Settings
from channelbench.generators.imported.damage import in_one_line
from channelbench.generators.imported.deepmimo_files import PARAMS, Pair, Scenario, Snapshot, find_scenarios
from channelbench.generators.imported.export_record import split_numbers
from channelbench.generators.imported.rays import (
    CarrierAt,
    RayTable,
    arrives_late,
    height_of,
    line_of_sight,
    link_paths,
)
from channelbench.spec import BandSpec

__all__ = ["CITATION", "DeepMIMOReader", "DeepMIMOSettings", "RaySettings", "seen_from", "tally"]

CITATION = (
    "A. Alkhateeb, DeepMIMO: a generic deep learning dataset for millimeter wave and massive MIMO applications, "
    "ITA 2019, https://deepmimo.net"
)


class RaySettings(Settings):
    """What a reader of rays can be told.

    Attributes:
        bs_azimuth_deg: Azimuth that the base station's array faces in the frame of the file.
        carrier_at: Which subcarrier lies on the frequency of the rays' phases: the ``centre`` of the band, or the
            ``first`` one, as in DeepMIMO's own formula.
        drop_late: Whether paths that arrive later than one OFDM symbol are left out, as DeepMIMO does.
    """

    bs_azimuth_deg: float = 0.0
    carrier_at: CarrierAt = "centre"
    drop_late: bool = False


class DeepMIMOSettings(RaySettings):
    """Which of a scenario's transmitters and receivers, and how users move.

    Attributes:
        tx_set, tx, rx_set: As file names number them; by default the first that there are.
        ue_velocity_mps: Of all users, in the frame of the file, whatever velocities stand there; with velocities paths
            have Doppler shifts.
    """

    tx_set: int | None = None
    tx: int | None = None
    rx_set: int | None = None
    ue_velocity_mps: tuple[float, float, float] | None = None


class DeepMIMOReader(Reader):
    """One transmitter's rays to one set of users, at one carrier or, from two folders, at two."""

    name: ClassVar[str] = "deepmimo"
    title: ClassVar[str] = "DeepMIMO v4"
    reference: ClassVar[str] = "https://deepmimo.net, docs/resources/specs.md of DeepMIMO 4"
    missing: ClassVar[str] = "bandwidth, array; slots but for scenarios of several scenes"
    settings: ClassVar[type[Settings]] = DeepMIMOSettings

    @classmethod
    def claims(cls, path: Path) -> bool:
        """A folder with ``params.json``, there or one or two folders below, that has ``rt_params``."""
        levels = [path / PARAMS, *path.glob(f"*/{PARAMS}"), *path.glob(f"*/*/{PARAMS}")]
        return any(file.is_file() and '"rt_params"' in file.read_text(encoding="utf-8") for file in levels[:8])

    @in_one_line
    def __init__(self, path: Path, settings: DeepMIMOSettings) -> None:
        super().__init__(path, settings)
        self._settings, self._field = settings, str(path)
        if not path.is_dir():
            raise RequestError(self._field, expected=f"a DeepMIMO v4 scenario, a folder with {PARAMS}", got="a file")
        self._scenarios = dict(zip(("sub6", "mmwave"), find_scenarios(path, self._field), strict=False))
        self._pairs = {band: self._pair(scenario) for band, scenario in self._scenarios.items()}
        for band, scenario in self._scenarios.items():
            for snapshot in scenario.snapshots:
                snapshot.need(self._pairs[band])
        self._records = {band: scenario.record(self._field) for band, scenario in self._scenarios.items()}
        self._tables: dict[str, list[RayTable]] = {}

    def files(self) -> list[Path]:
        return [file for band, scenario in self._scenarios.items() for file in scenario.files(self._pairs[band])]

    @in_one_line
    def describe(self) -> Description:
        scenarios, first = self._scenarios, self._read("sub6")[0]
        count = len(first.gain_db)
        moves = self._velocities is not None
        position, quantities = self._positions, {"los"} if first.interactions is not None else set()
        quantities |= {"ue_position"} if position is not None else set()
        quantities |= {"ue_velocity"} if moves else set()
        bands = {name: self._facts(name, moves) for name in scenarios}
        record = self._records["sub6"]
        return Description(
            num_links=count,
            bands=bands,
            quantities=frozenset(quantities),
            scale="paths",
            bs_height_m=None if self._transmitter is None else height_of(self._transmitter),
            versions=scenarios["sub6"].versions,
            licence=None if record is None else record.licence,
            citation=None if record is None else record.citation,
            notes=tuple(self._notes()),
            hints=() if record is not None else (f'citation = "{CITATION}"',),
        )

    @in_one_line
    def links(self, rows: NDArray[np.int64], bands: Mapping[str, BandSpec]) -> Links:
        moving = None if self._velocities is None else self._velocities[rows]
        found: dict[str, BandLinks] = {}
        for name, band in bands.items():
            tables = [table.changed(lambda values: values[rows]) for table in self._read(name)]
            for table in tables:
                table.check(self._field, rows)
            paths = link_paths(
                tables,
                band,
                boresight_deg=self._settings.bs_azimuth_deg,
                carrier_at=self._settings.carrier_at,
                drop_late=self._settings.drop_late,
                velocity=moving,
            )
            found[name] = BandLinks(paths=paths)
        first, position = self._read("sub6")[0].changed(lambda values: values[rows]), self._positions
        return Links(
            bands=found,
            ue_position=None if position is None else position[rows],
            ue_velocity=None if moving is None else _turned(moving, self._settings.bs_azimuth_deg),
            los=None if first.interactions is None else line_of_sight(first) == 1,
        )

    @in_one_line
    def splits(self) -> NDArray[np.int8] | None:
        record, count = self._records["sub6"], len(self._read("sub6")[0].gain_db)
        return None if record is None or record.sizes.total != count else split_numbers(record.sizes)

    def remarks(self, bands: Mapping[str, BandSpec]) -> tuple[str, ...]:
        """What can be said of the links in these bands: paths that DeepMIMO's own generator drops."""
        found = []
        for name, band in bands.items():
            late, paths, users = 0, 0, set[int]()
            for table in self._read(name):
                here = arrives_late(table.delay_s, band) & table.present
                late, paths = late + int(here.sum()), paths + int(table.present.sum())
                users |= set(np.flatnonzero(here.any(axis=1)).tolist())
            done = "left out" if self._settings.drop_late else "kept; DeepMIMO drops them, and so does drop_late = true"
            longest = f"{band.num_subcarriers / band.bandwidth_hz:.3g} s"
            found.append(f"{name}: {late} of {paths} paths, of {len(users)} users, arrive after {longest}: {done}")
        return tuple(found)

    def _facts(self, name: str, moves: bool) -> BandFacts:
        scenario, record = self._scenarios[name], self._records[name]
        count = len(scenario.snapshots)
        said: dict[str, Any] = {"num_slots": None if moves and count == 1 else count}
        if record is not None:
            fields = ("bandwidth_hz", "num_subcarriers", "slot_s", "array")
            said |= {field: getattr(record.band, field) for field in fields}
        return BandFacts(kind="paths", carrier_hz=scenario.carrier_hz, **said)

    def _pair(self, scenario: Scenario) -> Pair:
        asked, there = self._settings, scenario.snapshots[0].pairs
        fields = {"tx_set": asked.tx_set, "tx": asked.tx, "rx_set": asked.rx_set}
        fitting = [p for p in there if all(value in (None, getattr(p, name)) for name, value in fields.items())]
        if not fitting:
            expected = f"one of the pairs in {scenario.folder.name}"
            got = ", ".join(f"{name} {value}" for name, value in fields.items() if value is not None) or "no matrices"
            raise RequestError(self._field, expected=expected, got=got, choices=[pair.label for pair in there[:20]])
        return fitting[0]

    def _read(self, band: str) -> list[RayTable]:
        """The tables of each slot, as many users in each as in the first band's first."""
        if band not in self._tables:
            scenario, pair = self._scenarios[band], self._pairs[band]
            tables = [snapshot.table(pair) for snapshot in scenario.snapshots]
            expected = len((tables if band == "sub6" else self._read("sub6"))[0].gain_db)
            for snapshot, table in zip(scenario.snapshots, tables, strict=True):
                if len(table.gain_db) != expected:
                    got = f"{len(table.gain_db)} in {snapshot.folder.name}"
                    raise RequestError(self._field, expected=f"{expected} users in every folder", got=got)
            if band != "sub6":
                self._same_place(expected)
            self._tables[band] = tables
        return self._tables[band]

    def _same_place(self, count: int) -> None:
        here, there = (
            scenario.snapshots[0].positions(self._pairs[band], "rx_pos", count)
            for band, scenario in self._scenarios.items()
        )
        if here is not None and there is not None and np.abs(here - there).max(initial=0) > 1e-2:
            got = f"user {int(np.abs(here - there).max(axis=1).argmax())} elsewhere"
            raise RequestError(self._field, expected="the same users in both scenarios", got=got)

    @property
    def _first(self) -> tuple[Snapshot, Pair]:
        return self._scenarios["sub6"].snapshots[0], self._pairs["sub6"]

    @cached_property
    def _transmitter(self) -> NDArray[np.float64] | None:
        snapshot, pair = self._first
        position = snapshot.positions(pair, "tx_pos", 1)
        return None if position is None else position[0]

    @cached_property
    def _positions(self) -> NDArray[np.float64] | None:
        snapshot, pair = self._first
        users = snapshot.positions(pair, "rx_pos", len(self._read("sub6")[0].gain_db))
        if users is None or self._transmitter is None:
            return None
        return seen_from(self._transmitter, users, self._settings.bs_azimuth_deg)

    @cached_property
    def _velocities(self) -> NDArray[np.float64] | None:
        """Of all users, in the frame of the file."""
        said, count = self._settings.ue_velocity_mps, len(self._read("sub6")[0].gain_db)
        if said is not None:
            return np.tile(np.asarray(said, np.float64), (count, 1))
        snapshot, pair = self._first
        return snapshot.positions(pair, "rx_vel", count)

    def _notes(self) -> list[str]:
        snapshot, pair = self._first
        others = [other.label for other in snapshot.pairs if other != pair]
        chosen = f"transmitter and receivers {pair.label}" + (f", not {', '.join(others[:8])}" if others else "")
        return [chosen, *tally(self._read("sub6")[0])]


def tally(table: RayTable) -> list[str]:
    """How many users see the base station, how many have other paths, how many none; and the longest delay."""
    present = table.present
    empty, latest = int((~present.any(axis=1)).sum()), np.max(table.delay_s, where=present, initial=0)
    notes = [f"{empty} of {len(present)} users have no path", f"the latest path arrives after {latest:.3g} s"]
    if table.interactions is not None:
        sight = line_of_sight(table)
        notes[0] = f"{(sight == 1).sum()} users in line of sight, {(sight == 0).sum()} without, {empty} have no path"
    return notes


def seen_from(transmitter: NDArray[np.float64], users: NDArray[Any], boresight_deg: float) -> NDArray[np.float64]:
    """Positions with the base station at (0, 0, its height) and +x where its array faces, ``[users, 3]``."""
    return _turned(users - transmitter * [1.0, 1.0, 0.0], boresight_deg)


def _turned(vectors: NDArray[np.float64], boresight_deg: float) -> NDArray[np.float64]:
    angle = np.deg2rad(boresight_deg)
    x, y = vectors[:, 0], vectors[:, 1]
    return np.stack([x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle), vectors[:, 2]], -1)
