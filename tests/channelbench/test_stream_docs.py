"""The examples of the page on training data, on a small dataset where theirs is."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from channelbench.testing import make_dataset, small_spec

PAGE = Path(__file__).parents[2] / "docs" / "training-data.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    make_dataset(folder / "data" / "uma.zarr", small_spec(train=60, val=1, test=1, sub6__num_slots=1))
    return folder


@pytest.fixture
def folder(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def test_there_are_four_examples() -> None:
    assert [code.split("\n")[0].split()[1] for code in BLOCKS] == ["torch", "train_ddp.py:", "torch", "keras"]


@pytest.mark.parametrize("number", [0, 2])
def test_example_runs(folder: Path, number: int) -> None:
    exec(compile(BLOCKS[number], PAGE.name, "exec"), {})


@pytest.mark.slow  # test_stream_ddp.py covers the same with two processes
def test_example_of_several_processes_runs(folder: Path) -> None:
    place = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}  # any port that is free
    done = subprocess.run([sys.executable, "-c", BLOCKS[1]], env=os.environ | place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="TensorFlow is not installed: pip install 'channelbench[tensorflow]'",
)
def test_keras_example_runs(folder: Path) -> None:
    exec(compile(BLOCKS[3], PAGE.name, "exec"), {})
