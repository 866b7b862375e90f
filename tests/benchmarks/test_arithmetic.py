"""A cell says in what arithmetic it was computed."""

import subprocess
import sys
from pathlib import Path

import pytest
import threadpoolctl
import torch

from channelbench import registry
from channelbench.benchmarks import scoring
from channelbench.benchmarks.arithmetic import arithmetic
from channelbench.benchmarks.runner import run
from channelbench.contracts import FitContext, TaskSplit
from channelbench.models.networks.precision import has_bfloat16
from channelbench.results import read_cells
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import small_backbone

pytestmark = pytest.mark.usefixtures("toys")


def test_cells_say_their_arithmetic(data: Path, tmp_path: Path) -> None:
    run("full", data=data, out=tmp_path, methods=["wiener", "toy_methods:Learns"], tasks=["cp"], seeds=1)
    said = {result.method: result.arithmetic for result in read_cells(tmp_path)}
    # This process may have met libraries that a worker, which is a new one, has no use for.
    words = "from channelbench.benchmarks.jobs import work; import scipy.linalg; "
    words += "from channelbench.benchmarks.arithmetic import arithmetic; print(arithmetic('cpu', learned=False))"
    new = subprocess.run([sys.executable, "-c", words], check=True, capture_output=True, text=True).stdout.strip()
    assert said["wiener"] == said["ceiling"] == new
    assert said["learns"] == f"PyTorch {torch.backends.cpu.get_cpu_capability()}"


def test_a_trunk_says_whether_it_was_trained_in_half_precision(few_rays: ChannelDataset) -> None:
    splits = tuple(TaskSplit(registry.create("tasks", "de"), few_rays.view(split)) for split in ("train", "val"))
    for name, words in (("llm4cp", "the trunk trained in bfloat16"), ("llm4cp+none", "")):
        method = registry.find("methods", name)()
        method.fit({"de": splits}, FitContext(preset="smoke", backbone=small_backbone()))
        assert method.precision == (words if has_bfloat16("cpu") else "")


@pytest.mark.parametrize(
    ("libraries", "words"),
    [
        ([], ""),
        ([{"user_api": "openmp", "internal_api": "openmp"}], ""),
        ([{"user_api": "blas", "internal_api": "openblas", "architecture": "Zen"}] * 2, "OpenBLAS Zen"),
        ([{"user_api": "blas", "internal_api": "mkl"}], "MKL"),
        (
            [
                {"user_api": "blas", "internal_api": "openblas", "architecture": "Haswell"},
                {"user_api": "blas", "internal_api": "other", "architecture": None},
            ],
            "OpenBLAS Haswell, other",
        ),
    ],
)
def test_words_of_libraries(monkeypatch: pytest.MonkeyPatch, libraries: list[dict[str, str]], words: str) -> None:
    monkeypatch.setattr("channelbench.benchmarks.arithmetic.threadpool_info", lambda: libraries)
    assert arithmetic("cpu", learned=False) == words


def test_words_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr("torch.version.cuda", "13.0")
    assert arithmetic("cuda:0", learned=True) == "CUDA 13.0, compute capability 9.0"


def test_what_a_method_says_stands_behind() -> None:
    here = scoring.Where("cpu", "", 1, {}, "PyTorch AVX2")
    assert here.computing("").arithmetic == "PyTorch AVX2"
    assert here.computing("half of it in bfloat16").arithmetic == "PyTorch AVX2, half of it in bfloat16"
    assert threadpoolctl.threadpool_info(), "NumPy's own is there"
