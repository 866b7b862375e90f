"""``show``, ``compare``, ``reproduce``, ``rm``, ``merge``, ``run --redo`` and ``run --shard``."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from channelbench.benchmarks.merging import merge
from channelbench.benchmarks.part import Part
from channelbench.benchmarks.runner import run
from channelbench.card import Card
from channelbench.contracts import FitContext, Method
from channelbench.errors import RequestError
from channelbench.folders.comparing import compare_folders, compare_methods
from channelbench.folders.finding import find_cell
from channelbench.manifests import read_manifest
from channelbench.results import Result, read_cells, read_terms
from channelbench.tasks.link.observations import ScalarObservation
from channelbench.testing import make_dataset, small_spec

Shell = Callable[..., tuple[int, str, str]]
HERE = "channelbench_test_cli_results"
CASES: dict[str, Any] = {"tasks": ["pe"], "conditions": [{}]}


class Fails(Method):
    __module__ = HERE
    card = Card(name="fails", description="Fails when it is asked.", reference="none", family="classical")
    observes = (ScalarObservation,)

    def predict(self, task: str, observation: Any) -> Any:
        raise ArithmeticError("no number")


class Waits(Method):
    """Counts its fits; during the first another run begins in the same folder."""

    __module__ = HERE
    card = Card(name="waits", description="Counts its fits.", reference="none", family="classical")
    observes = (ScalarObservation,)
    meanwhile: Callable[[], object] | None = None
    fits = 0

    def fit(self, data: Any, context: FitContext) -> None:
        Waits.fits += 1
        if (meanwhile := Waits.meanwhile) is not None:
            Waits.meanwhile = None
            meanwhile()

    def predict(self, task: str, observation: Any) -> Any:
        return np.zeros(len(observation), np.float32)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data() -> str:
    spec = small_spec(train=40, test=60, sub6__num_subcarriers=8, mmwave__num_subcarriers=2, mmwave__num_beams=8)
    return str(make_dataset("memory://results/few.zarr", spec).path)


@pytest.fixture(scope="module")
def whole(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One learned method of two seeds, two floors, one that fails."""
    out = tmp_path_factory.mktemp("whole") / "results"
    sys.modules[HERE] = sys.modules[__name__]
    run(data=data, out=out, methods=["mlp", Fails], seeds=2, **CASES)
    return out


