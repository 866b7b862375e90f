"""The wheel and the source distribution hold the house, and run where nothing else of it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SIDES = ("generators", "baselines", "models", "benchmarks")
BUILD = """
import sys
from setuptools import build_meta
out = sys.argv[1]  # which setuptools changes
build_meta.build_wheel(out)
build_meta.build_sdist(out)
"""
NOT_INSTALLED = "channelbench/benchmarks/perf/"
"""Benchmarks of speed run in a checkout: they compare across the sides."""

NOTICES = {"LICENSE", "CITATION.cff"}


def unneeded(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in ("__pycache__", "build", "dist") or name.endswith(".egg-info")}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What of a checkout is installed, its links as they are: building leaves things where it builds."""
    copy = tmp_path_factory.mktemp("checkout") / "channelbench"
    copy.mkdir()
    for folder in ("channelbench", *SIDES):
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=unneeded)
    for name in ("pyproject.toml", "README.md", *NOTICES):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def built(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution."""
    out = tmp_path_factory.mktemp("built")
    made = subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=checkout, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return out


def files_of(root: Path) -> set[str]:
    """All files of the package, links followed: code, and what code reads."""
    found: set[str] = set()
    for folder, names, files in os.walk(root / "channelbench", followlinks=True):
        names[:] = [name for name in names if name != "__pycache__"]
        found |= {(Path(folder) / file).relative_to(root).as_posix() for file in files}
    return {name for name in found if not name.startswith(NOT_INSTALLED)}


def the(built: Path, pattern: str) -> Path:
    (found,) = built.glob(pattern)
    return found


def test_the_wheel_holds_the_tree(built: Path) -> None:
    with zipfile.ZipFile(the(built, "*.whl")) as wheel:
        names = wheel.namelist()
    package = {name for name in names if name.startswith("channelbench/")}
    assert package == files_of(ROOT)
    (about,) = {name.partition("/")[0] for name in names} - {"channelbench"}
    assert {name.rpartition("/")[2] for name in names if name.startswith(f"{about}/licenses/")} == NOTICES
    for kind in (".jinja", ".csv", ".txt", "py.typed"):
        assert [name for name in package if name.endswith(kind)], kind
    for side in SIDES:
        assert f"channelbench/{side}/__init__.py" in package


def test_the_source_distribution_holds_the_tree_without_links(built: Path) -> None:
    with tarfile.open(the(built, "*.tar.gz")) as archive:
        members = archive.getmembers()
    assert not [member.name for member in members if member.issym() or member.islnk()]
    names = {member.name.partition("/")[2] for member in members if member.isfile()}
    assert {name for name in names if name.startswith("channelbench/")} == files_of(ROOT)
    assert NOTICES | {"README.md", "pyproject.toml"} <= names


def test_the_wheel_is_imported_from_where_it_is_installed(built: Path, tmp_path: Path) -> None:
    """Without the checkout: from another folder, all methods, and what the package reads of its own files."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", "site"]
    made = subprocess.run([*install, str(the(built, "*.whl"))], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    code = (
        "import channelbench, channelbench.registry as registry\n"
        "print(channelbench.__file__, len(registry.names('methods')), len(registry.names('suites')))\n"
        "from channelbench.store.cards.readme import _template\n_template()\n"
        "from importlib.metadata import metadata\nprint(metadata('channelbench')['License-Expression'])"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    run = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stderr
    first, licence = run.stdout.splitlines()
    place, methods, suites = first.rsplit(maxsplit=2)
    assert Path(place) == tmp_path / "site" / "channelbench" / "__init__.py"
    written = [name for side in ("baselines", "models") for name in (ROOT / side).glob("[!_]*.py")]
    assert int(methods) >= 0.8 * len(written), "a file each, but for bases"
    assert int(suites) > 10
    assert licence == "Apache-2.0"


@pytest.mark.slow
def test_all_ways_to_install_score_the_classical_suite(checkout: Path, built: Path, tmp_path: Path) -> None:
    """`pip install .` with all that it needs into an empty environment; then the wheel and the source distribution in
    its place. Each runs the classical suite on a small dataset from a folder of its own."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python, command = (tmp_path / "env" / "bin" / name for name in ("python", "channelbench"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(*words: str | Path, folder: Path) -> str:
        run = subprocess.run([str(w) for w in words], cwd=folder, capture_output=True, text=True, env=environment)
        assert run.returncode == 0, f"{words}: {run.stdout[-1000:]}\n{run.stderr[-3000:]}"
        return run.stdout

    fresh = call(python, "-m", "pip", "list", "--format", "freeze", folder=tmp_path)
    assert {line.partition("=")[0] for line in fresh.splitlines()} <= {"pip", "setuptools", "wheel"}
    copy = tmp_path / "copy"
    shutil.copytree(checkout, copy, symlinks=True)
    over = ("--no-deps", "--force-reinstall")
    for kind, words in {
        "checkout": (copy,),
        "wheel": (*over, the(built, "*.whl")),
        "sdist": (*over, the(built, "*.tar.gz")),
    }.items():
        call(python, "-m", "pip", "install", "--quiet", *words, folder=tmp_path)
        folder = tmp_path / kind
        folder.mkdir()
        call(
            command,
            "generate",
            "--samples",
            "150",
            "--set",
            "sub6.num_subcarriers=16",
            "--out",
            "x.zarr",
            folder=folder,
        )
        call(command, "run", "--data", "x.zarr", "--suite", "classical", folder=folder)
        assert (folder / "results" / "leaderboard.html").stat().st_size > 100_000
        rows = (folder / "results" / "leaderboard.csv").read_text().splitlines()
        assert len(rows) > 20, kind
    call(python, "-m", "pip", "check", folder=tmp_path)
