"""Imports of plain arrays: scale, what is absent, axes, kinds of files, and what is refused."""

import json
import pickle
import re
import shutil
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch
import xarray as xr
from foreign_arrays import AXES, BAND, channels, write_all, write_hdf5, write_mat73

from channelbench.errors import RequestError
from channelbench.generators.imported.importing import import_dataset, look
from channelbench.generators.imported.source import ImportedSource
from channelbench.spec import SPLITS, ScenarioSpec
from channelbench.store import open_dataset, verify
from channelbench.store.inspect import draw, summary
from channelbench.testing import small_spec

PLAIN = {"axes": AXES, **BAND}


def imported(path: Path, out: Path, assignments: dict | None = None, **options):
    made = import_dataset(
        path, out, assignments=PLAIN if assignments is None else assignments, remember=False, **options
    )
    return open_dataset(made.path)


def all_rows(dataset, name: str):
    return np.concatenate([dataset.array(name, split) for split in SPLITS])


def saved(folder: Path, h) -> Path:
    np.save(folder / "h.npy", h)
    return folder / "h.npy"


def test_unscaled_channels_are_divided_by_one_constant_and_lack_what_nobody_said(tmp_path: Path) -> None:
    raw = 3e-6 * channels() * np.logspace(-1, 1, 60)[:, None, None, None].astype(np.float32)
    raw[[4, 17]] = 0
    dataset = imported(saved(tmp_path, raw), tmp_path / "d.zarr")
    spec, source = dataset.spec, dataset.spec.source
    assert (source.links, source.rejected, spec.sizes.total) == (60, 2, 58)
    assert list(dataset.variables) == ["h_sub6", "drop", "block", "split"]
    assert (spec.state, spec.system, spec.bs_height_m, spec.speed_min_mps, spec.max_distance_m) == (None,) * 5
    (constant,) = source.constants
    assert dataset.array("h_sub6", "train").dtype == np.complex64
    power = np.mean(np.abs(dataset.array("h_sub6", "train").astype(complex)) ** 2)
    assert power == pytest.approx(1, abs=1e-5), "the training split's root mean square is the constant"
    where = [int(np.argmin(np.abs(raw - constant * h).sum(axis=(1, 2, 3)))) for h in dataset.array("h_sub6", "test")]
    np.testing.assert_allclose(dataset.array("h_sub6", "test") * constant, raw[where], rtol=1e-6)
    assert len(set(where)) == spec.sizes.test
    assert all(finding.ok for finding in verify(dataset.path))
    text = summary(dataset.path)
    assert "imported, imported from npy" in text
    assert "None" not in text
    assert draw(dataset.path, tmp_path / "sheet.png").stat().st_size > 20_000
    with xr.open_zarr(dataset.path) as plain:
        assert plain.attrs["title"] == "channelbench imported"
        assert str(tmp_path) not in json.dumps(plain.attrs), "no path of this machine"


