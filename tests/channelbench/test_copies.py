"""Datasets that xarray has copied are datasets, and what it has cut out of them is said to be a part."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from channelbench.benchmarks.runner import run
from channelbench.errors import RequestError
from channelbench.generation import generate
from channelbench.store import ChannelDataset, layout, open_dataset, save, verify
from channelbench.testing import small_spec

TINY = {"sub6__num_subcarriers": 4, "sub6__num_slots": 4, "mmwave__num_subcarriers": 2, "mmwave__array__columns": 8}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """xarray's own writing warns that its group metadata are newer than the specification."""
    with layout.quiet_zarr():
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    """Three files of each variable, those of the channels shards of four chunks."""
    spec = small_spec(train=341, val=68, test=103, **TINY)
    return open_dataset(generate(spec, tmp_path_factory.mktemp("copies") / "d.zarr", chunk_samples=50, remember=False))


def findings(path: Path) -> list[str]:
    return [line for finding in verify(path) for line in (*finding.problems, *finding.notes)]


def test_what_xarray_copies_is_the_same_dataset(whole: ChannelDataset, tmp_path: Path) -> None:
    """Whichever way it is opened; ``block`` and the like are zeros in whole files, which xarray does not write."""
    plain = xr.open_zarr(whole.path)
    plain.to_zarr(tmp_path / "aligned.zarr", align_chunks=True)
    xr.open_dataset(whole.path, engine="zarr").to_zarr(tmp_path / "lazy.zarr")
    whole.xarray.to_zarr(tmp_path / "view.zarr")
    plain.chunk(sample=200).to_zarr(tmp_path / "pieces.zarr")
    save(plain, tmp_path / "saved.zarr")
    for copy in ("aligned", "lazy", "view", "pieces", "saved"):
        path = tmp_path / f"{copy}.zarr"
        assert findings(path) == [], copy
        assert open_dataset(path).digest == whole.digest
        np.testing.assert_array_equal(open_dataset(path).array("h_sub6", "test"), whole.array("h_sub6", "test"))
    assert not (tmp_path / "lazy.zarr" / "block" / "c" / "0").exists()
    assert (tmp_path / "saved.zarr" / "block" / "c" / "0").exists()


def test_a_copy_in_other_pieces_is_the_same_dataset_and_verify_says_so(whole: ChannelDataset, tmp_path: Path) -> None:
    view = whole.xarray.chunk(sample=512)
    for variable in view.variables.values():
        for name in ("chunks", "shards", "preferred_chunks", "compressors"):
            variable.encoding.pop(name, None)
    view.to_zarr(tmp_path / "other.zarr")
    assert open_dataset(tmp_path / "other.zarr").group["h_sub6"].chunks[0] == 512
    assert findings(tmp_path / "other.zarr") == [
        "stored in other chunks or codecs than when it was made, as a copy may be"
    ]


def test_run_scores_a_copy_as_the_dataset(tmp_path: Path) -> None:
    dataset = open_dataset(generate(small_spec(**TINY), tmp_path / "d.zarr", remember=False))
    copy, out = save(xr.open_zarr(dataset.path), tmp_path / "copy.zarr"), tmp_path / "results"
    outcome = run("classical", data=copy, out=out, tasks=("cp",), methods=("hold",), device="cpu")
    assert outcome.written
    assert not outcome.failed
    cell = json.loads(next((out / "cells").glob("*hold*.json")).read_text())
    assert cell["test_digest"] == dataset.split_digest("test")


def test_a_file_of_zeros_is_lost_only_if_it_held_something_else(whole: ChannelDataset, tmp_path: Path) -> None:
    path = Path(shutil.copytree(whole.path, tmp_path / "d.zarr"))
    (path / "block" / "c" / "0").unlink()  # the first 200 rows are of block 0
    assert findings(path) == []
    (path / "drop" / "c" / "2").unlink()
    assert "drop: 1 of 3 files are missing" in findings(path)


