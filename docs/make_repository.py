"""Write the project's address into the README and CITATION.cff, from the one line of pyproject.toml: ``make docs``.

Before it is published there is no such line, and there is none in the files.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = ("README.md", "CITATION.cff")


def repository(pyproject: str) -> str:
    """``project.urls.Repository`` in the text of pyproject.toml; empty where it has none."""
    return tomllib.loads(pyproject)["project"].get("urls", {}).get("Repository", "").rstrip("/")


def with_address(name: str, text: str, address: str) -> str:
    """The text of one of ``FILES`` with this address in place of whichever it had."""
    return _readme(text, address) if name == "README.md" else _citation(text, address)


def _readme(text: str, address: str) -> str:
    workflow = f"{address}/actions/workflows/tests.yml"
    badge = f"[![tests]({workflow}/badge.svg)]({workflow})\n" if address.startswith("https://github.com/") else ""
    clone = f"```console\n$ git clone {address}\n$ cd {address.rpartition('/')[2]}\n```\n" if address else ""
    for name, lines in (("badge", badge), ("clone", clone)):
        text, found = re.subn(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->\n)", rf"\g<1>{lines}\g<2>", text, flags=re.S)
        if found != 1:
            raise ValueError(f"README.md: expected one <!-- {name} --> … <!-- /{name} -->, got {found}")
    return text


def _citation(text: str, address: str) -> str:
    lines = [line for line in text.splitlines() if not line.startswith("repository-code:")]
    return "\n".join([*lines, *([f'repository-code: "{address}"'] if address else [])]) + "\n"


if __name__ == "__main__":
    found = repository((ROOT / "pyproject.toml").read_text())
    for name in FILES:
        path = ROOT / name
        path.write_text(with_address(name, path.read_text(), found))
