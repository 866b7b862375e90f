"""Values in other units than a spec's fields have: the same spec, and the same digest, as in the fields' own."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channelbench.errors import RequestError
from channelbench.generation import make_spec
from channelbench.systems import KMH, SYSTEMS
from channelbench.testing import small_spec
from channelbench.units import UNITS, all_in_si, converted

# Of each unit in the field's: SI brochure, 9th edition, tables 7 and 8; km/h is 1000 m in 3600 s.
FACTORS = {
    "mps": {"m/s": 1, "mps": 1, "km/h": Fraction(1000, 3600), "kmh": Fraction(1000, 3600), "kph": Fraction(1000, 3600)},
    "hz": {"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9, "THz": 10**12},
    "s": {
        "s": 1,
        "ms": Fraction(1, 10**3),
        "ns": Fraction(1, 10**9),
        **dict.fromkeys(("us", "\u00b5s", "\u03bcs"), Fraction(1, 10**6)),
    },
    "m": {"m": 1, "km": 10**3, "cm": Fraction(1, 100), "mm": Fraction(1, 1000)},
    "deg": {"deg": 1, "°": 1},
}


def test_every_unit_has_its_factor_in_this_test() -> None:
    assert {kind: set(units) for kind, units in UNITS.items()} == {k: set(units) for k, units in FACTORS.items()}


@pytest.mark.parametrize(("kind", "unit"), [(kind, unit) for kind, units in FACTORS.items() for unit in units])
@given(number=st.decimals(-(10**15), 10**15, allow_nan=False, places=6), blank=st.sampled_from(["", " ", "  "]))
def test_a_unit_is_its_factor_over_the_whole_range(kind: str, unit: str, number: Any, blank: str) -> None:
    found = converted("field", f"{number}{blank}{unit}", kind)
    want = float(Fraction(number) * FACTORS[kind][unit])
    assert math.isclose(found, want, rel_tol=4e-16, abs_tol=0)
    if FACTORS[kind][unit] == 1 or unit.endswith("Hz"):
        assert found == want, "rounded once"
    assert converted("field", f"{number}{unit.upper()}", kind) == found, "in any case of letters"


def test_kilometres_per_hour_are_those_of_the_systems() -> None:
    for speed in range(501):
        assert all_in_si({"speed_kmh": speed}) == {"speed_min_mps": speed * KMH, "speed_max_mps": speed * KMH}
        assert converted("speed", f"{speed} km/h", "mps") == speed * KMH


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({"speed": "60km/h"}, {"speed_min_mps": 60 * KMH, "speed_max_mps": 60 * KMH}),
        ({"speed": "60 km/h"}, {"speed_min_mps": 60 * KMH, "speed_max_mps": 60 * KMH}),
        ({"speed_kmh": 60}, {"speed_min_mps": 60 * KMH, "speed_max_mps": 60 * KMH}),
        ({"speed_mps": 3}, {"speed_min_mps": 3, "speed_max_mps": 3}),
        ({"speed_min_mps": "3 km/h", "speed_max": "120 km/h"}, {"speed_min_mps": 3 * KMH, "speed_max_mps": 120 * KMH}),
        ({"speed_max_kmh": 120.0}, {"speed_max_mps": 120 * KMH}),
        ({"speed_max_mps": "120"}, {"speed_max_mps": "120"}),
        ({"speed_max_mps": "30 mps"}, {"speed_max_mps": 30.0}),
        ({"test_speeds_kmh": [10, 50]}, {"test_speeds_mps": (10 * KMH, 50 * KMH)}),
        ({"test_speeds": ["10 km/h", "9 m/s"]}, {"test_speeds_mps": (10 * KMH, 9.0)}),
        ({"sub6.carrier": "2.4GHz"}, {"sub6.carrier_hz": 2.4e9}),
        ({"sub6.carrier_ghz": 3.3}, {"sub6.carrier_hz": 3.3e9}),
        ({"sub6.carrier_hz": "2 400 MHz".replace(" ", "")}, {"sub6.carrier_hz": 2.4e9}),
        ({"mmwave.bandwidth_MHz": 100}, {"mmwave.bandwidth_hz": 1e8}),
        ({"sub6": {"carrier": "2.4 GHz", "slot_ms": 0.25}}, {"sub6.carrier_hz": 2.4e9, "sub6.slot_s": 0.25e-3}),
        ({"max_distance": "0.4 km"}, {"max_distance_m": 400.0}),
        ({"sector": "90 deg"}, {"sector_deg": 90.0}),
    ],
)
def test_other_units_make_the_same_spec(asked: dict[str, Any], fields: dict[str, Any]) -> None:
    if "speed_max_mps" in fields and "speed_min_mps" not in fields:
        asked, fields = asked | {"speed_min_mps": 0.5}, fields | {"speed_min_mps": 0.5}
    want = make_spec("uma", assignments=fields)
    assert make_spec("uma", assignments=asked) == want
    assert make_spec("uma").replace(asked).canonical() == want.canonical()
    assert make_spec("uma", assignments=asked).identity() == want.identity()


def test_the_defaults_are_reached_in_kilometres_per_hour() -> None:
    """Nobody's digest hangs on whether a speed was left out or written."""
    assert make_spec("uma", assignments={"speed_kmh": 30}) == make_spec("uma")
    speeds = {"speed_min": "10 km/h", "speed_max_kmh": 100, "test_speeds_kmh": list(range(10, 101, 10))}
    assert make_spec("uma", system="multiuser", assignments=speeds) == make_spec("uma", system="multiuser")
    assert SYSTEMS["multiuser"]["speed_max_mps"] == 100 * KMH


