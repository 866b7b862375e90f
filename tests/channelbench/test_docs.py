"""Documentation that is run, and tables that are what the cards say."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from channelbench import cli
from channelbench.bands import SizesSpec
from channelbench.generators.imported import formats
from channelbench.generators.imported.exporting import export_dataset
from channelbench.results import read_cells
from channelbench.store import open_dataset
from channelbench.store.layout import quiet_zarr
from channelbench.testing import make_dataset, small_spec

ROOT = Path(__file__).parents[2]
DOCS = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_worked_example_reaches_the_leaderboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    method, conformance = blocks(ROOT / "docs" / "extending.md", "python")
    for text in (method, conformance):
        name = re.match(r"# (\w+\.py)\n", text).group(1)
        (tmp_path / name).write_text(text)
    (command,) = re.findall(r"^\$ channelbench (.*)$", blocks(ROOT / "docs" / "extending.md", "console")[0], re.M)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    make_dataset(Path("few.zarr"), small_spec(train=200, val=20, test=100))
    monkeypatch.setattr(sys, "argv", ["channelbench", *command.split(), "--data", "few.zarr"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code, capsys.readouterr().err
    scores = {
        r.method: r.scores["nmse"].value for r in read_cells(tmp_path / "results") if "paper_compat" not in r.conditions
    }
    assert scores["decaying_hold"] < scores["hold"]
    assert "Decaying hold" in (tmp_path / "results" / "leaderboard.html").read_text()
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_methods.py"],
        capture_output=True,
        text=True,
    )
    assert "8 passed" in tested.stdout, tested.stdout


def test_own_network_is_ten_lines_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a script, and by the command of the page."""
    page = ROOT / "docs" / "own-network.md"
    code = next(text for text in blocks(page, "python") if text.startswith("# my_net.py"))
    written = [line for line in code.splitlines() if line.strip() and not line.startswith(("#", "if __name__"))]
    assert len(written) <= 10
    stated = 'tasks=["cp"])'
    assert stated in code
    (tmp_path / "my_net.py").write_text(code.replace(stated, 'tasks=["cp"], seeds=1, data="few.zarr")'))
    command, *_ = re.findall(r"^\$ channelbench (run --methods my_net.*)$", "\n".join(blocks(page, "console")), re.M)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    make_dataset(Path("few.zarr"), small_spec(train=100, sub6__num_subcarriers=8, mmwave=None))
    runpy.run_path("my_net.py", run_name="__main__")
    monkeypatch.setattr(
        sys, "argv", ["channelbench", *command.split(), "--seeds", "1", "--out", "again", "--data", "few.zarr"]
    )
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code, capsys.readouterr().err
    for folder in ("results", "again"):
        scores = {r.method: r.scores["nmse"].value for r in read_cells(tmp_path / folder) if not r.conditions}
        assert scores["my_net"] < scores["hold"], folder


def test_own_embedding_is_scored_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = ROOT / "docs" / "own-network.md"
    code = next(text for text in blocks(page, "python") if text.startswith("# my_embedding.py"))
    (tmp_path / "my_embedding.py").write_text(code)
    (command,) = re.findall(r"^\$ channelbench (run --methods my_emb.*)$", "\n".join(blocks(page, "console")), re.M)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    spec = small_spec(train=100, sub6__num_subcarriers=8, mmwave__num_subcarriers=2, mmwave__num_beams=8)
    where = str(make_dataset("memory://own-embedding/few.zarr", spec).path)
    monkeypatch.setattr(sys, "argv", ["channelbench", *command.split(), "--seeds", "1", "--data", where])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code, capsys.readouterr().err
    scores = {
        (r.task, r.method): r.scores[r.primary_metric].value
        for r in read_cells(tmp_path / "results")
        if not r.conditions
    }
    assert scores["pe", "delay_profile"] < scores["pe", "mean"]


