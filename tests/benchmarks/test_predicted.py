"""What ``inspect --results`` shows of one sample is what was scored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from channelbench.benchmarks.predicted import Place, Predicted, place_of, predicted
from channelbench.benchmarks.prediction_panels import panels_for
from channelbench.benchmarks.prediction_sheet import show_sample
from channelbench.benchmarks.runner import run
from channelbench.errors import RequestError
from channelbench.folders.finding import cells_of
from channelbench.models.networks.training import BUDGETS
from channelbench.registry import create
from channelbench.results import read_terms
from channelbench.store.dataset import open_dataset
from channelbench.testing import make_dataset, small_spec

METHODS = ("bi", "wiener", "fifs", "cnn", "cross_stitch", "zf", "mrt", "lmmse_detector")
TASKS = ("ce", "cp", "bf", "de", "pre_sr", "det")


@pytest.fixture(scope="module", autouse=True)
def _few_steps() -> Iterator[None]:
    """Whether a network is any good is not asked here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(BUDGETS, "quick", BUDGETS["smoke"])  # type: ignore[arg-type]
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A dataset, and results of formulas, of a network per task, and of one that all tasks share."""
    folder = tmp_path_factory.mktemp("predicted")
    spec = small_spec(train=24, val=8, test=18, sub6__num_subcarriers=8, sub6__num_slots=5, mmwave__num_subcarriers=2)
    path = make_dataset(folder / "d.zarr", spec.replace({"mmwave.num_beams": 8, "mmwave.array.columns": 8})).path
    arguments = {"methods": METHODS, "tasks": TASKS, "conditions": [{}], "device": "cpu", "debug": True}
    outcome = run("full", data=path, out=folder / "r", **arguments)
    assert not outcome.failed
    return SimpleNamespace(dataset=open_dataset(path), path=Path(path), results=folder / "r")


def shown(made: SimpleNamespace, sample: int, **more: object) -> list[Predicted]:
    dataset = made.dataset
    return predicted(dataset, made.results, place_of(dataset, sample), **more)  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_is_shown_is_what_was_scored(made: SimpleNamespace) -> None:
    """The score on the sample alone is the term that the cell has of its case; and the folder stays as it is."""
    before, first = files(made.results), made.dataset.spec.sizes.train + made.dataset.spec.sizes.val
    seen: set[tuple[str, str]] = set()
    for sample in (first, first + 7):
        for one in shown(made, sample, methods=METHODS):
            view, size = made.dataset.view("test"), one.task.size(made.dataset.spec, "test", one.conditions)
            members = one.task.samples(view, np.arange(size), one.conditions).reshape(size, -1)
            (case,) = np.flatnonzero((members == sample - first).any(axis=1))
            np.testing.assert_array_equal(one.members, members[case])
            for answer in one.answers:
                name = answer.cell.primary_metric
                metrics = one.task.metrics_for(made.dataset.spec, one.conditions)
                metric = next(metric for metric in metrics if metric.card.name == name)
                term = read_terms(made.results, answer.cell)[name][case].astype(np.float64)
                assert answer.value == pytest.approx(float(metric.finalize(term)), rel=1e-3, abs=1e-6)
                seen.add((answer.cell.method, one.task.card.name))
    assert {("cnn", "cp"), ("cross_stitch", "bf"), ("fifs", "de"), ("zf", "pre_sr"), ("lmmse_detector", "det")} <= seen
    assert files(made.results) == before


def test_the_best_are_shown_where_none_are_named(made: SimpleNamespace) -> None:
    cells = {(cell.method, cell.task): cell for cell in cells_of(made.results) if cell.task == "ce"}
    (one,) = shown(made, 40, tasks=["ce"])
    values = [answer.cell.scores["nmse"].value for answer in one.answers]
    assert len(values) == 3
    contestants = [c.scores["nmse"].value for c in cells.values() if c.family not in ("floor", "reference", "ceiling")]
    assert values == sorted(contestants)[:3]
    assert [answer.cell.method for answer in shown(made, 40, methods=["repeat", "bi"])[0].answers] != []


def test_a_fit_that_is_not_kept_is_not_made_again(made: SimpleNamespace, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made.results, tmp_path / "r"))
    for fit in (folder / "checkpoints").glob("cnn__cp__*seed0"):
        shutil.rmtree(fit)
    here = SimpleNamespace(dataset=made.dataset, results=folder)
    with pytest.raises(RequestError, match=r"--methods: .* whose fit is kept \(.*--redo cnn.*got 'cnn, "):
        shown(here, 40, methods=["cnn"], tasks=["cp"])
    heard: list[str] = []
    (one,) = shown(here, 40, tasks=["cp"], heard=heard.append)
    assert "cnn" not in [answer.cell.method for answer in one.answers]
    assert any(line.startswith("cp: cnn is not shown: ") for line in heard) or len(one.answers) == 3


def test_what_cannot_be_shown_is_one_line(made: SimpleNamespace, tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "o.zarr", small_spec(train=5, val=5, test=5), seed=7)
    for arguments, said in (
        ({"sample": 50}, r"--sample: expected a sample of the dataset, 0 to 49 \(train 0–23, val 24–31, test 32–49\)"),
        ({"sample": -1}, "--sample: expected a sample of the dataset"),
        ({"methods": ["nobody"]}, "--methods: expected one that the results have .* got 'nobody'; choices: .*wiener"),
        ({"tasks": ["cp"], "methods": ["zf"]}, "--methods: .* got 'zf'; choices: bi, cnn, "),
        ({"tasks": ["pf"]}, "--tasks: .* got 'pf'; choices: bf, ce, "),
    ):
        with pytest.raises(RequestError, match=said):
            show_sample(made.path, made.results, **arguments)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=rf"digest {other.digest[:12]}, got .* are of {made.dataset.digest[:12]}"):
        show_sample(other.path, made.results)
    with pytest.raises(RequestError, match=r"a folder that `run` wrote"):
        show_sample(made.path, tmp_path / "absent")
    assert not list(tmp_path.glob("*.png"))


def test_the_picture_shows_truth_and_predictions(made: SimpleNamespace, tmp_path: Path) -> None:
    lines, target = show_sample(
        made.path, made.results, 34, tasks=["cp"], methods=["wiener"], picture=tmp_path / "s.png"
    )
    assert target.read_bytes().startswith(b"\x89PNG")
    assert lines[0].endswith("sample 34 (test 2)")
    for wanted in ("cp, conditions default", "over the test split, seed 0", "What is seen: ", "Truth: "):
        assert wanted in "\n".join(lines)
    (one,) = shown(made, 34, methods=["wiener"], tasks=["cp"])
    ax = Figure().subplots()
    panels_for(one)[-1](ax)
    drawn = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    h = made.dataset.array("h_sub6", "test")[2, -1, :, 0]
    np.testing.assert_allclose(drawn["truth"], 20 * np.log10(np.abs(h)), atol=1e-4)
    said = one.answers[0].prediction[0, -1, :, 0]
    np.testing.assert_allclose(drawn["Wiener"], 20 * np.log10(np.abs(said)), atol=1e-4)


def test_every_kind_of_task_has_pictures_that_explain_themselves(made: SimpleNamespace) -> None:
    """Rates of users by their formula, the right beam, the true distance, and wrong symbols, as the target has them."""
    drawn = {}
    for one in shown(made, 34):
        for number, panel in enumerate(panels_for(one)):
            ax = Figure().subplots()
            panel(ax)
            assert panel.sentence
            drawn[one.task.card.name, number] = (one, ax)
    one, ax = drawn["bf", 1]
    assert ax.get_lines()[1].get_xdata()[0] == one.target.context["beam_se"][0].argmax()
    one, ax = drawn["de", 1]
    assert ax.get_lines()[0].get_xdata()[0] == made.dataset.array("distance_m", "test")[2]
    one, ax = drawn["pre_sr", 1]
    h, w = (np.complex128(each[0, 0]) for each in (one.target.context["h"], one.answers[0].prediction))
    gain = np.abs(h.conj() @ w.T) ** 2
    others = gain.sum(axis=1) - np.diag(gain) + one.target.context["noise_var"][0]
    rates = np.log2(1 + np.diag(gain) / others)
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches[: len(rates)]], rates, rtol=1e-5)
    one, ax = drawn["det", 1]
    wrong = (one.answers[0].prediction[0, ..., 2] != one.target.context["symbols"][0]).sum()
    assert f"wrong ({wrong})" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_training_sample_is_shown_with_a_mark(made: SimpleNamespace, tmp_path: Path) -> None:
    lines, target = show_sample(made.path, made.results, 5, methods=["zf"])
    assert target == made.path.with_name("d-sample5.png")
    target.unlink()
    assert "train 5; NOT of the test split" in lines[0]
    (one,) = shown(made, 5, methods=["wiener"], tasks=["cp"])
    np.testing.assert_array_equal(one.target.value[0], made.dataset.array("h_sub6", "train")[5, 4:])
    assert place_of(made.dataset, None) == Place(32, "test", 0)
    assert [place_of(made.dataset, n).split for n in (23, 24, 31, 49)] == ["train", "val", "val", "test"]


def test_cells_of_a_further_stage_are_refused(made: SimpleNamespace, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made.results, tmp_path / "r"))
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**manifest, "setting": "zero-shot"}))
    with pytest.raises(RequestError, match=r"fits were made on this dataset alone, got .*zero-shot"):
        show_sample(made.path, folder)
    (folder / "run.json").unlink()
    with pytest.raises(RequestError, match=r"a folder with a readable run\.json"):
        show_sample(made.path, folder)


def test_tasks_of_others_have_a_picture_too(made: SimpleNamespace) -> None:
    (one,) = shown(made, 34, methods=["fifs"], tasks=["de"])

    class Elsewhere:
        card = create("tasks", "de").card

    stranger = Predicted(Elsewhere(), *(getattr(one, name) for name in list(vars(one))[1:]))  # type: ignore[arg-type]
    ax = Figure().subplots()
    (panel,) = panels_for(stranger)
    panel(ax)
    drawn = [line.get_ydata()[0] for line in ax.get_lines()]
    np.testing.assert_allclose(drawn, [one.answers[0].prediction[0], one.target.value[0]])
