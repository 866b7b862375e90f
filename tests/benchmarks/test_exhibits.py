"""The other exhibits, their files and the page, on synthetic cells whose numbers are worked out by hand."""

from __future__ import annotations

import csv
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from channelbench.benchmarks.exhibits import report, sections
from channelbench.benchmarks.exhibits.experts import correlations, read_experts
from channelbench.benchmarks.exhibits.paper import TASKS
from channelbench.errors import RequestError
from channelbench.leaderboard.views import Run

# --- Tables V to VII, Figs. 5 to 7 ------------------------------------------------------------------------------------


def test_transfer_reads_the_folders_of_the_targets(lab: Any, tmp_path: Path) -> None:
    source = lab.claim(tmp_path, "llm4wm-transfer")
    lab.put_all(source, "llm4wm", 0.5)
    assert sections(source) == []
    lab.put_all(lab.claim(source / "rma-1.9" / "zero-shot", "llm4wm-transfer", setting="zero-shot"), "llm4wm", 2.0)
    after = lab.claim(source / "rma-1.9" / "transfer", "llm4wm-transfer", setting="transfer 10 %")
    lab.put_all(after, "llm4wm")
    part = lab.named(source, "transfer")
    titles = ["RMa 1.9 GHz, zero-shot", "RMa 1.9 GHz, transfer 10 %", "UMa 2.4 GHz, zero-shot", "UMa 2.4 GHz, transfer"]
    assert [group.title for group in part.groups] == titles
    assert [row.title for row in part.groups[0].rows] == ["LLM4WM", "LLM4CP", "CNN + WiT", "LSTM + MLP"]
    zero, tuned, unseen = (lab.cell_of(part, "LLM4WM", "Avg.", group=i) for i in (0, 1, 3))
    assert (zero.value, zero.published) == (pytest.approx(0.4), "")
    assert (tuned.value, tuned.published) == (pytest.approx(0.2), "0.276")
    assert (unseen.text, unseen.published) == ("–", "0.122")
    assert lab.cell_of(part, "CNN + WiT", "PE", group=1).published == "0.220"
    assert part.picture


def test_ablation_increase_by_hand(lab: Any, tmp_path: Path) -> None:
    folder = lab.claim(tmp_path, "llm4wm-ablation")
    lab.put_all(folder, "llm4wm")
    lab.put_all(folder, "llm4wm+none", 1.25)
    lab.put_all(folder, "llm4wm+frozen", tasks=("ce", "cp"))
    part = lab.named(folder, "ablation")
    assert lab.cell_of(part, "LLM4WM", "Average loss").published == "0.087"
    assert lab.cell_of(part, "LLM4WM", "Increase").text == "–"
    without = lab.cell_of(part, "without language model", "Increase")
    assert (without.value, without.published) == (pytest.approx(25.0), "34.40")
    assert lab.cell_of(part, "language model frozen, no MoE-LoRA", "Average loss").text == "–"
    assert part.groups[0].rows[0].title == "LLM4WM"
    assert len(part.groups[0].rows) == 6
    lab.put(folder, "llm4wm+random", "ce", 0.1)
    extra = lab.cell_of(lab.named(folder, "ablation"), "random frozen trunk", "Average loss")
    assert (extra.text, extra.published) == ("–", "")


def test_hyper_places_every_point(lab: Any, tmp_path: Path) -> None:
    folder = lab.claim(tmp_path, "llm4wm-hyper")
    lab.put_all(folder, "llm4wm")
    lab.put_all(folder, "llm4wm+rank2", 1.5)
    lab.put_all(folder, "llm4wm+experts16", 0.75)
    part = lab.named(folder, "hyper")
    ranks = [cell.text for cell in lab.row_of(part, "LoRA rank, 8 experts").cells]
    experts = [cell.text for cell in lab.row_of(part, "number of experts, rank 8").cells]
    assert ranks == ["0.300", "–", "0.200", "–"]
    assert experts == ["–", "–", "0.200", "0.150"]


def test_multitask_gain_by_hand(lab: Any, tmp_path: Path) -> None:
    folder = lab.claim(tmp_path, "llm4wm-multitask")
    lab.put_all(folder, "llm4wm(s)", 1.25)
    lab.put_all(folder, "llm4wm", 1.0)
    lab.put_all(folder, "cross_stitch", 1.0)
    part = lab.named(folder, "multitask")
    gain = lab.cell_of(part, "Gain, dB", "Avg.", group=1)
    assert (gain.value, gain.published) == (pytest.approx(10 * math.log10(1.25)), "0.99")
    assert lab.cell_of(part, "Gain, dB", "BF", group=1).value == pytest.approx(10 * math.log10(0.5 / 0.4))
    # Table IV, PF: .114 alone, .100 together.
    assert lab.cell_of(part, "Gain, dB", "PF", group=1).published == f"{10 * math.log10(1.14):.2f}"
    small = lab.cell_of(part, "Gain, dB", "Avg.", group=0)
    assert (small.text, small.published) == ("–", "0.19")


