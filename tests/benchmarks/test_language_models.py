"""What a run does about methods on language models: the backbone, the controls, the weights, and joint fits."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from channelbench.benchmarks.request import with_controls
from channelbench.benchmarks.runner import run
from channelbench.card import Card
from channelbench.contracts import FitContext, Method
from channelbench.errors import RequestError
from channelbench.results import RunManifest, read_cells
from channelbench.tasks.link.observations import (
    BeamObservation,
    ChannelObservation,
    LaterSlotsObservation,
    SameSlotsObservation,
)
from channelbench.testing import make_dataset, small_spec

HERE = "channelbench_test_language"


class Talks(Method):
    """Holds the last slot, and says what it would have been built on."""

    card = Card(name="talks", description="No language model.", reference="none", family="llm")
    observes = (ChannelObservation,)
    learned = True
    variants = ("none", "random", "rankN")
    asked: list[FitContext] = []  # noqa: RUF012
    fitted_on: list[tuple[str, ...]] = []  # noqa: RUF012

    @classmethod
    def variant(cls, options):
        unknown = [option for option in options if option not in ("none", "random", "rank2")]
        if unknown:
            raise RequestError("method", expected="an option of talks", got=unknown[0], choices=cls.variants)
        name = "+".join((cls.card.name, *options))
        return type(name, (cls,), {"card": cls.card.model_copy(update={"name": name}), "variants": ()})

    @classmethod
    def check(cls, context: FitContext) -> None:
        cls.asked.append(context)
        if context.backbone == "lost" and not cls.card.name.endswith("+none"):
            raise RequestError("--backbone", expected="weights that are here", got=context.backbone)

    @property
    def weights(self) -> str:
        return self._weights

    def fit(self, data, context):
        self._weights = f"{context.backbone} for {self.card.name}"
        self.fitted_on.append(tuple(data))

    def predict(self, task, observation):
        if task == "ce":
            raise ArithmeticError("not today")
        return np.repeat(observation.h[:, -1:], len(observation.grid.target_slot_s), axis=1)


class Together(Talks):
    card = Talks.card.model_copy(update={"name": "together", "family": "multi-task"})
    observes = (LaterSlotsObservation, SameSlotsObservation, BeamObservation)
    joint = True

    def predict(self, task, observation):
        grid = observation.grid
        if task == "bf":
            return np.zeros((len(observation), grid.num_beams), np.float32)
        shape = (len(observation), len(grid.target_slot_s), len(grid.target_subcarrier_hz), observation.h.shape[-1])
        return np.zeros(shape, np.complex64)


class Diverges(Talks):
    """Trains a real parameter on the project's own path; the loss is no number from step 3 on."""

    card = Talks.card.model_copy(update={"name": "diverges", "family": "small"})
    observes = (LaterSlotsObservation,)
    variants = ()

    @classmethod
    def check(cls, context):
        return None

    def fit(self, data, context):
        import itertools

        import torch

        from channelbench.models.networks.training import Plan, train

        plan = Plan(
            steps=5,
            batches=itertools.count,
            loss=lambda module, step: module.weight.sum() * (float("nan") if step == 3 else 1.0),
            validate=lambda module: 1.0,
            learning_rate=lambda step: 1e-3,
            validate_every=5,
        )
        train(torch.nn.Linear(1, 1), plan, seed=context.seed, identity={}, context=context)


@pytest.fixture(autouse=True)
def methods_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])
    monkeypatch.setattr(Talks, "asked", [])
    monkeypatch.setattr(Talks, "fitted_on", [])


@pytest.fixture
def ask(data: Path, tmp_path: Path):
    """A run of some methods on CP, into one folder."""

    def call(*methods: str, tasks: tuple[str, ...] = ("cp",), **arguments):
        names = [f"{HERE}:{name}" if name[0].isupper() else name for name in methods]
        return run(
            "full",
            data=data,
            out=tmp_path / "results",
            methods=names,
            tasks=tasks,
            conditions=[{}],
            **arguments,
        )

    return call


def manifest(folder: Path) -> RunManifest:
    return RunManifest(**json.loads((folder / "results" / "run.json").read_text()))


def test_weights_and_backbone_are_recorded(ask, tmp_path: Path) -> None:
    outcome = ask("Talks", "Talks+random", backbone="some/where", tasks=("ce", "cp"))
    found = {(r.method, r.task): r.weights for r in read_cells(tmp_path / "results")}
    assert found["talks", "cp"] == "some/where for talks"
    assert found["talks+random", "cp"] == "some/where for talks+random"
    assert found["hold", "cp"] == found["ceiling", "cp"] == ""
    assert {r.task: r.weights for r in outcome.failed if r.method == "talks"} == {"ce": "some/where for talks"}
    assert manifest(tmp_path).backbone == "some/where"


