"""Small valid datasets in a second, without Sionna: a generator of a few rays, and specs to go with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from channelbench.card import Card
from channelbench.generation import generate, make_spec
from channelbench.generator import Block, Generator, Paths
from channelbench.sources import SourceSpec
from channelbench.spec import BLOCK_SIZE, SPLITS, BandSpec, ScenarioSpec, SizesSpec
from channelbench.store.dataset import ChannelDataset, open_dataset
from channelbench.store.schema import antenna_positions, subcarrier_hz, variables

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["FewRays", "FewRaysSource", "make_dataset", "small_spec"]

NUM_RAYS = 6
SPEED_OF_LIGHT = 299_792_458.0


class FewRaysSource(SourceSpec):
    """Six rays in closed form.

    Specs have always recorded them as the stochastic source with its fields, on which the rays do not depend. Noise
    hangs on the recorded form, and with it every score on these datasets, so name and fields stay.
    """

    name: ClassVar[str] = "stochastic"
    new: ClassVar[Mapping[str, Any]] = {"engine": "fast"}
    later: ClassVar[frozenset[str]] = frozenset({"engine", "squint"})
    licence: ClassVar[str] = "CC-BY-4.0"

    table_version: Literal["16.1", "19.2"] = "16.1"
    uma_fc_clip: bool = True
    rho_z: float = Field(1.0, ge=0, le=1)
    squint: bool = True
    engine: Literal["sionna", "fast", "cuda"] = "sionna"

    @property
    def label(self) -> str:
        return "six rays in closed form"

    @property
    def digest_algorithm(self) -> str:
        return "blake2b" if self.engine == "sionna" else "blake3"


class FewRays(Generator):
    """Six rays of random angle and delay with exponential powers; the first is a line of sight.

    Real enough that every task can be learned and every check of ``verify`` passes, and in closed form.
    """

    card = Card(
        name="few_rays",
        description="Six rays per link in closed form: a fast stand-in for 3GPP channels in tests.",
        reference="LLM4WM, Eq. 1",
        family="scenario",
    )
    source: ClassVar[type[SourceSpec]] = FewRaysSource
    geometry: ClassVar[Mapping[str, float]] = {"bs_height_m": 25.0, "min_distance_m": 35.0, "max_distance_m": 500.0}

    def sample(self, spec: ScenarioSpec, block: Block, seed: int) -> xr.Dataset:
        import xarray as xr

        draw = _Draw(spec, block, seed)
        columns: dict[str, Any] = {}
        for name, band in spec.bands.items():
            columns |= draw.band_columns(name, band)
        columns |= draw.common_columns(block)
        table = variables(spec)
        rows = slice(block.start, block.stop)
        return xr.Dataset(
            {
                name: (variable.dims, columns[name][rows].astype(variable.dtype))
                for name, variable in table.items()
                if name in columns
            }
        )

    def channels(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, NDArray[Any]]:
        draw, rows = _Draw(spec, block, seed), slice(block.start, block.stop)
        return {name: draw.channel(name, band, rows) for name, band in spec.bands.items()}

    def paths(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, Paths]:
        draw, rows = _Draw(spec, block, seed), slice(block.start, block.stop)
        return {
            name: Paths(
                power=draw.power[rows],
                delay_s=draw.delay_s[rows],
                doppler_hz=draw.doppler_hz(band)[rows],
                direction=draw.direction[rows],
            )
            for name, band in spec.bands.items()
        }


class _Draw:
    """All random quantities of one full block."""

    def __init__(self, spec: ScenarioSpec, block: Block, seed: int) -> None:
        self.spec, self.split = spec, SPLITS.index(block.split)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(self.split, block.index)))
        shape = (BLOCK_SIZE, NUM_RAYS)
        half_sector = np.deg2rad(spec.sector_deg) / 2
        radius = np.sqrt(rng.uniform(spec.min_distance_m**2, spec.max_distance_m**2, BLOCK_SIZE))
        azimuth = rng.uniform(-half_sector, half_sector, BLOCK_SIZE)
        height = np.full(BLOCK_SIZE, spec.ue_height_m)
        self.position = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), height], axis=-1)
        heading = rng.uniform(-np.pi, np.pi, BLOCK_SIZE)
        speed = rng.uniform(spec.speed_min_mps, spec.speed_max_mps, BLOCK_SIZE)
        self.velocity = np.stack([speed * np.cos(heading), speed * np.sin(heading), np.zeros(BLOCK_SIZE)], axis=-1)
        self.distance = np.hypot(radius, spec.bs_height_m - spec.ue_height_m)
        self.delay_s = np.sort(rng.exponential(60e-9, shape), axis=1)
        self.delay_s[:, 0] = 0
        power = np.exp(-self.delay_s / 60e-9) * rng.uniform(0.05, 0.3, shape)
        power[:, 0] = 1.0
        self.power = power / power.sum(axis=1, keepdims=True)
        departure = azimuth[:, None] + rng.normal(0, 0.2, shape)
        departure[:, 0] = azimuth
        self.departure = departure
        self.direction = np.stack([np.cos(departure), np.sin(departure), np.zeros(shape)], axis=-1)
        arrival = rng.uniform(-np.pi, np.pi, shape)
        self.radial_speed = speed[:, None] * np.cos(heading[:, None] - arrival)
        self.shadowing_db = rng.normal(0, 3, BLOCK_SIZE)
        self.phases = rng.uniform(-np.pi, np.pi, (2, *shape))
        self.drop = self.split * 2**40 + block.index * BLOCK_SIZE + np.arange(BLOCK_SIZE)

    def doppler_hz(self, band: BandSpec) -> NDArray[np.float64]:
        return self.radial_speed * band.carrier_hz / SPEED_OF_LIGHT

    def band_columns(self, name: str, band: BandSpec) -> dict[str, NDArray[Any]]:
        loss_db = 28 + 22 * np.log10(self.distance) + 20 * np.log10(band.carrier_hz / 1e9)
        gain_db = -(loss_db + self.shadowing_db)
        azimuth_spread = np.rad2deg(np.sqrt(-2 * np.log(np.abs((self.power * np.exp(1j * self.departure)).sum(1)))))
        mean_delay = (self.power * self.delay_s).sum(1)
        values = {
            "path_gain_db": gain_db,
            "main_path_gain_db": gain_db + 10 * np.log10(self.power[:, 0]),
            "delay_spread_s": np.sqrt((self.power * self.delay_s**2).sum(1) - mean_delay**2),
            "asd_deg": azimuth_spread,
            "asa_deg": azimuth_spread,
            "k_factor_db": 10 * np.log10(self.power[:, 0] / self.power[:, 1:].sum(1)),
            "strongest_aod_deg": np.rad2deg(self.departure[:, 0]),
        }
        return {f"h_{name}": self.channel(name, band)} | {f"{key}_{name}": value for key, value in values.items()}

    def channel(self, name: str, band: BandSpec, rows: slice = slice(None)) -> NDArray[np.complex128]:
        """``[rows, slots, subcarriers, antennas]`` as the sum over rays of LLM4WM Eq. 1."""
        frequency = subcarrier_hz(band)
        slot_s = np.arange(band.num_slots) * band.slot_s
        phase, doppler_hz = self.phases[list(self.spec.bands).index(name)][rows], self.doppler_hz(band)[rows]
        delay_s, power, projected = (
            self.delay_s[rows],
            self.power[rows],
            (self.direction @ antenna_positions(band).T)[rows],
        )
        h = np.zeros((len(power), band.num_slots, band.num_subcarriers, band.array.num_antennas), dtype=complex)
        for ray in range(NUM_RAYS):
            time = np.exp(2j * np.pi * doppler_hz[:, ray, None] * slot_s)
            delay = np.exp(-2j * np.pi * (frequency - band.carrier_hz) * delay_s[:, ray, None])
            steering = np.exp(2j * np.pi * (frequency / band.carrier_hz)[:, None] * projected[:, ray, None, :])
            amplitude = np.sqrt(power[:, ray]) * np.exp(1j * phase[:, ray])
            h += (amplitude[:, None] * time)[:, :, None, None] * (delay[:, :, None] * steering)[:, None]
        return h

    def common_columns(self, block: Block) -> dict[str, NDArray[Any]]:
        return {
            "ue_position": self.position,
            "ue_velocity": self.velocity,
            "distance_m": self.distance,
            "los": np.full(BLOCK_SIZE, True),
            "drop": self.drop,
            "block": np.full(BLOCK_SIZE, block.index),
            "split": np.full(BLOCK_SIZE, self.split),
        }


def small_spec(
    *, train: int = 60, val: int = 20, test: int = 30, system: str = "dualband", **assignments: Any
) -> ScenarioSpec:
    """A spec of ``FewRays``; double underscores stand for dots: ``sub6__num_slots=5``."""
    return make_spec(
        "channelbench.testing.factories:FewRays",
        system=system,
        state="los",
        sizes=SizesSpec(train=train, val=val, test=test),
        assignments={key.replace("__", "."): value for key, value in assignments.items()},
    )


def make_dataset(path: str | Path, spec: ScenarioSpec | None = None, *, seed: int = 0) -> ChannelDataset:
    """Write and open a small dataset."""
    return open_dataset(generate(spec or small_spec(), path, seed=seed))
