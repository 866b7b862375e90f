"""The documentation site: it builds without a warning, has what it should have, and loads nothing from elsewhere."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

import channelbench
from channelbench import registry

ROOT = Path(__file__).parents[2]
LOADING = {"audio", "embed", "feimage", "frame", "iframe", "image", "img", "input", "object", "script", "source"}
LOADING |= {"track", "use", "video"}
"""Elements of HTML and SVG that fetch what ``src``, ``href``, ``data``, ``poster`` or ``srcset`` names."""
UNLOADED = {"canonical", "next", "prev", "author", "license"}
"""What a ``link`` may be without anything being fetched for it."""
SLEEPING = {
    "api.github.com": 'data-md-component="source"',
    "unpkg.com/mermaid": 'class="mermaid"',
    "unpkg.com/resize-observer-polyfill": "",
    "bit.ly/2s3ChXG": "",
}
"""Addresses in the theme's scripts that are asked only where a page has the mark beside them; those without one are for
browsers of before 2020, or in the words of an error."""


def built(out: Path, *options: str) -> Path:
    command = [sys.executable, str(ROOT / "docs" / "website" / "build.py"), "--out", str(out), *options]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return out


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("docs") / "site", "--quick")


class Loaded(HTMLParser):
    """Collects what a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        self.found += in_css(values.get("style", ""))
        if tag == "link" and not UNLOADED & set(values.get("rel", "").split()):
            self.found.append(values.get("href", ""))
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self.found.append(values["content"].partition("=")[2])
        if tag in LOADING:
            names = ("src", "href", "xlink:href", "data", "poster")
            self.found += [values[name] for name in names if values.get(name)]
            self.found += [part.split()[0] for part in values.get("srcset", "").split(",") if part.strip()]

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.found += in_css(data)


def in_css(text: str) -> list[str]:
    """Addresses of ``url(…)`` and ``@import``."""
    found = re.findall(r"""url\(\s*['"]?(.*?)['"]?\s*\)|@import\s+['"](.*?)['"]""", text, re.S)
    return [first or second for first, second in found]


def loads(path: Path) -> list[str]:
    """What a page or a style sheet makes a browser fetch, but for what it holds itself."""
    if path.suffix == ".css":
        found = in_css(path.read_text())
    else:
        page = Loaded()
        page.feed(path.read_text())
        found = page.found
    return [address for address in found if not address.startswith(("data:", "#"))]


def foreign(folder: Path) -> Iterator[str]:
    """What pages and style sheets load that is not a file of the site."""
    for path in [*folder.rglob("*.html"), *folder.rglob("*.css"), *folder.rglob("*.svg")]:
        for address in loads(path):
            parts = urlsplit(address)
            # The page of lost addresses is served from anywhere, so its own are from the root.
            base = folder if path.name == "404.html" else path.parent
            target = base / unquote(parts.path).lstrip("/" if path.name == "404.html" else "")
            if parts.scheme or parts.netloc or not target.is_file():
                yield f"{path.relative_to(folder)}: {address}"


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    assert len(list(site.rglob("*.html"))) > 100
    assert list(foreign(site)) == []


def test_scripts_ask_nobody(site: Path) -> None:
    pages = "".join(path.read_text() for path in site.rglob("*.html"))
    scripts = [path for path in site.rglob("*.js") if "lunr" not in path.parts]
    assert len(scripts) >= 2
    # Comments with a licence's address are no requests.
    asked = re.findall(
        r"https?://([\w./@-]+)", "".join(re.sub(r"/\*.*?\*/", "", p.read_text(), flags=re.S) for p in scripts)
    )
    for address in asked:
        marks = [mark for known, mark in SLEEPING.items() if address.replace("@11", "").startswith(known)]
        assert marks, address
        assert not marks[0] or marks[0] not in pages


def test_the_checker_sees_what_is_foreign(tmp_path: Path) -> None:
    shown = {
        "a.html": '<link rel="stylesheet" href="https://x.org/a.css"><a href="https://x.org">fine</a>',
        "b.html": '<img src="here.png" srcset="//x.org/b.png 2x"><p style="background:url(https://x.org/c.png)">',
        "c.html": '<style>@import "https://x.org/d.css";</style><script src="lost.js"></script>',
        "d.css": "@font-face { src: url('https://x.org/e.woff2') }",
    }
    for name, text in {**shown, "here.png": ""}.items():
        (tmp_path / name).write_text(text)
    assert sorted(foreign(tmp_path)) == [
        "a.html: https://x.org/a.css",
        "b.html: //x.org/b.png",
        "b.html: https://x.org/c.png",
        "c.html: https://x.org/d.css",
        "c.html: lost.js",
        "d.css: https://x.org/e.woff2",
    ]


