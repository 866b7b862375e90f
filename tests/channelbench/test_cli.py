"""The command line as users type it: right, and wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from channelbench import __version__, cli, registry
from channelbench.testing import make_dataset, small_spec

FEW_RAYS = "channelbench.testing.factories:FewRays"


class Shell:
    """Calls the command line in this process, inside an empty folder."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys, self.monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["channelbench", *map(str, arguments)])
        self.monkeypatch.setattr(sys, "path", list(sys.path))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = self.capsys.readouterr()
        return int(stop.value.code or 0), out, err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(capsys, monkeypatch)


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
    assert out.count("ok ") == 7
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
    assert "los: 1 of 1 chunks are missing" in out


def test_failed_cell_exits_one_and_says_why(shell: Shell, tmp_path: Path) -> None:
    make_dataset(tmp_path / "few.zarr")
    (tmp_path / "mine.py").write_text(
        "from channelbench.card import Card\nfrom channelbench.contracts import Method\n"
        "class Broken(Method):\n"
        "    card = Card(name='broken', description='Always fails.', reference='none',\n"
        "                family='classical', tasks=('cp',))\n"
        "    def predict(self, task, observation):\n        raise ValueError('on purpose')\n"
    )
    code, out, err = shell("run", "--data", "few.zarr", "--methods", "mine:Broken", "--tasks", "cp")
    assert code == 1
    assert "ValueError: on purpose" in err
    assert "2 failed" in out
    assert "on purpose" in (tmp_path / "results" / "leaderboard.html").read_text()


WRONG = {
    "unknown scenario": (["generate", "--scenario", "mars"], "scenario", "choices: rma, uma, umi"),
    "unknown task": (["run", "--tasks", "xx"], "task", "choices: bf, ce"),
    "unknown method": (["run", "--methods", "gpt9"], "method", "choices: bi, "),
    "unknown option of a method": (["run", "--methods", "bi+random"], "method", "a method without options"),
    "method without the task": (["run", "--methods", "codebook", "--tasks", "ce"], "--methods", "choices: bf"),
    "unknown preset": (["generate", "--preset", "huge"], "preset", "choices: quick, standard, paper"),
    "unknown run preset": (["run", "--data", "few.zarr", "--preset", "huge"], "--preset", "choices: quick"),
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
        ["generate", "--scenario", FEW_RAYS, "--out", "few.zarr"],
        "--out",
        "sizes.test: 30 → 600",
    ),
    "results are a file": (["run", "--data", "few.zarr", "--out", "file"], "--out", "a folder"),
    "data missing": (["run", "--data", "nowhere.zarr"], "--data", "an existing dataset"),
    "data is a file": (["run", "--data", "file"], "--data", "the folder of a Zarr dataset"),
    "data is something else": (["run", "--data", "folder"], "--data", "no Zarr group"),
    "data half-written": (["run", "--data", "half.zarr"], "--data", "0 of 1 blocks written"),
    "data of another schema": (["run", "--data", "old.zarr"], "--data", "schema version 1, got 'old.zarr (version 0)'"),
    "data corrupt": (["run", "--data", "corrupt.zarr"], "--data", "digests"),
    "results missing": (["report", "nowhere"], "results", "expected"),
    "key in TOML": (["generate", "--spec", "spec.toml"], "sub6.colour", "choices: array, bandwidth_hz"),
    "bad TOML": (["generate", "--spec", "file"], "--spec", "a readable TOML file"),
    "bad condition": (["run", "--condition", "snr=1"], "--condition", "choices: paper_compat"),
    "bad set": (["generate", "--set", "sub6.carrier_hz=fast"], "sub6.carrier_hz", "got 'fast'"),
    "unknown option": (["generate", "--fast"], "No such option: --fast", ""),
    "unknown command": (["fly"], "No such command 'fly'", ""),
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
    ):
        code, out, _ = shell("list", kind)
        assert code == 0
        assert name in out
    assert shell("--version")[1].strip() == __version__