@pytest.mark.parametrize(
    ("field", "value", "expected", "got"),
    [
        ("speed", 60, "a number with a unit of m/s, km/h", "60"),
        ("speed", "fast", "a number with a unit of m/s, km/h", "'fast'"),
        ("speed_max_mps", "60 furlongs", "a number with a unit of m/s, km/h", "'60 furlongs'"),
        ("sub6.carrier_hz", "60 km/h", "a number with a unit of Hz, kHz, MHz, GHz", "'60 km/h'"),
        ("sub6.slot", "1 h", "a number with a unit of s, ms, us, ns", "'1 h'"),
        ("test_speeds_mps", ["10 km/h", "20 mi/h"], "a number with a unit of m/s, km/h", "'20 mi/h'"),
        ("speed_kmh", 900, "less than or equal to 140", "250.0"),
        ("speed_kmh", "1e999", "", ""),
        ("speed_kmh", True, "a number", "True"),
    ],
)
def test_what_is_no_such_unit_is_one_line(field: str, value: Any, expected: str, got: str) -> None:
    with pytest.raises(RequestError) as caught:
        small_spec().replace({field: value})
    assert str(caught.value).startswith(field.partition("_")[0])
    assert expected in str(caught.value)
    assert got in str(caught.value)
    assert "\n" not in str(caught.value)


def test_flag_and_file_mean_the_same_and_the_flag_wins(shell: Any) -> None:
    Path("slow.toml").write_text(
        'speed = "5 km/h"\n\n[sub6]\ncarrier = "2.4 GHz"\nnum_slots = 2\nnum_subcarriers = 4\n'
    )
    small = ("--set", "mmwave=false", "--samples", "15")
    assert shell("generate", "--out", "a.zarr", "--spec", "slow.toml", "--set", "speed_max_mps=10", *small)[0] == 0
    same = ("--set", f"speed_min_mps={5 * KMH!r}", "--set", "speed_max_mps=10", "--set", "sub6.carrier_hz=2.4e9")
    more = ("--set", "sub6.num_slots=2", "--set", "sub6.num_subcarriers=4")
    code, out, err = shell("generate", "--out", "a.zarr", *same, *more, *small)
    assert (code, "already complete" in out) == (0, True), err