def test_everything_that_is_public_has_its_place(site: Path) -> None:
    python = (site / "api" / "index.html").read_text()
    for name in channelbench.__all__:
        assert name.startswith("__") or re.search(rf'<h2 id="[\w.]+\.{name}"', python), name
    menu = (site / "methods.html").read_text()
    for name in registry.names("methods"):
        page = f"methods/{name.replace('(', '-').replace(')', '')}.html"
        assert f'href="{page}"' in menu, name
        assert registry.find("methods", name).card.label in (site / page).read_text().replace("&amp;", "&")
    for name in registry.names("tasks"):
        text = (site / "tasks" / f"{name}.html").read_text()
        for condition in registry.find("tasks", name).conditions.model_fields:
            assert f"<code>{condition}</code>" in text, (name, condition)
    commands = (site / "commands.html").read_text()
    assert all(f'id="{command}"' in commands for command in ("generate", "run", "report", "import", "reproduce"))
    search = json.loads((site / "search" / "search_index.json").read_text())
    assert any("NMSE" in entry["text"] for entry in search["docs"])


def test_pages_are_as_readers_of_github_see_them(site: Path) -> None:
    """Lists, blocks in lists and anchors, which Python-Markdown reads otherwise unless told."""
    reproduction = (site / "reproduction.html").read_text()
    assert not re.search(r"<p>[^<]*```", reproduction)
    assert 'href="recorded.html#uma-los-standard"' in reproduction
    assert 'href="results/uma-los-standard/leaderboard.html"' in reproduction
    assert "<li>Peak memory of a worker" in re.sub(r"<li>\s*<p>", "<li>", (site / "speed.html").read_text())
    for path in site.rglob("*.html"):
        if "results" not in path.parts:
            assert "](" not in re.sub(r"<(code|pre)\b.*?</\1>", "", path.read_text(), flags=re.S), path


def test_quick_start_is_that_of_the_readme() -> None:
    """Whose code other tests run."""
    readme, start = (re.findall(r"^```python\n.*?^```", path.read_text(), re.M | re.S) for path in STARTS)
    assert readme == start


STARTS = (ROOT / "README.md", ROOT / "docs" / "start.md")


def test_workflow_builds_by_the_command_there_is_and_names_no_address() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "docs.yml").read_text())
    steps = workflow["jobs"]["build"]["steps"]
    (command,) = [step["run"] for step in steps if "build.py" in step.get("run", "")]
    assert (ROOT / command.split()[1]).is_file()
    assert next(step["with"]["path"] for step in steps if "upload" in step.get("uses", "")) == "site"
    assert set(re.findall(r"https?://[^\s/]+", json.dumps(workflow))) == {"https://download.pytorch.org"}


@pytest.mark.slow
def test_tutorials_run_and_show_what_came_out(tmp_path: Path) -> None:
    site = built(tmp_path / "site")
    for path in sorted((ROOT / "docs" / "tutorials").glob("*.py")):
        notebook = json.loads((site / "tutorials" / f"{path.stem}.ipynb").read_text())
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert all(cell["execution_count"] for cell in code)
        assert len([cell for cell in code if cell["outputs"]]) >= 3
        text = (site / "tutorials" / f"{path.stem}.html").read_text()
        assert re.search(rf'<img [^>]*src="{path.stem}-\d+\.png"', text)
        assert "Warning" not in text
    first, second, third = ((site / "tutorials" / f"{name}.html").read_text() for name in TUTORIALS)
    assert "yes is every byte the one that was written?" in first
    assert not re.search(r"^(<[^>]*>)*NO ", first, re.M)
    assert "0 failed" in second
    assert "A is better, 1 and 3 seeds" in third
    assert len(list((site / "gallery").glob("*.png"))) == 4
    assert list(foreign(site)) == []


TUTORIALS = ("1-dataset", "2-own-network", "3-leaderboard")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium: apt-get install chromium")
def test_pages_fit_a_phone_and_a_desk_and_ask_nobody(site: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install 'channelbench[test]'")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    names = ("index", "start", "concepts", "faq", "protocol", "reproduction", "methods", "methods/llm4wm", "tasks/ce")
    wrong, asked = [], []
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        for width in (390, 1400):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.on("request", lambda request: asked.append(request.url))
            for name in (*names, "api/index", "api/contracts", "recorded", "gallery", "commands"):
                page.goto((site / f"{name}.html").as_uri())
                if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                    wrong.append((width, name))
        browser.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
