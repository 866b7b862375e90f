"""Links per second through both bands, traced once for both, against Sionna's ``PathSolver`` and ``cfr`` once per band.

``pytest benchmarks/perf/bench_raytraced.py -m "" -s``; figures are in ``extra_info`` and printed. Nothing is asserted
about time, which is that of the processor. The two sides take turns on the same users of one scene in one process and
on one thread:

- ``ours``: candidates and image method once, fields per band, paths, sums over them with squint, and statistics;
- ``stock``: ``PathSolver(deterministic=True)`` and ``cfr``, without squint, at each carrier.

Beside them: what diffraction, scattering and refraction cost, and the parts of a solve.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from channelbench.errors import RequestError
from channelbench.generation import make_spec
from channelbench.generators.evaluate.exact import evaluate
from channelbench.generators.raytraced.links import first_delay_s, gains, paths_of
from channelbench.generators.raytraced.links import statistics as link_statistics
from channelbench.generators.raytraced.llvm import usable
from channelbench.generators.raytraced.users import _of, users_of
from channelbench.generators.raytraced.worlds import world_of
from channelbench.spec import ScenarioSpec
from channelbench.store.schema import subcarrier_hz

ROUNDS = 5
USERS = 25
CASES: dict[str, dict[str, Any]] = {
    "Munich, line of sight": {"scenario": "uma", "state": "los"},
    "Munich, no line of sight": {"scenario": "uma", "state": "nlos"},
    "street canyon, line of sight": {"scenario": "umi", "state": "los"},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "specular": {},
    "diffraction": {"diffraction": True},
    "scattering": {"scattering": True},
    "refraction": {"refraction": True},
    "depth 5": {"max_depth": 5},
}


@pytest.fixture(autouse=True)
def _tracer() -> None:
    try:
        usable()
    except RequestError as error:
        pytest.skip(str(error))


def _spec(kind: dict[str, Any], **assignments: Any) -> ScenarioSpec:
    fields = {"users_per_solve": USERS, "diffraction": False} | assignments
    return make_spec(**kind, source="raytraced", assignments=fields)


def _ours(spec: ScenarioSpec, position: Any, velocity: Any) -> Callable[[], None]:
    world, source = world_of(spec), spec.source
    carriers = {name: band.carrier_hz for name, band in spec.bands.items()}

    def work() -> None:
        traced = world.trace(position, carriers, source.settings)  # type: ignore[attr-defined]
        rays = [each for number in range(len(position)) if len((each := _of(traced, number)).receiver)]
        reference = first_delay_s(rays)
        for name, band in spec.bands.items():
            gain = gains(rays, name)
            paths = paths_of(rays, world, name, band.carrier_hz, velocity[: len(rays)], reference, gain)
            evaluate(paths, band)
            link_statistics(paths, 10 * np.log10(gain))

    return work


def _stock(spec: ScenarioSpec, position: Any, velocity: Any) -> Callable[[], None]:
    import mitsuba as mi
    import sionna.rt as rt

    world, settings = world_of(spec), spec.source.settings  # type: ignore[attr-defined]
    scene, solver = world.scene, rt.PathSolver(deterministic=True)
    for name in [*scene.transmitters, *scene.receivers]:
        scene.remove(name)
    facing = [float(np.radians(world.azimuth_deg)), 0.0, 0.0]
    scene.add(rt.Transmitter("tx", position=world.transmitter.tolist(), orientation=facing))
    for number, (where, moving) in enumerate(zip(position, velocity, strict=True)):
        scene.add(rt.Receiver(f"rx{number}", position=where.tolist(), velocity=moving.tolist()))
    scene.rx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")

    def work() -> None:
        for band in spec.bands.values():
            scene.frequency = band.carrier_hz
            scene.tx_array = rt.PlanarArray(
                num_rows=band.array.rows, num_cols=band.array.columns, pattern="iso", polarization="V"
            )
            paths = solver(
                scene,
                max_depth=settings.max_depth,
                samples_per_src=settings.samples,
                refraction=settings.refraction,
                diffraction=settings.diffraction,
                diffuse_reflection=settings.scattering,
                seed=settings.seed,
            )
            paths.cfr(
                frequencies=mi.Float((subcarrier_hz(band) - band.carrier_hz).astype(np.float32)),
                sampling_frequency=1 / band.slot_s,
                num_time_steps=band.num_slots,
                normalize_delays=False,
                out_type="numpy",
            )

    return work


def _paths_per_link(spec: ScenarioSpec, position: Any) -> float:
    carriers = {name: band.carrier_hz for name, band in spec.bands.items()}
    traced = world_of(spec).trace(position, carriers, spec.source.settings)  # type: ignore[attr-defined]
    return len(traced.receiver) / len(position)


def _users(spec: ScenarioSpec) -> tuple[Any, Any]:
    users = users_of(spec, "train", 0, 0, USERS)
    return np.array([user.position for user in users]), np.array([user.velocity for user in users])


def _timed(work: Callable[[], None]) -> float:
    """Processor time, s, of all threads."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


@pytest.mark.parametrize("case", CASES)
def test_both_bands_at_once(case: str, benchmark: Any) -> None:
    spec = _spec(CASES[case])
    position, velocity = _users(spec)
    sides = {"ours": _ours(spec, position, velocity), "stock": _stock(spec, position, velocity)}
    for work in sides.values():
        work()  # kernels are compiled
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, work in sides.items():
            seconds[name].append(_timed(work))
    benchmark.pedantic(sides["ours"], rounds=1)
    ratio = statistics.median(b / a for a, b in zip(seconds["ours"], seconds["stock"], strict=True))
    rates = {name: USERS / statistics.median(taken) for name, taken in seconds.items()}
    benchmark.extra_info.update(links_per_second=rates, times_stock=ratio)
    print(f"\n{case}: {rates['ours']:.1f} links/s, stock {rates['stock']:.1f}, {ratio:.2f}×")


def test_what_options_cost(benchmark: Any) -> None:
    """Processor time over that of reflections alone, turn by turn: on a busy machine a clock says nothing."""
    case = CASES["Munich, no line of sight"]
    plain = _spec(case)
    position, velocity = _users(plain)
    specs = {name: _spec(case, **fields) for name, fields in OPTIONS.items()}
    works = {name: _ours(spec, position, velocity) for name, spec in specs.items()}
    found = {name: _paths_per_link(spec, position) for name, spec in specs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()  # kernels are compiled
    for _ in range(ROUNDS):
        for name, work in works.items():
            seconds[name].append(_timed(work))
    benchmark.pedantic(works["specular"], rounds=1)
    times = {
        name: statistics.median(b / a for a, b in zip(seconds["specular"], taken, strict=True))
        for name, taken in seconds.items()
    }
    benchmark.extra_info.update(times_specular=times, paths_per_link=found)
    print("\n" + ", ".join(f"{name} {times[name]:.2f}×, {found[name]:.1f} paths" for name in works))
