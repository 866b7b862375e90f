"""Cells and fits of other code than today's are made again, and nothing else is."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import save_file

from channelbench import code
from channelbench.benchmarks.exhibits import report
from channelbench.benchmarks.jobs import Reporter
from channelbench.benchmarks.runner import Outcome, run
from channelbench.errors import RequestError
from channelbench.results import Result, read_cells
from channelbench.testing import make_dataset, small_spec


@pytest.fixture(scope="module")
def data() -> str:
    """In memory, so that the jobs run in this process."""
    spec = small_spec(train=40, sub6__num_subcarriers=8, mmwave__num_subcarriers=2, mmwave__num_beams=8)
    return str(make_dataset("memory://stale/few.zarr", spec).path)


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of channelbench that its digests are taken of, while the code that runs stays what it is."""
    ours = sys.modules["channelbench"]
    copy = tmp_path / "copy" / "channelbench"
    shutil.copytree(Path(str(ours.__file__)).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(ours, "__path__", [str(copy)])
    for name, module in list(sys.modules.items()):
        below = copy.joinpath(*name.split(".")[1:])
        if name.startswith("channelbench.") and (file := getattr(module, "__file__", None)):
            monkeypatch.setattr(module, "__file__", str(below / "__init__.py" if "__init__" in file else f"{below}.py"))
    code._imported.cache_clear()
    yield copy
    code._imported.cache_clear()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The networks are small, and the machine may be busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Heard(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def remarked(self, text: str) -> None:
        self.lines.append(text)


def fit(data: str, out: Path, heard: Heard | None = None, **options: str) -> Outcome:
    return run(
        "full",
        data=data,
        out=out,
        methods=["mlp"],
        tasks=["pe"],
        conditions=[{}],
        reporter=heard,
        **options,  # type: ignore[arg-type]
    )


def written(outcome: Outcome) -> set[str]:
    return {result.method for result in outcome.written}


def cell(out: Path, method: str = "mlp") -> Result:
    return next(result for result in read_cells(out) if result.method == method)


def change(file: Path, text: str = "\nCHANGED = 1\n") -> None:
    file.write_text(file.read_text() + text)


def identity(out: Path) -> str:
    (path,) = (out / "checkpoints").rglob("final.safetensors")
    with safetensors.safe_open(path, framework="pt") as file:
        return str(file.metadata()["identity"])


def test_a_line_of_a_network_is_fitted_and_scored_again(data: str, tmp_path: Path, sources: Path) -> None:
    out = tmp_path / "results"
    assert written(fit(data, out)) == {"mlp", "mean", "median", "ceiling"}
    first = cell(out)
    assert first.schema_version == "2"
    assert len(first.code_digest) == 64
    assert first.code_digest in identity(out)
    assert first.found_at == {"method": "mlp", "task": "pe"}
    assert first.suite == "full"
    assert first.command.split()[0] == Path(sys.argv[0]).name
    assert first.training is not None
    assert (first.training.steps, first.training.budget_steps) == (120, 120)
    assert list(first.training.validation) == [40, 80, 120]
    assert first.training.best_step == min(first.training.validation, key=first.training.validation.__getitem__)
    assert first.training.samples == 120 * 32 + 40 + 1, "each batch, one look, and an example of the shapes"
    assert first.training.budget_samples == 120 * 32 + 40
    assert first.costs["samples_seen"] == 3881
    assert first.costs["samples_of_budget"] == pytest.approx(1, abs=1e-3)
    assert "fit_s" in first.costs

    for part in (
        "leaderboard/ranking.py",
        "leaderboard/page.py",
        "cli/running.py",
        "benchmarks/runner.py",
        "store/verify.py",
    ):
        change(sources / part)
    change(sources / "models" / "networks" / "mlp.py", "\n# a remark\n")
    assert written(fit(data, out)) == set(), "none of it decides a score"

    change(sources / "models" / "networks" / "mlp.py")
    heard = Heard()
    assert written(fit(data, out, heard)) == {"mlp"}
    assert heard.lines[-1] == "1 cell is of other code than today's and is made again (--stale keep keeps it)"
    again = cell(out)
    assert again.code_digest != first.code_digest
    assert again.code_digest in identity(out), "the fit is another"
    assert first.code_digest not in identity(out)
    assert "fit_s" in again.costs, "all of it"
    assert again.scores == first.scores, "the code that ran is what it was"
    assert written(fit(data, out)) == set()

    change(sources / "metrics" / "scalar.py")
    assert written(fit(data, out)) == {"mlp", "mean", "median", "ceiling"}


def test_stale_cells_are_kept_where_that_is_asked_for_and_marked(data: str, tmp_path: Path, sources: Path) -> None:
    out = tmp_path / "results"
    fit(data, out)
    first = cell(out)
    report(out)
    assert "other code" not in (out / "leaderboard.html").read_text()
    change(sources / "models" / "networks" / "training.py")
    heard = Heard()
    kept = fit(data, out, heard, stale="keep")
    assert (written(kept), kept.kept) == (set(), 4)
    assert heard.lines[-1] == "1 cell is of other code than today's and is kept"
    assert cell(out) == first
    report(out)
    assert "Made by other code than is installed here: mlp (pe)" in (out / "leaderboard.html").read_text()
    table = (out / "leaderboard.csv").read_text().splitlines()
    assert {line.rpartition(",")[2] for line in table if line.startswith("mlp,")} == {"changed"}
    assert {line.rpartition(",")[2] for line in table if line.startswith("mean,")} == {"same"}
    (out / "cells" / f"{first.name}.json").unlink()
    assert written(fit(data, out, stale="keep")) == {"mlp"}
    loaded = cell(out)
    assert (loaded.code_digest, loaded.scores) == (first.code_digest, first.scores), "it is of the fit that was kept"
    assert "fit_s" not in loaded.costs
    assert "samples_seen" not in loaded.costs
    assert loaded.training is not None
    assert loaded.training.samples is None
    assert loaded.training.validation == first.training.validation  # type: ignore[union-attr]
    with pytest.raises(RequestError, match=r"--stale: .* got 'forget'; choices: remake, keep"):
        fit(data, out, stale="forget")


def test_fits_of_unknown_code_are_used_and_their_cells_say_so(data: str, tmp_path: Path, sources: Path) -> None:
    """Of runs from before the code was noted."""
    out = tmp_path / "results"
    fit(data, out)
    first = cell(out)
    (note,) = (out / "checkpoints").glob("*.code")
    note.unlink()
    (path,) = (out / "checkpoints").rglob("final.safetensors")
    with safetensors.safe_open(path, framework="pt") as file:
        tensors, header = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    before = {key: value for key, value in json.loads(header["identity"]).items() if key != "code"}
    save_file(tensors, path, metadata={**header, "identity": json.dumps(before)})
    (out / "cells" / f"{first.name}.json").unlink()
    assert written(fit(data, out)) == {"mlp"}
    loaded = cell(out)
    assert (loaded.status, loaded.code_digest, loaded.scores) == ("ok", "", first.scores)
    report(out)
    assert "Without digest of code: mlp (pe)" in (out / "leaderboard.html").read_text()
    change(sources / "models" / "networks" / "mlp.py")
    assert written(fit(data, out)) == set(), "nobody knows whether it is of other code"