MINE = """
import numpy as np
from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.errors import RequestError

class Holds(Method):
    card = Card(name='holds', description='Holds the last slot.', reference='none', family='llm', tasks=('cp',))
    variants = ('none',)

    @classmethod
    def variant(cls, options):
        name = '+'.join((cls.card.name, *options))
        return type(name, (cls,), {'card': cls.card.model_copy(update={'name': name}), 'variants': ()})

    @classmethod
    def check(cls, context):
        if context.backbone not in ('minilm', 'random:minilm'):
            raise RequestError('--backbone', expected='one that is here', got=context.backbone)

    def predict(self, task, observation):
        return np.repeat(observation.h[:, -1:], len(observation.grid.target_slot_s), axis=1)
"""


def test_backbone_and_controls(shell: Shell, tmp_path: Path) -> None:
    Path("holding.py").write_text(MINE)
    before = written(tmp_path)
    code, out, err = shell("run", "--methods", "holding:Holds", "--tasks", "cp", "--backbone", "gpt9")
    assert (code, out) == (2, "")
    assert err == "error: --backbone: expected one that is here, got 'gpt9'\n"
    assert [path for path in written(tmp_path) if "__pycache__" not in path] == before, "not even a default dataset"
    make_dataset(Path("few.zarr"))
    options = ["--data", "few.zarr", "--methods", "holding:Holds", "--tasks", "cp", "--backbone", "random:minilm"]
    code, out, _ = shell("run", *options, "--controls")
    assert code == 0
    manifest = json.loads(Path("results/run.json").read_text())
    assert manifest["backbone"] == "random:minilm"
    assert manifest["methods"] == ["holds", "holds+none", "hold", "zero"]
    code, _, err = shell("run", *options[:-1], "minilm")
    assert code == 2
    assert "backbone: random:minilm → minilm" in err
    assert "random:NAME" in shell("run", "--help")[1]


def test_list_shows_options(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.find("methods", "bi"), "variants", ("none", "rankN"))
    monkeypatch.setenv("COLUMNS", "200")
    listing = shell("list", "methods")[1]
    assert "with +none +rankN" in listing
    assert "+none" not in shell("list", "tasks")[1]


SUITE = """
from channelbench.contracts import Conditions, Suite

moved = Suite(
    card=Card(name='moved', description='One change of carrier.', reference='none', family='suite'),
    tasks=('cp',), methods=('hold', 'moving:Broken'), conditions=(Conditions(),),
    targets={'other': {'sub6.carrier_hz': '2.4e9'}},
)
"""

BROKEN = MINE.replace("Holds", "Broken").replace(
    "return np.repeat", "raise ValueError('on purpose')\n        return np"
)


def test_transfer_suite_reports_every_folder(shell: Shell, tmp_path: Path) -> None:
    Path("moving.py").write_text(BROKEN + SUITE)
    make_dataset(Path("few.zarr"), small_spec(sub6__num_subcarriers=8))
    code, out, err = shell("run", "--suite", "moving:moved", "--data", "few.zarr")
    assert code == 1
    assert "12 cells made, 0 were there, 3 failed" in out, "four rows in each of three folders"
    assert "failed: other/zero-shot/holds__cp__default__seed0: ValueError: on purpose" in err
    assert "failed: holds__cp__default__seed0: ValueError: on purpose" in err
    for folder in ("results", "results/other/zero-shot", "results/other/transfer"):
        assert Path(folder, "run.json").exists()
    assert Path("few-to-other.zarr").exists()


