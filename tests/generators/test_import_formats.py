"""LLM4CP, WiFo and SoM2025, what is exported, and that an import of an export has the same channels."""

import json
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import xarray as xr
from foreign_arrays import channels, write_mat73

from channelbench.assignments import read_toml
from channelbench.errors import RequestError
from channelbench.generators.imported import formats
from channelbench.generators.imported.exporting import export_dataset
from channelbench.generators.imported.importing import import_dataset, look
from channelbench.spec import SPLITS
from channelbench.store import open_dataset, verify
from channelbench.testing import make_dataset, small_spec

BAND = {"sub6.carrier_hz": 3.5e9, "sub6.bandwidth_hz": 2.88e6, "sub6.slot_s": 5e-4}


def imported(path: Path, out: Path, assignments: dict):
    return open_dataset(import_dataset(path, out, assignments=assignments, remember=False).path)


def rows_of(dataset, name: str):
    return np.concatenate([dataset.array(name, split) for split in SPLITS])


@pytest.mark.parametrize("format", ["npz", "mat", "hdf5", "netcdf"])
def test_an_import_of_an_export_is_the_same_dataset(format: str, few_rays, tmp_path: Path) -> None:
    path = export_dataset(few_rays.path, format=format, out=tmp_path / f"few.{format}")
    again = imported(path, tmp_path / "again.zarr", {})
    assert again.spec.bands == few_rays.spec.bands
    assert again.spec.sizes == few_rays.spec.sizes
    assert (again.spec.source.scale, again.spec.source.split) == ("normalised", "file")
    assert again.spec.bs_height_m == few_rays.spec.bs_height_m
    assert again.spec.source.licence == few_rays.spec.source.licence
    assert again.variables.keys() == few_rays.variables.keys()
    for name in few_rays.variables:
        for split in SPLITS:
            if name != "drop":
                np.testing.assert_array_equal(again.array(name, split), few_rays.array(name, split), err_msg=name)
    assert all(finding.ok for finding in verify(again.path))


@pytest.mark.parametrize("format", ["npz", "mat", "hdf5", "netcdf"])
def test_an_export_without_path_gain_comes_back_as_it_was(format: str, tmp_path: Path) -> None:
    """Its channels have the path gain in them: no power is too large, and no split's mean has to be 1."""
    np.save(tmp_path / "h.npy", channels(60, 2) * np.logspace(-2, 2, 60, dtype=np.float32)[:, None, None, None])
    told = {"axes": "sample,slot,subcarrier,antenna", **BAND, "sub6.array.columns": 4}
    one = imported(tmp_path / "h.npy", tmp_path / "one.zarr", told)
    two = imported(export_dataset(one.path, format=format, out=tmp_path / f"x.{format}"), tmp_path / "two.zarr", {})
    np.testing.assert_array_equal(rows_of(one, "h_sub6"), rows_of(two, "h_sub6"))
    for dataset in (one, two):
        assert all(finding.ok for finding in verify(dataset.path))
        assert list(dataset.variables) == ["h_sub6", "drop", "block", "split"]
    with pytest.raises(RequestError, match="bs_height_m: expected 25, as the file has it, or nothing, got 30"):
        import_dataset(
            _with_height(tmp_path), tmp_path / "three.zarr", assignments={"bs_height_m": 30.0}, remember=False
        )


@pytest.mark.parametrize("format", ["npz", "mat", "hdf5", "netcdf", "llm4cp"])
def test_an_export_of_what_is_partly_known_comes_back(format: str, tmp_path: Path) -> None:
    """One antenna, a line of sight and gains with their fading, and neither positions nor a second band; one row of
    several columns for MATLAB, which has no vectors."""
    arrays = {"h": 1e-5 * channels(60, 5, 3, 1), "seen": np.arange(60) % 3 == 0}
    np.savez(tmp_path / "h.npz", **arrays)
    told = {"axes": "sample,slot,subcarrier,antenna", **BAND, "los_key": "seen", "scale": "physical"}
    one = imported(tmp_path / "h.npz", tmp_path / "one.zarr", told)
    path = export_dataset(one.path, format=format, out=tmp_path / f"x.{format}")
    two = imported(path, tmp_path / "two.zarr", read_toml(path / "channelbench.toml") if path.is_dir() else {})
    assert two.spec.sub6 == one.spec.sub6
    same = ["h_sub6"] if format == "llm4cp" else ["h_sub6", "path_gain_db_sub6", "los", "split"]
    assert {*same, "drop", "block", "split"} == two.variables.keys()
    for name in same:
        np.testing.assert_array_equal(two.array(name, "test"), one.array(name, "test"), err_msg=name)
    assert all(finding.ok for finding in verify(two.path))


