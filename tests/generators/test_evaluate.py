"""The sum over paths: against Sionna, against a float64 sum, and against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench.generators._evaluate import evaluate
from channelbench.generators._paths import SPEED_OF_LIGHT, DrawnPaths
from channelbench.spec import ArraySpec, BandSpec
from channelbench.store.schema import antenna_positions, subcarrier_hz

ROWS = 6


def relative_error(got: NDArray[Any], want: NDArray[Any]) -> float:
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def brute_force(paths: Any, phase: NDArray[np.float64], band: BandSpec, squint: bool) -> NDArray[np.complex128]:
    """The defining sum, term by term, in float64."""
    time = np.arange(band.num_slots) * band.slot_s
    frequency = subcarrier_hz(band)
    h = np.zeros((len(phase), band.num_slots, band.num_subcarriers, band.array.num_antennas), complex)
    scale = frequency / band.carrier_hz if squint else np.ones_like(frequency)
    for sample in range(len(phase)):
        for p in np.flatnonzero(paths.power[sample]):
            cycles = (
                phase[sample, p] / (2 * np.pi)
                + (paths.doppler_hz[sample, p] * time)[:, None, None]
                - ((frequency - band.carrier_hz) * paths.delay_s[sample, p])[:, None]
                + scale[:, None] * (antenna_positions(band) @ paths.direction[sample, p])
            )
            h[sample] += np.sqrt(paths.power[sample, p]) * np.exp(2j * np.pi * cycles)
    return h


def sionna_channel(block: Any, name: str) -> NDArray[np.complex128]:
    """Sionna's own coefficients and OFDM response, in double precision, of a drawn block's first rows."""
    import torch
    from sionna.phy.channel import cir_to_ofdm_channel
    from sionna.phy.channel.tr38901 import ChannelCoefficientsGenerator, PanelArray, Rays, Topology

    band, rays, drops = block.spec.bands[name], block.rays[name], block.drops

    def links(values: NDArray[Any]) -> Any:
        return torch.from_numpy(np.ascontiguousarray(values[:ROWS]))[:, None, None]

    phases = np.zeros((*rays.phase.shape, 4))
    phases[..., 0] = rays.phase
    sionna_rays = Rays(
        delays=links(rays.delay_s),
        powers=links(rays.power),
        aoa=links(rays.aoa),
        aod=links(rays.aod),
        zoa=links(rays.zoa),
        zod=links(rays.zod),
        xpr=torch.ones(links(rays.aoa).shape, dtype=torch.float64),
        phases=links(phases),
        strongest_cluster_indices=links(rays.strongest),
    )
    offset = drops.position - drops.bs_position
    aod, zod = np.arctan2(offset[:, 1], offset[:, 0]), np.arccos(offset[:, 2] / drops.distance_m)
    still = torch.zeros(ROWS, 1, 3, dtype=torch.float64)
    topology = Topology(
        velocities=torch.from_numpy(drops.velocity[:ROWS])[:, None],
        moving_end="rx",
        los_aoa=links(aod + np.pi),
        los_aod=links(aod),
        los_zoa=links(np.pi - zod),
        los_zod=links(zod),
        los=links(rays.los),
        distance_3d=links(drops.distance_m),
        tx_orientations=still,
        rx_orientations=still,
    )
    double: dict[str, Any] = {"precision": "double", "device": "cpu"}
    element = ("single", "V", "omni", band.carrier_hz)
    station = PanelArray(
        band.array.rows,
        band.array.columns,
        *element,
        element_vertical_spacing=band.array.spacing_wavelengths,
        element_horizontal_spacing=band.array.spacing_wavelengths,
        **double,
    )
    coefficients = ChannelCoefficientsGenerator(
        band.carrier_hz, station, PanelArray(1, 1, *element, **double), subclustering=True, **double
    )
    gains, delays = coefficients(
        band.num_slots,
        1 / band.slot_s,
        links(rays.k_factor),
        sionna_rays,
        topology,
        links(rays.cluster_delay_spread_s),
    )
    h = cir_to_ofdm_channel(
        torch.from_numpy(subcarrier_hz(band) - band.carrier_hz),
        gains.permute(0, 2, 4, 1, 5, 3, 6),
        delays.permute(0, 2, 1, 3),
    )
    # Sionna counts a panel's elements down its columns, we count along rows: match them by position.
    theirs = station.ant_pos.numpy() * band.carrier_hz / SPEED_OF_LIGHT
    away = np.linalg.norm(antenna_positions(band)[:, None] - theirs, axis=-1)
    assert away.min(axis=1).max() < 1e-6
    return h.numpy()[:, 0, 0, 0].transpose(0, 2, 3, 1)[..., away.argmin(axis=1)]


def head(paths: DrawnPaths, rows: int = ROWS) -> DrawnPaths:
    return DrawnPaths(**{name: values[:rows] for name, values in vars(paths).items()})


UPA = {"rows": 4, "columns": 6, "spacing_wavelengths": 0.7}


@pytest.mark.parametrize("state", ["los", "nlos"])
@pytest.mark.parametrize("array", [{"columns": 8}, UPA], ids=["ula", "upa"])
@pytest.mark.parametrize("scenario", ["uma", "rma", "umi"])
def test_equals_sionna_without_squint(draw: Callable[..., Any], scenario: str, array: Any, state: str) -> None:
    block = draw(scenario, state=state, **{"sub6.array": array, "mmwave.array": array})
    for name, band in block.spec.bands.items():
        got = evaluate(head(block.paths[name]), band, squint=False)
        assert relative_error(got, sionna_channel(block, name)) < 1e-5


@pytest.mark.parametrize("squint", [True, False])
@pytest.mark.parametrize("case", [("dualband", "los"), ("dualband", "nlos"), ("multiuser", "nlos")])
def test_equals_a_float64_sum(draw: Callable[..., Any], case: tuple[str, str], squint: bool) -> None:
    system, state = case
    block = draw("uma", system, state=state)
    for name, band in block.spec.bands.items():
        paths = head(block.paths[name], 2)
        assert (
            relative_error(evaluate(paths, band, squint=squint), brute_force(paths, paths.phase, band, squint)) < 1e-5
        )


def test_squint_matters_at_mmwave(draw: Callable[..., Any]) -> None:
    """With 64 elements over 0.5 GHz at 28 GHz a narrowband array is wrong by a quarter; that is why squint is kept."""
    block = draw("uma")
    paths, band = head(block.paths["mmwave"]), block.spec.mmwave
    assert 0.1 < relative_error(evaluate(paths, band, squint=False), evaluate(paths, band)) < 0.6


def one_path(
    *,
    azimuth: float = 0.0,
    zenith: float = np.pi / 2,
    delay_s: float = 0.0,
    doppler_hz: float = 0.0,
    phase: float = 0.0,
) -> DrawnPaths:
    direction = [np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)]
    return DrawnPaths(
        power=np.ones((1, 1)),
        delay_s=np.full((1, 1), delay_s),
        doppler_hz=np.full((1, 1), doppler_hz),
        direction=np.array(direction).reshape(1, 1, 3),
        phase=np.full((1, 1), phase),
        aod=np.full((1, 1), azimuth),
        aoa=np.zeros((1, 1)),
        los=np.array([False]),
    )


def test_steering_vector_is_the_papers() -> None:
    """LLM4WM Eq. 2: element n has the phase 2π·n·f·d·sin(θ)/c, at each subcarrier's own frequency."""
    band = BandSpec(carrier_hz=28e9, bandwidth_hz=2e9, num_subcarriers=5, array=ArraySpec(columns=16))
    theta = np.radians(37.0)
    h = evaluate(one_path(azimuth=theta), band)[0, 0]
    spacing_m = 0.5 * SPEED_OF_LIGHT / band.carrier_hz
    phase = 2 * np.pi * np.outer(subcarrier_hz(band), np.arange(16)) * spacing_m * np.sin(theta) / SPEED_OF_LIGHT
    np.testing.assert_allclose(h / h[:, :1], np.exp(1j * phase), atol=1e-6)


