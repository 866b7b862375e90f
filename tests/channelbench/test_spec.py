"""Specs: defaults of the protocol, validation in one line, round trips."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channelbench.errors import RequestError
from channelbench.presets import PUBLIC_PRESETS
from channelbench.spec import (
    BLOCK_SIZE,
    SPLITS,
    SYSTEMS,
    ScenarioSpec,
    SizesSpec,
    parse_assignments,
    preset_sizes,
    read_toml,
    split_samples,
)
from channelbench.testing import small_spec


def test_block_size_divides_every_preset() -> None:
    for system in SYSTEMS:
        for preset in PUBLIC_PRESETS:
            sizes = preset_sizes(system, preset)
            assert all(sizes.of(split) % BLOCK_SIZE == 0 for split in SPLITS)


def test_json_round_trip() -> None:
    spec = small_spec(system="multiuser")
    assert ScenarioSpec(**spec.model_dump(mode="json")) == spec
    assert ScenarioSpec.model_validate_json(spec.canonical()) == spec


def test_identity_ignores_sizes_and_nothing_else() -> None:
    spec = small_spec()
    assert spec.replace({"sizes.train": 400}).identity() == spec.identity()
    assert spec.replace({"rho_z": 0.5}).identity() != spec.identity()


@pytest.mark.parametrize(
    ("assignments", "field", "fragment"),
    [
        ({"sub6.foo": 1}, "sub6.foo", "choices: array, bandwidth_hz"),
        ({"nowhere": 1}, "nowhere", "bs_height_m"),
        ({"sub6.carrier_hz": "abc"}, "sub6.carrier_hz", "got 'abc'"),
        ({"sub6.num_slots": 0}, "sub6.num_slots", "greater than or equal to 1"),
        ({"state": "sideways"}, "state", "choices: los, nlos, random"),
        ({"min_distance_m": 900.0}, "min_distance_m", "less than max_distance_m"),
        ({"speed_min_mps": 50.0}, "speed_min_mps", "at most speed_max_mps"),
        ({"sub6.bandwidth_hz": 5e9}, "bandwidth_hz", "less than carrier_hz"),
        ({"rho_z": 1.5}, "rho_z", "less than or equal to 1"),
        ({"seed.deep": 1}, "seed", "a group of fields"),
    ],
)
def test_wrong_fields_are_named(assignments: dict, field: str, fragment: str) -> None:
    with pytest.raises(RequestError) as caught:
        small_spec().replace(assignments)
    message = str(caught.value)
    assert message.startswith(f"{field}: expected")
    assert fragment in message
    assert "\n" not in message


@given(st.integers(min_value=15, max_value=10**6))
def test_samples_split_ten_two_three(total: int) -> None:
    sizes = split_samples(total)
    assert sizes.total == total
    assert abs(sizes.train - total * 10 / 15) < 1
    assert abs(sizes.val - total * 2 / 15) < 1


@given(
    carrier=st.floats(0.6e9, 90e9),
    rows=st.integers(1, 16),
    columns=st.integers(1, 64),
    subcarriers=st.integers(1, 128),
    train=st.integers(1, 5000),
)
def test_any_valid_spec_round_trips(carrier: float, rows: int, columns: int, subcarriers: int, train: int) -> None:
    changes = {
        "sub6.carrier_hz": carrier,
        "sub6.array.rows": rows,
        "sub6.array.columns": columns,
        "sub6.num_subcarriers": subcarriers,
        "sizes.train": train,
    }
    spec = small_spec().replace(changes)
    assert ScenarioSpec.model_validate_json(spec.canonical()) == spec
    assert spec.differences(spec) == []
    assert SizesSpec(**spec.sizes.model_dump()) == spec.sizes


def test_assignments_are_typed() -> None:
    parsed = parse_assignments(["sub6.carrier_hz=2.4e9", "state=nlos", "uma_fc_clip=false", "test_speeds_mps=[1.0, 2]"])
    assert parsed == {"sub6.carrier_hz": 2.4e9, "state": "nlos", "uma_fc_clip": False, "test_speeds_mps": [1.0, 2]}
    with pytest.raises(RequestError, match="field=value"):
        parse_assignments(["state"])


def test_toml_files_are_flattened(tmp_path) -> None:
    path = tmp_path / "spec.toml"
    path.write_text("state = 'nlos'\n[sub6]\ncarrier_hz = 2.4e9\n[sub6.array]\ncolumns = 4\n")
    assert read_toml(path) == {"state": "nlos", "sub6.carrier_hz": 2.4e9, "sub6.array.columns": 4}
    with pytest.raises(RequestError, match="readable TOML"):
        read_toml(tmp_path / "absent.toml")
