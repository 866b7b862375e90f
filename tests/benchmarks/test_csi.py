"""Channels that are predicted in one stage and precoded for in the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from channelbench import registry
from channelbench.benchmarks.runner import run
from channelbench.card import Card
from channelbench.errors import RequestError
from channelbench.experiment import ExperimentSpec, Plan, Stage
from channelbench.predictions import KEPT, Kept, KeptPredictions
from channelbench.results import read_artefact, read_cells
from channelbench.store.dataset import ChannelDataset
from channelbench.suite import Suite
from channelbench.testing import make_dataset, small_spec

CONDITIONS: Any = ({"slot": "last"}, {"csi": "estimated"}, {"csi": "predicted:hold"}, {"csi": "predicted:zero"})

SUITE = Suite(
    card=Card(name="some-csi", description="Predicted and precoded.", reference="a test", family="suite"),
    tasks=("cp", "pre_sr"),
    methods=("hold", "zero", "mrt", "zf"),
    conditions=CONDITIONS,
    experiment=ExperimentSpec(name="csi", parameters={"predicted": ["cp"], "precoded": ["pre_sr", "pre_mm"]}),
)

HERE = f"{__name__}:SUITE"


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    spec = small_spec(train=20, val=10, test=32, sub6__num_slots=5, sub6__num_subcarriers=6)
    return make_dataset(tmp_path_factory.mktemp("links") / "few.zarr", spec)


@pytest.fixture(scope="module", params=[1, 2])
def folder(links: ChannelDataset, tmp_path_factory: pytest.TempPathFactory, request: Any) -> Path:
    """A run in this process, and one in two others."""
    out = tmp_path_factory.mktemp("run") / "results"
    outcome = run(HERE, data=links.path, out=out, workers=request.param)
    assert not outcome.failed
    assert not outcome.stages["precoding"].failed
    return out


def test_beams_are_designed_for_what_was_predicted(links: ChannelDataset, folder: Path) -> None:
    """By hand: zero forcing of held channels over the last slot's."""
    cells = {(c.method, c.conditions.get("csi", "perfect")): c for c in read_cells(folder / "precoding")}
    task = registry.create("tasks", "pre_sr")
    conditions = task.default_conditions(links.spec).model_copy(update={"csi": "predicted:hold"})
    kept = KeptPredictions(folder, links.split_digest("test")).read(Kept("hold", 10.0), "last_slot")
    assert kept.shape == (32, 6, 8)
    links.lent = KeptPredictions(folder, links.split_digest("test"))
    observation, target = task.observe(links.view("test"), np.arange(4), conditions)
    groups = task.samples(links.view("test"), np.arange(4), conditions)
    np.testing.assert_array_equal(observation.h[:, 0], kept[groups, 3])
    np.testing.assert_array_equal(target.context["h"][:, 0], links.array("h_sub6", "test")[groups, 4, 3])
    beams = np.linalg.pinv(kept[groups, 3].conj().astype(complex)).swapaxes(1, 2)
    beams *= np.sqrt(10 / 8) / np.linalg.norm(beams, axis=2, keepdims=True)
    wanted = task.primary.accumulate(beams[:, None], target).mean()
    assert cells["zf", "predicted:hold"].scores["sum_rate"].value == pytest.approx(wanted, rel=1e-4)
    perfect, estimated = (cells["zf", csi].scores["sum_rate"].value for csi in ("perfect", "estimated"))
    assert perfect > estimated > cells["zf", "predicted:zero"].scores["sum_rate"].value == 0


