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
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channelbench.errors import RequestError
from channelbench.generation import generate, make_unit
from channelbench.spec import ScenarioSpec
from channelbench.store import layout, open_dataset, verify
from channelbench.store.dataset import open_group
from channelbench.store.files import Files
from channelbench.store.guarded import LocalFiles
from channelbench.testing import make_dataset, small_spec

FEW_RAYS = "channelbench.testing.factories:FewRays"
TINY = {"sub6.num_subcarriers": 4, "sub6.num_slots": 2, "mmwave.num_subcarriers": 4, "mmwave.array.columns": 4}
ASSIGNED = [part for field, value in TINY.items() for part in ("--set", f"{field}={value}")]
GENERATE = ["generate", "--scenario", FEW_RAYS, "--samples", "2000", *ASSIGNED, "--out", "d.zarr"]
RUN = ["run", "--data", "few.zarr", "--methods", "repeat,lmmse,wiener,codebook,fifs,received_power"]
DEADLINE_S = 600
"""For what takes seconds: a machine may be as busy as it likes."""
Eventually = Callable[..., None]
Members = Callable[[int], list[psutil.Process]]
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
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


KILLED_BY_ITSELF = """
import itertools, os, signal, sys
from channelbench import cli

folder, last, *arguments = sys.argv[1:]
folder, changes = os.path.abspath(folder) + os.sep, itertools.count(1)

def watch(event, given):
    if event == "os.rename" or event == "os.remove" or event == "open" and given[2] & (os.O_WRONLY | os.O_RDWR):
        path = given[0]
        if isinstance(path, (str, os.PathLike)) and os.path.abspath(path).startswith(folder):
            if next(changes) == int(last):
                os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
sys.argv[1:] = arguments
try:
    cli.main()
finally:
    print("changes:", next(changes) - 1)
"""
"""A command that is killed just before it changes the folder for the n-th time: opens a file to write it, gives it its
name, or removes it. A busy machine moves no such moment, and none falls before the work or after it."""


def killed(folder: Path, arguments: list[str], last: int) -> tuple[int, str, str]:
    """The command, which writes to the folder that its last argument names; ``last = 0`` lets it live."""
    place = str(folder / arguments[-1])
    command = [sys.executable, "-c", KILLED_BY_ITSELF, place, str(last), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S)
    return done.returncode, done.stdout, done.stderr


def changes_of(folder: Path, arguments: list[str]) -> int:
    """How often the whole command changes its folder."""
    code, out, err = killed(folder, arguments, 0)
    assert code == 0, err
    return int(out.rpartition("changes: ")[2])


def kill_at(folder: Path, arguments: list[str], moments: Iterable[int]) -> None:
    for last in moments:
        code, _, err = killed(folder, arguments, last)
        assert code == -signal.SIGKILL, err


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