def _with_height(folder: Path) -> Path:
    dataset = make_dataset(folder / "few.zarr", small_spec(train=5, val=5, test=5))
    return export_dataset(dataset.path, format="npz", out=folder / "few.npz")


def test_exports_are_read_by_the_libraries_of_their_formats(few_rays, tmp_path: Path) -> None:
    want = rows_of(few_rays, "h_sub6")
    mat = scipy.io.loadmat(export_dataset(few_rays.path, format="mat", out=tmp_path / "few.mat"))
    np.testing.assert_array_equal(mat["h_sub6"], want)
    assert json.loads(mat["channelbench"][0])["digest"] == few_rays.digest
    with np.load(export_dataset(few_rays.path, format="npz", out=tmp_path / "few.npz"), allow_pickle=False) as npz:
        np.testing.assert_array_equal(npz["h_sub6"], want)
    with h5py.File(export_dataset(few_rays.path, format="hdf5", out=tmp_path / "few.h5")) as file:
        np.testing.assert_array_equal(file["h_sub6"], want)
        assert file["distance_m"].attrs["units"] == "m"
        assert json.loads(file.attrs["channelbench"])["spec"] == json.loads(few_rays.spec.canonical())


def test_netcdf_is_read_by_xarray(few_rays, tmp_path: Path) -> None:
    """Through h5netcdf, which holds files to the format; netCDF4 has read one, docs/importing.md."""
    path = export_dataset(few_rays.path, format="netcdf", out=tmp_path / "few.nc")
    with xr.open_dataset(path, engine="h5netcdf") as read:
        whole = read["h_sub6_real"] + 1j * read["h_sub6_imag"]
        np.testing.assert_array_equal(whole, rows_of(few_rays, "h_sub6"))
        assert whole.dims == ("sample", "slot", "subcarrier_sub6", "antenna_sub6")
        zarr = few_rays.xarray
        for name in ("slot", "subcarrier_sub6", "slot_mmwave", "subcarrier_mmwave", "antenna_position_sub6"):
            xr.testing.assert_equal(read[name].variable, zarr[name].variable)
        for name in set(few_rays.variables) - {"h_sub6", "h_mmwave"}:
            xr.testing.assert_equal(read[name].variable, zarr[name].variable)
            assert read[name].dtype == zarr[name].dtype, name
            assert read[name].attrs["units"] == zarr[name].attrs["units"]
        assert read["split"].attrs["flag_meanings"] == "train val test"
        assert read.attrs["license"] == few_rays.spec.source.licence
        assert json.loads(read.attrs["channelbench"])["digest"] == few_rays.digest
    assert look(path).reader.name == "netcdf"


@pytest.mark.parametrize("parts", [("real", "imag"), ("re", "im"), None])
def test_netcdf_of_others_is_read(parts: tuple[str, str] | None, tmp_path: Path) -> None:
    """Pairs under two names, and the compound type that xarray writes through h5netcdf."""
    h = channels(60, 5, 8, 4)
    stored = {"h": h} if parts is None else {f"h_{parts[0]}": h.real, f"h_{parts[1]}": h.imag}
    dims = ("link", "time", "tone", "element")
    told = {"axes": "sample,slot,subcarrier,antenna", **BAND, "sub6.array.columns": 4}
    xr.Dataset({name: (dims, values) for name, values in stored.items()}).to_netcdf(
        tmp_path / "h.nc", engine="h5netcdf"
    )
    again = imported(tmp_path / "h.nc", tmp_path / "d.zarr", told)
    plain = tmp_path / "h.npy"
    np.save(plain, h)
    same = imported(plain, tmp_path / "same.zarr", told)
    np.testing.assert_array_equal(rows_of(again, "h_sub6"), rows_of(same, "h_sub6"))


