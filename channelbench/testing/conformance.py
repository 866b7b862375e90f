"""Conformance tests for methods and scenarios: subclass, name yours, and pytest does the rest.

from channelbench.testing import MethodTests
from mypackage import MyMethod

class TestMyMethod(MethodTests):
    method = MyMethod
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from channelbench import registry
from channelbench.contracts import (
    Block,
    Conditions,
    FitContext,
    Generator,
    Method,
    Observation,
    Target,
    Task,
    TaskSplit,
)
from channelbench.generation import make_spec
from channelbench.prediction import check_prediction
from channelbench.spec import ScenarioSpec, SizesSpec
from channelbench.store.dataset import ChannelDataset
from channelbench.store.schema import variables
from channelbench.testing.factories import make_dataset

__all__ = ["GeneratorTests", "MethodTests", "conformance_dataset"]


@cache
def conformance_dataset() -> ChannelDataset:
    """A small dataset that all conformance tests of one process share."""
    folder = Path(tempfile.mkdtemp(prefix="channelbench-conformance-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_dataset(folder / "few.zarr")


class MethodTests:
    """What every method owes the runner. Set ``method``; learned ones are fitted once, at ``preset``."""

    method: ClassVar[type[Method]]
    preset: ClassVar[str] = "quick"

    @cached_property
    def tasks(self) -> dict[str, Task]:
        return {name: registry.create("tasks", name) for name in self.method.card.tasks}

    @property
    def fitted(self) -> Method:
        return _fitted(self.method, self.preset)

    def observations(self) -> Iterator[tuple[Task, Observation, Target]]:
        """Ten test samples of every task."""
        for task in self.tasks.values():
            yield task, *task.observe(conformance_dataset(), "test", np.arange(10), Conditions())

    def test_card(self) -> None:
        """It has a card, and every task on it exists."""
        assert self.method.card.tasks, "a method has to name its tasks"
        assert set(self.method.card.tasks) <= set(registry.names("tasks"))

    def test_predictions_are_predictions(self) -> None:
        """Right shape, numbers, no NaN."""
        for task, observation, target in self.observations():
            check_prediction(task, self.fitted.predict(task.card.name, observation), observation, target)

    def test_batch_size_does_not_matter(self) -> None:
        """A sample's prediction does not depend on who is predicted beside it."""
        for task, observation, _ in self.observations():
            together = self.fitted.predict(task.card.name, observation)
            for rows in (np.array([3]), np.array([7, 2])):
                part, _ = task.observe(conformance_dataset(), "test", rows, Conditions())
                alone = self.fitted.predict(task.card.name, part)
                scale = np.abs(together).max() + 1e-12
                np.testing.assert_allclose(alone, together[rows], rtol=1e-3, atol=1e-4 * scale)

    def test_prediction_repeats(self) -> None:
        """The same observation gives the same bits twice."""
        for task, observation, _ in self.observations():
            first, second = (self.fitted.predict(task.card.name, observation) for _ in range(2))
            np.testing.assert_array_equal(first, second)

    def test_observation_is_left_alone(self) -> None:
        """Predicting does not write into the observation, which other methods are given too."""
        for task, observation, _ in self.observations():
            before = observation.h.copy()
            self.fitted.predict(task.card.name, observation)
            np.testing.assert_array_equal(observation.h, before)

    def test_costs_are_numbers(self) -> None:
        """Parameters are counted."""
        for name in self.method.card.tasks:
            costs = self.fitted.costs(name)
            assert costs["trainable_parameters"] <= costs["total_parameters"]


@cache
def _fitted(method: type[Method], preset: str) -> Method:
    """An instance that has seen the small dataset's training split, made once for all tests of a class."""
    dataset, instance = conformance_dataset(), method()
    splits = {
        name: tuple(
            TaskSplit(registry.create("tasks", name), dataset, split, Conditions()) for split in ("train", "val")
        )
        for name in method.card.tasks
    }
    groups = [splits] if method.joint else [{name: pair} for name, pair in splits.items()]
    for group in groups:
        instance.fit(group, 0, FitContext(preset=preset))  # type: ignore[arg-type]
    return instance


class GeneratorTests:
    """What every generator owes the store. Set ``generator`` (a class) and, if need be, ``scenario``."""

    generator: ClassVar[type[Generator]]
    scenario: ClassVar[str] = ""

    def spec(self, **assignments: Any) -> ScenarioSpec:
        """A spec of few slots and subcarriers, so that blocks are fast."""
        small = {"sub6.num_slots": 4, "sub6.num_subcarriers": 8, "mmwave.num_subcarriers": 8}
        return make_spec(
            self.scenario or self.generator.card.name,
            sizes=SizesSpec(train=200, val=20, test=20),
            assignments=small | assignments,
        )

    def test_block_has_the_schema(self) -> None:
        """Every variable, with its dimensions, dtype and length, and NaN only where it may be."""
        spec, block = self.spec(), Block(split="val", index=0, stop=20)
        sample = self.generator().sample(spec, block, 0)
        assert set(sample.variables) >= set(variables(spec))
        for name, variable in variables(spec).items():
            assert sample[name].dims == variable.dims, name
            assert sample[name].dtype == variable.dtype, name
            assert sample[name].shape == (20, *variable.shape[1:]), name
            if variable.nan == "never" and variable.dtype != "bool":
                assert np.isfinite(sample[name].values).all(), name

    def test_rows_do_not_depend_on_how_many_are_asked_for(self) -> None:
        """A part of a block is that part of the whole block, byte for byte."""
        spec, generator = self.spec(), self.generator()
        whole = generator.sample(spec, Block(split="train", index=1), 3)
        part = generator.sample(spec, Block(split="train", index=1, start=5, stop=9), 3)
        for name in variables(spec):
            np.testing.assert_array_equal(part[name].values, whole[name].values[5:9], err_msg=name)

    def test_sizes_change_nothing(self) -> None:
        """The same block in a larger dataset has the same bytes: splits of different sizes nest."""
        block = Block(split="test", index=0, stop=3)
        small = self.generator().sample(self.spec(), block, 0)
        large = self.generator().sample(self.spec(**{"sizes.train": 400}), block, 0)
        np.testing.assert_array_equal(small["h_sub6"].values, large["h_sub6"].values)

    def test_seed_split_and_block_change_everything(self) -> None:
        """No two of them share a position."""
        spec, generator = self.spec(), self.generator()
        keys = [("train", 0, 0), ("train", 1, 0), ("val", 0, 0), ("train", 0, 1), ("train", 0, 5)]
        positions = [
            generator.sample(spec, Block(split=split, index=index, stop=2), seed)["ue_position"].values
            for split, index, seed in keys
        ]
        assert len({position.tobytes() for position in positions}) == len(keys)
