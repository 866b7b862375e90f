"""What TR 38.901's tables hold for: closed forms against Sionna, warnings outside, refusal below free space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from channelbench import registry
from channelbench.errors import RequestError
from channelbench.generation import generate, make_spec
from channelbench.generator import Block
from channelbench.generators.tr38901 import path_loss
from channelbench.generators.uma import UrbanMacro
from channelbench.ranges import distances, free_space_db, near_field, rayleigh_m
from channelbench.spec import SYSTEMS, ScenarioSpec
from channelbench.store.inspect import summary

CLOSED = {"uma": path_loss.uma_db, "umi": path_loss.umi_db, "rma": path_loss.rma_db}
AWAY = np.geomspace(1.0, 9_999.0, 200)


def drawn_loss_db(rays: Any) -> np.ndarray:
    """Path loss without shadow fading, ``[links]``."""
    return 10 * np.log10(rays.large_scale.sf) - rays.large_scale.path_gain_db


@pytest.mark.parametrize("state", ["los", "nlos"])
@pytest.mark.parametrize(
    ("scenario", "bs_m", "ue_m"),
    [("uma", 25, 1.5), ("uma", 6, 12.9), ("umi", 10, 1.5), ("umi", 4, 22.5), ("rma", 35, 1.5), ("rma", 140, 9)],
)
def test_closed_form_is_sionnas_at_any_distance(draw_at: Callable, scenario: str, bs_m: float, ue_m: float, state: str):
    changes = {"state": state, "bs_height_m": bs_m, "ue_height_m": ue_m, "sub6.carrier_hz": 0.7e9}
    for name, rays in draw_at(scenario, list(AWAY), **changes).items():
        carrier_hz = {"sub6": 0.7e9, "mmwave": 28e9}[name]
        want = CLOSED[scenario](AWAY, carrier_hz, float(bs_m), float(ue_m), state)
        np.testing.assert_allclose(drawn_loss_db(rays), want, atol=1e-6)


@pytest.mark.parametrize(("bs_m", "ue_m"), [(25.0, 22.5), (10.0, 22.5), (25.0, 14.0)])
@pytest.mark.parametrize("state", ["los", "nlos"])
def test_tall_users_of_uma_have_the_mean_over_the_heights_of_what_is_around_them(
    draw_at: Callable, bs_m: float, ue_m: float, state: str
) -> None:
    away = 300.0
    rays = draw_at("uma", [away], state=state, bs_height_m=bs_m, ue_height_m=ue_m)["sub6"]
    drawn = drawn_loss_db(rays)
    want = path_loss.uma_db(np.array([away]), 1.9e9, bs_m, ue_m, state)[0]
    assert abs(drawn.mean() - want) <= 4 * drawn.std() / np.sqrt(len(drawn)) + 1e-6


def test_free_space_is_what_two_isotropic_antennas_see() -> None:
    """Friis: the power over a sphere's surface, times the aperture λ²/4π."""
    distance_m, carrier_hz = np.array([1.0, 123.0, 5000.0]), 2.4e9
    aperture = (299_792_458.0 / carrier_hz) ** 2 / (4 * np.pi)
    np.testing.assert_allclose(
        free_space_db(distance_m, carrier_hz), -10 * np.log10(aperture / (4 * np.pi * distance_m**2)), rtol=1e-12
    )


def test_distances_share_the_users_area_equally() -> None:
    spec = make_spec("uma")
    drawn = UrbanMacro().draw(spec, Block(split="train", index=0), 0).drops
    reach = np.hypot(*drawn.position[:, :2].T)
    assert distances(spec).mean() == pytest.approx(reach.mean(), abs=4 * reach.std() / np.sqrt(len(reach)))
    assert distances(spec).min() > spec.min_distance_m
    assert distances(spec).max() < spec.max_distance_m


