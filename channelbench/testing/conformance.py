"""Conformance tests for methods, tasks and scenarios: subclass, name yours, and pytest does the rest.

from channelbench.testing import MethodTests
from mypackage import MyMethod

class TestMyMethod(MethodTests):
    method = MyMethod
"""

from __future__ import annotations

import atexit
import itertools
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from channelbench import registry
from channelbench.contracts import FitContext, Genie, GenieMethod, Method, Observation, Target, Task, TaskSplit
from channelbench.families import family_of
from channelbench.generation import make_spec
from channelbench.generator import Block, Generator
from channelbench.prediction import InvalidPrediction
from channelbench.spec import ScenarioSpec, SizesSpec
from channelbench.store.dataset import ChannelDataset, SplitView
from channelbench.store.exact_rows import LARGEST_DEVIATION
from channelbench.store.schema import variables
from channelbench.testing.factories import make_dataset, small_spec

__all__ = ["GeneratorTests", "MethodTests", "TaskTests", "conformance_dataset"]


@cache
def conformance_dataset() -> ChannelDataset:
    """A small dataset that all conformance tests of one process share."""
    folder = Path(tempfile.mkdtemp(prefix="channelbench-conformance-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_dataset(folder / "few.zarr", small_spec(test=64))


class MethodTests:
    """What every method owes the runner. Set ``method``; learned ones are fitted once, at ``preset``, on all registered
    tasks that they understand, or on ``tasks`` (names, or ``package.module:Class``)."""

    method: ClassVar[type[Method]]
    preset: ClassVar[str] = "quick"
    tasks: ClassVar[tuple[str, ...]] = ()

    @property
    def fitted(self) -> Method:
        """The method, fitted to all its tasks."""
        return _fitted(self.method, self.preset, self.tasks)

    def observations(self) -> Iterator[tuple[Task, Observation, Target, Genie]]:
        """Ten test cases of every task."""
        for task in _tasks(self.method, self.tasks):
            yield task, *_observed(task, _first(task, 10))

    def test_card(self) -> None:
        """It has a card, and understands a task at least."""
        assert self.method.card.name
        assert _tasks(self.method, self.tasks), "a method has to understand the observations of one task"

    def test_predictions_are_predictions(self) -> None:
        """Right shape, numbers, no NaN."""
        for task, observation, target, genie in self.observations():
            task.check(_answer(self.fitted, task, observation, genie), observation, target)

    def test_batch_size_does_not_matter(self) -> None:
        """A case's prediction does not depend on who is predicted beside it."""
        for task, observation, target, genie in self.observations():
            together = task.check(_answer(self.fitted, task, observation, genie), observation, target)
            for rows in (np.array([3]), np.array([6, 2])):
                part, of_target, of_part = _observed(task, rows)
                alone = task.check(_answer(self.fitted, task, part, of_part), part, of_target)
                scale = np.abs(together).max() + 1e-12
                np.testing.assert_allclose(alone, together[rows], rtol=1e-3, atol=1e-4 * scale)

    def test_prediction_repeats(self) -> None:
        """The same observation gives the same bits twice."""
        for task, observation, target, genie in self.observations():
            first, second = (
                task.check(_answer(self.fitted, task, observation, genie), observation, target) for _ in range(2)
            )
            np.testing.assert_array_equal(first, second)

    def test_observation_is_left_alone(self) -> None:
        """Predicting does not write into the observation, which other methods are given too."""
        for task, observation, _, genie in self.observations():
            before = [array.copy() for array in _arrays(observation)]
            _answer(self.fitted, task, observation, genie)
            for array, was in zip(_arrays(observation), before, strict=True):
                np.testing.assert_array_equal(array, was)

    def test_start_is_a_prediction(self) -> None:
        """What it would predict without its network, where it says so, is a prediction too, whatever the batch."""
        for task, observation, target, _ in self.observations():
            together = self.fitted.predict_start(task.card.name, observation)
            if together is None:
                continue
            whole = task.check(together, observation, target)
            part, of_part, _ = _observed(task, np.array([6, 2]))
            alone = task.check(self.fitted.predict_start(task.card.name, part), part, of_part)
            scale = np.abs(whole).max() + 1e-12
            np.testing.assert_allclose(alone, whole[[6, 2]], rtol=1e-3, atol=1e-4 * scale)

    def test_costs_are_numbers(self) -> None:
        """Parameters are counted."""
        for task in _tasks(self.method, self.tasks):
            costs = self.fitted.costs(task.card.name)
            assert costs["trainable_parameters"] <= costs["total_parameters"]

    def test_only_references_are_told_identities(self) -> None:
        """A genie goes to family ``reference`` alone."""
        assert not issubclass(self.method, GenieMethod) or family_of(self.method.card.family).genie


def _tasks(method: type[Method], wanted: tuple[str, ...]) -> list[Task]:
    found = [registry.create("tasks", name) for name in wanted or registry.tasks_of(method)]
    return [task for task in found if task.supports(conformance_dataset().spec)]


def _first(task: Task, count: int) -> Any:
    """The first cases of the test split, seven at least."""
    spec = conformance_dataset().spec
    return np.arange(min(count, task.size(spec, "test", task.default_conditions(spec))))


def _observed(task: Task, cases: Any) -> tuple[Observation, Target, Genie]:
    view = conformance_dataset().view("test")
    conditions = task.default_conditions(view.spec)
    return *task.observe(view, cases, conditions), task.genie(view, cases, conditions)


def _answer(method: Method, task: Task, observation: Observation, genie: Genie) -> Any:
    if isinstance(method, GenieMethod):
        return method.predict_knowing(task.card.name, observation, genie)
    return method.predict(task.card.name, observation)


@cache
def _fitted(method: type[Method], preset: str, tasks: tuple[str, ...]) -> Method:
    """An instance that has seen the small dataset's training split, made once for all tests of a class."""
    dataset, instance = conformance_dataset(), method()
    splits = {
        task.card.name: (TaskSplit(task, dataset.view("train")), TaskSplit(task, dataset.view("val")))
        for task in _tasks(method, tasks)
    }
    for group in [splits] if method.joint else [{name: pair} for name, pair in splits.items()]:
        instance.fit(group, FitContext(preset=preset))
    return instance


class TaskTests:
    """What every task owes the runner, and contestants. Set ``task``.

    Attributes:
        noisy: Whether a case looks different in every epoch of a training.
    """

    task: ClassVar[type[Task]]
    noisy: ClassVar[bool] = True

    def answer(self, observation: Observation, target: Target) -> Any:
        """A valid prediction: the ceiling, unless a subclass knows another."""
        return np.array(self.task().ceiling(target))

    def test_cases_do_not_depend_on_their_neighbours(self) -> None:
        """A case looks the same alone, in another order and in another batch."""
        task = self.task()
        whole, _, _ = _observed(task, np.arange(7))
        for rows in ([3], [6, 1, 4]):
            part, _, _ = _observed(task, np.array(rows))
            for array, of_whole in zip(_arrays(part), _arrays(whole), strict=True):
                wanted = of_whole[rows] if len(of_whole) == 7 and len(array) == len(rows) else of_whole
                np.testing.assert_array_equal(array, wanted)

    def test_training_draws_are_new_each_epoch_and_repeat(self) -> None:
        """Noise of an epoch is its own, and the same each time; what is not ``noisy`` is the same in all."""
        split = TaskSplit(self.task(), conformance_dataset().view("train"))
        first, again, other = (
            np.concatenate([np.ravel(array) for array in _arrays(split.observe([0, 1], epoch=epoch)[0])])
            for epoch in (0, 0, 1)
        )
        np.testing.assert_array_equal(first, again)
        assert np.array_equal(first, other) is not self.noisy, "see `noisy`"

    def test_observation_is_of_the_type_it_states(self) -> None:
        observation, _, _ = _observed(self.task(), np.arange(3))
        assert isinstance(observation, self.task.observation)
        assert len(observation) == 3

    def test_ceiling_is_a_prediction_and_scores_finite_terms(self) -> None:
        task = self.task()
        observation, target, _ = _observed(task, np.arange(6))
        if (best := task.ceiling(target)) is not None:
            task.check(best, observation, target)
        spec = conformance_dataset().spec
        for metric in task.metrics_for(spec, task.default_conditions(spec)):
            terms = task.ceiling_terms(metric, target)
            if terms is None:
                continue
            assert task.ceiling_note, "say what the ceiling is"
            assert terms.shape[0] == 6
            assert np.isfinite(terms).all(), metric.card.name

    def test_check_refuses_what_is_no_prediction(self) -> None:
        """Wrong shapes, words, NaN."""
        task = self.task()
        observation, target, _ = _observed(task, np.arange(6))
        right = self.answer(observation, target)
        broken = right.astype(np.result_type(right, np.float32), copy=True)
        broken[2] = np.nan
        for wrong in (right[:-1], right[..., None], np.full(right.shape, "a"), np.ma.masked_array(right), broken):
            with pytest.raises(InvalidPrediction):
                task.check(wrong, observation, target)

    def test_an_answer_is_the_same_as_itself(self) -> None:
        """Case by case."""
        task = self.task()
        observation, target, _ = _observed(task, np.arange(6))
        right = task.check(self.answer(observation, target), observation, target)
        same = task.same_answers(right, right.copy())
        assert same.shape == (6,)
        assert same.dtype == bool
        assert same.all()

    def test_every_case_has_a_unit(self) -> None:
        task, view = self.task(), conformance_dataset().view("test")
        units = task.drops(view, np.arange(5), task.default_conditions(view.spec))
        assert units.shape == (5,)

    def test_a_split_reaches_no_other(self) -> None:
        """Nothing that can be reached from a ``TaskSplit`` is the dataset, a view of it, or its spec."""
        split = TaskSplit(self.task(), conformance_dataset().view("train"))
        split.observe([0])
        for thing in _reachable(split):
            assert not isinstance(thing, (ChannelDataset, SplitView, ScenarioSpec)), f"a {type(thing).__name__}"

    def test_writing_into_what_is_handed_out_changes_nobody_elses(self) -> None:
        """A fit that overwrites what it is given, write protection lifted, leaves others what it was given."""
        for split in ("train", "test"):
            view = conformance_dataset().view(split)
            task, cases = self.task(), np.arange(5)
            conditions = task.default_conditions(view.spec)
            was = [array.copy() for array in _handed_out(*task.observe(view, cases, conditions))]
            for array in _handed_out(*task.observe(view, cases, conditions)):
                _overwrite(array)
            for array, before in zip(_handed_out(*task.observe(view, cases, conditions)), was, strict=True):
                np.testing.assert_array_equal(array, before)

    def test_what_is_seen_is_no_window_on_what_is_wanted(self) -> None:
        """Observation and target share no memory: who writes into the one would move the other."""
        observation, target, _ = _observed(self.task(), np.arange(5))
        seen, wanted = (
            [array for array in _reachable(part) if isinstance(array, np.ndarray)] for part in (observation, target)
        )
        for array, other in itertools.product(seen, wanted):
            assert not np.shares_memory(array, other)

    def test_an_observation_identifies_nothing(self) -> None:
        """Neither spec nor seed nor position: with them, anybody can redraw the channel."""
        observation, _, genie = _observed(self.task(), _first(self.task(), 50)[-5:])
        names = {name for thing in _reachable(observation) for name in _names(thing)}
        assert not names & {"spec", "seed", "split", "indices", "cases", "samples", "dataset", "scenario", "source"}
        for thing in _reachable(observation):
            assert not isinstance(thing, (ChannelDataset, SplitView, ScenarioSpec, Genie))
            assert not (isinstance(thing, np.ndarray) and np.array_equal(thing, genie.samples))


def _reachable(thing: Any, depth: int = 6) -> Iterator[Any]:
    """Whatever attributes and containers lead to, code excepted."""
    seen: set[int] = set()
    stack = [(thing, depth)]
    while stack:
        item, left = stack.pop()
        if id(item) in seen or isinstance(item, (type, str, bytes)) or callable(item):
            continue
        seen.add(id(item))
        yield item
        if left == 0 or isinstance(item, np.ndarray):
            continue
        slots = (getattr(item, name, None) for kind in type(item).__mro__ for name in getattr(kind, "__slots__", ()))
        members = [*getattr(item, "__dict__", {}).values(), *slots]
        if isinstance(item, Mapping):
            members += item.values()
        elif isinstance(item, (list, tuple, set, frozenset)):
            members += item
        stack += [(member, left - 1) for member in members]


def _names(thing: Any) -> set[str]:
    """What its attributes and keys are called."""
    slots = {name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())}
    keys = {key for key in thing if isinstance(key, str)} if isinstance(thing, Mapping) else set()
    return {*getattr(thing, "__dict__", {}), *slots, *keys}


def _handed_out(observation: Observation, target: Target) -> list[Any]:
    """All arrays of an observation and of its target."""
    return [thing for part in (observation, target) for thing in _reachable(part) if isinstance(thing, np.ndarray)]


def _overwrite(array: Any) -> None:
    """Write zeros into an array and what it is a window of, if anybody can who holds it."""
    while isinstance(array, np.ndarray):
        with suppress(ValueError):
            array.setflags(write=True)
            array[...] = np.zeros((), array.dtype)
        array = array.base


def _arrays(observation: Observation) -> list[Any]:
    """All arrays of an observation, in a fixed order."""
    return [thing for thing in _reachable(observation) if isinstance(thing, np.ndarray)]


class GeneratorTests:
    """What every generator owes the store. Set ``generator`` (a class) and, if need be, ``scenario``."""

    generator: ClassVar[type[Generator]]
    scenario: ClassVar[str] = ""

    def spec(self, **assignments: Any) -> ScenarioSpec:
        """A spec of few slots and subcarriers, so that blocks are fast."""
        small = {"sub6.num_slots": 4, "sub6.num_subcarriers": 8, "mmwave.num_subcarriers": 8}
        return make_spec(
            self.scenario or self.generator.card.name,
            source=self.generator.source.name,
            sizes=SizesSpec(train=200, val=20, test=20),
            assignments=small | assignments,
        )

    def test_block_has_the_schema(self) -> None:
        """Every variable, of its length, in values that its dtype can hold, and NaN only where it may be."""
        spec, block = self.spec(), Block(split="val", index=0, stop=20)
        sample = self.generator().sample(spec, block, 0)
        los = np.asarray(sample["los"])
        for name, variable in variables(spec).items():
            values = np.asarray(sample[name])
            assert values.shape == (20, *variable.shape[1:]), name
            assert np.can_cast(values.dtype, variable.dtype, "same_kind"), name
            finite = np.isfinite(values.reshape(20, -1)).all(axis=1)
            assert (finite | {"never": False, "nlos": ~los, "anywhere": True}[variable.nan]).all(), name

    def test_source_says_what_it_is(self) -> None:
        """A name for people, a licence, what to cite; and specs of it are read as they are written."""
        spec = self.spec()
        assert spec.source.label
        assert spec.source.licence
        assert spec.source.citation
        assert ScenarioSpec(**json.loads(spec.canonical())) == spec

    def test_rows_do_not_depend_on_how_many_are_asked_for(self) -> None:
        """A part of a block is that part of the whole block, byte for byte."""
        spec, generator = self.spec(), self.generator()
        whole = generator.sample(spec, Block(split="train", index=1), 3)
        part = generator.sample(spec, Block(split="train", index=1, start=5, stop=9), 3)
        for name in variables(spec):
            np.testing.assert_array_equal(np.asarray(part[name]), np.asarray(whole[name])[5:9], err_msg=name)

    def test_sizes_change_nothing(self) -> None:
        """The same block in a larger dataset has the same bytes: splits of different sizes nest."""
        block = Block(split="test", index=0, stop=3)
        small = self.generator().sample(self.spec(), block, 0)
        large = self.generator().sample(self.spec(**{"sizes.train": 400}), block, 0)
        np.testing.assert_array_equal(np.asarray(small["h_sub6"]), np.asarray(large["h_sub6"]))

    def test_channels_are_the_sums_over_their_paths(self) -> None:
        """Where a generator keeps them: ``verify`` calls what deviates wrong."""
        spec, block, generator = self.spec(), Block(split="val", index=0, start=7, stop=10), self.generator()
        try:
            exact = generator.channels(spec, block, 3)
        except NotImplementedError:
            return
        sample = generator.sample(spec, block, 3)
        assert list(exact) == list(spec.bands)
        for band, want in exact.items():
            off = np.asarray(sample[f"h_{band}"]) - want
            assert np.sqrt(np.mean(np.abs(off) ** 2)) < LARGEST_DEVIATION, band

    def test_seed_split_and_block_change_everything(self) -> None:
        """No two of them share a position."""
        spec, generator = self.spec(), self.generator()
        keys = [("train", 0, 0), ("train", 1, 0), ("val", 0, 0), ("train", 0, 1), ("train", 0, 5)]
        positions = [
            np.asarray(generator.sample(spec, Block(split=split, index=index, stop=2), seed)["ue_position"])
            for split, index, seed in keys
        ]
        assert len({position.tobytes() for position in positions}) == len(keys)
