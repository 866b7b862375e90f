"""The sum over paths: against Sionna, against a float64 sum, and against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from path_sums import brute_force, relative_error

from channelbench.generator import Block
from channelbench.generators.evaluate.cuda import evaluate_cuda
from channelbench.generators.evaluate.exact import evaluate
from channelbench.generators.evaluate.fast import evaluate_fast
from channelbench.generators.evaluate.fast_loops import _over_slots
from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT, DrawnPaths
from channelbench.generators.evaluate.slot_terms import slot_terms
from channelbench.generators.tr38901.coefficients_sionna import sionna_channel
from channelbench.registry import create
from channelbench.spec import ArraySpec, BandSpec
from channelbench.store.schema import subcarrier_hz

ROWS = 6


def head(paths: DrawnPaths, rows: int = ROWS) -> DrawnPaths:
    return DrawnPaths(**{name: values[:rows] for name, values in vars(paths).items()})


by_torch = partial(evaluate_cuda, device="cpu")
EVERY = pytest.mark.parametrize(
    ("channel", "tolerance"),
    [(evaluate, 1e-5), (evaluate_fast, 1e-4), (by_torch, 1e-5)],
    ids=["exact", "fast", "torch"],
)
UPA = {"rows": 4, "columns": 6, "spacing_wavelengths": 0.7}


@pytest.mark.parametrize("state", ["los", "nlos"])
@pytest.mark.parametrize("array", [{"columns": 8}, UPA], ids=["ula", "upa"])
@pytest.mark.parametrize("scenario", ["uma", "rma", "umi"])
def test_equals_sionna_without_squint(draw: Callable[..., Any], scenario: str, array: Any, state: str) -> None:
    block = draw(scenario, state=state, engine="sionna", **{"sub6.array": array, "mmwave.array": array})
    for name, band in block.spec.bands.items():
        want = sionna_channel(block.rays[name], block.drops, band, slice(0, ROWS))
        for channel in (evaluate, evaluate_fast):
            assert relative_error(channel(head(block.paths[name]), band, squint=False), want) < 1e-5


def test_engines_without_squint_use_the_carriers_phases(make_spec: Callable[..., Any]) -> None:
    """Of the engines' samples: with ``squint=False`` Sionna's coefficients, or the fast sum of the same kind."""
    for engine in ("sionna", "fast"):
        spec = make_spec("uma", engine=engine, squint=False, **{"mmwave.num_subcarriers": 4})
        generator, rows = create("generators", "uma"), Block(split="train", index=0, start=3, stop=6)
        made = generator.sample(spec, rows, 1)
        _, _, paths = generator.draw(spec, rows, 1)
        for name, band in spec.bands.items():
            want = brute_force(paths[name], paths[name].phase, band, False)
            assert relative_error(made[f"h_{name}"].values, want) < 1e-5


@pytest.mark.parametrize("engine", ["fast", "sionna"])
@pytest.mark.parametrize("squint", [True, False])
@pytest.mark.parametrize("case", [("dualband", "los"), ("dualband", "nlos"), ("multiuser", "nlos")])
def test_equals_a_float64_sum(draw: Callable[..., Any], case: tuple[str, str], squint: bool, engine: str) -> None:
    system, state = case
    block = draw("uma", system, state=state, engine=engine)
    for name, band in block.spec.bands.items():
        paths = head(block.paths[name], 2)
        want = brute_force(paths, paths.phase, band, squint)
        assert relative_error(evaluate(paths, band, squint=squint), want) < 1e-5
        for most in (None, np.abs(paths.doppler_hz).max(), 3 * np.abs(paths.doppler_hz).max()):
            got = evaluate_fast(paths, band, squint=squint, max_doppler_hz=most)
            assert relative_error(got, want) < (1e-4 if squint else 1e-5)
        assert relative_error(by_torch(paths, band, squint=squint), want) < 1e-5


ODD = [
    ArraySpec(columns=1),
    ArraySpec(rows=5, columns=1, spacing_wavelengths=3.0),
    ArraySpec(rows=3, columns=7),
    ArraySpec(columns=256),
    ArraySpec(rows=16, columns=24),
]


@pytest.mark.parametrize("array", ODD, ids=lambda array: f"{array.rows}x{array.columns}")
@pytest.mark.parametrize("grid", [(1, 1), (5, 3), (6, 2), (7, 90)], ids=str)
def test_fast_sum_on_odd_grids(draw: Callable[..., Any], array: ArraySpec, grid: tuple[int, int]) -> None:
    """Odd and even numbers of subcarriers, slots beyond what is summed at once, and arrays that squint in two planes:
    2 GHz at 28 GHz turns the ends of a 16×24 array by a cycle."""
    subcarriers, slots = grid
    band = BandSpec(
        carrier_hz=28e9, bandwidth_hz=2e9, num_subcarriers=subcarriers, num_slots=slots, slot_s=1e-4, array=array
    )
    paths = head(draw("uma", state="nlos").paths["mmwave"], 1)
    # Every 12th path is enough for what is tested, and what a sum in Python can bear.
    few = DrawnPaths(**{**vars(paths), "power": np.where(np.arange(paths.power.shape[1]) % 12, 0, paths.power)})
    want = brute_force(few, few.phase, band, True)
    assert relative_error(evaluate_fast(few, band), want) < 1e-4
    assert relative_error(evaluate_fast(few, band, max_doppler_hz=np.abs(few.doppler_hz).max()), want) < 1e-4


@pytest.mark.parametrize("num_slots", [1, 2, 7, 20, 90])
@pytest.mark.parametrize("max_doppler_hz", [None, 1.0, 53.0, 180.0, 5e3])
def test_slot_terms_make_the_phases_of_any_doppler(num_slots: int, max_doppler_hz: float | None) -> None:
    """Up to the bound, and in both directions: all terms together against the exponential."""
    band = BandSpec(carrier_hz=1.9e9, bandwidth_hz=1e6, num_subcarriers=1, num_slots=num_slots, slot_s=5e-4)
    slots = slot_terms(band, max_doppler_hz)
    assert slots is not None
    turns = np.linspace(-1, 1, 101) * (max_doppler_hz or 400.0) * band.slot_s
    terms = np.empty((len(slots.odd), len(turns)), np.float32)
    _over_slots(turns, slots.most_turns, terms)
    got = (slots.matrix * np.where(slots.odd, 1j, 1)) @ terms
    want = np.exp(2j * np.pi * turns * (np.arange(num_slots) - (num_slots - 1) / 2)[:, None])
    assert np.sqrt(np.mean(np.abs(got - want) ** 2, axis=0)).max() < 1.1e-5
    assert len(slots.odd) <= num_slots
    if num_slots == 20 and max_doppler_hz == 53.0:
        assert len(slots.odd) == 8, "a few terms do where nothing turns far"


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
        aod_phasor=np.full((1, 1), np.exp(1j * azimuth)),
        aoa_phasor=np.ones((1, 1), complex),
        los=np.array([False]),
    )


@EVERY
def test_steering_vector_is_the_papers(channel: Any, tolerance: float) -> None:
    """LLM4WM Eq. 2: element n has the phase 2π·n·f·d·sin(θ)/c, at each subcarrier's own frequency."""
    band = BandSpec(carrier_hz=28e9, bandwidth_hz=2e9, num_subcarriers=5, array=ArraySpec(columns=16))
    theta = np.radians(37.0)
    h = channel(one_path(azimuth=theta), band)[0, 0]
    spacing_m = 0.5 * SPEED_OF_LIGHT / band.carrier_hz
    phase = 2 * np.pi * np.outer(subcarrier_hz(band), np.arange(16)) * spacing_m * np.sin(theta) / SPEED_OF_LIGHT
    np.testing.assert_allclose(h / h[:, :1], np.exp(1j * phase), atol=2 * tolerance)


