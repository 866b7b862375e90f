"""Speed of the stochastic generators against stock Sionna, in one process with one thread.

``pytest benchmarks/perf/bench_generate.py``; the ratio and the rates are in ``extra_info``. Nothing is asserted about
time. The stock side is what a user of Sionna writes: its scenario, LSP, ray and coefficient classes in single precision
and ``cir_to_ofdm_channel``, the bands independent, in the batch size that suits it better. Both sides are timed in
turn, so that what else the machine does touches both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from channelbench.contracts import Block
from channelbench.registry import create
from channelbench.spec import PRESETS, SYSTEMS, BandSpec, ScenarioSpec

ROUNDS = 5


def make_spec(system: str, state: str) -> ScenarioSpec:
    generator = create("generators", "uma")
    sizes = PRESETS[system]["quick"]
    return ScenarioSpec(
        **{**generator.geometry, "scenario": "uma", "system": system, **SYSTEMS[system], "state": state, "sizes": sizes}
    )


def stock_sionna(spec: ScenarioSpec, batch: int) -> Callable[[], None]:
    """A function that makes ``batch`` samples of every band with Sionna alone."""
    steps = [_stock_band(spec, band, batch) for band in spec.bands.values()]

    def make() -> None:
        for step in steps:
            step()

    return make


def _stock_band(spec: ScenarioSpec, band: BandSpec, batch: int) -> Callable[[], None]:
    import torch
    from sionna.phy.channel import cir_to_ofdm_channel, subcarrier_frequencies
    from sionna.phy.channel.tr38901 import (
        ChannelCoefficientsGenerator,
        LSPGenerator,
        PanelArray,
        RaysGenerator,
        Topology,
        UMaScenario,
    )

    common: dict[str, Any] = {"device": "cpu", "precision": "single"}
    user = PanelArray(1, 1, "single", "V", "omni", band.carrier_hz, **common)
    station = PanelArray(band.array.rows, band.array.columns, "single", "V", "omni", band.carrier_hz, **common)
    scenario = UMaScenario(band.carrier_hz, "low", user, station, "downlink", spec_version=spec.table_version, **common)
    large_scale, rays = LSPGenerator(scenario), RaysGenerator(scenario)
    coefficients = ChannelCoefficientsGenerator(band.carrier_hz, station, user, subclustering=True, **common)
    frequencies = subcarrier_frequencies(band.num_subcarriers, band.bandwidth_hz / band.num_subcarriers, **common)
    zeros, outdoors = torch.zeros(batch, 1, 3), torch.zeros(batch, 1, dtype=torch.bool)
    station_position = torch.tensor([0.0, 0.0, spec.bs_height_m]).expand(batch, 1, 3)

    def step() -> None:
        distance = spec.min_distance_m + torch.rand(batch, 1) * (spec.max_distance_m - spec.min_distance_m)
        azimuth = (torch.rand(batch, 1) - 0.5) * 2
        position = torch.stack([distance * azimuth.cos(), distance * azimuth.sin(), torch.full_like(distance, 1.5)], -1)
        scenario.set_topology(
            position, station_position, zeros, zeros, torch.randn(batch, 1, 3), outdoors, los=spec.state == "los"
        )
        large_scale.topology_updated_callback()
        rays.topology_updated_callback()
        lsp = large_scale()
        topology = Topology(
            velocities=scenario.ut_velocities,
            moving_end="rx",
            los_aoa=torch.deg2rad(scenario.los_aoa),
            los_aod=torch.deg2rad(scenario.los_aod),
            los_zoa=torch.deg2rad(scenario.los_zoa),
            los_zod=torch.deg2rad(scenario.los_zod),
            los=scenario.los,
            distance_3d=scenario.distance_3d,
            tx_orientations=zeros,
            rx_orientations=zeros,
        )
        gains, delays = coefficients(
            band.num_slots, 1 / band.slot_s, lsp.k_factor, rays(lsp), topology, scenario.get_param("cDS") * 1e-9
        )
        cir_to_ofdm_channel(frequencies, gains.permute(0, 2, 4, 1, 5, 3, 6), delays.permute(0, 2, 1, 3))

    return step


CASES = [("dualband", "los", (32, 64)), ("dualband", "nlos", (32, 64)), ("multiuser", "nlos", (8,))]


@pytest.mark.parametrize(("system", "state", "batches"), CASES, ids=lambda value: str(value))
def test_samples_per_second(benchmark: Any, system: str, state: str, batches: tuple[int, ...]) -> None:
    import torch

    spec = make_spec(system, state)
    generator = create("generators", "uma")
    num_samples = 200 if system == "dualband" else 100
    stock = {batch: stock_sionna(spec, batch) for batch in batches}
    blocks = iter(range(10_000))
    rates: dict[str, list[float]] = {"ours": [], **{f"stock_{batch}": [] for batch in batches}}

    def ours() -> None:
        generator.sample(spec, Block(split="train", index=next(blocks), stop=num_samples), 0)

    def timed(name: str, samples: int, make: Callable[[], None]) -> None:
        begin = time.perf_counter()
        make()
        rates[name].append(samples / (time.perf_counter() - begin))

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for make in (ours, *stock.values()):
            make()
        for _ in range(ROUNDS):
            timed("ours", num_samples, ours)
            for batch, make in stock.items():
                timed(f"stock_{batch}", batch, make)
        benchmark.pedantic(ours, rounds=3, iterations=1)
    finally:
        torch.set_num_threads(threads)

    medians = {name: statistics.median(values) for name, values in rates.items()}
    best_stock = max(value for name, value in medians.items() if name != "ours")
    benchmark.extra_info["samples_per_second"] = {name: round(value, 1) for name, value in medians.items()}
    benchmark.extra_info["times_stock"] = round(medians["ours"] / best_stock, 2)
    print({**benchmark.extra_info})