def test_netcdf_3_is_refused_with_the_remedy(tmp_path: Path) -> None:
    xr.Dataset({"h_real": ("x", np.ones(3))}).to_netcdf(tmp_path / "h.nc", engine="scipy")
    with pytest.raises(RequestError, match=r"a netCDF-4 file, got .*netCDF-3; `nccopy -k nc4 h.nc new.nc`"):
        look(tmp_path / "h.nc")


def test_llm4cp_files_are_written_and_read(few_rays, tmp_path: Path) -> None:
    folder = export_dataset(few_rays.path, format="llm4cp", out=tmp_path / "few")
    names = [f"H_U_{when}_{part}.mat" for part in ("train", "test") for when in ("his", "pre")]
    assert sorted(p.name for p in folder.iterdir()) == sorted([*names, "channelbench.toml"])
    with h5py.File(folder / "H_U_his_test.mat") as file:
        stored = file["H_U_his_test"]
        assert stored.shape == (1, 8, 1, 64, 16, 1, 30), "MATLAB's order: [v, n, slot, subcarrier, a, b, c] backwards"
        want = few_rays.array("h_sub6", "test")[4, 3, 9, 5]
        assert complex(*stored[0, 5, 0, 9, 3, 0, 4]) == want
    assert (folder / "H_U_his_test.mat").read_bytes().startswith(b"MATLAB 7.3 MAT-file")
    told = read_toml(folder / "channelbench.toml")
    again = imported(folder, tmp_path / "again.zarr", told)
    np.testing.assert_array_equal(again.array("h_sub6", "test"), few_rays.array("h_sub6", "test"))
    assert again.spec.sub6.carrier_hz == few_rays.spec.sub6.carrier_hz
    both = [np.concatenate([d.array("h_sub6", split) for split in ("train", "val")]) for d in (again, few_rays)]
    for h in both:
        h.sort(axis=0)
    np.testing.assert_array_equal(*both)
    assert tomllib.loads((folder / "channelbench.toml").read_text())["licence"] == few_rays.spec.source.licence


