"""``generate --dry-run``: what it says is what comes, and nothing is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from channelbench import dry_run, room
from channelbench.errors import RequestError
from channelbench.generation import generate
from channelbench.store import open_dataset
from channelbench.testing import FewRays, make_dataset, small_spec

Shell = Callable[..., tuple[int, str, str]]
FEW = "channelbench.testing.factories:FewRays"
TINY = {"sub6__num_subcarriers": 4, "sub6__num_slots": 2, "mmwave__num_subcarriers": 4, "mmwave__array__columns": 4}
SET = [part for field, value in TINY.items() for part in ("--set", f"{field.replace('__', '.')}={value}")]
ASK = ("generate", "--scenario", FEW, "--dry-run", "--out", "d.zarr", *SET)


def said(out: str) -> dict[str, str]:
    """What follows the first word of each line."""
    return {line[:11].strip(): line[11:] for line in out.splitlines()}


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_says_what_would_be_made_and_writes_nothing(shell: Shell, tmp_path: Path) -> None:
    code, out, err = shell(*ASK, "--samples", "150", "--set", "speed_kmh=60", "--seed", "3")
    assert code == 0, err
    assert not list(tmp_path.iterdir())
    lines = said(out)
    assert lines["spec"] == f"{FEW} los, dualband, seed 3"
    assert lines["sub6"].startswith("1.9 GHz, 60 MHz in 4 subcarriers, 1×8 antennas 0.5 wavelengths apart, 2 slots of")
    assert lines["mmwave"].startswith("28 GHz, 500 MHz in 4 subcarriers, 1×4 antennas")
    assert lines["users"] == "1.5 m high, 35 to 500 m away over 120°, 60 km/h"
    assert lines["samples"] == "150: train 100, val 20, test 30"
    assert "h_sub6 [2, 4, 8]" in lines["variables"]
    assert lines["target"] == "d.zarr: nothing is there; it would be made"
    assert re.match(r"about \S+ s for 150 samples in one process here, estimated: \d+ of them took", lines["time"])
    code, out, _ = shell(*ASK, "--samples", "150", "--set", "mmwave=false", "--workers", "2")
    assert (code, "mmwave" in out) == (0, False)


@pytest.mark.parametrize(
    ("sizes", "cut"),
    [((60, 20, 30), {}), ((700, 300, 230), {}), ((700, 300, 230), {"file_samples": 400, "chunk_samples": 50})],
)
def test_bytes_and_files_are_those_that_come(tmp_path: Path, sizes: tuple[int, int, int], cut: dict[str, int]) -> None:
    spec = small_spec(train=sizes[0], val=sizes[1], test=sizes[2], **TINY)
    path = tmp_path / "d.zarr"
    disk = said("\n".join(dry_run.lines(spec, path, seed=0, **cut)))["disk"]
    assert not path.exists()
    generate(spec, path, remember=False, **cut)
    files = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
    found = re.search(r"\(([\d,]+) bytes\) in (\d+) files", disk)
    assert found
    assert int(found[2]) == len(files)
    assert abs(int(found[1].replace(",", "")) - sum(files)) < 2000


def test_every_state_of_the_target_is_said(shell: Shell, tmp_path: Path) -> None:
    def target(samples: int, *more: str) -> str:
        code, out, err = shell(*ASK, "--samples", str(samples), *more)
        assert code == 0, err
        lines = said(out)
        assert ("none: all samples are there" in lines["time"]) == ("nothing would be done" in lines["target"])
        return lines["target"]

    spec = small_spec(train=400, val=80, test=120, **TINY)
    with pytest.raises(KeyboardInterrupt):
        generate(spec, "d.zarr", progress=stop_at(200))
    before = everything(tmp_path)
    assert target(600) == "d.zarr: unfinished; the 400 samples that it lacks would be made"
    assert everything(tmp_path) == before
    generate(spec, "d.zarr", remember=False)
    assert target(600) == "d.zarr: complete; nothing would be done"
    assert target(1200) == "d.zarr: 600 samples are there and would be kept, 600 would be made"
    assert "which would shrink: train: 400 → 200" in target(300)
    assert "which differs in seed: 0 → 1" in target(600, "--seed", "1")
    larger = spec.replace({"sizes": {"train": 800, "val": 160, "test": 240}})
    with pytest.raises(KeyboardInterrupt):
        generate(larger, "d.zarr", progress=stop_at(900), remember=False)
    before = everything(tmp_path)
    assert target(1200).startswith("d.zarr: its growth has begun; 600 samples are there and would be kept, ")
    assert everything(tmp_path) == before
    Path("e.zarr").write_text("a file")
    assert "expected a folder to create" in target(600, "--out", "e.zarr")


def stop_at(done: int) -> Callable[[int, int], None]:
    def progress(now: int, total: int) -> None:
        if now >= done:
            raise KeyboardInterrupt

    return progress


def test_a_url_is_read_alone() -> None:
    url = "memory://dry/d.zarr"
    spec = small_spec(train=20, val=5, test=5, **TINY)
    assert said("\n".join(dry_run.lines(spec, url, seed=0)))["target"] == f"{url}: nothing is there; it would be made"
    with pytest.raises(RequestError):
        open_dataset(url)
    make_dataset(url, spec)
    assert "complete" in said("\n".join(dry_run.lines(spec, url, seed=0)))["target"]


def test_what_will_not_fit_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "room_of", lambda location: (1000, "a small disk"))
    monkeypatch.setattr(dry_run, "room_of", room.room_of)
    lines = list(dry_run.lines(small_spec(**TINY), tmp_path / "d.zarr", seed=0))
    assert "room       1e-06 GB (1,000 bytes) in a small disk" in lines
    (warning,) = [line for line in lines if line.startswith("warning")]
    assert warning.startswith(
        "warning    it will not fit: --out: expected a dataset that fits into the 1,000 bytes that"
    )


def test_the_time_is_of_samples_of_this_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes one second for each sample that is drawn, ten for what comes before the first of all."""
    clock, first, real = [0.0], [True], FewRays.fill

    def fill(self, spec, block, seed, columns) -> None:
        clock[0] += (block.num_samples + (10 if first[0] else 0)) * 0.01
        first[0] = False
        real(self, spec, block, seed, columns)

    monkeypatch.setattr(FewRays, "fill", fill)
    monkeypatch.setattr(dry_run.time, "perf_counter", lambda: clock[0])
    found = dry_run.measure(FewRays, small_spec(**TINY), 0)
    assert (found.samples, pytest.approx(found.seconds), pytest.approx(found.start_s)) == (200, 2.0, 0.11)
    assert found.seconds_for(1000) == pytest.approx(10.11)
    clock[0], first[0] = 0.0, True
    monkeypatch.setattr(dry_run, "PATIENCE_S", 0.2)
    assert dry_run.measure(FewRays, small_spec(**TINY), 0).samples == 8, "no more than it has patience for"
    first[0] = True
    monkeypatch.setattr(dry_run, "PATIENCE_S", 0.01)
    assert dry_run.measure(FewRays, small_spec(**TINY), 0).samples == 1


def test_who_cannot_make_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def check(spec: object) -> None:
        raise RequestError("--engine", expected="a CUDA device", got="none")

    monkeypatch.setattr(FewRays, "check", check)
    lines = said("\n".join(dry_run.lines(small_spec(**TINY), tmp_path / "d.zarr", seed=0)))
    assert lines["time"].startswith("not estimated: this machine cannot make samples of it (--engine: expected a CUDA")
    assert lines["disk"]


def test_workers_and_clusters_share_the_estimate_of_one_process(tmp_path: Path) -> None:
    spec = small_spec(**TINY)
    shared = said("\n".join(dry_run.lines(spec, tmp_path / "d.zarr", seed=0, workers=2)))["time"]
    assert "2 processes on" in shared
    cluster = said("\n".join(dry_run.lines(spec, tmp_path / "d.zarr", seed=0, scheduler="tcp://nobody:1")))["time"]
    assert "in one process here" in cluster
    assert "the cluster's processes share it" in cluster
