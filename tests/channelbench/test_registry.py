"""The registry: scans, entry points, module paths; duplicates raise."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest

from channelbench import registry
from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.errors import RequestError


class Zeros(Method):
    """A third party's method."""

    card = Card(
        name="third_party",
        description="Answers zero to everything.",
        reference="none",
        family="classical",
        tasks=("ce",),
    )

    def predict(self, task, observation):
        grid = observation.grid
        return np.zeros((len(observation), len(grid.target_slot_s), len(grid.target_subcarrier_hz), 8), np.complex64)


class Impostor(Zeros):
    card = Zeros.card.model_copy(update={"name": "zero"})


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch):
    """Pretend that an installed package declares these entry points."""

    def install(**values: str) -> None:
        found = [EntryPoint(name, value, "channelbench.methods") for name, value in values.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: [e for e in found if e.group == group])
        registry._entries.cache_clear()

    yield install
    registry._entries.cache_clear()


def test_everything_built_in_is_found() -> None:
    assert {"uma", "rma", "umi"} <= set(registry.names("generators"))
    assert set(registry.names("tasks")) == {"ce", "cp", "pf", "bf", "de", "pe"}
    assert {"full", "classical"} <= set(registry.names("suites"))
    assert {"bi", "codebook", "fifs", "lmmse", "wiener", "mlp", "lstm", "cnn"} <= set(registry.names("methods"))
    for kind in ("generators", "methods", "metrics", "suites", "tasks"):
        for name in registry.names(kind):
            assert registry.find(kind, name).card.name == name


def test_suites_name_what_exists() -> None:
    for name in registry.names("suites"):
        suite = registry.find("suites", name)
        assert set(suite.tasks) <= set(registry.names("tasks"))
        assert set(suite.methods) <= set(registry.names("methods"))
        assert suite.scenario in registry.names("generators")
        for members in suite.bundles.values():
            assert set(members) <= set(suite.methods)
            covered = {task for member in members for task in registry.find("methods", member).card.tasks}
            assert covered >= set(suite.tasks)


def test_full_suite_has_every_method() -> None:
    assert set(registry.find("suites", "full").methods) == set(registry.names("methods"))


def test_entry_point_is_registered(entry_points) -> None:
    entry_points(mine=f"{__name__}:Zeros")
    assert "third_party" in registry.names("methods")
    assert registry.find("methods", "third_party").card.name == "third_party"


def test_duplicate_name_raises(entry_points) -> None:
    entry_points(mine=f"{__name__}:Impostor")
    with pytest.raises(RuntimeError, match="two methods are called 'zero'"):
        registry.names("methods")


def test_module_path_is_imported() -> None:
    assert registry.find("methods", f"{__name__}:Zeros") is Zeros


@pytest.mark.parametrize(
    ("path", "fragment"),
    [
        ("nowhere.at.all:X", "importable package.module:Class"),
        ("channelbench.contracts:Nothing", "importable package.module:Class"),
        ("channelbench.contracts:Method", "concrete subclass of Method"),
        ("channelbench.tasks.channel:ChannelEstimation", "concrete subclass of Method"),
        (":", "importable package.module:Class"),
    ],
)
def test_wrong_paths_are_explained(path: str, fragment: str) -> None:
    with pytest.raises(RequestError, match=fragment):
        registry.find("methods", path)


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(RequestError, match="choices: bf, ce, cp, de, pe, pf"):
        registry.find("tasks", "xx")
