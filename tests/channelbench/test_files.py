"""The files of a dataset: their bytes are what Zarr itself would write, and how they are cut changes no value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from channelbench.errors import RequestError
from channelbench.generation import generate, make_spec
from channelbench.spec import BLOCK_SIZE, ScenarioSpec, split_samples
from channelbench.store import layout, open_dataset, verify
from channelbench.store.files import CHUNK_BYTES, FILE_BYTES, Files
from channelbench.store.schema import variables
from channelbench.testing import small_spec

FEW = {"sub6__num_subcarriers": 8, "mmwave__num_subcarriers": 4, "mmwave__array__columns": 16}
CUTS = [(200, 200), (200, 50), (400, 80), (600, 25), (1000, 1)]


@pytest.fixture
def spec() -> ScenarioSpec:
    return small_spec(train=430, val=60, test=140, **FEW)


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_files_are_those_that_zarr_writes(tmp_path: Path, spec: ScenarioSpec, cut: tuple[int, int]) -> None:
    """With a last file that is not full, and a last chunk in it that is not."""
    ours = generate(spec, tmp_path / "ours.zarr", file_samples=cut[0], chunk_samples=cut[1])
    layout.create(tmp_path / "zarrs.zarr", spec, 0, "", Files.choose(spec, *cut))
    here, there = zarr.open_group(ours, mode="r"), zarr.open_group(tmp_path / "zarrs.zarr", mode="r+")
    with zarr.config.set({"array.write_empty_chunks": True}):
        for name in (*variables(spec), "unit_digest"):
            there[name][:] = here[name][:]
    paths = sorted(path.relative_to(ours) for path in Path(ours).rglob("c/**/*") if path.is_file())
    assert paths == sorted(
        path.relative_to(tmp_path / "zarrs.zarr")
        for path in (tmp_path / "zarrs.zarr").rglob("c/**/*")
        if path.is_file()
    )
    for path in paths:
        assert (Path(ours) / path).read_bytes() == (tmp_path / "zarrs.zarr" / path).read_bytes(), path


def test_cuts_change_neither_values_nor_digest(tmp_path: Path, spec: ScenarioSpec) -> None:
    whole = open_dataset(generate(spec, tmp_path / "default.zarr"))
    for number, (file_samples, chunk_samples) in enumerate(CUTS):
        path = generate(
            spec,
            tmp_path / f"{number}.zarr",
            file_samples=file_samples,
            chunk_samples=chunk_samples,
            workers=2 if number == 1 else 1,
        )
        other = open_dataset(path)
        assert other.digest == whole.digest
        assert all(finding.ok for finding in verify(path))
        h = other.group["h_sub6"]
        assert (h.shards or h.chunks)[0] == file_samples
        assert h.chunks[0] == chunk_samples
        for name in variables(spec):
            np.testing.assert_array_equal(other.xarray[name].values, whole.xarray[name].values)


def test_defaults_keep_files_and_chunks_small() -> None:
    for system, preset in (("dualband", "paper"), ("multiuser", "paper"), ("dualband", "quick")):
        spec = make_spec("uma", system=system, preset=preset)
        files = Files.choose(spec)
        assert files.unit_rows % BLOCK_SIZE == 0
        assert spec.sizes.total / files.unit_rows >= 4
        for name, variable in variables(spec).items():
            per_sample = int(np.prod(variable.shape[1:])) * np.dtype(variable.dtype).itemsize
            assert files.unit_rows % files.chunk_rows[name] == 0
            assert files.chunk_rows[name] * per_sample <= CHUNK_BYTES
            assert files.unit_rows == BLOCK_SIZE or files.unit_rows * per_sample <= FILE_BYTES
    assert Files.choose(make_spec("uma", sizes=split_samples(10**8))).unit_rows == 800


@pytest.mark.parametrize(
    ("file_samples", "chunk_samples", "message"),
    [
        (100, None, "--file-samples: expected a multiple of 200"),
        (400, 60, "--chunk-samples: expected a divisor of 400"),
    ],
)
def test_cuts_that_do_not_fit_are_refused(
    tmp_path: Path, spec: ScenarioSpec, file_samples: int, chunk_samples: int, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        generate(spec, tmp_path / "x.zarr", file_samples=file_samples, chunk_samples=chunk_samples)
    assert not (tmp_path / "x.zarr").exists()


def test_a_dataset_keeps_the_files_it_was_begun_with(
    tmp_path: Path, spec: ScenarioSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    import channelbench.generation as module

    real, calls = module.make_unit, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "make_unit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate(spec, tmp_path / "begun.zarr", file_samples=400, chunk_samples=100)
    monkeypatch.setattr(module, "make_unit", real)
    dataset = open_dataset(generate(spec, tmp_path / "begun.zarr"))
    assert dataset.group["h_sub6"].shards[0] == 400
    assert dataset.digest == open_dataset(generate(spec, tmp_path / "other.zarr")).digest


@pytest.mark.parametrize("name", list(variables(small_spec())))
def test_a_flipped_bit_is_found_in_every_variable(tmp_path: Path, spec: ScenarioSpec, name: str) -> None:
    path = Path(generate(spec, tmp_path / "flipped.zarr", file_samples=400, chunk_samples=100))
    target = sorted(file for file in (path / name / "c").rglob("*") if file.is_file())[0]
    data = bytearray(target.read_bytes())
    data[len(data) // 3] ^= 1 << 5
    target.write_bytes(data)
    found = {finding.check: finding.problems for finding in verify(path) if not finding.ok}
    assert any(problem.startswith(f"{name} in rows") for problem in found["digests"])


def test_a_damaged_index_and_a_file_cut_short_are_found(tmp_path: Path, spec: ScenarioSpec) -> None:
    path = Path(generate(spec, tmp_path / "damaged.zarr", file_samples=400, chunk_samples=100))
    first, second = sorted(file for file in (path / "h_sub6" / "c").rglob("*") if file.is_file())
    data = bytearray(first.read_bytes())
    data[-10] ^= 1
    first.write_bytes(data)
    second.write_bytes(second.read_bytes()[:-5])
    found = {finding.check: finding.problems for finding in verify(path) if not finding.ok}
    assert {"h_sub6 in rows 0…", "h_sub6 in rows 400…"} <= set(found["digests"])
