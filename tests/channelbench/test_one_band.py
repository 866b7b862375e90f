"""``mmwave = false``: the dataset of the first band alone, through all stages."""

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from channelbench.errors import RequestError
from channelbench.generation import generate, make_spec
from channelbench.room import sample_bytes
from channelbench.spec import SPLITS, ScenarioSpec, SizesSpec
from channelbench.store import open_dataset
from channelbench.testing import make_dataset, small_spec

FEW = "channelbench.testing.factories:FewRays"
SMALL = {"sub6.num_slots": 2, "sub6.num_subcarriers": 4, "mmwave.num_subcarriers": 4, "mmwave.array.columns": 4}


def test_off_is_none_and_on_is_what_new_specs_have() -> None:
    off, both = make_spec("uma", assignments={"mmwave": False}), make_spec("uma")
    assert off == make_spec("uma", assignments={"mmwave": None}) == both.replace({"mmwave": False})
    assert off.replace({"mmwave": True}) == both == both.replace({"mmwave": True})
    assert ScenarioSpec(**off.flat() | {"mmwave": True}) == both
    assert ScenarioSpec(**both.flat() | {"mmwave": False}) == off
    other = both.replace({"mmwave.carrier_hz": 26e9})
    assert other.replace({"mmwave": True}) == other, "one that is there stays as it is"
    assert off.replace({"mmwave": True, "mmwave.carrier": "26 GHz"}) == other
    assert off.replace({"scenario": "rma"}).mmwave is None
    for order in permutations([("mmwave", False), ("mmwave.num_slots", 2), ("sub6.num_slots", 2)]):
        assert both.replace(dict(order)) == off.replace({"sub6.num_slots": 2}), "off is off, in whatever order"
    for order in permutations([("mmwave", True), ("mmwave.num_slots", 2)]):
        assert off.replace(dict(order)) == both.replace({"mmwave.num_slots": 2})


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        ({"mmwave": "off"}, "mmwave: expected a table of the fields of a band, or false for none, got 'off'"),
        ({"mmwave": 0}, "mmwave: expected a table of the fields of a band, or false for none, got 0"),
        ({"sub6": False}, "`mmwave=false` and `sub6.carrier=28GHz` make a dataset of one band at 28 GHz"),
        ({"system": "multiuser", "mmwave": True}, "mmwave: expected false or a table: system multiuser has one band"),
    ],
)
def test_what_cannot_be_switched_is_one_line(assignments: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as caught:
        make_spec("uma", assignments=assignments)
    assert said in str(caught.value)


def test_a_file_can_say_it_and_a_flag_take_it_back(shell: Any) -> None:
    Path("one.toml").write_text("mmwave = false\n")
    asked = ("generate", "--samples", "15", "--scenario", FEW, *_set(SMALL))
    assert shell(*asked, "--out", "one.zarr", "--spec", "one.toml")[0] == 0
    assert shell(*asked, "--out", "both.zarr", "--spec", "one.toml", "--set", "mmwave=true")[0] == 0
    one, both = open_dataset("one.zarr"), open_dataset("both.zarr")
    assert (list(one.spec.bands), list(both.spec.bands)) == (["sub6"], ["sub6", "mmwave"])
    assert not [name for name in one.variables if name.endswith("mmwave")]


def test_half_the_bytes() -> None:
    assert sample_bytes(make_spec("uma", assignments={"mmwave": False})) < 0.8 * sample_bytes(make_spec("uma"))


@pytest.mark.parametrize("engine", ["fast", pytest.param("sionna", marks=pytest.mark.slow)])
def test_the_band_that_stays_has_the_bytes_that_it_had(tmp_path: Path, engine: str) -> None:
    spec = make_spec("uma", engine=engine, sizes=SizesSpec(train=9, val=3, test=3), assignments=SMALL)
    _same_first_band(tmp_path, spec)


def _same_first_band(folder: Path, spec: ScenarioSpec) -> None:
    both = open_dataset(generate(spec, folder / "both.zarr", seed=3, remember=False))
    alone = open_dataset(generate(spec.replace({"mmwave": False}), folder / "one.zarr", seed=3, remember=False))
    assert set(alone.variables) == {name for name in both.variables if not name.endswith("_mmwave")}
    for name in alone.variables:
        for split in SPLITS:
            np.testing.assert_array_equal(alone.array(name, split), both.array(name, split), err_msg=name)
    assert alone.digest != both.digest


def test_all_stages(shell: Any, caplog: pytest.LogCaptureFixture) -> None:
    make_dataset("one.zarr", small_spec(mmwave=False, sub6__num_subcarriers=8))
    assert shell("verify", "one.zarr")[0] == 0
    code, out, _ = shell("inspect", "one.zarr")
    assert (code, "28 GHz" in out, "h_sub6" in out) == (0, False, True)
    code, _, err = shell("run", "--data", "one.zarr", "--suite", "classical", "--tasks", "bf")
    assert code == 2
    assert "bf (it needs: a second band with one row of antennas" in err
    assert len(err.splitlines()) == 1
    code, out, err = shell("run", "--data", "one.zarr", "--methods", "zero", "--suite", "classical")
    assert code == 0, err
    asked = "a second band with one row of antennas, whose beams a DFT over the row describes"
    assert caplog.messages == [f"warning: task bf is left out of this dataset: it needs: {asked}"]
    assert not list(Path("results/cells").glob("*__bf__*"))
    assert list(Path("results/cells").glob("zero__cp__*.json"))
    for format_, file in (("npz", "one.npz"), ("llm4cp", "llm4cp")):
        code, _, err = shell("export", "one.zarr", "--format", format_, "--out", file)
        assert code == 0, err


def _set(assignments: dict[str, Any]) -> list[str]:
    return [part for name, value in assignments.items() for part in ("--set", f"{name}={value}")]
