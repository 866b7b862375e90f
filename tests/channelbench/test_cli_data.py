"""What `run` says first, and which dataset it takes where none is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from channelbench.testing import make_dataset, small_spec

Shell = Callable[..., tuple[int, str, str]]
FEW = {"sub6__num_subcarriers": 8, "mmwave__num_subcarriers": 2, "mmwave__num_beams": 8}


def test_the_last_dataset_is_not_taken_for_a_papers(shell: Shell) -> None:
    make_dataset(Path("few.zarr"), small_spec(**FEW))
    few_rays = "channelbench.testing.factories:FewRays"
    hold = ("run", "--methods", "hold", "--tasks", "cp")
    code, _, err = shell(*hold)
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith("error: --data: expected a dataset of uma, which suite full states, got")
    assert f"few.zarr of {few_rays}, the last one generated here; --data few.zarr takes it all the same" in line
    assert not Path("results").exists()
    code, _, err = shell(*hold, "--data", "few.zarr")
    assert code == 0
    lines = [line.partition(" ")[2] for line in err.splitlines()]
    assert lines[0].startswith(f"dataset  few.zarr ({few_rays} los, ")
    assert lines[1].startswith("digest   ")
    assert lines[2] in [
        f"run      suite full, preset quick, device {device}, one process" for device in ("cpu", "cuda")
    ]
    assert lines[3] == "cells    6 to make, 0 there; 2 fits"
    assert lines[4] == "time     unknown: no such fit has been made here yet"
    code, _, err = shell(*hold, "--suite", "classical", "--out", "other")
    assert code == 0, "a suite that states none takes what is there"
    assert "dataset  few.zarr" in err.splitlines()[0]


def test_a_run_ends_with_status_one_where_the_report_leaves_something_out(shell: Shell) -> None:
    make_dataset(Path("few.zarr"), small_spec(**FEW))
    run = ("run", "--data", "few.zarr", "--methods", "hold", "--suite", "classical")
    assert shell(*run, "--tasks", "cp,ce")[0] == 0
    damaged = Path("results/cells/zero__ce__default__seed0.npz")
    damaged.write_bytes(b"")
    code, out, err = shell(*run, "--tasks", "cp")
    assert code == 1
    assert "0 cells made" in out
    assert "left out: cells/zero__ce__default__seed0.json: terms: expected a readable" in err
    code, out, err = shell(*run, "--tasks", "cp,ce")
    assert (code, "1 cells made" in out, "left out" in err) == (0, True, False)
