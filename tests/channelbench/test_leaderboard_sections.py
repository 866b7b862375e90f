"""Sections that somebody else's report adds below the leaderboard."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from channelbench.leaderboard import Section, report
from channelbench.leaderboard.sections import SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.results import DatasetCard, MetricScore, Result, RunManifest, split_digest, write_cell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A results folder with one cell."""
    card = DatasetCard(digest="d" * 64, spec={"scenario": "uma"}, seed=0)
    manifest = RunManifest(suite="full", preset="quick", dataset=card, tasks=("ce",), methods=("bi",))
    (tmp_path / "run.json").write_text(manifest.model_dump_json())
    result = Result(
        method="bi",
        title="BI",
        family="classical",
        reference="synthetic",
        task="ce",
        primary_metric="nmse",
        conditions={},
        seed=0,
        preset="quick",
        status="ok",
        scores={"nmse": MetricScore(value=0.5, low=0.4, high=0.6)},
        num_test=10,
        train_digest="t",
        test_digest=split_digest("d" * 64, "test"),
    )
    write_cell(tmp_path, result, {"nmse": np.full((10, 1), 0.5)})
    return tmp_path


def example_section(**changes: object) -> Section:
    cell = SectionCell(text="0.103", interval="0.101–0.105", published="0.100", note="of <3> seeds", value=0.103)
    given: dict[str, object] = {
        "name": "example",
        "title": "An <i>example</i>",
        "text": "Numbers & words.",
        "columns": (SectionColumn(label="CE", unit="NMSE"), SectionColumn(label="Device", better="text")),
        "groups": (
            SectionGroup(
                title="Ours",
                rows=(SectionRow(title="LSTM", family="small", cells=(cell, SectionCell(text="cpu"))),),
            ),
        ),
        "picture": '<svg width="10" height="10"><rect/></svg>',
    }
    return Section(**{**given, **changes})  # type: ignore[arg-type]


def test_sections_stand_below_the_tables(folder: Path) -> None:
    _, html = report(folder, sections=[example_section()])
    page = html.read_text()
    assert page.index('id="condition-0"') < page.index('id="section-example"') < page.index("The methods")
    part = page[page.index('<section class="exhibit"') :]
    assert "An &lt;i&gt;example&lt;/i&gt;" in part
    assert '<svg width="10" height="10"><rect/></svg>' in part
    assert re.search(r'data-sort="0.103"><span class="value">0\.103</span><sup><a href="#note-example-1"', part)
    assert '<li id="note-example-1">of &lt;3&gt; seeds</li>' in part
    assert '<span class="ci">0.101–0.105</span><span class="published">paper 0.100</span>' in part
    assert page.count("<script") == 1
    assert not re.search(r"\bsrc=|<(?!a )[^>]*\bhref=|url\s*\(|@import", page)


def test_a_section_without_picture_and_rows_is_its_text(folder: Path) -> None:
    bare = example_section(picture="", groups=(), columns=())
    _, html = report(folder, sections=[bare])
    part = html.read_text().split('<section class="exhibit"')[1].split("</section>")[0]
    assert "Numbers &amp; words." in part
    assert "<table" not in part
    assert "<figure" not in part


def test_a_row_with_too_few_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells of 'LSTM' under 2 heads"):
        example_section(groups=(SectionGroup(rows=(SectionRow(title="LSTM", cells=(SectionCell(),)),)),))
