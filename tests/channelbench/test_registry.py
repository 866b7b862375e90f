"""The registry: scans, entry points, options and module paths; two of ours with one name raise."""

import importlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from third_party import Zeros

from channelbench import discovery, registry
from channelbench.card import OTHER_FAMILIES, Card
from channelbench.cli import listing
from channelbench.contracts import Metric
from channelbench.errors import RequestError
from channelbench.metrics.beam import TopKAccuracy
from channelbench.metrics.channel import NMSEInSlot
from channelbench.tasks.link.channel import ChannelEstimation, ChannelPrediction, FrequencyPrediction


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


@dataclass(frozen=True)
class Power(Metric):
    """A metric with a parameter, whose instances have cards of their own; which are listed, entry points say."""

    exponent: int

    listed = ()

    @property
    def card(self):
        name = f"error_{self.exponent}"
        return Card(name=name, description="Mean power of the error.", reference="none", family="metric")

    def accumulate(self, prediction, target):
        return np.abs(prediction - target.value)[:, None] ** self.exponent

    def finalize(self, mean_terms):
        return mean_terms[..., 0]


cubed = Power(3)


def test_everything_built_in_is_found() -> None:
    assert {"uma", "rma", "umi"} <= set(registry.names("generators"))
    assert set(registry.names("tasks")) == {"ce", "cp", "pf", "bf", "de", "pe", "pre_sr", "pre_mm", "det"}
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
            assert covered >= set(suite.overall or suite.tasks)
        assert set(suite.overall) <= set(suite.tasks)


def test_two_suites_have_every_method() -> None:
    """Variants need not be there; the methods that they are variants of do."""
    full, phy = (registry.find("suites", name) for name in ("full", "phy"))
    assert {*full.methods, *phy.methods} >= set(registry.names("methods"))


def test_entry_point_is_registered(entry_points) -> None:
    entry_points(mine=f"{__name__}:Zeros")
    assert "third_party" in registry.names("methods")
    assert registry.find("methods", "third_party").card.name == "third_party"


# --- scans ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package of methods in place of ours: ``{file: code}``."""

    def build(files: dict[str, str]) -> None:
        for name, code in files.items():
            path = tmp_path / "house_of_methods" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
        for folder in {path.parent for path in (tmp_path / "house_of_methods").rglob("*.py")}:
            (folder / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(discovery.PACKAGES, "methods", ("house_of_methods",))
        registry.refresh()

    yield build
    monkeypatch.undo()
    registry.refresh()
    for name in [name for name in sys.modules if name.startswith("house_of_methods")]:
        del sys.modules[name]


METHOD = f"""
from {__name__} import Zeros
class Mine(Zeros):
    card = Zeros.card.model_copy(update={{"name": __name__.rpartition(".")[2]}})
"""


def test_public_subpackages_are_scanned(house) -> None:
    house(
        {
            "one.py": METHOD,
            "_private.py": METHOD,
            "link/two.py": METHOD,
            "link/deep/three.py": METHOD,
            "_engine/four.py": METHOD,
            "parts/five.py": "raise RuntimeError('heavy')",
            "parts/__init__.py": "HAS_ENTRIES = False",
        }
    )
    assert registry.names("methods") == ["one", "three", "two"]
    assert registry.find("methods", "two").__module__ == "house_of_methods.link.two"


def test_two_of_ours_with_one_name_raise(house) -> None:
    house({"one.py": METHOD, "link/one.py": METHOD})
    with pytest.raises(RuntimeError, match="two methods are called 'one'"):
        registry.names("methods")


def test_what_is_ours_and_broken_raises(house) -> None:
    house({"one.py": "1 / 0"})
    with pytest.raises(ZeroDivisionError):
        registry.names("methods")


def test_scanning_is_light() -> None:
    code = (
        "import sys, json; from channelbench import registry\n"
        "for kind in registry._KINDS: registry.names(kind)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"torch", "sionna", "transformers", "tensorflow", "numba", "matplotlib", "xarray", "pandas"}
    assert not {name.split(".")[0] for name in json.loads(out)} & heavy


def test_kinds_are_one_table() -> None:
    assert {f"{info.singular}s": kind for kind, info in registry._KINDS.items()} == listing.KINDS
    assert {info.singular for info in registry._KINDS.values()} - {"method"} <= set(OTHER_FAMILIES)


# --- instances --------------------------------------------------------------------------------------------------------


def test_a_metric_may_be_an_instance(entry_points) -> None:
    entry_points("metrics", cubed=f"{__name__}:cubed")
    assert registry.find("metrics", "error_3") is cubed
    assert registry.create("metrics", "error_3") is cubed
    assert registry.create("metrics", f"{__name__}:cubed") is cubed
    assert registry.find("metrics", f"{__name__}:Power") is Power
    with pytest.raises(RequestError, match="a concrete subclass of Metric or an instance of Metric with a card"):
        registry.find("metrics", f"{__name__}:Zeros")


def test_a_class_of_metrics_is_listed_by_its_parameters(entry_points, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Power, "listed", ({"exponent": 3}, {"exponent": 5}))
    entry_points("metrics", powers=f"{__name__}:Power")
    assert {"error_3", "error_5"} <= set(registry.names("metrics"))
    assert registry.create("metrics", "error_5") == Power(5)


def test_a_method_is_a_class(entry_points) -> None:
    sys.modules[__name__].instance = Zeros()
    with pytest.raises(RequestError, match="expected a concrete subclass of Method with a card"):
        registry.find("methods", f"{__name__}:instance")


def test_a_class_from_elsewhere_that_cannot_be_made_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Zeros, "__init__", lambda self, size: None, raising=False)
    with pytest.raises(RequestError, match=r"a class that can be made without arguments, got .*Zeros .TypeError"):
        registry.create("methods", f"{__name__}:Zeros")


# --- options ----------------------------------------------------------------------------------------------------------


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


# --- paths ------------------------------------------------------------------------------------------------------------


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
    with pytest.raises(RequestError, match="choices: bf, ce, cp, de, det, pe, pf, pre_mm, pre_sr"):
        registry.find("tasks", "xx")
