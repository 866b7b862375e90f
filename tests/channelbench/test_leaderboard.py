"""The leaderboard's table of a realistic results folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from realistic_results import (
    FAILED,
    MISSING,
    synthesise,
)

from channelbench.errors import RequestError
from channelbench.leaderboard import report
from channelbench.leaderboard.table import COLUMNS
from channelbench.results import read_cells


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = synthesise(tmp_path_factory.mktemp("results"))
    report(folder)
    return folder


@pytest.fixture(scope="module")
def frame(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "leaderboard.csv")


def test_table_is_tidy(frame: pd.DataFrame, folder: Path) -> None:
    assert list(frame.columns) == list(COLUMNS)
    key = ["method", "task", "conditions", "metric", "seed"]
    assert not frame.duplicated(key).any()
    assert frame[key].notna().all().all()
    assert set(frame.status) == {"ok", "failed", "not run"}


def test_table_round_trips_the_cells(frame: pd.DataFrame, folder: Path) -> None:
    indexed = frame.set_index(["method", "task", "conditions", "metric", "seed"])
    cells = [result for result in read_cells(folder) if result.status == "ok"]
    for result in cells:
        for name, score in result.scores.items():
            row = indexed.loc[(result.method, result.task, result.condition, name, result.seed)]
            assert (row.value, row.low, row.high) == (score.value, score.low, score.high)
            assert row.title == result.title
            assert row.primary == (name == result.primary_metric)
            assert row.fit_s == result.costs["fit_s"]
            assert json.loads(row.versions) == dict(result.versions)
    assert (frame.status == "ok").sum() == sum(len(result.scores) for result in cells)


def test_skill_of_every_row_follows_from_its_own_columns(frame: pd.DataFrame) -> None:
    rows = frame[frame.primary & (frame.status == "ok")]
    expected = (rows.floor - rows.value) / (rows.floor - rows.ceiling)
    assert rows.skill.notna().all()
    np.testing.assert_allclose(rows.skill, expected, rtol=1e-9)
    assert frame[~frame.primary].skill.isna().all()
    np.testing.assert_allclose(frame[frame.family == "ceiling"].skill.dropna(), 1, rtol=1e-12)


def test_floor_is_the_best_of_the_trivial_answers(frame: pd.DataFrame) -> None:
    rows = frame[frame.primary & (frame.status == "ok")]
    for (task, _), group in rows.groupby(["task", "conditions"]):
        trivial = group[group.family == "floor"].value
        assert (group.floor == (trivial.max() if task == "bf" else trivial.min())).all()


def test_only_contestants_have_ranks(frame: pd.DataFrame) -> None:
    rows = frame[frame.primary & (frame.status == "ok")]
    contestants = rows.family.isin(["classical", "small"])
    assert rows.rank_low.notna().equals(contestants)
    assert rows.rank_high.notna().equals(contestants)
    assert (rows.rank_low <= rows.rank_high)[contestants].all()
    best = rows[contestants].groupby(["task", "conditions"])
    assert best.rank_low.min().eq(1).all()
    assert best.rank_high.max().le(best.method.nunique()).all()


def test_failed_and_missing_cells_stand_in_the_table(frame: pd.DataFrame) -> None:
    failed = frame[frame.status == "failed"]
    assert list(zip(failed.method, failed.task, failed.conditions, strict=True)) == [(*FAILED, "default")]
    assert failed.value.isna().all()
    assert failed.error.iloc[0].startswith("ValueError: no fingerprint")
    missing = frame[frame.status == "not run"]
    assert sorted(zip(missing.method, missing.task, missing.conditions, strict=True)) == [
        (*MISSING, "default"),
        (*MISSING, "paper_compat=true"),
    ]


@pytest.mark.parametrize("content", [None, "", "{}", '{"suite": 1}', "[]"])
def test_other_folders_are_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RequestError, match=r"results: expected a folder with a run\.json"):
        report(tmp_path)
    assert not list(tmp_path.glob("leaderboard*"))


def test_broken_cells_and_unwritable_files_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes((folder / "run.json").read_bytes())
    with pytest.raises(RequestError, match="csv: expected a file that can be written"):
        report(tmp_path, csv=tmp_path)
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "a.json").write_text("{")
    with pytest.raises(RequestError, match=r"results: expected a folder with a cell that is .*cells/a\.json: file"):
        report(tmp_path)
    assert not list(tmp_path.glob("leaderboard*"))