def test_generate_survives_kill_9(tmp_path: Path) -> None:
    changes, path = changes_of(tmp_path, GENERATE), tmp_path / "d.zarr"
    whole = contents(path)
    shutil.rmtree(path)
    kill_at(tmp_path, GENERATE, (1, 40))
    assert not (path / "zarr.json").exists(), "these fall into its creation"
    kill_at(tmp_path, GENERATE, (changes // 2, changes // 3))
    with pytest.raises(RequestError, match=r"[1-4] of 5 blocks written"):
        open_dataset(path)
    code, _, err = finish(tmp_path, GENERATE)
    assert code == 0, err
    assert contents(path) == whole
    assert all(finding.ok for finding in verify(path))


@pytest.mark.slow
def test_generate_survives_kill_9_hundreds_of_times(tmp_path: Path) -> None:
    changes, path, rng, hits = changes_of(tmp_path, GENERATE), tmp_path / "d.zarr", random.Random(0), 0
    whole = contents(path)
    while hits < 200:
        code, _, err = killed(tmp_path, GENERATE, rng.randint(1, changes))
        if code != -signal.SIGKILL:  # it was done before, thanks to what the killed ones had left
            assert code == 0, err
            assert contents(path) == whole
            shutil.rmtree(path)
        hits += code == -signal.SIGKILL


def test_generate_survives_kill_9_when_all_samples_are_there(tmp_path: Path) -> None:
    """At its last two changes: the metadata that call the dataset complete are opened, and get their name."""
    changes, path = changes_of(tmp_path, GENERATE), tmp_path / "d.zarr"
    whole = contents(path)
    for last in (changes - 1, changes):
        shutil.rmtree(path)
        kill_at(tmp_path, GENERATE, [last])
        with pytest.raises(RequestError, match="5 of 5 blocks written"):
            open_dataset(path)
        assert finish(tmp_path, GENERATE)[0] == 0
        assert contents(path) == whole


def scores(folder: Path) -> dict[str, object]:
    """What cells say, without times and the command, and the per-drop terms beside them."""
    found: dict[str, object] = {}
    for file in sorted((folder / "cells").iterdir()):
        if file.suffix == ".json":
            cell = json.loads(file.read_text())
            found[file.name] = {key: value for key, value in cell.items() if key not in ("created", "costs", "command")}
        else:
            with np.load(file) as terms:
                found[file.name] = {name: terms[name].tobytes() for name in terms.files}
    return found


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_run_survives_kill_9(tmp_path: Path, kills: int) -> None:
    """Its cells are written by another process: command and workers are killed together, some cells on."""
    make_dataset(tmp_path / "few.zarr", small_spec(sub6__num_subcarriers=16, mmwave__array__columns=16))
    whole, cut = [*RUN, "--out", "whole"], [*RUN, "--out", "killed"]
    assert finish(tmp_path, whole)[0] == 0
    rng, hits = random.Random(0), 0
    while hits < kills:
        there = len(list(tmp_path.glob("killed/cells/*.json")))
        hits += killed_with_cells(tmp_path, cut, there + rng.randint(1, 4))
        if there == len(list(tmp_path.glob("whole/cells/*.json"))):
            assert scores(tmp_path / "killed") == scores(tmp_path / "whole")
            shutil.rmtree(tmp_path / "killed")
    code, _, err = finish(tmp_path, cut)
    assert code == 0, err
    assert scores(tmp_path / "killed") == scores(tmp_path / "whole")


def killed_with_cells(folder: Path, arguments: list[str], cells: int) -> bool:
    """Start a command, kill it with all its processes once so many cells are there, and say whether it was at work."""
    process = start(folder, arguments)
    while process.poll() is None and len(list(folder.glob("killed/cells/*.json"))) < cells:
        time.sleep(0.005)
    was_at_work = process.poll() is None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return was_at_work


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_generate_and_all_its_processes(
    tmp_path: Path, workers: str, eventually: Eventually, members: Members
) -> None:
    arguments = [part.replace("2000", "2000000") for part in GENERATE]
    process = start(tmp_path, [*arguments, "--workers", workers])
    try:
        eventually(lambda: any((tmp_path / "d.zarr" / "unit_digest" / "c").glob("*/0/0")), process)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=DEADLINE_S)
        eventually(lambda: not members(process.pid))
    finally:
        for left in members(process.pid):
            left.kill()
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
    folder = tmpfs("size=100m,nr_inodes=130")  # room for the bytes, and not for the files
    code, _, err = finish(folder, GENERATE)
    assert code == 1
    assert len(err.strip().splitlines()) == 1
    assert "No space left on device; the same command continues" in err
    assert not verify(folder / "d.zarr")[0].ok
    with pytest.raises(RequestError, match="blocks written"):
        open_dataset(folder / "d.zarr")
    tmpfs("size=100m,nr_inodes=10000")
    code, _, err = finish(folder, GENERATE)
    assert code == 0, err
    assert finish(tmp_path, GENERATE)[0] == 0
    assert contents(folder / "d.zarr") == contents(tmp_path / "d.zarr")


def test_disk_that_is_too_small_is_refused_before_anything_is_written(tmpfs: Callable[[str], Path]) -> None:
    folder = tmpfs("size=100k")
    code, _, err = finish(folder, GENERATE)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert "--out: expected a dataset that fits into the" in err
    assert list(folder.iterdir()) == []


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
    ended = [(process.communicate(timeout=DEADLINE_S), process.returncode) for process in both]
    assert [code for _, code in ended] == [0, 0], ended
    assert finish(tmp_path, [*GENERATE[:-1], "alone.zarr"])[0] == 0
    assert contents(tmp_path / "d.zarr") == contents(tmp_path / "alone.zarr")


def test_who_finishes_second_finds_the_mark_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes that take the mark of the unfinished away, the slower is told that there is no such file."""
    original = LocalFiles.delete_dir

    async def taken(self: LocalFiles, prefix: str) -> None:
        await original(self, prefix)
        raise FileNotFoundError(f"{self.root}/{prefix}")

    monkeypatch.setattr(LocalFiles, "delete_dir", taken)
    generate(spec_of(), tmp_path / "d.zarr")
    generate(spec_of(), tmp_path / "other.zarr")
    assert contents(tmp_path / "d.zarr") == contents(tmp_path / "other.zarr")
    assert open_dataset(tmp_path / "d.zarr").record.complete


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
