"""What a run says before it begins, and ``--dry-run``, which does no more."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from channelbench import registry
from channelbench.benchmarks.plan import DataPlan, RunPlan, StagePlan, Time
from channelbench.benchmarks.planning import time_of
from channelbench.benchmarks.runner import Job, run
from channelbench.errors import RequestError
from channelbench.results import read_cells
from channelbench.store import open_dataset
from channelbench.testing import make_dataset, small_spec

Shell = Callable[..., tuple[int, str, str]]
FEW = {"sub6__num_subcarriers": 8, "mmwave__num_subcarriers": 2, "mmwave__num_beams": 8}
HOLD = ("run", "--debug", "--data", "few.zarr", "--suite", "classical", "--methods", "hold,bi", "--tasks", "cp,ce")
MOVED = ("--suite", "llm4wm-transfer", "--methods", "hold,lstm", "--tasks", "cp")
SITES = ("--suite", "site-transfer", "--methods", "hold,lstm", "--tasks", "cp")


def written(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def said(text: str) -> dict[str, str]:
    """The lines of a plan by their first word."""
    return {line[:9].strip(): line[9:] for line in text.splitlines()}


def test_dry_run_counts_and_writes_nothing(shell: Shell, tmp_path: Path) -> None:
    make_dataset(Path("few.zarr"), small_spec(**FEW))
    before = written(tmp_path)
    code, out, err = shell(*HOLD, "--dry-run")
    assert (code, err) == (0, "")
    assert written(tmp_path) == before
    plan = said(out)
    assert plan["digest"] == open_dataset("few.zarr").digest
    assert plan["cells"] == "8 to make, 0 there; 6 fits", (
        "of bi and zero on both, of hold, of repeat; a ceiling of each"
    )
    code, out, _ = shell(*HOLD)
    assert code == 0
    assert out.startswith("8 cells made, 0 were there, 0 failed"), "as many as it said"
    before = written(tmp_path)
    plan = said(shell(*HOLD, "--dry-run")[1])
    assert (plan["cells"], plan["time"]) == ("0 to make, 8 there; 0 fits", "nothing to fit")
    snr = ("--condition", "snr_db=0")
    plan = said(shell(*HOLD, *snr, "--dry-run")[1])
    assert plan["cells"] == "8 to make, 8 there; 6 fits"
    assert plan["time"].startswith("at least ")
    assert plan["time"].endswith("as fits and predictions of all fits took here")
    assert written(tmp_path) == before


def test_shares_are_parts_of_the_whole(shell: Shell) -> None:
    make_dataset(Path("few.zarr"), small_spec(**FEW))
    parts = [json.loads(shell(*HOLD, "--shard", f"{n}/3", "--dry-run", "--json")[1])["plan"] for n in (1, 2, 3)]
    assert sum(part["cells"] for part in parts) == 8
    assert [part["share"] for part in parts] == ["1/3", "2/3", "3/3"]


def test_cells_of_other_code_are_counted_and_what_becomes_of_them(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dataset(Path("few.zarr"), small_spec(**FEW))
    assert shell(*HOLD)[0] == 0
    for path in Path("results/cells").glob("bi__*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "code_digest": "0" * 64}))
    assert said(shell(*HOLD, "--dry-run")[1])["cells"] == "2 to make, 6 there, 2 of other code (made again); 2 fits"
    kept = said(shell(*HOLD, "--stale", "keep", "--dry-run")[1])["cells"]
    assert kept == "0 to make, 8 there, 2 of other code (kept); 0 fits"


def test_a_plan_needs_no_dataset_no_cluster_and_no_target(shell: Shell, tmp_path: Path) -> None:
    """A suite of several folders whose datasets are all to be made."""
    code, out, err = shell("run", *MOVED, "--scheduler", "tcp://127.0.0.1:1", "--dry-run")
    assert (code, err) == (0, "")
    assert list(tmp_path.iterdir()) == []
    assert "dataset  data/uma.zarr (uma los, 3000 samples, which is made first)" in out
    assert "data/uma-to-rma-1.9.zarr (rma los, 3000 samples, which is made first)" in out
    assert "on the workers of tcp://127.0.0.1:1" in out
    folders = {line.split(":")[0].strip(): line for line in out.splitlines() if " to make, " in line}
    assert "own" in folders["its own"]
    assert "trained" in folders["rma-1.9/transfer"]
    assert "trained" not in folders["rma-1.9/zero-shot"], "scored with the fits of the first folder"


def test_stages_whose_dataset_cannot_be_made_here_are_left_out(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from channelbench.generators.raytraced import llvm

    def lacking() -> None:
        raise RequestError("source", expected=llvm.HINT, got="none")

    monkeypatch.setattr(llvm, "usable", lacking)
    code, out, _ = shell("run", *SITES, "--dry-run", "--json")
    plan = json.loads(out)["plan"]
    assert code == 0
    assert [stage["folder"] for stage in plan["stages"]] == [""]
    assert plan["makes"] == ["data/uma.zarr"]
    assert {"munich/zero-shot", "florence/transfer"} <= plan["skipped"].keys()
    assert "apt-get install libllvm" in plan["skipped"]["munich/zero-shot"]
    (line,) = (line for line in shell("run", *SITES, "--dry-run")[1].splitlines() if "LLVM" in line)
    assert line.startswith("skipped  munich/zero-shot, ")


LACKING = """
from channelbench.baselines.bi import BilinearInterpolation
from channelbench.card import Card
from channelbench.errors import RequestError
from channelbench.suite import Suite

