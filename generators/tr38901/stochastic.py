"""The generator that the 3GPP scenarios share: draw a block's environment, then evaluate the rows that are wanted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channelbench.errors import RequestError
from channelbench.generator import Block, Generator, Paths
from channelbench.generators.tr38901.drops import Drops, Streams, draw_drops
from channelbench.generators.tr38901.loading import load_sionna
from channelbench.generators.tr38901.scenarios import Remembered
from channelbench.spec import BLOCK_SIZE, SPLITS, BandSpec, ScenarioSpec
from channelbench.store.schema import variables

if TYPE_CHECKING:
    import xarray as xr

    from channelbench.generators.tr38901.paths import DrawnPaths
    from channelbench.generators.tr38901.rays import BandRays

__all__ = ["StochasticGenerator"]

_ONE_AT_A_TIME = Lock()
"""Sionna's random generator and the thread counts are the process's: blocks are drawn one after the other."""


class StochasticGenerator(Generator):
    """TR 38.901 clause 7.5, for one or two bands of one environment."""

    @abstractmethod
    def build_scenario(self, spec: ScenarioSpec, carrier_hz: float, precision: str) -> Any:
        """A Sionna ``SystemLevelScenario`` on the CPU, with single omnidirectional elements at both ends."""

    def sample(self, spec: ScenarioSpec, block: Block, seed: int) -> xr.Dataset:
        """Rows of one block, with the variables, dims and dtypes of ``channelbench.store.schema.variables``.

        Raises:
            RequestError: the spec asks for ray tracing, or the block's rows lie outside it.
        """
        import xarray as xr

        table = variables(spec)
        columns = {
            name: np.empty((block.num_samples, *variable.shape[1:]), variable.dtype) for name, variable in table.items()
        }
        self.fill(spec, block, seed, columns)
        return xr.Dataset({name: (table[name].dims, column) for name, column in columns.items()})

    def fill(self, spec: ScenarioSpec, block: Block, seed: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """``sample`` into arrays that are there."""
        from channelbench.generators.evaluate.statistics import link_statistics

        rows = slice(block.start, block.stop)
        with _single_threaded():
            drops, rays, paths = self._draw(spec, block, seed)
            for name, band in spec.bands.items():
                _evaluate(spec, band, drops, rays[name], paths[name], rows, columns[f"h_{name}"])
        values: dict[str, Any] = {
            "ue_position": drops.position[rows],
            "ue_velocity": drops.velocity[rows],
            "distance_m": drops.distance_m[rows],
            "los": rays["sub6"].los[rows],
            "drop": drops.identifier[rows],
            "block": block.index,
            "split": SPLITS.index(block.split),
        }
        for name in spec.bands:
            statistics = link_statistics(paths[name], rays[name].large_scale.path_gain_db[rows])
            values |= {f"{key}_{name}": value for key, value in statistics.items()}
        for name, value in values.items():
            columns[name][...] = value

    def paths(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, Paths]:
        """The paths of the same rows that ``sample`` returns, by band, without their phases."""
        with _single_threaded():
            _, _, paths = self._draw(spec, block, seed)
        return {band: drawn.without_phases() for band, drawn in paths.items()}

    def _draw(
        self, spec: ScenarioSpec, block: Block, seed: int
    ) -> tuple[Drops, dict[str, BandRays], dict[str, DrawnPaths]]:
        """The whole block's drops and rays, and the paths of its wanted rows.

        The block is always drawn whole, because what a random generator returns first depends on how much is asked.
        """
        from channelbench.generators.tr38901.paths import directions, expand
        from channelbench.generators.tr38901.rays import draw_rays

        if spec.source != "stochastic":
            raise RequestError("source", expected="stochastic for this generator", got=spec.source)
        if not 0 <= block.start < block.stop <= BLOCK_SIZE:
            raise RequestError(
                "block", expected=f"rows within 0:{BLOCK_SIZE}, at least one", got=f"{block.start}:{block.stop}"
            )
        load_sionna()
        streams = Streams.of(block, seed, len(spec.bands))
        drops = draw_drops(spec, block, streams.drops)
        rays = draw_rays(
            spec, drops, streams, lambda carrier_hz, precision: _scenario(type(self), spec, carrier_hz, precision)
        )
        rows = slice(block.start, block.stop)
        where = directions(next(iter(rays.values())).anchor, drops, rows)
        paths = {name: expand(rays[name], where, band.carrier_hz, rows) for name, band in spec.bands.items()}
        return drops, rays, paths


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
    from channelbench.generators.evaluate.cuda import evaluate_torch
    from channelbench.generators.evaluate.exact import evaluate
    from channelbench.generators.evaluate.fast import evaluate_fast
    from channelbench.generators.tr38901.coefficients_sionna import sionna_channel
    from channelbench.generators.tr38901.paths import SPEED_OF_LIGHT

    if spec.engine == "fast":
        fastest_mps = max(spec.speed_max_mps, *spec.test_speeds_mps, 0.0)
        max_doppler_hz = fastest_mps * band.carrier_hz / SPEED_OF_LIGHT
        evaluate_fast(paths, band, squint=spec.squint, max_doppler_hz=max_doppler_hz, out=out)
    elif spec.engine == "cuda":
        evaluate_torch(paths, band, squint=spec.squint, out=out)
    elif spec.squint:
        evaluate(paths, band, out=out)
    else:
        out[...] = sionna_channel(rays, drops, band, rows)


@lru_cache(maxsize=8)
def _scenario(kind: type[StochasticGenerator], spec: ScenarioSpec, carrier_hz: float, precision: str) -> Any:
    """A scenario is tables and one block's topology: the tables are read from disk once, not once per block."""
    scenario = kind().build_scenario(spec, carrier_hz, precision)
    if spec.engine != "sionna":
        Remembered(scenario)
    return scenario


@contextmanager
def _single_threaded() -> Iterator[None]:
    """One thread in torch and in BLAS: bytes must not depend on how many there are, and workers are processes."""
    import torch

    with _ONE_AT_A_TIME:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with _libraries().limit(limits=1):
                yield
        finally:
            torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _libraries() -> Any:
    """The thread pools to limit. To find them takes milliseconds, as much as to draw some samples."""
    from threadpoolctl import ThreadpoolController

    import channelbench.generators.evaluate.compiled  # noqa: F401 - loads the BLAS that is to be limited

    return ThreadpoolController()
