"""Tools see the house: every import leads to a file of the checkout, by reading it and by asking Pyright."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("channelbench", "generators", "baselines", "models", "benchmarks", "tests", "docs")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def imports(code: str) -> Iterator[tuple[str, str]]:
    """``(module, name)`` of everything of ours that code imports; the name is empty for a whole module."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and _is_ours(node.module or ""):
            yield from ((node.module or "", alias.name) for alias in node.names)


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == "channelbench"


def file_of(module: str) -> Path | None:
    """The file of the checkout that a module is, links followed."""
    place = ROOT.joinpath(*module.split("."))
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


@cache
def names_of(file: Path) -> frozenset[str]:
    """What a module binds at its top level, under ``if`` and ``try`` too."""
    found: set[str] = set()
    todo: list[ast.AST] = list(ast.parse(file.read_text()).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        else:
            todo += ast.iter_child_nodes(node)
    return frozenset(found)


def leads_nowhere(module: str, name: str) -> bool:
    file = file_of(module)
    if file is None:
        return True
    return bool(name) and name not in names_of(file) and file_of(f"{module}.{name}") is None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_import_leads_to_a_file(path: Path) -> None:
    assert [found for found in imports(path.read_text()) if leads_nowhere(*found)] == []


def test_the_checker_sees_what_is_not_there() -> None:
    code = (
        "import channelbench.cli\nfrom channelbench.models import mlp, mlq\ndef f():\n    import channelbench.nothing\n"
    )
    lost = [found for found in imports(code) if leads_nowhere(*found)]
    assert sorted(lost) == [("channelbench.models", "mlq"), ("channelbench.nothing", "")]


@pytest.mark.slow
def test_pyright_finds_every_import() -> None:
    """In a checkout without anything installed, with the settings that editors read."""
    tool = [sys.executable, "-m", "pyright"]
    environment = os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    asked = subprocess.run([*tool, "--version"], capture_output=True, text=True, env=environment)
    if asked.returncode != 0:
        pytest.skip("Pyright is not installed: pip brings a wrapper, and npm the rest when it is first called")
    bare = getattr(sys, "_base_executable", sys.executable)
    made = subprocess.run(
        [*tool, "--outputjson", "--pythonpath", bare], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    found = json.loads(made.stdout)
    lost = [item["message"] for item in found["generalDiagnostics"] if item.get("rule") == "reportMissingImports"]
    ours = {"channelbench", *(path.stem for path in (ROOT / "tests" / "helpers").iterdir())}
    assert lost, "nothing is installed there"
    assert [message for message in lost if message.split('"')[1].split(".")[0] in ours] == []
    assert found["summary"]["filesAnalyzed"] >= len({path.resolve() for path in FILES})


def test_mypy_and_pyright_read_the_whole_tree() -> None:
    import tomllib

    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert "exclude" not in tools["mypy"]
    assert set(tools["pyright"]["include"]) == set(FOLDERS)
    assert {"exclude", "ignore"}.isdisjoint(tools["pyright"])
