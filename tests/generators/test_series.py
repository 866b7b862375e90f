"""The series of the fast sum: right for every band, or not used, as a bound says that the band alone decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from path_sums import brute_force, random_paths, relative_error
from scipy.special import jv

from channelbench.errors import RequestError
from channelbench.generator import Block
from channelbench.generators.evaluate import slot_terms as slots_module
from channelbench.generators.evaluate.exact import evaluate
from channelbench.generators.evaluate.fast import evaluate_fast
from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT
from channelbench.generators.evaluate.slot_terms import slot_terms
from channelbench.generators.evaluate.squint import LARGEST_ERROR, TOLERANCE, _tail, squint_series
from channelbench.registry import create
from channelbench.spec import ArraySpec, BandSpec
from channelbench.store.schema import antenna_positions, subcarrier_hz

ENDS = [None, [0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 1.0]]
"""Directions: everywhere, along the columns, along the rows, and between them."""


def make_band(carrier_hz: float, bandwidth_hz: float, columns: int, rows: int = 1, **fields: Any) -> BandSpec:
    spacing = fields.pop("spacing_wavelengths", 0.5)
    array = ArraySpec(rows=rows, columns=columns, spacing_wavelengths=spacing)
    return BandSpec(carrier_hz=carrier_hz, bandwidth_hz=bandwidth_hz, array=array, **fields)


WIDE = {
    "28 GHz": make_band(28e9, 2.7e9, 1024, num_subcarriers=9),
    "28 GHz, two subcarriers": make_band(28e9, 2.7e9, 1024, num_subcarriers=2),
    "1 GHz": make_band(1e9, 0.9e9, 256, num_subcarriers=10),
    "100 GHz": make_band(100e9, 10e9, 1024, num_subcarriers=8),
    "two antennas": make_band(2e9, 1.9e9, 2, num_subcarriers=2, spacing_wavelengths=10.0),
    "planar": make_band(28e9, 7e9, 30, 20, num_subcarriers=6),
    "tall": make_band(28e9, 2.7e9, 1, 512, num_subcarriers=3),
}


@pytest.mark.parametrize("name", WIDE)
def test_wide_bands_of_large_arrays_squint_right(name: str) -> None:
    """Also where the largest term is an odd one, as in most of these."""
    band, rng = WIDE[name], np.random.default_rng(0)
    for direction in ENDS:
        paths = random_paths(rng, 8, direction=direction)
        want = brute_force(paths, paths.phase, band, True)
        assert relative_error(evaluate_fast(paths, band), want) < 1.5e-4
        assert relative_error(evaluate(paths, band), want) < 1e-6


def test_odd_first_terms_are_among_those_tested() -> None:
    found = [series for band in WIDE.values() if (series := squint_series(band, True))]
    assert sum(bool(series.odd[0]) for series in found) >= 2
    assert len(found) < len(WIDE), "and bands that have no series"


def test_presets_keep_their_terms() -> None:
    """Their bytes depend on number and order of the terms."""
    expected = {
        (1.9e9, 60e6, 8, 1): [(0, 0), (1, 0), (2, 0)],
        (28e9, 0.5e9, 64, 1): [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)],
        (2.4e9, 48 * 180e3, 16, 8): [(0, 0), (1, 0), (0, 1), (1, 1)],
    }
    for (carrier_hz, bandwidth_hz, columns, rows), orders in expected.items():
        subcarriers = 48 if rows > 1 else 64
        series = squint_series(make_band(carrier_hz, bandwidth_hz, columns, rows, num_subcarriers=subcarriers), True)
        assert series is not None
        assert [tuple(pair) for pair in series.orders] == orders
        assert series.error < 1.5e-4


@pytest.mark.parametrize(
    "band",
    [make_band(28e9, 0.5e9, 64), make_band(5e9, 1e9, 9, 7, num_subcarriers=5), *WIDE.values()],
    ids=lambda band: f"{band.carrier_hz / 1e9:g} {band.array.columns}x{band.array.rows}",
)
def test_bound_holds_for_a_path_from_any_direction(band: BandSpec) -> None:
    """What the terms leave of a path stays below the bound, and the bound is not far from it."""
    if (series := squint_series(band, True)) is None:
        return
    offset_hz = subcarrier_hz(band)[band.num_subcarriers // 2 :] - band.carrier_hz * (1 + series.middle)
    beta = 2 * np.pi * offset_hz[:, None, None] / band.carrier_hz * antenna_positions(band)[:, 1:]
    coefficients = series.coefficients[..., ::2] * np.where(series.odd, 1j, 1)[:, None, None]
    lost = []
    for uv in ([1, 0], [0, 1], [0.6, 0.8], *np.random.default_rng(1).uniform(-0.7, 0.7, (8, 2))):
        chebyshev = np.cos(series.orders * np.arccos(uv)).prod(axis=1)
        made = np.tensordot(chebyshev, coefficients, 1)
        lost.append(np.sqrt(np.mean(np.abs(made - np.exp(1j * beta @ uv)) ** 2)))
    assert series.error / 12 < max(lost) < min(series.error, 2.5 * TOLERANCE)
    assert series.error <= LARGEST_ERROR


def test_tails_are_bounded() -> None:
    for reach in (1e-3, 0.3, 2.0, 9.0, 70.0):
        limit = int(2 * reach) + 6
        true = sum(2 * np.abs(jv(order, np.linspace(0, reach, 200))).max() for order in range(limit, limit + 60))
        assert true <= _tail(reach, limit) < 1e-4
    assert _tail(0.0, 1) == 0.0


def test_long_series_are_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over arrays of kilometres and slots of hours nothing is computed before the exact sum is chosen."""
    monkeypatch.setattr("channelbench.generators.evaluate.squint.jv", lambda *_: pytest.fail("a series was begun"))
    monkeypatch.setattr(slots_module, "jv", lambda *_: pytest.fail("a series was begun"))
    huge = make_band(1e9, 0.999e9, 1024, 1024, spacing_wavelengths=10.0, num_subcarriers=4096)
    assert squint_series(huge, True) is None
    assert squint_series(make_band(1e9, 0.999e9, 1024, num_subcarriers=2), True) is None
    hours = make_band(100e9, 1e6, 2, num_slots=20, slot_s=3600.0)
    slots = slot_terms(hours, 140 * hours.carrier_hz / SPEED_OF_LIGHT)
    assert slots is not None
    assert len(slots.odd) == 20
    assert slot_terms(make_band(2e9, 1e6, 2, num_slots=10**6), 10.0) is None