class Lacking(BilinearInterpolation):
    card = BilinearInterpolation.card.model_copy(update={'name': 'lacking'})

    @classmethod
    def check(cls, context):
        raise RequestError('method', expected="its package: pip install 'lacking'", got='no such package')

def suite(*methods):
    card = Card(name='partly', description='Lacks something here.', reference='none', family='suite')
    return Suite(card=card, tasks=('ce',), methods=methods)

partly, wholly = suite('bi', 'lacking_here:Lacking'), suite('lacking_here:Lacking')
"""


def test_a_suite_leaves_out_what_is_not_installed_and_says_so(shell: Shell) -> None:
    Path("lacking_here.py").write_text(LACKING)
    make_dataset(Path("few.zarr"), small_spec(**FEW))
    reason = "method: expected its package: pip install 'lacking', got 'no such package'"
    arguments = ("run", "--debug", "--data", "few.zarr", "--suite", "lacking_here:partly")
    code, out, err = shell(*arguments)
    assert code == 0
    assert f"skipped  lacking: {reason}" in err, "before it begins"
    assert f"skipped: lacking: {reason}" in out.splitlines(), "and when it has ended"
    assert json.loads(Path("results/run.json").read_text())["skipped"] == {"lacking": reason}
    page = Path("results/leaderboard.html").read_text()
    assert "Skipped, as something is not installed: lacking: method: expected its package: pip install" in page
    found = json.loads(shell("report", "--json")[1])["report"]
    assert found["skipped"] == {"lacking": reason}
    assert "bi" in {method["method"] for method in found["tables"][0]["methods"]}
    code, out, err = shell(*arguments, "--methods", "bi,lacking_here:Lacking", "--out", "other")
    assert (code, err) == (2, f"error: {reason}\n"), "what somebody asks for is not left out"
    code, out, err = shell(*arguments[:-1], "lacking_here:wholly", "--out", "other")
    assert (code, err) == (2, f"error: {reason}\n"), "nothing that is ranked would be left"
    assert not Path("other").exists()
    sys.modules.pop("lacking_here")


def test_what_was_left_out_once_and_run_later_is_no_longer_said(tmp_path: Path) -> None:
    from channelbench.benchmarks.claim import joined
    from channelbench.results import DatasetCard, RunManifest

    card = DatasetCard(digest="", spec={}, seed=0)
    shared = {"suite": "s", "preset": "quick", "dataset": card, "tasks": ("ce",)}
    before = RunManifest(**shared, methods=("bi",), skipped={"a": "x", "b": "y"})
    now = RunManifest(**shared, methods=("bi", "a"), skipped={"b": "z"})
    assert joined(before, now, tmp_path).skipped == {"b": "z"}


def test_times_are_of_the_same_method_task_and_device(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "few.zarr", small_spec(**FEW))
    run("classical", data=data.path, out=tmp_path / "r", methods=["bi"], tasks=["ce"], debug=True)
    method, task = registry.find("methods", "bi"), registry.create("tasks", "ce")
    (cell,) = (cell for cell in read_cells(tmp_path / "r") if cell.method == "bi")
    cell = cell.model_copy(update={"costs": {"fit_s": 2.0, "predict_s": 3.0}})
    cells = [cell, cell.model_copy(update={"costs": {"fit_s": 4.0, "predict_s": 5.0}})]
    job = Job(method, (task,), 0, {}, ((task, task.conditions()), (task, task.conditions(snr_db=0))))
    assert time_of([job], cells, "cpu") == Time(seconds=3 + 4 + 4, jobs=1, known=1)
    other = Job(method, (registry.create("tasks", "cp"),), 0, {}, ())
    assert time_of([job, other], cells, "cpu") == Time(seconds=11, jobs=2, known=1)
    trained = type("Trained", (method,), {"learned": True})
    job = Job(trained, (task,), 0, {}, job.cells[:1])
    assert time_of([job], cells, "cuda") == Time(jobs=1), "the processor's times say nothing of the GPU's"
    assert time_of([job], cells, "cpu", trains=False) == Time(seconds=4, jobs=1, known=1)


def test_words_of_a_plan() -> None:
    data = DataPlan(path="d.zarr", title="uma los", samples=10, digest="ab")
    some = Time(seconds=5400, jobs=4, known=2)
    stage = StagePlan(folder="", data=data, cells=3, there=1, stale=1, fits=4, learned=2, time=some)
    plan = RunPlan(
        suite="s", preset="quick", data=data, device="cuda", where="2 processes", stages=(stage,), share="1/2"
    )
    assert list(plan.lines()) == [
        "dataset  d.zarr (uma los, 10 samples)",
        "digest   ab",
        "run      suite s, preset quick, share 1/2, device cuda, 2 processes",
        "cells    3 to make, 1 there, 1 of other code (made again); 4 fits, 2 of them trained",
        "time     at least 1 h 30 min, as fits and predictions of 2 of the 4 fits took here; of the others nothing is "
        "known",
    ]
