"""What xarray selects of a dataset is written and read by xarray alone; the accessor; what a dataset prints."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from foreign_arrays import AXES, BAND, channels

import channelbench.xarray  # noqa: F401 (registers `.cb`)
from channelbench.errors import RequestError
from channelbench.generation import generate
from channelbench.store import ChannelDataset, layout, open_dataset, save
from channelbench.testing import small_spec

TINY = {"sub6__num_subcarriers": 4, "sub6__num_slots": 4}
BOTH = TINY | {"mmwave__num_subcarriers": 2, "mmwave__array__columns": 8, "mmwave__num_beams": 16}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """xarray's own writing warns that its group metadata are newer than the specification."""
    with layout.quiet_zarr():
        yield


@pytest.fixture(scope="module")
def dual(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    """Three files of each variable, those of the channels shards of four chunks; splits end within files."""
    spec = small_spec(train=341, val=68, test=103, **BOTH)
    return open_dataset(generate(spec, tmp_path_factory.mktemp("dual") / "d.zarr", chunk_samples=50, remember=False))


@pytest.fixture(scope="module")
def multiuser(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    """One band, an array of several rows."""
    spec = small_spec(train=230, val=30, test=40, system="multiuser", **TINY)
    return open_dataset(generate(spec, tmp_path_factory.mktemp("multi") / "m.zarr", remember=False))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    """Channels and nothing else: no positions, gains or lines of sight."""
    from channelbench.generators.imported.importing import import_dataset

    folder = tmp_path_factory.mktemp("imported")
    np.save(folder / "h.npy", channels(70, 4, 4, 4))
    told = {"axes": AXES, **BAND}
    return open_dataset(import_dataset(folder / "h.npy", folder / "d.zarr", assignments=told, remember=False).path)


OPENED: dict[str, Callable[[ChannelDataset], xr.Dataset]] = {
    "dask": lambda dataset: xr.open_zarr(dataset.path),
    "lazy": lambda dataset: xr.open_zarr(dataset.path, chunks=None),
    "view": lambda dataset: dataset.xarray,
}


def written_and_read(selection: xr.Dataset, folder: Path, name: str) -> Iterator[xr.Dataset]:
    """By xarray alone, as Zarr and as netCDF."""
    selection.to_zarr(folder / f"{name}.zarr")
    with xr.open_zarr(folder / f"{name}.zarr") as read:
        yield read
    selection.to_netcdf(folder / f"{name}.nc", engine="h5netcdf")
    with xr.open_dataset(folder / f"{name}.nc", engine="h5netcdf") as read:
        yield read


@pytest.mark.parametrize(
    ("name", "way", "split"),
    [
        ("dual", "dask", "validation"),
        ("dual", "lazy", "train"),
        ("dual", "view", "test"),
        ("multiuser", "dask", "test"),
        ("imported", "dask", "train"),
    ],
)
def test_splits_are_written_again_by_xarray(
    name: str, way: str, split: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """However it was opened; the selection equals what numpy selects."""
    dataset: ChannelDataset = request.getfixturevalue(name)
    chosen = getattr(OPENED[way](dataset).cb, split)
    rows = dataset.group["split"][:] == ("train", "validation", "test").index(split)
    np.testing.assert_array_equal(chosen["h_sub6"], dataset.group["h_sub6"][:][rows])
    for read in written_and_read(chosen, tmp_path, split):
        assert read.identical(chosen)
        assert set(read.data_vars) == {*dataset.variables}


def test_rows_are_selected_by_variables(dual: ChannelDataset, tmp_path: Path) -> None:
    """Where they are no dask array, by xarray itself; it selects by none, of whatever is opened."""
    few = ["h_sub6", "split", "los", "distance_m"]
    plain, view = xr.open_zarr(dual.path)[few], dual.xarray[few]
    assert view["h_sub6"].chunks is not None
    lazy = xr.open_zarr(dual.path, chunks=None)[few]
    for opened in (view, lazy):
        for rows in (opened.split == 0, opened.los & (opened.distance_m < 250)):
            chosen = opened.isel(sample=rows)
            np.testing.assert_array_equal(chosen["h_sub6"], dual.group["h_sub6"][:][rows.values])
    chosen.to_zarr(tmp_path / "lazy.zarr")
    assert xr.open_zarr(tmp_path / "lazy.zarr").identical(chosen)
    view.isel(sample=view.split == 1).to_zarr(tmp_path / "val.zarr", align_chunks=True)
    assert xr.open_zarr(tmp_path / "val.zarr").identical(view.isel(sample=view.split == 1))
    with pytest.raises(KeyError, match=r"compute the indexer first using .compute"):
        plain.isel(sample=plain.split == 0)
    assert plain.isel(sample=(plain.split == 0).compute()).sizes["sample"] == 341
    assert plain.cb.select(plain.split == 0).identical(plain.cb.train)


@pytest.mark.parametrize(
    "rows", [5, slice(7, 300, 11), [400, 3, 77], np.arange(512) % 3 == 0], ids=["one", "slice", "list", "scattered"]
)
def test_whatever_is_selected_is_written(dual: ChannelDataset, rows: Any, tmp_path: Path) -> None:
    few = ["h_sub6", "h_mmwave", "split", "k_factor_db_sub6", "los", "ue_position"]
    chosen = xr.open_zarr(dual.path)[few].cb.select(rows)
    expected = dual.group["h_mmwave"][:][np.atleast_1d(rows) if not isinstance(rows, slice) else rows]
    np.testing.assert_array_equal(chosen["h_mmwave"], expected)
    for read in written_and_read(chosen, tmp_path, "some"):
        assert read.identical(chosen)


@pytest.mark.parametrize("some", [{"slot": slice(0, 2)}, {"sample": 5}, {"antenna_sub6": [0, 2], "sample": [1, 300]}])
def test_selections_of_other_dimensions_are_saved(dual: ChannelDataset, some: dict[str, Any], tmp_path: Path) -> None:
    few = ["h_sub6", "split", "ue_position"]
    for way in ("dask", "lazy"):
        chosen = OPENED[way](dual)[few].isel(some)
        save(chosen, tmp_path / f"{way}.zarr")
        with xr.open_zarr(tmp_path / f"{way}.zarr") as read:
            assert read.equals(chosen)


def test_a_selection_is_no_dataset_and_is_told_so(dual: ChannelDataset, tmp_path: Path) -> None:
    dual.xarray.cb.test.to_zarr(tmp_path / "test.zarr")
    with pytest.raises(RequestError, match=f"a whole dataset, got .*part of {dual.digest}"):
        open_dataset(tmp_path / "test.zarr")
    xr.open_zarr(dual.path, chunks=None).isel(sample=slice(0, 99)).to_zarr(tmp_path / "plain.zarr")
    with pytest.raises(RequestError, match=r"a whole dataset of 512 samples, got .*99 of its samples"):
        open_dataset(tmp_path / "plain.zarr")


def test_the_accessor_says_what_a_dataset_is(dual: ChannelDataset, tmp_path: Path) -> None:
    whole, test = dual.xarray.cb, dual.xarray.cb.test.cb
    for each in (whole, test, xr.open_zarr(dual.path).cb):
        assert each.digest == dual.digest
        assert each.spec == dual.spec
        assert each.licence == dual.spec.source.licence
        assert each.citation == dual.spec.source.citation
    assert (whole.is_whole, test.is_whole, test.train.sizes["sample"]) == (True, False, 0)
    assert repr(test).startswith(f"<part of channelbench {dual.spec.title}, digest {dual.digest[:12]}")
    whole.save(tmp_path / "copy.zarr")
    assert open_dataset(tmp_path / "copy.zarr").digest == dual.digest
    with pytest.raises(RequestError, match="a dataset that channelbench made"):
        xr.Dataset({"a": ("x", [1])}).cb.train  # noqa: B018


def test_tasks_of_a_dataset_and_why_not_the_others(
    dual: ChannelDataset, multiuser: ChannelDataset, imported: ChannelDataset
) -> None:
    both, one, foreign = (each.xarray.cb.tasks for each in (dual, multiuser, imported))
    assert both["can"].all()
    assert not one.loc["bf", "can"]
    assert "second band with one row of antennas" in one.loc["bf", "why_not"]
    assert set(foreign.index[~foreign["can"]]) == {"bf", "de", "pe"}
    assert foreign.loc["de", "why_not"] == "it has no distance_m and no path_gain_db_sub6"
    assert (foreign["why_not"] == "").equals(foreign["can"])


def test_beams_are_those_of_the_task(dual: ChannelDataset, multiuser: ChannelDataset) -> None:
    from channelbench.registry import create

    task, view = create("tasks", "bf"), dual.view("test")
    _, target = task.observe(view, np.arange(view.size), task.conditions())
    for opened in (dual.xarray, xr.open_zarr(dual.path), xr.open_zarr(dual.path, chunks=None)):
        beams = opened.cb.test.cb.beams()
        np.testing.assert_array_equal(beams["best_beam"], target.value)
        np.testing.assert_array_equal(beams["beam_se"], target.context["beam_se"])
    # By its definition, beam after beam in float64: mean of log2(1 + |hᴴw|²/σ²), σ² a tenth of the mean power.
    h, book = dual.array("h_mmwave", "test").astype(np.complex128), dual.xarray.cb.codebook().values
    assert book.shape == (16, 8)
    noise = (np.abs(h) ** 2).mean(axis=-1) / 10
    brute = np.log2(1 + np.abs(h.conj() @ book.T) ** 2 / noise[..., None]).mean(axis=(1, 2))
    np.testing.assert_allclose(beams["beam_se"], brute, rtol=1e-5)
    with pytest.raises(RequestError, match="one row of antennas"):
        multiuser.xarray.cb.beams("sub6")
    with pytest.raises(RequestError, match="whose channels are here, got 'mmwave'; choices: sub6"):
        multiuser.xarray.cb.beams()


def test_a_dataset_says_what_it_is(dual: ChannelDataset) -> None:
    text, page = repr(dual), dual._repr_html_()
    for wanted in (
        dual.path,
        dual.spec.title,
        "six rays in closed form, seed 0",
        "512 × 4 × 4 × 8 (sample, slot, subcarrier, antenna) complex64; 1.9 GHz, 60 MHz",
        "512 × 1 × 2 × 8 (sample, slot, subcarrier, antenna) complex64; 28 GHz, 500 MHz",
        "341 train, 68 val, 103 test",
        dual.digest,
        "distance_m",
        "CC-BY-4.0",
    ):
        assert wanted in text
        assert html.escape(wanted) in page
    size = sum(file.stat().st_size for file in Path(dual.path).rglob("*") if file.is_file())
    said = re.search(r"on disk +([0-9.]+) kB", text)
    assert said is not None
    assert float(said[1]) == pytest.approx(size / 1000, rel=6e-3)
    assert "complete  yes" in text


def test_an_unfinished_dataset_says_so(tmp_path: Path) -> None:
    layout.create(tmp_path / "begun.zarr", small_spec(**BOTH), 0, "test")
    text = repr(open_dataset(tmp_path / "begun.zarr", allow_unfinished=True))
    assert "complete  no: the same command continues it" in text
    assert "digest    none yet" in text


def test_the_accessor_is_there_when_it_is_asked_for_and_costs_nothing_before() -> None:
    code = (
        "import sys, channelbench; assert 'xarray' not in sys.modules; import channelbench.xarray, xarray; "
        "assert hasattr(xarray.Dataset, 'cb'); print([name for name in ('torch', 'sionna') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