def test_backbone_is_recorded_only_where_one_is_used(ask, tmp_path: Path) -> None:
    ask("hold", backbone="first")
    assert manifest(tmp_path).backbone == ""
    ask("Talks", backbone="second")
    assert manifest(tmp_path).backbone == "second"
    ask("hold", backbone="third")
    assert manifest(tmp_path).backbone == "second", "a run without a language model says nothing about it"
    before = (tmp_path / "results" / "run.json").read_bytes()
    with pytest.raises(RequestError, match="differs in backbone: second → third"):
        ask("Talks", backbone="third")
    assert (tmp_path / "results" / "run.json").read_bytes() == before


def test_missing_backbone_is_said_before_anything_is_written(ask, tmp_path: Path) -> None:
    def dataset():
        raise AssertionError("no dataset is made for a request that cannot be carried out")

    with pytest.raises(RequestError, match="--backbone: expected weights that are here, got 'lost'"):
        run("full", data=dataset, out=tmp_path / "results", methods=["hold", f"{HERE}:Talks"], backbone="lost")
    assert not (tmp_path / "results").exists()
    assert {(c.backbone, c.preset, c.device) for c in Talks.asked} == {("lost", "quick", Talks.asked[0].device)}
    ask("Talks+none", backbone="lost")
    Talks.asked.clear()
    ask("hold", backbone="lost")
    assert not Talks.asked, "only chosen methods are checked"


def test_controls_follow_their_method(ask, tmp_path: Path) -> None:
    assert list(with_controls([f"{HERE}:Talks", "hold", f"{HERE}:Talks+rank2"])) == [
        *(f"{HERE}:Talks{option}" for option in ("", "+random", "+none")),
        *("hold", f"{HERE}:Talks+rank2"),
    ], "no scratch, which it has not, and no controls of what is itself a variant"
    assert list(with_controls([f"{HERE}:Together"])) == [f"{HERE}:Together"], "no language model"
    ask("Talks", "Talks+random", "hold", controls=True)
    methods = {r.method for r in read_cells(tmp_path / "results")}
    assert methods == {"talks", "talks+random", "talks+none", "hold", "zero", "ceiling"}
    assert "talks+none" in manifest(tmp_path).methods


def test_a_path_with_options_cannot_take_a_registered_name(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Talks, "card", Talks.card.model_copy(update={"name": "bi"}))
    for name in ("Talks", "Talks+random"):
        with pytest.raises(RequestError, match="a name that is not taken"):
            ask(name)


def test_joint_methods_are_fitted_to_those_of_their_tasks_that_are_asked_for(ask, tmp_path: Path) -> None:
    assert not ask("Together", tasks=("ce", "bf")).failed
    assert Talks.fitted_on == [("ce", "bf")]
    assert {r.task for r in read_cells(tmp_path / "results") if r.method == "together"} == {"ce", "bf"}
    with pytest.raises(RequestError, match=r"a method of the tasks de, got '.*Together'; choices: cp, ce, pf, bf"):
        ask("Together", tasks=("de",))


def test_joint_fits_of_other_tasks_are_another_folder(ask, tmp_path: Path) -> None:
    """A score of a fit to two tasks must not stand beside one of a fit to three."""
    ask("Together", tasks=("ce", "bf"))
    assert manifest(tmp_path).joint_tasks == {"together": ("ce", "bf")}
    ask("hold", tasks=("cp",))
    again = ask("Together", tasks=("bf", "ce"))
    assert not [r for r in again.written if r.method == "together"], "the order of tasks is no difference"
    for tasks in (("ce",), ("ce", "cp", "bf")):
        with pytest.raises(RequestError, match="tasks of together: ce bf → "):
            ask("Together", tasks=tasks)
    assert len(Talks.fitted_on) == 1


def test_explicit_method_without_a_task_of_the_dataset_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mu.zarr"
    make_dataset(path, small_spec(train=15, val=5, test=5, system="multiuser", sub6__num_subcarriers=4))
    with pytest.raises(RequestError, match=r"--methods: .*got 'codebook'; choices: bf"):
        run("full", data=path, out=tmp_path / "results", methods=["codebook"])
    assert not (tmp_path / "results").exists()


def test_diverged_training_fails_its_cells_and_names_the_step(ask) -> None:
    outcome = ask("Diverges", "hold")
    assert [(r.method, r.error) for r in outcome.failed] == [
        ("diverges", "TrainingDiverged: training diverged: the training loss is nan at step 3")
    ]
    assert outcome.failed[0].weights == ""
    assert {r.method for r in outcome.written if r.status == "ok"} == {"hold", "zero", "ceiling"}
