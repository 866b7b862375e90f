"""How much of what is public says what it does. ``pytest -s`` on this file prints the share and what does not."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("channelbench", "generators", "baselines", "models", "benchmarks")
SHARE = 0.97

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Public:
    """A public class, function or method; ``owner`` is the class that a method belongs to."""

    where: str
    name: str
    owner: str
    documented: bool


def definitions(node: ast.AST) -> Iterator[Definition]:
    """Those directly inside, under ``if`` and ``try`` too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield child
        elif isinstance(child, ast.If | ast.Try):
            yield from definitions(child)


def read(sources: dict[str, str]) -> tuple[list[Public], dict[str, set[str]]]:
    """What is defined in ``{file: code}`` and has a public name, and the names of the bases of every class."""
    found: list[Public] = []
    bases: dict[str, set[str]] = {}
    for file, code in sources.items():
        for top in definitions(ast.parse(code)):
            inner = list(definitions(top)) if isinstance(top, ast.ClassDef) else []
            if isinstance(top, ast.ClassDef):
                bases[top.name] = {name_of(base) for base in top.bases}
            for owner, item in [("", top), *((top.name, item) for item in inner)]:
                if not item.name.startswith("_"):
                    found.append(Public(file, item.name, owner, ast.get_docstring(item) is not None))
    return found, bases


def name_of(base: ast.expr) -> str:
    """``B`` of ``B``, ``module.B`` and ``B[int]``."""
    while isinstance(base, ast.Subscript):
        base = base.value
    return base.attr if isinstance(base, ast.Attribute) else ast.unparse(base)


def counted(item: Public) -> bool:
    """Whether users meet it: it tests nothing, and neither its class nor a part of its file's path is private."""
    parts = Path(item.where).parts
    if item.name.startswith("test_") or "perf" in parts:
        return False
    return not item.owner.startswith("_") and not any(p.startswith("_") and p != "__init__.py" for p in parts)


def undocumented(found: list[Public], bases: dict[str, set[str]]) -> list[str]:
    """What users meet without a docstring, and does not override a method of a class of ours that has one."""
    said = {(item.owner, item.name) for item in found if item.documented}

    def inherits(owner: str, name: str) -> bool:
        return any((base, name) in said or inherits(base, name) for base in bases.get(owner, ()))

    return [
        f"{item.where}: {item.owner}{'.' if item.owner else ''}{item.name}"
        for item in found
        if counted(item) and not item.documented and not (item.owner and inherits(item.owner, item.name))
    ]


def test_what_is_public_says_what_it_does() -> None:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    found, bases = read({str(path.relative_to(ROOT)): path.read_text() for path in paths})
    missing, total = undocumented(found, bases), sum(map(counted, found))
    print(f"{100 * (1 - len(missing) / total):.1f} % of {total}; without:", *missing, sep="\n")
    assert 1 - len(missing) / total >= SHARE


def test_an_override_has_the_words_of_its_base() -> None:
    code = 'class A:\n  """A."""\n  def f(self):\n    """F."""\n  def g(self): pass\nclass B(A):\n  """B."""\n'
    code += "  def f(self): pass\n  def _h(self): pass\n  def h(self): pass\ndef k(): pass\n"
    assert undocumented(*read({"x.py": code})) == ["x.py: A.g", "x.py: B.h", "x.py: k"]
