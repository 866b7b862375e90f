"""Tutorials: scripts that are run as notebooks when the site is built, so that what they show is never stale."""

import base64
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pages import DOCS, ROOT, as_on_site, places

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What terminals take for colours."""


def scripts() -> list[Path]:
    """In their order."""
    return sorted((DOCS / "tutorials").glob("*.py"))


def write(out: Path, *, run: bool) -> dict[str, str]:
    """Write pictures and a notebook of each tutorial below ``out``.

    They run one after the other in a folder that is thrown away, in which ``docs`` is that of the repository.

    Args:
        out: Folder of the site's pages.
        run: Whether to run them; without it pages and notebooks have no outputs.

    Returns:
        ``{file: page}``.

    Raises:
        nbclient.exceptions.CellExecutionError: a tutorial failed, with its traceback.
    """
    import jupytext
    import nbformat

    made, here = {}, places()
    (out / "tutorials").mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        (Path(folder) / "docs").symlink_to(DOCS)
        for script in scripts():
            notebook = jupytext.read(script)
            if run:
                _run(notebook, folder)
            nbformat.write(notebook, out / "tutorials" / f"{script.stem}.ipynb")
            page, source = f"tutorials/{script.stem}.md", str(script.relative_to(ROOT))
            for cell in notebook.cells:
                if cell.cell_type == "markdown":
                    cell.source = as_on_site(cell.source, source, page, here).rstrip()
            text = "\n\n".join(_words(notebook, out / "tutorials", script.stem))
            made[page] = _with_notebook(text, script.stem)
    return made


def _run(notebook: Any, folder: str) -> None:
    """Fill in the outputs; commands are those of this Python, and find lines wide enough for their tables."""
    from nbclient import NotebookClient

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    quiet = ["--IPKernelApp.log_level=40", "--HistoryManager.enabled=False"]
    client = NotebookClient(
        notebook,
        timeout=600,
        resources={"metadata": {"path": folder}},
        coalesce_streams=True,
        extra_arguments=quiet,
    )
    inline = "module://matplotlib_inline.backend_inline"  # whatever draws the other pictures of the site
    client.execute(env=os.environ | {"PATH": path, "COLUMNS": "110", "MPLBACKEND": inline})


def _words(notebook: Any, folder: Path, name: str) -> Iterator[str]:
    """Its cells and their outputs as Markdown; pictures go to ``folder``."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            yield cell.source
            continue
        shell = cell.source.startswith("!")
        yield f"```console\n$ {cell.source[1:]}\n```" if shell else f"```python\n{cell.source}\n```"
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                picture = f"{name}-{number}.png"
                (folder / picture).write_bytes(base64.b64decode(data["image/png"]))
                yield f"![What the lines above draw]({picture})"
            elif "text/html" in data:
                yield f"<div>{_without_blank_lines(data['text/html'])}</div>"
            else:
                text = output.get("text") or data["text/plain"]
                yield f"```text\n{COLOURS.sub('', text).rstrip()}\n```"


def _without_blank_lines(html: str) -> str:
    return "\n".join(line for line in html.splitlines() if line.strip())


def _with_notebook(text: str, name: str) -> str:
    """The page with a link to its notebook below the title."""
    title, rest = text.lstrip().split("\n", 1)
    return f'{title}\n\n<a href="{name}.ipynb" download>This page as a notebook</a>\n{rest}'
