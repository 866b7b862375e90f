"""Sources from outside: a second way to make a scenario, with fields, variables and words of its own."""

import json
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from channelbench import discovery, registry
from channelbench.errors import RequestError
from channelbench.generation import default_path, generate, make_spec
from channelbench.leaderboard import labels
from channelbench.sources import RecordedSource
from channelbench.spec import ScenarioSpec, SizesSpec, preset_sizes, read_toml
from channelbench.store import open_dataset, verify
from channelbench.store.inspect import draw, summary
from channelbench.store.schema import OPTIONAL, core_variables, variables
from channelbench.testing import small_spec

Shell = Callable[..., tuple[int, str, str]]

PLUGIN = """
from typing import ClassVar

import numpy as np
from pydantic import Field

from channelbench.card import Card
from channelbench.sources import SourceSpec
from channelbench.testing import FewRays
from channelbench.variables import Variable


class Rays(SourceSpec):
    name: ClassVar[str] = "toytraced"
    licence: ClassVar[str] = "CC0-1.0"
    citation: ClassVar[str] = "Me, 2031"
    packages: ClassVar[tuple[str, ...]] = ("xarray",)
    later: ClassVar[frozenset[str]] = frozenset({"diffraction"})
    max_depth: int = Field(3, ge=0)
    diffraction: bool = False

    @property
    def label(self):
        return f"rays of up to {self.max_depth} bounces"

    def variables(self, core):
        kept = {name: variable for name, variable in core.items() if "k_factor" not in name and "asd" not in name}
        return kept | {
            "bounces": Variable.scalar("int16", "1", "bounces of the strongest path"),
            "clearance": Variable(dims=("sample", "wall"), shape=(-1, 2), dtype="float32", unit="m",
                                  long_name="distance to either wall", nan="anywhere"),
        }


class Traced(FewRays):
    card = Card(name="uma", title="UMa", description="Rays in a toy city.", reference="none", family="scenario")
    source = Rays

    def sample(self, spec, block, seed):
        made = dict(super().sample(spec, block, seed))
        rows = np.arange(block.start, block.stop)
        made["bounces"] = rows % (spec.source.max_depth + 1)
        made["clearance"] = np.stack([rows, np.full(len(rows), np.nan)], axis=1)
        return made


class Clash(Rays):
    state: str = "wet"


class Clashing(Traced):
    source = Clash


class Poor(Rays):
    def variables(self, core):
        return {name: variable for name, variable in core.items() if name not in ("drop", "split")}


class Incomplete(Traced):
    source = Poor


class Twin(Rays):
    name: ClassVar[str] = "twin"
    default: ClassVar[bool] = True


class TwinTraced(Traced):
    source = Twin
"""

