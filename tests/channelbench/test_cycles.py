"""No module imports itself through others, for type checkers neither: what is under ``TYPE_CHECKING`` counts too."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SIDES = ("generators", "baselines", "models", "benchmarks")


def modules() -> dict[str, str]:
    """``{module: code}`` of the package, its four folders included."""
    found = {}
    for top, package in (("channelbench", "channelbench"), *((side, f"channelbench.{side}") for side in SIDES)):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT / top).with_suffix("").parts
            found[".".join((package, *(part for part in parts if part != "__init__")))] = path.read_text()
    return found


def module_level(code: str) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports outside functions."""
    todo: list[ast.AST] = [ast.parse(code)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)


def edges(code: str, known: set[str]) -> set[str]:
    """The modules among ``known`` that code names. A package that is on the way to one of its modules is not named."""
    found = set()
    for node in module_level(code):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in below}
    return found & known


def cycle(code: dict[str, str]) -> list[str]:
    """The modules of one cycle, each importing the one before it; empty where there is none."""
    try:
        TopologicalSorter({name: edges(text, set(code)) for name, text in code.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_through_others() -> None:
    found = modules()
    assert {"channelbench.contracts", "channelbench.models.mlp", "channelbench.store"} <= set(found)
    assert cycle(found) == []


@pytest.mark.parametrize(
    ("a", "b", "closed"),
    [
        ("import house.b", "from house import a", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.b import x", "import house.a", True),
        ("try:\n    from house.b import x\nexcept ImportError:\n    pass", "class A:\n    import house.a", True),
        ("def f():\n    import house.b", "import house.a", False),
        ("from house.b import x", "from house import y", False),
    ],
)
def test_the_checker_sees_a_cycle(a: str, b: str, closed: bool) -> None:
    assert bool(cycle({"house": "", "house.a": a, "house.b": b})) == closed