def test_a_hidden_test_is_predicted_and_precoded_for(links: ChannelDataset, tmp_path: Path) -> None:
    """Both stages are of the secret's split: what the second reads was predicted of it."""
    data = make_dataset("memory://hidden-links.zarr", links.spec).path
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret of both stages")
    done = run(HERE, data=data, out=tmp_path / "r", test_seed_file=secret)
    second = done.stages["precoding"]
    assert not done.failed
    assert not second.failed
    assert second.folder == done.folder / "precoding"
    assert {cell.dataset for cell in (*done.written, *second.written)} == {done.written[0].dataset}
    public = run(HERE, data=data, out=tmp_path / "r")
    name = next(c.name for c in second.written if (c.method, c.conditions.get("csi")) == ("zf", "predicted:hold"))
    ours, theirs = (
        next(c for c in each if c.name == name) for each in (second.written, public.stages["precoding"].written)
    )
    assert ours.scores["sum_rate"].value != theirs.scores["sum_rate"].value
    assert ours.scores["sum_rate"].value > 0


def test_only_the_first_stage_keeps_and_has_its_tasks(folder: Path) -> None:
    first, second = list(read_cells(folder)), list(read_cells(folder / "precoding"))
    assert {cell.task for cell in first} == {"cp"}
    assert {cell.task for cell in second} == {"pre_sr"}
    hold = next(cell for cell in first if cell.method == "hold")
    assert hold.artefacts == (KEPT,)
    assert float(read_artefact(folder, hold, KEPT)["snr_db"]) == 10
    assert not any(cell.artefacts for cell in second)


def test_going_on_makes_nothing_twice(links: ChannelDataset, folder: Path) -> None:
    again = run(HERE, data=links.path, out=folder)
    assert not again.written
    assert not again.stages["precoding"].written


@pytest.mark.parametrize(
    ("suite", "changes", "line"),
    [
        (HERE, {"conditions": [{"csi": "predicted:wiener"}]}, "predictions of wiener at 10 dB"),
        (HERE, {"conditions": [{"csi": "predicted:nobody"}]}, "got 'predictions of hold, zero'"),
        (HERE, {"conditions": [{"csi": "predicted:zf"}]}, "predictions of zf at 10 dB"),
        (HERE, {"tasks": ["pre_sr"], "methods": ["zf"]}, "one at least for each stage"),
        ("classical", {"tasks": ["pre_sr"], "conditions": [{"csi": "predicted:hold"}]}, "got 'predictions of nobody'"),
    ],
)
def test_predictions_that_nobody_makes_are_one_line(
    links: ChannelDataset, tmp_path: Path, suite: str, changes: dict[str, Any], line: str
) -> None:
    with pytest.raises(RequestError) as raised:
        run(suite, data=links.path, out=tmp_path / "results", **changes)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("snr_db", [3.0, 10.0])
def test_predictions_are_made_at_the_snr_that_is_asked_for(
    links: ChannelDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snr_db: float
) -> None:
    """Whatever the predicted task's own, and whatever a preset leaves out: the command of the refusal works."""
    wanted = {"csi": "predicted:wiener", "csi_snr_db": snr_db}
    suite = SUITE.model_copy(update={"once": {"quick": ("wiener",)}, "methods": ("wiener", "zf")})
    monkeypatch.setitem(globals(), "SUITE", suite)
    outcome = run(HERE, data=links.path, out=tmp_path / "results", conditions=[wanted])
    assert not [cell.error for cell in (*outcome.failed, *outcome.stages["precoding"].failed)]
    assert {cell.conditions.get("snr_db", 10.0) for cell in read_cells(tmp_path / "results")} == {snr_db}


def test_predictions_of_another_dataset_are_not_read(folder: Path) -> None:
    with pytest.raises(RequestError, match="predictions of hold"):
        KeptPredictions(folder, "another digest").read(Kept("hold", 10.0), "last_slot")


def test_a_plan_reads_from_an_earlier_stage_that_keeps() -> None:
    with pytest.raises(RequestError, match="predictions of a stage that keeps them"):
        Plan(stages=(Stage(), Stage(folder="second", reads="")))
    with pytest.raises(RequestError, match="an earlier stage"):
        Plan(stages=(Stage(reads="later"), Stage(folder="later", keeps_predictions=True)))