@pytest.mark.parametrize(("suite", "name"), [("llm4wm-hyper", "hyper"), ("llm4wm-multitask", "multitask")])
def test_a_section_of_one_view_says_that_its_targets_are_noisy(lab: Any, tmp_path: Path, suite: str, name: str) -> None:
    folder = lab.claim(tmp_path, suite)
    lab.put_all(folder, "llm4wm", conditions={"paper_compat": True})
    assert "With paper_compat: Targets carry the pilots’ noise" in lab.named(folder, name).text
    lab.put_all(folder, "llm4wm")
    assert "paper_compat" not in lab.named(folder, name).text


def test_cost_sums_networks_of_their_own_and_not_a_joint_one(lab: Any, tmp_path: Path) -> None:
    folder = lab.claim(tmp_path, "llm4wm-cost", joint_tasks={"llm4wm": TASKS})
    for i, task in enumerate(("bf", "de", "pe")):
        for seed, fit in ((0, 10.0), (1, 20.0), (2, 60.0)):
            costs = {"trainable_parameters": 1e6 * (i + 1), "total_parameters": 2e6 * (i + 1), "fit_s": fit}
            lab.put(folder, "mlp", task, 0.1, seed=seed, costs={**costs, "latency_ms_batch1": 1.0 + i})
    for task in TASKS:
        costs = {"trainable_parameters": 7e6, "total_parameters": 9e7, "fit_s": 100.0, "flops_per_sample": 5e8}
        lab.put(folder, "llm4wm", task, 0.1, costs=costs)
    report(folder)
    by_method = {row["method"]: row for row in lab.table_of(folder / "cost.csv")}
    mlp, llm = by_method["mlp"], by_method["llm4wm"]
    assert (float(mlp["trainable"]), float(mlp["largest_trainable"])) == (6e6, 3e6)
    assert (float(mlp["fit_s"]), float(mlp["latency_1_ms"])) == (60.0, 2.0)
    assert mlp["latency_512_ms"] == mlp["flops"] == ""
    assert (float(llm["trainable"]), float(llm["total"]), float(llm["fit_s"])) == (7e6, 9e7, 100.0)
    assert by_method["wit"]["trainable"] == ""
    assert by_method["wit"]["paper_trainable_m"] == "19.19"
    part = lab.named(folder, "cost")
    assert lab.cell_of(part, "mlp", "Trainable").interval == "largest 3.00 M"
    assert lab.cell_of(part, "llm4wm", "Trainable").interval == ""
    assert lab.cell_of(part, "llm4wm", "Total").published == "88.71 M"
    assert lab.cell_of(part, "WiT", "Latency, 1").published == "2.97 ms per batch"


GATED = ("ce", "cp", "de")


def put_experts(lab: Any, folder: Path, seed: int, final: np.ndarray, **more: Any) -> None:
    """Cells of three tasks with the weights ``final`` ``[layers, tasks, experts]`` of a gate that was even before."""
    for task, weights in zip(GATED, final.swapaxes(0, 1), strict=True):
        initial = np.full_like(weights, 1 / weights.shape[-1])
        arrays = {"layers": np.array(["0.up", "1.down"]), "initial": initial, "final": weights}
        lab.put(folder, "llm4wm", task, 0.1, seed=seed, artefacts={"experts": arrays}, **more)


def test_experts_correlations_by_hand(lab: Any, tmp_path: Path) -> None:
    folder = lab.claim(tmp_path, "llm4wm-experts")
    assert "No cell of LLM4WM in this folder" in lab.named(folder, "experts").text
    alike, other = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.4, 0.1, 0.4])
    final = np.stack([np.stack([alike, 2 * alike, alike[::-1]]), np.stack([alike, other, other])])
    put_experts(lab, folder, 0, final)
    (experts,) = read_experts(Run.read(folder))
    assert (experts.tasks, experts.layers) == (GATED, ("0.up", "1.down"))
    np.testing.assert_allclose(correlations(experts.final[0]), [[1, 1, -1], [1, 1, -1], [-1, -1, 1]], atol=1e-12)
    np.testing.assert_allclose(correlations(experts.final[1])[:2, :2], np.corrcoef([alike, other]))
    part = lab.named(folder, "experts")
    # Same kind: CE with CP; other kinds: CE and CP with DE. A uniform gate before training correlates with nothing.
    assert [cell.text for cell in lab.row_of(part, "0.up").cells] == ["–", "1.00", "–", "−1.00"]
    rows = list(csv.DictReader(part.csv.splitlines()))
    assert len(rows) == 2 * 9
    assert {row["initial"] for row in rows} == {""}