@pytest.mark.parametrize("num_slots", [2, 3, 9, 20])
def test_series_that_are_not_begun_were_too_long(num_slots: int) -> None:
    """The orders up to the largest angle are needed, up to angles that are far beyond."""
    from_middle = np.arange(num_slots) - (num_slots - 1) / 2
    for reach in np.geomspace(num_slots, 20 * num_slots, 12):
        _, odd = slots_module._series(float(reach / from_middle[-1] / (2 * np.pi)), from_middle)
        assert len(odd) >= num_slots


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("squint", [True, False])
@pytest.mark.parametrize(
    ("carrier_hz", "slot_s", "num_slots"),
    [(28e9, 5e-4, 20), (100e9, 0.01, 20), (100e9, 0.01, 21), (100e9, 60.0, 20), (100e9, 3600.0, 19), (28e9, 5e-4, 300)],
)
def test_users_may_move_fast_and_slots_lie_far_apart(
    carrier_hz: float, slot_s: float, num_slots: int, squint: bool, precision: type
) -> None:
    band = make_band(carrier_hz, 1e6, 4, num_subcarriers=3, num_slots=num_slots, slot_s=slot_s)
    most = 140 * carrier_hz / SPEED_OF_LIGHT
    paths = random_paths(np.random.default_rng(2), 12, max_doppler_hz=most, precision=precision)
    want = brute_force(paths, paths.phase, band, squint)
    for bound in (most, None):
        assert relative_error(evaluate_fast(paths, band, squint=squint, max_doppler_hz=bound), want) < 5e-5
    assert relative_error(evaluate(paths, band, squint=squint), want) < 1e-5


def test_a_path_beyond_the_bound_is_refused() -> None:
    band = make_band(2e9, 1e6, 4, num_slots=20)
    for sign in (1.0, -1.0):
        paths = random_paths(np.random.default_rng(2), 3, max_doppler_hz=sign * 60.0)
        evaluate_fast(paths, band, max_doppler_hz=60.0)
        with pytest.raises(ValueError, match="at most max_doppler_hz = 59 Hz, got 60 Hz"):
            evaluate_fast(paths, band, max_doppler_hz=59.0)


@pytest.mark.parametrize("speed_mps", [-20.0, -100.0, 100.0])
def test_test_speeds_in_any_direction(make_spec: Any, speed_mps: float) -> None:
    """Also backwards, should a spec allow that: the bound is on the speed's size."""
    small = {"mmwave.num_subcarriers": 2, "sub6.num_subcarriers": 4}
    spec = make_spec("uma", **small).model_copy(update={"test_speeds_mps": (speed_mps,)})
    generator, rows = create("generators", "uma"), Block(split="test", index=0, stop=4)
    made, (_, _, paths) = generator.sample(spec, rows, 3), generator.draw(spec, rows, 3)
    np.testing.assert_allclose(np.linalg.norm(made["ue_velocity"], axis=-1), abs(speed_mps), rtol=1e-6)
    for name, band in spec.bands.items():
        want = brute_force(paths[name], paths[name].phase, band, True)
        assert relative_error(made[f"h_{name}"].values, want) < 1e-4


