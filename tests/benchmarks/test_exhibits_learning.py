"""Learning curves: what cells say of their fits, as a picture and as numbers."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from channelbench.benchmarks.exhibits import report, sections
from channelbench.benchmarks.exhibits.learning import LearningCurves
from channelbench.families import palette
from channelbench.leaderboard.views import Run

LOSSES = {step: 1.0 / step for step in (1, 10, 2, 4, 8)}
VALIDATION = {5: 0.4, 10: 0.3}


def trained(folder: Path, name: str, **training: object) -> None:
    """Put a training into the cell of this name."""
    path = folder / "cells" / f"{name}.json"
    cell = json.loads(path.read_text())
    path.write_text(json.dumps({**cell, "training": training}))


@pytest.fixture
def curves(lab: SimpleNamespace, folder: Path) -> Path:
    """Two tasks: one of a small network with two seeds beside somebody else's, one of a network that failed."""
    for seed in (0, 1):
        lab.put(folder, "net", "ce", 0.1, seed=seed)
        trained(folder, f"net__ce__default__seed{seed}", losses=LOSSES, validation=VALIDATION)
    lab.put(folder, "theirs", "ce", 0.2)
    trained(folder, "theirs__ce__default__seed0", losses={7: 0.25})
    lab.put(folder, "net", "cp", 0.1, status="failed")
    trained(folder, "net__cp__default__seed0", losses={1: 2.0, 2: -1.0, 3: "NaN"})
    lab.put(folder, "net", "pf", 0.1)
    trained(folder, "net__pf__default__seed0", validation={0: 0.5})
    lab.put(folder, "bi", "ce", 0.3)
    return folder


def test_the_numbers_are_those_of_the_cells(lab: SimpleNamespace, curves: Path) -> None:
    found = lab.named(curves, "learning")
    rows = list(csv.DictReader(found.csv.splitlines()))
    assert {(row["task"], row["method"]) for row in rows} == {("ce", "net"), ("ce", "theirs"), ("cp", "net")}
    for seed in "01":
        of_seed = [row for row in rows if (row["task"], row["method"], row["seed"]) == ("ce", "net", seed)]
        for curve, values in (("training", LOSSES), ("validation", VALIDATION)):
            points = [(int(r["step"]), float(r["value"])) for r in of_seed if r["curve"] == curve]
            assert points == sorted(values.items())
    failed = [row for row in rows if row["task"] == "cp"]
    assert [(row["step"], row["value"], row["status"]) for row in failed] == [
        ("1", "2.0", "failed"),
        ("2", "-1.0", "failed"),
    ]


def test_the_picture_has_a_line_for_each_curve_of_each_seed(lab: SimpleNamespace, curves: Path) -> None:
    svg = lab.named(curves, "learning").svg
    root = ElementTree.fromstring(svg)
    of = {kind: [e for e in root.iter() if e.get("class") == kind] for kind in ("training", "validation")}
    assert {kind: len(each) for kind, each in of.items()} == {"training": 4, "validation": 2}
    text = " ".join("".join(root.itertext()).split())
    assert "loss, log, by step" in text  # of CE: from 1 to 0.1
    assert "loss, by step" in text  # of CP, where a loss is negative
    assert text.count("net (failed)") == 1
    assert "theirs" in text
    assert "PF" not in text, "nothing was learned there"
    dashed = [path for group in of["training"] for path in group.iter() if "stroke-dasharray" in path.get("style", "")]
    assert len(dashed) == len(of["training"])
    assert not [path for group in of["validation"] for path in group.iter() if "dasharray" in path.get("style", "")]
    assert palette()["small"] in svg


def heights_of(group: ElementTree.Element) -> list[float]:
    path = next(e for e in group.iter() if e.tag.endswith("path") and "stroke-dasharray" in e.get("style", ""))
    return [float(y) for _, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d", ""))]


def test_a_curve_goes_where_its_numbers_go(lab: SimpleNamespace, curves: Path) -> None:
    """On a logarithmic axis 1/step falls by equal heights with each doubling."""
    root = ElementTree.fromstring(lab.named(curves, "learning").svg)
    first = next(e for e in root.iter() if e.get("class") == "training" and len(heights_of(e)) == 5)
    one, two, four, eight, ten = heights_of(first)
    assert two - one == pytest.approx(four - two, rel=1e-3)
    assert eight - four == pytest.approx(four - two, rel=1e-3)
    assert ten > eight > four > two


def test_a_long_curve_is_drawn_with_few_points_and_written_with_all(lab: SimpleNamespace, folder: Path) -> None:
    lab.put(folder, "net", "ce", 0.1)
    losses = {step: 1.0 + 0.5 * (step % 2) for step in range(1, 1000)}
    trained(folder, "net__ce__default__seed0", losses=losses)
    found = lab.named(folder, "learning")
    assert len(found.csv.splitlines()) == 1000
    (group,) = (e for e in ElementTree.fromstring(found.svg).iter() if e.get("class") == "training")
    assert 10 <= len(heights_of(group)) <= 42


def test_folders_without_curves_have_no_section_and_others_have_it_everywhere(
    lab: SimpleNamespace, folder: Path
) -> None:
    lab.put(folder, "net", "ce", 0.1)
    assert "learning" not in [part.name for part in sections(folder)]
    assert LearningCurves().sections(Run.read(folder)) == []
    trained(folder, "net__ce__default__seed0", validation=VALIDATION)
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**manifest, "exhibits": []}))
    assert [part.name for part in sections(folder)] == ["learning"]
    report(folder)
    assert "Learning curves" in (folder / "leaderboard.html").read_text()
    for name in ("learning.csv", "learning.svg", "learning.pdf"):
        assert (folder / name).stat().st_size > 100


def test_the_same_cells_make_the_same_bytes(lab: SimpleNamespace, curves: Path) -> None:
    one, two = (lab.named(curves, "learning") for _ in range(2))
    assert (one.svg, one.csv, one.picture.pdf) == (two.svg, two.csv, two.picture.pdf)


def test_a_fit_of_several_tasks_has_a_panel_of_its_own(lab: SimpleNamespace, folder: Path) -> None:
    for task in ("ce", "cp"):
        lab.put(folder, "net", task, 0.1)
        trained(folder, f"net__{task}__default__seed0", losses=LOSSES, validation=VALIDATION)
    lab.put(folder, "theirs", "ce", 0.2)
    trained(folder, "theirs__ce__default__seed0", losses={7: 0.25, 8: 0.2})
    found = lab.named(folder, "learning")
    root = ElementTree.fromstring(found.svg)
    assert len([e for e in root.iter() if e.get("class") == "training"]) == 2, "one for each fit"
    text = " ".join("".join(root.itertext()).split())
    assert "Fitted to several tasks at once" in text
    assert "CP" not in text, "no task has that fit alone"
    assert {row["task"] for row in csv.DictReader(found.csv.splitlines()) if row["method"] == "net"} == {"ce", "cp"}


def test_objectives_below_zero_flatten_nobody_elses(lab: SimpleNamespace, folder: Path) -> None:
    for name, losses in (("net", LOSSES), ("theirs", {1: -2.0, 2: -3.0})):
        lab.put(folder, name, "ce", 0.1)
        trained(folder, f"{name}__ce__default__seed0", losses=losses)
    root = ElementTree.fromstring(lab.named(folder, "learning").svg)
    text = " ".join("".join(root.itertext()).split())
    assert "loss, log, by step" in text, "the other's axis is its own"
    assert text.count("CE") == 2
    assert "CE, objectives below 0" in text
