"""The store: same bytes however it is made, honest when it is not whole, and every damage found."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import xarray as xr
import zarr
from datasets_by_hand import signed_anew

from channelbench import generation as generate_module
from channelbench.errors import RequestError
from channelbench.generation import generate
from channelbench.spec import BLOCK_SIZE, SPLITS, ScenarioSpec
from channelbench.store import layout, open_dataset, verify
from channelbench.store.schema import antenna_positions, subcarrier_hz, variables
from channelbench.store.verify import CHECKS
from channelbench.testing import FewRays, make_dataset, small_spec

TINY = {"sub6__num_subcarriers": 8, "mmwave__num_subcarriers": 4, "mmwave__array__columns": 16}


@pytest.fixture(scope="module")
def spec() -> ScenarioSpec:
    """Three units, whose borders do not meet the splits'."""
    return small_spec(train=341, val=68, test=103, **TINY)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, spec: ScenarioSpec) -> Path:
    return generate(spec, tmp_path_factory.mktemp("store") / "master.zarr")


@pytest.fixture
def made(tmp_path: Path, master: Path) -> Path:
    """A fresh copy that a test may damage."""
    return Path(shutil.copytree(master, tmp_path / "made.zarr"))


def problems(path: Path) -> dict[str, tuple[str, ...]]:
    return {finding.check: finding.problems for finding in verify(path) if not finding.ok}


def test_bare_xarray_opens_it(made: Path, spec: ScenarioSpec) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(made)
    for name, variable in variables(spec).items():
        assert dataset[name].dims == variable.dims
        assert dataset[name].dtype == variable.dtype
        assert dataset[name].attrs["units"] == variable.unit
    np.testing.assert_array_equal(dataset["subcarrier_sub6"], subcarrier_hz(spec.sub6))
    np.testing.assert_allclose(dataset["slot"], np.arange(20) * 0.5e-3)
    np.testing.assert_array_equal(dataset["antenna_position_mmwave"], antenna_positions(spec.bands["mmwave"]))
    assert "antenna_position_mmwave" in dataset.coords
    assert dataset["split"].attrs["flag_meanings"] == "train val test"
    assert dataset.attrs["complete"] == 1
    assert ScenarioSpec(**json.loads(dataset.attrs["spec"])) == spec
    assert {"seed", "versions", "content_digest", "license", "citation", "schema_version"} <= set(dataset.attrs)


def test_units_cover_every_row_once_and_in_block_order() -> None:
    for sizes in ((341, 68, 103), (200, 200, 200), (1, 1, 1), (399, 2, 650)):
        spec = small_spec().replace({"sizes": dict(zip(SPLITS, sizes, strict=True))})
        rows = [
            (piece.split, piece.index * BLOCK_SIZE + row)
            for unit in layout.units(spec)
            for piece in unit.pieces
            for row in range(piece.start, piece.stop)
        ]
        assert rows == [(split, i) for split in SPLITS for i in range(spec.sizes.of(split))]
        assert all(sum(p.num_samples for p in u.pieces) == u.stop - u.start for u in layout.units(spec))


