"""The registry: scans, entry points, module paths; duplicates raise."""

import importlib
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from channelbench import discovery, registry
from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.errors import RequestError
from channelbench.metrics.beam import TopKAccuracy
from channelbench.metrics.channel import NMSEInSlot
from channelbench.tasks.link.channel import ChannelEstimation, ChannelPrediction, FrequencyPrediction
from channelbench.tasks.link.observations import SameSlotsObservation


class Zeros(Method):
    """A third party's method."""

    card = Card(
        name="third_party",
        description="Answers zero to everything.",
        reference="none",
        family="classical",
    )
    observes = (SameSlotsObservation,)

    def predict(self, task, observation):
        grid = observation.grid
        return np.zeros((len(observation), len(grid.target_slot_s), len(grid.target_subcarrier_hz), 8), np.complex64)


class Optional(Zeros):
    """A method with options."""

    card = Zeros.card.model_copy(update={"name": "optional"})
    variants = ("loud", "rankN")

    @classmethod
    def variant(cls, options):
        for option in options:
            if option not in ("loud", "rank2"):
                raise RequestError("method", expected="an option of optional", got=option, choices=cls.variants)
        name = "+".join((cls.card.name, *options))
        return type("Variant", (cls,), {"card": cls.card.model_copy(update={"name": name})})


class Plus(Zeros):
    card = Zeros.card.model_copy(update={"name": "optional+loud"})


class Impostor(Zeros):
    card = Zeros.card.model_copy(update={"name": "zero"})


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch):
    """Pretend that an installed package declares these entry points."""

    def install(**values: str) -> None:
        found = [EntryPoint(name, value, "channelbench.methods") for name, value in values.items()]
        monkeypatch.setattr(discovery, "entry_points", lambda group: [e for e in found if e.group == group])
        registry.refresh()

    yield install
    registry.refresh()


def test_everything_built_in_is_found() -> None:
    assert {"uma", "rma", "umi"} <= set(registry.names("generators"))
    assert set(registry.names("tasks")) == {"ce", "cp", "pf", "bf", "de", "pe"}
    assert {"full", "classical"} <= set(registry.names("suites"))
    assert {"bi", "codebook", "fifs", "lmmse", "wiener", "mlp", "lstm", "cnn"} <= set(registry.names("methods"))
    for kind in ("exhibits", "experiments", "generators", "methods", "metrics", "suites", "tasks"):
        for name in registry.names(kind):
            assert registry.find(kind, name).card.name == name


def test_metrics_with_parameters_have_a_name_each() -> None:
    for number in range(1, 5):
        assert registry.create("metrics", f"nmse_slot_{number}") == NMSEInSlot(number)
    for k in (1, 3, 5):
        assert registry.create("metrics", f"top{k}_accuracy") == TopKAccuracy(k)
    for name in registry.names("metrics"):
        metric = registry.create("metrics", name)
        module, _, kind = metric.path.partition(":")
        again = getattr(importlib.import_module(module), kind)(**metric.parameters)
        assert again.card == metric.card
        assert registry.find("metrics", metric.path) is type(metric)


def test_methods_answer_the_tasks_whose_observations_they_understand() -> None:
    assert set(registry.tasks_of(Zeros)) == {"ce", "pf"}
    assert Zeros.covers(ChannelEstimation)
    assert Zeros.covers(FrequencyPrediction())
    assert not Zeros.covers(ChannelPrediction)
    answered = {name: set(registry.tasks_of(registry.find("methods", name))) for name in registry.names("methods")}
    assert answered["bi"] == answered["zero"] == answered["lmmse_genie"] == {"ce", "cp", "pf"}
    assert answered["lmmse"] == answered["repeat"] == {"ce", "pf"}
    assert answered["wiener"] == answered["hold"] == {"cp"}
    assert answered["codebook"] == answered["common_beam"] == {"bf"}
    assert answered["fifs"] == answered["received_power"] == answered["mean"] == answered["median"] == {"de", "pe"}


