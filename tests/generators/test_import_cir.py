"""Sionna's impulse responses: the frequency responses that Sionna gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_paths import Arrays, a_band, path_sum, write_cir

from channelbench.errors import RequestError
from channelbench.generators.imported.sionna_cir import SionnaCIRReader, SionnaCIRSettings
from channelbench.spec import ArraySpec, BandSpec

SHAPE = (3, 2, 2, 2, 4, 5, 3)  # batch, receivers, their antennas, transmitters, theirs, paths, time steps
BAND = a_band(num_slots=3, array=ArraySpec(columns=4))


def responses(shape: tuple[int, ...] = SHAPE, *, each: bool = False, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    a = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    delays = shape[:6] if each else (shape[0], shape[1], shape[3], shape[5])
    return {"a": a, "tau": (rng.random(delays) * 1e-6).astype(np.float32)}


def reader_of(path: Path, **settings: Any) -> SionnaCIRReader:
    return SionnaCIRReader(path, SionnaCIRSettings(**settings))


def channels(reader: SionnaCIRReader, band: BandSpec = BAND) -> np.ndarray:
    rows = np.arange(reader.describe().num_links)
    found = path_sum(reader.links(rows, {"sub6": band}).bands["sub6"].paths, band, squint=False)
    reader.close()
    return found


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize("each", [False, True])
def test_channels_are_those_of_cir_to_ofdm_channel(tmp_path: Path, suffix: str, each: bool) -> None:
    import torch
    from sionna.phy.channel import cir_to_ofdm_channel, subcarrier_frequencies

    found = responses(each=each)
    path = write_cir(tmp_path / f"x{suffix}", **found)
    assert SionnaCIRReader.claims(path)
    f = subcarrier_frequencies(16, 20e6 / 16, precision="double")
    a, tau = torch.tensor(found["a"], dtype=torch.complex128), torch.tensor(found["tau"], dtype=torch.float64)
    expected = cir_to_ofdm_channel(f, a, tau).numpy()  # [batch, rx, antennas, tx, antennas, slots, subcarriers]
    h = channels(reader_of(path, bs=1, user_antenna=1))
    there = expected[:, :, 1, 1].reshape(6, 4, 3, 16).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(h, there, rtol=0, atol=1e-9 * np.abs(there).max())
    band = BAND.model_copy(update={"array": ArraySpec(columns=2)})
    h = channels(reader_of(path, base_station="rx", bs=1, user_antenna=3), band)
    there = expected[:, 1, :, :, 3].transpose(0, 2, 3, 4, 1).reshape(6, 3, 16, 2)
    np.testing.assert_allclose(h, there, rtol=0, atol=1e-9 * np.abs(there).max())


def test_one_sample_without_a_batch_and_paths_that_are_not_there(tmp_path: Path) -> None:
    found = responses()
    one = {name: values[1] for name, values in found.items()}
    whole = channels(reader_of(write_cir(tmp_path / "x.npz", **found)))
    np.testing.assert_array_equal(channels(reader_of(write_cir(tmp_path / "y.npz", **one))), whole[2:4])
    absent = one | {"tau": one["tau"].copy(), "a": one["a"].copy()}
    absent["tau"][..., 2], absent["a"][..., 2, :] = -1, 7
    gone = one | {"a": one["a"].copy()}
    gone["a"][..., 2, :] = 0
    a, b = (
        channels(reader_of(write_cir(tmp_path / n, **arrays))) for n, arrays in (("a.npz", absent), ("b.npz", gone))
    )
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_what_stands_beside(tmp_path: Path) -> None:
    found = responses((3, 1, 1, 1, 4, 5, 3))
    said = {"carrier_hz": 3.5e9, "bandwidth_hz": 20e6, "num_subcarriers": 16, "slot_s": 1e-3}
    shape = {"rows": 2, "columns": 2, "spacing_wavelengths": 0.5}
    position = np.arange(9.0).reshape(3, 3)
    path = write_cir(tmp_path / "x.h5", **found, **said, **shape, ue_position=position, los=np.array([1, 0, 1], bool))
    reader = reader_of(path)
    facts = reader.describe().bands["sub6"]
    assert (facts.carrier_hz, facts.bandwidth_hz, facts.num_subcarriers, facts.slot_s) == (3.5e9, 20e6, 16, 1e-3)
    assert facts.array == ArraySpec(rows=2, columns=2)
    assert facts.num_slots == 3
    links = reader.links(np.array([2, 1]), {"sub6": BAND})
    np.testing.assert_array_equal(links.ue_position, position[[2, 1]])
    assert links.los is not None
    assert links.los.tolist() == [True, False]
    reader.close()


@pytest.mark.parametrize("each", [False, True])
def test_one_of_two_polarisations(tmp_path: Path, each: bool) -> None:
    beside = {"rows": 2, "columns": 2, "spacing_wavelengths": 0.5}
    path = write_cir(tmp_path / "x.npz", **responses(each=each), **beside)
    facts = reader_of(path, antennas=":2").describe().bands["sub6"]
    assert (facts.num_antennas, facts.array) == (2, None), "what the file says is the shape of all of them"
    two = BAND.model_copy(update={"array": ArraySpec(columns=2)})
    np.testing.assert_array_equal(channels(reader_of(path, antennas=":2"), two), channels(reader_of(path))[..., :2])


def test_two_files_are_two_bands(tmp_path: Path) -> None:
    low, high = responses((3, 1, 1, 1, 4, 5, 3)), responses((3, 1, 1, 1, 8, 6, 1), seed=1)
    write_cir(tmp_path / "a.npz", **high, carrier_hz=28e9)
    write_cir(tmp_path / "b.npz", **low, carrier_hz=3.5e9)
    reader = reader_of(tmp_path)
    facts = reader.describe().bands
    assert [(f.carrier_hz, f.num_antennas, f.num_slots) for f in facts.values()] == [(3.5e9, 4, 3), (28e9, 8, 1)]
    bands = {"sub6": BAND, "mmwave": a_band(carrier_hz=28e9, array=ArraySpec(columns=8))}
    links = reader.links(np.arange(3), bands)
    assert links.bands["mmwave"].paths.amplitude.shape == (3, 1, 6, 8)
    reader.close()


class TestBadInput:
    def refused(self, path: Path, match: str, **settings: Any) -> None:
        with pytest.raises(RequestError, match=match) as caught:
            channels(reader_of(path, **settings))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("suffix", [".npz", ".h5"])
    @pytest.mark.parametrize("part", [0.0, 0.1, 0.6])
    def test_files_cut_short(self, tmp_path: Path, suffix: str, part: float) -> None:
        path = write_cir(tmp_path / f"x{suffix}", **responses())
        whole = path.read_bytes()
        path.write_bytes(whole[: int(part * len(whole))])
        self.refused(path, "with arrays a and tau, and no Python objects")

    def test_other_layouts(self, tmp_path: Path) -> None:
        found = responses()
        write = write_cir
        self.refused(write(tmp_path / "1.npz", found["a"][0, 0], found["tau"]), r"got 'shape \(2, 2, 4, 5, 3\)'")
        self.refused(write(tmp_path / "2.npz", found["a"], found["tau"][:, :, 0]), r"got 'shape \(3, 2, 5\)'")
        self.refused(write(tmp_path / "3.npz", found["a"], found["tau"] + 0j), "complex a and real tau")
        self.refused(write(tmp_path / "4.npz", np.array([{}], object), found["tau"]), "Object arrays cannot be loaded")
        np.savez(tmp_path / "5.npz", a=found["a"])
        assert not SionnaCIRReader.claims(tmp_path / "5.npz")
        self.refused(tmp_path / "5.npz", "an array tau in 5.npz, got 'a'")
        self.refused(tmp_path, "or a folder of two of them, got '5 of them'")
        beside = {"rows": 3, "columns": 3, "spacing_wavelengths": 0.5}
        self.refused(write(tmp_path / "6.npz", **found, **beside), "rows and columns of 4 antennas, got '3×3'")
        self.refused(
            write(tmp_path / "7.npz", **found, ue_position=np.zeros((3, 3))), "ue_position of sample 3 in 7.npz"
        )
        self.refused(write(tmp_path / "8.npz", **found, carrier_hz=np.zeros(2)), "a number carrier_hz in 8.npz")

    def test_numbers_that_are_not_there(self, tmp_path: Path) -> None:
        path = write_cir(tmp_path / "x.npz", **responses())
        self.refused(path, "bs: expected a number below 2", bs=2)
        self.refused(path, "user_antenna: expected a number below 2", user_antenna=-1)

    def test_files_that_do_not_belong_together(self, tmp_path: Path) -> None:
        write_cir(tmp_path / "a.npz", **responses(), carrier_hz=1e9)
        write_cir(tmp_path / "b.npz", **responses())
        self.refused(tmp_path, "carrier_hz in both files")
        write_cir(tmp_path / "b.npz", **responses((4, *SHAPE[1:])), carrier_hz=2e9)
        self.refused(tmp_path, r"as many links in both files, got \[6, 8\]")