@EVERY
def test_planar_array_steers_in_both_planes(channel: Any, tolerance: float) -> None:
    band = BandSpec(carrier_hz=2.4e9, bandwidth_hz=1e6, num_subcarriers=1, array=ArraySpec(rows=3, columns=4))
    azimuth, zenith = np.radians(20.0), np.radians(110.0)
    h = channel(one_path(azimuth=azimuth, zenith=zenith), band)[0, 0, 0].reshape(3, 4)
    y_phase, z_phase = np.pi * np.sin(zenith) * np.sin(azimuth), np.pi * np.cos(zenith)
    want = np.exp(1j * (np.arange(3)[:, None] * z_phase + np.arange(4) * y_phase))
    np.testing.assert_allclose(h / h[0, 0], want, atol=tolerance)


@EVERY
def test_delay_turns_the_subcarriers_and_doppler_the_slots(channel: Any, tolerance: float) -> None:
    band = BandSpec(
        carrier_hz=2e9, bandwidth_hz=10e6, num_subcarriers=6, num_slots=4, slot_s=1e-3, array=ArraySpec(columns=1)
    )
    h = channel(one_path(delay_s=130e-9, doppler_hz=70.0, phase=0.4), band)[0, :, :, 0]
    time, frequency = np.arange(4) * 1e-3, (np.arange(6) - 3) * 10e6 / 6
    want = np.exp(1j * (0.4 + 2 * np.pi * (70.0 * time[:, None] - frequency * 130e-9)))
    np.testing.assert_allclose(h, want, atol=tolerance)


@EVERY
def test_nothing_where_there_is_no_path(channel: Any, tolerance: float) -> None:
    band = BandSpec(carrier_hz=2e9, bandwidth_hz=1e6, num_subcarriers=2, num_slots=3)
    nothing = DrawnPaths(**{**vars(one_path()), "power": np.zeros((1, 1))})
    assert not channel(nothing, band).any()


@pytest.mark.parametrize(("engine", "tolerance"), [("sionna", 1e-9), ("fast", 1e-5)])  # m/s; float32 in the fast one
@pytest.mark.parametrize("state", ["los", "nlos"])
def test_specular_doppler_is_the_speed_towards_the_base_station(
    draw: Callable[..., Any], state: str, engine: str, tolerance: float
) -> None:
    block = draw("uma", state=state, engine=engine)
    for name, band in block.spec.bands.items():
        paths, drops = block.paths[name], block.drops
        towards = (drops.bs_position - drops.position) / drops.distance_m[:, None]
        want = np.sum(towards * drops.velocity, axis=-1) * band.carrier_hz / SPEED_OF_LIGHT
        np.testing.assert_allclose(paths.doppler_hz[:, 0], want, atol=tolerance * band.carrier_hz / SPEED_OF_LIGHT)
        assert np.all((paths.power[:, 0] > 0) == (state == "los"))
        assert np.all(
            np.abs(paths.doppler_hz) <= np.linalg.norm(drops.velocity, axis=-1).max() / 3e8 * 1.001 * band.carrier_hz
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("system", ["dualband", "multiuser"])
def test_the_same_paths_on_a_gpu(make_spec: Callable[..., Any], system: str) -> None:
    generator, rows = create("generators", "uma"), Block(split="train", index=0, stop=60)
    here, there = (generator.sample(make_spec("uma", system, engine=engine), rows, 0) for engine in ("fast", "cuda"))
    for name in here:
        if name.startswith("h_"):
            assert relative_error(there[name].values, here[name].values) < 1e-4
        else:
            np.testing.assert_array_equal(there[name].values, here[name].values)
