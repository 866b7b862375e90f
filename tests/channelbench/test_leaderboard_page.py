"""The leaderboard's page of a realistic results folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from page_tables import Tables
from realistic_results import (
    BUNDLE,
    MALICIOUS,
    METHODS,
    PRIMARY,
    WEIGHTS,
    synthesise,
)

from channelbench.leaderboard import report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = synthesise(tmp_path_factory.mktemp("results"))
    report(folder)
    return folder


@pytest.fixture(scope="module")
def frame(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "leaderboard.csv")


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "leaderboard.html").read_text()


def test_failed_and_missing_cells_stand_on_the_page(page: str) -> None:
    tables = Tables(page)
    assert tables.cell(0, "FIFS", "PE") == "✗ failed ValueError: no fingerprint within 40 m & <none> beyond"
    assert tables.cell(0, "MLP", "DE") == "not run"
    assert tables.cell(0, "LMMSE", "BF") == "– not supported"
    assert "1 failed" in page
    assert "2 not run" in page


def test_incomplete_rows_say_their_coverage_and_have_no_place(page: str, frame: pd.DataFrame) -> None:
    tables = Tables(page)
    assert tables.cell(0, "FIFS", "Overall") == "2/6 tasks"
    assert tables.cell(0, BUNDLE, "Overall") == "5/6 tasks"
    assert tables.cell(0, BUNDLE, "#") == ""
    assert tables.cell(0, "CNN", "#") == "1"
    # The failure is of the default condition alone: with paper_compat the bundle is complete.
    assert re.match(r"0\.\d{3} ", tables.cell(1, BUNDLE, "Overall"))
    assert frame[frame.method == "fifs"].overall_skill.isna().all()
    assert set(frame[frame.method == "fifs"].tasks_covered) == {2, 3}


def test_bundle_takes_its_first_supporting_member_and_no_replacement(page: str) -> None:
    """``BI + LMMSE`` names mlp for DE, whose cell is missing: nothing else may fill it."""
    tables = Tables(page)
    assert tables.cell(0, "BI + LMMSE", "DE") == "not run"
    # Its CE is LMMSE's, not BI's, with LMMSE's rank.
    assert tables.cell(0, "BI + LMMSE", "CE") == tables.cell(0, "LMMSE", "CE")


def test_paper_compat_has_its_own_table_and_a_drawn_floor(page: str, frame: pd.DataFrame) -> None:
    tables = Tables(page)
    assert len(tables.panels) == 2
    assert tables.cell(0, "CNN", "CE") != tables.cell(1, "CNN", "CE")
    default, compat = page.split('id="condition-1"')
    assert "noise floor" not in default
    assert compat.count(">noise floor 0.0") == 3
    ceiling = frame[(frame.method == "ceiling") & frame.paper_compat & (frame.metric == "nmse") & (frame.task == "ce")]
    assert f"{ceiling.value.iloc[0]:.4f} (CE)" in compat


def test_page_loads_nothing(page: str) -> None:
    tables = Tables(page)
    assert tables.external == []
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    within = {link[1:] for link in tables.links if link.startswith("#")}
    assert within
    assert within <= ids
    assert all(link.startswith(("#", "https://")) for link in tables.links)
    assert not re.search(r"url\s*\(|@import|\bfetch\s*\(|XMLHttpRequest|<link|<base|<iframe", page)
    assert "default-src 'none'" in page


def test_page_escapes_what_results_say(page: str) -> None:
    assert Tables(page).scripts == 1
    assert MALICIOUS not in page
    assert "&lt;script&gt;alert(" in page


def test_page_is_accessible(page: str) -> None:
    heads = re.findall(r"<th\b[^>]*>", page)
    assert heads
    assert all("scope=" in head for head in heads)
    sortable = re.findall(r'<th scope="col" class="[^"]*" aria-sort="none"><button type="button"', page)
    assert len(sortable) >= 2 * (9 + len(PRIMARY) * 2)
    assert len(re.findall(r'<svg[^>]* role="img" aria-label="', page)) == 2 * len(PRIMARY)
    assert "title=" not in page, "what needs saying is said on the page"
    assert page.count('role="tab"') == 2


def test_columns_sort_by_the_exact_numbers(page: str, frame: pd.DataFrame) -> None:
    default = page.split('id="condition-1"')[0]
    keys = {float(key) for key in re.findall(r'<td class="num[^"]*" data-sort="([^"]+)"', default)}
    single = frame[(frame.status == "ok") & ~frame.paper_compat & ~frame.method.isin(["lstm", "cnn"])]
    assert set(single.value) <= keys


def test_rows_say_their_seeds_and_backbone_weights(page: str, frame: pd.DataFrame) -> None:
    tables = Tables(page)
    assert tables.cell(0, "LSTM", "Method") == "LSTM Small network · 3 seeds"
    assert tables.cell(0, "CNN", "Method") == "CNN Small network · 3 seeds"
    assert tables.cell(0, "MLP", "Method").endswith("Small network 1 seed")
    assert tables.cell(0, "Wiener", "Method") == "Wiener Classical"
    assert page.count(f"Backbone weights: {WEIGHTS}") == 1
    used = frame[frame.status == "ok"].groupby("method").weights
    assert used.apply(lambda w: set(w.dropna())).to_dict() == {m: {WEIGHTS} if m == "lstm" else set() for m in METHODS}


def test_methods_that_never_ran_are_listed(folder: Path, tmp_path: Path) -> None:
    manifest = json.loads((folder / "run.json").read_text())
    manifest["methods"].append("later")
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    (tmp_path / "cells").symlink_to(folder / "cells")
    csv, html = report(tmp_path, csv=tmp_path / "out" / "a.csv", html=tmp_path / "out" / "b.html")
    assert Tables(html.read_text()).cell(0, "later", "CE") == "not run"
    later = pd.read_csv(csv).query("method == 'later'")
    assert len(later) == 2 * len(PRIMARY)
    assert set(later.status) == {"not run"}


def test_a_run_without_cells_makes_an_empty_page(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes((folder / "run.json").read_bytes())
    csv, html = report(tmp_path)
    assert "No cell has been written yet" in html.read_text()
    assert pd.read_csv(csv).empty