def test_llm4cp_as_it_is_published(tmp_path: Path) -> None:
    """Seven axes, two polarisations, history and future in files of their own; what the files do not say is known of
    the publication, and can be said otherwise."""
    h = {part: channels(12, 20, 6, 8, seed=seed) for seed, part in enumerate(("train", "test"))}
    for part, values in h.items():
        shaped = values.reshape(3, 2, 2, 20, 6, 2, 4).transpose(0, 1, 3, 4, 5, 6, 2)  # the last axis is polarisation
        for when, slots in (("his", slice(0, 16)), ("pre", slice(16, 20))):
            name = f"H_U_{when}_{part}"
            write_mat73(tmp_path / f"{name}.mat", {name: shaped[:, :, slots].astype(complex)})
    found = look(tmp_path)
    assert found.reader.name == "llm4cp"
    assert (found.description.num_links, found.needed) == (24, [])
    facts = found.description.bands["sub6"]
    assert (facts.num_slots, facts.num_subcarriers, facts.usual["array.rows"], facts.usual["array.columns"]) == (
        20,
        6,
        2,
        4,
    )
    rows = np.array([13, 0, 11, 12, 23])
    np.testing.assert_array_equal(
        found.reader.links(rows, {}).bands["sub6"].h, np.concatenate([h["train"], h["test"]])[rows]
    )
    np.testing.assert_array_equal(found.reader.groups(), np.arange(24) // 2)
    dataset = imported(tmp_path, tmp_path / "d.zarr", {})
    assert dataset.spec.sub6.bandwidth_hz == 6 * 180e3
    assert dataset.spec.sizes.test == 12
    assert "B. Liu" in dataset.spec.source.citation
    other = imported(tmp_path, tmp_path / "e.zarr", {"sub6.carrier_hz": 5e9})
    assert other.spec.sub6.carrier_hz == 5e9
    (tmp_path / "H_U_pre_test.mat").unlink()
    with pytest.raises(RequestError, match=r"expected H_U_his_test and H_U_pre_test, got .*with H_U_his_test alone"):
        look(tmp_path)


def test_llm4cp_has_a_downlink_of_the_future_alone(tmp_path: Path) -> None:
    h = {part: channels(12, 20, 6, 8, seed=seed) for seed, part in enumerate(("train", "test"))}
    for part, values in h.items():
        shaped = values.reshape(3, 2, 2, 20, 6, 2, 4).transpose(0, 1, 3, 4, 5, 6, 2)
        for name, slots in ((f"H_D_pre_{part}", slice(16, 20)), (f"H_U_pre_{part}", slice(16, 20))):
            sign = -1 if "D" in name else 1
            write_mat73(tmp_path / f"{name}.mat", {name: sign * shaped[:, :, slots].astype(complex)})
    with pytest.raises(
        RequestError, match=r"PATH: expected H_U_his_train and H_U_pre_train, got .*H_U_pre_train alone"
    ):
        look(tmp_path)
    rows, want = np.array([13, 0, 12]), np.concatenate([h["train"], h["test"]])[:, 16:]
    down = look(tmp_path, assignments={"half": "downlink"})
    assert (down.description.num_links, down.description.bands["sub6"].usual["carrier_hz"]) == (24, 2.4e9 + 3 * 180e3)
    np.testing.assert_array_equal(down.reader.links(rows, {}).bands["sub6"].h, -want[rows])
    both = imported(tmp_path, tmp_path / "both.zarr", {"half": "both", "polarisation": 1})
    assert (both.spec.sub6.num_slots, both.spec.mmwave.num_slots, both.spec.sizes.total) == (4, 4, 12)
    assert both.spec.mmwave.carrier_hz - both.spec.sub6.carrier_hz == pytest.approx(6 * 180e3)
    constant = np.array(both.spec.source.constants)[:, None, None, None]
    np.testing.assert_allclose(both.array("h_sub6", "test") * constant[0], want[13::2], rtol=1e-5)
    np.testing.assert_allclose(both.array("h_mmwave", "test") * constant[1], -want[13::2], rtol=1e-5)
    for path in tmp_path.glob("H_U_*.mat"):
        path.unlink()
    with pytest.raises(RequestError, match="half: expected downlink, which is what is there, got 'uplink'"):
        look(tmp_path)
    with pytest.raises(RequestError, match="polarisation: expected a number below 2, from 0, got 2"):
        look(tmp_path, assignments={"half": "downlink", "polarisation": 2})


def test_locations_of_som2025_are_positions_once_the_base_station_is_said(tmp_path: Path) -> None:
    h, rng = channels(30, 1, 6, 3).astype(complex), np.random.default_rng(0)
    where = rng.uniform(0, 200, (30, 2))
    for name, part in (("train", slice(0, 20)), ("val", slice(20, 30))):
        write_mat73(tmp_path / f"X_{name}.mat", {f"X_{name}": h[part].swapaxes(2, 3)})
        write_mat73(tmp_path / f"location_{name}.mat", {f"location_{name}": where[part]})
    found = look(tmp_path)
    assert found.reader.name == "som2025"
    assert found.description.hints[0].startswith("bs_position_m = [x, y]")
    assert not found.description.quantities
    told = BAND | {"sub6.array.columns": 3, "bs_position_m": [100.0, 50.0], "bs_azimuth_deg": 90.0, "bs_height_m": 25.0}
    dataset = imported(tmp_path, tmp_path / "d.zarr", told)
    x, y = (where[20:] - [100, 50]).T  # the array faces the file's +y: what is ahead is y, what is left of it −x
    np.testing.assert_allclose(dataset.array("ue_position", "test"), np.column_stack([y, -x, 1.5 + 0 * x]), atol=1e-4)
    away = np.sqrt(x**2 + y**2 + 23.5**2)
    np.testing.assert_allclose(dataset.array("distance_m", "test"), away, rtol=1e-5)
    write_mat73(tmp_path / "location_val.mat", {"location_val": where[20:].T})
    with pytest.raises(RequestError, match=r"PATH: expected an array of locations, samples by 2, got .*\[2, 10\]"):
        look(tmp_path, assignments=told)


def test_wifo_and_som2025_count_their_axes_differently(tmp_path: Path) -> None:
    h = channels(30, 4, 6, 3).astype(complex)
    (tmp_path / "wifo").mkdir()
    (tmp_path / "som").mkdir()
    wifo = write_mat73(tmp_path / "wifo" / "X_test.mat", {"X_val": h})
    write_mat73(tmp_path / "som" / "X_train.mat", {"X_train": h[:20].swapaxes(2, 3)})
    write_mat73(tmp_path / "som" / "X_val.mat", {"X_val": h[20:].swapaxes(2, 3)})
    los = np.arange(30) % 2
    write_mat73(tmp_path / "som" / "L_train.mat", {"L_train": los[:20, None]})
    write_mat73(tmp_path / "som" / "L_val.mat", {"L_val": los[20:, None]})
    rows = np.array([1, 22, 29])
    for path, name in ((wifo, "wifo"), (tmp_path / "wifo", "wifo"), (tmp_path / "som", "som2025")):
        found = look(path)
        assert found.reader.name == name
        np.testing.assert_array_equal(found.reader.links(rows, {}).bands["sub6"].h, h[rows].astype(np.complex64))
    np.testing.assert_array_equal(found.reader.links(rows, {}).los, los[rows].astype(bool))
    assert found.needed == ["sub6.carrier_hz", "sub6.bandwidth_hz", "sub6.slot_s", "sub6.array.columns"]
    dataset = imported(tmp_path / "som", tmp_path / "d.zarr", BAND | {"sub6.array.columns": 3})
    assert (dataset.spec.state, dataset.spec.sizes.test) == ("random", 10)
    np.testing.assert_array_equal(dataset.array("los", "test"), los[20:].astype(bool))
    assert all(finding.ok for finding in verify(dataset.path))


def test_a_format_that_two_readers_claim_is_one_line(tmp_path: Path) -> None:
    h = channels(12, 4, 6, 3)
    path = write_mat73(tmp_path / "both.mat", {"X_val": h, "H_U_his_train": h})
    with pytest.raises(
        RequestError, match=r"--format: expected one of them, got '.*both.mat, which may be of llm4cp or wifo"
    ):
        look(path)
    assert look(path, format="wifo").reader.name == "wifo"


def test_every_format_has_words_for_its_table() -> None:
    for kind in (*formats.readers().values(), *formats.writers().values()):
        assert kind.title
        assert kind.reference
    assert {"mat", "npz", "hdf5", "llm4cp", "deepmimo", "cir"} <= formats.writers().keys()
    assert formats.writers().keys() <= formats.readers().keys(), "what is exported can be imported"


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(few_rays, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "there.mat").write_text("mine")
    with pytest.raises(RequestError, match="--out: expected a new file or folder"):
        export_dataset(few_rays.path, format="mat", out=tmp_path / "there.mat")
    with pytest.raises(RequestError, match="--format: expected a known format, got 'xls'; choices: cir, deepmimo"):
        export_dataset(few_rays.path, format="xls", out=tmp_path / "x")
    with pytest.raises(RequestError, match="--out: expected a file in a folder that is there"):
        export_dataset(few_rays.path, format="mat", out=tmp_path / "no" / "x.mat")
    with pytest.raises(RequestError, match="--out: expected a file or folder of this machine, got 's3://x/few'"):
        export_dataset(few_rays.path, format="cir", out="s3://x/few")
    with pytest.raises(RequestError, match="data: expected an existing dataset"):
        export_dataset(tmp_path / "none.zarr", format="mat", out=tmp_path / "x.mat")
    monkeypatch.setattr("channelbench.generators.imported.plain_export.MAT5_BYTES", 10)
    with pytest.raises(RequestError, match="--format: expected hdf5 for variables of more than 2 GiB"):
        export_dataset(few_rays.path, format="mat", out=tmp_path / "x.mat")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_dataset(few_rays.path, format="hdf5", out=tmp_path / "x.h5", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["there.mat"]
