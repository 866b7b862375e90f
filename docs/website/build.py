"""Build the documentation site: ``make docs-site``.

The pages of the repository, and those that are made of cards, docstrings, results and executed tutorials, are written
to a folder of their own, from which MkDocs builds the site. Nothing is fetched, and no page of the site loads anything
from elsewhere.
"""

import argparse
import logging
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cards
import gallery
import pages
import recorded
import reference
import tutorials
import yaml

SETTINGS = Path(__file__).parent / "mkdocs.yml"


def stage(out: Path, *, run: bool = True) -> list[str]:
    """Write all pages below ``out``.

    Args:
        out: Folder of the site's pages.
        run: Whether to run tutorials and draw pictures of datasets; without it pages lack what these show.

    Returns:
        Files of those that are not in the repository, in the order of the site.
    """
    pages.stage(out)
    for page in ("methods.md", "tasks.md"):
        (out / page).write_text(cards.linked((out / page).read_text()))
    if run:
        gallery.draw(out)
    made = tutorials.write(out, run=run) | cards.tasks() | cards.methods() | reference.pages()
    made |= {"recorded.md": recorded.page(), "commands.md": reference.commands()}
    for file, text in made.items():
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (out / file).write_text(text)
    shutil.copytree(Path(__file__).parent / "assets", out / "assets")
    return list(made)


MENUS = {"methods/*": cards.by_family}
"""What a ``*`` of the navigation stands for where that is more than a list of pages."""


def filled(nav: list[Any], made: list[str]) -> list[Any]:
    """The navigation with ``folder/*`` replaced by the made pages whose names begin so."""
    full: list[Any] = []
    for entry in nav:
        title, place = next(iter(entry.items())) if isinstance(entry, dict) else ("", entry)
        if isinstance(place, list):
            full.append({title: filled(place, made)})
        elif place in MENUS:
            full += MENUS[place]()
        elif place.endswith("*"):
            found = [file for file in made if file.startswith(place[:-1])]
            full += [{title: found}] if title else found
        else:
            full.append(entry)
    return full


def build(out: Path, *, run: bool = True, url: str = "") -> None:
    """Write the site to ``out``, which is emptied first.

    Args:
        out: Its folder.
        run: As of ``stage``.
        url: Where the site will be published, for its map; it works anywhere.

    Raises:
        mkdocs.exceptions.Abort: a link leads nowhere, a page is in no menu, or anything else warns.
    """
    from mkdocs.commands.build import build as render
    from mkdocs.config import load_config

    nav = yaml.load(SETTINGS.read_text(), Loader=_Nav)["nav"]
    with TemporaryDirectory() as staged:
        made = stage(Path(staged), run=run)
        places = {"docs_dir": staged, "site_dir": str(out), "site_url": url, "nav": filled(nav, made)}
        config = load_config(str(SETTINGS), strict=True, **places)
        config.plugins.on_startup(command="build", dirty=False)
        try:
            render(config)
        finally:
            config.plugins.on_shutdown()


class _Nav(yaml.SafeLoader):
    """Reads the settings, and of Python objects in them only that they are there."""


_Nav.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: None)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=pages.ROOT / "site", help="folder of the site")
    parser.add_argument("--url", default="", help="where it will be published")
    parser.add_argument("--quick", action="store_true", help="run no tutorial and draw no dataset")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    build(arguments.out.resolve(), run=not arguments.quick, url=arguments.url)
    print(arguments.out / "index.html")


if __name__ == "__main__":
    main()
