"""Costs: one table that measuring, the page, the CSV, exhibits and docs read."""

import ast
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from channelbench.costs import COSTS, LATENCY_BATCHES, latency_key
from channelbench.leaderboard import table, taskviews
from channelbench.leaderboard.board import Column, Entry, Row, Table

ROOT = Path(__file__).parents[2]


def keys_that_are_set(code: str) -> set[str]:
    """Keys of dictionaries called ``costs``, and of those that functions called ``costs`` make."""
    tree = ast.parse(code)
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "costs":
            found |= {node.slice.value} if isinstance(node.slice, ast.Constant) else set()
        made_here = isinstance(node, ast.FunctionDef) and node.name == "costs"
        named = isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "costs" for target in node.targets)
        if made_here or named:
            dicts = [inner for inner in ast.walk(node) if isinstance(inner, ast.Dict)]
            found |= {key.value for item in dicts for key in item.keys if isinstance(key, ast.Constant)}
    return found


def test_whatever_is_measured_is_in_the_table() -> None:
    folders = ("baselines", "models", "benchmarks", "channelbench")
    files = {path.resolve() for folder in folders for path in (ROOT / folder).rglob("*.py")}
    found = {key for path in files for key in keys_that_are_set(path.read_text())}
    assert found == set(COSTS) - {latency_key(batch) for batch in LATENCY_BATCHES}


def test_latencies_are_in_the_table() -> None:
    assert [latency_key(batch) for batch in LATENCY_BATCHES] == ["latency_ms_batch1", "latency_ms_batch512"]
    assert {latency_key(batch) for batch in LATENCY_BATCHES} <= set(COSTS)


def test_titles_tell_columns_apart() -> None:
    titles = [cost.title for cost in COSTS.values()]
    assert len(set(titles)) == len(titles)
    assert all(cost.description and cost.unit for cost in COSTS.values())


def test_the_csv_has_the_shown_costs_where_it_had_them() -> None:
    start = table.COLUMNS.index("tasks_covered") + 1
    shown = [key for key, cost in COSTS.items() if cost.shown]
    assert list(table.COLUMNS[start : start + len(shown)]) == shown
    assert table.COLUMNS[start + len(shown)] == "weights"
    assert "unused_parameters" not in table.COLUMNS


def test_one_more_line_is_one_more_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows what the table says, and leaves out what nobody measured."""
    energy = replace(COSTS["fit_s"], key="energy_j", title="Energy", unit="J", lower_is_better=False)
    monkeypatch.setattr(taskviews, "COSTS", {**COSTS, energy.key: energy})
    cell = SimpleNamespace(
        costs={"fit_s": 2.0, "energy_j": 12.0},
        derived_costs=("energy_j",),
        reference="",
        weights="",
        device="cpu",
        hardware="",
    )
    row = Row(method="m", title="M", family="small", entries={"ce": Entry(state="ok", results=(cell,))})  # type: ignore[arg-type]
    column = Column(task="ce", metric="nmse", unit="1", higher_is_better=False, metrics={})
    shown = taskviews.cost_columns(Table(condition="default", changes={}, columns=(column,), rows=(row,)))
    assert [(head["label"], head["unit"], head["better"]) for head in shown["heads"]] == [
        ("Fit", "s", "low"),
        ("Energy", "J", "high"),
    ]
    assert [cell["value"] for cell in shown["rows"][0]["cells"]] == ["2", "≈ 12"]
