"""Formats of paths from file to dataset: recognised, summed, empty links left out, whatever the format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from foreign_paths import (
    a_band,
    path_sum,
    random_rays,
    random_taps,
    write_cir,
    write_deepmimo,
    write_deepmimo_v3,
    write_quadriga,
    write_quadriga_hdf5,
)

from channelbench.errors import RequestError
from channelbench.generators.imported.contract import Reader
from channelbench.generators.imported.formats import reader_of
from channelbench.generators.imported.importing import import_dataset, look
from channelbench.generators.imported.path_sums import sum_of_paths
from channelbench.spec import SPLITS
from channelbench.store.dataset import open_dataset
from channelbench.store.verify import verify

USERS = 24
GRID = {"sub6.bandwidth_hz": 20e6, "sub6.num_subcarriers": 16}


def deepmimo(folder: Path) -> Path:
    return write_deepmimo(folder / "deepmimo", [random_rays(USERS, 5)])


def deepmimo_v3(folder: Path) -> Path:
    return write_deepmimo_v3(folder / "deepmimo-v3", random_rays(USERS, 5))


def quadriga(folder: Path) -> Path:
    channels = [random_taps((1, 8, 5, 1), seed) for seed in range(USERS)]
    channels[-1]["coeff"][:] = 0
    return write_quadriga(folder / "quadriga.mat", channels, (USERS, 1), carriers=[3.5e9])


def quadriga_hdf5(folder: Path) -> Path:
    channels = [random_taps((1, 8, 5, 1), seed) for seed in range(USERS)]
    channels[-1]["coeff"][:] = 0
    return write_quadriga_hdf5(folder / "quadriga.hdf5", channels, carrier_hz=3.5e9)


def cir(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    a = (rng.normal(size=(USERS, 1, 1, 1, 8, 5, 1)) + 1j).astype(np.complex64)
    a[-1] = 0
    return write_cir(folder / "cir.npz", a, rng.random((USERS, 1, 1, 5)).astype(np.float32) * 1e-6, carrier_hz=3.5e9)


WRITTEN = {
    "deepmimo": deepmimo,
    "deepmimo-v3": deepmimo_v3,
    "quadriga": quadriga,
    "quadriga-hdf5": quadriga_hdf5,
    "cir": cir,
}
formats = pytest.mark.parametrize("name", WRITTEN)


@formats
def test_the_content_says_which_format_it_is(tmp_path: Path, name: str) -> None:
    path = WRITTEN[name](tmp_path)
    assert reader_of(path, None).name == name


@formats
def test_a_dataset_of_each(tmp_path: Path, name: str) -> None:
    """Unit power in each link, the path gain beside it, and the link without a path counted and left out."""
    path = WRITTEN[name](tmp_path)
    shape = {"sub6.array.rows": 2, "sub6.array.columns": 4}
    made = import_dataset(path, tmp_path / "x.zarr", assignments={**GRID, **shape}, remember=False)
    assert (made.source.links, made.source.rejected, made.source.scale) == (USERS, 1, "paths")
    dataset = open_dataset(made.path)
    assert dataset.spec.sizes.total == USERS - 1
    found = look(path, assignments={**GRID, **shape})
    links = found.reader.links(np.arange(USERS - 1), dataset.spec.bands)
    found.reader.close()
    paths = links.bands["sub6"].paths
    assert paths is not None
    power = np.mean(np.sum(np.abs(paths.amplitude) ** 2, axis=2), axis=(1, 2))
    expected = path_sum(paths, dataset.spec.sub6, squint=True) / np.sqrt(power)[:, None, None, None]
    h = np.concatenate([dataset.array("h_sub6", split) for split in SPLITS])
    gain = np.concatenate([dataset.array("path_gain_db_sub6", split) for split in SPLITS])
    order = [int(np.abs(10 * np.log10(power) - value).argmin()) for value in gain]
    assert sorted(order) == list(range(USERS - 1))
    np.testing.assert_allclose(h, expected[order], rtol=0, atol=1e-5)
    assert not [check for check in verify(made.path) if not check.ok]


@pytest.mark.parametrize("squint", [False, True])
@pytest.mark.parametrize("slots", [1, 3])
def test_the_sum_is_that_of_the_formula(tmp_path: Path, squint: bool, slots: int) -> None:
    """Beams squint by a tenth of the carrier here."""
    band = a_band(bandwidth_hz=350e6, num_slots=slots)
    folder = write_deepmimo(tmp_path / "s", [random_rays(USERS, 5, seed) for seed in range(slots)])
    reader: Reader = reader_of(folder, None)(folder, look(folder).reader.given)
    paths = reader.links(np.arange(USERS), {"sub6": band}).bands["sub6"].paths
    assert paths is not None
    expected = path_sum(paths, band, squint=squint)
    h = sum_of_paths(paths, band, squint=squint, divisor=np.full(USERS, 1e-4))
    np.testing.assert_allclose(h, expected * 1e4, rtol=0, atol=2e-6 * np.abs(expected).max() * 1e4)
    assert np.abs(expected - path_sum(paths, band, squint=not squint)).max() > 1e-2 * np.abs(expected).max()


def test_the_k_factor_is_known_where_a_path_is_the_line_of_sight(tmp_path: Path) -> None:
    """Of rays the one that met nothing, wherever it stands, over the sum of the others; a lone one has 100 dB."""
    rays = random_rays(USERS, 5)
    for name in rays.keys() - {"rx_pos", "tx_pos"}:
        rays[name][0, 1:] = np.nan
    for name in ("power", "inter"):  # user 2's line of sight is its third path
        rays[name][2, [0, 2]] = rays[name][2, [2, 0]]
    made = import_dataset(
        write_deepmimo(tmp_path / "s", [rays]),
        tmp_path / "d.zarr",
        assignments={**GRID, "sub6.array.columns": 8},
        remember=False,
    )
    dataset = open_dataset(made.path)
    got, los, gain = (
        np.concatenate([dataset.array(name, split) for split in SPLITS])
        for name in ("k_factor_db_sub6", "los", "path_gain_db_sub6")
    )
    linear = np.where(np.isnan(rays["power"]), 0, 10 ** (rays["power"].astype(float) / 10))
    direct = np.where(rays["inter"] == 0, linear, 0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        k_db = np.minimum(10 * np.log10(direct / (linear.sum(axis=1) - direct)), 100)
        order = [int(np.abs(10 * np.log10(linear.sum(axis=1)) - value).argmin()) for value in gain]
    assert sorted(order) == list(range(USERS - 1))
    np.testing.assert_array_equal(los, np.arange(USERS)[order] < USERS // 2)
    np.testing.assert_allclose(got, np.where(los, k_db[order], np.nan), rtol=1e-4, atol=1e-4)
    assert not [check for check in verify(made.path) if not check.ok]
    path = quadriga(tmp_path)
    told = {**GRID, "sub6.array.columns": 8}
    other = import_dataset(path, tmp_path / "q.zarr", assignments=told, remember=False)
    assert "k_factor_db_sub6" not in open_dataset(other.path).variables, "nobody says which path is the direct one"


@formats
def test_a_path_that_is_no_number_is_one_line(tmp_path: Path, name: str) -> None:
    """NaN in the coefficients; of rays, a gain without a phase."""
    if name.startswith("deepmimo"):
        rays = random_rays(USERS, 5)
        rays["phase"][3, 1] = np.nan
        path = (write_deepmimo if name == "deepmimo" else write_deepmimo_v3)(
            tmp_path / name, [rays] if name == "deepmimo" else rays
        )
    elif name == "cir":
        a = np.ones((USERS, 1, 1, 1, 8, 5, 1), np.complex64)
        a[3, ..., 1, 0] = np.nan
        path = write_cir(tmp_path / "cir.npz", a, np.zeros((USERS, 1, 1, 5), np.float32), carrier_hz=3.5e9)
    else:
        channels = [random_taps((1, 8, 5, 1), seed) for seed in range(USERS)]
        channels[3]["coeff"][0, 2, 1] = np.nan
        mat = name == "quadriga"
        path = (
            write_quadriga(tmp_path / "x.mat", channels, (USERS, 1), carriers=[3.5e9])
            if mat
            else write_quadriga_hdf5(tmp_path / "x.hdf5", channels, carrier_hz=3.5e9)
        )
    with pytest.raises(RequestError, match=r"user 3, path 1|of link 3, slot 0, path 1") as caught:
        import_dataset(path, tmp_path / "y.zarr", assignments={**GRID, "sub6.array.columns": 8}, remember=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "y.zarr").exists()


@pytest.mark.parametrize("named", ["deepmimo", "deepmimo-v3"])
def test_paths_that_arrive_before_they_are_sent_are_one_line(tmp_path: Path, named: str) -> None:
    rays = random_rays(USERS, 5)
    rays["delay"][3, 1] = -1e-7
    path = write_deepmimo(tmp_path / "s", [rays]) if named == "deepmimo" else write_deepmimo_v3(tmp_path / "s", rays)
    with pytest.raises(RequestError, match=r"delays of 0 s or more, got '-.*e-0[78] of user 3, path 1"):
        import_dataset(path, tmp_path / "y.zarr", assignments={**GRID, "sub6.array.columns": 8}, remember=False)
    assert not (tmp_path / "y.zarr").exists()


def test_a_record_that_is_none_of_ours(tmp_path: Path) -> None:
    import json

    folder = deepmimo(tmp_path)
    params = json.loads((folder / "params.json").read_text())
    for wrong in (3, {}, {"band": {"carrier_hz": "x"}}):
        (folder / "params.json").write_text(json.dumps(params | {"channelbench": wrong}))
        with pytest.raises(RequestError, match="a record as channelbench exports it") as caught:
            look(folder)
        assert "\n" not in str(caught.value)


@formats
def test_bytes_that_have_changed_are_one_line_or_none(tmp_path: Path, name: str) -> None:
    """Whatever they do to HDF5, zip and MATLAB files: a complaint of one line, or other numbers."""
    path, rng, said = WRITTEN[name](tmp_path), np.random.default_rng(1), list[str]()
    files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
    for _ in range(12):
        file = files[rng.integers(len(files))]
        whole = file.read_bytes()
        broken = bytearray(whole)
        for place in rng.integers(0, min(len(broken), 3000), 6):
            broken[place] = rng.integers(256)
        file.write_bytes(broken)
        try:
            found = look(path, format=name)
            found.reader.links(np.arange(4), {"sub6": a_band()})
            found.reader.close()
        except RequestError as error:
            said.append(str(error))
        file.write_bytes(whole)
    assert said
    assert not [line for line in said if "\n" in line]