@pytest.mark.parametrize("rows", [slice(0, 100), slice(33, 477), slice(None, None, 3), [5, 400, 7]], ids=str)
def test_parts_are_written_and_are_no_dataset(whole: ChannelDataset, tmp_path: Path, rows: slice | list[int]) -> None:
    for view in (whole.xarray, xr.open_zarr(whole.path)):
        path = tmp_path / "part.zarr"
        save(view.isel(sample=rows).drop_vars("h_mmwave"), path)
        with xr.open_zarr(path) as part:
            np.testing.assert_array_equal(part["h_sub6"], whole.group["h_sub6"][:][rows])
            np.testing.assert_array_equal(part["drop"], whole.group["drop"][:][rows])
            assert "unit_digest" not in part
            assert not {"complete", "content_digest", "metadata_digest"} & set(part.attrs)
        with pytest.raises(RequestError, match=f"a whole dataset, got .*part of {whole.digest}"):
            open_dataset(path)
        with pytest.raises(RequestError, match="a new place"):
            save(view, path)
        shutil.rmtree(path)


def test_two_datasets_are_joined_along_their_samples(whole: ChannelDataset, tmp_path: Path) -> None:
    other = open_dataset(generate(small_spec(**TINY), tmp_path / "o.zarr", seed=1, remember=False))
    plain = [xr.open_zarr(dataset.path, drop_variables="unit_digest") for dataset in (whole, other)]
    for views in ([whole.samples, other.samples], plain):
        both = xr.concat(views, "sample")
        assert both.sizes["sample"] == 512 + 110
        np.testing.assert_array_equal(both["drop"][512:], other.group["drop"][:])
        np.testing.assert_array_equal(both["subcarrier_sub6"], views[0]["subcarrier_sub6"])
    save(xr.concat([whole.samples, other.samples], "sample"), tmp_path / "both.zarr")
    with pytest.raises(RequestError, match="a whole dataset"):
        open_dataset(tmp_path / "both.zarr")


def test_netcdf_takes_attributes_and_numbers(whole: ChannelDataset, tmp_path: Path) -> None:
    scalars = xr.open_zarr(whole.path).drop_vars(["h_sub6", "h_mmwave"])
    scalars.to_netcdf(tmp_path / "scalars.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "scalars.nc", engine="h5netcdf") as read:
        assert json.loads(read.attrs["spec"]) == whole.record.spec
        assert read.attrs["complete"] == 1
        np.testing.assert_array_equal(read["delay_spread_s_sub6"], scalars["delay_spread_s_sub6"])
    with pytest.warns(UserWarning, match="invalid netcdf features"):  # complex numbers, which netCDF does not have
        xr.open_zarr(whole.path)[["h_sub6"]].to_netcdf(tmp_path / "h.nc", engine="h5netcdf", invalid_netcdf=True)
    with xr.open_dataset(tmp_path / "h.nc", engine="h5netcdf") as read:
        np.testing.assert_array_equal(read["h_sub6"], whole.group["h_sub6"][:])


@pytest.mark.parametrize("consolidated", [None, False])
def test_xarray_opens_nothing_unfinished(tmp_path: Path, consolidated: bool | None) -> None:
    path = tmp_path / "begun.zarr"
    layout.create(path, small_spec(**TINY), 0, "test")
    # Which of two lengths is named first is the order in which the folder is listed.
    with pytest.raises(ValueError, match=r"length 0 on .*'unfinished'"):
        xr.open_zarr(path, consolidated=consolidated)
    generate(small_spec(**TINY), path, remember=False)
    assert "unfinished" not in xr.open_zarr(path, consolidated=consolidated)
    assert not (path / "unfinished").exists()
    assert findings(path) == []


def test_an_unfinished_dataset_is_judged_by_what_is_written(whole: ChannelDataset, tmp_path: Path) -> None:
    path = tmp_path / "begun.zarr"
    shutil.copytree(whole.path, path)
    begun = zarr.open_group(str(path), mode="r+")
    begun["unit_digest"][1] = 0
    begun.update_attributes({"complete": 0, "content_digest": "", "metadata_digest": "", "storage_digest": ""})
    for name in whole.variables:
        shutil.rmtree(path / name / "c" / "1", ignore_errors=True)
        (path / name / "c" / "1").unlink(missing_ok=True)
    assert findings(path) == [
        "1 of 3 blocks are not written",
        "not compared with a digest, which comes when the dataset is finished",
        "not checked: the dataset is not finished",
    ]
    (path / "los" / "c" / "0").unlink()
    assert "los: 1 of 2 files are missing" in findings(path)
