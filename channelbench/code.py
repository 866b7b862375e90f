"""Which code decides a score, as a digest: the modules that a method, its task and its metrics import.

The digest is of what the code says and not of how it is written: comments, docstrings, blank space and what stands
under ``if TYPE_CHECKING`` change nothing. Imports are found by reading, inside functions too, and nothing is imported.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from channelbench.contracts import Method, Task

__all__ = ["code_digest", "code_of", "deciding_modules"]

OURS = "channelbench"

DECIDES_NOTHING = (
    *("bars", "benchmarks", "card", "cli", "cluster", "code", "costs", "cuda", "discovery", "errors", "exhibit"),
    *("experiment", "families", "generation", "generator", "generators", "leaderboard", "losses", "registry"),
    *("results", "sources", "spec", "store", "stream", "suite", "supported", "terms", "testing", "variables", "xarray"),
)
"""Modules and packages of ours that find, make, store or show things: whatever changes in them, a method answers as
before. What it sees comes from a dataset, whose digest is its own."""

DECIDES_ALL_THE_SAME = ("store.dataset",)
"""What is among them and decides: the noise and the mean powers that a task's view of a split gives."""


def code_of(method: type[Method] | None, tasks: Iterable[Task]) -> str:
    """Digest of the code that decides how a method does on tasks; without a method, what the ceiling is."""
    kinds = [kind for task in tasks for kind in (type(task), *map(type, task.metrics))]
    return code_digest(*([] if method is None else [method]), *kinds)


def code_digest(*things: type) -> str:
    """Digest of the code behind classes, hexadecimal; empty where the source of one cannot be had.

    It covers the modules of the classes and of what they inherit from, and those that these import, directly or not,
    within channelbench or within the package that a class is from. A module that is in no package may have others
    beside it: those in the same folder count too, unless it is where packages are installed.

    Args:
        things: Classes of methods, tasks and metrics.
    """
    try:
        modules = deciding_modules(*things)
    except (OSError, SyntaxError, ValueError):  # ValueError: null bytes in a source
        return ""
    whole = hashlib.sha256()
    for name in sorted(modules):
        whole.update(f"{name}\n{_read(*_stamp(modules[name])).digest}\n".encode())
    return whole.hexdigest() if modules else ""


def deciding_modules(*things: type) -> dict[str, Path]:
    """The modules that ``code_digest`` covers, ``{name: file}``; none where that of a class has no file.

    Raises:
        OSError, SyntaxError, ValueError: one of them cannot be read.
    """
    found: dict[str, Path] = {}
    todo: list[tuple[str, Path]] = []
    for module in dict.fromkeys(kind.__module__ for thing in things for kind in thing.__mro__):
        name = module.partition(".")[0]
        if not _is_theirs(module, things) or (name == OURS and not _decides(module)):
            continue
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is None:
            return {}
        todo.append((module, Path(file)))
    while todo:
        module, file = todo.pop()
        if module not in found:
            found[module] = file
            todo += _imported(module, *_stamp(file))
    return found


def _is_theirs(module: str, things: Iterable[type]) -> bool:
    """Whether a base class is from channelbench or from the package of one of the classes themselves: torch and numpy
    are told by their versions."""
    roots = {OURS, *(thing.__module__.partition(".")[0] for thing in things)}
    return module.partition(".")[0] in roots


def _decides(module: str) -> bool:
    """Whether a module of channelbench decides a score."""
    below = module.removeprefix(OURS).removeprefix(".")
    if below in DECIDES_ALL_THE_SAME:
        return True
    # Its own `__init__` gives users names of everything.
    return bool(below) and not any(f"{below}.".startswith(f"{name}.") for name in DECIDES_NOTHING)


@cache
def _imported(module: str, path: str, mtime: int, size: int) -> tuple[tuple[str, Path], ...]:
    """The modules that one imports and that count, with the packages that they are in."""
    file, found = Path(path), {}
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for imported in _read(path, mtime, size).imports:
        absolute = _absolute(imported, package)
        parts = absolute.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if (parts[0] != OURS or _decides(name)) and (where := _find(name, module, file)) is not None:
                found[name] = where
    return tuple(found.items())


