"""``verify`` draws the paths of 3GPP channels again, whatever engine has summed them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from channelbench.generation import generate
from channelbench.generators.evaluate import fast
from channelbench.generators.evaluate.slot_terms import SlotTerms
from channelbench.spec import ScenarioSpec
from channelbench.store import Finding, verify

SMALL = {
    "sizes": {"train": 12, "val": 9, "test": 10},
    "sub6.num_subcarriers": 8,
    "mmwave.num_subcarriers": 8,
    "test_speeds_mps": [3.0, 30.0],
}


def paths_of(spec: ScenarioSpec, folder: Path) -> Finding:
    findings = verify(generate(spec, folder / "x.zarr", seed=3, remember=False))
    assert all(finding.ok for finding in findings[:-1])
    return findings[-1]


@pytest.mark.parametrize(
    "changes",
    [{}, {"squint": False, "state": "nlos"}, {"engine": "sionna"}, {"engine": "sionna", "squint": False}],
    ids=str,
)
def test_channels_of_every_engine_are_those_of_their_paths(
    make_spec: Callable[..., ScenarioSpec], tmp_path: Path, changes: dict[str, Any]
) -> None:
    found = paths_of(make_spec("uma", **SMALL, **changes), tmp_path)
    assert (found.problems, found.notes) == ((), ())


def test_a_wrong_sum_is_found(
    make_spec: Callable[..., ScenarioSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A squint that is left out at 28 GHz, and turns that are rounded to float16: powers are right."""
    series = fast.squint_series
    with monkeypatch.context() as patch:
        patch.setattr(fast, "squint_series", lambda band, squint: series(band, False))
        found = paths_of(make_spec("uma", **SMALL), tmp_path / "squint")
    # At 1.9 GHz an array of four wavelengths squints by a percent over 60 MHz, at 28 GHz one of 32 by a quarter.
    assert {problem.split(":")[0] for problem in found.problems} == {"h_sub6", "h_mmwave"}
    turns = SlotTerms.turns
    with monkeypatch.context() as patch:
        patch.setattr(SlotTerms, "turns", lambda self, hz, slot_s: turns(self, hz.astype("float16"), slot_s))
        found = paths_of(make_spec("uma", **SMALL), tmp_path / "turns")
    assert {problem.split(":")[0] for problem in found.problems} == {"h_sub6"}
