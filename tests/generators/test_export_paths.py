"""Exports of paths: what is imported again, and what others read of them, are the channels that were exported."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_paths import random_rays, write_deepmimo
from same_links import SAME, all_rows, compare, errors, with_gain

from channelbench import cli
from channelbench.errors import RequestError
from channelbench.generation import generate, make_spec
from channelbench.generators.imported.contract import Writer
from channelbench.generators.imported.deepmimo_export import DeepMIMOWriter
from channelbench.generators.imported.importing import import_dataset
from channelbench.generators.imported.sionna_export import SionnaCIRWriter
from channelbench.store.dataset import ChannelDataset, open_dataset
from channelbench.testing import make_dataset

CHANGES = {
    "sizes.train": 5,
    "sizes.val": 2,
    "sizes.test": 2,
    "state": "random",
    "max_distance_m": 100,
    "sub6.num_slots": 3,
    "sub6.num_subcarriers": 8,
    "mmwave.num_subcarriers": 8,
    "mmwave.array.columns": 16,
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ChannelDataset:
    path = tmp_path_factory.mktemp("exports") / "uma.zarr"
    generate(make_spec(scenario="uma", assignments=CHANGES), path, seed=3, remember=False)
    return open_dataset(path)


def exported(writer: Writer, dataset: ChannelDataset, target: Path) -> list[tuple[int, int]]:
    done: list[tuple[int, int]] = []
    writer.refuse(dataset)
    writer.write(dataset, target, lambda *progress: done.append(progress))
    return done


def test_deepmimo_and_back(dataset: ChannelDataset, tmp_path: Path) -> None:
    done = exported(DeepMIMOWriter(), dataset, tmp_path / "x")
    assert done[-1] == (9, 9)
    assert done == sorted(done)
    back = import_dataset(tmp_path / "x", tmp_path / "y.zarr", remember=False)
    assert back.source.data_licence == "CC-BY-4.0"
    again = open_dataset(back.path)
    compare(dataset, again, ("asd_deg", "asa_deg", "k_factor_db"))
    np.testing.assert_allclose(all_rows(again, "ue_velocity"), all_rows(dataset, "ue_velocity"), rtol=1e-6)


def test_velocities_and_angles_of_arrival_in_an_export_make_the_slots_of_one_scene(
    dataset: ChannelDataset, tmp_path: Path
) -> None:
    """The first scene alone, with Doppler shifts from ``rx_vel`` and the directions that waves come from, gives the
    channels that the export has in scenes of their own."""
    import json
    import shutil

    exported(DeepMIMOWriter(), dataset, tmp_path / "x")
    params = json.loads((tmp_path / "x" / "sub6" / "params.json").read_text())
    scene = tmp_path / "x" / "sub6" / "scene_0000"
    (scene / "params.json").write_text(json.dumps(params | {"scene": {"num_scenes": 1}}))
    shutil.move(scene, tmp_path / "y")
    back = import_dataset(tmp_path / "y", tmp_path / "z.zarr", assignments={"sub6.num_slots": 3}, remember=False)
    again = open_dataset(back.path)
    assert list(again.spec.bands) == ["sub6"]
    assert errors(with_gain(dataset, "sub6"), with_gain(again, "sub6")).max() < SAME
    moved = np.abs(all_rows(again, "h_sub6")[:, 2] - all_rows(again, "h_sub6")[:, 0])
    assert moved.max() > 0.01, "the users do move"


@pytest.mark.parametrize("writer", [DeepMIMOWriter, SionnaCIRWriter])
def test_one_band_of_one_slot_and_back(tmp_path: Path, writer: type[Writer]) -> None:
    small = {"sizes.train": 3, "sizes.val": 1, "sizes.test": 1, "sub6.num_subcarriers": 8, "max_distance_m": 100}
    path = generate(make_spec("uma", system="multiuser", assignments=small), tmp_path / "u.zarr", remember=False)
    exported(writer(), open_dataset(path), tmp_path / "x")
    back = import_dataset(tmp_path / "x", tmp_path / "y.zarr", remember=False)
    compare(open_dataset(path), open_dataset(back.path), ())
    with pytest.raises(RequestError, match="imported, which keeps none; formats of channels take it, such as npz"):
        writer().refuse(open_dataset(back.path))


def test_impulse_responses_and_back(dataset: ChannelDataset, tmp_path: Path) -> None:
    assert exported(SionnaCIRWriter(), dataset, tmp_path / "x")[-1] == (9, 9)
    back = import_dataset(tmp_path / "x", tmp_path / "y.zarr", remember=False)
    assert back.source.data_licence == "CC-BY-4.0"
    compare(dataset, open_dataset(back.path), ("k_factor_db",))


@pytest.mark.slow  # importing it is
def test_deepmimo_reads_what_was_exported(
    dataset: ChannelDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dm = pytest.importorskip("deepmimo")
    exported(DeepMIMOWriter(), dataset, tmp_path / "deepmimo_scenarios" / "uma")
    (tmp_path / "deepmimo_scenarios" / "uma" / "mmwave").rename(tmp_path / "deepmimo_scenarios" / "high")
    monkeypatch.chdir(tmp_path)
    theirs, band = dm.load("high", max_paths=500), dataset.spec.mmwave
    assert band is not None
    asked = dm.ChannelParameters(bs_antenna={"shape": np.array([16, 1])}, num_paths=theirs.power.shape[1])
    asked.ofdm.subcarriers, asked.ofdm.bandwidth = 1000, 1e6  # one symbol is 1 ms: no path is late
    asked.ofdm.selected_subcarriers = np.array([0])
    h = np.sqrt(1000) * theirs.compute_channels(asked)[:, 0, :, 0]
    assert errors(with_gain(dataset, "mmwave")[:, 0, 4], h).max() < SAME  # the carrier, where nothing squints
    np.testing.assert_array_equal(theirs.los == 1, all_rows(dataset, "los"))


def test_sionna_reads_what_was_exported(dataset: ChannelDataset, tmp_path: Path) -> None:
    import h5py
    import torch
    from sionna.phy.channel import CIRDataset, cir_to_ofdm_channel, subcarrier_frequencies

    exported(SionnaCIRWriter(), dataset, tmp_path / "x")
    with h5py.File(tmp_path / "x" / "sub6.h5") as file:
        a, tau = file["a"][()], file["tau"][()]
    shape = dict(
        zip(("num_rx", "num_rx_ant", "num_tx", "num_tx_ant", "num_paths", "num_time_steps"), a.shape[1:], strict=True)
    )
    feed = CIRDataset(lambda: zip(torch.tensor(a), torch.tensor(tau[:, :, 0, :, 0]), strict=True), 9, **shape)
    assert feed(9, 3, 1.0)[0].shape == a.shape
    f = subcarrier_frequencies(8, dataset.spec.sub6.bandwidth_hz / 8)
    h = cir_to_ofdm_channel(f, torch.tensor(a), torch.tensor(tau)).numpy()[:, 0, 0, 0].transpose(0, 2, 3, 1)
    assert errors(with_gain(dataset, "sub6"), h).max() < SAME


def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Export and import of docs/importing-paths.md, and the settings that it shows for other people's files."""
    page = (Path(__file__).parents[2] / "docs" / "importing-paths.md").read_text()
    settings = re.findall(r"^```toml\n(.*?)^```", page, re.M | re.S)[0]
    monkeypatch.chdir(tmp_path)
    for command in re.findall(r"^\$ channelbench (.*)$", page, re.M):
        call(command, monkeypatch)
    said = capsys.readouterr().out
    assert "note      transmitter and receivers t000_tx000_r001" in said
    assert re.search(r"note      mmwave: \d+ of \d+ paths, of \d+ users, arrive after 1.28e-07 s: kept", said)
    compare(open_dataset("few.zarr"), open_dataset("again.zarr"), ())
    (tmp_path / "street.toml").write_text(settings)
    write_deepmimo(tmp_path / "street", [random_rays(30, 4)])
    call("import street --settings street.toml --out street.zarr", monkeypatch)
    assert open_dataset("street.zarr").spec.sub6.array.columns == 8


def call(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["channelbench", *command.split()])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code


@pytest.mark.parametrize("writer", [DeepMIMOWriter, SionnaCIRWriter])
def test_a_source_without_paths_is_one_line(tmp_path: Path, writer: type[Writer]) -> None:
    with pytest.raises(RequestError, match="which keeps none") as caught:
        writer().refuse(make_dataset(tmp_path / "x.zarr"))
    assert "\n" not in str(caught.value)


def test_channels_of_other_paths_are_one_line(dataset: ChannelDataset) -> None:
    class Altered(ChannelDataset):
        pass

    other = Altered(dataset.group, dataset.spec, dataset.record, dataset.path, dataset.variables)
    other.seed = dataset.seed + 1
    with pytest.raises(RequestError, match="paths of other channels at sub6"):
        DeepMIMOWriter().refuse(other)