def _absolute(imported: str, package: str) -> str:
    """``..a.b`` as it is called from within a package."""
    name = imported.lstrip(".")
    if not (level := len(imported) - len(name)):
        return name
    parts = package.split(".")
    return ".".join(part for part in (*parts[: len(parts) - level + 1], name) if part)


def _find(name: str, module: str, file: Path) -> Path | None:
    """The file of a module that counts among those that ``module`` imports; ``None`` for others, and for what is no
    module but a name in one."""
    root, _, below = name.partition(".")
    own = module.partition(".")[0]
    if root in (own, OURS):
        package = sys.modules.get(root)
        folders = [Path(folder) for folder in getattr(package, "__path__", ())]
        if not below:
            path = getattr(package, "__file__", None)
            return None if path is None else Path(path)
    else:
        top = _top_folder(module, file)
        folders, below = [] if top is None else [top], name
    for folder in folders:
        place = folder.joinpath(*below.split("."))
        for candidate in (place / "__init__.py", *(Path(f"{place}{end}") for end in (".py", *EXTENSION_SUFFIXES))):
            if candidate.is_file():
                return candidate
    return None


def _top_folder(module: str, file: Path) -> Path | None:
    """The folder that a package or module of a user's own lies in; ``None`` for one that is installed or ours."""
    if module.partition(".")[0] == OURS:
        return None
    depth = module.count(".") + (file.name == "__init__.py")
    folder = file.resolve().parents[depth]
    installed = [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib", "platstdlib")]
    return None if any(folder == place or place in folder.parents for place in installed) else folder


@dataclass(frozen=True)
class _Source:
    """What a file says: the digest of its code, and what it imports, with a leading dot for each level up."""

    digest: str
    imports: tuple[str, ...]


def _stamp(file: Path) -> tuple[str, int, int]:
    state = file.stat()
    return str(file), state.st_mtime_ns, state.st_size


@cache
def _read(path: str, mtime: int, size: int) -> _Source:
    content = Path(path).read_bytes()
    if not path.endswith(".py"):
        return _Source(hashlib.sha256(content).hexdigest(), ())
    tree = ast.parse(content)
    text: list[str] = []
    imports: dict[str, None] = {}
    _walk(tree, text, imports)
    return _Source(hashlib.sha256("\n".join(text).encode()).hexdigest(), tuple(imports))


def _walk(node: Any, text: list[str], imports: dict[str, None]) -> None:
    """Write a tree down in words that no version of Python puts differently, and note what it imports."""
    if isinstance(node, ast.AST):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imports.update(dict.fromkeys(_names(node)))
        elif isinstance(node, ast.Call):
            imports.update(dict.fromkeys(_loaded(node)))
        text.append(type(node).__name__)
        for name, value in ast.iter_fields(node):
            if value is None or value == [] or name in ("type_comment", "kind", "ctx"):
                continue  # what a version has more fields for is empty in code of another
            text.append(name)
            _walk(value, text, imports)
        text.append(")")
    elif isinstance(node, list):
        for item in node:
            if _is_remark(item):
                continue
            if _is_for_checkers(item):
                for other in item.orelse:
                    _walk(other, text, imports)
                continue
            _walk(item, text, imports)
    else:
        text.append(repr(node))


def _is_remark(node: Any) -> bool:
    """A docstring, or a text that stands by itself as one."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_for_checkers(node: Any) -> bool:
    """``if TYPE_CHECKING``, under which nothing is ever run."""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None))


def _names(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = "." * node.level + (node.module or "")
    yield base
    for alias in node.names:  # which may be modules of a package
        if alias.name != "*":
            yield f"{base}{'' if base.endswith('.') or not base else '.'}{alias.name}"


def _loaded(node: ast.Call) -> Iterator[str]:
    """``import_module("a.b")`` with the name written out."""
    called = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if called in ("import_module", "__import__") and node.args:
        first = node.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and not first.value.startswith("."):
            yield first.value
