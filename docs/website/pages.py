"""Pages of the repository as the site has them: each in its place, links to where their targets are now."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "CITATION.cff": "CITATION.cff",
}
"""What does not lie in ``docs/``, and where the site has it."""

FENCE = re.compile(r"^ *(```|~~~)")
LINK = re.compile(r"(?<=\]\()(?![a-z]+://|mailto:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")


def places() -> dict[str, str]:
    """Where the site has what of the repository: ``{path there: path here}``.

    A tutorial's script is the page that it becomes, a results folder its entry on the page of recorded results.
    """
    here = dict(MOVED)
    for path in sorted(DOCS.iterdir()):
        if path.suffix in (".md", ".png", ".svg"):
            here[f"docs/{path.name}"] = path.name
    for path in sorted((DOCS / "tutorials").glob("*.py")):
        here[f"docs/tutorials/{path.name}"] = f"tutorials/{path.stem}.md"
    for folder in sorted((DOCS / "results").iterdir()):
        here[f"docs/results/{folder.name}"] = f"recorded.md#{folder.name}"
        for path in sorted(folder.iterdir()):
            if path.is_file():
                here[f"docs/results/{folder.name}/{path.name}"] = f"results/{folder.name}/{path.name}"
    return here


def stage(out: Path) -> None:
    """Write what lies in the repository to ``out``.

    Raises:
        ValueError: a link of a page to something that the site does not have.
    """
    here = places()
    for source, place in here.items():
        if "#" in place or place.startswith("tutorials/"):
            continue  # made from the folder, or by running the script
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        if place.endswith(".md"):
            (out / place).write_text(as_on_site((ROOT / source).read_text(), source, place, here))
        else:
            shutil.copyfile(ROOT / source, out / place)


def as_on_site(text: str, source: str, place: str, here: Mapping[str, str]) -> str:
    """A page's text with links that hold at ``place``, and with the indents and blank lines that Python-Markdown wants
    where GitHub does without.

    Raises:
        ValueError: as ``stage``.
    """

    def moved(link: re.Match[str]) -> str:
        target = normpath(PurePosixPath(source).parent / link[1])
        if target not in here:
            raise ValueError(f"{source} links to {link[1]}, which the site does not have: add it to pages.places")
        file, _, fragment = here[target].partition("#")
        return relpath(file, PurePosixPath(place).parent) + (link[2] or (f"#{fragment}" if fragment else ""))

    return "\n".join(line if code else LINK.sub(moved, line) for line, code in _indented(text.splitlines())) + "\n"


def _indented(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is code. What belongs to a bullet is indented by four; a comment stands alone."""
    in_item = code = False
    for line in lines:
        fence = bool(FENCE.match(line))
        if not code and line and not line.startswith(" "):
            in_item = line.startswith("- ")
        shown = "  " + line if in_item and line.startswith("  ") else line
        yield shown, code or fence
        code ^= fence
        if not code and line.startswith("<!--"):
            yield "", False