def test_content_is_that_of_the_generator_block_by_block(made: Path, spec: ScenarioSpec) -> None:
    from channelbench.generator import Block

    dataset = open_dataset(made)
    for split in SPLITS:
        for index in range(-(-spec.sizes.of(split) // BLOCK_SIZE)):
            stop = min(BLOCK_SIZE, spec.sizes.of(split) - index * BLOCK_SIZE)
            block = FewRays().sample(spec, Block(split=split, index=index, stop=stop), 0)
            rows = slice(index * BLOCK_SIZE, index * BLOCK_SIZE + stop)
            for name in variables(spec):
                np.testing.assert_array_equal(dataset.array(name, split)[rows], block[name].values)


def test_larger_dataset_begins_with_the_smaller_one(made: Path, tmp_path: Path, spec: ScenarioSpec) -> None:
    larger = spec.replace({"sizes": {"train": 500, "val": 100, "test": 200}})
    small, large = open_dataset(made), open_dataset(generate(larger, tmp_path / "larger.zarr"))
    for split in SPLITS:
        ours, theirs = small.array("h_sub6", split), large.array("h_sub6", split)
        np.testing.assert_array_equal(ours, theirs[: len(ours)])


def test_workers_write_the_same_bytes(made: Path, tmp_path: Path, spec: ScenarioSpec) -> None:
    done: list[int] = []
    other = generate(spec, tmp_path / "two.zarr", workers=2, progress=lambda n, total: done.append(n))
    assert open_dataset(other).digest == open_dataset(made).digest
    files = sorted(path.relative_to(made) for path in made.rglob("c/**/*") if path.is_file())
    assert files
    assert all((other / path).read_bytes() == (made / path).read_bytes() for path in files)
    assert done[0] == 0
    assert done[-1] == spec.sizes.total


def test_seed_changes_the_digest(made: Path, tmp_path: Path, spec: ScenarioSpec) -> None:
    assert open_dataset(generate(spec, tmp_path / "b.zarr", seed=1)).digest != open_dataset(made).digest


def test_interrupted_generation_is_marked_and_continues(
    made: Path, tmp_path: Path, spec: ScenarioSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = tmp_path / "broken.zarr", generate_module.make_unit
    calls: list[int] = []

    def failing(spec, seed, unit, files):
        calls.append(unit.index)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(spec, seed, unit, files)

    monkeypatch.setattr(generate_module, "make_unit", failing)
    with pytest.raises(KeyboardInterrupt):
        generate(spec, path)
    with pytest.raises(RequestError, match="1 of 3 blocks written"):
        open_dataset(path)
    assert "complete" in problems(path)
    assert generate(spec, path) == path
    assert calls == [0, 1, 1, 2]
    assert open_dataset(path).digest == open_dataset(made).digest
    assert not problems(path)


def test_finished_dataset_is_left_alone(made: Path, spec: ScenarioSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate_module, "make_unit", lambda *a: pytest.fail("generated again"))
    assert generate(spec, made) == made


def test_other_spec_or_seed_is_refused_and_named(made: Path, spec: ScenarioSpec) -> None:
    before = (made / "zarr.json").read_bytes()
    with pytest.raises(RequestError, match=r"rho_z: 1.0 → 0.5; seed: 0 → 2"):
        generate(spec.replace({"rho_z": 0.5}), made, seed=2)
    assert (made / "zarr.json").read_bytes() == before


def test_targets_that_are_not_ours(tmp_path: Path, spec: ScenarioSpec) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "note").write_text("x")
    foreign = tmp_path / "foreign.zarr"
    zarr.create_group(store=str(foreign))
    for target, fragment in ((file, "a file"), (folder, "no Zarr group"), (foreign, "another Zarr group")):
        with pytest.raises(RequestError, match=fragment):
            generate(spec, target)
    assert file.read_text() == "x"
    assert [p.name for p in folder.iterdir()] == ["note"]
    with pytest.raises(RequestError, match="can be written"):
        generate(spec, file / "below")


def test_whole_dataset_passes(made: Path) -> None:
    assert tuple(finding.check for finding in verify(made)) == CHECKS
    assert problems(made) == {}


def flip_bit(path: Path, position: int = 100) -> None:
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", list(variables(small_spec())))
def test_one_flipped_bit_is_found_in_any_variable(made: Path, name: str) -> None:
    flip_bit(next(path for path in (made / name / "c").rglob("*") if path.is_file()))
    found = problems(made)
    assert any(name in problem for problem in found["digests"])


@pytest.mark.parametrize("position", [0, 5000, -300, -10, -4, -1])
def test_one_flipped_bit_is_found_anywhere_in_a_shard(tmp_path: Path, spec: ScenarioSpec, position: int) -> None:
    """In its samples, its index of chunks and the index's checksum."""
    made = Path(generate(spec, tmp_path / "shards.zarr", chunk_samples=10, remember=False))
    flip_bit(next(path for path in (made / "h_sub6" / "c" / "0").rglob("*") if path.is_file()), position)
    assert any("h_sub6" in problem for problem in problems(made)["digests"])


def test_lost_chunk_is_found(made: Path) -> None:
    next(path for path in (made / "h_sub6" / "c").rglob("*") if path.is_file()).unlink()
    found = problems(made)
    assert found["chunks"] == ("h_sub6: 1 of 3 files are missing",)
    assert "zeros" in found
    assert "digests" in found


def put(values: np.ndarray, row, new) -> np.ndarray:
    values = values.copy()
    values[row] = new
    return values


@pytest.mark.parametrize(
    ("check", "name", "change"),
    [
        ("nan", "h_sub6", lambda v: put(v, 7, np.nan)),
        ("nan", "k_factor_db_sub6", lambda v: put(v, 7, np.nan)),  # all samples here have a line of sight
        ("nan", "distance_m", lambda v: put(v, 7, np.inf)),
        ("zeros", "h_mmwave", lambda v: put(v, 9, 0)),
        ("power", "h_sub6", lambda v: v * np.float32(1.3)),
        ("splits", "drop", lambda v: put(v, -1, v[0])),
        ("splits", "split", lambda v: put(v, 0, 2)),
    ],
)
def test_wrong_physics_is_found(made: Path, check: str, name: str, change) -> None:
    signed_anew(made, name, change)
    found = problems(made)
    assert check in found
    assert "digests" not in found


def test_shared_trajectory_between_splits_is_found(made: Path) -> None:
    for name in ("ue_position", "ue_velocity"):
        signed_anew(made, name, lambda v: put(v, -1, v[0]))
    assert found_in(problems(made)["splits"], "position and velocity stand in both train and test")


def found_in(texts: tuple[str, ...], fragment: str) -> bool:
    return any(fragment in text for text in texts)


def test_nan_is_allowed_where_nlos_has_no_k_factor(tmp_path: Path, spec: ScenarioSpec) -> None:
    path = generate(spec, tmp_path / "nlos.zarr")
    signed_anew(path, "los", np.zeros_like)
    signed_anew(path, "k_factor_db_sub6", lambda v: np.full_like(v, np.nan))
    assert not problems(path)


def test_other_schema_and_damaged_metadata_are_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="existing dataset"):
        open_dataset(tmp_path / "absent.zarr")
    for change, fragment in (
        (lambda m: m["attributes"].update(schema_version="0"), "version 0"),
        (lambda m: m["attributes"].update(spec=m["attributes"]["spec"].replace('"scenario"', '"other"')), "valid spec"),
        (lambda m: m["attributes"].pop("spec"), "another Zarr group"),
    ):
        copy = tmp_path / "copy.zarr"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(made, copy)
        meta = json.loads((copy / "zarr.json").read_text())
        change(meta)
        (copy / "zarr.json").write_text(json.dumps(meta))
        with pytest.raises(RequestError, match=fragment):
            open_dataset(copy)
    (copy / "zarr.json").write_text("{ not json")
    with pytest.raises(RequestError, match="Zarr"):
        open_dataset(copy)


def test_missing_variable_is_refused(made: Path, spec: ScenarioSpec) -> None:
    group = zarr.open_group(str(made), mode="r+")
    del group["los"]
    layout.finish(made, spec, 0)
    with pytest.raises(RequestError, match="los"):
        open_dataset(made)


@pytest.mark.parametrize("limit", ["MOST_IN_MEMORY", "MOST_OF_FREE"])
@pytest.mark.parametrize("index", [(), (slice(0, 2),), (1, slice(1, 4))])
def test_rows_of_what_is_too_large_for_memory_are_read_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: tuple[Any, ...], limit: str
) -> None:
    """The same rows, whether or not the split is kept, and the same mean powers; nothing is kept then."""
    import channelbench.store.dataset as module

    small = make_dataset(tmp_path / "few.zarr", small_spec(sub6__num_slots=4, sub6__num_subcarriers=6))
    cases = np.array([7, 0, 19, 7])
    kept = small.rows("h_sub6", "val", cases, *index)
    power = small.sample_power("sub6", "val")
    monkeypatch.setattr(module, limit, 100 / psutil.virtual_memory().total if limit == "MOST_OF_FREE" else 100)
    monkeypatch.setattr(module, "PIECE_BYTES", 1)
    large = module.open_dataset(small.path)
    np.testing.assert_array_equal(large.rows("h_sub6", "val", cases, *index), kept)
    np.testing.assert_array_equal(large.view("val").rows("h_sub6", cases, *index), kept)
    np.testing.assert_array_equal(large.sample_power("sub6", "val"), power)
    assert ("h_sub6", "val") not in large._memo
    assert large.rows("h_sub6", "val", np.empty(0, np.int64), *index).shape == (0, *kept.shape[1:])
    monkeypatch.setattr(module.DirectArray, "of", lambda array: None)
    np.testing.assert_array_equal(large.rows("h_sub6", "val", cases, *index), kept)
