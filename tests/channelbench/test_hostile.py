"""Whatever is asked for, the answer is a dataset or one line; after a line nothing has been written."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import BASE, Case, cases
from hypothesis import example, given, settings
from hypothesis import strategies as st

from channelbench import assignments, generation, room
from channelbench.assignments import parse_assignments, read_toml
from channelbench.errors import LONGEST, RequestError
from channelbench.generation import generate, make_spec
from channelbench.presets import PUBLIC_PRESETS
from channelbench.sources import RecordedSource
from channelbench.spec import SYSTEMS, ScenarioSpec
from channelbench.store import open_dataset, verify
from channelbench.store.files import Files
from channelbench.store.location import Location
from channelbench.testing import small_spec

Shell = Callable[..., tuple[int, str, str]]

CASES = cases()
FEW_RAYS = "channelbench.testing.factories:FewRays"
TINY = {"sub6.num_subcarriers": 2, "sub6.num_slots": 1, "mmwave.num_subcarriers": 2, "mmwave.array.columns": 2}
SIZES = {"sizes.train": 2, "sizes.val": 1, "sizes.test": 1}


def complaint(err: str) -> str:
    """The one line."""
    lines = err.splitlines()
    assert len(lines) == 1, err[-2000:]
    assert lines[0].startswith("error: ")
    assert len(lines[0]) < sum(LONGEST.values()) + 500
    return lines[0].removeprefix("error: ")


def test_there_are_enough_of_them() -> None:
    assert len({(case.arguments, str(case.files)) for case in CASES}) >= 500


@pytest.mark.parametrize("part", range(8))
def test_hostile_requests_are_one_line_and_write_nothing(shell: Shell, tmp_path: Path, part: int) -> None:
    for number, case in list(enumerate(CASES))[part::8]:
        folder = tmp_path / str(number)
        put(case, folder)
        os.chdir(folder)
        before = sorted(folder.rglob("*"))
        code, out, err = shell(*case.arguments)
        assert (code, out) == (2, ""), (case.name, err[-500:])
        assert complaint(err).startswith(case.field), case.name
        assert sorted(folder.rglob("*")) == before, case.name


def put(case: Case, folder: Path) -> None:
    folder.mkdir()
    for name, content in case.files.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)


def test_what_they_start_from_is_good(shell: Shell) -> None:
    code, out, err = shell("generate", *BASE)
    assert (code, err) == (0, "")
    assert all(finding.ok for finding in verify(out.splitlines()[-1]))


@pytest.mark.parametrize(
    ("changes", "field", "bytes_asked"),
    [
        ({"sub6.num_subcarriers": 10**12}, "sub6.num_subcarriers", 3000 * 8 * 20 * 8 * 10**12 + 3000 * 8 * 64 * 64),
        ({"sizes.train": 10**25}, "sizes.train", (10**25 + 1000) * 8 * (20 * 64 * 8 + 64 * 64)),
        ({"mmwave.num_slots": 2**20 + 1}, "mmwave.num_slots", 3000 * 8 * (20 * 64 * 8 + 64 * 64 * (2**20 + 1))),
    ],
)
def test_sizes_that_no_dataset_has_are_refused_with_their_bytes(
    changes: dict[str, int], field: str, bytes_asked: int
) -> None:
    with pytest.raises(RequestError) as caught:
        make_spec("uma", assignments=changes)
    assert caught.value.field == field
    assert f": {bytes_asked:,} bytes of channels" in str(caught.value)


class Disk:
    """What ``shutil.disk_usage`` says."""

    def __init__(self, free: int, total: int = 10**12) -> None:
        self.free, self.total = free, total


def test_disks_and_memories_that_are_too_small_are_named_with_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_spec(train=300, val=50, test=50).replace(TINY)
    stored = generate(spec, tmp_path / "d.zarr", remember=False)
    held = sum(np.asarray(open_dataset(stored).group[name][:]).nbytes for name in open_dataset(stored).variables)
    asked = room.sample_bytes(spec) * 400
    assert asked == held
    new, files = Location.of(tmp_path / "no" / "such" / "new.zarr", field="--out"), Files.choose(spec)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: Disk(asked - 1))
    with pytest.raises(
        RequestError, match=rf"--out: expected .* {asked - 1:,} bytes that are free in .*{asked:,} bytes"
    ):
        room.check_room(spec, new, files, here=True)
    room.check_room(spec, Location.of(stored, field="--out"), files, here=True)  # what is there needs no room
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: Disk(0, total=0))
    room.check_room(spec, new, files, here=True)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: Disk(asked))
    room.check_room(spec, new, files, here=True)
    unit = files.unit_rows * room.sample_bytes(spec)
    monkeypatch.setattr(room, "_memory", lambda: unit - 1)
    with pytest.raises(RequestError, match=rf"--file-samples: .* memory of {unit - 1:,} bytes, got '{unit:,} bytes"):
        room.check_room(spec, new, files, here=True)
    room.check_room(spec, new, files, here=False)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "0", None, float("nan")])
def test_seeds_that_cannot_be_stored(tmp_path: Path, seed: Any) -> None:
    with pytest.raises(RequestError, match="seed: expected an integer from 0 to 2\\^63 − 1"):
        generate(small_spec(), tmp_path / "d.zarr", seed=seed)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def started() -> Callable[..., tuple[int, str, str]]:
    """``started(folder, *arguments)``: the command line in a process of its own; arguments may be bytes."""

    def start(folder: Path | None, *arguments: str | bytes, script: str = "") -> tuple[int, str, str]:
        code = f"{script}\nfrom channelbench.cli import main\nmain()"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, *arguments], cwd=folder, capture_output=True, check=False
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return start


def test_pipes_are_read_and_do_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with monkeypatch.context() as patch:
        patch.setattr(assignments, "SILENCE_S", 0.1)
        with pytest.raises(RequestError, match=r"--spec: .* \(nothing for 0.1 s\)"):
            read_toml(pipe)
    writer = threading.Thread(target=pipe.write_text, args=["state = 'nlos'\n"])
    writer.start()
    assert read_toml(pipe) == {"state": "nlos"}
    writer.join()
    endless = tmp_path / "endless"
    endless.symlink_to("/dev/zero")
    with pytest.raises(RequestError, match="more than 1048576 bytes"):
        read_toml(endless)


def test_a_warning_is_a_line_and_generation_goes_on(
    tmp_path: Path, started: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = started(tmp_path, "generate", *BASE, "--set", "sub6.num_beams=5", "--set", "mmwave.num_beams=5")
    assert code == 0
    assert err.splitlines() == [
        f"warning: {band}.num_beams: has no effect on the channels, only on tasks that choose beams of this band"
        for band in ("sub6", "mmwave")
    ]
    assert verify(tmp_path / out.splitlines()[-1])[0].ok


def test_words_that_are_no_text(tmp_path: Path, started: Callable[..., tuple[int, str, str]]) -> None:
    for words in (("generate", "--out", b"\xff.zarr"), ("report", b"\xe9"), ("inspect", b"a\xc3"), (b"\xff",)):
        code, out, err = started(tmp_path, *words)
        assert (code, out) == (2, "")
        assert complaint(err).startswith("arguments: expected text in UTF-8, got '")
    assert list(tmp_path.iterdir()) == []


def test_a_working_folder_that_is_gone(tmp_path: Path, started: Callable[..., tuple[int, str, str]]) -> None:
    gone = tmp_path / "gone"
    script = f"import os\nos.mkdir({str(gone)!r})\nos.chdir({str(gone)!r})\nos.rmdir({str(gone)!r})"
    code, out, err = started(None, "generate", script=script)
    assert (code, out) == (2, "")
    assert complaint(err) == "the working folder: expected one that exists, got 'one that has been removed'"


def test_a_working_folder_whose_name_is_no_text(tmp_path: Path, started: Callable[..., tuple[int, str, str]]) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"\xff")
    os.mkdir(folder)
    code, out, err = started(Path(os.fsdecode(folder)), "generate", *BASE)
    assert (code, out) == (2, "")
    assert complaint(err).startswith("the working folder: expected a name in UTF-8")
    assert os.listdir(folder) == []


# --- fuzzed ----------------------------------------------------------------------------------------------------------

NAMES = sorted(
    {
        *(name for name in make_spec("uma").flat()),
        *(f"{band}.{name}" for band in ("sub6", "mmwave") for name in make_spec("uma").sub6.model_dump()),
        *(f"sub6.array.{name}" for name in make_spec("uma").sub6.array.model_dump()),
        *(f"sizes.{name}" for name in ("train", "val", "test")),
        *("source.name", "source.rho_z", "source.source", "", ".", "sub6.", ".sub6", "nowhere", "sub6.nowhere"),
    }
)
NUMBERS = st.one_of(
    st.integers(),
    st.integers(1, 3),
    st.floats(),
    st.floats(0, 2000),
    st.sampled_from([2**31, 2**63, 10**12, 10**26, 1e300, -20.0, 5e-324, 28e9, 2.4e9]),
)
SCALARS = st.one_of(
    NUMBERS,
    st.booleans(),
    st.none(),
    st.text(max_size=8),
    st.sampled_from(["uma", "umi", "rma", "multiuser", "dualband", "nlos", "random", "stochastic", "fast", FEW_RAYS]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=4)), inner, max_size=3),
    ),
    max_leaves=4,
)
ASSIGNMENTS = st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=6)), VALUES, max_size=3)


def asked_for(make: Callable[[], Any]) -> tuple[Any, str]:
    """What was made, or what was said."""
    try:
        return make(), ""
    except RequestError as error:
        return None, str(error)


def refused_or_valid(make: Callable[[], ScenarioSpec]) -> ScenarioSpec | None:
    spec, message = asked_for(make)
    if spec is None:
        assert "\n" not in message
        assert len(message) < sum(LONGEST.values()) + 500
        return None
    if isinstance(spec.source, RecordedSource):
        return None  # of a scenario that is not here: whatever it was made of can be read
    floats = [value for value in _leaves(spec.flat()) if isinstance(value, float)]
    assert np.isfinite(floats).all()
    assert ScenarioSpec.model_validate_json(spec.canonical()) == spec
    return spec


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)
    else:
        yield value


@settings(max_examples=400)
@given(ASSIGNMENTS)
@example({"test_speeds_mps": [float("nan")]})
@example({"source": {"name": []}})
@example({"mmwave": {"carrier_hz": 1e300}, "mmwave.array": {1: 2}})
def test_any_assignments_are_a_spec_or_one_line(changes: dict[str, Any]) -> None:
    made = refused_or_valid(lambda: make_spec("uma", assignments=changes))
    again = refused_or_valid(lambda: make_spec("uma").replace(changes))
    if made is not None and again is not None and not {"state", "source"} & {key.partition(".")[0] for key in changes}:
        assert again == made


@settings(max_examples=200)
@given(st.dictionaries(st.one_of(st.sampled_from([*ScenarioSpec.model_fields, "rho_z"]), st.text(max_size=4)), VALUES))
@example({"scenario": ""})
@example({"sub6": True})
@example({"mmwave": True, "system": 5})
def test_any_mapping_is_a_spec_or_one_line(data: dict[str, Any]) -> None:
    whole = make_spec("uma").flat()
    refused_or_valid(lambda: ScenarioSpec(**{str(name): value for name, value in data.items()}))
    refused_or_valid(lambda: ScenarioSpec(**(whole | data)))
    refused_or_valid(lambda: ScenarioSpec.from_record(whole | data))


@settings(max_examples=300)
@given(st.lists(st.one_of(st.text(max_size=20), st.tuples(st.sampled_from(NAMES), st.text(max_size=12)).map("=".join))))
def test_any_words_after_set_are_assignments_or_one_line(words: list[str]) -> None:
    refused_or_valid(lambda: make_spec("uma", assignments=parse_assignments(words)))


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=60), st.text("sub6.array_=[]{}'\"1e#\n ", max_size=60).map(str.encode)))
def test_any_bytes_are_a_file_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    path.write_bytes(content)
    refused_or_valid(lambda: make_spec("uma", assignments=read_toml(path)))


SMALL_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "sub6.carrier_hz": st.floats(0.51e9, 100e9),
    "sub6.bandwidth_hz": st.floats(1e3, 1e9),
    "sub6.slot_s": st.floats(1e-9, 3600),
    "sub6.num_slots": st.integers(1, 4),
    "sub6.num_subcarriers": st.integers(1, 5),
    "sub6.num_beams": st.integers(1, 2**16),
    "sub6.array.rows": st.integers(1, 3),
    "sub6.array.columns": st.integers(1, 3),
    "sub6.array.spacing_wavelengths": st.floats(0.01, 10),
    "bs_height_m": st.floats(1.6, 150),
    "ue_height_m": st.floats(1, 22.5),
    "min_distance_m": st.floats(1, 100),
    "max_distance_m": st.floats(101, 10_000),
    "sector_deg": st.floats(0, 360, exclude_min=True),
    "speed_max_mps": st.floats(10, 140),
    "test_speeds_mps": st.lists(st.floats(0, 140), max_size=3),
    "state": st.sampled_from(["los", "nlos", "random"]),
    "scenario": st.sampled_from(["uma", "umi", "rma", FEW_RAYS]),
    "table_version": st.sampled_from(["16.1", "19.2"]),
    "rho_z": st.floats(0, 1),
    "squint": st.booleans(),
    "uma_fc_clip": st.booleans(),
    "mmwave": st.just(None),
}


@settings(max_examples=25)
@given(st.fixed_dictionaries({}, optional=SMALL_VALUES), st.integers(0, 2**63 - 1))
def test_what_is_not_refused_is_made_and_passes(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any], seed: int
) -> None:
    """Any spec within the bounds ends in a dataset of finite numbers, or in a line before anything is there."""
    folder = tmp_path_factory.mktemp("fuzzed")
    spec = refused_or_valid(lambda: make_spec("uma", assignments=TINY | SIZES | changes))
    if spec is None:
        return
    path, message = asked_for(lambda: generate(spec, folder / "d.zarr", seed=seed, remember=False))
    if path is None:
        assert "free space" in message or message.startswith("ue_height_m")
        assert list(folder.iterdir()) == []
        return
    dataset = open_dataset(path)
    assert dataset.spec == spec
    for name, variable in dataset.variables.items():
        values = np.concatenate([dataset.array(name, split) for split in ("train", "val", "test")])
        assert np.isfinite(values).all() or variable.nan == "nlos", name


def test_bounds_leave_all_that_presets_ask_for() -> None:
    for system in SYSTEMS:
        for preset in PUBLIC_PRESETS:
            assert generation.make_spec(system=system, preset=preset).sizes.total >= 3000
