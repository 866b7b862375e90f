"""Numbers and pictures of a dataset."""

from pathlib import Path

import numpy as np
import pytest

from channelbench.errors import RequestError
from channelbench.store.inspect import draw, drawn, summary
from channelbench.store.panels import angle_spectrum, delay_profile, panels_of, rows_of
from channelbench.store.schema import variables
from channelbench.testing import make_dataset, small_spec


def test_summary_has_every_variable_with_its_statistics(few_rays) -> None:
    text = summary(few_rays.path)
    lines = {line.split()[0]: line for line in text.splitlines() if line.split()}
    assert set(variables(few_rays.spec)) <= set(lines)
    distances = np.concatenate([few_rays.array("distance_m", split) for split in ("train", "val", "test")])
    fields = lines["distance_m"].split()
    assert fields[1:3] == ["110", "m"]
    assert [float(x) for x in fields[3:]] == pytest.approx(
        [distances.mean(), distances.std(), distances.min(), distances.max()], rel=1e-3
    )
    power = np.concatenate([few_rays.sample_power("sub6", split) for split in ("train", "val", "test")])
    assert float(lines["h_sub6"].split()[3]) == pytest.approx(power.mean(), rel=1e-3)
    for name in ("h_sub6", "h_mmwave"):
        h = np.concatenate([few_rays.array(name, split) for split in ("train", "val", "test")]).astype(complex)
        each = np.abs(h) ** 2
        fields = lines[name].split()
        assert fields[1] == "×".join(map(str, h.shape))
        assert [float(x) for x in fields[3:7]] == pytest.approx(
            [each.mean(), each.std(), each.min(), each.max()], rel=1e-3
        )


@pytest.mark.parametrize("degrees", [-50.0, 0.0, 33.0])
def test_angle_spectrum_peaks_at_the_path(degrees: float) -> None:
    element = np.arange(64)
    h = np.exp(1j * np.pi * element * np.sin(np.deg2rad(degrees)))[None, :]
    angle, power = angle_spectrum(h, 0.5)
    assert angle[power.argmax()] == pytest.approx(degrees, abs=0.25)
    assert power.max() == 1


def test_picture_is_drawn_for_one_band_and_for_two(few_rays, tmp_path: Path) -> None:
    for name, path in (
        ("two", few_rays.path),
        ("one", make_dataset(tmp_path / "mu.zarr", small_spec(train=20, val=5, test=5, system="multiuser")).path),
    ):
        target = draw(path, tmp_path / f"{name}.png")
        data = target.read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) > 50_000  # six axes with curves in them, not a blank sheet


def test_each_panel_has_a_sentence_in_print_and_below_it(few_rays, tmp_path: Path, monkeypatch) -> None:
    from matplotlib.axes import Axes

    written: list[str] = []
    plain = Axes.annotate
    monkeypatch.setattr(
        Axes, "annotate", lambda self, text, *a, **k: written.append(text) or plain(self, text, *a, **k)
    )
    _, said = drawn(few_rays.path, tmp_path / "sheet.png")
    panels = panels_of(few_rays)
    assert len(panels) == 6
    assert [" ".join(text.split()) for text in written] == [panel.sentence for panel in panels]
    assert " ".join(" ".join(said).split()) == " ".join(f"{panel.title}: {panel.sentence}" for panel in panels)


def test_a_sample_needs_results(few_rays, shell) -> None:
    code, _, err = shell("inspect", few_rays.path, "--sample", "3")
    assert (code, err.strip()) == (
        2,
        "error: --results: expected a folder that `run` wrote, with --sample, got 'nothing'",
    )


@pytest.mark.parametrize("path_at", [0, 3, 13])
def test_delay_profile_peaks_at_the_path(path_at: int) -> None:
    """A path of delay n/bandwidth turns the phase by −2πn/K from one subcarrier to the next."""
    h = np.exp(-2j * np.pi * np.arange(16) / 16 * path_at)[None, :, None] * np.array([1, 2j])
    profile = delay_profile(np.concatenate([h, 1e-6 * h, 0 * h]))
    assert (profile.argmax(), profile.max()) == (path_at, 1)
    assert profile[(path_at + 8) % 16] < 1e-6, "the window keeps side lobes down"