def test_bars_follow_a_run_through_its_folders() -> None:
    """What a terminal shows of a transfer suite: datasets made, cells and steps of each folder."""
    import io

    from rich.console import Console
    from rich.progress import Progress

    from channelbench.benchmarks.runner import Job
    from channelbench.contracts import Conditions

    screen = io.StringIO()
    with Progress(console=Console(file=screen, force_terminal=True, width=100), auto_refresh=False) as bars:
        reporter = cli._rich_reporter(bars)

        def shown() -> list[tuple[str, float, float | None]]:
            return [(bar.description, bar.completed, bar.total) for bar in bars.tasks if bar.visible]

        def job(task: str) -> Job:
            return Job(registry.find("methods", "bi"), (registry.create("tasks", task),), 0, Conditions(), ())

        assert shown() == []
        reporter.entered("")
        reporter.planned(3, 0)
        assert shown() == [("cells", 0, 3)]
        reporter.started(job("ce"))
        reporter.fitting(job("ce"), 5, 20, "loss 1")
        assert shown() == [("cells", 0, 3), ("fitting bi ce", 5, 20)]
        reporter.started(job("cp"))  # of another worker
        reporter.fitting(job("ce"), 6, 20, "loss 1")
        reporter.fitting(job("cp"), 1, 10, "loss 1")
        assert shown()[1:] == [("fitting bi ce", 6, 20), ("fitting bi cp", 1, 10)]
        reporter.ended(job("ce"))
        assert shown()[1:] == [("fitting bi cp", 1, 10)]
        reporter.ended(job("cp"))
        for name in ("far", "near"):
            for done in (0, 40):
                reporter.generating(name, done, 100)
            assert shown()[-1] == (f"generating {name}", 40, 100)
            reporter.entered(f"{name}/zero-shot")
            reporter.planned(7, 2)
            assert shown() == [(f"cells {name}/zero-shot", 0, 7)]
    assert "near/zero-shot:" in screen.getvalue()


def test_workers_run_a_class_of_the_current_folder(shell: Shell, tmp_path: Path) -> None:
    Path("holding_too.py").write_text(MINE)
    make_dataset(Path("few.zarr"))
    options = ["--data", "few.zarr", "--methods", "holding_too:Holds", "--tasks", "cp", "--controls", "--workers", "2"]
    code, out, _ = shell("run", *options)
    assert code == 0
    assert "10 cells made, 0 were there, 0 failed" in out, "five rows under two conditions"
    assert Path("results/cells/holds+none__cp__default__seed0.json").exists()
    assert "no latency" in " ".join(shell("run", "--help")[1].replace("│", " ").split())


SLOW = MINE.replace(
    "    def predict",
    "    learned = True\n\n    def fit(self, data, seed, context):\n"
    "        import time\n        from pathlib import Path\n"
    "        Path('begun').touch()\n        time.sleep(60)\n\n    def predict",
)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_a_run_and_all_its_processes(tmp_path: Path, workers: int) -> None:
    """As a terminal does it: the signal goes to every process of the group."""
    (tmp_path / "slow.py").write_text(SLOW)
    make_dataset(tmp_path / "few.zarr")
    command = [sys.executable, "-m", "channelbench.cli", "run", "--data", "few.zarr", "--methods", "slow:Holds"]
    process = subprocess.Popen(
        [*command, "--tasks", "cp", "--workers", str(workers)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < (4 if workers > 1 else 10)  # 2 on a machine that is not busy
    assert process.returncode == 130
    assert err.endswith("error: stopped; what is done is kept, and the same command continues\n")
    assert "Traceback" not in err
    for _ in range(100):  # the resource tracker goes a moment later
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a process is left")


def test_interrupt_says_how_to_go_on(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from channelbench import generation as module

    real = module.make_unit

    def interrupted(spec, seed, unit):
        if unit.index == 1:
            raise KeyboardInterrupt
        return real(spec, seed, unit)

    arguments = ["generate", "--scenario", FEW_RAYS, "--samples", "450", "--set", "sub6.num_subcarriers=4"]
    monkeypatch.setattr(module, "make_unit", interrupted)
    code, _, err = shell(*arguments)
    assert code == 130
    assert err.strip().splitlines()[-1] == "error: stopped; what is done is kept, and the same command continues"
    monkeypatch.setattr(module, "make_unit", real)
    code, out, _ = shell(*arguments)
    assert code == 0
    assert out.startswith("250 samples in")


def test_help_answers_within_a_second_of_processor_time() -> None:
    """Not a benchmark: an import of torch alone would take longer."""
    code = (
        "import resource, sys\nfrom channelbench.cli import main\nsys.argv = ['channelbench', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(result.stderr) < 1