def test_a_task_its_metric_and_its_methods_are_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """They run, rank and report by path, and their conformance tests pass."""
    page = ROOT / "docs" / "adding-a-task.md"
    for text in blocks(page, "python"):
        (tmp_path / re.match(r"# (\w+\.py)\n", text).group(1)).write_text(text)
    (command,) = re.findall(r"^\$ channelbench (.*)$", blocks(page, "console")[0], re.M)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    make_dataset(Path("few.zarr"), small_spec(train=60, val=20, test=240))
    monkeypatch.setattr(sys, "argv", ["channelbench", *command.split(), "--data", "few.zarr"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code, capsys.readouterr().err
    board = pd.read_csv(tmp_path / "results" / "leaderboard.csv")
    four = board[board["conditions"] == "default"].set_index("method")
    two = board[board["conditions"] == "users=2"].set_index("method")
    assert set(four.index) == {"toy_mrt", "toy_zf", "ceiling"}
    assert (four["num_test"] == 60).all()
    assert (two["num_test"] == 120).all()
    assert four["value"]["toy_mrt"] < four["value"]["toy_zf"] < four["value"]["ceiling"]
    assert four["skill"]["toy_mrt"] == 0
    assert 0 < four["skill"]["toy_zf"] < 1
    assert four["rank_low"]["toy_zf"] == four["rank_high"]["toy_zf"] == 1
    page_text = (tmp_path / "results" / "leaderboard.html").read_text()
    for words in ("Beams for the users of a group", "Sum rate", "bit/s/Hz", "users 2"):
        assert words in page_text
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_precoding.py"],
        capture_output=True,
        text=True,
    )
    assert re.search(r"^\d\d passed in", tested.stdout, re.M), tested.stdout
    # The second example: a formula for channels is fitted to it, unseen.
    arguments = ["run", "--data", "few.zarr", "--tasks", "comb:OddFromEven", "--methods", "lmmse", "--out", "comb"]
    monkeypatch.setattr(sys, "argv", ["channelbench", *arguments, "--condition", "snr_db=10"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code, capsys.readouterr().err
    scores = {r.method: r.scores["nmse"].value for r in read_cells(tmp_path / "comb")}
    assert set(scores) == {"lmmse", "zero", "repeat", "ceiling"}
    assert scores["lmmse"] < scores["zero"]


def test_source_of_ones_own_is_generated_verified_and_inspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = ROOT / "docs" / "dataset.md"
    code = next(text for text in blocks(page, "python") if text.startswith("# canyon.py"))
    assert not re.search(r"^(import|from) .*\b_\w", code, re.M), "public names do"
    (tmp_path / re.match(r"# (\w+\.py)\n", code).group(1)).write_text(code)
    commands = re.findall(r"^\$ channelbench (.*)$", blocks(page, "console")[1], re.M)
    assert [command.split()[0] for command in commands] == ["generate", "verify", "inspect"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    for command in commands:
        monkeypatch.setattr(sys, "argv", ["channelbench", *command.split()])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        assert not stop.value.code, out + err
    assert "image method, up to 5 reflections" in out
    assert "wall_m" in out
    assert "k_factor" not in out
    assert "38.901" not in out


def test_copies_and_parts_are_written_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = next(text for text in blocks(ROOT / "docs" / "dataset.md", "python") if text.startswith("# copies.py"))
    monkeypatch.chdir(tmp_path)
    make_dataset(Path("data/few.zarr"))
    with quiet_zarr():
        exec(compile(code, "dataset.md", "exec"), {})
    assert (tmp_path / "data" / "numbers.nc").exists()


def test_selections_are_written_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    code = next(text for text in blocks(ROOT / "docs" / "dataset.md", "python") if text.startswith("# selections.py"))
    monkeypatch.chdir(tmp_path)
    dataset = make_dataset(Path("data/few.zarr"))
    with quiet_zarr():
        exec(compile(code, "dataset.md", "exec"), {})
    assert (tmp_path / "data" / "near.nc").exists()
    assert dataset.digest in capsys.readouterr().out


def test_readme_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API example, on a small dataset in place of the scenario that it names."""
    (code,) = blocks(ROOT / "README.md", "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    small = code
    for stated, instead in (('"uma"', '"channelbench.testing.factories:FewRays"'), ('preset="quick"', "sizes=FEW")):
        assert stated in small
        small = small.replace(stated, instead)
    monkeypatch.chdir(tmp_path)
    exec(compile(small, "README.md", "exec"), {"FEW": SizesSpec(train=20, val=10, test=10)})
    assert (tmp_path / "results" / "leaderboard.html").exists()


def test_plan_prints_what_its_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = ROOT / "docs" / "scale.md"
    for code in blocks(page, "python"):
        compile(code, "scale.md", "exec")
        if code.startswith("# plan.py"):
            exec(code, {})
    assert capsys.readouterr().out == blocks(page, "text")[0]


def test_tables_are_those_of_the_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = runpy.run_path(str(ROOT / "docs" / "make_tables.py"))
    for path, text in tables["render"]().items():
        assert (ROOT / "docs" / path).read_text() == text, f"docs/{path} is stale: run `make docs`"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_shell_commands_in_the_docs_exist() -> None:
    """Every `channelbench …` line of a console block names a command and options that there are."""
    known = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    for path in DOCS:
        for line in re.findall(r"^\$ channelbench (.*)$", path.read_text(), re.M):
            words = line.split()
            assert words[0] in known, line
            shown = subprocess.run(
                [sys.executable, "-m", "channelbench.cli", words[0], "--help"], capture_output=True, text=True
            ).stdout
            for option in (word for word in words if word.startswith("--")):
                assert option in shown, line


def test_worked_experiment_fits_on_less_and_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (code,) = blocks(ROOT / "docs" / "experiments.md", "python")
    (tmp_path / "learning_curve.py").write_text(code)
    commands = re.findall(
        r"^\$ channelbench (run --suite learning_curve.*)$",
        "\n".join(blocks(ROOT / "docs" / "experiments.md", "console")),
        re.M,
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    make_dataset(Path("few.zarr"), small_spec(train=200, val=20, test=100))
    monkeypatch.setattr(sys, "argv", ["channelbench", *commands[0].split()])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code, capsys.readouterr().err
    scores = [
        next(r for r in read_cells(tmp_path / "curve" / stage) if r.method == "lmmse").scores["nmse"].value
        for stage in ("share-0.0625", "share-0.125", "share-0.25", "share-0.5", "")
    ]
    assert scores[0] > scores[2] > scores[4]
    page = (tmp_path / "curve" / "leaderboard.html").read_text()
    assert "How much data?" in page
    assert "Not shown" not in page


def test_worked_import_is_scored_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    page = ROOT / "docs" / "importing.md"
    (code, reads_netcdf), (settings,) = blocks(page, "python"), blocks(page, "toml")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "importing.md", "exec"), {})
    Path("measured.toml").write_text(settings)
    commands = re.findall(r"^\$ channelbench (.*)$", "\n".join(blocks(page, "console")), re.M)
    assert [command.split()[0] for command in commands] == ["import", "import", "verify", "run", "export", "import"]
    for command in commands:
        monkeypatch.setattr(sys, "argv", ["channelbench", *command.split()])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        shown = capsys.readouterr()
        assert not stop.value.code, shown.out + shown.err
    scores = {(r.task, r.method): r.scores["nmse"].value for r in read_cells(tmp_path / "results") if not r.conditions}
    assert scores["cp", "prony"] < scores["cp", "hold"]
    one, two = open_dataset("measured.zarr"), open_dataset("again.zarr")
    assert (one.array("h_sub6", "test") == two.array("h_sub6", "test")).all()
    assert two.spec.source.citation.startswith("Me, 2031")
    assert "a corridor of ours" in (tmp_path / "results" / "leaderboard.html").read_text()
    export_dataset("measured.zarr", format="netcdf", out="uma.nc")
    found: dict[str, Any] = {}
    exec(compile(reads_netcdf, "importing.md", "exec"), found)
    assert (found["h"].values == one.xarray.h_sub6.values).all()
    found["data"].close()


def test_every_format_is_in_the_table_of_formats() -> None:
    rows = re.findall(r"^\| (`[^|]*) \|", (ROOT / "docs" / "importing.md").read_text(), re.M)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert formats.readers().keys() <= named
    exports = [line for line in (ROOT / "docs" / "importing.md").read_text().splitlines() if line.startswith("| `")]
    for name in formats.writers():
        assert any(f"`{name}`" in line and not line.endswith("| |") for line in exports), name
