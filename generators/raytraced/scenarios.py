"""The scenarios that are traced through scenes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.errors import RequestError
from channelbench.generator import Block, Generator, Paths, View
from channelbench.generators.raytraced.source import LandSource, RaytracedSource, StreetSource
from channelbench.ranges import near_field
from channelbench.sources import SourceSpec
from channelbench.spec import SPLITS, ScenarioSpec

if TYPE_CHECKING:
    from channelbench.generators.evaluate.paths import ArrivingPaths
    from channelbench.store.dataset import ChannelDataset

__all__ = ["TracedLand", "TracedMacro", "TracedStreet"]

LONGEST_WINDOW_WAVES = 10.0
"""Wavelengths that a user may go before paths of the start are worth a word."""

MOST_PER_M2 = 4.0
"""Users on a square metre: half a metre apart."""

REFERENCE = "J. Hoydis et al., Sionna RT: Differentiable Ray Tracing for Radio Propagation Modeling, arXiv:2303.11103"


class _Traced(Generator):
    """Users of a scene's streets, and the channels of their traced paths."""

    @classmethod
    def cautions(cls, spec: ScenarioSpec) -> list[str]:
        """Also waves that are not plane, and windows in which paths change."""
        found, source = [*super().cautions(spec), *near_field(spec)], cls._settings(spec)
        fastest = max(spec.speed_max_mps, *spec.test_speeds_mps, 0.0)
        for name, band in spec.bands.items():
            way_m = fastest * (band.num_slots - 1) * band.slot_s
            if not source.retrace and way_m * band.carrier_hz > LONGEST_WINDOW_WAVES * 3e8:
                found.append(
                    f"{name}.slot_s: users go {way_m:.3g} m during the slots, whose paths are those of the first; "
                    "retrace=true traces each"
                )
        return found

    @classmethod
    def check(cls, spec: ScenarioSpec) -> None:
        """Whether this machine traces the scene, and users of all splits are reached, as many as are asked for.

        Raises:
            RequestError: what is missing.
        """
        from channelbench.generators.raytraced.places import places_of
        from channelbench.generators.raytraced.users import users_of

        places = places_of(spec)
        for split in SPLITS:
            area = len(places.of[split]) * places.pitch_m**2
            if spec.sizes.of(split) > (room := int(area * MOST_PER_M2)):
                expected = f"at most {room} users of {split}, {MOST_PER_M2:g} on each of {area:g} m²"
                raise RequestError(f"sizes.{split}", expected=expected, got=spec.sizes.of(split))
        for split in SPLITS:  # which takes a solve each
            users_of(spec, split, 0, 0, 1)

    @classmethod
    def engine(cls, spec: ScenarioSpec) -> str:
        return f"sionna.rt:{cls._settings(spec).scene} llvm"

    def sample(self, spec: ScenarioSpec, block: Block, seed: int) -> Mapping[str, NDArray[Any]]:
        """Rows of one block; see ``channelbench.store.schema.variables``.

        Raises:
            RequestError: the machine cannot trace them, or nobody is reached.
        """
        from channelbench.generators.raytraced import drawing

        return drawing.columns(self._settings(spec), spec, block, seed)

    @classmethod
    def views(cls, dataset: ChannelDataset) -> list[View]:
        """The scene with users by path gain, the paths of one link, and its delays and angles."""
        from channelbench.generators.raytraced.pictures import views_of

        return views_of(dataset)

    def paths(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, Paths]:
        """The paths at slot 0 of the rows that ``sample`` returns, by band, without their phases."""
        from channelbench.generators.raytraced import drawing

        drawn = drawing.draw(self._settings(spec), spec, block, seed)
        return {band: paths.without_phases() for band, paths in drawn.paths.items()}

    def drawn_paths(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, ArrivingPaths]:
        """The paths that the rows of ``sample`` are sums of, by band, traced again.

        Raises:
            RequestError: each slot has paths of its own.
        """
        from channelbench.generators.raytraced import drawing

        if self._settings(spec).retrace:
            expected = "a dataset with one set of paths for all slots"
            raise RequestError("data", expected=expected, got="retrace=true; formats of channels take it, such as npz")
        return drawing.draw(self._settings(spec), spec, block, seed).paths

    def channels(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, NDArray[Any]]:
        """The sum over the same paths, traced again."""
        from channelbench.generators.raytraced import drawing

        made = drawing.columns(self._settings(spec), spec, block, seed)
        return {band: made[f"h_{band}"] for band in spec.bands}

    @classmethod
    def _settings(cls, spec: ScenarioSpec) -> RaytracedSource:
        if not isinstance(spec.source, RaytracedSource):
            raise RequestError("source", expected=f"{cls.source.name} for this generator", got=spec.source.name)
        return spec.source


class TracedMacro(_Traced):
    """Urban macrocells: Munich, Florence, Etoile, San Francisco."""

    card: ClassVar[Card] = Card(
        name="uma",
        title="UMa",
        description="A base station 25 m above the streets of a city, traced: Munich unless told otherwise.",
        reference=REFERENCE,
        family="scenario",
    )
    geometry: ClassVar[Mapping[str, float]] = {"bs_height_m": 25.0, "min_distance_m": 35.0, "max_distance_m": 500.0}
    source: ClassVar[type[SourceSpec]] = RaytracedSource


class TracedStreet(_Traced):
    """A street canyon."""

    card: ClassVar[Card] = Card(
        name="umi",
        title="UMi",
        description="A base station below the roofs at 10 m, in a traced street canyon.",
        reference=REFERENCE,
        family="scenario",
    )
    geometry: ClassVar[Mapping[str, float]] = {"bs_height_m": 10.0, "min_distance_m": 10.0, "max_distance_m": 200.0}
    source: ClassVar[type[SourceSpec]] = StreetSource


class TracedLand(_Traced):
    """Hills with scattered houses and trees."""

    card: ClassVar[Card] = Card(
        name="rma",
        title="RMa",
        description="A mast of 35 m over traced hills, houses and trees.",
        reference=REFERENCE,
        family="scenario",
    )
    geometry: ClassVar[Mapping[str, float]] = {"bs_height_m": 35.0, "min_distance_m": 35.0, "max_distance_m": 3000.0}
    source: ClassVar[type[SourceSpec]] = LandSource
