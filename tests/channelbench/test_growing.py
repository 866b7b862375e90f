"""A finished dataset becomes a larger one of the same spec and seed: the one that is made at once, byte by byte."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

from channelbench.errors import RequestError
from channelbench.generation import generate, make_spec
from channelbench.spec import SPLITS, ScenarioSpec, SizesSpec, split_samples
from channelbench.store import growing, open_dataset, verify
from channelbench.store.location import Location
from channelbench.testing import FewRays, make_dataset, small_spec
from tests.channelbench.test_nothing_lost import (
    ASSIGNED,
    FEW_RAYS,
    changes_of,
    contents,
    finish,
    kill_at,
    killed,
    start,
)

TINY = {"sub6__num_subcarriers": 4, "sub6__num_slots": 2, "mmwave__num_subcarriers": 4, "mmwave__array__columns": 4}
Shell = Callable[..., tuple[int, str, str]]


def sized(train: int, val: int, test: int, **assignments: Any) -> ScenarioSpec:
    return small_spec(train=train, val=val, test=test, **TINY, **assignments)


def asked(samples: int, out: str = "d.zarr") -> list[str]:
    return ["generate", "--scenario", FEW_RAYS, "--samples", str(samples), *ASSIGNED, "--out", out]


@pytest.fixture
def fills(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int, int]]:
    """``(split, block, start, stop)`` of whatever is drawn."""
    real, found = FewRays.fill, list[tuple[str, int, int, int]]()

    def fill(self: FewRays, spec: Any, block: Any, seed: int, columns: Any) -> None:
        found.append((block.split, block.index, block.start, block.stop))
        real(self, spec, block, seed, columns)

    monkeypatch.setattr(FewRays, "fill", fill)
    return found


# Splits that end within blocks and files and at their borders; some stay as they are; files become larger, too.
GROWTHS = [
    ((200, 40, 60), (400, 80, 120)),
    ((200, 200, 200), (400, 200, 200)),
    ((130, 50, 70), (130, 50, 71)),
    ((15, 15, 15), (16, 400, 15)),
    ((210, 190, 230), (1500, 900, 1100)),
]


@pytest.mark.parametrize(("small", "large"), GROWTHS)
def test_grown_is_made_at_once_byte_by_byte(
    tmp_path: Path, small: tuple[int, int, int], large: tuple[int, int, int], fills: list[tuple[str, int, int, int]]
) -> None:
    path, before = tmp_path / "d.zarr", make_dataset(tmp_path / "d.zarr", sized(*small), seed=5)
    kept = {split: {n: before.array(n, split).copy() for n in before.variables} for split in SPLITS}
    fills.clear()
    generate(sized(*large), path, seed=5)
    assert sum(stop - start for _, _, start, stop in fills) == sum(large) - sum(small) + 3, "and one of each to compare"
    generate(sized(*large), tmp_path / "once.zarr", seed=5)
    assert contents(path) == contents(tmp_path / "once.zarr")
    assert not [each for each in path.iterdir() if each.name in (growing.STAGE, "unfinished")]
    after = open_dataset(path)
    assert after.digest not in ("", before.digest)
    for split, columns in kept.items():
        for name, rows in columns.items():
            assert after.array(name, split)[: len(rows)].tobytes() == rows.tobytes(), (split, name)
    assert all(finding.ok for finding in verify(path))


def test_what_the_command_says(shell: Shell) -> None:
    assert shell(*asked(300))[0] == 0
    code, out, err = shell(*asked(600))
    assert code == 0, err
    assert out.splitlines()[0] == "300 samples kept, 300 added"
    digest = open_dataset("d.zarr").digest
    assert f"digest {digest}" in out
    assert shell(*asked(600, "once.zarr"))[0] == 0
    assert open_dataset("once.zarr").digest == digest
    assert "already complete: nothing to do" in shell(*asked(600))[1]


def test_a_command_without_a_size_lets_nothing_grow(shell: Shell) -> None:
    assert shell(*asked(60))[0] == 0
    was, unsaid = contents(Path("d.zarr")), [each for each in asked(60) if each not in ("--samples", "60")]
    code, _, err = shell(*unsaid)
    assert code == 2
    assert "which differs in sizes.test: 12 → 600" in err
    assert contents(Path("d.zarr")) == was
    assert "which differs in sizes.test: 12 → 600" in shell(*unsaid, "--dry-run")[1]
    assert "60 samples are there and would be kept" in shell(*unsaid, "--preset", "quick", "--dry-run")[1]


def refused(path: Path, spec: ScenarioSpec, seed: int = 0) -> str:
    was = contents(path)
    with pytest.raises(RequestError) as caught:
        generate(spec, path, seed=seed)
    assert contents(path) == was
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_grow_is_one_line_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "d.zarr"
    make_dataset(path, sized(60, 20, 30))
    assert "which would shrink: train: 60 → 50, test: 30 → 29" in refused(path, sized(50, 20, 29))
    assert "which would shrink: test: 30 → 29" in refused(path, sized(600, 200, 29))
    assert "which differs in seed: 0 → 1, sizes" not in refused(path, sized(600, 200, 300), seed=1)
    said = refused(path, sized(600, 200, 300, speed_kmh=60))
    assert "which differs in sizes.test: 30 → 300" in said
    assert "speed_max_mps" in said
    assert "seed: 0 → 1" in refused(path, sized(60, 20, 30), seed=1)
    assert "--samples" not in refused(path, sized(60, 20, 30, mmwave=False))


def test_an_unfinished_one_is_finished_first(tmp_path: Path) -> None:
    path = tmp_path / "d.zarr"
    with pytest.raises(KeyboardInterrupt):
        generate(sized(400, 80, 120), path, progress=stop_at(200))
    assert (
        "the dataset that was begun there (600 samples: train 400, val 80, test 120) to be finished before"
        in refused(path, sized(800, 160, 240))
    )


def stop_at(done: int) -> Callable[[int, int], None]:
    def progress(now: int, total: int) -> None:
        if now >= done:
            raise KeyboardInterrupt

    return progress


def test_until_all_of_it_is_there_the_old_one_is(tmp_path: Path) -> None:
    path, old = tmp_path / "d.zarr", make_dataset(tmp_path / "d.zarr", sized(200, 40, 60))
    with pytest.raises(KeyboardInterrupt):
        generate(sized(800, 160, 240), path, progress=stop_at(500))
    assert open_dataset(path).digest == old.digest
    assert all(finding.ok for finding in verify(path))
    assert xarray.open_zarr(path).sizes["sample"] == 300
    generate(sized(200, 40, 60), path)
    assert open_dataset(path).digest == old.digest, "whoever asks for the old one has it"
    said = refused(path, sized(900, 180, 270))
    assert "the growth that was begun (1200 samples: train 800, val 160, test 240)" in said
    seen: list[tuple[int, int]] = []
    generate(sized(800, 160, 240), path, progress=lambda done, total: seen.append((done, total)))
    assert 300 < seen[0][0] < 1200, "it went on"
    generate(sized(800, 160, 240), tmp_path / "once.zarr")
    assert contents(path) == contents(tmp_path / "once.zarr")


def test_growth_survives_kill_9(tmp_path: Path) -> None:
    """Killed while it copies and makes, and at every change of those by which the larger one takes its place."""
    path, safe = tmp_path / "d.zarr", tmp_path / "safe"
    assert finish(tmp_path, asked(300))[0] == 0
    shutil.copytree(path, safe)
    changes = changes_of(tmp_path, asked(600))
    whole = contents(path)
    shutil.rmtree(path)
    shutil.copytree(safe, path)
    kill_at(tmp_path, asked(600), (changes // 2, changes // 3))
    code, _, err = finish(tmp_path, asked(600))
    assert code == 0, err
    assert contents(path) == whole


@pytest.mark.slow
def test_growth_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    path, safe, rng, hits = tmp_path / "d.zarr", tmp_path / "safe", random.Random(0), 0
    assert finish(tmp_path, asked(300))[0] == 0
    shutil.copytree(path, safe)
    changes = changes_of(tmp_path, asked(600))
    whole = contents(path)
    while hits < 40:
        code, _, err = killed(tmp_path, asked(600), rng.randint(1, changes))
        if code != -signal.SIGKILL:
            assert code == 0, err
            assert contents(path) == whole
            shutil.rmtree(path)
            shutil.copytree(safe, path)
        hits += code == -signal.SIGKILL


def test_interrupted_at_any_file_it_takes_its_place_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end: the larger one is there, and its files take their places one by one."""
    path, once = tmp_path / "d.zarr", tmp_path / "once.zarr"
    small, large = sized(30, 10, 10), sized(900, 30, 30)
    generate(large, once)
    make_dataset(path, small)
    files = count_moves(monkeypatch, lambda: generate(large, path))
    assert files > 50
    for moved in (0, files // 2, files - 2, files - 1):
        shutil.rmtree(path)
        make_dataset(path, small)
        with monkeypatch.context() as patch:
            patch.setattr(Location, "take", interrupted_after(moved))
            with pytest.raises(KeyboardInterrupt):
                generate(large, path)
        with pytest.raises(RequestError, match="finished dataset"):
            open_dataset(path)
        with pytest.raises(RequestError, match=r"sizes.train: 900 → 30"):
            generate(small, path)
        with pytest.raises(ValueError, match="conflicting sizes for dimension 'sample'"):
            xarray.open_zarr(path)
        generate(large, path)
        assert contents(path) == contents(once), moved


def interrupted_after(moves: int) -> Callable[[Location, Location, str], None]:
    """``Location.take`` that fails after so many files."""
    take, done = Location.take, list[str]()

    def interrupted(self: Location, other: Location, key: str) -> None:
        if len(done) == moves:
            raise KeyboardInterrupt
        done.append(key)
        take(self, other, key)

    return interrupted


def count_moves(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> int:
    take, done = Location.take, list[str]()

    def counted(self: Location, other: Location, key: str) -> None:
        done.append(key)
        take(self, other, key)

    with monkeypatch.context() as patch:
        patch.setattr(Location, "take", counted)
        work()
    return len(done)


def test_damaged_samples_are_not_carried_on(tmp_path: Path) -> None:
    path = tmp_path / "d.zarr"
    make_dataset(path, sized(60, 20, 30))
    file = next(file for file in (path / "h_sub6" / "c").rglob("*") if file.is_file())
    data = bytearray(file.read_bytes())
    data[1000] ^= 1
    file.write_bytes(bytes(data))
    assert "(h_sub6 in rows 0…)" in refused(path, sized(120, 40, 60))


def test_samples_that_would_be_others_today_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other versions or processors may round otherwise: half of one and half of the other is neither."""
    path, real = tmp_path / "d.zarr", FewRays.fill
    make_dataset(path, sized(60, 20, 30))

    def other(self: FewRays, spec: Any, block: Any, seed: int, columns: Any) -> None:
        real(self, spec, block, seed, columns)
        columns["h_sub6"][...] *= np.float32(1 + 2**-23)

    monkeypatch.setattr(FewRays, "fill", other)
    assert "(h_sub6 of train differs; another processor, perhaps)" in refused(path, sized(120, 40, 60))


def test_growth_on_processes_and_in_memory(tmp_path: Path) -> None:
    generate(sized(800, 160, 240), tmp_path / "once.zarr", seed=2)
    make_dataset(tmp_path / "d.zarr", sized(200, 40, 60), seed=2)
    generate(sized(800, 160, 240), tmp_path / "d.zarr", seed=2, workers=2)
    assert contents(tmp_path / "d.zarr") == contents(tmp_path / "once.zarr")
    url = "memory://growing/d.zarr"
    make_dataset(url, sized(200, 40, 60), seed=2)
    generate(sized(800, 160, 240), url, seed=2)
    assert open_dataset(url).digest == open_dataset(tmp_path / "once.zarr").digest
    assert all(finding.ok for finding in verify(url))
    assert not [key for key in Location(url).files() if key.startswith((growing.STAGE, "unfinished"))]


@pytest.mark.slow
def test_two_processes_let_it_grow_once(tmp_path: Path) -> None:
    assert finish(tmp_path, asked(300))[0] == 0
    both = [start(tmp_path, asked(2000)) for _ in range(2)]
    ended = [(process.communicate(timeout=600), process.returncode) for process in both]
    assert [code for _, code in ended] == [0, 0], ended
    assert finish(tmp_path, asked(2000, "once.zarr"))[0] == 0
    assert contents(tmp_path / "d.zarr") == contents(tmp_path / "once.zarr")


def test_cells_of_the_smaller_one_are_of_another_dataset(shell: Shell) -> None:
    run = ("run", "--data", "d.zarr", "--methods", "hold", "--suite", "classical", "--tasks", "cp", "--out", "results")
    assert shell(*asked(150))[0] == 0
    assert shell(*run)[0] == 0
    assert "0 cells to make" in shell(*run)[2]
    assert shell(*asked(300))[0] == 0
    code, _, err = shell(*run)
    assert code == 2
    assert "expected a new folder, or one of the same run, got 'results, which differs in dataset:" in err


@pytest.mark.slow
def test_drawn_channels_grow_too(tmp_path: Path) -> None:
    small = {"sub6.num_slots": 2, "sub6.num_subcarriers": 4, "mmwave.num_subcarriers": 4, "mmwave.array.columns": 4}
    for source in ({}, {"engine": "sionna"}):
        spec = make_spec("uma", sizes=split_samples(300), assignments=small | source)
        generate(spec, tmp_path / "d.zarr", remember=False)
        larger = spec.replace({"sizes": split_samples(450).model_dump()})
        generate(larger, tmp_path / "d.zarr", remember=False)
        generate(larger, tmp_path / "once.zarr", remember=False)
        assert contents(tmp_path / "d.zarr") == contents(tmp_path / "once.zarr")
        for name in ("d.zarr", "once.zarr"):
            shutil.rmtree(tmp_path / name)


def test_sizes_of_ten_two_three_may_shrink_a_split() -> None:
    """29 samples are 19, 3 and 7, and 30 are 20, 4 and 6: the refusal says so."""
    assert growing.shrinking(split_samples(29), split_samples(30)) == ["test: 7 → 6"]
    assert not growing.shrinking(SizesSpec(train=1, val=1, test=1), SizesSpec(train=1, val=2, test=1))
