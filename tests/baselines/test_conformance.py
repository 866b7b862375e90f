"""Every baseline, found in the folder, keeps the promises of a method."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import channelbench.baselines as folder
from channelbench import registry
from channelbench.conditions import Conditions
from channelbench.contracts import FitContext, GenieMethod, Method, Observation, Task, TaskSplit
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.observations import ChannelObservation
from channelbench.testing import MethodTests, make_dataset, small_spec


def baselines() -> list[type[Method]]:
    modules = {f"{folder.__name__}.{info.name}" for info in pkgutil.iter_modules(folder.__path__)}
    for module in modules:
        importlib.import_module(module)
    found = [registry.find("methods", name) for name in registry.names("methods")]
    return [method for method in found if method.__module__ in modules]


for _method in baselines():
    globals()[f"Test{_method.__name__}"] = type(f"Test{_method.__name__}", (MethodTests,), {"method": _method})


def test_all_are_here() -> None:
    expected = {"bi", "codebook", "common_beam", "fifs", "hold", "lmmse", "lmmse_genie", "mean", "median"}
    expected |= {"lmmse_genie_comb", "prony", "received_power", "repeat", "wiener", "zero"}
    assert {method.card.name for method in baselines()} >= expected


def answers(task: Task, dataset: ChannelDataset, conditions: Conditions, observation: Observation) -> Iterator[Any]:
    """What every baseline that understands the task answers to the first test cases, fitted under ``conditions``."""
    name, asked = task.card.name, 0
    train, val = (TaskSplit(task, dataset.view(split), conditions) for split in ("train", "val"))
    genie = task.genie(dataset.view("test"), np.arange(len(observation)), conditions)
    for cls in baselines():
        if cls.covers(task):
            method, asked = cls(), asked + 1
            method.fit({name: (train, val)}, FitContext())
            known = isinstance(method, GenieMethod)
            yield method.predict_knowing(name, observation, genie) if known else method.predict(name, observation)
    assert asked >= 2


@pytest.fixture(scope="module")
def multiuser(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    """48 subcarriers, a 16 × 8 panel, one band."""
    spec = small_spec(train=20, val=5, test=2, system="multiuser")
    return make_dataset(tmp_path_factory.mktemp("multiuser") / "few.zarr", spec)


@pytest.mark.parametrize("name", ["ce", "cp", "pf", "de", "pe"])
def test_multiuser_systems(multiuser: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    conditions = task.default_conditions(multiuser.spec)
    assert conditions.changes() == {"snr_db": 20.0}
    observation, target = task.observe(multiuser.view("test"), np.arange(2), conditions)
    for prediction in answers(task, multiuser, conditions, observation):
        task.check(prediction, observation, target)


@pytest.mark.parametrize(
    ("changes", "having"),
    [
        ({"pilots_only": True}, {"cp", "bf", "de"}),
        ({"pilot_spacing": 4}, {"ce", "cp", "bf", "de"}),
        ({"pilots_only": True, "pilot_spacing": 4}, {"cp", "bf", "de"}),
    ],
)
def test_other_pilots(few_rays: ChannelDataset, changes: dict[str, Any], having: set[str]) -> None:
    for name in ("ce", "cp", "bf", "de"):
        task = registry.create("tasks", name)
        assert task.conditions.has(changes) == (name in having)
        conditions = task.conditions.of(changes if name in having else {})
        observation, target = task.observe(few_rays.view("test"), np.arange(2), conditions)
        for prediction in answers(task, few_rays, conditions, observation):
            task.check(prediction, observation, target)


@pytest.mark.parametrize("name", ["ce", "cp", "pf", "bf", "de", "pe"])
def test_zero_channels_give_numbers(few_rays: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    conditions = task.default_conditions(few_rays.spec)
    observation, target = task.observe(few_rays.view("test"), np.arange(2), conditions)
    observation.h[:] = 0
    observation.noise_var[:] = 0
    for prediction in answers(task, few_rays, conditions, observation):
        task.check(prediction, observation, target)
        if isinstance(observation, ChannelObservation):
            np.testing.assert_array_equal(prediction, 0)
