"""QuaDRiGa's MATLAB files and quadriga-lib's HDF5: the same frequency responses as their own formulas give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_paths import (
    Arrays,
    a_band,
    path_sum,
    quadriga_response,
    random_taps,
    write_quadriga,
    write_quadriga_hdf5,
)

from channelbench.errors import RequestError
from channelbench.generators.imported.quadriga import QuadrigaReader, QuadrigaSettings
from channelbench.generators.imported.quadriga_hdf5 import QuadrigaHdf5Reader
from channelbench.generators.imported.quadriga_mat import QuadrigaMatReader
from channelbench.spec import ArraySpec

SHAPE = (2, 4, 5, 3)  # receive and transmit antennas, paths, snapshots
NAMES = ["3GPP_38.901_UMa_LOS_Tx1_Rx1", "3GPP_38.901_UMa_NLOS_Tx1_Rx2", "3GPP_38.901_UMa_NLOS_Tx1_Rx3"]
BAND = a_band(carrier_hz=2.4e9, num_slots=3, array=ArraySpec(columns=4))


def three(*, each: bool = False) -> list[Arrays]:
    """Three channels, the second with fewer paths."""
    channels = [random_taps(SHAPE, seed, each=each) for seed in range(3)]
    channels[1] = random_taps((2, 4, 3, 3), 7, each=each)
    return channels


def written(kind: type[QuadrigaReader], folder: Path, channels: list[Arrays]) -> Path:
    if kind is QuadrigaMatReader:
        return write_quadriga(folder / "x.mat", channels, (3, 1), carriers=[2.4e9], names=NAMES)
    return write_quadriga_hdf5(folder / "x.hdf5", channels, carrier_hz=2.4e9, names=NAMES)


both = pytest.mark.parametrize("kind", [QuadrigaMatReader, QuadrigaHdf5Reader])


@both
@pytest.mark.parametrize("each", [False, True])
def test_channels_are_those_of_fr(tmp_path: Path, kind: type[QuadrigaReader], each: bool) -> None:
    channels = three(each=each)
    path = written(kind, tmp_path, channels)
    assert kind.claims(path)
    reader = kind(path, QuadrigaSettings(carrier_at="first", user_antenna=1))
    links = reader.links(np.array([0, 1, 2]), {"sub6": BAND})
    h = path_sum(links.bands["sub6"].paths, BAND, squint=False)
    for i, channel in enumerate(channels):
        expected = quadriga_response(channel, BAND.bandwidth_hz, BAND.num_subcarriers)[1].transpose(2, 1, 0)
        np.testing.assert_allclose(h[i], expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    reader.close()


@both
def test_a_centred_band_begins_half_of_it_lower(tmp_path: Path, kind: type[QuadrigaReader]) -> None:
    channels = three()
    reader = kind(written(kind, tmp_path, channels), QuadrigaSettings())
    h = path_sum(reader.links(np.array([2]), {"sub6": BAND}).bands["sub6"].paths, BAND, squint=True)
    f = (np.arange(16) - 8) * 20e6 / 16
    coeff, delay = channels[2]["coeff"][0].astype(complex), channels[2]["delay"].astype(float)
    expected = np.einsum("tps,psk->skt", coeff, np.exp(-2j * np.pi * delay[..., None] * f))
    np.testing.assert_allclose(h[0], expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    reader.close()


@both
def test_what_is_seen(tmp_path: Path, kind: type[QuadrigaReader]) -> None:
    channels = three()
    reader = kind(written(kind, tmp_path, channels), QuadrigaSettings())
    said = reader.describe()
    facts = said.bands["sub6"]
    assert (said.num_links, facts.carrier_hz, facts.num_slots, facts.num_antennas) == (3, 2.4e9, 3, 4)
    assert said.quantities == {"ue_position", "los"}
    assert said.bs_height_m == 25
    links = reader.links(np.array([2, 0]), {"sub6": BAND})
    assert links.los is not None
    assert links.los.tolist() == [False, True]
    expected = channels[2]["rx"][:, 0] - np.array([3, 4, 0])
    np.testing.assert_allclose(links.ue_position[0], expected, rtol=1e-6)
    assert (links.bands["sub6"].paths.aoa_azimuth is not None) == (kind is QuadrigaHdf5Reader)
    reader.close()


@both
def test_the_other_side_as_base_station(tmp_path: Path, kind: type[QuadrigaReader]) -> None:
    channels = [random_taps(SHAPE, seed) for seed in range(3)]
    band = BAND.model_copy(update={"array": ArraySpec(columns=2)})
    reader = kind(written(kind, tmp_path, channels), QuadrigaSettings(base_station="rx", bs=1, user_antenna=3))
    assert (reader.describe().num_links, reader.describe().bands["sub6"].num_antennas) == (1, 2)
    h = path_sum(reader.links(np.array([0]), {"sub6": band}).bands["sub6"].paths, band, squint=False)
    other = kind(written(kind, tmp_path / "..", channels), QuadrigaSettings(user_antenna=0))
    there = path_sum(other.links(np.array([1]), {"sub6": BAND}).bands["sub6"].paths, BAND, squint=False)
    np.testing.assert_allclose(h[0, ..., 0], there[0, ..., 3], rtol=0, atol=1e-15)
    for opened in (reader, other):
        opened.close()


@pytest.mark.parametrize("each", [False, True])
def test_version_73_is_read_as_version_6(tmp_path: Path, each: bool) -> None:
    channels = three(each=each)
    old, new = (
        write_quadriga(tmp_path / f"{v73}.mat", channels, (3, 1), carriers=[2.4e9], names=NAMES, v73=v73)
        for v73 in (False, True)
    )
    assert new.read_bytes().startswith(b"MATLAB 7.3")
    assert QuadrigaMatReader.claims(new)
    readers = [QuadrigaMatReader(path, QuadrigaSettings(user_antenna=1)) for path in (old, new)]
    assert readers[0].describe() == readers[1].describe()
    a, b = (reader.links(np.array([2, 0, 1]), {"sub6": BAND}) for reader in readers)
    np.testing.assert_array_equal(a.bands["sub6"].paths.amplitude, b.bands["sub6"].paths.amplitude)
    np.testing.assert_array_equal(a.bands["sub6"].paths.delay_s, b.bands["sub6"].paths.delay_s)
    np.testing.assert_array_equal(a.ue_position, b.ue_position)
    np.testing.assert_array_equal(a.los, b.los)
    assert b.los is not None
    for reader in readers:
        reader.close()


@both
@pytest.mark.parametrize("each", [False, True])
def test_one_of_two_polarisations(tmp_path: Path, kind: type[QuadrigaReader], each: bool) -> None:
    path, rows = written(kind, tmp_path, three(each=each)), np.arange(3)
    whole, every, half = (kind(path, QuadrigaSettings(antennas=said)) for said in (":", "1::2", ":2"))
    assert [reader.describe().bands["sub6"].num_antennas for reader in (whole, every, half)] == [4, 2, 2]
    all_of, some, first = (r.links(rows, {"sub6": BAND}).bands["sub6"].paths for r in (whole, every, half))
    np.testing.assert_array_equal(some.amplitude, all_of.amplitude[..., 1::2])
    np.testing.assert_array_equal(first.amplitude, all_of.amplitude[..., :2])
    np.testing.assert_array_equal(some.delay_s, all_of.delay_s[..., 1::2] if each else all_of.delay_s)
    with pytest.raises(RequestError, match="antennas: expected some of the base station's 4 antennas, got '4:'"):
        kind(path, QuadrigaSettings(antennas="4:")).describe()
    for reader in (whole, every, half):
        reader.close()


def test_two_carriers_are_two_bands(tmp_path: Path) -> None:
    channels = [random_taps(SHAPE, seed) for seed in range(4)]  # two users, the higher carrier first
    path = write_quadriga(tmp_path / "x.mat", channels, (2, 1, 2), carriers=[28e9, 28e9, 2.4e9, 2.4e9])
    reader = QuadrigaMatReader(path, QuadrigaSettings(carrier_at="first"))
    assert {n: f.carrier_hz for n, f in reader.describe().bands.items()} == {"sub6": 2.4e9, "mmwave": 28e9}
    bands = {"sub6": BAND, "mmwave": BAND.model_copy(update={"carrier_hz": 28e9})}
    links = reader.links(np.array([1]), bands)
    for name, place in (("sub6", 3), ("mmwave", 1)):
        h = path_sum(links.bands[name].paths, bands[name], squint=False)[0]
        expected = quadriga_response(channels[place], 20e6, 16)[0].transpose(2, 1, 0)
        np.testing.assert_allclose(h, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_a_row_of_channels_is_a_list_of_links(tmp_path: Path) -> None:
    path = write_quadriga(tmp_path / "x.mat", three(), (1, 3), carriers=[2.4e9])
    assert QuadrigaMatReader(path, QuadrigaSettings()).describe().num_links == 3
    assert QuadrigaMatReader(path, QuadrigaSettings(bs=2)).describe().num_links == 1


def test_quadriga_lib_reads_and_writes_the_same(tmp_path: Path) -> None:
    lib = pytest.importorskip("quadriga_lib")
    channels = three(each=True)
    path = written(QuadrigaHdf5Reader, tmp_path, channels)
    theirs = [lib.channel.hdf5_read_channel(str(path), i)[0][0] for i in range(3)]
    for channel, found in zip(channels, theirs, strict=True):
        for s in range(3):
            np.testing.assert_allclose(found["coeff"][s], channel["coeff"][..., s])
            np.testing.assert_allclose(found["delay"][s], channel["delay"][..., s])
        np.testing.assert_allclose(found["rx_position"], channel["rx"])
    again = tmp_path / "again.hdf5"
    lib.channel.hdf5_create_file(str(again), 3, 1, 1, 1)
    for i, found in enumerate(theirs):
        lib.channel.hdf5_write_channel(str(again), found | {"center_frequency": np.array([2.4e9])}, None, i, 0, 0, 0)
    ours, copied = (QuadrigaHdf5Reader(p, QuadrigaSettings()) for p in (path, again))
    rows, bands = np.arange(3), {"sub6": BAND}
    a, b = (r.links(rows, bands).bands["sub6"].paths for r in (ours, copied))
    np.testing.assert_array_equal(a.amplitude, b.amplitude)
    np.testing.assert_array_equal(a.delay_s, b.delay_s)
    np.testing.assert_array_equal(a.aoa_azimuth, b.aoa_azimuth)
    assert ours.describe().bands == copied.describe().bands
    grid = np.arange(16) / 16
    response = lib.channel.baseband_freq_response(theirs[0]["coeff"], theirs[0]["delay"], 20e6, pilot_grid=grid)
    expected = quadriga_response(channels[0], 20e6, 16)
    np.testing.assert_allclose(response, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    for opened in (ours, copied):
        opened.close()


class TestBadInput:
    def refused(self, kind: type[QuadrigaReader], path: Path, match: str, **settings: Any) -> None:
        def read() -> None:
            reader = kind(path, QuadrigaSettings(**settings))
            try:
                reader.describe()
                reader.links(np.arange(2), {"sub6": BAND})
            finally:
                reader.close()

        with pytest.raises(RequestError, match=match) as caught:
            read()
        assert "\n" not in str(caught.value)

    @both
    @pytest.mark.parametrize("part", [0.0, 0.05, 0.5, 0.9])
    def test_files_cut_short(self, tmp_path: Path, kind: type[QuadrigaReader], part: float) -> None:
        path = written(kind, tmp_path, three())
        whole = path.read_bytes()
        path.write_bytes(whole[: int(part * len(whole))])
        self.refused(kind, path, "expected")

    @both
    def test_antennas_that_are_not_there(self, tmp_path: Path, kind: type[QuadrigaReader]) -> None:
        path = written(kind, tmp_path, three())
        self.refused(kind, path, "one of the users' 2 antennas, from 0, got 2", user_antenna=2)
        self.refused(kind, path, "the number of a base station, got 1", bs=1)

    @both
    def test_channels_that_differ(self, tmp_path: Path, kind: type[QuadrigaReader]) -> None:
        channels = three()
        channels[2] = random_taps((2, 4, 5, 2), 3)
        self.refused(kind, written(kind, tmp_path, channels), "got '2×4 and 2 in channel 3'")

    @both
    def test_delays_of_other_paths(self, tmp_path: Path, kind: type[QuadrigaReader]) -> None:
        channels = three()
        channels[0]["delay"] = channels[0]["delay"][:-1]
        self.refused(kind, written(kind, tmp_path, channels), "delays")

    def test_counts(self, tmp_path: Path) -> None:
        path = write_quadriga(tmp_path / "x.mat", three(), (2, 2), carriers=[2.4e9])
        self.refused(QuadrigaMatReader, path, "as many channels as ChannelDims says, got '3 for ChannelDims 2×2×1×1'")

    def test_other_carriers_among_users(self, tmp_path: Path) -> None:
        path = write_quadriga(tmp_path / "x.mat", three(), (3, 1), carriers=[2.4e9, 3.5e9])
        self.refused(QuadrigaMatReader, path, r"one carrier, 2400000000.0 Hz, got '3500000000.0 Hz in channel 2'")

    def test_objects_and_other_matlab_files(self, tmp_path: Path) -> None:
        from scipy.io import savemat

        channels = three()
        cells = np.empty((2, 4, 5, 3), object)
        cells[:] = "x"
        channels[0]["coeff"] = cells
        path = written(QuadrigaMatReader, tmp_path, channels)
        self.refused(QuadrigaMatReader, path, "numbers in Coeffs, got 'type object in channel_00001_Coeffs'")
        savemat(tmp_path / "other.mat", {"h": np.zeros(3)})
        assert not QuadrigaMatReader.claims(tmp_path / "other.mat")
        self.refused(QuadrigaMatReader, tmp_path / "other.mat", "channels of QuaDRiGa")
        self.refused(QuadrigaMatReader, tmp_path, "a MATLAB file, got 'a folder'")
        written(QuadrigaHdf5Reader, tmp_path, three()).rename(tmp_path / "other73.mat")
        assert not QuadrigaMatReader.claims(tmp_path / "other73.mat")
        self.refused(QuadrigaMatReader, tmp_path / "other73.mat", "channels of QuaDRiGa")

    def test_objects_of_version_73(self, tmp_path: Path) -> None:
        import h5py

        path = write_quadriga(tmp_path / "x.mat", three(), (3, 1), carriers=[2.4e9], v73=True)
        with h5py.File(path, "a") as file:
            del file["channel_00001_Coeffs"]
            cell = file.create_dataset("channel_00001_Coeffs", (3, 5, 4, 2), h5py.ref_dtype)
            cell.attrs["MATLAB_class"] = np.bytes_("qd_channel")
        self.refused(QuadrigaMatReader, path, "numbers in Coeffs, got 'type object in channel_00001_Coeffs'")
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        self.refused(QuadrigaMatReader, path, "expected")

    def test_missing_fields(self, tmp_path: Path) -> None:
        from scipy.io import loadmat, savemat

        path = written(QuadrigaMatReader, tmp_path, three())
        fields = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
        del fields["channel_00002_Delays"]
        savemat(path, fields)
        self.refused(QuadrigaMatReader, path, "Delays of every channel, got 'no channel_00002_Delays'")

    def test_missing_groups(self, tmp_path: Path) -> None:
        import h5py

        path = written(QuadrigaHdf5Reader, tmp_path, three())
        with h5py.File(path, "a") as file:
            del file["channel_2/Snap_1"]
        self.refused(QuadrigaHdf5Reader, path, "got 'none in /channel_2/Snap_1'")
        with h5py.File(path, "a") as file:
            del file["channel_2"]
        self.refused(QuadrigaHdf5Reader, path, "got 'no channel_2'")
        with h5py.File(path, "a") as file:
            del file["Order"]
        assert not QuadrigaHdf5Reader.claims(path)
        self.refused(QuadrigaHdf5Reader, path, "ChannelDims and Order")
