"""Every way to set a field is one way: flags, ``--set``, TOML and Python end in the same spec."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channelbench import generation
from channelbench.benchmarks.experiments.transfer import target_spec
from channelbench.errors import RequestError
from channelbench.generation import make_spec
from channelbench.spec import SYSTEMS, ScenarioSpec, read_toml
from channelbench.testing import small_spec

Shell = Callable[..., tuple[int, str, str]]

SCENARIOS = ("uma", "umi", "rma")
KINDS = [(scenario, system) for scenario in SCENARIOS for system in SYSTEMS]
CHANGES = {
    "bs_height_m": 12.5,
    "max_distance_m": 90.0,
    "state": "random",
    "sub6.array.columns": 3,
    "rho_z": 0.25,
    "sizes.train": 400,
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, shell: Shell) -> Callable[..., ScenarioSpec]:
    """``asked(*arguments)``: the spec that ``channelbench generate`` comes to."""

    def stop(spec: ScenarioSpec, *_: Any, **__: Any) -> None:
        found.append(spec)
        raise RequestError("enough", expected="no dataset", got="a spec")

    def ask(*arguments: str) -> ScenarioSpec:
        found.clear()
        code, _, err = shell("generate", *arguments)
        assert code == 2
        assert err.startswith("error: enough"), err
        return found[0]

    found: list[ScenarioSpec] = []
    monkeypatch.setattr(generation, "generate", stop)
    return ask


@pytest.mark.parametrize(("scenario", "system"), KINDS)
def test_scenario_and_system_are_the_same_wherever_they_stand(
    asked: Callable[..., ScenarioSpec], scenario: str, system: str
) -> None:
    want = make_spec(scenario, system=system)
    assert asked("--scenario", scenario, "--system", system) == want
    assert asked("--set", f"scenario={scenario}", "--set", f"system={system}") == want
    assert asked("--set", f"system={system}", "--set", f"scenario='{scenario}'") == want
    assert asked("--scenario", scenario, "--set", f"system={system}") == want
    Path("s.toml").write_text(f"system = '{system}'\nscenario = '{scenario}'\n")
    assert asked("--spec", "s.toml") == want
    assert asked("--spec", "s.toml", "--scenario", scenario) == want
    assert asked("--spec", "s.toml", "--set", "scenario=uma") == make_spec("uma", system=system)
    assert make_spec(assignments={"scenario": scenario, "system": system}) == want
    assert make_spec("rma", system="multiuser", assignments={"scenario": scenario, "system": system}) == want
    for other in (make_spec(*kind[:1], system=kind[1]) for kind in KINDS):
        assert other.replace({"scenario": scenario, "system": system}) == want
        assert other.replace({"system": system}).replace({"scenario": scenario}) == want
    assert want.canonical() == make_spec(scenario, system=system).canonical()


def test_geometry_is_the_scenarios_own() -> None:
    umi = make_spec("uma").replace({"scenario": "umi"})
    assert (umi.bs_height_m, umi.min_distance_m, umi.max_distance_m) == (10, 10, 200)
    crowd = make_spec("uma").replace({"system": "multiuser"})
    assert (crowd.state, crowd.min_distance_m, crowd.mmwave, crowd.sub6.num_subcarriers) == ("nlos", 20, None, 48)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_was_set_stays_whatever_the_order(asked: Callable[..., ScenarioSpec], scenario: str) -> None:
    want = make_spec(scenario, system="multiuser", assignments=CHANGES)
    assert {name: want.flat()[name] for name in ("bs_height_m", "max_distance_m", "state")} == {
        name: CHANGES[name] for name in ("bs_height_m", "max_distance_m", "state")
    }
    words = [("scenario", scenario), ("system", "multiuser"), *CHANGES.items()]
    for order in (words, words[::-1], words[3:] + words[:3]):
        flags = [word for field, value in order for word in ("--set", f"{field}={value}")]
        assert asked(*flags) == want
        assert make_spec(assignments=dict(order)) == want
        spec = make_spec("uma")
        for field, value in order:
            spec = spec.replace({field: value})
        assert spec == want
    assert make_spec("rma", assignments=CHANGES).replace({"scenario": scenario, "system": "multiuser"}) == want


def test_a_band_that_was_taken_away_stays_away_and_one_that_is_new_comes_along() -> None:
    alone = make_spec("uma", assignments={"mmwave": None})
    assert alone.replace({"scenario": "umi"}) == make_spec("umi", assignments={"mmwave": None})
    band = {"carrier_hz": 28e9, "bandwidth_hz": 1e8}
    both = make_spec("uma", system="multiuser", assignments={"mmwave": band})
    assert both.replace({"scenario": "rma"}) == make_spec("rma", system="multiuser", assignments={"mmwave": band})
    changed = make_spec("uma", assignments={"mmwave.num_slots": 2})
    with pytest.raises(RequestError, match="mmwave: expected a group of fields in this system"):
        changed.replace({"system": "multiuser"})
    with pytest.raises(RequestError, match="mmwave: expected a group of fields in this system"):
        make_spec(system="multiuser", assignments={"mmwave.num_slots": 2})


def test_a_table_is_its_fields_one_by_one(asked: Callable[..., ScenarioSpec]) -> None:
    want = make_spec("uma", assignments={"sub6.num_slots": 5, "sub6.array.columns": 2})
    assert asked("--set", "sub6={num_slots = 5, array = {columns = 2}}") == want
    assert asked("--set", "sub6.array={columns=2}", "--set", "sub6={num_slots=5}") == want
    Path("s.toml").write_text("[sub6]\nnum_slots = 5\n[sub6.array]\ncolumns = 2\n")
    assert asked("--spec", "s.toml") == want
    assert asked("--set", "sub6.array={columns=2}", "--spec", "s.toml") == want
    for order in permutations([("sub6", {"num_slots": 5}), ("sub6.array", {"columns": 2})]):
        assert make_spec("uma", assignments=dict(order)) == want == make_spec("uma").replace(dict(order))


@pytest.mark.parametrize(
    ("flag", "value", "other"),
    [("scenario", "umi", "rma"), ("system", "dualband", "multiuser"), ("state", "los", "nlos")],
)
def test_a_flag_that_says_otherwise_than_a_file_is_refused(shell: Shell, flag: str, value: str, other: str) -> None:
    Path("s.toml").write_text(f"{flag} = '{other}'\n")
    for words in (("--spec", "s.toml"), ("--set", f"{flag}={other}")):
        code, _, err = shell("generate", f"--{flag}", value, *words)
        assert code == 2
        assert err.startswith(f"error: --{flag}: expected what --set or --spec says of {flag}, {other}, or no flag")
        assert err.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["s.toml"]


def test_targets_of_a_transfer_take_systems_and_scenarios_whole() -> None:
    source = make_spec("uma")
    assert target_spec(source, {"scenario": "rma"}) == make_spec("rma")
    assert target_spec(source, {"system": "multiuser"}) == make_spec("uma", system="multiuser")
    assert target_spec(source, {"scenario": "umi", "system": "multiuser"}) == make_spec("umi", system="multiuser")


@given(
    st.dictionaries(
        st.sampled_from(["bs_height_m", "min_distance_m", "sector_deg", "sub6.array.rows", "sub6.num_slots", "state"]),
        st.integers(2, 10),
    ),
    st.sampled_from(KINDS),
    st.sampled_from(KINDS),
)
def test_moving_there_and_back_loses_nothing(changes: dict[str, Any], here: Any, there: Any) -> None:
    if "state" in changes:
        changes["state"] = "random"
    spec = make_spec(here[0], system=here[1], assignments=changes)
    moved = spec.replace({"scenario": there[0], "system": there[1]})
    kept = {name: value for name, value in changes.items() if _at(make_spec(here[0], system=here[1]), name) != value}
    assert moved == make_spec(there[0], system=there[1], assignments=kept)


def _at(spec: ScenarioSpec, dotted: str) -> Any:
    node: Any = spec.flat()
    for part in dotted.split("."):
        node = node[part]
    return node


def test_recorded_forms_are_read_as_they_are(tmp_path: Path) -> None:
    """What a dataset says is complete: no default is put in its place."""
    odd = make_spec("uma").flat() | {"scenario": "umi"}
    assert ScenarioSpec(**odd).bs_height_m == 25
    assert ScenarioSpec.from_record(odd).bs_height_m == 25
    assert small_spec().replace({"scenario": "uma"}).scenario == "uma"
    (tmp_path / "s.toml").write_text("scenario = 'umi'\n")
    assert read_toml(tmp_path / "s.toml") == {"scenario": "umi"}
