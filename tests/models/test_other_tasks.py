"""Tasks that no model has heard of: every learned method learns what it sees, whatever the problem is called."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench import registry
from channelbench.card import Card
from channelbench.contracts import FitContext, FitData, Method, Task, TaskSplit
from channelbench.errors import RequestError
from channelbench.metrics.scalar import RMSEindB
from channelbench.models.networks.sensing import ScalarFrame
from channelbench.spec import BandSpec
from channelbench.store.dataset import SplitView
from channelbench.tasks.link.beam import BeamPrediction
from channelbench.tasks.link.channel import ChannelTask, Cut
from channelbench.tasks.link.conditions import LinkConditions
from channelbench.tasks.link.observations import SameSlotsObservation
from channelbench.tasks.link.scalar import ScalarTask
from channelbench.tasks.multiuser.observations import DetectionObservation
from channelbench.testing import MethodTests, TaskTests, conformance_dataset, small_backbone


class CombFill(ChannelTask):
    """Every other subcarrier, from those between."""

    card = Card(
        name="comb_fill",
        description="The odd subcarriers of the first slots from the even ones.",
        reference="this test",
        family="task",
    )
    observation = SameSlotsObservation
    conditions = LinkConditions

    def cut(self, band: BandSpec, conditions: LinkConditions) -> Cut:
        slots = slice(0, 6)
        return Cut(
            slots=slots,
            seen_slots=slots,
            wanted_slots=slots,
            seen_subcarriers=np.arange(0, band.num_subcarriers, 2),
            wanted_subcarriers=np.arange(1, band.num_subcarriers, 2),
        )


class DelaySpread(ScalarTask):
    """RMS delay spread in ns, judged by squares."""

    card = Card(
        name="delay_spread",
        description="RMS delay spread in nanoseconds from one slot of the received channel.",
        reference="this test",
        family="task",
    )
    metrics = (RMSEindB(),)
    loss = "squared"

    def values(self, view: SplitView) -> NDArray[np.float32]:
        return (1e9 * view.array("delay_spread_s_sub6")).astype(np.float32)


class DelaySpreadAbsolute(DelaySpread):
    """The same, judged by absolute errors."""

    card = Card(**{**DelaySpread.card.model_dump(), "name": "delay_spread_absolute"})
    loss = "absolute"


class DelaySpreadHuber(DelaySpread):
    """The same, judged as no network here knows."""

    card = Card(**{**DelaySpread.card.model_dump(), "name": "delay_spread_huber"})
    loss = "huber"


class CombFillAbsolute(CombFill):
    """Channels judged as no network here knows."""

    card = Card(**{**CombFill.card.model_dump(), "name": "comb_fill_absolute"})
    loss = "absolute"


class BeamsByGain(BeamPrediction):
    """Beams judged as no network here knows."""

    card = Card(**{**BeamPrediction.card.model_dump(), "name": "beams_by_gain"})
    loss = "gain"


OTHER: tuple[type[Task], ...] = (CombFill, DelaySpread, DelaySpreadAbsolute)

for _task in OTHER:
    globals()[f"Test{_task.__name__}"] = type(f"Test{_task.__name__}", (TaskTests,), {"task": _task})


# --- methods ----------------------------------------------------------------------------------------------------------


class _OnSmallBackbone:
    """A language model that takes no time."""

    def fit(self, data: FitData, context: FitContext) -> None:
        super().fit(data, replace(context, backbone=small_backbone()))  # type: ignore[misc]


@cache
def quick_to_fit(name: str) -> type[Method]:
    method = registry.find("methods", name)
    return type(f"Small{method.__name__}", (_OnSmallBackbone, method), {}) if method.card.extra == "llm" else method


LEARNED = [name for name in registry.names("methods") if registry.find("methods", name).learned]
PARAMETERS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            registry.find("methods", name).card.extra == "llm" and find_spec("transformers") is None,
            reason="language models need the extra `llm`",
        ),
    )
    for name in LEARNED
]


def covered(name: str, tasks: tuple[type[Task], ...]) -> tuple[type[Task], ...]:
    method = registry.find("methods", name)
    return tuple(task for task in tasks if method.covers(task))


def test_learned_methods_cover_tasks_that_they_have_not_heard_of() -> None:
    """By what is seen: nobody registered anything."""
    channels, scalars = ("cnn", "lstm", "rnn", "gru", "transformer"), ("mlp", "wit")
    groups = ("cnn_precoder", "dnn_detector", "detnet", "oamp_net", "phy_llm", "phy_llm(s)")
    both = ("cross_stitch", "cross_stitch(s)", "llm4cp", "llm4wm", "llm4wm(s)", "start")
    assert {name: covered(name, OTHER) for name in LEARNED} == {
        **dict.fromkeys(channels, (CombFill,)),
        **dict.fromkeys(scalars, (DelaySpread, DelaySpreadAbsolute)),
        **dict.fromkeys(both, OTHER),
        **dict.fromkeys(groups, ()),
    }


class OtherTasksTests(MethodTests):
    """All that a method owes the runner, on tasks that are not registered; joint methods are fitted to all at once."""

    preset = "smoke"

    def test_network_is_trained_for_the_tasks_loss(self) -> None:
        for task, observation, _, _ in self.observations():
            assert observation.loss == task.loss  # type: ignore[attr-defined]
            fitted = cast(Any, self.fitted)._of(task.card.name)
            frames = [part for part in fitted.module.modules() if isinstance(part, ScalarFrame)]
            objectives = {frame.objective for frame in self._own(task, fitted.module, frames)}
            assert objectives == ({task.loss} if isinstance(task, ScalarTask) else set())
            trainable = any(parameter.requires_grad for parameter in fitted.module.parameters())
            assert (fitted.outcome.trained_steps > 0) == trainable
            assert np.isfinite(fitted.outcome.best_score)

    def test_predictions_follow_the_observation(self) -> None:
        """No two cases have the same answer."""
        for task, observation, _, _ in self.observations():
            answers = self.fitted.predict(task.card.name, observation).reshape(len(observation), -1)
            assert len(np.unique(answers, axis=0)) == len(observation)

    @staticmethod
    def _own(task: Task, module: Any, frames: list[ScalarFrame]) -> list[ScalarFrame]:
        """A network that tasks share has a frame for each."""
        if not hasattr(module, "network"):
            return frames
        return [frame for frame in frames if frame is module.network.frame(task.card.name)]


def _tests(name: str) -> type[MethodTests]:
    tasks = tuple(f"{__name__}:{task.__name__}" for task in covered(name, OTHER))
    return type("Tests", (OtherTasksTests,), {"method": quick_to_fit(name), "tasks": tasks})


CHECKS = sorted(check for check in dir(OtherTasksTests) if check.startswith("test_"))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", PARAMETERS)
def test_method_keeps_its_promises_on_other_tasks(name: str, check: str) -> None:
    getattr(_tests(name)(), check)()


REFUSED: dict[type[Task], str] = {
    DelaySpreadHuber: "loss: expected a loss of numbers, got 'huber'; choices: absolute, squared",
    CombFillAbsolute: "loss: expected a loss of channels, got 'absolute'; choices: nmse",
    BeamsByGain: "loss: expected a loss of beams, got 'gain'; choices: cross_entropy",
}


@pytest.mark.parametrize(
    ("name", "task"),
    [
        pytest.param(*known.values, task, marks=known.marks)
        for known in PARAMETERS
        for task in covered(cast(str, known.values[0]), tuple(REFUSED))
    ],
)
def test_a_loss_that_networks_do_not_know_is_refused(name: str, task: type[Task]) -> None:
    """Rather than another one being minimised in its place."""
    with pytest.raises(RequestError, match=REFUSED[task]):
        quick_to_fit(name)().fit({task.card.name: _splits(task())}, FitContext(preset="smoke"))


def _splits(task: Task) -> tuple[TaskSplit, TaskSplit]:
    return TaskSplit(task, conformance_dataset().view("train")), TaskSplit(task, conformance_dataset().view("val"))


# --- names ------------------------------------------------------------------------------------------------------------

SIX = ("ce", "cp", "pf", "bf", "de", "pe")


@pytest.mark.parametrize("name", PARAMETERS)
def test_what_tasks_are_called_changes_no_bit(name: str) -> None:
    """One known task's data under the name of another, whose own go by a new name: the same predictions."""
    known = registry.tasks_of(registry.find("methods", name))
    first, last = known[0], known[-1]
    pairs = [_splits(registry.create("tasks", task)) for task in (first, last)]
    observations = [pair[1].observe(np.arange(5))[0] for pair in pairs]

    def predictions(*called: str) -> list[NDArray[Any]]:
        method, data = quick_to_fit(name)(), dict(zip(called, pairs, strict=True))
        for group in [data] if method.joint else [{task: pair} for task, pair in data.items()]:
            method.fit(group, FitContext(preset="smoke"))
        return [method.predict(task, observation) for task, observation in zip(called, observations, strict=True)]

    for one, two in zip(predictions(first, last), predictions(last, "renamed"), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", [p for p in PARAMETERS if registry.find("methods", cast(str, p.values[0])).joint])
def test_tasks_may_be_called_what_modules_are_not(name: str) -> None:
    """With a dot in it, or as an attribute of a module: all go into one network, and none into another's place."""
    tasks = registry.tasks_of(registry.find("methods", name))
    pairs = {called: _splits(registry.create("tasks", task)) for called, task in zip(UNLIKELY, tasks, strict=False)}
    method = quick_to_fit(name)()
    method.fit(pairs, FitContext(preset="smoke"))
    for called, (_, validation) in pairs.items():
        observation, target = validation.observe(np.arange(3))
        assert len(validation.task.check(method.predict(called, observation), observation, target)) == 3


UNLIKELY = ("type", "type.", "train", "training", "half.wave")


def test_every_method_has_a_name_to_confuse() -> None:
    """The test above compares two different tasks of each method; there is only one of detection."""
    for name in LEARNED:
        method = registry.find("methods", name)
        assert len(registry.tasks_of(method)) >= (1 if method.observes == (DetectionObservation,) else 2)


def _names_in(source: str) -> Iterator[tuple[int, str]]:
    """Literals that are a task's name, or several ("ce cp"), wherever they stand: compared, matched, looked up."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = re.findall(r"\w+", node.value)
            if words and set(words) <= set(SIX):
                yield node.lineno, node.value


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('x = task == "ce"', 1),
        ('x = task in ("de", "pe")', 2),
        ('x = task in {"cp": 1}', 1),
        ('match task:\n    case "pf" | "bf":\n        pass', 2),
        ('x = {"bf": 1, **y}[task]', 1),
        ('x = task in "ce cp pf".split()', 1),
        ('x = f"{task}/ce"', 1),
        ('"""CE, CP and PF."""\nx = y == "cell"', 0),
    ],
)
def test_literals_are_found(source: str, found: int) -> None:
    assert len(list(_names_in(source))) == found


def test_nothing_in_models_and_benchmarks_goes_by_a_tasks_name() -> None:
    """But for the published tables and pictures, what suites list, and what is timed."""
    root = Path(__file__).parents[2]
    spared = (
        root / "benchmarks/exhibits",
        root / "benchmarks/perf",
        root / "benchmarks/suites.py",
        root / "benchmarks/suites_phy.py",
    )
    files = [
        path
        for folder in ("models", "benchmarks")
        for path in sorted((root / folder).rglob("*.py"))
        if not any(path == one or one in path.parents for one in spared)
    ]
    assert len([path for path in files if "networks" in path.parts]) > 10
    assert root / "benchmarks/runner.py" in files
    found = [
        f"{path.relative_to(root)}:{line}: {text!r}" for path in files for line, text in _names_in(path.read_text())
    ]
    assert not found
