"""What no ray can be traced for: one line, and nothing is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_scenes import write_scene

from channelbench.errors import RequestError
from channelbench.generation import generate, make_spec
from channelbench.generators.raytraced.files import file_of, is_recorded
from channelbench.generators.raytraced.users import users_of
from channelbench.spec import SPLITS, ScenarioSpec, SizesSpec

Make = Callable[..., ScenarioSpec]


def _refused(make: Callable[[], ScenarioSpec], out: Path, field: str, *words: str) -> None:
    with pytest.raises(RequestError) as caught:
        generate(make(), out, remember=False)
    text = str(caught.value)
    assert caught.value.field == field, text
    assert "\n" not in text
    for word in words:
        assert re.search(word, text), text
    assert not out.exists()


@pytest.fixture
def village(street: Make, tmp_path: Path) -> Callable[..., ScenarioSpec]:
    """``village(material="concrete", **assignments)``: a scene file, its base station above the first house."""

    def make(material: str = "concrete", **assignments: Any) -> ScenarioSpec:
        (folder := tmp_path / "scene").mkdir(exist_ok=True)
        file = write_scene(folder, material=material)
        usual: dict[str, Any] = {"scene": str(file), "bs_position_m": [0.0, 0.0], "bs_height_m": 20.0, "area_m": 20.0}
        return street(**usual | assignments)

    return make


def test_a_scene_file_that_is_not_there(tmp_path: Path) -> None:
    _refused(lambda: _spec(scene=str(tmp_path / "none.xml")), tmp_path / "x", "scene", "not there", "munich")


@pytest.mark.parametrize("content", ["", "words", "<scene", "<html></html>", "\0\0"])
def test_a_scene_file_that_is_no_scene(content: str, tmp_path: Path) -> None:
    (file := tmp_path / "broken.xml").write_text(content)
    _refused(lambda: _spec(scene=str(file)), tmp_path / "x", "scene", "broken.xml")


def test_a_scene_whose_meshes_are_not_there(tmp_path: Path) -> None:
    file = write_scene(tmp_path)
    (tmp_path / "houses.ply").unlink()
    _refused(lambda: _spec(scene=str(file)), tmp_path / "x", "scene", "houses.ply", "No such file")


def test_a_mesh_that_is_cut_short(village: Make, tmp_path: Path) -> None:
    spec = village()
    mesh = tmp_path / "scene" / "houses.ply"
    mesh.write_text(mesh.read_text()[:150])
    _refused(lambda: spec, tmp_path / "x", "scene", "changed")
    again = {"scene": str(tmp_path / "scene" / "village.xml"), "bs_position_m": [0.0, 0.0]}
    _refused(lambda: _spec(**again), tmp_path / "x", "scene", "village")


def test_a_material_that_nobody_knows(village: Make, tmp_path: Path) -> None:
    _refused(lambda: village("cheese"), tmp_path / "x", "scene", "village", "cheese")


def test_a_material_without_a_value_at_28_ghz(village: Make, tmp_path: Path) -> None:
    """ITU-R P.2040 has the ground's up to 10 GHz."""
    _refused(lambda: village("medium_dry_ground"), tmp_path / "x", "scene", "28 GHz", "village")


def test_a_scene_of_ones_own_says_where_the_base_station_is(village: Make, tmp_path: Path) -> None:
    _refused(lambda: village(bs_position_m=None), tmp_path / "x", "bs_position_m", "your scene")


def test_a_base_station_under_a_roof(village: Make, tmp_path: Path) -> None:
    _refused(lambda: village(bs_height_m=5.0), tmp_path / "x", "bs_position_m", "roof is at 12 m")


def test_a_base_station_in_a_wall(village: Make, tmp_path: Path) -> None:
    spec = lambda: village(bs_position_m=[10.1, 0.0], bs_height_m=5.0)  # noqa: E731
    _refused(spec, tmp_path / "x", "bs_position_m", "in a wall")


def test_a_base_station_beside_the_scene(village: Make, tmp_path: Path) -> None:
    _refused(lambda: village(bs_position_m=[999.0, 0.0]), tmp_path / "x", "bs_position_m", "below which nothing is")


