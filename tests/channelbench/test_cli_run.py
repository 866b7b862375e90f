"""Runs from the command line: options of methods, suites of several folders, worker processes, interrupts."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from channelbench import registry
from channelbench.testing import make_dataset, small_spec

FEW_RAYS = "channelbench.testing.factories:FewRays"
Shell = Callable[..., tuple[int, str, str]]


def written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


MINE = """
import numpy as np
from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.errors import RequestError
from channelbench.tasks.link.observations import LaterSlotsObservation

class Holds(Method):
    card = Card(name='holds', description='Holds the last slot.', reference='none', family='llm')
    observes = (LaterSlotsObservation,)
    variants = ('none',)

    @classmethod
    def variant(cls, options):
        name = '+'.join((cls.card.name, *options))
        return type(name, (cls,), {'card': cls.card.model_copy(update={'name': name}), 'variants': ()})

    @classmethod
    def check(cls, context):
        if context.backbone not in ('minilm', 'random:minilm'):
            raise RequestError('--backbone', expected='one that is here', got=context.backbone)

    def predict(self, task, observation):
        return np.repeat(observation.h[:, -1:], len(observation.grid.target_slot_s), axis=1)
"""


def test_backbone_and_controls(shell: Shell, tmp_path: Path) -> None:
    Path("holding.py").write_text(MINE)
    before = written(tmp_path)
    code, out, err = shell("run", "--methods", "holding:Holds", "--tasks", "cp", "--backbone", "gpt9")
    assert (code, out) == (2, "")
    assert err == "error: --backbone: expected one that is here, got 'gpt9'\n"
    assert [path for path in written(tmp_path) if "__pycache__" not in path] == before, "not even a default dataset"
    make_dataset(Path("few.zarr"))
    options = ["--data", "few.zarr", "--methods", "holding:Holds", "--tasks", "cp", "--backbone", "random:minilm"]
    code, out, _ = shell("run", *options, "--controls")
    assert code == 0
    manifest = json.loads(Path("results/run.json").read_text())
    assert manifest["backbone"] == "random:minilm"
    assert manifest["methods"] == ["holds", "holds+none", "hold", "zero"]
    code, _, err = shell("run", *options[:-1], "minilm")
    assert code == 2
    assert "backbone: random:minilm → minilm" in err
    assert "random:NAME" in shell("run", "--help")[1]


def test_list_shows_options(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.find("methods", "bi"), "variants", ("none", "rankN"))
    monkeypatch.setenv("COLUMNS", "200")
    listing = shell("list", "methods")[1]
    assert "with +none +rankN" in listing
    assert "+none" not in shell("list", "tasks")[1]


SUITE = """
from channelbench.suite import Suite
from channelbench.experiment import ExperimentSpec

