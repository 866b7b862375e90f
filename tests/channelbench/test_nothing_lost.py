"""What may happen to a `generate` or a `run`: afterwards the same command ends as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channelbench.errors import RequestError
from channelbench.generation import generate, make_unit
from channelbench.spec import ScenarioSpec
from channelbench.store import layout, open_dataset, verify
from channelbench.store.dataset import open_group
from channelbench.store.files import Files
from channelbench.testing import make_dataset, small_spec

FEW_RAYS = "channelbench.testing.factories:FewRays"
TINY = {"sub6.num_subcarriers": 4, "sub6.num_slots": 2, "mmwave.num_subcarriers": 4, "mmwave.array.columns": 4}
ASSIGNED = [part for field, value in TINY.items() for part in ("--set", f"{field}={value}")]
GENERATE = [
    "generate",
    "--scenario",
    FEW_RAYS,
    "--samples",
    "6000",
    "--file-samples",
    "200",
    *ASSIGNED,
    "--out",
    "d.zarr",
]
RUN = ["run", "--data", "few.zarr", "--methods", "repeat,lmmse,wiener,codebook,fifs,received_power"]
GO_ON = "error: stopped; what is done is kept, and the same command continues"


def start(folder: Path, arguments: list[str]) -> subprocess.Popen[str]:
    """A command in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "channelbench.cli", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(folder: Path, arguments: list[str]) -> tuple[int, str, str]:
    process = start(folder, arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def killed_until_done(folder: Path, arguments: list[str], kills: int, done: Callable[[], int], most: int = 2) -> int:
    """Start a command ``kills`` times, and each time kill it when it has done up to ``most`` things more; returns how
    often it was at work."""
    rng, hit = random.Random(kills), 0
    for _ in range(kills):
        enough = done() + rng.randint(1, most)
        process = start(folder, arguments)
        while process.poll() is None and done() < enough:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        hit += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return hit


def files_below(folder: Path, pattern: str) -> Callable[[], int]:
    return lambda: len(list(folder.glob(pattern)))


def contents(path: Path) -> dict[str, str]:
    """Digests of all files of a dataset; of its metadata without the time of its creation."""
    found = {}
    for file in sorted(path.rglob("*")):
        if file.is_file():
            data = file.read_bytes()
            if file == path / "zarr.json":
                metadata = json.loads(data)
                metadata["attributes"].pop("created")
                data = json.dumps(metadata).encode()
            found[str(file.relative_to(path))] = hashlib.sha256(data).hexdigest()
    return found


def kill_generate(tmp_path: Path, kills: int) -> None:
    code, _, err = finish(tmp_path, GENERATE)
    assert code == 0, err
    whole = contents(tmp_path / "d.zarr")
    shutil.rmtree(tmp_path / "d.zarr")
    hit = killed_until_done(tmp_path, GENERATE, 1, files_below(tmp_path, "d.zarr"), most=1)  # being created
    hit += killed_until_done(tmp_path, GENERATE, kills, files_below(tmp_path, "d.zarr/unit_digest/c/*/0/0"))
    assert hit > kills / 4, "the moments do not fall into the work"
    code, _, err = finish(tmp_path, GENERATE)
    assert code == 0, err
    assert contents(tmp_path / "d.zarr") == whole
    assert all(finding.ok for finding in verify(tmp_path / "d.zarr"))


def test_generate_survives_kill_9(tmp_path: Path) -> None:
    kill_generate(tmp_path, 4)


@pytest.mark.slow
def test_generate_survives_kill_9_hundreds_of_times(tmp_path: Path) -> None:
    for attempt in range(10):
        (tmp_path / str(attempt)).mkdir()
        kill_generate(tmp_path / str(attempt), 20)


def scores(folder: Path) -> dict[str, object]:
    """What cells say, without times and hardware, and the per-drop terms beside them."""
    found: dict[str, object] = {}
    for file in sorted((folder / "cells").iterdir()):
        if file.suffix == ".json":
            cell = json.loads(file.read_text())
            found[file.name] = {key: value for key, value in cell.items() if key not in ("created", "costs")}
        else:
            with np.load(file) as terms:
                found[file.name] = {name: terms[name].tobytes() for name in terms.files}
    return found


def kill_run(tmp_path: Path, kills: int) -> None:
    make_dataset(tmp_path / "few.zarr")
    code, _, err = finish(tmp_path, [*RUN, "--out", "whole"])
    assert code == 0, err
    arguments = [*RUN, "--out", "killed"]
    hit = killed_until_done(tmp_path, arguments, kills, files_below(tmp_path, "killed/cells/*.json"))
    assert hit > kills / 4, "the moments do not fall into the work"
    code, _, err = finish(tmp_path, arguments)
    assert code == 0, err
    assert scores(tmp_path / "killed") == scores(tmp_path / "whole")


def test_run_survives_kill_9(tmp_path: Path) -> None:
    kill_run(tmp_path, 3)


@pytest.mark.slow
def test_run_survives_kill_9_a_hundred_times(tmp_path: Path) -> None:
    for attempt in range(10):
        (tmp_path / str(attempt)).mkdir()
        kill_run(tmp_path / str(attempt), 10)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_generate_and_all_its_processes(tmp_path: Path, workers: str) -> None:
    arguments = [part.replace("6000", "600000") for part in GENERATE]
    process = start(tmp_path, [*arguments, "--workers", workers])
    while not any((tmp_path / "d.zarr" / "unit_digest" / "c").glob("*/0/0")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip().endswith(GO_ON)
    assert "Traceback" not in err
    with pytest.raises(RequestError, match="blocks written"):
        open_dataset(tmp_path / "d.zarr")


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """``tmpfs("size=3m")`` mounts a small file system, and mounts it anew with other options when called again."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        again = "remount," if mounted else ""
        command = ["mount", "-t", "tmpfs", "-o", again + options, "tmpfs", str(folder)]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
        mounted[:] = [folder]
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_is_one_line_and_continues_where_there_is_room(tmp_path: Path, tmpfs: Callable[[str], Path]) -> None:
    folder = tmpfs("size=1m")
    code, _, err = finish(folder, GENERATE)
    assert code == 1
    assert len(err.strip().splitlines()) == 1
    assert "No space left on device; the same command continues" in err
    assert not verify(folder / "d.zarr")[0].ok
    with pytest.raises(RequestError, match="blocks written"):
        open_dataset(folder / "d.zarr")
    tmpfs("size=100m")
    code, _, err = finish(folder, GENERATE)
    assert code == 0, err
    assert finish(tmp_path, GENERATE)[0] == 0
    assert contents(folder / "d.zarr") == contents(tmp_path / "d.zarr")


def test_read_only_target_is_refused(tmpfs: Callable[[str], Path]) -> None:
    folder = tmpfs("size=100m")
    tmpfs("ro")
    code, _, err = finish(folder.parent, [*GENERATE[:-1], str(folder / "d.zarr")])
    assert code == 2
    assert "--out: expected a place that can be written" in err
    tmpfs("rw")
    with pytest.raises(KeyboardInterrupt):
        generate(spec_of(), folder / "half.zarr", progress=interrupt_after(400))
    tmpfs("ro")
    with pytest.raises(RequestError, match=r"--out: expected a place that can be written, got .*read-only"):
        generate(spec_of(), folder / "half.zarr")


def spec_of(total: int = 1000) -> ScenarioSpec:
    sizes = {"train": total * 6 // 10, "val": total // 10, "test": total - total * 6 // 10 - total // 10}
    return small_spec().replace({**TINY, "sizes": sizes})


def interrupt_after(samples: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done >= samples:
            raise KeyboardInterrupt

    return progress


def test_folder_removed_under_the_run_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    path = tmp_path / "gone.zarr"

    def remove(done: int, total: int) -> None:
        if done == 400:
            shutil.rmtree(path)

    with pytest.raises(RequestError, match="--out"):
        generate(spec_of(), path, progress=remove)
    with pytest.raises(RequestError):
        open_dataset(path)


def test_two_processes_on_one_target_make_one_dataset(tmp_path: Path) -> None:
    both = [start(tmp_path, GENERATE) for _ in range(2)]
    ended = [(process.communicate(timeout=300), process.returncode) for process in both]
    assert [code for _, code in ended] == [0, 0], ended
    assert finish(tmp_path, [*GENERATE[:-1], "alone.zarr"])[0] == 0
    assert contents(tmp_path / "d.zarr") == contents(tmp_path / "alone.zarr")


def test_files_from_the_future_are_continued(tmp_path: Path) -> None:
    """A clock that was set back: nothing is decided by the time of a file."""
    with pytest.raises(KeyboardInterrupt):
        generate(spec_of(), tmp_path / "d.zarr", progress=interrupt_after(600))
    future = time.time() + 10 * 365 * 86400
    for file in (tmp_path / "d.zarr").rglob("*"):
        os.utime(file, (future, future))
    generate(spec_of(), tmp_path / "d.zarr")
    generate(spec_of(), tmp_path / "other.zarr")
    assert contents(tmp_path / "d.zarr") == contents(tmp_path / "other.zarr")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.tuples(st.integers(1, 700), st.integers(1, 300), st.integers(1, 500)),
    blocks=st.integers(1, 3),
    chunk=st.sampled_from([1, 8, 20, 50, 200]),
    order=st.randoms(use_true_random=False),
    before=st.integers(0, 8),
)
def test_any_blocks_in_any_order_are_continued_to_the_same_dataset(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: tuple[int, int, int],
    blocks: int,
    chunk: int,
    order: random.Random,
    before: int,
) -> None:
    """Whatever the sizes, files and chunks, and whichever units are there already."""
    folder = tmp_path_factory.mktemp("order")
    spec = small_spec().replace({**TINY, "sizes": dict(zip(("train", "val", "test"), sizes, strict=True))})
    files = Files.choose(spec, 200 * blocks, chunk)
    layout.create(folder / "some.zarr", spec, 3, "", files)
    group, units = open_group(folder / "some.zarr", mode="r+"), layout.units(spec, files.unit_rows)
    order.shuffle(units)
    for unit in units[:before]:
        make_unit(spec, 3, unit, files).write(group.store, unit.index, files)
    assert len(layout.missing_units(group, spec)) == max(0, len(units) - before)
    some = open_dataset(generate(spec, folder / "some.zarr", seed=3, remember=False))
    whole = open_dataset(generate(spec, folder / "whole.zarr", seed=3, remember=False))
    assert some.digest == whole.digest
    np.testing.assert_array_equal(some.array("h_sub6", "test"), whole.array("h_sub6", "test"))
