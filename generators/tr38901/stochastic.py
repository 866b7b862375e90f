"""The generator that the 3GPP scenarios share: draw a block's environment, then evaluate the rows that are wanted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from channelbench.cuda import require_cuda
from channelbench.errors import RequestError
from channelbench.generator import Block, Generator, Paths
from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT, ArrivingPaths
from channelbench.generators.tr38901.drops import Drops, Streams, draw_drops
from channelbench.generators.tr38901.loading import load_sionna
from channelbench.generators.tr38901.path_loss import PathLoss, above_free_space_db
from channelbench.generators.tr38901.scenarios import Remembered, scenario_options
from channelbench.generators.tr38901.source import StochasticSource
from channelbench.generators.tr38901.threads import single_threaded
from channelbench.ranges import free_space_db, near_field
from channelbench.sources import SourceSpec
from channelbench.spec import BLOCK_SIZE, BandSpec, ScenarioSpec
from channelbench.store.schema import variables

if TYPE_CHECKING:
    import xarray as xr

    from channelbench.generators.evaluate.paths import DrawnPaths
    from channelbench.generators.tr38901.rays import BandRays

__all__ = ["DrawnBlock", "StochasticGenerator"]

MAX_CYCLES = 1e9
"""Of a Doppler shift over all slots: float64 keeps their phase to 1e-6, and no engine has more."""


class DrawnBlock(NamedTuple):
    """What is drawn of a block.

    Attributes:
        drops: Of all its links.
        rays: Of all its links, by band.
        paths: Of the rows that were asked for, by band.
    """

    drops: Drops
    rays: dict[str, BandRays]
    paths: dict[str, DrawnPaths]


class StochasticGenerator(Generator):
    """TR 38.901 clause 7.5, for one or two bands of one environment.

    A scenario is a subclass with a ``card``, a ``geometry`` and ``build_scenario``. One with a source of its own sets
    ``source`` to a subclass of ``StochasticSource``; what that makes besides, an overridden ``fill`` adds to the
    columns that this one has filled.

    Attributes:
        path_loss: Its path loss in closed form, where that is known and never meant to be below free space's: specs
            outside ``ranges`` whose mean it puts there are refused.
        idle: Fields of the source that do nothing in this scenario, and why.
    """

    source: ClassVar[type[SourceSpec]] = StochasticSource
    path_loss: ClassVar[PathLoss | None] = None
    idle: ClassVar[Mapping[str, str]] = {"uma_fc_clip": "only UMa is clipped by it"}

    @abstractmethod
    def build_scenario(self, spec: ScenarioSpec, options: Mapping[str, Any]) -> Any:
        """A Sionna ``SystemLevelScenario``, from which come tables, path loss and line-of-sight probability.

        Args:
            spec: ``spec.source`` is of this class's model.
            options: The arguments that all of Sionna's scenarios take: carrier frequency in Hz, antenna arrays,
                direction, precision, device and version of the tables.
        """

    @classmethod
    def cautions(cls, spec: ScenarioSpec) -> list[str]:
        """Also waves that are not plane, fields of the source that change nothing, and path loss that the tables
        themselves have below free space."""
        outside = super().cautions(spec)
        within = "" if cls.ranges is None or cls.ranges.outside(spec) else f", as {cls.ranges.reference} has it"
        low = [
            f"path loss at {name} is {-above:.2g} dB below free space in the mean{within}"
            for (name, _), above in cls._above_free_space_db(spec).items()
            if above < 0
        ]
        return [*outside, *near_field(spec), *cls._idle_fields(spec), *low]

    @classmethod
    def refuse(cls, spec: ScenarioSpec) -> None:
        """Path loss below free space that no table has, users above the base station where the tables have none, and
        slots that lie further apart than any sum has phases for.

        Within their ranges the tables hold as they are: UMa's own is 2.4 dB below free space at 10 m.
        """
        if cls.ranges is not None and (outside := cls.ranges.outside(spec)):
            for (name, _), above in cls._above_free_space_db(spec).items():
                if above < 0:
                    raise _below_free_space(name, above, outside[0])
        for name, band in spec.bands.items():
            most_s = MAX_CYCLES / max(_max_doppler_hz(spec, band) * (band.num_slots - 1), 1e-300)
            if not band.slot_s <= most_s:
                expected = f"at most {most_s:.3g} s for so many slots at these speeds"
                raise RequestError(f"{name}.slot_s", expected=expected, got=band.slot_s)
        super().refuse(spec)

    @classmethod
    def _above_free_space_db(cls, spec: ScenarioSpec) -> dict[tuple[str, Any], float]:
        if cls.path_loss is None:
            return {}
        return above_free_space_db(spec, cls.path_loss)

    @classmethod
    def _idle_fields(cls, spec: ScenarioSpec) -> list[str]:
        settings, fields = cls._settings(spec), type(spec.source).model_fields
        idle = dict(cls.idle)
        if len(spec.bands) == 1:
            idle["rho_z"] = "there is one band"
        if all(band.array.num_antennas == 1 for band in spec.bands.values()):
            idle["squint"] = "there is one antenna"
        return [
            f"{name}: has no effect here: {reason}"
            for name, reason in idle.items()
            if name in fields and getattr(settings, name) != fields[name].default
        ]

    @classmethod
    def check(cls, spec: ScenarioSpec) -> None:
        """Whether there is a CUDA device, if that is what sums.

        Raises:
            RequestError: there is none.
        """
        if cls._settings(spec).engine == "cuda":
            require_cuda("--engine", ["fast", "sionna"])

    @classmethod
    def engine(cls, spec: ScenarioSpec) -> str:
        made_by, _, _ = super().engine(spec).rpartition(" ")
        return f"{made_by} {'cuda' if cls._settings(spec).engine == 'cuda' else 'cpu'}"

    def sample(self, spec: ScenarioSpec, block: Block, seed: int) -> xr.Dataset:
        """Rows of one block, with the variables, dims and dtypes of ``channelbench.store.schema.variables``.

        Raises:
            RequestError: the spec is of another source, the block's rows lie outside it, or there is no CUDA device for
                engine ``cuda``.
        """
        import xarray as xr

        table = variables(spec)
        columns = {
            name: np.empty((block.num_samples, *variable.shape[1:]), variable.dtype) for name, variable in table.items()
        }
        self.fill(spec, block, seed, columns)
        return xr.Dataset({name: (table[name].dims, column) for name, column in columns.items()})

    def fill(self, spec: ScenarioSpec, block: Block, seed: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """``sample`` into arrays that are there; those that are no variables of TR 38.901 are left as they are."""
        from channelbench.generators.evaluate.statistics import link_statistics

        self.check(spec)
        rows = slice(block.start, block.stop)
        with single_threaded():
            drops, rays, paths = self._draw(spec, block, seed)
            for name, band in spec.bands.items():
                _evaluate(spec, band, drops, rays[name], paths[name], rows, columns[f"h_{name}"])
        values = drops.columns(block) | {"los": rays["sub6"].los[rows]}
        for name in spec.bands:
            statistics = link_statistics(paths[name], rays[name].large_scale.path_gain_db[rows])
            values |= {f"{key}_{name}": value for key, value in statistics.items()}
        for name in values.keys() & columns.keys():
            columns[name][...] = values[name]

    def paths(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, Paths]:
        """The paths of the same rows that ``sample`` returns, by band, without their phases."""
        return {band: drawn.without_phases() for band, drawn in self.draw(spec, block, seed).paths.items()}

    def drawn_paths(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, ArrivingPaths]:
        """The paths that the rows of ``sample`` are sums of, by band, with their zenith angles of arrival: the specular
        path comes from where the base station is, then every ray of every cluster, the same in all bands."""
        drawn, rows = self.draw(spec, block, seed), slice(0, block.num_samples)
        specular = np.arccos(-drawn.drops.offset[rows, 2] / drawn.drops.distance_m[rows])
        rays = next(iter(drawn.rays.values())).anchor.zoa[rows]
        zoa = np.concatenate([specular[:, None], rays.reshape(len(rays), -1)], axis=1).astype(np.float64)
        return {band: ArrivingPaths(**vars(paths), zoa=zoa) for band, paths in drawn.paths.items()}

    def channels(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, NDArray[Any]]:
        """The exact sum over the same paths that ``sample`` sums by whatever engine."""
        from channelbench.generators.evaluate.exact import evaluate

        squint, paths = self._settings(spec).squint, self.draw(spec, block, seed).paths
        with single_threaded():
            return {name: evaluate(paths[name], band, squint=squint) for name, band in spec.bands.items()}

    def draw(self, spec: ScenarioSpec, block: Block, seed: int) -> DrawnBlock:
        """Users, rays and paths of a block, without its channels. The rows of ``fill`` with the same arguments are made
        from the same draw.

        Raises:
            RequestError: the spec is of another source, or the block's rows lie outside it.
        """
        with single_threaded():
            return self._draw(spec, block, seed)

    def _draw(self, spec: ScenarioSpec, block: Block, seed: int) -> DrawnBlock:
        # The block is always drawn whole, because what a random generator returns first depends on how much is asked.
        from channelbench.generators.tr38901.paths import directions, expand
        from channelbench.generators.tr38901.rays import draw_rays

        self._settings(spec)
        if not 0 <= block.start < block.stop <= BLOCK_SIZE:
            raise RequestError(
                "block", expected=f"rows within 0:{BLOCK_SIZE}, at least one", got=f"{block.start}:{block.stop}"
            )
        load_sionna()
        streams = Streams.of(block, seed, len(spec.bands))
        drops = draw_drops(spec, block, streams.drops)
        rays = draw_rays(spec, drops, streams, lambda carrier_hz: _scenario(type(self), spec, carrier_hz))
        self._guard(spec, drops, rays)
        rows = slice(block.start, block.stop)
        where = directions(next(iter(rays.values())).anchor, drops, rows)
        paths = {name: expand(rays[name], where, band.carrier_hz, rows) for name, band in spec.bands.items()}
        return DrawnBlock(drops, rays, paths)

    @classmethod
    def _guard(cls, spec: ScenarioSpec, drops: Drops, rays: dict[str, BandRays]) -> None:
        """What ``refuse`` works out from the spec, seen in what was drawn: a scenario may be built otherwise than its
        closed form. Five standard errors of the mean leave no block to chance."""
        if cls.path_loss is None or cls.ranges is None or not (outside := cls.ranges.outside(spec)):
            return
        for name, band in spec.bands.items():
            large = rays[name].large_scale
            loss_db = 10 * np.log10(large.sf) - large.path_gain_db
            above = loss_db - free_space_db(drops.distance_m, band.carrier_hz)
            if above.mean() + 5 * above.std() / np.sqrt(len(above)) < 0:
                raise _below_free_space(name, float(above.mean()), outside[0])

    @classmethod
    def _settings(cls, spec: ScenarioSpec) -> StochasticSource:
        if not isinstance(spec.source, StochasticSource):
            raise RequestError("source", expected=f"{cls.source.name} for this generator", got=spec.source.name)
        return spec.source


def _below_free_space(band: str, above_db: float, outside: str) -> RequestError:
    field = outside.partition(":")[0]
    got = f"path loss at {band} {-above_db:.2g} dB below free space in the mean ({outside})"
    return RequestError(field, expected="a path loss of at least free space's", got=got)


def _evaluate(
    spec: ScenarioSpec,
    band: BandSpec,
    drops: Drops,
    rays: BandRays,
    paths: DrawnPaths,
    rows: slice,
    out: NDArray[np.complex64],
) -> None:
    """By the fast engine; on a CUDA device; or exactly: by Sionna's coefficients, or by a sum of our own where arrays
    squint, which Sionna's do not."""
    from channelbench.generators.evaluate.cuda import evaluate_cuda
    from channelbench.generators.evaluate.exact import evaluate
    from channelbench.generators.evaluate.fast import evaluate_fast
    from channelbench.generators.tr38901.coefficients_sionna import sionna_channel

    source: Any = spec.source
    if source.engine == "fast":
        evaluate_fast(paths, band, squint=source.squint, max_doppler_hz=_max_doppler_hz(spec, band), out=out)
    elif source.engine == "cuda":
        evaluate_cuda(paths, band, squint=source.squint, out=out)
    elif source.squint:
        evaluate(paths, band, out=out)
    else:
        out[...] = sionna_channel(rays, drops, band, rows)


def _max_doppler_hz(spec: ScenarioSpec, band: BandSpec) -> float:
    """No path of the spec turns faster, in either direction: a negative speed is one against the heading."""
    fastest_mps = max(map(abs, (spec.speed_min_mps, spec.speed_max_mps, *spec.test_speeds_mps)))
    return float(fastest_mps * band.carrier_hz / SPEED_OF_LIGHT)


@lru_cache(maxsize=8)
def _scenario(kind: type[StochasticGenerator], spec: ScenarioSpec, carrier_hz: float) -> Any:
    """A scenario is tables and one block's topology: the tables are read from disk once, not once per block."""
    source: Any = spec.source
    scenario = kind().build_scenario(spec, scenario_options(carrier_hz, source.table_version))
    if source.engine != "sionna":
        Remembered(scenario)
    return scenario