moved = Suite(
    card=Card(name='moved', description='One change of carrier.', reference='none', family='suite'),
    tasks=('cp',), methods=('hold', 'moving:Broken'), conditions=({},),
    experiment=ExperimentSpec(name='transfer', parameters={'targets': {'other': {'sub6.carrier_hz': '2.4e9'}}}),
)
"""

BROKEN = MINE.replace("Holds", "Broken").replace(
    "return np.repeat", "raise ValueError('on purpose')\n        return np"
)


def test_transfer_suite_reports_every_folder(shell: Shell, tmp_path: Path) -> None:
    Path("moving.py").write_text(BROKEN + SUITE)
    make_dataset(Path("few.zarr"), small_spec(sub6__num_subcarriers=8))
    code, out, err = shell("run", "--suite", "moving:moved", "--data", "few.zarr")
    assert code == 1
    assert "12 cells made, 0 were there, 3 failed" in out, "four rows in each of three folders"
    assert "failed: other/zero-shot/holds__cp__default__seed0: ValueError: on purpose" in err
    assert "failed: holds__cp__default__seed0: ValueError: on purpose" in err
    for folder in ("results", "results/other/zero-shot", "results/other/transfer"):
        assert Path(folder, "run.json").exists()
    assert Path("few-to-other.zarr").exists()


def test_bars_follow_a_run_through_its_folders() -> None:
    """What a terminal shows of a transfer suite: datasets made, cells and steps of each folder."""
    import io

    from rich.console import Console

    from channelbench.benchmarks.progress import BarReporter
    from channelbench.benchmarks.runner import Job
    from channelbench.meters import Bars

    screen = io.StringIO()
    with Bars(Console(file=screen, force_terminal=True, width=100), auto_refresh=False) as bars:
        reporter = BarReporter(bars)

        def shown() -> list[tuple[str, float, float | None]]:
            return [(bar.description, bar.completed, bar.total) for bar in bars.tasks if bar.visible]

        def job(task: str) -> Job:
            return Job(registry.find("methods", "bi"), (registry.create("tasks", task),), 0, {}, ())

        assert shown() == []
        reporter.entered("")
        reporter.planned(3, 0)
        assert shown() == [("cells", 0, 3)]
        reporter.started(job("ce"))
        reporter.fitting(job("ce"), 5, 20, "loss 1")
        assert shown() == [("cells", 0, 3), ("fitting bi ce", 5, 20)]
        reporter.started(job("cp"))  # of another worker
        reporter.fitting(job("ce"), 6, 20, "loss 1")
        reporter.fitting(job("cp"), 1, 10, "loss 1")
        assert shown()[1:] == [("fitting bi ce", 6, 20), ("fitting bi cp", 1, 10)]
        reporter.ended(job("ce"))
        assert shown()[1:] == [("fitting bi cp", 1, 10)]
        reporter.ended(job("cp"))
        for name in ("far", "near"):
            for done in (0, 40):
                reporter.generating(name, done, 100)
            assert shown()[-1] == (f"generating {name}", 40, 100)
            reporter.entered(f"{name}/zero-shot")
            reporter.planned(7, 2)
            assert shown() == [(f"cells {name}/zero-shot", 0, 7)]
    assert "near/zero-shot:" in screen.getvalue()


def test_workers_run_a_class_of_the_current_folder(shell: Shell, tmp_path: Path) -> None:
    Path("holding_too.py").write_text(MINE)
    make_dataset(Path("few.zarr"))
    options = ["--data", "few.zarr", "--methods", "holding_too:Holds", "--tasks", "cp", "--controls", "--workers", "2"]
    code, out, _ = shell("run", *options)
    assert code == 0
    assert "10 cells made, 0 were there, 0 failed" in out, "five rows under two conditions"
    assert Path("results/cells/holds+none__cp__default__seed0.json").exists()
    assert "no latency" in " ".join(shell("run", "--help")[1].replace("│", " ").split())


SLOW = MINE.replace(
    "    def predict",
    "    learned = True\n\n    def fit(self, data, context):\n"
    "        import time\n        from pathlib import Path\n"
    "        Path('begun').touch()\n        time.sleep(3600)\n\n    def predict",
)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_a_run_and_all_its_processes(
    tmp_path: Path, workers: int, eventually: Callable[..., None], members: Callable[[int], list[psutil.Process]]
) -> None:
    """As a terminal does it: the signal goes to every process of the group."""
    (tmp_path / "slow.py").write_text(SLOW)
    make_dataset(tmp_path / "few.zarr")
    command = [sys.executable, "-m", "channelbench.cli", "run", "--data", "few.zarr", "--methods", "slow:Holds"]
    process = subprocess.Popen(
        [*command, "--tasks", "cp", "--workers", str(workers)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        eventually((tmp_path / "begun").exists, process)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=600)
        eventually(lambda: not members(process.pid))
    finally:
        for left in members(process.pid):
            left.kill()
    assert process.returncode == 130
    assert err.endswith("error: stopped; what is done is kept, and the same command continues\n")
    assert "Traceback" not in err


def test_a_job_that_hangs_costs_its_cells_and_says_which_limit_it_broke(shell: Shell, tmp_path: Path) -> None:
    Path("hanging.py").write_text(SLOW)
    make_dataset(Path("few.zarr"))
    # What does not hang is done before, so that it keeps the limit however busy the machine is.
    assert shell("run", "--data", "few.zarr", "--methods", "hold", "--tasks", "cp")[0] == 0
    arguments = ["run", "--data", "few.zarr", "--methods", "hanging:Holds", "--tasks", "cp"]
    code, out, err = shell(*arguments, "--max-time", "3s")
    assert code == 1
    assert "2 cells made, 6 were there, 2 failed" in out
    assert "failed: holds__cp__default__seed0: TimeoutError: not done after 3 s (--max-time)" in err
    code, _, err = shell(*arguments, "--out", "other", "--timeout", "at once")
    assert (code, err) == (2, "error: --timeout: expected seconds, or a time like 90s, 10m or 6h, got 'at once'\n")
    assert not Path("other").exists()


def test_what_only_this_process_has_is_said(shell: Shell) -> None:
    make_dataset("memory://cli/few.zarr")
    code, _, err = shell("run", "--data", "memory://cli/few.zarr", "--methods", "hold", "--tasks", "cp")
    assert code == 0
    assert "is of this process alone: the jobs run here, where nothing can end one that hangs" in err


def test_interrupt_says_how_to_go_on(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from channelbench import generation as module

    real = module.make_unit

    def interrupted(spec, seed, unit, files):
        if unit.index == 1:
            raise KeyboardInterrupt
        return real(spec, seed, unit, files)

    arguments = ["generate", "--scenario", FEW_RAYS, "--samples", "450", "--set", "sub6.num_subcarriers=4"]
    monkeypatch.setattr(module, "make_unit", interrupted)
    monkeypatch.setattr(os, "_exit", sys.exit)
    code, _, err = shell(*arguments)
    assert code == 130
    assert err.strip().splitlines()[-1] == "error: stopped; what is done is kept, and the same command continues"
    monkeypatch.setattr(module, "make_unit", real)
    code, out, _ = shell(*arguments)
    assert code == 0
    assert out.startswith("250 samples in")
