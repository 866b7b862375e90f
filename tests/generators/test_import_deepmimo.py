"""DeepMIMO v4 and v3: the same channels as DeepMIMO's own formula and program give, and complaints of one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_paths import (
    a_band,
    deepmimo_channel,
    path_sum,
    random_rays,
    write_deepmimo,
    write_deepmimo_v3,
    write_matrix,
)

from channelbench.errors import RequestError
from channelbench.generators.evaluate.paths import SPEED_OF_LIGHT
from channelbench.generators.imported.deepmimo import DeepMIMOReader, DeepMIMOSettings
from channelbench.generators.imported.deepmimo_v3 import DeepMIMOv3Reader, DeepMIMOv3Settings
from channelbench.generators.imported.rays import RayTable, line_of_sight
from channelbench.spec import ArraySpec

USERS, PATHS = 8, 5


def reader_of(folder: Path, **settings: Any) -> DeepMIMOReader:
    return DeepMIMOReader(folder, DeepMIMOSettings(**settings))


def some(count: int = USERS) -> np.ndarray:
    return np.arange(count)


class TestOwnFormula:
    @pytest.mark.parametrize("suffix", ["npz", "mat", "npy"])
    def test_channels_are_deepmimos(self, tmp_path: Path, suffix: str) -> None:
        band, rays = a_band(), random_rays(USERS, PATHS)
        reader = reader_of(write_deepmimo(tmp_path / "s", [rays], suffix=suffix), carrier_at="first")
        h = path_sum(reader.links(some(), {"sub6": band}).bands["sub6"].paths, band, squint=False)[:, 0]
        expected = np.sqrt(band.num_subcarriers) * deepmimo_channel(rays, band).transpose(0, 2, 1)
        np.testing.assert_allclose(h, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
        assert np.abs(expected[0]).max() > 0

    def test_a_centred_band_is_deepmimos_with_phases_turned(self, tmp_path: Path) -> None:
        band, rays = a_band(num_subcarriers=15), random_rays(USERS, PATHS)
        reader = reader_of(write_deepmimo(tmp_path / "s", [rays]))
        h = path_sum(reader.links(some(), {"sub6": band}).bands["sub6"].paths, band, squint=False)[:, 0]
        before_hz = 7 * band.bandwidth_hz / 15
        turned = rays["phase"].astype(np.float64) + 360 * before_hz * rays["delay"].astype(np.float64)
        expected = np.sqrt(15) * deepmimo_channel({**rays, "phase": turned}, band).transpose(0, 2, 1)
        np.testing.assert_allclose(h, expected, rtol=0, atol=1e-9 * np.abs(expected).max())

    def test_late_paths_are_counted_and_dropped_when_asked(self, tmp_path: Path) -> None:
        band, rays = a_band(), random_rays(USERS, PATHS, latest_s=1.5e-6)  # a symbol is 0.8 µs
        late = (rays["delay"] * 20e6 >= 16).sum()
        assert 0 < late < np.isfinite(rays["delay"]).sum()
        folder = write_deepmimo(tmp_path / "s", [rays])
        for drop in (False, True):
            reader = reader_of(folder, drop_late=drop, carrier_at="first")
            assert reader.remarks({"sub6": band})[0].startswith(f"sub6: {late} of {np.isfinite(rays['delay']).sum()} ")
            h = path_sum(reader.links(some(), {"sub6": band}).bands["sub6"].paths, band, squint=False)[:, 0]
            expected = 4 * deepmimo_channel(rays, band, drop_late=drop).transpose(0, 2, 1)
            np.testing.assert_allclose(h, expected, rtol=0, atol=1e-12 * np.abs(expected).max())

    def test_the_array_may_face_elsewhere(self, tmp_path: Path) -> None:
        band, rays = a_band(), random_rays(USERS, PATHS)
        turned = {**rays, "aod_az": rays["aod_az"] - np.float32(30)}
        one = reader_of(write_deepmimo(tmp_path / "s", [rays]), bs_azimuth_deg=30.0)
        links = one.links(some(), {"sub6": band})
        h = path_sum(links.bands["sub6"].paths, band, squint=False)[:, 0]
        other = reader_of(write_deepmimo(tmp_path / "t", [turned])).links(some(), {"sub6": band})
        expected = path_sum(other.bands["sub6"].paths, band, squint=False)[:, 0]
        np.testing.assert_allclose(h, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
        assert links.ue_position is not None
        angle = np.angle(
            np.exp(1j * np.deg2rad(-30)) * np.exp(1j * np.arctan2(*(rays["rx_pos"] - [100, 50, 0]).T[1::-1]))
        )
        np.testing.assert_allclose(np.arctan2(links.ue_position[:, 1], links.ue_position[:, 0]), angle, atol=1e-5)

    @pytest.mark.slow  # importing it is
    @pytest.mark.parametrize("rows", [1, 2])
    def test_deepmimo_itself_says_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rows: int
    ) -> None:
        dm = pytest.importorskip("deepmimo")
        band, rays = a_band(array=ArraySpec(rows=rows, columns=4)), random_rays(USERS, PATHS)
        folder = write_deepmimo(tmp_path / "deepmimo_scenarios" / "street", [rays])
        params = json.loads((folder / "params.json").read_text())
        ends = {"num_points": 1, "is_tx": True, "is_rx": False, "id": 1}
        params["txrx_sets"] = {"txrx_set_1": ends, "txrx_set_0": {**ends, "num_points": USERS, "id": 0}}
        params["txrx_sets"]["txrx_set_0"] |= {"is_tx": False, "is_rx": True}
        (folder / "params.json").write_text(json.dumps(params))
        (folder / "objects.json").write_text("[]")
        np.savez(folder / "vertices.npz", vertices=np.empty((0, 3)))
        monkeypatch.chdir(tmp_path)
        theirs = dm.load("street")
        asked = dm.ChannelParameters(bs_antenna={"shape": np.array([4, rows])}, num_paths=PATHS)
        asked.ofdm.subcarriers, asked.ofdm.bandwidth = 16, 20e6
        asked.ofdm.selected_subcarriers = np.arange(16)
        expected = 4 * theirs.compute_channels(asked)[:, 0].transpose(0, 2, 1)
        reader = reader_of(folder, carrier_at="first")
        links = reader.links(some(), {"sub6": band})
        h = path_sum(links.bands["sub6"].paths, band, squint=False)[:, 0]
        np.testing.assert_allclose(h, expected, rtol=0, atol=2e-5 * np.abs(expected).max())  # theirs is complex64
        np.testing.assert_array_equal(links.los, theirs.los == 1)


class TestWhatIsSeen:
    def test_line_of_sight_and_missing_paths(self, tmp_path: Path) -> None:
        rays = random_rays(USERS, PATHS)
        rays["inter"][1, [0, 2]] = 1, 0  # the direct path need not come first
        names = ("power", "phase", "delay", "aod_az", "aod_el")
        gain, phase, delay, aod, zod = (rays[name] for name in names)
        table = RayTable(
            gain_db=gain, phase_deg=phase, delay_s=delay, aod_deg=aod, zod_deg=zod, interactions=rays["inter"]
        )
        assert line_of_sight(table).tolist() == [1, 1, 1, 1, 0, 0, 0, -1]
        reader = reader_of(write_deepmimo(tmp_path / "s", [rays]))
        said = reader.describe()
        assert said.num_links == USERS
        assert said.notes[1] == "4 users in line of sight, 3 without, 1 have no path"
        assert said.bands["sub6"].carrier_hz == 3.5e9
        assert said.bands["sub6"].num_slots == 1
        assert said.quantities == {"los", "ue_position"}
        assert said.bs_height_m == 20
        links = reader.links(np.array([1, 7]), {"sub6": a_band()})
        paths = links.bands["sub6"].paths
        assert paths is not None
        assert not paths.amplitude[1].any()
        assert np.isfinite(paths.delay_s).all()
        assert links.los is not None
        assert links.los.tolist() == [True, False]
        assert np.abs(paths.amplitude[0, 0, 0, 0]) == pytest.approx(10 ** (rays["power"][1, 2] / 20))  # it does here

    def test_what_has_no_interactions_has_no_line_of_sight(self, tmp_path: Path) -> None:
        rays = random_rays(USERS, PATHS)
        del rays["inter"], rays["tx_pos"], rays["aoa_az"]
        reader = reader_of(write_deepmimo(tmp_path / "s", [rays]))
        assert reader.describe().quantities == set()
        links = reader.links(some(), {"sub6": a_band()})
        assert links.los is None
        assert links.ue_position is None
        assert links.bands["sub6"].paths.aoa_azimuth is None

    def test_former_names_of_matrices(self, tmp_path: Path) -> None:
        band, rays = a_band(), random_rays(USERS, PATHS)
        former = {{"delay": "toa", "rx_pos": "rx_loc", "tx_pos": "tx_loc"}.get(k, k): v for k, v in rays.items()}
        old, new = (reader_of(write_deepmimo(tmp_path / n, [r], suffix="mat")) for n, r in (("o", former), ("n", rays)))
        assert old.describe() == new.describe()
        a, b = (r.links(some(), {"sub6": band}).bands["sub6"].paths.amplitude for r in (old, new))
        np.testing.assert_array_equal(a, b)

    def test_snapshots_are_slots(self, tmp_path: Path) -> None:
        snapshots = [random_rays(USERS, PATHS, seed) for seed in range(3)]
        snapshots[1] = {k: (v[:, :4] if v.shape == (USERS, PATHS) else v) for k, v in snapshots[1].items()}
        band = a_band(num_slots=3)
        reader = reader_of(write_deepmimo(tmp_path / "s", snapshots), carrier_at="first")
        assert reader.describe().bands["sub6"].num_slots == 3
        h = path_sum(reader.links(some(), {"sub6": band}).bands["sub6"].paths, band, squint=False)
        for slot, rays in enumerate(snapshots):
            expected = 4 * deepmimo_channel(rays, band).transpose(0, 2, 1)
            np.testing.assert_allclose(h[:, slot], expected, rtol=0, atol=1e-12 * np.abs(expected).max())
        assert len(reader.files()) == 1 + 3 * 10

    def test_two_carriers_of_one_place_are_two_bands(self, tmp_path: Path) -> None:
        low, high = random_rays(USERS, PATHS, 1), random_rays(USERS, PATHS, 2)
        high |= {"rx_pos": low["rx_pos"]}
        write_deepmimo(tmp_path / "place_28", [high], carrier_hz=28e9)
        write_deepmimo(tmp_path / "place_3p5", [low], carrier_hz=3.5e9)
        reader = reader_of(tmp_path)
        assert {n: f.carrier_hz for n, f in reader.describe().bands.items()} == {"sub6": 3.5e9, "mmwave": 28e9}
        bands = {"sub6": a_band(), "mmwave": a_band(carrier_hz=28e9)}
        links = reader.links(some(), bands)
        for name, rays in (("sub6", low), ("mmwave", high)):
            gain = np.nansum(10 ** (rays["power"].astype(np.float64) / 10), axis=1)
            np.testing.assert_allclose((np.abs(links.bands[name].paths.amplitude) ** 2).sum(axis=(1, 2, 3)), gain)
        high["rx_pos"] = high["rx_pos"] + np.float32(1)
        write_deepmimo(tmp_path / "place_28", [high], carrier_hz=28e9)
        with pytest.raises(RequestError, match="the same users in both scenarios"):
            reader_of(tmp_path).links(some(), bands)

    def test_speed_towards_the_arriving_wave_is_doppler(self, tmp_path: Path) -> None:
        rays = random_rays(USERS, PATHS)
        rays["aoa_az"][0, 0], rays["aoa_el"][0, 0] = 90, 90  # from +y
        rays["aoa_az"][0, 1], rays["aoa_el"][0, 1] = -90, 90
        rays["aoa_az"][0, 2], rays["aoa_el"][0, 2] = 0, 60
        reader = reader_of(
            write_deepmimo(tmp_path / "s", [rays]), ue_velocity_mps=(0.0, 10.0, 0.0), bs_azimuth_deg=90.0
        )
        assert reader.describe().bands["sub6"].num_slots is None
        assert "ue_velocity" in reader.describe().quantities
        links = reader.links(some(), {"sub6": a_band(num_slots=4)})
        fastest = 10 * 3.5e9 / SPEED_OF_LIGHT
        np.testing.assert_allclose(links.bands["sub6"].paths.doppler_hz[0, :3], [fastest, -fastest, 0], atol=1e-4)
        np.testing.assert_allclose(links.ue_velocity[0], [10, 0, 0], atol=1e-12)  # where the array faces

    def test_the_format_is_recognised(self, tmp_path: Path) -> None:
        assert DeepMIMOReader.claims(write_deepmimo(tmp_path / "s", [random_rays(4, 3)]))
        assert DeepMIMOReader.claims(tmp_path)
        (tmp_path / "empty").mkdir()
        assert not DeepMIMOReader.claims(tmp_path / "empty")
        (tmp_path / "empty" / "params.json").write_text("{}")
        assert not DeepMIMOReader.claims(tmp_path / "empty")


class TestBadInput:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return write_deepmimo(tmp_path / "s", [random_rays(USERS, PATHS)])

    def refused(self, folder: Path, match: str, **settings: Any) -> None:
        def read() -> None:
            reader = reader_of(folder, **settings)
            reader.describe()
            reader.links(some(), {"sub6": a_band()})

        with pytest.raises(RequestError, match=match) as caught:
            read()
        assert "\n" not in str(caught.value)

    def test_missing_matrices(self, folder: Path) -> None:
        (folder / "phase_t001_tx000_r000.npz").unlink()
        (folder / "delay_t001_tx000_r000.npz").unlink()
        self.refused(folder, "got 'no phase, delay in s'")

    def test_a_file_cut_short(self, folder: Path) -> None:
        path = folder / "power_t001_tx000_r000.npz"
        path.write_bytes(path.read_bytes()[:100])
        self.refused(folder, r"a matrix power of real numbers in power_t001_tx000_r000\.npz, got 'BadZipFile")

    @pytest.mark.parametrize("suffix", ["mat", "npy"])
    def test_other_files_cut_short(self, tmp_path: Path, suffix: str) -> None:
        folder = write_deepmimo(tmp_path / "t", [random_rays(USERS, PATHS)], suffix=suffix)
        path = folder / f"aod_el_t001_tx000_r000.{suffix}"
        whole = path.read_bytes()
        for length in (0, 60, 200):
            path.write_bytes(whole[:length])
            self.refused(folder, "a matrix aod_el of real numbers")

    def test_objects(self, folder: Path) -> None:
        write_matrix(folder / "power_t001_tx000_r000.npz", "power", np.array([[{}, 1]], object))
        self.refused(folder, "Object arrays cannot be loaded")

    def test_another_key(self, folder: Path) -> None:
        write_matrix(folder / "power_t001_tx000_r000.npz", "gain", np.zeros((USERS, PATHS)))
        self.refused(folder, "KeyError")

    def test_complex_numbers(self, folder: Path) -> None:
        write_matrix(folder / "power_t001_tx000_r000.npz", "power", np.zeros((USERS, PATHS), complex))
        self.refused(folder, "values of type complex128")

    def test_shapes_that_differ(self, folder: Path) -> None:
        write_matrix(folder / "phase_t001_tx000_r000.npz", "phase", np.zeros((USERS, PATHS - 1)))
        self.refused(folder, r"phase of shape \(8, 4\)")

    def test_positions_of_other_users(self, folder: Path) -> None:
        write_matrix(folder / "rx_pos_t001_tx000_r000.npz", "rx_pos", np.zeros((USERS + 1, 3)))
        self.refused(folder, r"rx_pos of shape \(8, 3\)")

    def test_paths_with_a_gain_and_no_delay(self, folder: Path) -> None:
        rays = random_rays(USERS, PATHS)
        rays["delay"][2, 3] = np.nan
        write_deepmimo(folder, [rays])
        self.refused(folder, "delay nan of user 2, path 3")

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", '{"rt_params": 3}', '{"rt_params": {}}', '{"rt_params": {"frequency": "x"}}']
    )
    def test_parameters(self, folder: Path, text: str) -> None:
        (folder / "params.json").write_text(text)
        self.refused(folder, "JSON in params.json|rt_params")

    def test_no_parameters(self, folder: Path) -> None:
        (folder / "params.json").unlink()
        self.refused(folder, "got 'no params.json'")

    def test_fewer_snapshots_than_said(self, tmp_path: Path) -> None:
        folder = write_deepmimo(tmp_path / "d", [random_rays(USERS, PATHS, seed) for seed in range(3)])
        for path in (folder / "scene_002").iterdir():
            path.unlink()
        self.refused(folder, "a folder for each of 3 scenes")

    def test_other_users_in_a_snapshot(self, tmp_path: Path) -> None:
        self.refused(
            write_deepmimo(tmp_path / "d", [random_rays(USERS, PATHS), random_rays(USERS - 1, PATHS)]),
            "8 users in every folder, got '7 in scene_001'",
        )

    def test_a_pair_that_is_not_there(self, folder: Path) -> None:
        self.refused(folder, "got 'tx 5'; choices: t001_tx000_r000", tx=5)

    def test_three_scenarios(self, tmp_path: Path) -> None:
        for i in range(3):
            write_deepmimo(tmp_path / f"s{i}", [random_rays(4, 3)], carrier_hz=(i + 1) * 1e9)
        self.refused(tmp_path, "one place at two carriers")

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_text("{}")
        self.refused(tmp_path / "x.json", "a folder with params.json")


class TestVersion3:
    @pytest.mark.parametrize("named", [False, True])
    def test_the_same_rays_are_the_same_paths(self, tmp_path: Path, named: bool) -> None:
        band, rays = a_band(), random_rays(USERS, PATHS)
        folder = write_deepmimo_v3(tmp_path / "v3", rays, named=named)
        assert DeepMIMOv3Reader.claims(folder)
        assert not DeepMIMOv3Reader.claims(write_deepmimo(tmp_path / "v4", [rays]))
        assert not DeepMIMOReader.claims(folder)
        reader = DeepMIMOv3Reader(folder, DeepMIMOv3Settings(carrier_at="first"))
        links = reader.links(some(), {"sub6": band})
        h = path_sum(links.bands["sub6"].paths, band, squint=False)[:, 0]
        expected = 4 * deepmimo_channel(rays, band).transpose(0, 2, 1)
        np.testing.assert_allclose(h, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
        assert links.los.tolist() == [True] * 4 + [False] * 4
        np.testing.assert_allclose(links.ue_position, rays["rx_pos"] - np.array([100, 50, 0]), atol=1e-4)
        said = reader.describe()
        assert (said.num_links, said.bs_height_m, said.bands["sub6"].num_slots) == (USERS, 20, 1)
        assert said.notes[1] == "4 users in line of sight, 3 without, 1 have no path"
        assert len(reader.files()) == 3

    def test_bad_input(self, tmp_path: Path) -> None:
        from scipy.io import savemat

        def refused(match: str, **settings: Any) -> None:
            with pytest.raises(RequestError, match=match) as caught:
                DeepMIMOv3Reader(folder, DeepMIMOv3Settings(**settings)).describe()
            assert "\n" not in str(caught.value)

        folder = write_deepmimo_v3(tmp_path / "v3", random_rays(USERS, PATHS))
        refused("a base station that has users, got 4; choices: 1", bs=4)
        piece = folder / "BS1_UE_4-8.mat"
        whole = piece.read_bytes()
        piece.write_bytes(whole[:300])
        refused("a MATLAB file BS1_UE_4-8.mat")
        cells = np.empty((1, 4), object)
        cells[0] = [{"p": np.zeros((5, 2))}] * 4
        savemat(piece, {"channels": cells[:, :3], "rx_locs": np.zeros((4, 5))})
        refused("4 users in BS1_UE_4-8.mat, got '3 in channels, 4 in rx_locs'")
        savemat(piece, {"channels": cells, "rx_locs": np.zeros((4, 5))})
        refused("a matrix of 8 rows, got 'user 4 in BS1_UE_4-8.mat: 5 rows'")
        piece.rename(folder / "BS1_UE_5-9.mat")
        refused("users from 4 on")
        (folder / "params.mat").write_bytes(b"no MATLAB file")
        refused("users from 4 on|a MATLAB file params.mat")
        (folder / "params.mat").unlink()
        refused("no params.mat")
