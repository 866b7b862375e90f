"""``import`` and ``export`` as users call them, and what tasks make of channels that lack something."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from foreign_arrays import AXES, channels

from channelbench.errors import RequestError
from channelbench.generation import last_dataset
from channelbench.store import open_dataset

Shell = Callable[..., tuple[int, str, str]]

TOLD = f"""
axes = "{AXES}"
licence = "CC0-1.0"

[sub6]
carrier_hz = 3.5e9
bandwidth_hz = 2.88e6
slot_s = 5e-4
array.columns = 4
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("h.npy", channels(90, slots=10))
    Path("told.toml").write_text(TOLD)
    return tmp_path


def test_channels_alone_reach_the_leaderboard(folder: Path, shell: Shell) -> None:
    code, out, err = shell("import", "h.npy", "--settings", "told.toml", "--dry-run")
    assert code == 0, err
    assert "links     90" in out
    assert "num_subcarriers 8" in out
    assert "licence   CC0-1.0" in out
    assert "needed" not in out
    assert not Path("x.zarr").exists()
    code, out, err = shell("import", "h.npy", "--settings", "told.toml", "--out", "x.zarr", "--seed", "3")
    assert code == 0, err
    assert "90 of 90 links" in out
    assert out.splitlines()[-1] == "x.zarr"
    assert str(last_dataset()) == "x.zarr"
    code, out, err = shell("verify", "x.zarr")
    assert code == 0, out
    words = ("--tasks", "ce,cp,pf", "--methods", "bi,wiener", "--condition", "snr_db=10")
    code, out, err = shell("run", "--data", "x.zarr", *words, "--out", "r")
    assert code == 0, err
    board = pd.read_csv("r/leaderboard.csv")
    assert {"ce", "cp", "pf"} <= set(board["task"])
    assert {"nmse", "se"} <= set(board["metric"])
    assert "se_link" not in set(board["metric"]), "path gain is not known"
    assert (board["status"] == "ok").all()
    page = Path("r/leaderboard.html").read_text()
    assert "imported from npy" in page
    assert "None" not in page


def test_tasks_that_need_what_is_not_there_refuse_before_anything_runs(folder: Path, shell: Shell) -> None:
    assert shell("import", "h.npy", "--settings", "told.toml", "--out", "x.zarr")[0] == 0
    code, _, err = shell("run", "--data", "x.zarr", "--tasks", "pe,ce", "--out", "r")
    assert code == 2
    assert err.startswith(
        "error: --tasks: expected tasks that this dataset supports, got 'pe (it has no main_path_gain_db"
    )
    assert err.count("\n") == 1
    code, _, err = shell("run", "--data", "x.zarr", "--tasks", "de", "--out", "r")
    assert code == 2
    assert "de (it has no distance_m and no path_gain_db_sub6)" in err
    near = ("--tasks", "pre_sr", "--methods", "zf", "--condition", "grouping=near")
    code, _, err = shell("run", "--data", "x.zarr", *near, "--out", "r")
    assert code == 2
    assert "--condition: expected conditions of pre_sr for datasets without strongest_aod_deg_sub6" in err
    assert not Path("r").exists()


def test_refusals_are_one_line(folder: Path, shell: Shell) -> None:
    for words, begins in (
        (("import", "h.npy", "--out", "x.zarr"), "error: axes: expected what each axis of h"),
        (("import", "h.npy", "--settings", "told.toml"), "error: --out: expected where to write the dataset"),
        (
            ("import", "h.npy", "--settings", "no.toml", "--out", "x.zarr"),
            "error: --settings: expected a readable TOML",
        ),
        (("import", "no.npy", "--out", "x.zarr"), "error: PATH: expected an existing file or folder"),
        (("generate", "--source", "imported"), "error: source: expected a source of uma (`channelbench import PATH"),
        (("generate", "--scenario", "imported"), "error: source: expected `channelbench import PATH --out x.zarr`"),
        (("export", "no.zarr", "--format", "mat"), "error: data: expected an existing dataset"),
    ):
        code, _, err = shell(*words)
        assert (code, err.count("\n")) == (2, 1), err
        assert err.startswith(begins), err
    assert not Path("x.zarr").exists()


def test_export_writes_where_it_says(folder: Path, shell: Shell) -> None:
    assert shell("import", "h.npy", "--settings", "told.toml", "--out", "x.zarr")[0] == 0
    code, out, err = shell("export", "x.zarr", "--format", "npz")
    assert (code, out.splitlines()[-1]) == (0, "x.npz"), err
    code, out, err = shell("import", "x.npz", "--out", "again.zarr")
    assert code == 0, err
    one, two = open_dataset("x.zarr"), open_dataset("again.zarr")
    np.testing.assert_array_equal(one.array("h_sub6", "test"), two.array("h_sub6", "test"))
    assert two.spec.source.licence == "CC0-1.0"


KILLED = """
import os, signal, sys
from channelbench.generators.imported.importing import import_dataset
from channelbench.assignments import read_toml

def progress(what, done, total):
    if what == "writing" and done > 0:
        os.kill(os.getpid(), signal.SIGKILL)

import_dataset("many.npy", "x.zarr", assignments=read_toml("told.toml"), progress=progress)
"""


def test_a_killed_import_is_continued_by_the_same_command(folder: Path, shell: Shell) -> None:
    np.save("many.npy", channels(2100, slots=2, subcarriers=4))
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with pytest.raises(RequestError, match="finished"):
        open_dataset("x.zarr")
    same = ("import", "many.npy", "--settings", "told.toml", "--out")
    code, _, err = shell(*same, "x.zarr")
    assert code == 0, err
    assert shell(*same, "whole.zarr")[0] == 0
    assert open_dataset("x.zarr").digest == open_dataset("whole.zarr").digest
