"""What can be set about ray-traced channels, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from channelbench.bands import BandSpec
from channelbench.errors import RequestError
from channelbench.generators.raytraced.files import is_recorded, record_file
from channelbench.generators.raytraced.rural import Rural
from channelbench.generators.raytraced.sites import CITIES, SITES
from channelbench.generators.raytraced.tracing import Settings
from channelbench.sources import CITATION, SourceSpec
from channelbench.variables import Variable

__all__ = ["LandSource", "RaytracedSource", "StreetSource"]

USUAL_AREA_M = 100.0
"""Side of the squares of whose users groups are, where users are interleaved and no ``area_m`` is given."""

Metres = Annotated[float, Field(ge=-1e6, le=1e6)]


class RaytracedSource(SourceSpec):
    """Channels traced through a scene by Sionna RT.

    Attributes:
        scene: Name of one that comes along, or the path of a Mitsuba XML file, which is recorded by its name and a
            digest of it and of the meshes that it names.
        bs_position_m: Base station, x and y in the scene, m; ``bs_height_m`` is its height above the ground there. The
            scene's own site if left out.
        bs_azimuth_deg: Where the array and the sector face, counterclockwise from the scene's +x; the dataset's +x is
            this direction.
        max_depth: Interactions of a path at most.
        samples_per_source: Rays that are shot.
        max_paths: What a solve has room for; more is refused.
        diffraction, scattering, refraction: Whether paths may bend around one edge, surfaces reflect diffusely, and
            waves go through walls.
        scattering_coefficient: Share of the reflected amplitude that is scattered, of materials that state none, which
            are all of the scenes that Sionna brings.
        solver_seed: Of the solver, the same in all solves.
        users_per_solve: Users that are traced together.
        split: ``area``, or ``interleaved``: test users among the training users.
        guard_m: Between the areas of two splits, at least, m.
        area_m: Side of the square areas that splits are made of, m; the largest of 100, 50, 20 and 10 that leaves each
            split one if left out.
        unit_m: Side of the squares that intervals resample, m.
        delays: Whether delays count from the link's first path, as a synchronised receiver sees them, or from the base
            station.
        squint: Whether the array's phases follow the subcarrier's frequency.
        retrace: Whether each slot is traced anew, at the user's place then; else the paths of slot 0 turn with their
            Doppler shifts.
    """

    name: ClassVar[str] = "raytraced"
    citation: ClassVar[str] = f"{CITATION}; J. Hoydis et al., Sionna RT, arXiv:2303.11103"
    packages: ClassVar[tuple[str, ...]] = ("sionna-rt", "mitsuba", "drjit")

    scene: str = Field("munich", min_length=1, max_length=4000)
    bs_position_m: tuple[Metres, Metres] | None = None
    bs_azimuth_deg: float | None = Field(None, ge=-360, le=360)
    max_depth: int = Field(3, ge=0, le=20)
    samples_per_source: int = Field(100_000, ge=1, le=10**8)
    max_paths: int = Field(10**6, ge=1, le=10**8)
    diffraction: bool = False
    scattering: bool = False
    refraction: bool = False
    scattering_coefficient: float = Field(0.3, ge=0, le=1)
    solver_seed: int = Field(42, ge=0, lt=2**31)
    users_per_solve: int = Field(25, ge=1, le=200)
    split: Literal["area", "interleaved"] = "area"
    guard_m: float = Field(50.0, ge=50, le=10_000)
    area_m: float | None = Field(None, ge=1, le=100_000)
    unit_m: float = Field(50.0, ge=1, le=100_000)
    delays: Literal["first", "absolute"] = "first"
    squint: bool = True
    retrace: bool = False

    @field_validator("scene", mode="after")
    @classmethod
    def _file_by_name(cls, value: str) -> str:
        return value if value in SITES or is_recorded(value) else record_file(value)

    @property
    def label(self) -> str:
        ways = [way for way in ("diffraction", "scattering", "refraction") if getattr(self, way)]
        users = "users of all splits interleaved" if self.split == "interleaved" else f"{self.guard_m:g} m apart"
        scene = self.scene.partition("@")[0].replace("_", " ")
        return ", ".join([f"ray-traced {scene}", f"depth {self.max_depth}", *ways, users])

    @property
    def licence(self) -> str:  # type: ignore[override]
        """Of the channels, and of the geometry where that is somebody else's."""
        if self.scene in CITIES:
            return "CC-BY-4.0; the scenes' geometry is of OpenStreetMap contributors, ODbL-1.0"
        return "CC-BY-4.0; the scene's geometry is its author's" if is_recorded(self.scene) else "CC-BY-4.0"

    @property
    def remark(self) -> str:
        """That test users stand among the training users, where they do."""
        return "test users among the training users" if self.split == "interleaved" else ""

    @classmethod
    def machine(cls) -> Mapping[str, str]:
        """The LLVM that compiles the kernels, and the processor that it compiles for."""
        from channelbench.generators.raytraced.llvm import usable

        found = usable()
        return {"LLVM": found.version, "processor": found.processor}

    def separation_m(self, bands: Mapping[str, BandSpec]) -> float:
        """The guard between areas; half the longest wavelength where users are interleaved."""
        from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT

        if self.split == "area":
            return self.guard_m
        return SPEED_OF_LIGHT / min(band.carrier_hz for band in bands.values()) / 2

    def variables(self, core: Mapping[str, Variable]) -> dict[str, Variable]:
        """The core, whose ``drop`` is the square that users share; what was rejected, and delays from the base
        station; with ``retrace`` positions and path gains of each slot."""
        scalar, table = Variable.scalar, dict(core)
        table["rejected"] = scalar("int32", "1", "candidates refused before this user was found")
        table["first_delay_s"] = scalar("float32", "s", "delay of the first path, from the base station")
        if self.retrace:
            for name, channel in core.items():
                if not name.startswith("h_"):
                    continue
                slots, band = (channel.dims[1], channel.shape[1]), name.removeprefix("h_")
                table[f"slot_position_{band}"] = Variable(
                    dims=("sample", slots[0], "xyz"),
                    shape=(-1, slots[1], 3),
                    dtype="float32",
                    unit="m",
                    long_name="position at each slot",
                )
                table[f"slot_path_gain_db_{band}"] = Variable(
                    dims=("sample", slots[0]),
                    shape=(-1, slots[1]),
                    dtype="float32",
                    unit="dB",
                    long_name="path gain at each slot; NaN without coverage",
                    nan="anywhere",
                )
        return table

    def areas(self, position: NDArray[np.floating]) -> NDArray[np.int64]:
        """Users who are linked by steps shorter than the guard, which no two areas are; squares where users are
        interleaved."""
        from channelbench.generators.raytraced.places import linked, squares

        xy = position[:, :2].astype(np.float64)
        return linked(xy, self.guard_m) if self.split == "area" else squares(xy, self.area_m or USUAL_AREA_M)

    @property
    def rural(self) -> Rural:
        """What the scene ``rural`` is made of."""
        return Rural()

    @property
    def settings(self) -> Settings:
        """What the solver is told."""
        return Settings(
            max_depth=self.max_depth,
            samples=self.samples_per_source,
            max_paths=self.max_paths,
            diffraction=self.diffraction,
            scattering=self.scattering,
            refraction=self.refraction,
            seed=self.solver_seed,
        )


class StreetSource(RaytracedSource):
    """The same, of a street canyon, around whose corners nothing else comes than waves that bend."""

    scene: str = Field("simple_street_canyon", min_length=1, max_length=4000)
    diffraction: bool = True


class LandSource(RaytracedSource):
    """The same, of open land, where most of what reaches a user has been scattered once: hills reflect past it.

    Attributes:
        land: What the scene ``rural`` is made of.
    """

    later: ClassVar[frozenset[str]] = frozenset({"land"})

    scene: str = Field("rural", min_length=1, max_length=4000)
    max_depth: int = Field(1, ge=0, le=20)
    scattering: bool = True
    land: Rural = Rural()

    @model_validator(mode="after")
    def _land_is_of_the_rural_scene(self) -> LandSource:
        if self.scene != "rural" and self.land != Rural():
            raise RequestError("land", expected="the scene rural, which alone is made of it", got=self.scene)
        return self

    @property
    def rural(self) -> Rural:
        return self.land

    @property
    def label(self) -> str:
        usual = Rural().model_dump()
        changed = [f"{name} {value:g}" for name, value in self.land.model_dump().items() if value != usual[name]]
        return ", ".join([super().label, *changed])