@pytest.mark.parametrize("scenario", ["uma", "umi", "rma"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_no_default_is_warned_of_or_refused(scenario: str, system: str) -> None:
    spec, maker = make_spec(scenario, system=system), registry.find("generators", scenario)
    maker.refuse(spec)
    assert maker.cautions(spec) == []


OUTSIDE: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "another height of UMa's base station": ("uma", {"bs_height_m": 24}, ["bs_height_m: 24 m is outside the 25 m of"]),
    "a child in UMa": ("uma", {"ue_height_m": 1.2}, ["ue_height_m: 1.2 m is outside the 1.5 to 22.5 m"]),
    "UMa from 1 m to 10 km": (
        "uma",
        {"min_distance_m": 1, "max_distance_m": 10_000},
        ["min_distance_m: 1 m is outside the 10 to 5000 m", "max_distance_m: 10000 m is outside the 10 to 5000 m"],
    ),
    "RMa at 100 GHz": (
        "rma",
        {"mmwave.carrier_hz": 100e9},
        ["mmwave.carrier_hz: 100 GHz is outside the 0.5 to 30 GHz"],
    ),
    "RMa in sight to 8 km": ("rma", {"max_distance_m": 8000}, []),
    "RMa out of sight to 8 km": (
        "rma",
        {"max_distance_m": 8000, "state": "nlos"},
        ["max_distance_m: 8000 m is outside the 10 to 5000 m of TR 38.901 Table 7.4.1-1 for RMa without line of sight"],
    ),
    "a large array": (
        "uma",
        {"mmwave.array.columns": 1024},
        ["mmwave.array: 100 % of the users stand within the Rayleigh distance of 5613 m (1×1024 elements at 28 GHz)"],
    ),
    "more beams": ("umi", {"mmwave.num_beams": 512}, ["mmwave.num_beams: has no effect on the channels"]),
    "UMa's clipping in UMi": ("umi", {"uma_fc_clip": False}, ["uma_fc_clip: has no effect here"]),
    "UMa's clipping in UMa": ("uma", {"uma_fc_clip": False}, []),
    "RMa's newer table": ("rma", {"table_version": "19.2"}, ["table_version: has no effect here"]),
    "UMi's newer table": ("umi", {"table_version": "19.2"}, []),
    "shadowing between one band": ("uma", {"mmwave": None, "rho_z": 0.5}, ["rho_z: has no effect here"]),
    "UMi's users above the base station": ("umi", {"ue_height_m": 22.5}, []),
    "UMa's own path loss near the base station": (
        "uma",
        {"min_distance_m": 20, "max_distance_m": 100, "mmwave": None},
        ["path loss at sub6 is 0.76 dB below free space in the mean, as TR 38.901 Table 7.4.1-1 for UMa has it"],
    ),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_what_the_tables_do_not_hold_for_is_said_in_a_line_each(case: str) -> None:
    scenario, changes, want = OUTSIDE[case]
    spec, maker = make_spec(scenario, assignments=changes), registry.find("generators", scenario)
    maker.refuse(spec)
    cautions = maker.cautions(spec)
    assert len(cautions) == len(want), cautions
    assert all(line.startswith(start) for line, start in zip(cautions, want, strict=True)), cautions
    assert not any("\n" in line for line in cautions)


def test_umas_line_of_sight_reaches_free_space_at_167_m() -> None:
    away = np.array([100.0, 167.0, 168.0, 200.0])
    reach = np.hypot(away, 0.0)
    above = path_loss.uma_db(away, 28e9, 25.0, 25.0, "los") - free_space_db(reach, 28e9)
    assert list(above > 0) == [False, False, True, True]
    assert path_loss.uma_db(np.array([10.0]), 28e9, 25.0, 25.0, "los") - free_space_db(
        np.array([10.0]), 28e9
    ) == pytest.approx(-2.45, abs=0.01)


@pytest.mark.parametrize(("columns", "carrier_hz", "limit_m"), [(1024, 28e9, 5613.6), (64, 28e9, 21.93)])
def test_rayleigh_distance(columns: int, carrier_hz: float, limit_m: float) -> None:
    """2·D²/λ, where the phase over an aperture D bends by π/8."""
    spec = make_spec("uma", assignments={"mmwave.array.columns": columns, "mmwave.carrier_hz": carrier_hz})
    limit = rayleigh_m(spec.bands["mmwave"])
    assert limit == pytest.approx(limit_m, rel=1e-3)
    wavelength = 299_792_458.0 / carrier_hz
    half = columns * wavelength / 4
    bend = 2 * np.pi * (np.hypot(limit, half) - limit) / wavelength
    assert bend == pytest.approx(np.pi / 8, rel=1e-3)


def test_a_few_users_within_the_rayleigh_distance_are_not_worth_a_word() -> None:
    spec = make_spec("umi")
    away = np.hypot(distances(spec), spec.bs_height_m - spec.ue_height_m)
    assert 0 < np.mean(away < rayleigh_m(spec.bands["mmwave"])) < 0.01
    assert near_field(spec) == []


IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "users above UMa's base station": ({"bs_height_m": 10, "ue_height_m": 22.5}, "bs_height_m: .*3.6 dB below free"),
    "users as high as it": ({"bs_height_m": 22.5, "ue_height_m": 22.5}, "(ue|bs)_height_m: "),
    "users below it": ({"min_distance_m": 1, "max_distance_m": 5}, "min_distance_m: .*1.7 dB below free space"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_path_loss_below_free_space_is_refused_before_anything_is_written(tmp_path: Path, case: str) -> None:
    changes, pattern = IMPOSSIBLE[case]
    with pytest.raises(RequestError, match=pattern):
        generate(make_spec("uma", assignments=changes), tmp_path / "d.zarr")
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused_is_what_would_be_drawn() -> None:
    """The mean that a spec is judged by is that of the links it would make."""
    spec = make_spec("uma", assignments={"bs_height_m": 40, "max_distance_m": 2000})
    rays = UrbanMacro().draw(spec, Block(split="train", index=0), 0)
    (name, state), want = next(iter(path_loss.above_free_space_db(spec, path_loss.uma_db).items()))
    above = drawn_loss_db(rays.rays[name]) - free_space_db(rays.drops.distance_m, spec.bands[name].carrier_hz)
    assert (name, state) == ("sub6", "los")
    assert above.mean() == pytest.approx(want, abs=4 * above.std() / np.sqrt(len(above)))


class Leaking(UrbanMacro):
    """A scenario whose path loss is not the one that it says."""

    def build_scenario(self, spec: ScenarioSpec, options: Mapping[str, Any]) -> Any:
        from sionna.phy.channel.tr38901 import UMaScenario

        class UMaScenarioThatLeaks(UMaScenario):
            def _compute_pathloss_basic(self) -> None:
                super()._compute_pathloss_basic()
                self._update_attr("_pl_b", self._pl_b - 40)

        return UMaScenarioThatLeaks(o2i_model="low", **options)


def test_what_is_drawn_below_free_space_is_caught_outside_the_ranges() -> None:
    spec = make_spec("uma", assignments={"bs_height_m": 30})
    Leaking.refuse(spec)
    with pytest.raises(RequestError, match="bs_height_m: expected a path loss of at least free space's"):
        Leaking().draw(spec, Block(split="train", index=0), 0)
    UrbanMacro().draw(spec, Block(split="train", index=0), 0)


def test_generate_warns_and_inspect_repeats_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small = {"mmwave": None, "sub6.num_slots": 2, "sub6.num_subcarriers": 2, "bs_height_m": 30}
    spec = make_spec("uma", assignments=small | {"sizes.train": 10, "sizes.val": 2, "sizes.test": 3})
    path = generate(spec, tmp_path / "d.zarr", remember=False)
    want = "bs_height_m: 30 m is outside the 25 m of TR 38.901 Table 7.4.1-1 for UMa"
    assert [record.getMessage() for record in caplog.records] == [f"warning: {want}"]
    assert [line for line in summary(path).splitlines() if line.startswith("warning")] == [f"warning  {want}"]
