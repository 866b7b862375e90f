"""Channels that are compiled for another processor are others by rounding, and ``verify`` calls none damaged."""

from __future__ import annotations

import platform
import re
import runpy
import shutil
from pathlib import Path

import pytest
from ray_tracing import require_tracer

SCRIPT = Path(__file__).parents[3] / "docs" / "compare_processors.py"


@pytest.mark.slow
def test_two_processors_differ_by_rounding(tmp_path: Path) -> None:
    """AVX2 alone against what this machine has: no user, no number of paths, and no channel beyond rounding."""
    require_tracer()
    if platform.machine() != "x86_64":
        pytest.skip("another processor to compile for is known for x86-64 alone")
    script = runpy.run_path(str(SCRIPT))
    words = ["--scenario", "umi", "--samples", "24", "--set", "samples_per_source=10000"]
    here = script["traced"](tmp_path / "here.zarr", words)
    there = script["traced"](tmp_path / "there.zarr", words, "haswell", shutil.which("cc") is not None)
    lines = script["differences"](here, there)
    print("\n".join(lines))
    said = dict(line.split(": ", 1) for line in lines)
    assert said["links"] == "24, with another user: 0"
    assert said["with another number of paths"] == "0"
    for band in ("sub6", "mmwave"):
        median, most = map(float, re.findall(r"\d\S*(?= in the| at most)", said[band]))
        assert median < 1e-5
        assert most < 1e-2
    assert said["verify"].startswith("nothing wrong")
    if "haswell" not in said["processors"].partition("|")[0]:
        assert "made elsewhere, with processor haswell" in said["verify"]
