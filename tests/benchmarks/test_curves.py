"""Training losses by step: heard, kept, gone on with, logged."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from channelbench.benchmarks.curves import MOST, Curve, loss_of
from channelbench.benchmarks.runner import run
from channelbench.card import Card
from channelbench.contracts import FitContext, Method
from channelbench.errors import RequestError
from channelbench.losses import Losses
from channelbench.results import Result, read_cells
from channelbench.tasks.link.observations import LaterSlotsObservation
from channelbench.testing import make_dataset, small_spec

HERE = "channelbench_test_curves"


class Descends(Method):
    """Says a loss of 1/step, and fails once asked to."""

    __module__ = HERE
    card = Card(name="descends", description="Says what it loses.", reference="none", family="small")
    observes = (LaterSlotsObservation,)
    learned = True
    dies_at = 0

    def fit(self, data: Any, context: FitContext) -> None:
        for step in range(1, 6):
            context.progress(step, 5, Losses(1 / step, 3.0))
            if step == self.dies_at:
                raise FloatingPointError("diverged")

    def predict(self, task: str, observation: Any) -> Any:
        return np.repeat(observation.h[:, -1:], len(observation.grid.target_slot_s), axis=1)


class Dies(Descends):
    __module__ = HERE
    card = Descends.card.model_copy(update={"name": "dies"})
    dies_at = 3


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])


@pytest.fixture(scope="module")
def data() -> str:
    spec = small_spec(train=40, sub6__num_subcarriers=8, mmwave__num_subcarriers=2, mmwave__num_beams=8)
    return str(make_dataset("memory://curves/few.zarr", spec).path)


def cells(out: Path) -> dict[str, Result]:
    return {cell.method: cell for cell in read_cells(out)}


@pytest.mark.parametrize(
    ("message", "loss"),
    [
        (Losses(0.25, 0.5), 0.25),
        (Losses(np.float32(0.25)), 0.25),
        (Losses(-3), -3.0),
        (Losses(float("nan"), 0.5), None),
        (Losses(float("inf")), None),
        ("loss 0.25, best validation 0.5", None),
        ("", None),
    ],
)
def test_a_loss_is_a_number_that_is_said_not_words(message: str, loss: float | None) -> None:
    assert loss_of(message) == loss


def test_losses_are_words_for_people_and_the_same_elsewhere() -> None:
    said = Losses(training=0.123456, validation=2e-7)
    assert said == "loss 0.1235, best validation 2e-07"
    there = pickle.loads(pickle.dumps(said))
    assert (type(there), there, vars(there)) == (Losses, said, {"training": 0.123456, "validation": 2e-7})
    assert Losses(1.0) == "loss 1"


def follow(curve: Curve, steps: range, total: int) -> None:
    step = curve.heard(lambda done, total, message: None)
    for done in steps:
        step(done, total, Losses(done))


def test_a_fit_that_goes_on_has_the_curve_of_both_parts(tmp_path: Path) -> None:
    workdir = tmp_path / "fit"
    curve = Curve.of(workdir, goes_on=False)
    follow(curve, range(2, 8), 10)
    curve.keep()
    again = Curve.of(workdir, goes_on=True)
    follow(again, range(5, 11), 10)  # since its last checkpoint, which is not a stage of its own
    follow(again, range(1, 4), 4)  # that is
    assert again.losses == {**{step: step for step in range(2, 11)}, 11: 1, 12: 2, 13: 3}
    again.keep()
    assert Curve.of(workdir, goes_on=True).losses == again.losses
    assert Curve.of(workdir, goes_on=False).losses == {}
    assert Curve.of(workdir, goes_on=True).losses == {}, "it began anew"


def test_a_stage_that_had_not_begun_is_counted_on(tmp_path: Path) -> None:
    curve = Curve.of(tmp_path / "fit", goes_on=False)
    follow(curve, range(1, 5), 4)
    curve.keep()
    again = Curve.of(tmp_path / "fit", goes_on=True)
    follow(again, range(1, 3), 4)
    assert list(again.losses) == [1, 2, 3, 4, 5, 6]


def test_a_curve_stays_small_and_a_damaged_one_costs_nothing(tmp_path: Path) -> None:
    curve = Curve()
    follow(curve, range(1, 3 * MOST), 3 * MOST)
    assert MOST / 2 <= len(curve.losses) <= MOST
    assert max(curve.losses) == 3 * MOST - 1
    for text in ("", "[]", '{"losses": {"a": 1}}'):
        (tmp_path / "fit.losses.json").write_text(text)
        assert Curve.of(tmp_path / "fit", goes_on=True).losses == {}


def test_curves_are_in_cells_and_so_is_where_a_method_failed(data: str, tmp_path: Path) -> None:
    methods = [Descends, Dies, "mlp"]
    run(data=data, methods=methods, tasks=["cp", "pe"], seeds=1, conditions=[{}], out=tmp_path / "results")
    there = cells(tmp_path / "results")
    said = {step: 1 / step for step in range(1, 6)}
    assert there["descends"].training is not None
    assert there["descends"].training.losses == said
    dead = there["dies"]
    assert (dead.status, dead.error) == ("failed", "FloatingPointError: diverged")
    assert dead.traceback.startswith("Traceback (most recent call last)")
    assert 'raise FloatingPointError("diverged")' in dead.traceback
    assert Path(__file__).name in dead.traceback
    assert dead.training is not None
    assert dead.training.losses == {step: said[step] for step in (1, 2, 3)}
    learned = there["mlp"].training
    assert learned is not None
    assert {40, 80, 120} <= learned.losses.keys()
    assert len(learned.losses) >= 50
    assert learned.losses[120] < learned.losses[2]
    assert there["mlp"].traceback == there["mean"].traceback == ""
    # Scored under another condition by the same fit, it has the same curve.
    (tmp_path / "results" / "cells" / f"{there['mlp'].name}.json").unlink()
    run(data=data, methods=["mlp"], tasks=["pe"], seeds=1, conditions=[{}], out=tmp_path / "results")
    again = cells(tmp_path / "results")["mlp"].training
    assert again is not None
    assert again.losses == learned.losses
    assert again.samples is None, "it was only loaded"


def test_tensorboard_has_the_curves_and_the_scores(data: str, tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    options: dict[str, Any] = {"methods": [Descends], "tasks": ["cp"], "seeds": 1, "conditions": [{}]}
    run(data=data, out=tmp_path / "results", log="tensorboard", **options)
    cell = cells(tmp_path / "results")["descends"]
    (folder,) = (tmp_path / "results" / "logs").glob("descends*")
    found = accumulators.EventAccumulator(str(folder))
    found.Reload()
    training = {event.step: event.value for event in found.Scalars("loss/training")}
    assert cell.training is not None
    assert training == pytest.approx(dict(cell.training.losses))
    (score,) = found.Scalars("nmse/cp default")
    assert score.value == pytest.approx(cell.scores["nmse"].value)


def test_trackio_has_a_run_for_each_fit(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which calls it gets: the package itself would start a server."""
    heard: list[Any] = []
    fake = SimpleNamespace(
        __spec__=SimpleNamespace(),
        init=lambda **about: heard.append(about),
        log=lambda values, step: heard.append((step, values)),
        finish=lambda: heard.append("finish"),
    )
    monkeypatch.setitem(sys.modules, "trackio", fake)  # type: ignore[arg-type]
    options: dict[str, Any] = {"methods": [Descends], "tasks": ["cp"], "seeds": 2, "conditions": [{}]}
    run(data=data, out=tmp_path / "results", log="trackio", **options)
    begun = [about for about in heard if isinstance(about, dict)]
    assert [about["project"] for about in begun] == ["results"] * 2
    assert [about["name"][-1] for about in begun] == ["0", "1"]
    assert heard.count("finish") == 2
    assert (5, {"loss/training": 0.2}) in heard


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("wandb", "--log: expected a known log, got 'wandb'; choices: tensorboard, trackio"),
        ("trackio", "--log: expected a log whose package is installed, got 'trackio, which is not installed: pip i"),
    ],
)
def test_a_log_that_cannot_be_had_is_one_line(
    data: str, tmp_path: Path, name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RequestError) as error:
        run(data=data, methods=[Descends], tasks=["cp"], out=tmp_path / "results", log=name)
    assert str(error.value).startswith(says)
    assert not (tmp_path / "results").exists()
