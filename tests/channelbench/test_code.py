"""Digests of code: of what decides a score, and of how nothing is written."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from channelbench import code, registry
from channelbench.code import code_digest, code_of, deciding_modules

NETS = '''
"""A docstring."""
import math  # a remark


def width(scale: int = 2) -> int:
    """What it is."""
    return 8 * scale
'''

METHOD = """
from __future__ import annotations

from typing import TYPE_CHECKING

from channelbench.contracts import Method

if TYPE_CHECKING:
    from {package}.unused import Nothing


class Mine(Method):
    def fit(self, data, context):
        from {package}.nets import width

        self.width = width()

    def predict(self, task, observation):
        from .deep import answer

        return answer(observation)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type, Path]]:
    """A method in a package of somebody's own, beside others, and the package's folder."""
    name = f"plugin_{abs(hash(str(tmp_path))) % 10**8}"
    folder = tmp_path / name
    (folder / "deep").mkdir(parents=True)
    (folder / "__init__.py").write_text("VERSION = 1\n")
    (folder / "nets.py").write_text(NETS)
    (folder / "unused.py").write_text("class Nothing: ...\n")
    (folder / "cli.py").write_text("def main(): ...\n")
    (folder / "deep" / "__init__.py").write_text(f"from .bottom import answer\nimport {name}_beside\n")
    (folder / "deep" / "bottom.py").write_text("def answer(observation):\n    return observation\n")
    (tmp_path / f"{name}_beside.py").write_text("ONE = 1\n")
    (tmp_path / f"{name}_other.py").write_text("ONE = 1\n")
    (folder / "method.py").write_text(METHOD.replace("{package}", name))
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(f"{name}.method")
    yield module.Mine, folder
    for loaded in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[loaded]


def test_a_package_of_somebodys_own_is_followed_and_nothing_else(plugin: tuple[type, Path]) -> None:
    mine, folder = plugin
    name = folder.name
    found = {module for module in deciding_modules(mine) if module.startswith(name)}
    assert found == {f"{name}{end}" for end in ("", ".method", ".nets", ".deep", ".deep.bottom", "_beside")}
    ours = {module for module in deciding_modules(mine) if not module.startswith(name)}
    assert "channelbench.contracts" in ours
    assert all(module.startswith("channelbench.") for module in ours), "neither numpy nor the standard library"


def test_what_is_said_counts_and_how_it_is_written_does_not(plugin: tuple[type, Path]) -> None:
    mine, folder = plugin
    before = code_digest(mine)
    assert len(before) == 64

    def changed(path: Path, old: str, new: str) -> bool:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        is_other = code_digest(mine) != before
        path.write_text(text)
        assert code_digest(mine) == before
        return is_other

    nets, method = folder / "nets.py", folder / "method.py"
    for old, new in (
        ("# a remark", "# another one altogether"),
        ('"""A docstring."""', '"""Another."""\n\n\n'),
        ('    """What it is."""\n', ""),
        ("return 8 * scale", "return (8 *\n            scale)"),
        ("def width(scale: int = 2) -> int:", "def width(\n    scale: int = 2,\n) -> int:\n    'What it is.'"),
    ):
        assert not changed(nets, old, new), (old, new)
    for old, new in (
        ("8 * scale", "9 * scale"),
        ("= 2", "= 2.0"),
        ("scale: int", "s: int"),
        ("import math", "import os"),
    ):
        assert changed(nets, old, new), (old, new)
    assert not changed(method, "import Nothing", "import Something")
    assert changed(method, "self.width = width()", "self.width = width(3)")
    assert changed(folder / "__init__.py", "1", "2")
    assert changed(folder / "deep" / "bottom.py", "return observation", "return -observation")
    assert changed(folder.parent / f"{folder.name}_beside.py", "1", "2")
    for path in (folder / "cli.py", folder / "unused.py", folder.parent / f"{folder.name}_other.py"):
        path.write_text(path.read_text() + "\nMORE = 2\n")
    assert code_digest(mine) == before


def test_what_has_no_source_has_no_digest(plugin: tuple[type, Path]) -> None:
    mine, folder = plugin
    assert code_digest() == ""
    made = type("Made", (mine,), {"__module__": "somewhere_that_is_not"})
    assert code_digest(made) == ""
    (folder / "nets.py").write_text("def broken(:\n")
    assert code_digest(mine) == ""
    (folder / "nets.py").write_bytes(b"x = 1\0")
    assert code_digest(mine) == ""


