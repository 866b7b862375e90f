"""What benchmarks share: cold reads, and what a user of Sionna writes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from channelbench.spec import BandSpec, ScenarioSpec

READ_BYTES = 2**24


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """Gigabytes that pytest would keep for three sessions."""
    yield
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="session")
def forget() -> Callable[[Path], None]:
    """Drop the files under a folder from the page cache."""

    def drop(path: Path) -> None:
        os.sync()  # what is not written yet stays
        for file in path.rglob("*"):
            if file.is_file():
                descriptor = os.open(file, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)

    return drop


@pytest.fixture(scope="session")
def read() -> Callable[[Iterable[Path]], int]:
    """Read files once, in the order of their names; returns their bytes."""

    def all_of(files: Iterable[Path]) -> int:
        room, total = bytearray(READ_BYTES), 0
        for file in sorted(files):
            if file.is_file():
                with file.open("rb", buffering=0) as stream:
                    while count := stream.readinto(room):
                        total += count
        return total

    return all_of


@pytest.fixture
def stock_sionna() -> Callable[..., Callable[[], None]]:
    return _stock_sionna


def _stock_sionna(spec: ScenarioSpec, batch: int, device: str = "cpu") -> Callable[[], None]:
    """A function that makes ``batch`` samples of every band with Sionna alone: its scenario, LSP, ray and coefficient
    classes in single precision and ``cir_to_ofdm_channel``, the bands independent, everything kept in memory."""
    import torch

    with torch.device(device):
        steps = [_stock_band(spec, band, batch, device) for band in spec.bands.values()]

    def make() -> None:
        with torch.device(device):
            for step in steps:
                step()
        if device == "cuda":
            torch.cuda.synchronize()

    return make


def _stock_band(spec: ScenarioSpec, band: BandSpec, batch: int, device: str) -> Callable[[], None]:
    import torch
    from sionna.phy.channel import cir_to_ofdm_channel, subcarrier_frequencies
    from sionna.phy.channel.tr38901 import (
        ChannelCoefficientsGenerator,
        LSPGenerator,
        PanelArray,
        RaysGenerator,
        RMaScenario,
        Topology,
        UMaScenario,
    )

    common: dict[str, Any] = {"device": device, "precision": "single"}
    user = PanelArray(1, 1, "single", "V", "omni", band.carrier_hz, **common)
    station = PanelArray(band.array.rows, band.array.columns, "single", "V", "omni", band.carrier_hz, **common)
    options = {
        "direction": "downlink",
        "ut_array": user,
        "bs_array": station,
        "spec_version": spec.flat()["table_version"],
        **common,
    }
    if spec.scenario == "rma":
        scenario = RMaScenario(carrier_frequency=band.carrier_hz, **options)
    else:
        scenario = UMaScenario(carrier_frequency=band.carrier_hz, o2i_model="low", **options)
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