SMALL = {"sub6.num_subcarriers": 4, "sub6.num_slots": 2, "mmwave.num_subcarriers": 4, "mmwave.array.columns": 4}


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``plugin("Traced")``: a package is installed whose entry points declare these classes; ``plugin()``: no more."""
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "toy_city.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path / "plugin")

    def install(*classes: str) -> None:
        found = [EntryPoint(name, f"toy_city:{name}", "channelbench.generators") for name in classes]
        monkeypatch.setattr(discovery, "entry_points", lambda group: [e for e in found if e.group == group])
        registry.refresh()

    yield install
    registry.refresh()
    sys.modules.pop("toy_city", None)


def traced_spec(**assignments) -> ScenarioSpec:
    sizes = SizesSpec(train=30, val=10, test=12)
    return make_spec("uma", source="toytraced", sizes=sizes, assignments=SMALL | assignments)


def test_one_scenario_from_two_sources(plugin) -> None:
    plugin("Traced")
    assert registry.names("generators").count("uma") == 1
    stochastic, traced = registry.find("generators", "uma"), registry.find("generators", "uma", source="toytraced")
    assert stochastic is registry.find("generators", "uma", source="stochastic")
    assert (stochastic.__name__, traced.__name__) == ("UrbanMacro", "Traced")
    assert make_spec("uma").source.name == "stochastic", "what it meant before somebody installed another"
    assert traced_spec().source.max_depth == 3
    assert default_path(traced_spec()) == Path("data/uma-toytraced.zarr")
    assert default_path(make_spec("uma")) == Path("data/uma.zarr")
    with pytest.raises(RequestError, match="got 'mars'; choices: raytraced, stochastic, toytr"):
        make_spec("uma", source="mars")
    with pytest.raises(RequestError, match="got 'toytraced'; did you mean raytraced"):
        make_spec("rma", source="toytraced")


def test_the_first_that_says_so_is_what_a_scenario_means(plugin) -> None:
    plugin("Traced", "TwinTraced")
    assert make_spec("uma").source.name == "stochastic"
    assert make_spec("uma", source="twin").source.max_depth == 3


def test_of_two_plugins_of_one_scenario_and_source_the_second_is_left_out(plugin, caplog) -> None:
    plugin("Traced", "Incomplete")
    assert registry.names("generators").count("uma") == 1
    assert (
        "plugin left out: Incomplete = toy_city:Incomplete: card.name: expected a name that is not taken" in caplog.text
    )


def test_every_way_to_set_a_field_means_the_same(plugin, tmp_path: Path) -> None:
    plugin("Traced")
    want = traced_spec(max_depth=5)
    assert want.source.max_depth == 5
    assert traced_spec(**{"source.max_depth": 5}) == want
    assert traced_spec(source={"name": "toytraced", "max_depth": 5}) == want
    assert traced_spec().replace({"max_depth": 5}) == want == traced_spec().replace({"source.max_depth": 5})
    sizes = SizesSpec(train=30, val=10, test=12)
    for text in (
        "source = 'toytraced'\nmax_depth = 5",
        "max_depth = 5\n[source]\nname = 'toytraced'",
        "[source]\nname = 'toytraced'\nmax_depth = 5",
    ):
        (tmp_path / "spec.toml").write_text(text)
        assert make_spec("uma", sizes=sizes, assignments=SMALL | read_toml(tmp_path / "spec.toml")) == want


def test_flags_and_assignments_mean_the_same() -> None:
    want = make_spec("rma", system="multiuser", state="los", engine="sionna")
    assert want.bs_height_m == 35
    assert want.sub6.num_subcarriers == 48
    given = {"scenario": "rma", "system": "multiuser", "state": "los", "engine": "sionna", "source": "stochastic"}
    assert make_spec("uma", assignments=given) == want
    assert make_spec("rma", system="multiuser", assignments={"state": "los", "source.engine": "sionna"}) == want
    assert make_spec("uma", engine="sionna", assignments={"engine": "fast"}) == make_spec("uma"), "assignments are last"


def test_the_command_line_takes_the_sources_fields(plugin, shell: Shell, tmp_path: Path) -> None:
    plugin("Traced")
    small = [word for field, value in SMALL.items() for word in ("--set", f"{field}={value}")]
    common = ["generate", "--scenario", "uma", "--samples", "30", *small]
    code, out, err = shell(*common, "--source", "toytraced", "--set", "max_depth=5")
    assert code == 0, err
    assert out.splitlines()[-1] == "data/uma-toytraced.zarr"
    Path("spec.toml").write_text("[source]\nname = 'toytraced'\nmax_depth = 5\n")
    code, out, _ = shell(*common, "--spec", "spec.toml")
    assert (code, out.splitlines()[-1]) == (0, "data/uma-toytraced.zarr")
    assert "already complete" in out
    code, out, _ = shell("list", "scenarios")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("uma ")]
    assert "stochastic toytraced" in line
    code, _, err = shell(*common, "--source", "toytraced", "--set", "max_depth=-1")
    assert code == 2
    assert err.startswith("error: max_depth: expected greater than or equal to 0, got -1")
    code, _, err = shell(*common, "--set", "max_depth=5")
    assert code == 2
    assert err.startswith("error: max_depth: expected a known field, got 'max_depth'; choices: bs_height_m, engine,")
    assert "rho_z" in err
    assert err.count("\n") == 1
    code, _, err = shell(*common, "--source", "toytraced", "--engine", "fast")
    assert code == 2
    assert err.startswith("error: engine: expected a known field, got 'engine'; choices: bs_height_m, diffraction,")
    code, _, err = shell(*common, "--set", "source.state=nlos")
    assert code == 2
    assert err.startswith("error: source.state: expected a field of the source, got 'state, a field of the spec")


def test_written_form_is_flat_and_leaves_later_fields_out(plugin) -> None:
    plugin("Traced")
    spec = traced_spec(max_depth=4)
    written = json.loads(spec.canonical())
    assert (written["source"], written["max_depth"]) == ("toytraced", 4)
    assert "diffraction" not in written
    assert "rho_z" not in written
    assert json.loads(spec.replace({"diffraction": True}).canonical())["diffraction"] is True
    for form in (spec.flat(), spec.model_dump(mode="json"), written):
        assert ScenarioSpec(**form) == spec
    assert spec.differences(spec.replace({"max_depth": 2})) == ["max_depth: 4 → 2"]
    assert spec.replace({"max_depth": 2}).identity() != spec.identity()
    fields = {name: value for name, value in spec.flat().items() if name in ScenarioSpec.model_fields}
    assert ScenarioSpec(**(fields | {"source": spec.source})) == spec


def test_another_source_begins_with_its_own_fields(plugin) -> None:
    plugin("Traced")
    spec = make_spec("uma", sizes=preset_sizes("dualband", "quick"), assignments={"rho_z": 0.5, "max_distance_m": 300})
    other = spec.replace({"source": "toytraced", "max_depth": 1})
    assert (other.source.name, other.source.max_depth, other.max_distance_m) == ("toytraced", 1, 300)
    assert other.replace({"source": "stochastic"}).source.rho_z == 1.0


def test_what_a_source_makes_and_says_reaches_everybody(plugin, tmp_path: Path) -> None:
    plugin("Traced")
    path = generate(traced_spec(max_depth=5), tmp_path / "d.zarr", remember=False)
    assert all(finding.ok for finding in verify(path))
    dataset = open_dataset(path)
    assert dataset.spec == traced_spec(max_depth=5)
    assert list(dataset.variables) == list(variables(dataset.spec))
    assert {"k_factor_db_sub6", "asd_deg_mmwave"} == core_variables(dataset.spec).keys() - dataset.variables.keys() - {
        "k_factor_db_mmwave",
        "asd_deg_sub6",
    }
    np.testing.assert_array_equal(dataset.array("bounces", "train"), np.arange(30) % 6)
    with xr.open_zarr(path) as plain:
        assert plain["bounces"].dtype == "int16"
        assert plain["clearance"].dims == ("sample", "wall")
        assert plain.attrs["license"] == "CC0-1.0"
        assert plain.attrs["citation"] == "Me, 2031"
        assert json.loads(plain.attrs["versions"]).keys() == {"channelbench", "xarray", "numpy", "zarr"}
        assert plain.attrs["engine"].endswith(":uma cpu")
        assert json.loads(plain.attrs["spec"]) == json.loads(dataset.spec.canonical())
    text = summary(path)
    assert "rays of up to 5 bounces" in text.splitlines()[0]
    assert "38.901" not in text
    assert "bounces" in text
    assert draw(path, tmp_path / "sheet.png").stat().st_size > 50_000
    record = dataset.spec.model_dump(mode="json")
    assert (labels.scenario(record), labels.source(record)) == ("UMa", "rays of up to 5 bounces")


def test_datasets_can_be_read_where_their_source_is_not_installed(plugin, tmp_path: Path) -> None:
    plugin("Traced")
    spec = traced_spec(max_depth=5)
    path = generate(spec, tmp_path / "d.zarr", remember=False)
    power = open_dataset(path).sample_power("sub6", "test")
    plugin()
    dataset = open_dataset(path)
    assert isinstance(dataset.spec.source, RecordedSource)
    assert (dataset.spec.canonical(), dataset.spec.identity()) == (spec.canonical(), spec.identity()), (
        "noise hangs on it"
    )
    assert ScenarioSpec.from_record(dataset.spec.flat()) == dataset.spec
    np.testing.assert_array_equal(dataset.sample_power("sub6", "test"), power)
    assert all(finding.ok for finding in verify(path))
    assert "toytraced (max_depth 5)" in summary(path).splitlines()[0]
    assert labels.source(dataset.spec.model_dump(mode="json")) == "toytraced (max_depth 5)"
    with pytest.raises(RequestError, match="got 'toytraced'; did you mean raytraced"):
        generate(dataset.spec, tmp_path / "new.zarr")
    with pytest.raises(RequestError, match="source: expected a source of uma, got 'toytraced'"):
        dataset.spec.replace({"max_depth": 1})
    assert not (tmp_path / "new.zarr").exists()


def test_scenario_named_by_path_and_workers(plugin, tmp_path: Path) -> None:
    plugin()
    sizes = SizesSpec(train=230, val=100, test=120)
    spec = make_spec("toy_city:Traced", sizes=sizes, assignments=SMALL | {"max_depth": 2})
    assert spec.source.name == "toytraced"
    one = generate(spec, tmp_path / "one.zarr", remember=False)
    two = generate(spec, tmp_path / "two.zarr", workers=2, remember=False)
    assert open_dataset(one).digest == open_dataset(two).digest
    record = spec.flat() | {"scenario": "gone:Traced"}
    assert ScenarioSpec.from_record(record).source.recorded_name == "toytraced"
    with pytest.raises(RequestError, match="scenario: expected a scenario that is installed here, got 'gone:Traced'"):
        ScenarioSpec(**record)


def test_a_source_that_changes_its_variables_does_not_go_on_with_what_it_began(
    plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin("Traced")
    path = generate(traced_spec(), tmp_path / "d.zarr", remember=False)
    model = type(traced_spec().source)
    monkeypatch.setattr(model, "variables", lambda self, core: dict(core))
    assert "bounces" in open_dataset(path).variables, "what is there can be read"
    with pytest.raises(RequestError, match=r"differs in variables: .* bounces clearance →"):
        generate(traced_spec(), path, remember=False)


def test_bad_declarations_are_one_line(plugin) -> None:
    plugin()
    with pytest.raises(RequestError, match=r"source: expected fields that the spec does not have, got .*state"):
        make_spec("toy_city:Clashing")
    with pytest.raises(RequestError, match=r"source: expected variables of one row per sample.*drop, split"):
        variables(make_spec("toy_city:Incomplete"))
    with pytest.raises(RequestError, match="a concrete subclass of Generator with a card and a source and a geometry"):
        registry.find("generators", "toy_city:Rays")


def test_optional_variables_are_of_the_core() -> None:
    spec = small_spec()
    assert {f"{name}_{band}" for name in OPTIONAL for band in spec.bands} < set(core_variables(spec))
    assert variables(spec) == core_variables(spec)


def test_results_of_unknown_or_partial_specs_have_words() -> None:
    assert labels.source({"scenario": "uma"}) == "3GPP TR 38.901 v16.1, stochastic"
    assert labels.source({"scenario": "uma", "source": "stochastic", "rho_z": 7}) == "stochastic"
    assert labels.scenario({"scenario": "venus"}) == "venus"
    assert labels.source({"scenario": "venus", "source": "probe"}) == "probe"
    assert labels.source(small_spec().model_dump(mode="json")) == "six rays in closed form"
