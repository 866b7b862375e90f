"""Whatever stands where a dataset should be: one line, or a finding of ``verify``; no traceback, and an end."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest
from malformed import ARRAYS, malformed

from channelbench.errors import RequestError
from channelbench.generation import generate
from channelbench.store import open_dataset, verify
from channelbench.store.inspect import summary
from channelbench.stream.reader import Reader
from channelbench.testing import small_spec

TINY = {"sub6__num_subcarriers": 4, "sub6__num_slots": 2, "mmwave__num_subcarriers": 2, "mmwave__array__columns": 4}
CASES = malformed()
FEW = list(CASES)[::12]
DEADLINE_S = 120
"""Nothing here takes a second; what waits for a pipe waits for ever."""

HARMLESS = {
    "versions is object",  # not covered
    *(f"consolidated {number}" for number in range(3)),  # read from the arrays then
    *(f"{name}: storage_transformers 0" for name in ARRAYS),  # which zarr leaves aside
    *(f"los: fill_value {number}" for number in (0, 1, 3)),  # some other value where nothing is missing
    "slot: fill_value 3",
}
"""What changes nothing of what is read: nobody complains, and ``verify`` notes what concerns storage."""


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(generate(small_spec(**TINY), tmp_path_factory.mktemp("master") / "d.zarr", remember=False))


@pytest.fixture
def deadline() -> Iterator[None]:
    def stop(_: int, frame: FrameType | None) -> None:
        raise TimeoutError("this does not end")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(DEADLINE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def damaged(name: str, master: Path, folder: Path) -> Path:
    path = Path(shutil.copytree(master, folder / "d.zarr"))
    CASES[name](path)
    return path


def attempt(what: Callable[[], object]) -> str | None:
    """What is complained of; ``None`` where all is well."""
    try:
        what()
    except RequestError as error:
        return str(error)
    return None


def check(name: str, path: Path) -> None:
    def read() -> None:
        for _ in Reader(path, split="train", batch_size=8).batches(0):
            pass

    def found() -> None:
        for finding in verify(path):
            if not finding.ok:
                raise RequestError(finding.check, expected="no problems", got=finding.problems[0])

    again = None
    refused = attempt(lambda: open_dataset(path))
    complaint = attempt(found)
    assert (complaint is None) == (name in HARMLESS), complaint
    with suppress(IsADirectoryError):  # a folder where a file is to be written: the command line names it
        again = attempt(lambda: generate(small_spec(**TINY), path, remember=False))
    said = attempt(read), attempt(lambda: summary(path))
    assert all("\n" not in line and len(line) < 2000 for line in (refused, complaint, *said, again) if line)
    if refused:
        assert complaint
        assert all(said)


@pytest.mark.parametrize("name", FEW)
@pytest.mark.usefixtures("deadline")
def test_what_is_no_dataset_is_one_line(master: Path, tmp_path: Path, name: str) -> None:
    check(name, damaged(name, master, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CASES) - set(FEW)))
@pytest.mark.usefixtures("deadline")
def test_what_is_no_dataset_is_one_line_of_all(master: Path, tmp_path: Path, name: str) -> None:
    check(name, damaged(name, master, tmp_path))


@pytest.mark.parametrize(
    "name", ["zarr.json is a pipe", "h_sub6/c is a pipe", "slot: shape 4", "seed is null", "spec.sizes.train 4"]
)
def test_every_command_says_so(
    master: Path, tmp_path: Path, shell: Callable[..., tuple[int, str, str]], name: str
) -> None:
    path = damaged(name, master, tmp_path)
    os.chdir(tmp_path)
    for arguments in (["inspect", str(path)], ["run", "--suite", "classical", "--data", str(path)]):
        code, out, err = shell(*arguments)
        assert code == 2
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
