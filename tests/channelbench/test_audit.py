"""Cells that are not what they say: each is left out with one line, a note on the page and an exit status."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_by_hand import draws, put, put_run

from channelbench import registry
from channelbench.errors import RequestError
from channelbench.leaderboard import report
from channelbench.leaderboard.audit import ROUNDING, TINIEST, agrees, audit, score_again
from channelbench.leaderboard.board import build
from channelbench.results import read_cells, split_digest
from channelbench.store import open_dataset
from channelbench.testing import make_dataset, small_spec

NAME = "net__ce__default__seed0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Anchors, and one method on two tasks."""
    put_run(tmp_path, ["net"])
    put(tmp_path, "net", "ce", 0.25)
    put(tmp_path, "net", "cp", 0.25)
    return tmp_path


def edit(folder: Path, name: str = NAME, **fields: Any) -> None:
    path = folder / "cells" / f"{name}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def score(**fields: Any) -> dict[str, Any]:
    return {"scores": {"nmse": {"value": 0.25, "low": 0.25, "high": 0.25, **fields}}}


def terms(folder: Path, **arrays: Any) -> None:
    np.savez(folder / "cells" / f"{NAME}.npz", **arrays)


def value_file(folder: Path) -> Path:
    return folder / "cells" / f"{NAME}.json"


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "value": (lambda f: edit(f, **score(value=0.2499)), r"scores\.nmse\.value: expected 0\.25 from its terms"),
    "value by rounding": (lambda f: edit(f, **score(value=0.250001)), r"scores\.nmse\.value"),
    "infinite value": (lambda f: edit(f, **score(value="-Infinity")), r"scores\.nmse\.value"),
    "NaN": (lambda f: edit(f, **score(value="NaN")), r"scores\.nmse\.value: expected a number, got NaN"),
    "NaN interval": (lambda f: edit(f, **score(high="NaN")), r"scores\.nmse\.high: expected a number, got NaN"),
    "no terms": (lambda f: (f / "cells" / f"{NAME}.npz").unlink(), r"terms: expected .*no such file"),
    "terms cut": (lambda f: halve(f / "cells" / f"{NAME}.npz"), r"terms: expected a readable"),
    "terms of text": (lambda f: (f / "cells" / f"{NAME}.npz").write_text("x"), r"terms: expected a readable"),
    "terms of objects": (lambda f: terms(f, nmse=np.array([[None]])), r"terms: expected a readable"),
    "terms of another metric": (lambda f: terms(f, other=np.full((40, 1), 0.25)), r"terms\.nmse: expected an array"),
    "39 rows": (lambda f: terms(f, nmse=np.full((39, 1), 0.25)), r"terms\.nmse: expected 40 rows, got 39"),
    "flat terms": (lambda f: terms(f, nmse=np.full(40, 0.25)), r"terms\.nmse: expected numbers \[cases, terms\]"),
    "NaN terms": (lambda f: terms(f, nmse=np.full((40, 1), np.nan)), r"terms\.nmse: expected numbers, got NaN in 40"),
    "too many terms": (lambda f: terms(f, nmse=np.ones((40, 0))), r"terms\.nmse: expected what the metric can score"),
    "units": (
        lambda f: terms(f, **{"nmse": np.full((40, 1), 0.25), "independent unit": np.arange(3)}),
        r"terms: expected a unit of each of the 40 cases",
    ),
    "fewer cases": (
        lambda f: (edit(f, num_test=10), terms(f, nmse=np.full((10, 1), 0.25))),
        r"num_test: expected 40 as the others of the task, got 10",
    ),
    "other data": (lambda f: edit(f, test_digest="e" * 64), r"test_digest: expected [0-9a-f]{64} as the folder's"),
    "no data": (lambda f: edit(f, test_digest=""), r"test_digest: .* got none"),
    "other preset": (lambda f: edit(f, preset="paper"), r"preset: expected quick as the folder's, got paper"),
    "other schema": (lambda f: edit(f, schema_version="9"), r"schema_version: expected 1 or 2, got 9"),
    "other field": (lambda f: edit(f, colour="blue"), r"colour: expected Extra inputs"),
    "other type": (lambda f: edit(f, seed="two"), r"seed: expected "),
    "failed with scores": (lambda f: edit(f, status="failed"), r"scores: expected none of a cell that failed"),
    "no scores": (lambda f: edit(f, scores={}), r"scores: expected those of a cell that did not fail"),
    "cut": (lambda f: halve(value_file(f)), r"file: expected a cell, got what cannot be read"),
    "list": (lambda f: value_file(f).write_text("[]"), r"file: expected a cell, got a list"),
    "deep": (lambda f: value_file(f).write_text("[" * 100_000), r"file: expected a cell, got what cannot be read"),
    "bytes": (lambda f: value_file(f).write_bytes(b"\xff\xfe\x00"), r"file: expected a cell, got what cannot be read"),
    "empty": (lambda f: value_file(f).write_text(""), r"file: expected a cell, got what cannot be read"),
    "folder": (lambda f: (value_file(f).unlink(), value_file(f).mkdir()), r"file: expected a cell"),
    "of another": (lambda f: edit(f, method="zero"), r"file name: expected the cell of its name, .* a duplicate"),
    "of none": (
        lambda f: edit(f, seed=7),
        r"file name: expected the cell of its name, got that of net__ce__default__s",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_cell_that_lies_costs_itself_and_one_line(folder: Path, damage: str) -> None:
    break_it, line = DAMAGES[damage]
    assert audit(folder).problems == ()
    break_it(folder)
    lines: list[str] = []
    csv, html = report(folder, complain=lines.append)
    (only,) = lines
    assert "\n" not in only
    assert re.search(line, only), only
    assert only.startswith(f"left out: cells/{NAME}.json: ")
    assert f"Left out: cells/{NAME}.json" in html.read_text()
    assert "net,NET,small,ce" not in csv.read_text()
    board = build(folder)
    assert {(r.method, r.task) for r in board.results} >= {("net", "cp"), ("zero", "ce"), ("ceiling", "cp")}
    assert ("net", "ce") not in {(r.method, r.task) for r in board.results}


def test_a_copy_under_another_name_is_a_duplicate(folder: Path) -> None:
    for end in ("json", "npz"):
        shutil.copy(folder / "cells" / f"{NAME}.{end}", folder / "cells" / f"better__ce__default__seed0.{end}")
    (problem,) = audit(folder).problems
    assert (problem.file, problem.field) == ("cells/better__ce__default__seed0.json", "file name")
    assert "a duplicate" in problem.text


def test_where_nothing_is_left_nothing_is_written(folder: Path) -> None:
    for path in (folder / "cells").glob("*.npz"):
        path.unlink()
    lines: list[str] = []
    with pytest.raises(RequestError, match="expected a folder with a cell that is what it says"):
        report(folder, complain=lines.append)
    assert len(lines) == len(list(read_cells(folder)))
    assert not list(folder.glob("leaderboard*"))


DECIBELS = """
import numpy as np
from channelbench.card import Card
from channelbench.contracts import Metric


class Decibels(Metric):
    card = Card(name="decibels", description="Of the mean.", reference="none", family="metric")

    def accumulate(self, prediction, target):
        return prediction

    def finalize(self, mean_terms):
        return 10 * np.log10(mean_terms[..., 0])
"""


def test_infinite_decibels_are_a_score(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a perfect answer; beside one that float32 can hardly tell from it, and one that it cannot."""
    module = f"decibels_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(DECIBELS)
    monkeypatch.syspath_prepend(tmp_path)
    for value, stated, is_sound in (
        (0.0, "-Infinity", True),
        (0.0, -470.0, True),  # less than float32 holds
        (0.0, -430.0, False),
        (1e-44, -440.0, True),
        (1e-44, -420.0, False),
        (1e-44, "-Infinity", False),
        (1.0, "-Infinity", False),
        (np.inf, "Infinity", True),
        (np.inf, "-Infinity", False),
    ):
        terms(folder, decibels=np.full((40, 1), value, np.float32))
        one = {"value": stated, "low": stated, "high": stated, "metric": f"{module}:Decibels"}
        edit(folder, primary_metric="decibels", scores={"decibels": one})
        assert (audit(folder).problems == ()) == is_sound, (value, stated)
        if is_sound:
            assert NAME in {cell.name for cell in build(folder).results}


@pytest.mark.parametrize("name", ["nmse", "nmse_db", "nmse_pooled", "rmse_db", "se", "mae_m", "nmse_centred"])
@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e6, 1e30])
def test_scores_of_exact_terms_agree_with_the_rounded_ones_and_others_do_not(name: str, size: float) -> None:
    """Against the score before the terms were rounded, over all sizes; a millionth of the score more is a lie."""
    metric = registry.create("metrics", name)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        columns = 2 if "pooled" in name or "centred" in name else 1
        exact = size * np.stack([draws(seed, 300), 1 + rng.random(300)], axis=1)[:, :columns]
        stated = float(metric.finalize(exact.mean(axis=0)))
        again, low, high = score_again(metric, exact.astype(np.float32).astype(np.float64))
        assert agrees(stated, again, low, high)
        assert not agrees(stated + 1e-5 * max(abs(stated), 1e-3 if "db" in name else 0), again, low, high)
    assert (float(np.finfo(np.float32).eps), float(np.finfo(np.float32).smallest_subnormal)) == (ROUNDING, TINIEST)


def test_a_lost_or_damaged_manifest_is_told_from_the_cells(folder: Path) -> None:
    whole = build(folder)
    for content in (None, "{", "[]", '{"suite": 1}'):
        (folder / "run.json").unlink(missing_ok=True)
        if content is not None:
            (folder / "run.json").write_text(content)
        board = build(folder)
        assert [problem.file for problem in board.left_out] == ["run.json"]
        assert board.results == whole.results
        assert set(board.manifest.tasks) == {"ce", "cp"}
        scores = {row.method: row.entries["ce"].scores["nmse"].value for row in board.tables[0].rows}
        assert scores == {"net": 0.25, "zero": 1.0, "ceiling": 0.0}
        report(folder)


def test_cells_of_tasks_that_the_manifest_lacks_are_shown(folder: Path) -> None:
    put(folder, "net", "pf", 0.4)
    put(folder, "zero", "pf", 1.0)
    board = build(folder)
    assert board.manifest.tasks == ("ce", "cp", "pf")
    (row,) = (row for row in board.tables[0].rows if row.method == "net")
    assert row.entries["pf"].scores["nmse"].value == 0.4


def test_digests_of_splits_are_those_of_datasets(tmp_path: Path) -> None:
    make_dataset(tmp_path / "few.zarr", small_spec(sub6__num_subcarriers=4, mmwave__num_subcarriers=2))
    dataset = open_dataset(tmp_path / "few.zarr")
    for split in ("train", "val", "test"):
        assert split_digest(dataset.digest, split) == dataset.split_digest(split)


def test_cells_without_digest_of_code_are_marked(folder: Path) -> None:
    _, html = report(folder)
    assert "Without digest of code: all cells" in html.read_text()
    assert set(build(folder).code.values()) == {"unknown"}
