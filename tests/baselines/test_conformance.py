"""Every baseline, found in the folder, keeps the promises of a method."""

import importlib
import pkgutil

import numpy as np
import pytest

import channelbench.baselines as folder
from channelbench import registry
from channelbench.contracts import Conditions, Method, TaskSplit
from channelbench.prediction import check_prediction
from channelbench.store.dataset import ChannelDataset
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
    expected |= {"received_power", "repeat", "wiener", "zero"}
    assert {method.card.name for method in baselines()} >= expected


@pytest.fixture(scope="module")
def multiuser(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    """48 subcarriers, a 16 × 8 panel, one band."""
    spec = small_spec(train=20, val=5, test=5, system="multiuser")
    return make_dataset(tmp_path_factory.mktemp("multiuser") / "few.zarr", spec)


@pytest.mark.parametrize("name", ["ce", "cp", "pf", "de", "pe"])
def test_multiuser_systems(multiuser: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    train, val = (TaskSplit(task, multiuser, split, Conditions()) for split in ("train", "val"))
    observation, target = task.observe(multiuser, "test", np.arange(5), Conditions(snr_db=20))
    for cls in baselines():
        if name in cls.card.tasks:
            method = cls()
            method.fit({name: (train, val)}, 0)
            check_prediction(task, method.predict(name, observation), observation, target)


@pytest.mark.parametrize("conditions", [Conditions(pilots_only=True), Conditions(pilot_spacing=4)])
def test_other_pilots(few_rays: ChannelDataset, conditions: Conditions) -> None:
    for name in ("ce", "cp", "bf", "de"):
        task = registry.create("tasks", name)
        train, val = (TaskSplit(task, few_rays, split, conditions) for split in ("train", "val"))
        observation, target = task.observe(few_rays, "test", np.arange(4), conditions)
        for cls in baselines():
            if name in cls.card.tasks:
                method = cls()
                method.fit({name: (train, val)}, 0)
                check_prediction(task, method.predict(name, observation), observation, target)


@pytest.mark.parametrize("name", ["ce", "cp", "pf", "bf", "de", "pe"])
def test_zero_channels_give_numbers(few_rays: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    train, val = (TaskSplit(task, few_rays, split, Conditions()) for split in ("train", "val"))
    observation, target = task.observe(few_rays, "test", np.arange(3), Conditions())
    observation.h[:] = 0
    observation.noise_var[:] = 0
    for cls in baselines():
        if name in cls.card.tasks:
            method = cls()
            method.fit({name: (train, val)}, 0)
            prediction = method.predict(name, observation)
            check_prediction(task, prediction, observation, target)
            if task.kind == "channel":
                np.testing.assert_array_equal(prediction, 0)