def test_every_registered_method_has_a_digest_on_every_task() -> None:
    tasks = [registry.create("tasks", name) for name in registry.names("tasks")]
    found: dict[str, set[str]] = {}
    for name in registry.names("methods"):
        method = registry.find("methods", name)
        digests = {code_of(method, [task]) for task in tasks if method.covers(task)}
        assert digests, name
        assert all(len(digest) == 64 for digest in digests)
        found[name] = digests
    apart = [found[name] for name in ("zero", "lstm", "llm4wm", "bi", "cnn")]
    assert len(set.union(*apart)) == sum(map(len, apart)), "no two methods are of the same code"


def test_what_decides_no_score_is_in_no_digest() -> None:
    tasks = [registry.create("tasks", name) for name in registry.names("tasks")]
    for name in registry.names("methods"):
        method = registry.find("methods", name)
        covered = [task for task in tasks if method.covers(task)]
        modules = deciding_modules(method, *map(type, covered))
        for part in (
            *("leaderboard", "benchmarks", "cli", "generation", "generators", "store.verify", "results"),
            *("losses", "supported", "xarray"),
        ):
            assert not [m for m in modules if f"{m}.".startswith(f"channelbench.{part}.")], (name, part)
        assert {"channelbench.contracts", "channelbench.noise", "channelbench.store.dataset"} <= set(modules)
    lstm = deciding_modules(registry.find("methods", "lstm"), type(registry.create("tasks", "ce")))
    assert {f"channelbench.models.networks.{part}" for part in ("lstm", "fitting", "training", "data")} <= set(lstm)
    assert "channelbench.models.networks.joint" not in lstm
    assert "channelbench.metrics.channel" in lstm


def test_a_copy_of_ours_elsewhere_has_the_same_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed flat or linked into a checkout, wherever: names and what is said count, and no path."""
    lstm, ce = registry.find("methods", "lstm"), type(registry.create("tasks", "ce"))
    before, places = code_digest(lstm, ce), deciding_modules(lstm, ce)
    root = Path(sys.modules["channelbench"].__file__).parent  # type: ignore[arg-type]
    copy = tmp_path / "channelbench"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sys.modules["channelbench"], "__path__", [str(copy)])
    monkeypatch.setattr(sys.modules["channelbench"], "__file__", str(copy / "__init__.py"))
    for module in places:
        there = copy.joinpath(*module.split(".")[1:])
        file = there.with_suffix(".py") if there.with_suffix(".py").exists() else there / "__init__.py"
        if module in sys.modules:
            monkeypatch.setattr(sys.modules[module], "__file__", str(file))
    code._imported.cache_clear()
    try:
        moved = deciding_modules(lstm, ce)
        assert set(moved) == set(places)
        assert all(copy in file.parents for file in moved.values())
        assert code_digest(lstm, ce) == before
    finally:
        code._imported.cache_clear()


@pytest.mark.parametrize(
    ("imported", "package", "absolute"),
    [
        ("a.b", "p", "a.b"),
        (".a", "p.q", "p.q.a"),
        (".", "p.q", "p.q"),
        ("..a.b", "p.q", "p.a.b"),
        ("..", "p.q", "p"),
        ("...a", "p.q.r", "p.a"),
    ],
)
def test_relative_names(imported: str, package: str, absolute: str) -> None:
    """As ``importlib.util.resolve_name`` has them."""
    assert code._absolute(imported, package) == absolute
    if imported.strip("."):
        assert importlib.util.resolve_name(imported, package) == absolute


def test_imports_that_are_written_out_are_found() -> None:
    text = """
        import a, b.c as d
        from e import f, g
        from . import h
        from .i import *
        if TYPE_CHECKING:
            import no
        else:
            import j
        def later():
            import k
            importlib.import_module("l.m"), import_module(name), __import__("n")
    """
    found: dict[str, None] = {}
    code._walk(ast.parse(textwrap.dedent(text)), [], found)
    assert set(found) == {"a", "b.c", "e", "e.f", "e.g", ".", ".h", ".i", "j", "k", "l.m", "n"}