def test_the_same_file_gives_the_same_dataset_and_another_seed_another_split(tmp_path: Path) -> None:
    path = saved(tmp_path, channels())
    one, two, other = (imported(path, tmp_path / f"{n}.zarr", seed=n // 2) for n in (0, 1, 2))
    assert one.digest == two.digest != other.digest
    moved = path.rename(tmp_path / "elsewhere.npy")
    assert imported(moved, tmp_path / "moved.zarr").digest == one.digest
    with pytest.raises(RequestError, match=r"--out: expected a new folder, or the dataset of the same spec and seed"):
        imported(saved(tmp_path, 2 * channels()), tmp_path / "0.zarr")


def test_physical_channels_have_a_path_gain_with_their_fading(tmp_path: Path) -> None:
    raw = 1e-5 * channels()
    dataset = imported(saved(tmp_path, raw), tmp_path / "d.zarr", PLAIN | {"scale": "physical"})
    gain = all_rows(dataset, "path_gain_db_sub6")
    power = np.mean(np.abs(raw.astype(complex)) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(np.sort(gain), np.sort(10 * np.log10(power)), rtol=1e-6)
    h = all_rows(dataset, "h_sub6")
    np.testing.assert_allclose(np.mean(np.abs(h) ** 2, axis=(1, 2, 3)), 1, rtol=1e-5)
    assert "fading included" in dataset.group["path_gain_db_sub6"].attrs["long_name"]
    assert "path gain with fading" in dataset.spec.source.label
    assert "warning  path_gain_db: mean power of the channel" in summary(dataset.path)
    assert "main_path_gain_db_sub6" not in dataset.variables
    assert all(finding.ok for finding in verify(dataset.path))


def test_what_the_user_says_and_names_travels(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    position = rng.uniform(10, 90, (60, 3))
    arrays = {"H": channels(), "where": position, "seen": rng.integers(0, 2, 60), "v": rng.normal(size=(60, 3))}
    path = tmp_path / "h.npz"
    np.savez(path, **arrays)
    told = {"los_key": "seen", "ue_position_key": "where", "ue_velocity_key": "v", "bs_height_m": 20.0}
    told |= {"licence": "CC0-1.0", "citation": "Me, 2031", "title": "My street", "unit_m": 0.0}
    dataset = imported(path, tmp_path / "d.zarr", PLAIN | told)
    assert {"ue_position", "ue_velocity", "los", "distance_m"} < dataset.variables.keys()
    order = [int(np.argmin(np.abs(position - p).sum(axis=1))) for p in all_rows(dataset, "ue_position")]
    np.testing.assert_array_equal(all_rows(dataset, "los"), arrays["seen"][order].astype(bool))
    away = np.linalg.norm(position[order] - [0, 0, 20], axis=1)
    np.testing.assert_allclose(all_rows(dataset, "distance_m"), away, rtol=1e-6)
    assert (dataset.spec.state, dataset.spec.bs_height_m) == ("random", 20)
    assert "My street" in dataset.spec.source.label
    with xr.open_zarr(dataset.path) as plain:
        assert (plain.attrs["license"], plain.attrs["citation"].split(";")[0]) == ("CC0-1.0", "Me, 2031")
    assert all(finding.ok for finding in verify(dataset.path))


def test_areas_of_a_file_with_positions(tmp_path: Path) -> None:
    position = np.random.default_rng(2).uniform([0, 0, 1.5], [900, 100, 1.5001], (200, 3))
    np.savez(tmp_path / "h.npz", h=channels(200), where=position)
    told = PLAIN | {"ue_position_key": "where", "split": "area", "guard_m": 60.0}
    dataset = imported(tmp_path / "h.npz", tmp_path / "d.zarr", told)
    along = {split: dataset.array("ue_position", split)[:, 0] for split in SPLITS}
    assert along["val"].min() - along["train"].max() >= 60
    assert along["test"].min() - along["val"].max() >= 60
    source = dataset.spec.source
    assert (source.split, source.guard_m, source.unit_m, source.rejected) == ("area", 60, 50, 0)
    assert 150 < dataset.spec.sizes.total < 200
    assert len(set(all_rows(dataset, "drop"))) < dataset.spec.sizes.total, "links of a square are one unit"
    assert all(finding.ok for finding in verify(dataset.path))


@pytest.mark.parametrize("kind", ["npy", "npz", "mat", "hdf5", "safetensors", "pt"])
def test_every_kind_of_file_gives_the_same_links(kind: str, tmp_path: Path) -> None:
    h = channels(20)
    found = look(write_all(tmp_path, h)[kind], assignments=PLAIN)
    assert found.reader.name == kind
    assert found.description.num_links == 20
    assert not found.needed
    rows = np.array([3, 4, 11])
    np.testing.assert_array_equal(found.reader.links(rows, {}).bands["sub6"].h, h[rows])
    found.reader.close()


@pytest.mark.parametrize("kind", ["npy", "npz", "hdf5", "safetensors", "pt", "mat73"])
@pytest.mark.parametrize("axes", [AXES, "antenna,subcarrier,slot,sample"])
def test_large_arrays_are_read_in_parts(kind: str, axes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever axis counts the samples, forwards and back; no part is larger than it may be."""
    h, limit = channels(50), 5000
    values = h if axes == AXES else np.ascontiguousarray(h.T)
    path = write_mat73(tmp_path / "h.mat", {"h": values}) if kind == "mat73" else write_all(tmp_path, values)[kind]
    monkeypatch.setattr("channelbench.generators.imported.array_files.WHOLE_BYTES", limit)
    found = look(path, assignments=PLAIN | {"axes": axes})
    (part,) = found.reader.parts
    stored, loaded = part.first.stored, []
    load = stored._load
    monkeypatch.setattr(stored, "_load", lambda index: loaded.append(load(index)) or loaded[-1])
    for rows in ([0, 1], [2], [48, 49], [17, 11, 12], [0]):
        np.testing.assert_array_equal(found.reader.links(np.array(rows), {}).bands["sub6"].h, h[rows])
    assert 1 < len(loaded) <= 5
    row = h[0].nbytes
    assert max(part.nbytes for part in loaded) <= max(limit, 7 * row), "of [17, 11, 12] what is between is read too"
    found.reader.close()


def test_compressed_arrays_are_read_whole(tmp_path: Path) -> None:
    h = channels(50)
    np.savez_compressed(tmp_path / "h.npz", h=np.asfortranarray(h), none=np.zeros((0, 3)), one=np.float32(1))
    np.savez(tmp_path / "f.npz", h=np.asfortranarray(h), none=np.zeros((0, 3)), one=np.float32(1))
    for name in ("h.npz", "f.npz"):
        found = look(tmp_path / name, assignments=PLAIN)
        np.testing.assert_array_equal(found.reader.links(np.array([49, 3]), {}).bands["sub6"].h, h[[49, 3]])
        assert found.reader.open(tmp_path / name).arrays()["one"].whole() == 1
        found.reader.close()


def test_version_73_has_its_axes_and_complex_numbers_as_matlab_has_them(tmp_path: Path) -> None:
    h = channels(20)
    found = look(write_mat73(tmp_path / "h.mat", {"h": h.astype(complex)}), assignments=PLAIN)
    assert found.reader.name == "mat"
    rows = np.array([0, 7, 19])
    np.testing.assert_array_equal(found.reader.links(rows, {}).bands["sub6"].h, h[rows])


@pytest.mark.parametrize(
    ("axes", "change", "back"),
    [
        ("antenna,subcarrier,slot,sample", lambda h: h.transpose(), None),
        ("sample,slot,subcarrier,antenna,re_im", lambda h: np.stack([h.real, h.imag], axis=-1), None),
        ("sample,one,slot,subcarrier,row,column", lambda h: h.reshape(24, 1, 5, 8, 2, 2), None),
        ("sample,subcarrier,slot,column,row", lambda h: h.reshape(24, 5, 8, 2, 2).transpose(0, 2, 1, 4, 3), None),
        ("sample,sample,slot,subcarrier,antenna", lambda h: h.reshape(8, 3, 5, 8, 4), None),
        ("sample,subcarrier,antenna", lambda h: h[:, 0], lambda h: h[:, :1]),
        ("sample,user_antenna,slot,subcarrier,antenna", lambda h: np.stack([0 * h, h], axis=1), None),
        (
            "sample,slot,polarisation,subcarrier,antenna",
            lambda h: h.reshape(12, 2, 5, 8, 4).transpose(0, 2, 1, 3, 4),
            None,
        ),
    ],
)
def test_axes_in_any_order(axes: str, change, back, tmp_path: Path) -> None:
    h = channels(24)
    told = {"axes": axes, "user_antenna": 1 if "user" in axes else 0}
    found = look(saved(tmp_path, change(h)), assignments=told)
    want = h if back is None else back(h)
    rows = np.array([5, 6, 23, 2])
    np.testing.assert_array_equal(found.reader.links(rows, {}).bands["sub6"].h, want[rows])
    assert found.description.num_links == 24
    assert found.description.bands["sub6"].num_antennas == 4


def test_polarisations_of_one_sample_stay_in_one_split(tmp_path: Path) -> None:
    h = channels(60).reshape(30, 2, 5, 8, 4)
    told = PLAIN | {"axes": "sample,polarisation,slot,subcarrier,antenna"}
    dataset = imported(saved(tmp_path, h), tmp_path / "d.zarr", told)
    drops = [set(dataset.array("drop", split)) for split in SPLITS]
    assert sum(map(len, drops)) == 30 == len(set.union(*drops))
    assert dataset.spec.sizes.total == 60
    one = look(saved(tmp_path, h), assignments=told | {"polarisation": 1})
    assert (one.description.num_links, one.reader.groups()) == (30, None)
    np.testing.assert_array_equal(one.reader.links(np.array([4, 7]), {}).bands["sub6"].h, h[[4, 7], 1])


def test_two_bands_of_one_file(tmp_path: Path) -> None:
    low, high = channels(), channels(slots=1, subcarriers=6, antennas=8, seed=1)
    low[9], high[30] = 0, 0
    path = write_hdf5(tmp_path / "h.h5", {"low": low, "high": high})
    told = {"axes": AXES, **BAND, "sub6.key": "low", "mmwave.key": "high", "mmwave.carrier_hz": 28e9}
    told |= {"mmwave.bandwidth_hz": 1e8, "mmwave.array.columns": 8, "mmwave.num_beams": 16}
    dataset = imported(path, tmp_path / "d.zarr", told)
    assert dataset.spec.source.rejected == 2, "a link needs power in both"
    assert (dataset.spec.mmwave.num_subcarriers, dataset.spec.mmwave.num_beams) == (6, 16)
    assert len(dataset.spec.source.constants) == 2
    assert all(finding.ok for finding in verify(dataset.path))


def message(path: Path, assignments: dict | None = None, **options) -> str:
    out = path.parent / "never.zarr"
    with pytest.raises(RequestError) as refused:
        imported(path, out, assignments, **options)
    assert not out.exists(), "nothing half-written"
    assert "\n" not in str(refused.value)
    return str(refused.value)


def _one_large(value: float):
    h = channels().astype(complex)
    h[7] *= value
    return h


def test_no_number_is_refused_with_its_place(tmp_path: Path) -> None:
    h = channels(450)
    h[403, 2, 7, 1] = np.nan
    assert "h_sub6 of link 403, slot 2, subcarrier 7, antenna 1 is" in message(saved(tmp_path, h))
    h[403, 2, 7, 1] = complex(0, np.inf)
    assert "link 403, slot 2, subcarrier 7, antenna 1" in message(saved(tmp_path, h))
    assert "link 7 at sub6, whose power overflows" in message(saved(tmp_path, _one_large(1e200)))
    assert "all 60 channels are zero" in message(saved(tmp_path, 0 * channels()))
    assert "no link in" in message(saved(tmp_path, channels(2)))


def test_python_objects_are_not_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    np.save(tmp_path / "o.npy", np.array([Bomb()], object), allow_pickle=True)
    np.savez(tmp_path / "o.npz", h=np.array([Bomb()], object))
    torch.save({"h": Bomb()}, tmp_path / "o.pt")
    (tmp_path / "o.p").write_bytes(pickle.dumps(Bomb()))
    scipy.io.savemat(tmp_path / "o.mat", {"h": np.array([1, "a"], object)})
    for name in ("o.npy", "o.pt"):
        assert "Python objects" in message(tmp_path / name)
    assert "PATH: expected an array of channels" in message(tmp_path / "o.npz")
    assert "expected an array of numbers" in message(tmp_path / "o.npz", PLAIN | {"key": "h"})
    assert "a Python pickle" in message(tmp_path / "o.p")
    assert "PATH: expected an array of channels" in message(tmp_path / "o.mat")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["npy", "npz", "mat", "mat73", "hdf5", "safetensors", "pt"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
def test_files_cut_short_are_one_line(kind: str, share: float, tmp_path: Path) -> None:
    path = (
        write_mat73(tmp_path / "h.mat", {"h": channels()}) if kind == "mat73" else write_all(tmp_path, channels())[kind]
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    text = message(path)
    assert re.match(r"(PATH|axes|key): expected ", text), text


@pytest.mark.parametrize("kind", ["npy", "npz", "mat", "mat73", "hdf5", "safetensors", "pt"])
def test_files_with_other_bytes_are_one_line_or_other_numbers(kind: str, tmp_path: Path) -> None:
    """Sixty bytes of each file are others, three times: it is refused, or what is read has the same shape."""
    path = write_mat73(tmp_path / "h.mat", {"h": channels(8)})
    if kind != "mat73":
        path = write_all(tmp_path, channels(8))[kind]
    whole, rng = np.frombuffer(path.read_bytes(), np.uint8), np.random.default_rng(7)
    for span in (200, 2000, len(whole)):
        bad = whole.copy()
        bad[rng.integers(0, min(span, len(bad)), 60)] = rng.integers(0, 256, 60)
        path.write_bytes(bad.tobytes())
        with suppress(RequestError), np.errstate(all="ignore"):
            imported(path, tmp_path / "d.zarr", PLAIN | {"key": "h"})
        shutil.rmtree(tmp_path / "d.zarr", ignore_errors=True)


def test_what_hdf5_can_hold_besides(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "h.h5", {"h": channels(20)})
    with h5py.File(path, "a") as file:
        file["empty"] = h5py.Empty("f")
        file["words"] = ["a", "b"]
        file["group/inner"] = np.arange(3)
        file["one"] = 1.0
    assert look(path, assignments=PLAIN).description.num_links == 20
    assert "expected an array of numbers" in message(path, PLAIN | {"key": "words"})
    assert "a name for each axis of one, of shape []" in message(path, PLAIN | {"key": "one"})


def test_other_layouts_and_settings_are_one_line(tmp_path: Path) -> None:
    path = saved(tmp_path, channels())
    assert message(path, {}).startswith("axes: expected what each axis of h, of shape [60, 5, 8, 4], is, got 'nothing'")
    assert "a name for each axis" in message(path, PLAIN | {"axes": "sample,slot"})
    assert "choices: sample" in message(path, PLAIN | {"axes": "sample,slot,subcarrier,aerial"})
    assert "re_im" in message(path, PLAIN | {"axes": "sample,slot,subcarrier,re_im"})
    assert message(path, {"axes": AXES}).startswith("sub6.carrier_hz: expected a value")
    assert "sub6.array: expected rows × columns of 4 antennas" in message(path, PLAIN | {"sub6.array.columns": 5})
    assert "sub6.num_slots: expected 5, as the file has it" in message(path, PLAIN | {"sub6.num_slots": 6})
    assert "sub6.colour: expected a known field" in message(path, PLAIN | {"sub6.colour": "red"})
    assert "colour: expected a known field" in message(path, PLAIN | {"colour": "red"})
    assert message(path, PLAIN | {"scale": "paths"}).startswith("scale: expected a scale of these amplitudes")
    assert "bs_height_m: expected greater than 1.5" in message(path, PLAIN | {"bs_height_m": 0})
    assert "the file has no positions" in message(path, PLAIN | {"split": "area"})
    assert "the file has no splits" in message(path, PLAIN | {"split": "file"})
    assert "key: expected an array of" in message(path, PLAIN | {"key": "x"})
    assert "PATH: expected an existing file" in message(tmp_path / "nothing.npy")
    assert "--format: expected a known format" in message(path, format="xls")
    (tmp_path / "notes.txt").write_text("hello")
    assert "PATH: expected a file of a known format" in message(tmp_path / "notes.txt")
    two = tmp_path / "two.npz"
    np.savez(two, a=channels(), b=channels())
    assert "key: expected the name of the array of channels" in message(two)
    np.savez(two, h=channels(), los=np.zeros(50))
    assert "expected numbers for 60 samples" in message(two, PLAIN | {"los_key": "los"})


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"ue_position_key": "flat"}, r"ue_position in rows of shape \[3\], got 'h.npz: rows of shape \[2\]'"),
        ({"ue_position_key": "utm"}, r"metres from the base station, at \(0, 0\), at most 100000, got 'h.npz: ue_pos"),
        ({"ue_position_key": "huge"}, "ue_position of link 0, axis 0 is inf"),
        ({"ue_velocity_key": "one"}, r"ue_velocity in rows of shape \[3\], got 'h.npz: rows of shape \[\]'"),
        ({"distance_m_key": "flat"}, r"distance_m in rows of shape \[\], got 'h.npz: rows of shape \[2\]'"),
        ({"distance_m_key": "minus"}, "distance_m of link 0 is -1.0'"),
        ({"los_key": "minus"}, "a line of sight of 1, with one, or 0, without, got '-1.0 of link 0 in minus'"),
        ({"los_key": "share"}, "got '0.5 of link 0 in share'"),
        ({"sub6.array": 5}, "sub6.array: expected array.rows and array.columns, got 5"),
        ({"sub6.array.rows": "x"}, "sub6.array.rows: expected a valid integer"),
        ({"sub6.array.depth": 2}, "sub6.array.depth: expected a known field"),
    ],
)
def test_what_is_named_of_users_and_arrays_has_to_be_that(
    told: dict, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = np.ones(60)
    utm = np.tile([4.5e5, 5.3e6, 1.5], (60, 1))
    named = {"flat": np.ones((60, 2)), "utm": utm, "huge": 1e200 * utm, "one": one, "minus": -one, "share": one / 2}
    np.savez("h.npz", h=channels(), **named)
    assert re.search(says, message(Path("h.npz"), PLAIN | told))


def test_a_format_of_another_kind_and_places_that_are_no_file(tmp_path: Path) -> None:
    path = saved(tmp_path, channels())
    assert re.match("--format: expected npy, which .* is, got 'npz'", message(path, format="npz"))
    assert "a file of arrays, got" in message(tmp_path, format="npy")
    with pytest.raises(RequestError, match=r"a file or folder of this machine: fetch it first, got 's3://x/h\.npy'"):
        look("s3://x/h.npy")
    where = np.random.default_rng(0).uniform(0, 90, (60, 3))
    np.savez(tmp_path / "p.npz", h=channels(), where=where)
    told = PLAIN | {"ue_position_key": "where", "split": "area", "guard_m": 500.0}
    assert "no link in train, of 60 by area, 500 m from the next split" in message(tmp_path / "p.npz", told)


def test_geometry_may_be_absent_of_imports_alone() -> None:
    spec = small_spec()
    with pytest.raises(RequestError, match="bs_height_m: expected a value for channels of source stochastic"):
        spec.replace({"bs_height_m": None})
    with pytest.raises(RequestError, match="state: expected a value"):
        spec.replace({"state": None})


def test_the_spec_survives_its_record(tmp_path: Path) -> None:
    spec = imported(saved(tmp_path, channels()), tmp_path / "d.zarr").spec
    assert ScenarioSpec.from_record(json.loads(spec.canonical())) == spec
    assert isinstance(spec.source, ImportedSource)
    assert spec.replace({"title": "Other"}).differences(spec) == ["title: Other → "]
