"""Every experiment of LLM4WM from data to its table and picture, with a few steps on a small trunk."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from channelbench.benchmarks.exhibits import report
from channelbench.benchmarks.runner import run
from channelbench.models.networks import fitting, joint
from channelbench.models.networks.training import BUDGETS
from channelbench.registry import find, names, tasks_of
from channelbench.results import read_cells
from channelbench.testing import make_dataset, small_backbone, small_spec

pytest.importorskip("transformers", reason="language models need the extra `llm`")

PICTURES = {
    "llm4wm": "table4.svg",
    "llm4wm-transfer": "transfer.svg",
    "llm4wm-ablation": "ablation.svg",
    "llm4wm-hyper": "hyper.svg",
    "llm4wm-experts": "experts.svg",
    "llm4wm-cost": "cost.svg",
    "llm4wm-multitask": "multitask.svg",
}
SLOW = {"llm4wm", "llm4wm-transfer", "llm4wm-cost", "llm4wm-multitask", "llm4wm-hyper", "llm4wm-ablation"}
CHECKED = [pytest.param(suite, marks=pytest.mark.slow if suite in SLOW else ()) for suite in PICTURES]


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fitting, joint):
        monkeypatch.setattr(module, "budget_of", lambda preset: BUDGETS["smoke"])


def test_every_experiment_is_checked() -> None:
    assert {name for name in names("suites") if name.startswith("llm4wm")} == set(PICTURES)


@pytest.mark.parametrize("suite", CHECKED)
def test_experiment(suite: str, tmp_path: Path) -> None:
    """All its cells are made, and its section has our numbers, a picture and a table."""
    path = tmp_path / "few.zarr"
    make_dataset(path, small_spec(train=20, val=6, test=8))
    out = tmp_path / "out"
    outcome = run(suite, data=path, out=out, conditions=[{}], seeds=1, backbone=small_backbone())
    assert [result.error for result in outcome.failed] == []
    scored = {(result.method, result.task) for result in read_cells(out) if result.status == "ok"}
    plan = find("suites", suite)
    for name in plan.methods:
        tasks = set(tasks_of(find("methods", name))) & set(plan.tasks)
        assert {(name, task) for task in tasks} <= scored
    _, page = report(out)
    picture = out / PICTURES[suite]
    assert "<svg" in picture.read_text()
    assert picture.with_suffix(".csv").exists()
    assert not pd.read_csv(picture.with_suffix(".csv"), comment="#").empty
    assert "<svg" in page.read_text()
    for target in plan.experiment.parameters.get("targets", ()):
        for setting in ("zero-shot", "transfer"):
            cells = list(read_cells(out / target / setting))
            assert {result.status for result in cells} == {"ok"}