def test_suites_name_what_exists() -> None:
    for name in registry.names("suites"):
        suite = registry.find("suites", name)
        assert set(suite.tasks) <= set(registry.names("tasks"))
        for method in suite.methods:
            assert registry.find("methods", method).card.name == method
        assert suite.experiment.name in registry.names("experiments")
        assert set(suite.exhibits) <= set(registry.names("exhibits"))
        assert suite.scenario in registry.names("generators")
        for members in suite.bundles.values():
            assert set(members) <= set(suite.methods)
            covered = {task for member in members for task in registry.tasks_of(registry.find("methods", member))}
            assert covered >= set(suite.tasks)


def test_full_suite_has_every_method() -> None:
    """Variants need not be there; the methods that they are variants of do."""
    assert set(registry.find("suites", "full").methods) >= set(registry.names("methods"))


def test_entry_point_is_registered(entry_points) -> None:
    entry_points(mine=f"{__name__}:Zeros")
    assert "third_party" in registry.names("methods")
    assert registry.find("methods", "third_party").card.name == "third_party"


def test_duplicate_name_raises(entry_points) -> None:
    entry_points(mine=f"{__name__}:Impostor")
    with pytest.raises(RuntimeError, match="two methods are called 'zero'"):
        registry.names("methods")


def test_options_make_a_variant(entry_points) -> None:
    entry_points(mine=f"{__name__}:Optional")
    loud = registry.find("methods", "optional+loud")
    assert issubclass(loud, Optional)
    assert loud.card.name == "optional+loud"
    assert registry.find("methods", "optional+loud") is loud, "results and checks meet the same class"
    assert registry.find("methods", "optional+loud+rank2").card.name == "optional+loud+rank2"
    assert registry.find("methods", "optional+rank2+loud") is registry.find("methods", "optional+loud+rank2")
    assert registry.find("methods", f"{__name__}:Optional+loud") is loud
    assert [name for name in registry.names("methods") if name.startswith("optional")] == ["optional"]
    assert isinstance(registry.create("methods", "optional+loud"), loud)


def test_registered_name_comes_before_options(entry_points) -> None:
    entry_points(mine=f"{__name__}:Optional", other=f"{__name__}:Plus")
    assert registry.find("methods", "optional+loud") is Plus
    assert registry.find("methods", "optional+loud+rank2").card.name == "optional+loud+rank2"


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("optional+shy", "an option of optional, got 'shy'; choices: loud, rankN"),
        ("optional+", r"each option once after a \+, got 'optional\+'; choices: loud, rankN"),
        ("optional+loud+loud", "each option once"),
        ("zero+random", r"a method without options, got 'zero\+random'"),
        ("nobody+random", "a known method, got 'nobody'"),
        ("+random", "a known method, got ''"),
    ],
)
def test_wrong_options_are_explained(entry_points, name: str, fragment: str) -> None:
    entry_points(mine=f"{__name__}:Optional")
    with pytest.raises(RequestError, match=fragment):
        registry.find("methods", name)


def test_options_are_for_methods_alone() -> None:
    with pytest.raises(RequestError, match=r"a known task, got 'ce\+fast'"):
        registry.find("tasks", "ce+fast")


def test_module_path_is_imported() -> None:
    assert registry.find("methods", f"{__name__}:Zeros") is Zeros


@pytest.mark.parametrize(
    ("path", "fragment"),
    [
        ("nowhere.at.all:X", "importable package.module:Class"),
        ("channelbench.contracts:Nothing", "importable package.module:Class"),
        ("channelbench.contracts:Method", "concrete subclass of Method"),
        ("channelbench.tasks.link.channel:ChannelEstimation", "concrete subclass of Method"),
        (":", "importable package.module:Class"),
    ],
)
def test_wrong_paths_are_explained(path: str, fragment: str) -> None:
    with pytest.raises(RequestError, match=fragment):
        registry.find("methods", path)


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(RequestError, match="choices: bf, ce, cp, de, pe, pf"):
        registry.find("tasks", "xx")
