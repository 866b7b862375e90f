"""What leaves the page: tables for a paper, references, and the curves over a swept condition."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from results_by_hand import draws, put
from wide_results import DROPS, METHODS, SWEPT, TASKS, put_wide

from channelbench.leaderboard import cite, report
from channelbench.leaderboard.board import Board, build
from channelbench.leaderboard.cite import bibtex, paper, short_names
from channelbench.leaderboard.curves import Line, LinesPanel, Point, lines
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.latex import as_latex
from channelbench.leaderboard.pictures import Picture, Scale, blank, label, standalone
from channelbench.leaderboard.sections import Section, SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.sweeps import curves, swept_tables


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = put_wide(tmp_path_factory.mktemp("wide"), tasks=TASKS[:2])
    put(folder, "net", "ce", 0.2, seed=3, conditions={"pilot_spacing": 16}, terms=0.2 * draws(0, DROPS))
    return folder


@pytest.fixture(scope="module")
def board(folder: Path) -> Board:
    return build(folder)


# --- curves ---


def test_three_values_of_a_condition_make_a_curve(board: Board) -> None:
    """Default is not among them (its SNR is another number of its own only where the task says so), nor is a comb."""
    found = curves(board)
    assert [(curve.task, curve.field) for curve in found] == [("ce", "snr_db"), ("cp", "snr_db")]
    assert found[0].left_out == ("FAR",)
    labels = swept_tables(board)
    assert {label for label in SWEPT if label != "default"} <= labels
    assert "pilot_spacing=16" not in labels


def test_curves_have_every_contestant_its_intervals_and_the_limit(board: Board) -> None:
    root = ElementTree.fromstring(curves(board)[0].picture.svg)
    words = [e.text for e in root.iter() if e.tag.endswith("text")]
    shown = {
        m.upper() for m, (_, family, _) in METHODS.items() if family in ("classical", "small", "multi-task", "llm")
    }
    assert shown - {"FAR"} <= set(words)
    assert "LMMSE_GENIE" in words
    assert "FAR" not in words
    steps = 4  # the default, at the task's own 10 dB, is one of the three given
    dots = [e for e in root.iter() if e.get("class") == "dot"]
    assert len(dots) == len(shown - {"FAR"}) * (steps - 1)
    whiskers = [e for e in root.iter() if e.get("class") == "whisker"]
    assert len(whiskers) == len(dots)


def test_whiskers_reach_from_low_to_high() -> None:
    """Of one point at .5 in (.25, 1): on an axis from 0 to 1.06 the drawn line has these ends."""
    points = (Point(0.0, Estimate(value=0.5, low=0.25, high=1.0)), Point(1.0, Estimate(value=0.0, low=0.0, high=0.0)))
    picture = lines([LinesPanel("", (Line("a", "llm", points),))], "x", "y", "s", height=400)
    assert picture is not None
    whisker = next(e for e in ElementTree.fromstring(picture.svg).iter() if e.get("class") == "whisker")
    (path,) = [e for e in whisker.iter() if e.tag.endswith("path")]
    _, y1, _, y2 = (float(v) for v in re.findall(r"[-\d.]+", path.get("d", "")))
    scale, height = Scale.around([0.25, 0.5, 1.0, 0.0]), 400 - 44 - 74
    assert (y1, y2) == pytest.approx(
        [400 - 74 - height * (v - scale.low) / (scale.high - scale.low) for v in (0.25, 1)], abs=0.01
    )


def test_pictures_take_the_pages_colours_and_are_files_too() -> None:
    figure = blank(200, 100)
    label(figure, 10, 20, "costs $5 & <more>", ink="llm")
    picture = Picture(figure, "a 'summary' & <more>")
    root = ElementTree.fromstring(picture.svg)
    assert root.get("aria-label") == "a 'summary' & <more>"
    assert [e.text for e in root.iter() if e.tag.endswith("text")] == ["costs $5 & <more>"]
    assert "var(--llm,#" in picture.svg
    assert "var(" not in standalone(picture.svg)
    assert not re.search(r"url\s*\(|<script|<style|\bid=|href", picture.svg)
    assert picture.pdf.startswith(b"%PDF")
    assert Picture(figure, "").pdf == picture.pdf


@pytest.mark.parametrize(("low", "high"), [(0.003, 2.0), (1.0, 1e5)])
def test_a_logarithmic_scale_has_equal_ratios_equally_far(low: float, high: float) -> None:
    scale = Scale.around([low, high], log=True)
    middle = float(np.sqrt(scale.low * scale.high))
    assert scale.share(middle) == pytest.approx(0.5)
    assert scale.share(high * 1e6) == 1
    assert scale.low < low < high < scale.high


# --- LaTeX ---


def test_latex_has_the_tables_of_the_page(board: Board) -> None:
    text = as_latex(board)
    assert text.isascii()
    tables = re.findall(r"\\begin\{table\*\}(.*?)\\end\{table\*\}", text, re.DOTALL)
    assert len(tables) == len(board.tables)
    for table in tables:
        body = table.split(r"\toprule")[1].split(r"\bottomrule")[0]
        rows = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert {line.count("&") for line in rows} == {3}
        assert table.count("{") == table.count("}")
    first = tables[0]
    assert first.count(r"\textbf{") == 3, "the best overall and of two tasks"
    net = next(line for line in first.splitlines() if line.startswith("NET &"))
    row = next(row for row in board.tables[0].rows if row.method == "net")
    score = row.entries["ce"].scores["nmse"]
    assert f"{score.value:.3f}" in net
    assert r"LMMSE\_GENIE" in first
    assert r"\emph{Bundles}" in first
    groups = re.findall(r"\\emph\{(.*?)\}", first)
    assert groups[0] == "Methods"
    assert len(groups) == len(set(groups)), "each stands together"


def test_latex_compiles(board: Board, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here")
    head = r"\documentclass[twocolumn]{article}\usepackage{booktabs,graphicx}"
    (tmp_path / "paper.tex").write_text("\n".join([head, r"\begin{document}", as_latex(board), r"\end{document}"]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout
    assert "Overfull" not in made.stdout


def test_latex_has_the_tables_of_exhibits(board: Board) -> None:
    cell = SectionCell(text="0.1", interval="0.0–0.2", published="0.3 %")
    section = Section(
        name="t",
        title="Ours & theirs",
        text="",
        columns=(SectionColumn(label="CE_1"),),
        groups=(SectionGroup(rows=(SectionRow(title="50 %", cells=(cell,)),)),),
    )
    text = as_latex(board, [section])
    assert r"\caption{Ours \& theirs}" in text
    assert r"50 \% & 0.1 {\scriptsize 0.0--0.2} \\" in text
    assert r"\quad\emph{paper} & 0.3 \% \\" in text


def test_report_writes_latex_where_it_is_asked_to(folder: Path, tmp_path: Path) -> None:
    csv, _ = report(folder, csv=tmp_path / "a.csv", html=tmp_path / "a.html")
    assert not csv.with_suffix(".tex").exists()
    report(folder, csv=tmp_path / "a.csv", html=tmp_path / "a.html", latex=True)
    assert r"\begin{tabular}" in (tmp_path / "a.tex").read_text()


# --- references ---


def test_references_lead_to_their_papers() -> None:
    assert paper("He et al. 2020, doi:10.1109/TSP.2020.2976585.") == {
        "url": "https://doi.org/10.1109/TSP.2020.2976585",
        "label": "DOI",
    }
    assert paper("Somebody, arXiv:2501.12983, Table IV") == {
        "url": "https://arxiv.org/abs/2501.12983",
        "label": "arXiv",
    }
    assert paper("LLM4WM, section V-B") == {"url": "https://arxiv.org/abs/2501.12983", "label": "arXiv"}
    assert paper("Liu et al. 2025 (LLM4WM), Table IV and Fig. 5") == paper("LLM4WM, section V-B")
    assert paper("Multi-task PHY LLM, section V-D") == {"url": "https://arxiv.org/abs/2412.20772", "label": "arXiv"}
    found = paper("Lo 1999, Maximum ratio transmission")
    assert found is not None
    assert found["url"] == "https://scholar.google.com/scholar?q=Lo+1999%2C+Maximum+ratio+transmission"
    assert paper("trivial answer") is None


def test_papers_bring_their_own_short_names(board: Board) -> None:
    """A method's reference that has name and address tells those that have the name alone; the page knows no paper."""
    ours = board.results[0]
    known = short_names(
        [
            ours.model_copy(update={"reference": "Doe 2026 (MyNet), arXiv 2601.00001; Roe 2025 (HerNet), Table 1"}),
            ours.model_copy(update={"reference": "Poe 2020 (MyNet), doi:10.1/2, which comes second"}),
        ]
    )
    assert known["MyNet"] == {"url": "https://arxiv.org/abs/2601.00001", "label": "arXiv"}
    assert "HerNet" not in known
    assert paper("MyNet, section II", known) == known["MyNet"]
    assert paper("as MyNetwork has it", known) is None
    assert paper("MyNet, section II") is None
    source = Path(cite.__file__).read_text()
    assert not re.findall(r"\d{4}\.\d{5}", re.sub(r'""".*?"""', "", source, flags=re.DOTALL))


def test_bibtex_can_be_parsed(board: Board) -> None:
    text = bibtex(board.manifest, board.results, {"net": "A & B"})
    entries = re.findall(r"@(\w+)\{([^,\s{}]+),\n((?:  \w+ = \{.*\},\n)+)\}\n", text)
    assert "".join(f"@{kind}{{{key},\n{fields}}}\n" for kind, key, fields in entries) == text.replace("\n\n@", "\n@")
    assert [kind for kind, _, _ in entries][:2] == ["software", "misc"]
    assert len({key for _, key, _ in entries}) == len(entries)
