"""The aligned start and what rows gain over it, in the papers' tables."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from channelbench import registry
from channelbench.benchmarks.exhibits import sections
from channelbench.benchmarks.exhibits.rows import START_ROW
from channelbench.benchmarks.suites import REFERENCES

TITLE = START_ROW.title
LEARNED_SUITES = ("full", "llm4wm", "llm4wm-transfer", "llm4wm-ablation", "llm4wm-hyper", "llm4wm-experts")
LEARNED_SUITES += ("llm4wm-cost", "llm4wm-multitask", "site-transfer")
GROUP_SUITES = ("phy", "phy-velocity", "phy-snr", "phy-power", "phy-users", "phy-detection", "phy-loftq")
GROUP_SUITES += ("phy-instruction", "phy-backbone", "phy-csi")


def put_ceilings(lab: SimpleNamespace, folder: Path) -> None:
    for task in ("ce", "cp", "pf", "bf", "de", "pe"):
        lab.put(folder, "ceiling", task, 0.0)


def test_references_are_in_every_suite_with_a_network() -> None:
    for name in registry.names("suites"):
        methods = registry.find("suites", name).methods
        is_learned = any(registry.find("methods", m).learned for m in methods)
        assert is_learned is (name in LEARNED_SUITES + GROUP_SUITES), name
        assert ("start" in methods) is is_learned, name
        assert (set(REFERENCES) <= set(methods)) is (name in LEARNED_SUITES), name


def test_table4_shows_the_start_and_gains_over_it(folder: Path, lab: SimpleNamespace) -> None:
    """Nine tenths of the start's error are a gain of 10 %, in whatever unit."""
    put_ceilings(lab, folder)
    lab.put_all(folder, "start")
    lab.put_all(folder, "llm4wm", 0.9)
    lab.put(folder, "llm4cp", "bf", 0.4, same_as_start=40)
    lab.put(folder, "lstm", "ce", 0.2)
    part = lab.named(folder, "table4")
    start = lab.row_of(part, TITLE)
    assert start.family == "reference"
    assert not any(cell.remark for cell in start.cells)
    remarks = {
        (column.label, column.unit): cell.remark
        for column, cell in zip(part.columns, lab.row_of(part, "LLM4WM").cells, strict=True)
    }
    gained = {key for key, remark in remarks.items() if remark.startswith("gain +10")}
    assert gained >= {("CE", "NMSE"), ("CP", "NMSE"), ("PF", "NMSE"), ("DE", "MAE / span")}
    assert remarks["BF", "accuracy"] == "≈ start", "two of forty drops"
    assert remarks["PE", "RMSE, dB"].startswith("gain")
    assert not remarks["CE", "SE, bit/s/Hz"]
    assert not remarks["PE", "NMSE (centred)"]
    assert lab.cell_of(part, "LLM4CP", "BF", "accuracy").remark == "= its start"
    assert lab.cell_of(part, "LSTM + MLP", "CE", "NMSE").remark.startswith("gain −100")
    assert "“Gain”: the share of the aligned start’s error" in part.text


def test_without_the_start_table4_is_as_it_was(folder: Path, lab: SimpleNamespace) -> None:
    put_ceilings(lab, folder)
    lab.put_all(folder, "llm4wm", 0.9)
    part = lab.named(folder, "table4")
    assert TITLE not in [row.title for group in part.groups for row in group.rows]
    assert not any(cell.remark for group in part.groups for row in group.rows for cell in row.cells)
    assert "“Gain”" not in part.text


def test_ablation_ends_without_a_network(tmp_path: Path, lab: SimpleNamespace) -> None:
    folder = lab.claim(tmp_path / "results", "llm4wm-ablation")
    lab.put_all(folder, "start", 1.25)
    assert not sections(folder), "the start alone is no ablation"
    lab.put_all(folder, "llm4wm")
    part = lab.named(folder, "ablation")
    assert part.groups[-1].rows[-1].title == TITLE
    assert lab.cell_of(part, TITLE, "Average loss").value == pytest.approx(0.25, rel=1e-2)
    assert lab.cell_of(part, TITLE, "Increase").value == pytest.approx(25, abs=1)


def test_multitask_shows_the_start_of_all_four(tmp_path: Path, lab: SimpleNamespace) -> None:
    folder = lab.claim(tmp_path / "results", "llm4wm-multitask")
    lab.put_all(folder, "llm4wm")
    assert len(lab.named(folder, "multitask").groups) == 2
    lab.put_all(folder, "start", 1.25)
    part = lab.named(folder, "multitask")
    assert [group.title for group in part.groups] == ["The small network", "The large network", "No network"]
    assert lab.cell_of(part, TITLE, "CE").value == pytest.approx(0.125)


def test_hyper_says_where_the_networks_begin(tmp_path: Path, lab: SimpleNamespace) -> None:
    folder = lab.claim(tmp_path / "results", "llm4wm-hyper")
    lab.put_all(folder, "llm4wm+rank2")
    assert "aligned start" not in lab.named(folder, "hyper").text
    lab.put_all(folder, "start", 1.25)
    assert "The aligned start that the networks correct has 0.25" in lab.named(folder, "hyper").text


def test_transfer_compares_each_part_with_its_own_start(tmp_path: Path, lab: SimpleNamespace) -> None:
    folder = lab.claim(tmp_path / "results", "llm4wm-transfer")
    for place, factor in (("zero-shot", 2.0), ("transfer", 1.25)):
        there = lab.claim(folder / "rma-1.9" / place, "llm4wm-transfer", setting=place)
        put_ceilings(lab, there)
        lab.put_all(there, "start", factor)
        lab.put_all(there, "llm4wm")
    part = lab.named(folder, "transfer")
    remarks = {
        group.title: next(row for row in group.rows if row.title == "LLM4WM").cells[0].remark
        for group in part.groups
        if any(row.title == TITLE for row in group.rows)
    }
    assert [text[:8] for text in remarks.values()] == ["gain +50", "gain +20"]
    assert "“Gain”" in part.text
