"""Every task keeps its promises, and what contestants are given leads neither to the test split nor to the seed."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench import registry
from channelbench.card import Card
from channelbench.contracts import FitContext, FitData, Genie, Method, Observation, Target, TaskSplit
from channelbench.spec import ScenarioSpec
from channelbench.store.dataset import ChannelDataset, SplitView
from channelbench.tasks.link.channel import ChannelEstimation
from channelbench.tasks.link.conditions import CombConditions
from channelbench.tasks.link.observations import SameSlotsObservation
from channelbench.tasks.multiuser.precoding import SumRatePrecoding
from channelbench.testing import TaskTests, conformance, conformance_dataset

ALL = ["ce", "cp", "pf", "bf", "de", "pe"]

for _name in registry.names("tasks"):
    _task = registry.find("tasks", _name)
    globals()[f"Test{_task.__name__}"] = type(f"Test{_task.__name__}", (TaskTests,), {"task": _task})


class TestSumRatePrecoding(TaskTests):
    """Its ceiling is no prediction."""

    task = SumRatePrecoding

    def answer(self, observation: Observation, target: Target) -> Any:
        return np.zeros_like(target.context["h"])


def test_all_are_here() -> None:
    assert set(registry.names("tasks")) == {*ALL, "pre_sr", "pre_mm", "det"}


# --- tasks that cheat are caught --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Marked(SameSlotsObservation):
    """An observation with something beside what is seen."""

    extra: Any = None


class Leaky(ChannelEstimation):
    """Channel estimation whose observations say too much."""

    observation = Marked

    def observe(
        self, view: SplitView, cases: NDArray[np.int64], conditions: CombConditions, *, epoch: int | None = None
    ) -> tuple[Marked, Target]:
        seen, target = super().observe(view, cases, conditions, epoch=epoch)
        return Marked(**{**vars(seen), "extra": self.leak(view, cases)}), target

    def leak(self, view: SplitView, cases: NDArray[np.int64]) -> Any:
        return None


class LeaksSpec(Leaky):
    def leak(self, view: SplitView, cases: NDArray[np.int64]) -> Any:
        return [view.spec]


class LeaksSeed(Leaky):
    def leak(self, view: SplitView, cases: NDArray[np.int64]) -> Any:
        return types.SimpleNamespace(seed=view.seed)


class LeaksIndices(Leaky):
    def leak(self, view: SplitView, cases: NDArray[np.int64]) -> Any:
        return {"which": cases.copy()}


class LeaksIndicesByName(Leaky):
    def leak(self, view: SplitView, cases: NDArray[np.int64]) -> Any:
        return types.SimpleNamespace(indices=cases + 7)


class LeaksView(Leaky):
    def leak(self, view: SplitView, cases: NDArray[np.int64]) -> Any:
        return (view,)


class LeaksDataset(Leaky):
    def leak(self, view: SplitView, cases: NDArray[np.int64]) -> Any:
        return view._dataset


class LeaksGenie(Leaky):
    def leak(self, view: SplitView, cases: NDArray[np.int64]) -> Any:
        return self.genie(view, cases, None)


def conformance_of(kind: type[ChannelEstimation], **attributes: Any) -> TaskTests:
    return type("Tests", (TaskTests,), {"task": kind, **attributes})()


def test_an_observation_with_nothing_beside_passes() -> None:
    conformance_of(Leaky).test_an_observation_identifies_nothing()


@pytest.mark.parametrize(
    "kind", [LeaksSpec, LeaksSeed, LeaksIndices, LeaksIndicesByName, LeaksView, LeaksDataset, LeaksGenie]
)
def test_an_observation_that_identifies_its_cases_is_caught(kind: type[Leaky]) -> None:
    with pytest.raises(AssertionError):
        conformance_of(kind).test_an_observation_identifies_nothing()


class SameNoise(ChannelEstimation):
    """A training that sees the same noise in every epoch."""

    def observe(self, view: SplitView, cases: NDArray[np.int64], conditions: Any, *, epoch: int | None = None) -> Any:
        return super().observe(view, cases, conditions, epoch=None if epoch is None else 0)


def test_training_noise_that_is_never_new_is_caught() -> None:
    tests = conformance_of(SameNoise)
    with pytest.raises(AssertionError, match="noisy"):
        tests.test_training_draws_are_new_each_epoch_and_repeat()


def test_a_task_said_to_be_without_noise_is_held_to_it() -> None:
    conformance_of(SameNoise, noisy=False).test_training_draws_are_new_each_epoch_and_repeat()
    with pytest.raises(AssertionError, match="noisy"):
        conformance_of(ChannelEstimation, noisy=False).test_training_draws_are_new_each_epoch_and_repeat()


class HandsOutWhatItKeeps(ChannelEstimation):
    """Computed once and given to everybody: a part of the kept array is no copy of it."""

    def observe(self, view: SplitView, cases: NDArray[np.int64], conditions: Any, *, epoch: int | None = None) -> Any:
        observation, target = super().observe(view, cases, conditions, epoch=epoch)
        kept = view.memo("kept by a test", lambda: np.ones((view.size, 3)))
        return observation, replace(target, context={**target.context, "kept": kept[: len(cases)]})


def test_a_task_that_hands_out_what_it_keeps_is_caught() -> None:
    with pytest.raises(AssertionError):
        conformance_of(HandsOutWhatItKeeps).test_writing_into_what_is_handed_out_changes_nobody_elses()


class ShowsTheAnswersMemory(ChannelEstimation):
    def observe(self, view: SplitView, cases: NDArray[np.int64], conditions: Any, *, epoch: int | None = None) -> Any:
        observation, target = super().observe(view, cases, conditions, epoch=epoch)
        return observation, replace(target, context={**target.context, "seen": observation.h[:, :1]})


def test_a_task_whose_answers_lie_in_what_it_shows_is_caught() -> None:
    with pytest.raises(AssertionError):
        conformance_of(ShowsTheAnswersMemory).test_what_is_seen_is_no_window_on_what_is_wanted()


class HoldsDataset(TaskSplit):
    """As splits were: with a handle."""

    __slots__ = ("dataset",)

    def __init__(self, task: Any, view: SplitView, *others: Any, **options: Any) -> None:
        super().__init__(task, view, *others, **options)
        self.dataset = view._dataset


class HoldsView(TaskSplit):
    """It has a ``__dict__``, and a view in a list there."""

    def __init__(self, task: Any, view: SplitView, *others: Any, **options: Any) -> None:
        super().__init__(task, view, *others, **options)
        self.views = [view]


class HoldsSpec(TaskSplit):
    __slots__ = ("about",)

    def __init__(self, task: Any, view: SplitView, *others: Any, **options: Any) -> None:
        super().__init__(task, view, *others, **options)
        self.about = {"of": view.spec}


class Remembers(ChannelEstimation):
    """A task that keeps the spec which it was asked about, where a method finds it."""

    def size(self, spec: ScenarioSpec, split: str, conditions: Any) -> int:
        self.spec = spec
        return super().size(spec, split, conditions)


@pytest.mark.parametrize("kind", [HoldsDataset, HoldsView, HoldsSpec])
def test_a_split_that_holds_the_dataset_is_caught(monkeypatch: pytest.MonkeyPatch, kind: type[TaskSplit]) -> None:
    tests = conformance_of(ChannelEstimation)
    tests.test_a_split_reaches_no_other()
    monkeypatch.setattr(conformance, "TaskSplit", kind)
    with pytest.raises(AssertionError):
        tests.test_a_split_reaches_no_other()


def test_a_task_that_keeps_the_spec_is_caught() -> None:
    with pytest.raises(AssertionError, match="a ScenarioSpec"):
        conformance_of(Remembers).test_a_split_reaches_no_other()


# --- methods that look around find nothing ----------------------------------------------------------------------------


def walk(thing: Any) -> Iterator[Any]:
    """Whatever attributes, slots, properties and containers of an object lead to, and what arrays are views of.

    Unlike the conformance test it knows no depth and reads properties too; classes, modules and the code of functions
    are where it stops.
    """
    seen: dict[int, Any] = {}
    stack = [thing]
    while stack:
        item = stack.pop()
        if id(item) in seen or isinstance(item, (type, types.ModuleType, types.BuiltinFunctionType, str, bytes)):
            continue
        seen[id(item)] = item
        yield item
        if isinstance(item, np.ndarray):
            stack.append(item.base)
            continue
        if isinstance(item, (int, float, complex, np.generic, type(None), types.FunctionType, types.MethodType)):
            continue
        if isinstance(item, Mapping):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple, set, frozenset)):
            stack += item
        for name in dir(item):
            if not name.startswith("__"):
                try:
                    stack.append(getattr(item, name))
                except Exception:  # some properties of pydantic's raise
                    continue


SEED = 20_260_117


@pytest.fixture(scope="module")
def told_apart(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    """A dataset whose seed cannot be mistaken for another number."""
    folder = tmp_path_factory.mktemp("told-apart") / "few.zarr"
    return conformance.make_dataset(folder, conformance_dataset().spec, seed=SEED)


class Curious(Method):
    """Looks at all it is given."""

    card = Card(name="curious", description="Looks at all it is given.", reference="none", family="classical")
    observes = (Observation,)
    found: ClassVar[list[Any]] = []

    def fit(self, data: FitData, context: FitContext) -> None:
        for train, val in data.values():
            for split in (train, val):
                self.found += walk(split)
                self.found += walk((split.task, split.conditions, split.loss, len(split)))
                for epoch in (0, 3):
                    self.found += walk(split.observe(epoch=epoch))
                    self.found += walk(split._draw(np.arange(len(split)), epoch))
        self.found += walk(context)

    def predict(self, task: str, observation: Any) -> NDArray[Any]:
        self.found += walk(observation)
        return np.zeros((len(observation), *observation.answer_shape))


@pytest.mark.parametrize("name", ALL)
def test_a_method_that_looks_around_finds_neither_test_split_nor_seed(told_apart: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    train, val = (TaskSplit(task, told_apart.view(split)) for split in ("train", "val"))
    cases = np.arange(4, 11)
    observation, target = task.observe(told_apart.view("test"), cases, task.conditions())
    method = Curious()
    method.found.clear()
    method.fit({name: (train, val)}, FitContext(data=told_apart.key))
    fitting = len(method.found)
    task.check(method.predict(name, observation), observation, target)

    assert any(isinstance(thing, np.ndarray) and thing.ndim == 4 for thing in method.found[:fitting])
    secrets = {array: told_apart.array(array, "test").tobytes() for array in ("h_sub6", "h_mmwave", "distance_m")}
    for thing in method.found:
        assert not isinstance(thing, (ChannelDataset, SplitView, ScenarioSpec, Genie)), type(thing).__name__
        assert not (isinstance(thing, (int, np.integer)) and thing == SEED)
        if isinstance(thing, np.ndarray) and thing.dtype != object:
            data = thing.tobytes()
            assert all(secret not in data for secret in secrets.values())
            assert not np.array_equal(thing, cases)
            assert not np.array_equal(thing, told_apart.array("drop", "test")[cases])
    # What is predicted from are copies of what is seen: no view of noise or channels of other slots and subcarriers.
    clean = {told_apart.array(array, "test")[case].tobytes() for array in ("h_sub6", "h_mmwave") for case in cases}
    for thing in method.found[fitting:]:
        if isinstance(thing, np.ndarray) and np.iscomplexobj(thing):
            assert thing.size == observation.h.size
            assert not any(row.tobytes() in clean for row in thing.reshape(len(thing), -1))
        assert not isinstance(thing, Target)


@pytest.mark.parametrize("name", ALL)
def test_what_a_split_draws_is_its_own(told_apart: ChannelDataset, name: str) -> None:
    """Whatever ``_draw`` is asked for: its view is that of one split."""
    task = registry.create("tasks", name)
    split = TaskSplit(task, told_apart.view("train"))
    for epoch in (None, 0, 10**9):
        _, target = split._draw(np.arange(len(split)), epoch)
        _, own = task.observe(told_apart.view("train"), np.arange(60), task.conditions(), epoch=epoch)
        np.testing.assert_array_equal(target.value, own.value)
    for cases in ([60], [-1], [0, 89]):
        with pytest.raises(IndexError):
            split.observe(cases)
    with pytest.raises(IndexError):
        split._draw(np.array([60]), 0)  # the next sample of the dataset is one of the validation split


@pytest.mark.parametrize("attribute", ["dataset", "view", "spec", "seed", "split", "_dataset", "_view", "__dict__"])
@pytest.mark.parametrize("name", ALL)
def test_a_split_has_no_handle(told_apart: ChannelDataset, name: str, attribute: str) -> None:
    split = TaskSplit(registry.create("tasks", name), told_apart.view("train"))
    assert not hasattr(split, attribute)
    with pytest.raises(AttributeError):
        setattr(split, attribute, told_apart)
    seen, _ = split.observe([0])
    assert attribute == "__dict__" or not (hasattr(seen, attribute) or hasattr(seen.grid, attribute))
