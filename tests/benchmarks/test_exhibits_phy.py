"""The exhibits of the multi-task PHY LLM, on cells whose numbers are worked out by hand."""

from __future__ import annotations

import csv
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phy_by_hand import claim, put

from channelbench.benchmarks.exhibits import phy_paper, report
from channelbench.benchmarks.exhibits.phy_instruction import read_curves
from channelbench.leaderboard.curves import Line, LinesPanel, Point, lines
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.views import Run

CASES = 20
NEAR = {"users": 8, "grouping": "near"}


def errors(wrong: int) -> np.ndarray:
    """Terms of SER: ``wrong`` symbols of 32 in each of the first half of the cases, none in the others."""
    return np.stack([np.where(np.arange(CASES) < CASES // 2, wrong, 0), np.full(CASES, 32)], axis=-1)


def detected(folder: Path, method: str, snr_db: float, wrong: int, nmse: float = 0.1, **conditions: Any) -> None:
    terms = {"ser": errors(wrong), "symbol_nmse": np.full(CASES, nmse)}
    put(folder, method, "det", terms, conditions={**conditions, **({} if snr_db == 10 else {"snr_db": snr_db})})


@pytest.fixture
def detection(tmp_path: Path) -> Path:
    folder = claim(tmp_path / "results", "phy-detection", ["det"], exhibits=("phy-detection",))
    for snr_db, wrong in ((0.0, 16), (10.0, 2), (25.0, 0)):
        detected(folder, "lmmse_detector", snr_db, wrong)
        detected(folder, "oamp_net", snr_db, wrong // 2, nmse=1e-9 if snr_db == 25 else 0.02)
        detected(folder, "lmmse_detector", snr_db, 2 * wrong, **NEAR)
    detected(folder, "oamp_net", 0.0, 8, **NEAR)
    return folder


def test_a_sweep_has_a_panel_for_each_setting_and_a_column_for_each_step(lab: Any, detection: Path) -> None:
    part = lab.named(detection, "phy-detection-ser")
    assert [group.title for group in part.groups] == ["4 users, random users", "8 users, near users"]
    assert [column.label for column in part.columns] == ["0", "10", "25"]
    assert [column.unit for column in part.columns] == ["SER, outside training", "SER", "SER, outside training"]
    assert "No training sees SNR in dB of 0, 25." in part.text
    row = lab.row_of(part, "lmmse_detector", group=0)
    assert [cell.value for cell in row.cells] == [0.25, 2 / 64, 0.0]
    assert lab.cell_of(part, "lmmse_detector", "10", group=1).value == 4 / 64
    absent = lab.cell_of(part, "oamp_net", "10", group=1)
    assert (absent.text, absent.note) == ("–", "not run")


def test_what_a_split_cannot_resolve_is_marked(lab: Any, detection: Path) -> None:
    """Half an error of 20 · 32 symbols; an NMSE that is rounding; both as rings."""
    report(detection)
    part = lab.named(detection, "phy-detection-ser")
    none = lab.cell_of(part, "lmmse_detector", "25", group=0)
    assert (none.text, none.remark, none.interval) == (f"< {0.5 / (CASES * 32):.1e}", "no error", "")
    rounding = lab.cell_of(lab.named(detection, "phy-detection-nmse"), "oamp_net", "25", group=0)
    assert (rounding.text, rounding.remark) == ("< 1.0e-05", "")
    rows = lab.table_of(detection / "phy-detection-ser.csv")
    resolution = {row["resolution"] for row in rows if row["snr_db"] == "25.0" and row["value"]}
    assert resolution == {str(0.5 / (CASES * 32))}
    assert {row["resolution"] for row in rows if row["snr_db"] == "0.0"} == {""}
    root = ElementTree.fromstring((detection / "phy-detection-ser.svg").read_text())
    rings = [e for e in root.iter() if e.get("class") == "ring"]
    assert len(rings) == 3, "two rows and one"


def test_every_point_has_its_interval(lab: Any, detection: Path) -> None:
    """Ten cases of 16 wrong of 32 and ten of none: the share of the first among resampled cases, halved."""
    cell = lab.cell_of(lab.named(detection, "phy-detection-ser"), "lmmse_detector", "0", group=0)
    shares = np.random.default_rng(0).binomial(CASES, 0.5, 200_000) / CASES / 2
    found = [float(word) for word in cell.interval.split("–")]
    assert found == pytest.approx(list(np.percentile(shares, [2.5, 97.5])), abs=0.5 / CASES + 0.005)


def test_decibels_below_zero_are_values_as_any(lab: Any, tmp_path: Path) -> None:
    folder = claim(tmp_path, "phy-snr", ["cp"], exhibits=("phy-snr",))
    for snr_db, nmse in ((5.0, 0.1), (15.0, 0.01)):
        put(folder, "wiener", "cp", {"nmse_db": np.full(CASES, nmse)}, conditions={"snr_db": snr_db})
    part = lab.named(folder, "phy-snr")
    row = lab.row_of(part, "wiener")
    assert [cell.value for cell in row.cells] == pytest.approx([-10, -20], abs=1e-5)
    assert [cell.remark for cell in row.cells] == ["", ""]
    assert [line["resolution"] for line in csv.DictReader(part.csv.splitlines())] == ["", ""]


SPEEDS = np.tile([10.0, 50.0], CASES // 2)


def test_speeds_are_told_apart_within_a_cell(lab: Any, tmp_path: Path) -> None:
    folder = claim(tmp_path, "phy-velocity", ["cp"], exhibits=("phy-velocity",))
    slow, fast = np.linspace(0.01, 0.03, CASES // 2), np.linspace(0.2, 0.6, CASES // 2)
    terms = np.empty(CASES)
    terms[::2], terms[1::2] = slow, fast
    for method, factor in (("wiener", 1.0), ("zero", 10.0)):
        strata = {"speed_kmh": SPEEDS}
        put(folder, method, "cp", {"nmse": factor * terms, "nmse_db": factor * terms}, strata=strata)
    put(folder, "ceiling", "cp", {"nmse": 0 * terms, "nmse_db": 0 * terms}, strata={"speed_kmh": SPEEDS})
    put(folder, "hold", "cp", {"nmse": terms, "nmse_db": terms})  # a cell that does not say
    part = lab.named(folder, "phy-velocity")
    assert [row.title for group in part.groups for row in group.rows] == ["wiener", "zero"]
    row = lab.row_of(part, "wiener")
    assert [column.label for column in part.columns] == ["10", "50"]
    assert [cell.value for cell in row.cells] == pytest.approx([10 * math.log10(0.02), 10 * math.log10(0.4)], abs=1e-5)
    view = Run.read(folder).views[0]
    found = view.by_stratum("wiener", "cp", "nmse", "speed_kmh")[10.0]
    weights = np.random.default_rng(np.random.SeedSequence(2026, spawn_key=(10, 1000))).multinomial(
        10, [0.1] * 10, 1000
    )
    means = (weights / 10) @ slow
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), rel=1e-5)
    assert view.by_stratum("wiener", "cp", "nmse", "height") == {}


def test_seeds_widen_the_interval_of_a_speed(lab: Any, tmp_path: Path) -> None:
    folder = claim(tmp_path, "phy-velocity", ["cp"], seeds={"llm4cp": 3}, exhibits=("phy-velocity",))
    for seed, level in enumerate((0.1, 0.2, 0.3)):
        terms = {"nmse_db": np.full(CASES, level)}
        put(folder, "llm4cp", "cp", terms, seed=seed, strata={"speed_kmh": SPEEDS})
    cell = lab.cell_of(lab.named(folder, "phy-velocity"), "llm4cp", "10")
    levels = 10 * np.log10([0.1, 0.2, 0.3])
    half = 4.3027 * levels.std(ddof=1) / math.sqrt(3)  # Student's t of two degrees of freedom
    low, high = (float(word.replace("−", "-")) for word in cell.interval.split(" – "))
    assert (low, high) == pytest.approx((levels.mean() - half, levels.mean() + half), abs=0.06)


# --- Tables I and II --------------------------------------------------------------------------------------------------

SNRS = (0.0, 10.0, 20.0)


def averaged(folder: Path, method: str, factor: float = 1.0, snrs: tuple[float, ...] = SNRS, **more: Any) -> None:
    """CP of .04, .02, .01 and DET of .3, .1, .02 over three SNRs, and 30 bit/s/Hz at 0 dBW."""
    for snr_db, nmse, symbols in zip(SNRS, (0.04, 0.02, 0.01), (0.3, 0.1, 0.02), strict=True):
        conditions = {} if snr_db == 10 else {"snr_db": snr_db}
        if snr_db in snrs:
            put(folder, method, "cp", {"nmse": np.full(CASES, factor * nmse)}, conditions=conditions, **more)
            put(folder, method, "det", {"symbol_nmse": np.full(CASES, factor * symbols)}, conditions=conditions, **more)
    put(folder, method, "pre_sr", {"sum_rate": np.full(CASES, 30.0 / factor)}, **more)
    put(folder, method, "pre_sr", {"sum_rate": np.full(CASES, 1.0)}, conditions={"power_dbw": 10.0}, **more)
    put(folder, method, "det", {"symbol_nmse": np.full(CASES, 9.0)}, conditions=NEAR, **more)


def tables(folder: Path, suite: str, **more: Any) -> Path:
    return claim(folder, suite, ["pre_sr", "det", "cp"], exhibits=(suite,), **more)


def test_table_one_is_of_means_over_snrs(lab: Any, tmp_path: Path) -> None:
    folder = tables(tmp_path, "phy-loftq")
    costs = {"trunk_stored_bytes": 27.0, "trunk_fp16_bytes": 100.0, "trainable_parameters": 2e6}
    averaged(folder, "phy_llm")
    averaged(folder, "phy_llm+loftq", 1.1, costs=costs)
    averaged(folder, "phy_llm+nf4", 1.2, snrs=(0.0, 10.0))
    part = lab.named(folder, "phy-loftq")
    full = {label: lab.cell_of(part, "Full precision", label) for label in ("CP", "DET", "PRE-SR")}
    assert full["CP"].value == pytest.approx(10 * math.log10(0.07 / 3), abs=1e-6)
    assert full["DET"].value == pytest.approx(0.14, abs=1e-6)
    assert full["PRE-SR"].value == pytest.approx(30)
    assert [full[label].published for label in full] == ["−16.37", "0.0322", "29.3658"]
    assert lab.cell_of(part, "LoftQ, 4 bits", "Trunk").value == 27
    assert lab.cell_of(part, "Full precision", "Trunk").text == "–"
    assert lab.cell_of(part, "Plain 4 bits", "CP").note == "not run", "a mean without one of its SNRs is another mean"
    assert lab.cell_of(part, "Plain 4 bits", "CP").published == "−15.68"
    assert lab.cell_of(part, "Merged, then 4 bits", "CP").published == ""
    assert "CP at 0, 10, 20 dB; DET at 0, 10, 20 dB" in part.text
    assert part.picture


def test_table_two_has_the_papers_numbers_beside_its_backbones_alone(lab: Any, tmp_path: Path) -> None:
    ours, theirs = tables(tmp_path / "ours", "phy-backbone", backbone="minilm"), tmp_path / "theirs"
    tables(theirs, "phy-backbone", backbone="gpt2")
    for folder in (ours, theirs):
        averaged(folder, "phy_llm", costs={"trainable_parameters": 4e6})
        averaged(folder, "phy_llm+none", 2.0)
    part = lab.named(ours, "phy-backbone")
    titles = [row.title for row in part.groups[0].rows]
    assert titles[:4] == ["minilm", "LLAMA2-7B (paper)", "GPT2 (paper)", "no trunk"]
    assert lab.cell_of(part, "minilm", "CP").published == ""
    assert lab.cell_of(part, "GPT2 (paper)", "CP").published == "−15.39"
    assert lab.cell_of(part, "GPT2 (paper)", "Trained").published == "17.3338 M"
    assert lab.cell_of(part, "no trunk", "DET").published == "0.1908"
    part = lab.named(theirs, "phy-backbone")
    assert [row.title for row in part.groups[0].rows][:3] == ["gpt2", "LLAMA2-7B (paper)", "no trunk"]
    assert lab.cell_of(part, "gpt2", "PRE-SR").published == "29.0365"
    assert lab.cell_of(part, "gpt2", "Trained").value == 4e6


def test_the_papers_numbers_are_all_there() -> None:
    assert phy_paper.number("I", "plain 4-bit", "DET") == 0.0528
    assert phy_paper.number("II", "none", "PRE-SR") == 27.2981
    assert phy_paper.number("II", "nobody", "PRE-SR") is None
    found = [phy_paper.number("II", name, "all") for name in ("LLAMA2-7B", "GPT2", "none")]
    assert found == [23.9713, 17.3338, 19.777]


# --- instructions, imperfect channels, pretraining --------------------------------------------------------------------


def test_losses_are_means_over_parts_of_the_training(lab: Any, tmp_path: Path) -> None:
    folder = claim(tmp_path, "phy-instruction", ["det"], exhibits=("phy-instruction",))
    steps = np.arange(1, 101)
    for method, slow in (("phy_llm", 1.0), ("phy_llm(s)+no-prompt", 2.0)):
        for seed in range(2):
            losses = 0.1 + np.exp(-steps / (10 * slow)) + 0.01 * seed
            put(
                folder,
                method,
                "det",
                {"ser": errors(1)},
                seed=seed,
                artefacts={"loss": {"steps": steps, "training": losses}},
            )
    put(folder, "phy_llm(s)", "det", {"ser": errors(1)}, artefacts={"loss": {"steps": steps[:2]}})
    curves = {curve.method: curve for curve in read_curves(Run.read(folder), "det")}
    assert set(curves) == {"phy_llm", "phy_llm(s)+no-prompt"}, "what cannot be read is passed over"
    points = curves["phy_llm"].means()
    assert [point.x for point in points] == list(range(5, 101, 5))
    by_hand = np.stack([0.1 + np.exp(-steps[:5] / 10) + 0.01 * seed for seed in range(2)])
    assert points[0].score.value == pytest.approx(by_hand.mean())
    half = 1.96 * by_hand.std(ddof=1) / math.sqrt(10)
    assert points[0].score.high == pytest.approx(by_hand.mean() + half)
    part = lab.named(folder, "phy-instruction")
    level = 1.1 * curves["phy_llm"].final.value
    ends = [
        next(point.x for point in curve.means() if point.score.value <= level)
        for curve in (curves["phy_llm"], curves["phy_llm(s)+no-prompt"])
    ]
    assert ends[0] < ends[1]
    shown = [
        lab.cell_of(part, title, "There after").value for title in ("multi-task, instructions", "single task, none")
    ]
    assert shown == ends


def test_rates_under_imperfect_channels_stand_beside_those_of_perfect_ones(lab: Any, tmp_path: Path) -> None:
    """In the folder of the second stage; ones of the first slot are of something else."""
    claim(tmp_path, "phy-csi", ["cp"], exhibits=("phy-csi",))
    folder = claim(tmp_path / "precoding", "phy-csi", ["pre_sr"])
    rate = np.linspace(20, 40, CASES)
    whole = {"slot": "last"}, {"csi": "estimated"}, {"csi": "predicted:hold"}
    for conditions, share in (*zip(whole, (1.0, 0.8, 0.5), strict=True), ({}, 7.0)):
        put(folder, "rzf", "pre_sr", {"sum_rate": share * rate}, conditions=conditions)
    put(folder, "zf", "pre_sr", {"sum_rate": rate}, conditions={"csi": "estimated"})
    part = lab.named(tmp_path, "phy-csi")
    assert [column.label for column in part.columns] == ["perfect", "estimated", "predicted:hold"]
    assert [group.title for group in part.groups] == ["PRE-SR"]
    row = lab.row_of(part, "rzf")
    assert [cell.value for cell in row.cells] == pytest.approx([30, 24, 15])
    assert [cell.remark.partition(" %")[0] for cell in row.cells] == ["", "−20.0", "−50.0"]
    assert "−20.0" in row.cells[1].remark.partition("(")[2], "a constant share has no spread over groups"
    assert lab.cell_of(part, "zf", "perfect").note == "not run"
    assert lab.cell_of(part, "zf", "estimated").remark == ""


def test_pretraining_is_asked_of_each_task_and_condition(lab: Any, tmp_path: Path) -> None:
    folder = claim(tmp_path, "phy", ["pre_sr", "det"], ["default", "users=8"], exhibits=("phy-pretraining",))
    for conditions in ({}, {"users": 8}):
        for method, rate, symbols in (("phy_llm", 30.0, 0.1), ("phy_llm+random", 28.0, 0.3)):
            spread = np.linspace(-1, 1, CASES)
            put(folder, method, "pre_sr", {"sum_rate": rate + spread}, conditions=conditions)
            put(folder, method, "det", {"symbol_nmse": symbols + 0.01 * spread}, conditions=conditions)
    part = lab.named(folder, "phy-pretraining")
    assert [group.note for group in part.groups] == ["Default", "users 8"]
    row = lab.row_of(part, "against a random frozen trunk", group=1)
    gains = [cell.value for cell in row.cells]
    assert gains[::2] == pytest.approx([2.0, 0.2], abs=1e-6)
    assert np.isnan(gains[1::2]).all(), "PRE-MM and CP were not run"


# --- pictures ---------------------------------------------------------------------------------------------------------


def curve(title: str, values: list[float], family: str = "classical") -> Line:
    scores = [Estimate(value=v, low=0.9 * v, high=1.1 * v) for v in values]
    return Line(title, family, tuple(Point(float(i), score) for i, score in enumerate(scores)))


def svg_of(panels: list[LinesPanel], **more: Any) -> str:
    picture = lines(panels, "x", "y", "a picture", **more)
    assert picture is not None
    return picture.svg


def test_names_of_curves_do_not_cover_each_other() -> None:
    many = tuple(curve(f"method {i}", [1.0, 2.0, 3.0 + 1e-4 * i]) for i in range(25))
    root = ElementTree.fromstring(svg_of([LinesPanel("all", many)]))
    names = [e for e in root.iter() if e.tag.endswith("text") and (e.text or "").startswith("method")]
    heights = sorted(float(e.get("y", "nan")) for e in names)
    assert len(names) == 25
    assert min(np.diff(heights)) >= 13
    assert 0 < heights[0] < heights[-1] < float(root.get("height", "0"))


def test_a_gap_is_a_gap_and_a_log_axis_ends_where_it_is_told() -> None:
    broken = Line("a", "llm", (*curve("", [1.0, 2.0]).points, Point(2.0, None), *[Point(3.0, None, 0.01)]))
    picture = svg_of([LinesPanel("", (broken,))], log=True, lowest=0.01, trained=(1.0, 9.0))
    root = ElementTree.fromstring(picture)
    (joined,) = [e for e in root.iter() if e.get("class") == "curve"]
    assert [e.get("d", "").count("L") for e in joined.iter() if e.tag.endswith("path")] == [1], "two points"
    assert not re.search(r"url\s*\(|<script|<style|\bid=|href", picture)
    assert sum(e.get("class") == "shade" for e in root.iter()) == 1, "the ground below 1"
    assert lines([LinesPanel("", (Line("b", "llm", (Point(0.0, None),)),))], "x", "y", "nothing") is None
