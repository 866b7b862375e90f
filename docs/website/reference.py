"""Pages of the Python reference: the public names, and behind them every public module, a page for each package."""

import ast
import subprocess
import sys
from pathlib import Path

from pages import ROOT

import channelbench

CORE = {
    "contracts": (
        "Contracts",
        "What a task, a method, a metric, an experiment or an exhibit of your own derives from or is given.",
        "card contracts conditions metric fit_context experiment exhibit suite predictions prediction errors registry",
    ),
    "specs": (
        "Specs and generators",
        "What a dataset is to be, and what makes it.",
        "spec bands systems sources generator generation variables presets paths grid",
    ),
}
"""Pages of modules that lie in ``channelbench/`` itself: ``{file: (title, words, modules)}``. The others share one."""

TITLES = {
    "tasks.link": "Tasks of links",
    "tasks.multiuser": "Tasks of groups of users",
    "metrics": "Metrics",
    "solvers": "Solvers",
    "store": "Store",
    "store.cards": "Cards of datasets",
    "stream": "Streams",
    "testing": "Testing",
    "generators": "Scenarios",
    "generators.tr38901": "TR 38.901",
    "generators.evaluate": "From paths to channels",
    "generators.raytraced": "Ray tracing",
    "generators.imported": "Imports and exports",
    "baselines": "Baselines",
    "models": "Learned methods",
    "models.networks": "Networks and training",
    "models.networks.phy_llm": "Multi-task PHY LLM",
    "benchmarks": "Suites and the runner",
    "benchmarks.experiments": "Experiments",
    "benchmarks.exhibits": "Exhibits",
}
"""Packages that have a page, in the order of the site."""

INTERNAL = {"cli", "benchmarks.perf", "folders", "leaderboard"}
"""Packages that commands are made of and nobody imports."""


def pages() -> dict[str, str]:
    """``{file: page}``.

    Raises:
        ValueError: a package with public modules has no page here, or a page here has no package.
    """
    unknown = set(_packages()) ^ {*TITLES, ""}
    if unknown:
        raise ValueError(f"reference.TITLES and the packages differ in {', '.join(sorted(unknown))}")
    made = {"api/index.md": _public()}
    left = dict.fromkeys(_modules(""))
    for file, (title, words, names) in CORE.items():
        modules = [f"channelbench.{name}" for name in names.split()]
        made[f"api/{file}.md"] = _page(title, words, modules)
        for module in modules:
            del left[module]
    for package, title in TITLES.items():
        made[f"api/{package}.md"] = _page(title, _docstring(package), _modules(package))
    made["api/others.md"] = _page("Everything else", "Further modules of the core.", list(left))
    return made


def commands() -> str:
    """The page of the command line, from what its own ``--help`` says."""
    asked = [sys.executable, "-m", "typer", "channelbench.cli", "utils", "docs", "--name", "channelbench"]
    text = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    text = text.replace("# `channelbench`", "# Commands", 1).replace("## `channelbench ", "## `")
    return text.replace("\n* `", "\n- `")


def _public() -> str:
    text = (
        "# Python\n\nWhat `import channelbench as cb` gives. Importing it costs next to nothing: each name loads what "
    )
    text += (
        "it needs when it is first used. Behind these lie the modules of the other pages; an underscore before a name "
    )
    text += "or a file means that it may change without notice.\n"
    for name in channelbench.__all__:
        if not name.startswith("__"):
            home = getattr(channelbench, name).__module__
            text += f"\n::: {home}.{name}\n    options:\n      skip_local_inventory: true\n"
    return text


def _page(title: str, words: str, modules: list[str]) -> str:
    text = f"# {title}\n\n{words}\n"
    for module in modules:
        text += f"\n## {module.removeprefix('channelbench.')} {{ #module-{module.replace('.', '-')} }}\n"
        text += f"\n::: {module}\n    options:\n      show_root_heading: false\n      show_root_toc_entry: false\n"
        text += "      heading_level: 3\n"
    return text


def _packages() -> list[str]:
    """Those below ``channelbench`` that have public modules, dotted, but for internal ones."""
    root = ROOT / "channelbench"
    folders = [path.parent for path in _files(root)]
    dotted = {".".join(folder.relative_to(root).parts) for folder in folders}
    return sorted(dotted - INTERNAL)


def _modules(package: str) -> list[str]:
    folder = ROOT.joinpath("channelbench", *package.split("."))
    names = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    return [".".join(part for part in ("channelbench", package, name) if part) for name in names]


def _files(folder: Path) -> list[Path]:
    """Public modules below a folder, through the links inside the package."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith(("_", ".")):
            found += _files(path)
        elif path.suffix == ".py" and not path.name.startswith("_"):
            found.append(path)
    return found


def _docstring(package: str) -> str:
    path = ROOT.joinpath("channelbench", *package.split("."), "__init__.py")
    said = ast.get_docstring(ast.parse(path.read_text())) if path.exists() else None
    return (said or "").replace("``", "`")
