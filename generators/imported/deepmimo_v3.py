"""DeepMIMO v3: ``params.mat``, and of each base station MATLAB files with a cell per user."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT
from channelbench.generators.imported.contract import BandFacts, BandLinks, Description, Links, Reader, Settings
from channelbench.generators.imported.damage import in_one_line
from channelbench.generators.imported.deepmimo import CITATION, RaySettings, seen_from, tally
from channelbench.generators.imported.mat_proof import prove
from channelbench.generators.imported.rays import RayTable, arrives_late, height_of, line_of_sight, link_paths
from channelbench.spec import BandSpec

__all__ = ["DeepMIMOv3Reader", "DeepMIMOv3Settings"]

USERS = re.compile(r"BS(\d+)_UE_(\d+)-(\d+)\.mat")

ROWS = ("phase", "ToA", "power", "DoA_phi", "DoA_theta", "DoD_phi", "DoD_theta", "LoS", "Doppler_vel")
"""Of the matrix of a user's paths, where paths are no struct of named rows."""

NEEDED = ("phase", "ToA", "power", "DoD_phi", "DoD_theta")


class DeepMIMOv3Settings(RaySettings):
    """Which base station, as file names number them; by default the first that has users."""

    bs: int | None = None


class DeepMIMOv3Reader(Reader):
    """One base station's rays to all users. Of two polarisations the vertical one is read.

    Power is gain in decibels here; the transmit power beside it, which DeepMIMO adds, is left out.
    """

    name: ClassVar[str] = "deepmimo-v3"
    title: ClassVar[str] = "DeepMIMO v3"
    reference: ClassVar[str] = "https://deepmimo.net, src/DeepMIMOv3/raytracing_v3.py of DeepMIMO-python"
    missing: ClassVar[str] = "bandwidth, array, slots; velocities"
    settings: ClassVar[type[Settings]] = DeepMIMOv3Settings

    @classmethod
    def claims(cls, path: Path) -> bool:
        """A folder with ``params.mat`` and files of users."""
        return (path / "params.mat").is_file() and any(USERS.fullmatch(file.name) for file in path.iterdir())

    @in_one_line
    def __init__(self, path: Path, settings: DeepMIMOv3Settings) -> None:
        super().__init__(path, settings)
        self._settings, self._field = settings, str(path)
        expected = "a DeepMIMO v3 scenario, a folder with params.mat and BS1_UE_0-….mat"
        if not path.is_dir() or not (path / "params.mat").is_file():
            raise RequestError(self._field, expected=expected, got="no params.mat")
        found: dict[int, list[tuple[int, int, Path]]] = {}
        for file in path.iterdir():
            if match := USERS.fullmatch(file.name):
                station, start, stop = map(int, match.groups())
                found.setdefault(station, []).append((start, stop, file))
        if not found:
            raise RequestError(self._field, expected=expected, got="no BS…_UE_….mat")
        self._station = min(found) if settings.bs is None else settings.bs
        if self._station not in found:
            choices = [str(station) for station in sorted(found)]
            raise RequestError(self._field, expected="a base station that has users", got=settings.bs, choices=choices)
        self._stations, self._pieces = sorted(found), sorted(found[self._station])
        for (_, stop, file), (start, _, _) in zip(self._pieces, self._pieces[1:], strict=False):
            if start != stop:
                raise RequestError(self._field, expected=f"users from {stop} on after {file.name}", got=f"from {start}")
        self._params = self._load(path / "params.mat")
        self._carrier_hz = self._number("carrier_freq")

    def files(self) -> list[Path]:
        return [self.path / "params.mat", *(file for _, _, file in self._pieces)]

    @in_one_line
    def describe(self) -> Description:
        table, others = self._rays, [str(station) for station in self._stations if station != self._station]
        chosen = f"base station {self._station}" + (f", not {', '.join(others)}" if others else "")
        moving = (
            [] if table.doppler_hz is None else ["Doppler shifts from radial velocities; accelerations are left out"]
        )
        facts = BandFacts(kind="paths", carrier_hz=self._carrier_hz, num_slots=1 if table.doppler_hz is None else None)
        return Description(
            num_links=len(table.gain_db),
            bands={"sub6": facts},
            quantities=frozenset({"ue_position"} | ({"los"} if table.interactions is not None else set())),
            scale="paths",
            bs_height_m=height_of(self._transmitter),
            versions={"deepmimo": "3"},
            notes=(chosen, *tally(table), *moving),
            hints=(f'citation = "{CITATION}"',),
        )

    @in_one_line
    def links(self, rows: NDArray[np.int64], bands: Mapping[str, BandSpec]) -> Links:
        table, settings = self._rays.changed(lambda values: values[rows]), self._settings
        table.check(self._field, rows)
        paths = link_paths(
            [table],
            bands["sub6"],
            boresight_deg=settings.bs_azimuth_deg,
            carrier_at=settings.carrier_at,
            drop_late=settings.drop_late,
        )
        return Links(
            bands={"sub6": BandLinks(paths=paths)},
            ue_position=seen_from(self._transmitter, self._users[rows], settings.bs_azimuth_deg),
            los=None if table.interactions is None else line_of_sight(table) == 1,
        )

    def remarks(self, bands: Mapping[str, BandSpec]) -> tuple[str, ...]:
        """What can be said of the links in this band: paths that DeepMIMO's own generator drops."""
        here = arrives_late(self._rays.delay_s, bands["sub6"]) & self._rays.present
        done = "left out" if self._settings.drop_late else "kept; DeepMIMO drops them, and so does drop_late = true"
        return (f"sub6: {here.sum()} of {self._rays.present.sum()} paths arrive after one symbol: {done}",)

    def _number(self, name: str) -> float:
        try:
            value = float(np.asarray(self._params[name]).item())
        except (KeyError, TypeError, ValueError):
            raise RequestError(self._field, expected=f"a number {name} in params.mat", got="none") from None
        if not 0 < value < np.inf:
            raise RequestError(self._field, expected=f"{name} in params.mat above 0", got=value)
        return value

    def _load(self, file: Path) -> dict[str, Any]:
        from scipy.io import loadmat

        try:
            with prove(file).open("rb") as opened:
                return dict(loadmat(opened))
        except Exception as error:  # whatever SciPy raises on bytes that are no MATLAB file
            got = f"{type(error).__name__}: {error}"
            raise RequestError(self._field, expected=f"a MATLAB file {file.name}", got=got) from None

    @cached_property
    def _loaded(self) -> tuple[list[dict[str, NDArray[np.float64]]], NDArray[np.float64], NDArray[np.float64] | None]:
        """The named rows of each user's paths; users' positions; the base station's where files have it."""
        users: list[dict[str, NDArray[np.float64]]] = []
        positions, transmitter = [], None
        for start, stop, file in self._pieces:
            data = self._load(file)
            key = "channels_VV" if "channels_VV" in data else "channels"
            cells, where = np.ravel(data.get(key, ())), np.asarray(data.get("rx_locs", np.empty((0, 3))))
            counts = f"{len(cells)} in {key}, {len(where)} in rx_locs"
            if len(cells) != stop - start or len(where) != stop - start or where.ndim != 2 or where.shape[1] < 3:
                raise RequestError(self._field, expected=f"{stop - start} users in {file.name}", got=counts)
            users += [self._named(cell, f"user {start + i} in {file.name}") for i, cell in enumerate(cells)]
            positions.append(where[:, :3].astype(np.float64))
            transmitter = np.ravel(data["tx_loc"])[:3].astype(np.float64) if "tx_loc" in data else transmitter
        return users, np.concatenate(positions), transmitter

    def _named(self, cell: Any, where: str) -> dict[str, NDArray[np.float64]]:
        """A user's paths by name, ``[paths]`` each: from a struct of rows, or of one matrix with all of them."""
        record: Any = np.asarray(cell)
        try:
            while record.dtype.names is None and record.dtype == object and record.size == 1:
                record = np.asarray(record.item())
            if record.dtype.names is not None:
                fields = {name: np.asarray(record.reshape(-1)[0][name], np.float64) for name in record.dtype.names}
            else:
                fields = {"p": np.asarray(record, np.float64)}
            if not {*NEEDED} <= fields.keys():
                matrix = np.atleast_2d(next(iter(fields.values())))
                if matrix.size == 0:
                    return {name: np.empty(0) for name in NEEDED}
                if matrix.shape[0] < len(ROWS) - 1:
                    raise ValueError(f"{matrix.shape[0]} rows")
                return dict(zip(ROWS, matrix, strict=False))
            return {name: np.ravel(values) for name, values in fields.items() if name != "num_paths"}
        except (TypeError, ValueError, IndexError, StopIteration) as error:
            expected = f"a struct of {', '.join(NEEDED)}, or a matrix of {len(ROWS) - 1} rows"
            raise RequestError(self._field, expected=expected, got=f"{where}: {error}") from None

    @cached_property
    def _rays(self) -> RayTable:
        users = self._loaded[0]
        longest = max(1, max((len(user["power"]) for user in users), default=1))
        names = {name for user in users for name in user}

        def table(name: str) -> NDArray[np.float64]:
            values = np.full((len(users), longest), np.nan)
            for row, user in zip(values, users, strict=True):
                found = user.get(name, np.empty(0))
                if len(found) not in (0, len(user["power"])):
                    expected = f"as many values of {name} as of power, {len(user['power'])}"
                    raise RequestError(self._field, expected=expected, got=len(found))
                row[: len(found)] = found
            return values

        moving = "Doppler_vel" in names and bool(np.any(self._params.get("doppler_available", 0)))
        return RayTable(
            gain_db=table("power"),
            phase_deg=table("phase"),
            delay_s=table("ToA"),
            aod_deg=table("DoD_phi"),
            zod_deg=table("DoD_theta"),
            aoa_deg=table("DoA_phi") if "DoA_phi" in names else None,
            zoa_deg=table("DoA_theta") if "DoA_theta" in names else None,
            interactions=1 - table("LoS") if "LoS" in names else None,
            doppler_hz=-table("Doppler_vel") * self._carrier_hz / SPEED_OF_LIGHT if moving else None,
        )

    @property
    def _users(self) -> NDArray[np.float64]:
        return self._loaded[1]

    @cached_property
    def _transmitter(self) -> NDArray[np.float64]:
        position = self._loaded[2]
        file = self.path / f"BS{self._station}_BS.mat"
        if position is None and file.is_file():
            stations = np.atleast_2d(self._load(file).get("rx_locs", np.empty((0, 3))))
            if len(stations) >= self._station:
                position = stations[self._station - 1, :3].astype(np.float64)
        if position is None or position.shape != (3,):
            raise RequestError(self._field, expected=f"tx_loc in {self._pieces[0][2].name}", got="none")
        return position
