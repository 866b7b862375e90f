"""Cells as files: their names, whole or not at all, and what a killed run has left of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from channelbench.card import Card
from channelbench.errors import RequestError
from channelbench.results import MetricScore, Result, cell_name, read_cells, read_terms, sweep, write_atomic, write_cell


def result(**fields: object) -> Result:
    given: dict[str, object] = {
        "method": "bi",
        "title": "BI",
        "family": "classical",
        "reference": "a paper",
        "task": "ce",
        "primary_metric": "nmse",
        "seed": 0,
        "preset": "quick",
        "status": "ok",
        "num_test": 3,
        "train_digest": "a",
        "test_digest": "b",
    }
    return Result(**{**given, **fields})  # type: ignore[arg-type]


def test_what_is_measured_is_not_changed() -> None:
    cell = result()
    with pytest.raises(ValidationError, match="frozen"):
        cell.seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        result(colour="blue")


def test_names_of_cells() -> None:
    assert cell_name("llm4wm+rank4", "bf", "snr_db=-2.5,paper_compat=true", 2) == (
        "llm4wm+rank4__bf__snr_db=-2.5,paper_compat=true__seed2"
    )
    assert cell_name("llm4wm(s)", "ce", "default", 0) == "llm4wm-s-__ce__default__seed0"
    assert re.fullmatch(r"bi__ce__word=a-b~[0-9a-f]{16}__seed0", cell_name("bi", "ce", "word=a b", 0))
    assert cell_name("größe", "ce", "default", 0) == "größe__ce__default__seed0"
    assert result(conditions={"snr_db": 0.0, "paper_compat": True}).name == "bi__ce__snr_db=0,paper_compat=true__seed0"


NAMES = st.lists(
    st.from_regex(r"[a-z0-9]([a-z0-9_.-]{0,4}[a-z0-9])?(\([a-z0-9-]{1,3}\))?", fullmatch=True), min_size=1, max_size=3
).map("+".join)


@given(st.tuples(NAMES, NAMES, st.text(max_size=6)), st.tuples(NAMES, NAMES, st.text(max_size=6)))
@example(("x(s)", "a", ""), ("x-s", "a", ""))
@example(("a", "b", "c/d"), ("a", "b", "c-d"))
@example(("a" * 90, "b" * 90, "c"), ("a" * 90, "b" * 90, "d"))
def test_no_two_cells_share_a_name(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """Whatever names cards may have, and whatever a condition's label says."""
    for name in (*one[:2], *other[:2]):
        try:
            Card(name=name, description="Answers zero.", reference="none", family="classical")
        except RequestError:
            return
    first, second = cell_name(*one, 0), cell_name(*other, 0)
    assert (first == second) == (one == other)
    assert max(len(f".{name}.artefact.npz.4194304".encode()) for name in (first, second)) <= 255


def test_cells_of_before_listed_all_conditions() -> None:
    """They are read as those that list what differs."""
    full = {
        "snr_db": 10.0,
        "snr_reference": "sample",
        "paper_compat": False,
        "pilot_spacing": 8,
        "pilots_only": False,
    }
    assert result(conditions=full).conditions == {}
    assert result(conditions=full).condition == "default"
    changed = {"snr_db": 0.0, "pilot_spacing": 4, "pilots_only": True, "paper_compat": True, "snr_reference": "set"}
    assert result(conditions=changed).conditions == changed
    assert result(conditions={**full, "pilot_spacing": 2}).condition == "pilot_spacing=2"
    # A cell that lists some is one of now, and says what it means.
    assert result(conditions={"snr_db": 10.0}).conditions == {"snr_db": 10.0}


def test_files_are_there_whole_or_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a" / "b" / "cell.json"
    write_atomic(path, b"old")
    assert path.read_bytes() == b"old"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("os.fsync", "builtins.open"):
        with monkeypatch.context() as patch:
            patch.setattr(name, full)
            with pytest.raises(OSError, match="No space left"):
                write_atomic(path, b"new")
    assert [file.name for file in path.parent.iterdir()] == ["cell.json"]
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"


def test_only_halves_of_cells_that_nobody_touches_are_removed(tmp_path: Path) -> None:
    cells = tmp_path / "results" / "far" / "cells"
    cells.mkdir(parents=True)
    (tmp_path / "results" / "cells").mkdir()
    ages = {
        cells / ".bi__ce__default__seed0.json.4711": 99.0,
        tmp_path / "results" / "cells" / ".bi__ce__default__seed0.npz.3": 50.0,
        cells / ".bi__ce__default__seed1.json.4711": 100.0,  # begun with the run that sweeps
        cells / ".bi__ce__default__seed2.json.4711": 101.0,
        cells / "bi__ce__default__seed0.json": 1.0,
        cells / ".hidden": 1.0,
        tmp_path / "results" / "far" / ".elsewhere.json.12": 1.0,
    }
    for path, age in ages.items():
        path.write_text("x")
        os.utime(path, (age, age))
    sweep(tmp_path / "results", before=100.0)
    assert [path for path in ages if path.exists()] == list(ages)[2:]


def test_terms_lie_beside_their_cell(tmp_path: Path) -> None:
    scores = {"nmse": MetricScore(value=0.1, low=-np.inf, high=np.inf)}
    good, bad = result(scores=scores), result(seed=1, status="failed", error="ValueError: no")
    write_cell(tmp_path, good, {"nmse": np.array([[0.1], [1 / 3], [2.0]])})
    write_cell(tmp_path, bad, {})
    assert sorted(path.name for path in (tmp_path / "cells").iterdir()) == [
        "bi__ce__default__seed0.json",
        "bi__ce__default__seed0.npz",
        "bi__ce__default__seed1.json",
    ]
    assert list(read_cells(tmp_path)) == [good, bad]
    terms = read_terms(tmp_path, good)
    assert terms["nmse"].dtype == np.float64
    np.testing.assert_array_equal(terms["nmse"], np.array([[0.1], [1 / 3], [2.0]], np.float32))
    assert read_terms(tmp_path, bad) == {}