def test_rows_of_panels_are_as_alike_as_can_be() -> None:
    lengths = {count: [len(row) for row in rows_of([print] * count)] for count in range(1, 7)}
    assert lengths == {1: [1], 2: [2], 3: [3], 4: [2, 2], 5: [3, 2], 6: [3, 3]}


@pytest.mark.parametrize(
    ("shape", "said", "titles"),
    [
        ((40, 5, 8, 4), {}, ["Test link", "Angle spectra", "Mean delay profile", "Mean |h|² of a link (dB)"]),
        ((40, 1, 8, 1), {}, ["Test link", "Mean delay profile", "Mean |h|² of a link (dB)"]),
        ((40, 5, 1, 1), {"scale": "physical"}, ["Test link", "Path gain (dB)"]),
        ((40, 1, 1, 1), {}, ["Mean |h|² of a link (dB)"]),
    ],
)
def test_the_sheet_has_what_there_is_to_see_alone(
    shape: tuple[int, ...], said: dict, titles: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain arrays have no positions, spreads or gains; one slot, subcarrier or antenna has no picture of its own."""
    from foreign_arrays import AXES, BAND, channels
    from matplotlib.axes import Axes

    from channelbench.generators.imported.importing import import_dataset

    np.save(tmp_path / "h.npy", 1e-6 * channels(*shape))
    told = {"axes": AXES, **BAND, "sub6.array.columns": shape[-1], **said}
    made = import_dataset(tmp_path / "h.npy", tmp_path / "d.zarr", assignments=told, remember=False)
    seen: list[str] = []
    monkeypatch.setattr(Axes, "set_axis_off", lambda self: seen.append("an empty place"))
    plain = Axes.set_title
    monkeypatch.setattr(Axes, "set_title", lambda self, title, **more: seen.append(title) or plain(self, title, **more))
    draw(made.path, tmp_path / "sheet.png")
    assert [found[: len(wanted)] for found, wanted in zip(seen, titles, strict=True)] == titles


def test_wrong_places_are_refused(few_rays, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="existing dataset"):
        summary(tmp_path / "absent")
    with pytest.raises(RequestError, match="can be written"):
        draw(few_rays.path, tmp_path / "no" / "such" / "folder.png")


def test_whoever_makes_a_dataset_adds_pictures_of_their_own(few_rays, tmp_path: Path, monkeypatch) -> None:
    from matplotlib.image import imread

    from channelbench.sources import makers

    maker, drawn = makers(few_rays.spec.scenario)[few_rays.spec.source.name], []

    def views(cls, dataset):
        assert dataset.digest == few_rays.digest
        return [drawn.append] * 3

    plain = imread(draw(few_rays.path, tmp_path / "plain.png")).shape
    monkeypatch.setattr(maker, "views", classmethod(views))
    taller = imread(draw(few_rays.path, tmp_path / "more.png")).shape
    assert len(set(map(id, drawn))) == 3
    assert taller[1] == plain[1]
    assert taller[0] > 2 * plain[0]
    monkeypatch.setattr(maker, "views", classmethod(lambda cls, dataset: [drawn.append]))
    one = imread(draw(few_rays.path, tmp_path / "one.png")).shape
    assert taller[0] - one[0] == pytest.approx(one[0] - plain[0], abs=1), "two in a row"


def test_pictures_that_this_machine_cannot_draw_cost_no_sheet(few_rays, tmp_path: Path, monkeypatch) -> None:
    from matplotlib.figure import Figure

    from channelbench.sources import makers

    def views(cls, dataset):
        raise RequestError("scene", expected="a ray tracer", got="none")

    said = []
    monkeypatch.setattr(Figure, "suptitle", lambda self, text, **style: said.append(text))
    monkeypatch.setattr(makers(few_rays.spec.scenario)[few_rays.spec.source.name], "views", classmethod(views))
    assert draw(few_rays.path, tmp_path / "sheet.png").stat().st_size > 50_000
    assert "expected a ray tracer" in said[0]