@pytest.fixture
def results(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, where the command line looks."""
    return Path(shutil.copytree(whole, tmp_path / "results"))


def cells(folder: Path) -> dict[str, Result]:
    return {cell.name: cell for cell in read_cells(folder)}


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


MLP = "mlp__pe__default__seed{}"


def test_show_says_of_what_on_what_by_what(results: Path, shell: Shell) -> None:
    code, out, _ = shell("show", "mlp/pe/default/1")
    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if line[:1].strip())
    cell = cells(results)[MLP.format(1)]
    assert lines["task"] == "pe, conditions default, seed 1, preset quick"
    assert lines["dataset"].startswith(cell.dataset)
    assert lines["command"] == cell.command
    assert lines["code"] == f"{cell.code_digest}: what is installed here"
    assert lines["training"].startswith("120 of 120 steps, the best after")
    assert lines["checked"] == "from its terms"
    assert f"rmse_db {cell.scores['rmse_db'].value:.6g} dB" in out
    code, out, _ = shell("show", str(results / "cells" / "fails__pe__default__seed0.json"))
    assert "failed     ArithmeticError: no number" in out
    assert 'raise ArithmeticError("no number")' in out
    assert shell("report")[0] == 0
    page = (results / "leaderboard.html").read_text()
    assert "<summary>Traceback</summary><pre>Traceback (most recent call last)" in page
    assert "raise ArithmeticError(&#34;no number&#34;)" in page


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["show", "mlp/pe"],
            "CELL: expected one cell: method/task/condition/seed, or its file, got 'mlp/pe'; choices: ",
        ),
        (["show", "mpl/pe"], "CELL: expected a cell of results, got 'mpl/pe'; choices: mlp/pe/default/"),
        (["show", "x", "--results", "nowhere"], "--results: expected a folder that `run` wrote, got 'nowhere'"),
        (["show", "broken.json"], "CELL: expected a cell that can be read, got 'broken.json (Expecting"),
        (
            ["compare", "mlp", "cnn"],
            "compare: expected a method with scores in results, got 'cnn'; choices: ceiling, me",
        ),
        (
            ["compare", "mlp", "results"],
            "compare: expected two results folders, or two methods, got 'mlp and results: m",
        ),
        (["rm"], "rm: expected cells, --methods, --tasks or --failed, got 'nothing'"),
        (
            ["rm", "--methods", "cnn"],
            "--methods: expected one that the folder has, got 'cnn'; choices: ceiling, fails, m",
        ),
        (["reproduce", "ceiling/pe"], "CELL: expected a method's cell with scores, got"),
        (["reproduce", "mean/pe"], "--data: expected the dataset with digest"),
        (
            ["merge", "results", "--out", "results"],
            "--out: expected another folder than those that are merged, got 'res",
        ),
        (["merge", "results", "no", "--out", "all"], "merge: expected a folder that `run` wrote, got 'no'"),
        (["run", "--shard", "3/2"], "--shard: expected I/N with I from 1 to N, such as 2/8, got '3/2'"),
        (
            ["run", "--methods", "mean", "--tasks", "pe", "--redo", "mlp"],
            "--redo: expected a method of this run, got 'm",
        ),
    ],
)
def test_what_is_wrong_is_one_line(results: Path, shell: Shell, arguments: list[str], says: str) -> None:
    Path("broken.json").write_text("{")
    before = sorted(results.rglob("*"))
    code, out, err = shell(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {says}")
    assert err.count("\n") == 1
    assert sorted(results.rglob("*")) == before
    assert not Path("all").exists()


def test_a_difference_is_paired(results: Path, shell: Shell) -> None:
    (found,) = compare_methods("mean", "median", results)
    there = {cell.method: cell for cell in read_cells(results)}
    one, two = (read_terms(results, there[name])["rmse_db"][:, 0] for name in ("mean", "median"))
    assert found.value == pytest.approx(np.sqrt(one.mean()) - np.sqrt(two.mean()), rel=1e-6)
    # By the delta method, every case being a drop of its own: the error of a difference of two roots of means.
    slope = one / (2 * np.sqrt(one.mean())) - two / (2 * np.sqrt(two.mean()))
    half = 1.96 * slope.std(ddof=1) / np.sqrt(len(slope))
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.25)
    alone = 1.96 * (one / (2 * np.sqrt(one.mean()))).std(ddof=1) / np.sqrt(len(one))
    assert half < alone / 2, "else nothing is seen of the pairing"
    (back,) = compare_methods("median", "mean", results)
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low), rel=0.02)
    code, out, _ = shell("compare", "mlp", "mean")
    assert code == 0
    assert "2 and 1 seeds" in out
    assert "*" not in out


def test_two_folders_are_compared_cell_by_cell(results: Path, tmp_path: Path, shell: Shell) -> None:
    other = shutil.copytree(results, tmp_path / "other")
    found = {difference.what: difference for difference in compare_folders(results, other)}
    assert set(found) == {"ceiling pe default", "mean pe default", "median pe default", "mlp pe default"}
    assert all(difference.value == 0 and difference.better == "" for difference in found.values())
    change(other / "run.json", dataset={**json.loads((other / "run.json").read_text())["dataset"], "digest": ""})
    for path in (other / "cells").glob("*.json"):
        change(path, test_digest="0" * 64)
    code, _, err = shell("compare", "results", "other")
    assert code == 2
    assert "test_digest: expected the same on both sides" in err


def test_a_cell_is_reproduced_to_the_last_digit(results: Path, shell: Shell, data: str) -> None:
    code, out, err = shell("reproduce", "mlp/pe/default/1", "--data", data, "--out", "again")
    assert code == 0, out + err
    assert out.splitlines()[-1] == f"{MLP.format(1)} agrees"
    assert "tolerance        to the last digit" in out
    assert set(cells(Path("again"))) == {MLP.format(1)}
    # A formula of another processor may differ by its rounding, and by no more.
    path = results / "cells" / "mean__pe__default__seed0.json"
    scores = json.loads(path.read_text())["scores"]
    for factor, status in ((1 + 5e-7, 0), (1 + 5e-6, 1)):
        changed = {name: {**score, "value": score["value"] * factor} for name, score in scores.items()}
        change(path, scores=changed, hardware="another processor")
        code, out, _ = shell("reproduce", "mean/pe", "--data", data)
        assert code == status, out
        assert "within 1e-06 of the score" in out
        assert "not the same     hardware another processor → " in out
        assert ("does not agree" in out) == bool(status)


def test_a_training_elsewhere_is_held_against_its_seeds(results: Path, data: str, shell: Shell) -> None:
    paths = [results / "cells" / f"{MLP.format(seed)}.json" for seed in (0, 1)]
    values = [json.loads(path.read_text())["scores"]["rmse_db"]["value"] for path in paths]
    for path in paths:
        change(path, hardware="another processor")
    limit = 1.96 * np.sqrt(2) * np.std(values, ddof=1)
    code, out, _ = shell("reproduce", "mlp/pe/default/0", "--data", data)
    assert code == 0
    assert "within what two of its 2 seeds may differ by" in out
    scores = json.loads(paths[0].read_text())["scores"]
    scores["rmse_db"]["value"] += 10 * limit
    change(paths[0], scores=scores)
    paths[1].unlink()
    code, out, _ = shell("reproduce", "mlp/pe", "--data", data)
    assert code == 1
    assert out.splitlines()[-1] == f"{MLP.format(0)} differs, and nobody knows whether by too much"


def test_rm_takes_cells_terms_fits_and_names(results: Path, shell: Shell) -> None:
    fit = results / "checkpoints" / MLP.format(0)
    assert fit.is_dir()
    before = sorted(results.rglob("*"))
    code, out, _ = shell("rm", "--methods", "mlp", "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "2 cells would go")
    assert sorted(results.rglob("*")) == before
    code, out, _ = shell("rm", "mlp/pe/default/0")
    assert code == 0
    assert not fit.exists()
    assert not list((results / "cells").glob(f"{MLP.format(0)}*"))
    assert (results / "checkpoints" / MLP.format(1)).is_dir()
    assert "mlp" in read_manifest(results).methods
    code, out, _ = shell("rm", "--methods", "mlp")
    assert not (results / "checkpoints" / MLP.format(1)).exists()
    assert not list((results / "checkpoints").glob("mlp*"))
    assert "mlp" not in read_manifest(results).methods
    code, out, _ = shell("rm", "--failed")
    assert "1 cells gone" in out
    assert {cell.method for cell in read_cells(results)} == {"ceiling", "mean", "median"}
    assert shell("report")[0] == 0


def test_redo_makes_a_method_again_whatever_its_code(results: Path, data: str) -> None:
    fit = results / "checkpoints" / MLP.format(0) / "pe" / "final.safetensors"
    fit.write_bytes(b"")  # a fit that cannot be gone on with
    outcome = run(data=data, out=results, methods=["mlp"], seeds=2, redo="mlp", **CASES)
    assert sorted(cell.name for cell in outcome.written) == [MLP.format(0), MLP.format(1)]
    assert not outcome.failed
    assert outcome.kept == 3, "the ceiling and two floors"
    assert fit.stat().st_size > 0


@pytest.mark.parametrize("number", [1, 2, 7])
def test_each_fit_is_in_one_share(number: int) -> None:
    parts = [Part.of(f"{which}/{number}") for which in range(1, number + 1)]
    counts = np.zeros(number)
    for fit in (f"m{i}__cp__default__seed0" for i in range(200)):
        inside = [part.has_cell(f"{fit}-cell", fit=fit) for part in parts]
        assert sum(inside) == 1
        counts += inside
    assert counts.min() > 200 / number / 2


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "1/0", "a/b", "1/2/3", "-1/2", ""])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="--shard: expected I/N"):
        Part.of(text)


def test_shares_made_apart_are_the_whole(whole: Path, data: str, tmp_path: Path, shell: Shell) -> None:
    for which in (1, 2):
        out = tmp_path / f"part{which}"
        run(data=data, out=out, methods=["mlp", Fails], seeds=2, shard=f"{which}/2", **CASES)
    one, two = cells(tmp_path / "part1"), cells(tmp_path / "part2")
    assert not one.keys() & two.keys()
    assert one
    assert two
    code, out, err = shell("merge", "part1", "part2", "--out", "all")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "6 cells from 2 folders"
    merged, expected = cells(tmp_path / "all"), cells(whole)
    assert merged.keys() == expected.keys()
    for name, cell in merged.items():
        assert {key: score.value for key, score in cell.scores.items()} == {
            key: score.value for key, score in expected[name].scores.items()
        }
    assert read_manifest(tmp_path / "all").methods == read_manifest(whole).methods
    again = run(data=data, out=tmp_path / "all", methods=["mlp"], seeds=2, **CASES)
    assert not again.written
    assert {path.name for path in (tmp_path / "all" / "checkpoints").iterdir() if path.is_dir()} == {
        MLP.format(0),
        MLP.format(1),
    }


def test_what_cannot_be_merged_is_left_alone(results: Path, tmp_path: Path, shell: Shell) -> None:
    other = shutil.copytree(results, tmp_path / "other")
    path = other / "cells" / "mean__pe__default__seed0.json"
    scores = json.loads(path.read_text())["scores"]
    # Within the rounding of the terms, so that the cell is still what it says.
    scores["rmse_db"]["value"] = float(np.nextafter(scores["rmse_db"]["value"], np.inf))
    change(path, scores=scores)
    with pytest.raises(RequestError, match=r"rmse_db: expected one score in all folders, got .*`channelbench rm`"):
        merge([results, other], tmp_path / "all")
    change(other / "run.json", preset="standard")
    for cell in (other / "cells").glob("*.json"):
        change(cell, preset="standard")
    with pytest.raises(RequestError, match=r"--out: expected a new folder, or one of the same run, got .*preset"):
        merge([results, other], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_score_is_taken_before_a_failure(results: Path, tmp_path: Path) -> None:
    other = shutil.copytree(results, tmp_path / "other")
    broken = results / "cells" / "mean__pe__default__seed0.json"
    change(broken, status="failed", scores={}, error="no")
    (results / "cells" / "median__pe__default__seed0.npz").write_bytes(b"")
    lines: list[str] = []
    merge([results, other], tmp_path / "all", lines.append)
    merged = cells(tmp_path / "all")
    assert merged["mean__pe__default__seed0"].status == merged["median__pe__default__seed0"].status == "ok"
    (line,) = lines
    assert "median__pe__default__seed0.json: terms" in line


def test_two_runs_at_once_fit_once_and_lose_nothing(data: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"data": data, "out": tmp_path / "results", "methods": [Waits], **CASES}
    outcomes: list[Any] = []
    other = threading.Thread(target=lambda: outcomes.append(run(**options)))

    def begin() -> None:
        other.start()
        other.join(timeout=3)
        assert other.is_alive(), "it waits until this fit is over"

    Waits.fits, Waits.meanwhile = 0, begin
    first = run(**options)
    other.join(timeout=300)
    assert Waits.fits == 1
    assert not first.failed
    (second,) = outcomes
    assert not second.failed
    assert "waits" in {cell.method for cell in second.written}
    assert {cell.status for cell in read_cells(tmp_path / "results")} == {"ok"}


def test_the_file_of_a_cell_names_it(results: Path) -> None:
    path = results / "cells" / f"{MLP.format(0)}.json"
    assert find_cell(str(path)).result.seed == 0
    assert find_cell(path.name, results).path == path
    renamed = path.with_name("other.json")
    path.rename(renamed)
    with pytest.raises(RequestError, match=r"CELL: expected cells/mlp__pe__default__seed0.json of a results folder"):
        find_cell(str(renamed))