def test_experts_that_cannot_be_read_are_passed_over(lab: Any, tmp_path: Path) -> None:
    folder = lab.claim(tmp_path, "llm4wm-experts")
    random = np.random.default_rng(0).random((2, 3, 4))
    for seed in range(4):
        put_experts(lab, folder, seed, random)
    put_experts(lab, folder, 5, random, conditions={"pilot_spacing": 4})
    lab.put(folder, "llm4wm", "ce", 0.1, seed=4)  # without any
    for seed in range(2):
        for path in (folder / "cells").glob(f"*default__seed{seed}.experts.npz"):
            path.write_bytes(b"PK not a zip") if seed else path.unlink()
    odd = folder / "cells" / "llm4wm__cp__default__seed2.experts.npz"
    np.savez(odd, layers=np.array(["0.up"]), initial=random[:1, 0], final=random[:1, 0])
    assert [experts.seed for experts in read_experts(Run.read(folder))] == [3]
    (folder / "cells" / "llm4wm__cp__default__seed3.experts.npz").unlink()
    assert [experts.tasks for experts in read_experts(Run.read(folder))] == [("ce", "de")]


# --- files and the page ----------------------------------------------------------------------------------------------

SUITES = {
    "llm4wm": ["table4", "rank-correlation", "pretraining"],
    "full": ["table4", "rank-correlation", "pretraining"],
    "llm4wm-transfer": [],
    "llm4wm-ablation": ["ablation"],
    "llm4wm-hyper": ["hyper"],
    "llm4wm-experts": ["experts"],
    "llm4wm-cost": ["cost"],
    "llm4wm-multitask": ["multitask"],
    "classical": [],
}


@pytest.mark.parametrize("suite", SUITES)
def test_each_suite_has_its_sections_and_files(lab: Any, tmp_path: Path, suite: str) -> None:
    folder = lab.claim(tmp_path / "results", suite)
    lab.put_all(folder, "llm4wm", costs={"trainable_parameters": 5, "total_parameters": 5})
    csv_path, page_path = report(folder, csv=tmp_path / "a.csv", html=tmp_path / "b.html")
    assert [part.name for part in sections(folder)] == SUITES[suite]
    assert csv_path == tmp_path / "a.csv"
    page = page_path.read_text()
    pictured = {"table4", "ablation", "hyper", "cost", "multitask"} & set(SUITES[suite])
    for name in SUITES[suite]:
        assert f'id="section-{name}"' in page
        if name not in ("experts", "pretraining"):  # which say that there is nothing to compare
            assert lab.table_of(folder / f"{name}.csv")
    assert {path.stem for path in folder.glob("*.svg")} == pictured - ({"multitask"} & pictured)


def test_hostile_titles_and_files_stay_words(lab: Any, tmp_path: Path) -> None:
    """Titles come from result cells: in the page and in the pictures they are text."""
    folder = lab.claim(tmp_path, "llm4wm-cost")
    lab.put(folder, "mlp", "bf", 0.1, costs={"trainable_parameters": 5})
    cell = next((folder / "cells").glob("*.json"))
    cell.write_text(cell.read_text().replace('"title": "mlp"', '"title": "<script>x</script>&"'))
    _, page = report(folder)
    assert "<script>x" not in page.read_text()
    picture = (folder / "cost.svg").read_text()
    ElementTree.fromstring(picture)
    assert "&lt;script&gt;x" in picture


def test_pictures_are_files_of_their_own_and_safe_in_the_page(lab: Any, folder: Path) -> None:
    for method in ("llm4wm", "cnn", "wit", "llm4wm+random"):
        lab.put_all(folder, method)
    _, page_path = report(folder)
    page, picture = page_path.read_text(), (folder / "table4.svg").read_text()
    root = ElementTree.fromstring(picture)
    assert root.tag.endswith("svg")
    assert "var(" not in picture
    assert "var(--llm,#a03c86)" in page
    inline = next(part.svg for part in sections(folder) if part.name == "table4")
    assert inline in page
    assert not re.search(r"url\s*\(|<script|<style|\bid=|href", inline)
    marks = [e for e in root.iter() if e.get("class") == "dot"]
    # LLM4WM and its control have six tasks and an average each, CNN + WiT too.
    assert len(marks) == 3 * 7
    assert (folder / "table4.pdf").read_bytes().startswith(b"%PDF")


def test_the_same_cells_make_the_same_bytes(lab: Any, folder: Path) -> None:
    lab.put_all(folder, "llm4wm")
    lab.put_all(folder, "llm4wm+random", 1.1)
    report(folder)
    names = ("leaderboard.html", "leaderboard.csv", "table4.svg", "table4.pdf", "table4.csv", "pretraining.csv")
    first = [(folder / name).read_bytes() for name in names]
    report(folder)
    assert [(folder / name).read_bytes() for name in names] == first


def test_an_empty_run_has_no_tables_yet(folder: Path) -> None:
    assert sections(folder) == []
    _, page = report(folder)
    assert "No cell has been written yet" in page.read_text()


def test_other_folders_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"results: expected a folder with a run\.json"):
        report(tmp_path)
    assert list(tmp_path.iterdir()) == []
