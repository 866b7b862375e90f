"""Methods that a preset runs under the tasks' own conditions alone."""

import sys
from pathlib import Path

import pytest

from channelbench.benchmarks.runner import run
from channelbench.benchmarks.suites import full
from channelbench.card import Card
from channelbench.leaderboard.board import build
from channelbench.results import read_cells
from channelbench.suite import Suite
from channelbench.testing import make_dataset

HERE = "users_suite"
SUITE = Suite(
    card=Card(name="slow-hold", description="Hold once, repeat always.", reference="a test", family="suite"),
    tasks=("cp",),
    methods=("wiener", "prony"),
    conditions=({}, {"paper_compat": True}),
    once={"quick": ("wiener",)},
)


@pytest.fixture(autouse=True)
def suite_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "few.zarr"
    make_dataset(path)
    return path


def made(folder: Path, method: str) -> set[str]:
    return {cell.condition for cell in read_cells(folder) if cell.method == method}


def rows(folder: Path) -> dict[str, set[str]]:
    return {table.condition: {row.method for row in table.rows} for table in build(folder).tables}


def test_once_is_once_until_somebody_asks(data: Path, tmp_path: Path) -> None:
    run(f"{HERE}:SUITE", data=data, out=tmp_path)
    assert made(tmp_path, "wiener") == {"default"}
    assert made(tmp_path, "prony") == {"default", "paper_compat=true"}
    assert "wiener" in rows(tmp_path)["default"]
    assert "wiener" not in rows(tmp_path)["paper_compat=true"], "an empty row would look like something lost"
    run(f"{HERE}:SUITE", data=data, out=tmp_path, conditions=({"paper_compat": True},))
    assert made(tmp_path, "wiener") == {"default", "paper_compat=true"}
    assert "wiener" in rows(tmp_path)["paper_compat=true"]


def test_who_asks_for_a_method_gets_all_conditions(data: Path, tmp_path: Path) -> None:
    run(f"{HERE}:SUITE", data=data, out=tmp_path, methods=("wiener",))
    assert made(tmp_path, "wiener") == {"default", "paper_compat=true"}


def test_other_presets_run_everything(data: Path, tmp_path: Path) -> None:
    run(f"{HERE}:SUITE", data=data, out=tmp_path, preset="standard")
    assert made(tmp_path, "wiener") == {"default", "paper_compat=true"}


def test_what_is_slow_in_quick_is_named_there() -> None:
    assert full.once == {"quick": ("sparse",)}
    assert set(full.once["quick"]) <= set(full.methods)
