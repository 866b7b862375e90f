"""Users of different splits are apart, squares are what intervals resample, and ``verify`` proves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench.generation import generate
from channelbench.generator import Block
from channelbench.generators.raytraced.places import SHARES, _areas, _interleaved, places_of, unit_of
from channelbench.generators.raytraced.scenarios import TracedStreet
from channelbench.generators.raytraced.source import RaytracedSource
from channelbench.generators.raytraced.worlds import world_of
from channelbench.leaderboard import labels
from channelbench.spec import SPLITS, ScenarioSpec
from channelbench.store import layout, open_dataset
from channelbench.store.power import power_notes, power_problems
from channelbench.store.separation import too_near
from channelbench.store.verify import Finding, verify

Make = Callable[..., ScenarioSpec]


def _nearest(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float(np.linalg.norm(first[:, None] - second[None], axis=-1).min())


def _samples(spec: ScenarioSpec) -> dict[str, dict[str, NDArray[Any]]]:
    generator = TracedStreet()
    return {split: dict(generator.sample(spec, Block(split=split, index=0, stop=24), 5)) for split in SPLITS}


@pytest.mark.parametrize("split", ["area", "interleaved"])
def test_users_of_two_splits_are_apart(split: str, street: Make) -> None:
    spec = street(split=split)
    made, apart = _samples(spec), spec.source.separation_m(spec.bands)
    assert apart == (50.0 if split == "area" else pytest.approx(299_792_458 / 1.9e9 / 2))
    places = {name: np.asarray(each["ue_position"], np.float64) for name, each in made.items()}
    pairs = [("train", "val"), ("train", "test"), ("val", "test")]
    least = min(_nearest(places[a], places[b]) for a, b in pairs)
    assert least >= apart - 1e-3
    if split == "interleaved":  # users of the others are as near as of the own
        assert least < 10
        assert "interleaved" in spec.source.label
        assert "interleaved" in labels.source(spec.flat())
    assert not list(too_near(places, apart))
    assert list(too_near(places, least + 0.01))


def test_a_hidden_test_has_other_users_and_keeps_its_distance(street: Make) -> None:
    """Another seed, of 128 bits as hidden tests have them, puts other users into the same areas."""
    spec, generator = street(split="area"), TracedStreet()
    public = _samples(spec)
    hidden = generator.sample(spec, Block(split="test", index=0, stop=24), 2**127 + 5)
    places = {name: np.asarray(each["ue_position"], np.float64) for name, each in public.items()}
    assert _nearest(places.pop("test"), there := np.asarray(hidden["ue_position"], np.float64)) > 0
    assert not list(too_near({**places, "test": there}, spec.source.separation_m(spec.bands)))
    assert not set(hidden["drop"].tolist()) & {*public["train"]["drop"].tolist(), *public["val"]["drop"].tolist()}


@pytest.mark.parametrize("split", ["area", "interleaved"])
def test_a_drop_is_a_square_of_one_split(split: str, street: Make) -> None:
    spec = street(split=split, unit_m=10.0)
    made, world = _samples(spec), world_of(spec)
    drops = {name: set(each["drop"].tolist()) for name, each in made.items()}
    assert not drops["train"] & drops["val"] | drops["train"] & drops["test"] | drops["val"] & drops["test"]
    for each in made.values():
        turn = np.radians(world.azimuth_deg)
        x, y = each["ue_position"][:, :2].T
        scene = np.column_stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)])
        scene += world.origin[:2]
        corner = np.floor(scene / 10.0)
        for drop in set(each["drop"].tolist()):
            assert len(np.unique(corner[each["drop"] == drop], axis=0)) == 1
        assert len(np.unique(corner, axis=0)) == len(set(each["drop"].tolist()))


def test_areas_are_a_guard_apart_and_shared_out() -> None:
    """Whatever the ground: every pair of places of two splits, by brute force on a coarse grid."""
    grid = np.arange(-500.0, 500.0, 12.5) + 0.25
    xy = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    xy = xy[np.random.default_rng(0).random(len(xy)) < 0.9]
    shares = _areas(xy, 60.0, 50.0)
    parts = [xy[shares == code] for code in range(3)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert _nearest(parts[first], parts[second]) >= 50.0
    found = np.array([len(part) for part in parts]) / sum(map(len, parts))
    wanted = np.array(list(SHARES.values())) / sum(SHARES.values())
    np.testing.assert_allclose(found, wanted, atol=0.05)


@pytest.mark.parametrize("guard_m", [50.0, 60.0])
def test_groups_are_of_one_area(guard_m: float) -> None:
    """No number is of two areas, whose places are on a grid that the numbers know nothing of; and one street is one."""
    source, rng = RaytracedSource(guard_m=guard_m), np.random.default_rng(3)
    tile = rng.integers(-3, 3, (2000, 2))
    xy = tile * (100 + guard_m) + rng.uniform(0, 100, (2000, 2))
    turn = np.radians(30)
    position = np.column_stack([xy @ [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], np.full(2000, 1.5)])
    area = source.areas(position.astype(np.float32))
    for number in np.unique(area):
        assert len(np.unique(tile[area == number], axis=0)) == 1
    assert len(np.unique(area)) == 36
    assert area.min() == 0
    apart = [_nearest(xy[area == a], xy[area == b]) for a in range(36) for b in range(a)]
    assert min(apart) >= guard_m - 1e-3


def test_interleaved_users_are_grouped_by_squares() -> None:
    xy = np.random.default_rng(1).uniform(-200, 200, (500, 3))
    area = RaytracedSource(split="interleaved").areas(xy)
    for number in np.unique(area):
        assert np.ptp(xy[area == number, :2], axis=0).max() < 100
    assert len(np.unique(area)) == 16


def test_places_between_the_areas_are_nobodys() -> None:
    """A single street that runs through a guard strip."""
    xy = np.array([[120.0, 130.0], [125.0, 130.0]])
    np.testing.assert_array_equal(_areas(xy, 100.0, 50.0), [-1, -1])


def test_interleaved_places_are_shared_out_like_coins() -> None:
    x, y = np.meshgrid(np.arange(300) + 0.5, np.arange(300) - 150.5)
    shares = _interleaved(np.column_stack([x.ravel(), y.ravel()]), 1.0).reshape(300, 300)
    counts = np.bincount(shares.ravel()) / shares.size
    np.testing.assert_allclose(counts, np.array(list(SHARES.values())) / 15, atol=0.01)
    train = shares == 0
    for axis in (0, 1):  # neighbours know nothing of each other
        correlation = np.corrcoef(train.ravel(), np.roll(train, 1, axis).ravel())[0, 1]
        assert abs(correlation) < 0.02


def test_units_do_not_meet() -> None:
    xy = np.stack(np.meshgrid(np.arange(-100.0, 100.0, 5.0) + 1, np.arange(-100.0, 100.0, 5.0) + 1), -1).reshape(-1, 2)
    units = unit_of(xy, 50.0)
    assert len(np.unique(units)) == 16
    for unit in np.unique(units):
        own = xy[units == unit]
        assert np.ptp(own, axis=0).max() < 50


def test_places_are_the_same_for_every_seed_and_size(street: Make) -> None:
    """Training on one seed and testing on another leaks nothing."""
    small, large = places_of(street()), places_of(street(**{"sizes.train": 4000}))
    for split in SPLITS:
        np.testing.assert_array_equal(small.of[split], large.of[split])


@pytest.fixture(scope="module")
def traced(street: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A traced dataset of 36 users."""
    return Path(generate(street(), tmp_path_factory.mktemp("traced") / "street.zarr", remember=False))


