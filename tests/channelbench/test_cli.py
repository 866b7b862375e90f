"""The command line as users type it: right, and wrong."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from channelbench import __version__
from channelbench.store.verify import CHECKS
from channelbench.testing import make_dataset, small_spec

FEW_RAYS = "channelbench.testing.factories:FewRays"
Shell = Callable[..., tuple[int, str, str]]


def written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_from_generate_to_a_leaderboard(shell: Shell, tmp_path: Path) -> None:
    code, out, _ = shell("generate", "--scenario", FEW_RAYS, "--samples", "60", "--set", "sub6.num_subcarriers=16")
    assert code == 0
    path = out.splitlines()[-1]
    assert path == "data/fewrays.zarr"
    code, out, _ = shell("generate", "--scenario", FEW_RAYS, "--samples", "60", "--set", "sub6.num_subcarriers=16")
    assert code == 0
    assert "nothing to do" in out
    code, out, _ = shell("verify", path)
    assert code == 0
    assert out.count("ok ") == len(CHECKS)
    code, out, _ = shell("inspect", path)
    assert code == 0
    assert "h_mmwave" in out
    picture = Path(out.splitlines()[-1])
    assert picture.read_bytes().startswith(b"\x89PNG")
    # `run` without --data takes what `generate` wrote last in this folder.
    code, out, _ = shell("run", "--suite", "classical", "--tasks", "cp,de", "--methods", "bi,fifs")
    assert code == 0
    html = Path(out.splitlines()[-1])
    assert html == Path("results/leaderboard.html")
    assert "BI" in html.read_text()
    code, out, _ = shell("report", "results", "--csv", "table.csv", "--html", "page.html")
    assert code == 0
    assert Path("table.csv").exists()
    assert Path("page.html").exists()


def test_broken_dataset_fails_verify(shell: Shell, tmp_path: Path) -> None:
    make_dataset(tmp_path / "few.zarr")
    next(path for path in (tmp_path / "few.zarr" / "los" / "c").rglob("*") if path.is_file()).unlink()
    code, out, _ = shell("verify", "few.zarr")
    assert code == 1
    assert "BAD chunks" in out
    assert "los: 1 of 1 files are missing" in out


def test_failed_cell_exits_one_and_says_why(shell: Shell, tmp_path: Path) -> None:
    make_dataset(tmp_path / "few.zarr")
    (tmp_path / "mine.py").write_text(
        "from channelbench.card import Card\nfrom channelbench.contracts import Method\n"
        "from channelbench.tasks.link.observations import LaterSlotsObservation\n"
        "class Broken(Method):\n"
        "    card = Card(name='broken', description='Always fails.', reference='none',\n"
        "                family='classical')\n"
        "    observes = (LaterSlotsObservation,)\n"
        "    def predict(self, task, observation):\n        raise ValueError('on purpose')\n"
    )
    code, out, err = shell("run", "--data", "few.zarr", "--methods", "mine:Broken", "--tasks", "cp")
    assert code == 1
    assert "ValueError: on purpose" in err
    assert "2 failed" in out
    assert "on purpose" in (tmp_path / "results" / "leaderboard.html").read_text()


WRONG = {
    "unknown scenario": (["generate", "--scenario", "mars"], "scenario", "choices: imported, rma, uma, umi"),
    "unknown task": (["run", "--tasks", "xx"], "--tasks", "choices: bf, ce"),
    "unknown method": (["run", "--methods", "gpt9"], "--methods", "choices: bi, "),
    "unknown option of a method": (["run", "--methods", "bi+random"], "--methods", "a method without options"),
    "method without the task": (["run", "--methods", "codebook", "--tasks", "ce"], "--methods", "choices: bf"),
    "unknown preset": (["generate", "--preset", "huge"], "preset", "choices: quick, standard, paper"),
    "unknown run preset": (
        ["run", "--data", "few.zarr", "--preset", "huge"],
        "preset",
        "choices: quick, standard, paper",
    ),
    "unknown suite": (["run", "--suite", "xx"], "suite", "choices: classical, full"),
    "unknown state": (["generate", "--state", "fog"], "state", "choices: los, nlos, random"),
    "unknown system": (["generate", "--system", "six"], "system", "choices: dualband, multiuser"),
    "unknown kind": (["list", "things"], "list", "choices: scenarios"),
    "negative size": (["generate", "--samples", "-5"], "--samples", "integer of at least 15, got -5"),
    "zero size": (["generate", "--samples", "0"], "--samples", "integer of at least 15, got 0"),
    "non-numeric size": (["generate", "--samples", "many"], "--samples", "integer of at least 15, got 'many'"),
    "zero workers": (["generate", "--workers", "0"], "--workers", "integer of at least 1"),
    "negative seed": (["generate", "--seed", "-1"], "--seed", "integer of at least 0"),
    "zero seeds": (["run", "--seeds", "0"], "--seeds", "integer of at least 1"),
    "zero workers of a run": (["run", "--workers", "0"], "--workers", "integer of at least 1, got 0"),
    "non-numeric workers": (["run", "--workers", "all"], "--workers", "integer of at least 1, got 'all'"),
    "out is a file": (["generate", "--out", "file"], "--out", "got 'file (a file)'"),
    "out below a file": (["generate", "--out", "file/x.zarr"], "--out", "a place that can be written"),
    "out has another spec": (
        ["generate", "--scenario", FEW_RAYS, "--out", "few.zarr", "--set", "sub6.num_subcarriers=16"],
        "--out",
        "sub6.num_subcarriers: 64 → 16",
    ),
    "results are a file": (["run", "--suite", "classical", "--data", "few.zarr", "--out", "file"], "--out", "a folder"),
    "data missing": (["run", "--data", "nowhere.zarr"], "--data", "an existing dataset"),
    "data is a file": (["run", "--data", "file"], "--data", "the folder of a Zarr dataset"),
    "data is something else": (["run", "--data", "folder"], "--data", "no Zarr group"),
    "data half-written": (["run", "--data", "half.zarr"], "--data", "0 of 1 blocks written"),
    "data of another schema": (["run", "--data", "old.zarr"], "--data", "schema version 1, got 'old.zarr (version 0)'"),
    "data corrupt": (["run", "--data", "corrupt.zarr"], "--data", "digests"),
    "results missing": (["report", "nowhere"], "results", "expected"),
    "key in TOML": (["generate", "--spec", "spec.toml"], "sub6.colour", "choices: array, bandwidth_hz"),
    "bad TOML": (["generate", "--spec", "file"], "--spec", "a readable TOML file"),
    "bad condition": (["run", "--condition", "snr=1"], "--condition", "did you mean snr_db?"),
    "bad set": (["generate", "--set", "sub6.carrier_hz=fast"], "sub6.carrier_hz", "got 'fast'"),
    "unknown option": (["generate", "--fast"], "--fast", "expected an option of `channelbench generate`"),
    "option misspelt": (["run", "--method", "bi"], "--method", "did you mean --methods?"),
    "option without its value": (["run", "--out"], "--out", "a value behind it, got 'nothing'; `channelbench run -h`"),
    "value of a switch": (["run", "--json=1"], "--json", "no value, as it is a switch"),
    "no argument": (["show"], "CELL", "expected its file, or method/task"),
    "too many arguments": (["report", "a", "b"], "arguments", "got 'b'; `channelbench report -h` says what it takes"),
    "command misspelt": (["runn"], "command", "did you mean run?; `channelbench -h` says what each does"),
    "kind misspelt": (["list", "method"], "list", "did you mean methods?"),
    "method misspelt": (
        ["run", "--methods", "lmmmse"],
        "--methods",
        "did you mean lmmse?; `channelbench list methods`",
    ),
    "method in capitals": (["run", "--methods", "bi,LMMSE"], "--methods", "got 'LMMSE'; did you mean lmmse?"),
    "option of a method misspelt": (["run", "--methods", "llm4wm+randm"], "--methods", "did you mean random?"),
    "task misspelt": (["run", "--tasks", "cee"], "--tasks", "did you mean ce?"),
    "suite misspelt": (["run", "--suite", "clasical"], "suite", "did you mean classical?; `channelbench list suites`"),
    "preset misspelt": (["run", "--preset", "quik"], "preset", "did you mean quick?"),
    "scenario in capitals": (["generate", "--scenario", "UMA"], "scenario", "did you mean uma?"),
    "beginning of a system": (["generate", "--system", "dual"], "system", "did you mean dualband?"),
    "source misspelt": (["generate", "--source", "raytrace"], "source", "did you mean raytraced?"),
    "scene misspelt": (
        ["generate", "--source", "raytraced", "--scene", "munic"],
        "scene",
        "got 'munic (not there)'; did you mean munich?",
    ),
    "field misspelt": (["generate", "--set", "rho_zz=1"], "rho_zz", "did you mean rho_z?"),
    "field of a band misspelt": (["generate", "--set", "sub6.carrier=2e9"], "sub6.carrier", "or sub6.carrier_hz with"),
    "band misspelt": (["generate", "--set", "sub7.carrier_hz=2e9"], "sub7", "did you mean sub6?"),
    "field without its band": (
        ["generate", "--set", "carrier_hz=2e9"],
        "carrier_hz",
        "of a band it is sub6.carrier_hz",
    ),
    "number as a group": (["generate", "--set", "sizes=9"], "sizes", "each set by itself, got 9; choices: test, train"),
    "condition misspelt": (["run", "--condition", "paper_compatt=true"], "--condition", "did you mean paper_compat?"),
    "dataset misspelt": (["inspect", "fews.zarr"], "data", "did you mean few.zarr?"),
    "other files as data": (["verify", "folder"], "data", "`channelbench import` makes one of other files"),
    "other files as target": (["generate", "--out", "folder"], "--out", "name a new folder"),
    "old data to run": (["run", "--data", "old.zarr"], "--data", "`channelbench generate` makes it anew"),
    "no results": (["report", "nowhere"], "results", "`channelbench run --out FOLDER` makes one"),
    "other files as results": (["show", "bi", "--results", "folder"], "--results", "a folder that `run` wrote"),
    "format misspelt": (["export", "few.zarr", "--format", "deepmimoo"], "--format", "did you mean deepmimo?"),
    "unknown format": (
        ["import", "file", "--out", "x.zarr"],
        "PATH",
        "or --format, got 'file'; formats: cir, deepmimo",
    ),
    "file missing": (["import", "nowhere", "--out", "x.zarr"], "PATH", "an existing file or folder"),
    "share of nothing": (["run", "--shard", "3/2"], "--shard", "such as 2/8"),
    "log misspelt": (["run", "--data", "few.zarr", "--log", "tensorbord"], "--log", "did you mean tensorboard?"),
    "two that exclude each other": (["run", "--debug", "--workers", "2"], "--debug", "one process"),
    "unknown command": (["fly"], "command", "choices: generate, run"),
}


@pytest.fixture(scope="module")
def bad_targets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from channelbench.store import layout

    folder = tmp_path_factory.mktemp("bad")
    for name in ("few", "old", "corrupt"):
        make_dataset(folder / f"{name}.zarr")
    layout.create(folder / "half.zarr", small_spec(), 0, "test")
    meta = json.loads((folder / "old.zarr" / "zarr.json").read_text())
    meta["attributes"]["schema_version"] = "0"
    (folder / "old.zarr" / "zarr.json").write_text(json.dumps(meta))
    chunk = next(path for path in (folder / "corrupt.zarr" / "h_sub6" / "c").rglob("*") if path.is_file())
    chunk.write_bytes(b"\x01" + chunk.read_bytes()[1:])
    (folder / "file").write_text("not = = toml")
    (folder / "folder").mkdir()
    (folder / "folder" / "note").write_text("x")
    (folder / "spec.toml").write_text("[sub6]\ncolour = 'blue'\n")
    return folder


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_exit_two(
    shell: Shell, bad_targets: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    arguments, field, fragment = WRONG[case]
    monkeypatch.chdir(bad_targets)
    before = written(bad_targets)
    code, out, err = shell(*arguments)
    assert code == 2
    assert out == ""
    complaint = err.strip()
    assert complaint.startswith(f"error: {field}")
    assert fragment in complaint
    assert "\n" not in complaint
    assert written(bad_targets) == before


def test_cuda_without_cuda(shell: Shell) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    code, _, err = shell("run", "--device", "cuda")
    assert code == 2
    assert err.startswith("error: --device: expected a CUDA device that torch can use, got 'cuda'; choices: auto, cpu")
    code, _, err = shell("generate", "--engine", "cuda")
    assert code == 2
    assert err.startswith("error: --engine: expected a CUDA device that torch can use, got 'cuda'; choices: fast")


def test_read_only_target(shell: Shell, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes anywhere")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    code, _, err = shell("generate", "--scenario", FEW_RAYS, "--samples", "15", "--out", closed / "x.zarr")
    assert code == 2
    assert "a place that can be written" in err


def test_lists_and_version(shell: Shell) -> None:
    for kind, name in (
        ("scenarios", "uma"),
        ("tasks", "ce"),
        ("methods", "wiener"),
        ("metrics", "nmse"),
        ("suites", "full"),
        ("experiments", "transfer"),
        ("exhibits", "table4"),
    ):
        code, out, _ = shell("list", kind)
        assert code == 0
        assert name in out
    assert shell("--version")[1].strip() == __version__
