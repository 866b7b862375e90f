"""One import direction, by reading the code; and nothing heavy before it is asked for, by running it."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SIDES = ("generators", "baselines", "models", "benchmarks")
HEAVY = ("torch", "sionna", "transformers", "tensorflow", "numba", "matplotlib", "xarray", "zarr", "pandas")


def imported_modules(path: Path) -> set[str]:
    """Absolute names of everything that a file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def sides_of(modules: set[str]) -> set[str]:
    return {side for side in SIDES for module in modules if f"{module}.".startswith(f"channelbench.{side}.")}


@pytest.mark.parametrize("side", SIDES)
def test_sides_import_only_the_core_and_themselves(side: str) -> None:
    files = sorted((ROOT / side).rglob("*.py"))
    assert files
    for path in files:
        if path.parent.name != "perf":  # benchmarks of speed compare across sides
            assert sides_of(imported_modules(path)) <= {side}, path


def test_the_core_imports_no_side_but_in_cli_functions() -> None:
    for path in sorted((ROOT / "channelbench").rglob("*.py")):
        sides = sides_of(imported_modules(path))
        if path.name == "__init__.py" and path.parent.name == "channelbench":
            continue  # the lazy names of the public API, under TYPE_CHECKING
        if path.parent.name == "cli":
            tree = ast.parse(path.read_text())
            top = {n.module or "" for n in tree.body if isinstance(n, ast.ImportFrom)}  # not under TYPE_CHECKING
            assert not sides_of(top), "the command line imports sides inside its functions only"
            continue
        assert not sides, path


def test_the_checker_sees_a_violation(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from channelbench.models import mlp\n")
    assert sides_of(imported_modules(bad)) == {"models"}


@pytest.mark.parametrize("code", ["import channelbench", "import channelbench.cli"])
def test_importing_is_light(code: str) -> None:
    report = f"import sys, json; {code}; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(
        subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True).stdout
    )
    assert not {name.split(".")[0] for name in loaded} & set(HEAVY)


def test_help_is_light() -> None:
    code = (
        "import sys\nfrom channelbench.cli import main\nsys.argv = ['channelbench', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint('LOADED', *sorted(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    listing, loaded = out.split("LOADED")
    assert "generate" in listing
    assert not {name.split(".")[0] for name in loaded.split()} & {*HEAVY, "numpy", "scipy", "dask", "distributed"}


def test_top_level_is_the_agreed_one() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode != 0 or not tracked.stdout:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    folders = {"channelbench", "generators", "benchmarks", "baselines", "models", "tests", "docs"}
    files = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "Makefile"}
    assert {name for name in top if not name.startswith(".")} == folders | files