def test_planar_array_steers_in_both_planes() -> None:
    band = BandSpec(carrier_hz=2.4e9, bandwidth_hz=1e6, num_subcarriers=1, array=ArraySpec(rows=3, columns=4))
    azimuth, zenith = np.radians(20.0), np.radians(110.0)
    h = evaluate(one_path(azimuth=azimuth, zenith=zenith), band)[0, 0, 0].reshape(3, 4)
    y_phase, z_phase = np.pi * np.sin(zenith) * np.sin(azimuth), np.pi * np.cos(zenith)
    want = np.exp(1j * (np.arange(3)[:, None] * z_phase + np.arange(4) * y_phase))
    np.testing.assert_allclose(h / h[0, 0], want, atol=1e-6)


def test_delay_turns_the_subcarriers_and_doppler_the_slots() -> None:
    band = BandSpec(
        carrier_hz=2e9, bandwidth_hz=10e6, num_subcarriers=6, num_slots=4, slot_s=1e-3, array=ArraySpec(columns=1)
    )
    h = evaluate(one_path(delay_s=130e-9, doppler_hz=70.0, phase=0.4), band)[0, :, :, 0]
    time, frequency = np.arange(4) * 1e-3, (np.arange(6) - 3) * 10e6 / 6
    want = np.exp(1j * (0.4 + 2 * np.pi * (70.0 * time[:, None] - frequency * 130e-9)))
    np.testing.assert_allclose(h, want, atol=1e-6)


def test_nothing_where_there_is_no_path() -> None:
    band = BandSpec(carrier_hz=2e9, bandwidth_hz=1e6, num_subcarriers=2, num_slots=3)
    nothing = DrawnPaths(**{**vars(one_path()), "power": np.zeros((1, 1))})
    assert not evaluate(nothing, band).any()


@pytest.mark.parametrize("state", ["los", "nlos"])
def test_specular_doppler_is_the_speed_towards_the_base_station(draw: Callable[..., Any], state: str) -> None:
    block = draw("uma", state=state)
    for name, band in block.spec.bands.items():
        paths, drops = block.paths[name], block.drops
        towards = (drops.bs_position - drops.position) / drops.distance_m[:, None]
        want = np.sum(towards * drops.velocity, axis=-1) * band.carrier_hz / SPEED_OF_LIGHT
        np.testing.assert_allclose(paths.doppler_hz[:, 0], want, atol=1e-9 * band.carrier_hz / SPEED_OF_LIGHT)
        assert np.all((paths.power[:, 0] > 0) == (state == "los"))
        assert np.all(
            np.abs(paths.doppler_hz) <= np.linalg.norm(drops.velocity, axis=-1).max() / 3e8 * 1.001 * band.carrier_hz
        )
