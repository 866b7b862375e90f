"""Damaged files of a results folder cost one line each, and their cells are made again; two runs at once lose none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from channelbench.benchmarks import claim as claim_module
from channelbench.benchmarks.claim import claim, place
from channelbench.benchmarks.jobs import Reporter
from channelbench.benchmarks.plan import DataPlan, RunPlan
from channelbench.benchmarks.runner import Outcome, run
from channelbench.errors import RequestError
from channelbench.leaderboard.audit import audit
from channelbench.manifests import LOCK, read_manifest
from channelbench.results import DatasetCard, RunManifest, read_cells
from channelbench.store import open_dataset
from channelbench.testing import make_dataset, small_spec


@pytest.fixture(scope="module")
def data() -> str:
    """In memory, so that the jobs run in this process."""
    spec = small_spec(sub6__num_subcarriers=8, mmwave__num_subcarriers=2, mmwave__num_beams=8)
    return str(make_dataset("memory://damage/few.zarr", spec).path)


class Heard(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.plans: list[RunPlan] = []
        self.counts: list[tuple[int, int]] = []

    def began(self, plan: RunPlan) -> None:
        assert not self.counts, "first of all"
        self.plans.append(plan)

    def remarked(self, text: str) -> None:
        self.lines.append(text)

    def planned(self, cells: int, done: int) -> None:
        self.counts.append((cells, done))


def hold(data: str, out: Path, heard: Heard | None = None, tasks: tuple[str, ...] = ("cp",)) -> Outcome:
    return run("full", data=data, out=out, methods=["hold"], tasks=tasks, conditions=[{}], reporter=heard)


def test_a_run_says_first_what_it_is_about(data: str, tmp_path: Path) -> None:
    heard = Heard()
    hold(data, tmp_path / "results", heard)
    (plan,) = heard.plans
    assert plan.data == DataPlan(
        path=data, title=f"{small_spec().scenario} los", samples=110, digest=open_dataset(data).digest
    )
    assert plan.device in ("cpu", "cuda")
    assert (plan.cells, plan.stages[0].there, plan.stages[0].fits) == (3, 0, 2)
    assert heard.counts == [(3, 0)]


def test_damaged_cells_are_made_again_with_a_line_each(data: str, tmp_path: Path) -> None:
    out = tmp_path / "results"
    assert len(hold(data, out).written) == 3
    sound = {cell.name: cell.scores for cell in read_cells(out)}
    files = {name: out / "cells" / f"{name}__cp__default__seed0.json" for name in ("hold", "zero", "ceiling")}
    files["hold"].write_bytes(files["hold"].read_bytes()[:100])
    files["zero"].with_suffix(".npz").write_bytes(b"PK")
    content = json.loads(files["ceiling"].read_text())
    content["scores"]["nmse"]["value"] = 0.25
    files["ceiling"].write_text(json.dumps(content))
    heard = Heard()
    outcome = hold(data, out, heard)
    lines = [line for line in heard.lines if line.startswith("cells/")]
    assert len(lines) == 3
    assert all(line.endswith("it does not count, and is made again where it is asked for") for line in lines)
    assert {result.method for result in outcome.written} == {"hold", "zero", "ceiling"}
    assert {cell.name: cell.scores for cell in read_cells(out)} == sound
    assert audit(out).problems == ()


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"suite": 1}'])
def test_a_lost_manifest_is_written_again_from_the_cells(data: str, tmp_path: Path, content: str | None) -> None:
    out = tmp_path / "results"
    hold(data, out, tasks=("cp", "pe"))
    (out / "run.json").unlink()
    if content is not None:
        (out / "run.json").write_text(content)
    heard = Heard()
    assert hold(data, out, heard).written == []
    (line,) = (line for line in heard.lines if "run.json" in line)
    assert "cannot be read" in line
    assert set(read_manifest(out).tasks) == {"cp", "pe"}
    assert read_manifest(out).suite == "full"
    assert audit(out).problems == ()
    other = str(make_dataset("memory://damage/other.zarr", small_spec(sub6__num_subcarriers=4), seed=5).path)
    (out / "run.json").unlink()
    with pytest.raises(RequestError, match="which differs in dataset"):
        hold(other, out)


def test_what_is_no_results_folder_stays_none(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / LOCK).touch()
    assert place(tmp_path / "new") == tmp_path / "new", "all that a run that was killed has left"
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "letter.txt").touch()
    with pytest.raises(RequestError, match="--out: expected a new folder, or one that `run` made"):
        place(tmp_path / "some")
    (tmp_path / "some" / "cells").mkdir()
    (tmp_path / "some" / "cells" / "a.json").write_text("{}")
    (tmp_path / "some" / "run.json").write_text("{}")
    with pytest.raises(RequestError, match=r"--out: expected a results folder with a readable run\.json"):
        claim(tmp_path / "some", manifest("ce"))


def manifest(task: str) -> RunManifest:
    card = DatasetCard(digest="d", spec={}, seed=0)
    return RunManifest(suite="s", preset="quick", dataset=card, tasks=(task,), methods=(f"of-{task}",))


@pytest.mark.parametrize("moment", ["read_manifest", "_readable"])
def test_what_another_run_has_just_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """It was not there when it was read, and is when it, or cells, are looked for: two runs that begin at once."""
    usual = getattr(claim_module, moment)

    def late(folder: Path) -> Any:
        monkeypatch.setattr(claim_module, moment, usual)
        try:
            return usual(folder)
        finally:
            claim(folder, manifest("other"))

    monkeypatch.setattr(claim_module, moment, late)
    claim(tmp_path / "results", manifest("mine"))
    assert sorted(read_manifest(tmp_path / "results").tasks) == ["mine", "other"]


def test_runs_at_once_lose_nothing(tmp_path: Path) -> None:
    names = [f"task{number}" for number in range(24)]
    together = threading.Barrier(len(names))

    def work(name: str) -> None:
        together.wait()
        claim(tmp_path / "results", manifest(name))

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_manifest(tmp_path / "results")
    assert sorted(found.tasks) == sorted(names)
    assert sorted(found.methods) == sorted(f"of-{name}" for name in names)


KEEPS = """
import sys, time
from pathlib import Path
from channelbench.manifests import locked
with locked(Path(sys.argv[1])):
    print("kept", flush=True)
    time.sleep(600)
"""


def test_the_lock_of_a_process_that_is_killed_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen([sys.executable, "-c", KEEPS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "kept\n"
        monkeypatch.setattr("channelbench.manifests.LOCK_S", 0.1)
        with pytest.raises(RequestError, match=r"--out: expected a folder whose run\.json is free, got .*\.run\.lock"):
            claim(tmp_path, manifest("ce"))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        claim(tmp_path, manifest("ce"))
    finally:
        process.kill()
        process.communicate()
    assert read_manifest(tmp_path).tasks == ("ce",)