def test_no_place_in_sight(village: Make, tmp_path: Path) -> None:
    """At the foot of the house that the base station is on."""
    spec = lambda: village(min_distance_m=15.0, max_distance_m=17.0, split="interleaved")  # noqa: E731
    _refused(spec, tmp_path / "x", "scene", "none in line of sight")


def test_no_coverage_where_users_are(village: Make, tmp_path: Path) -> None:
    """Behind houses with no interaction allowed."""
    spec = lambda: village(state="nlos", max_depth=0, split="interleaved")  # noqa: E731
    _refused(spec, tmp_path / "x", "scene", "none of .* is reached", "larger max_depth")


@pytest.mark.slow
def test_who_is_not_reached_is_told_what_reaches(street: Make, tmp_path: Path) -> None:
    """Around the corner of the canyon: the refusal names an option that works."""
    around = lambda: street(state="nlos")  # noqa: E731
    _refused(around, tmp_path / "x", "scene", "none of .* is reached", r"`--set diffraction=true` reaches [1-8] of 8")
    spec = around().replace({"diffraction": True})
    assert all(users_of(spec, split, 0, 0, 1) for split in SPLITS)


def test_a_street_canyon_has_users_out_of_sight_by_default() -> None:
    assert _spec(state="nlos").source.settings.diffraction  # type: ignore[attr-defined]


def test_fewer_areas_than_splits(village: Make, tmp_path: Path) -> None:
    _refused(lambda: village(area_m=300.0), tmp_path / "x", "area_m", "fewer than three areas")


def test_more_users_than_fit(street: Make, tmp_path: Path) -> None:
    many = street().replace({"sizes.test": 10_000})
    _refused(lambda: many, tmp_path / "x", "sizes.test", r"at most \d+ users of test")


def test_ways_that_leave_their_area(street: Make, tmp_path: Path) -> None:
    long = lambda: street(**{"sub6.slot_s": 1.0, "sub6.num_slots": 20})  # noqa: E731
    _refused(long, tmp_path / "x", "area_m", "ways of up to 158 m")
    _refused(lambda: long().replace({"split": "interleaved"}), tmp_path / "x", "split", "which cross")


def test_more_paths_than_the_solver_has_room_for(street: Make, tmp_path: Path) -> None:
    _refused(lambda: street(max_paths=20), tmp_path / "x", "max_paths", "room for all")


def test_a_spec_holds_the_files_name_and_digest_and_no_path(village: Make, tmp_path: Path) -> None:
    """Another machine's path of the same file is the same spec; another mesh is another."""
    spec = village()
    assert is_recorded(spec.source.scene)
    assert spec.source.scene.startswith("village@")
    assert str(tmp_path) not in spec.canonical()
    (elsewhere := tmp_path / "elsewhere").mkdir()
    same = write_scene(elsewhere)
    assert spec.replace({"scene": str(same)}) == spec
    assert file_of(spec.source.scene) == same
    (elsewhere / "houses.ply").write_text((elsewhere / "houses.ply").read_text().replace("12.0", "13.0"))
    assert spec.replace({"scene": str(same)}).source.scene != spec.source.scene
    with pytest.raises(RequestError, match="not known on this machine"):
        file_of("other@0123456789abcdef")


def test_a_scene_of_ones_own_is_traced(village: Make, tmp_path: Path) -> None:
    from channelbench.store.verify import verify

    path = generate(village(max_depth=1, users_per_solve=25), tmp_path / "own.zarr", remember=False)
    findings = {finding.check: finding for finding in verify(path)}
    assert all(finding.ok for finding in findings.values())
    few = findings.pop("power")  # so small a village has one or two squares a split
    assert all("proves nothing" in note for note in few.notes)
    assert not any(finding.notes for finding in findings.values())


def _spec(**assignments: Any) -> ScenarioSpec:
    sizes = SizesSpec(train=20, val=8, test=8)
    return make_spec("umi", source="raytraced", sizes=sizes, assignments=assignments)