def test_slots_beyond_all_precision_are_refused_first(make_spec: Any) -> None:
    generator = create("generators", "uma")
    generator.refuse(make_spec("uma", **{"sub6.slot_s": 3600.0}))
    far = make_spec("uma", **{"sub6.slot_s": 3600.0, "sub6.num_slots": 10**6})
    with pytest.raises(RequestError, match=r"sub6.slot_s: expected at most 18.9 s for so many slots at these speeds"):
        generator.refuse(far)


def log_uniform(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(np.log10(low), np.log10(high)).map(lambda exponent: float(np.clip(10**exponent, low, high)))


@st.composite
def bands(draw: st.DrawFn, most_numbers: int) -> tuple[BandSpec, float]:
    """A band of any shape that a spec allows, and the speed of its users in m/s; so many numbers per path at most."""
    sizes, left = {}, float(most_numbers)
    for name in draw(st.permutations(["rows", "columns", "num_subcarriers", "num_slots"])):
        sizes[name] = max(1, int(draw(log_uniform(1, min(left, 1024)))))
        left /= sizes[name]
    carrier_hz = draw(log_uniform(0.51e9, 100e9))
    band = make_band(
        carrier_hz,
        draw(log_uniform(1e3, 0.999 * carrier_hz)),
        sizes["columns"],
        sizes["rows"],
        spacing_wavelengths=draw(st.sampled_from([0.5, 0.5, 0.05, 0.7, 3.0, 10.0])),
        num_subcarriers=sizes["num_subcarriers"],
        num_slots=sizes["num_slots"],
        slot_s=draw(log_uniform(1e-9, 3600.0)),
    )
    return band, draw(st.sampled_from([0.0, 1.0, 8.3, 140.0]))


def errors_in_any_band(case: tuple[BandSpec, float], seed: int, num_paths: int, precision: type) -> tuple[float, float]:
    """Root mean square errors of the fast and of the exact sum, of channels of power 1, the larger of with and without
    squint and bound. That of the fast one is within what is proven, path by path."""
    band, speed_mps = case
    rng, most = np.random.default_rng(seed), speed_mps * band.carrier_hz / SPEED_OF_LIGHT
    paths = random_paths(rng, num_paths, max_doppler_hz=most, direction=ENDS[seed % len(ENDS)], precision=precision)
    fast, exact = 0.0, 0.0
    for squint in (True, False):
        want = brute_force(paths, paths.phase, band, squint)
        for bound in (most, None):
            got = evaluate_fast(paths, band, squint=squint, max_doppler_hz=bound)
            fast = max(fast, float(np.sqrt(np.mean(np.abs(got - want) ** 2))))
        exact = max(exact, float(np.sqrt(np.mean(np.abs(evaluate(paths, band, squint=squint) - want) ** 2))))
    # With those of slots and turns, see `slot_terms`; in the mean over phases the sum of amplitudes would be 1.
    assert fast < (LARGEST_ERROR + 1e-4) * np.sqrt(paths.power).sum()
    return fast, exact


ANY = {"seed": st.integers(0, 2**32), "num_paths": st.integers(2, 9), "precision": st.sampled_from([np.float32, float])}


@settings(max_examples=200)
@given(case=bands(4_000), **ANY)
def test_any_band_is_right(**any_case: Any) -> None:
    fast, exact = errors_in_any_band(**any_case)
    assert fast < 2.5e-4
    assert exact < 1e-5


@pytest.mark.slow
def test_any_large_band_is_right() -> None:
    """With the distribution of the errors, which ``-s`` shows."""
    found: list[tuple[float, float]] = []

    @settings(max_examples=1500)
    @given(case=bands(100_000), **ANY)
    def check(**any_case: Any) -> None:
        found.append(errors_in_any_band(**any_case))
        assert np.less(found[-1], (2.5e-4, 1e-5)).all()

    check()
    for name, errors in zip(("fast", "exact"), np.array(found).T, strict=True):
        median, most, largest = np.quantile(errors, [0.5, 0.99, 1.0])
        print(f"{name}: median {median:.1e}, 99 % below {most:.1e}, largest {largest:.1e} of {len(errors)} bands")