def _finding(path: Path, check: str) -> Finding:
    return next(finding for finding in verify(path) if finding.check == check)


def test_verify_proves_the_distance(traced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _finding(traced, "splits")
    assert found.ok
    assert "at least 50 m apart" in found.question
    monkeypatch.setattr(RaytracedSource, "separation_m", lambda self, spec: 1000.0)
    problems = _finding(traced, "splits").problems
    assert len(problems) == 3
    assert "where 1000 m are promised" in problems[0]


def test_verify_traces_users_again(traced: Path) -> None:
    found = _finding(traced, "paths")
    assert found.ok
    assert not found.notes


def test_verify_tells_made_elsewhere_from_damaged(
    traced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    versions = open_dataset(traced).versions
    assert {"LLVM", "processor", "sionna-rt", "mitsuba", "drjit"} <= versions.keys()
    assert versions == layout.made_with(open_dataset(traced).spec.source)

    damaged = tmp_path / "damaged.zarr"
    shutil.copytree(traced, damaged)
    file = max(
        (each for each in (damaged / "h_sub6").rglob("*") if each.is_file()), key=lambda each: each.stat().st_size
    )
    content = bytearray(file.read_bytes())
    content[1001] ^= 1
    file.write_bytes(content)
    monkeypatch.setattr(RaytracedSource, "machine", classmethod(lambda cls: {"LLVM": "21.0.0", "processor": "another"}))
    elsewhere = verify(traced)
    assert all(finding.ok for finding in elsewhere)
    (note,) = next(finding.notes for finding in elsewhere if finding.check == "paths")
    assert note.startswith("not checked: made elsewhere, with LLVM ")
    assert "(21.0.0 here)" in note
    assert "(another here)" in note
    assert not _finding(damaged, "digests").ok


@pytest.mark.slow
def test_workers_change_no_byte(traced: Path, street: Make, tmp_path: Path) -> None:
    spec = street().replace({"sizes.train": 250})
    alone = generate(spec, tmp_path / "alone.zarr", remember=False, file_samples=200)
    several = generate(spec, tmp_path / "several.zarr", workers=2, remember=False, file_samples=200)
    assert open_dataset(alone).digest == open_dataset(several).digest


def test_users_of_one_square_share_their_fades(street: Make) -> None:
    """A mean over three squares is no mean over 300 users; over as many squares as users nothing has changed."""
    spec = street().replace({"sizes.train": 300})
    power = np.full(spec.sizes.total, 0.4)
    own = np.arange(spec.sizes.total)
    alone = list(power_problems(spec, "h_sub6", [(0, power)]))
    assert len(alone) == 1
    assert "mean power of train 0.4" in alone[0]
    assert list(power_problems(spec, "h_sub6", [(0, power)], own)) == alone
    assert not list(power_problems(spec, "h_sub6", [(0, power)], own // 100))
    assert list(power_notes(spec, own)) == []
    assert next(power_notes(spec, own // 100)).startswith("mean of train proves nothing")
    power[7] = 101.0
    assert "above 100" in next(iter(power_problems(spec, "h_sub6", [(0, power)], own // 100)))
