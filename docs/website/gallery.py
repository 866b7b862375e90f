"""Pictures of small datasets for the page of datasets, by ``channelbench inspect``'s own drawing."""

import re
import tomllib
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

from pages import DOCS

SAMPLES = {"sizes.train": 200, "sizes.val": 40, "sizes.test": 60}
MARK = re.compile(r"<!-- picture: (\w+) -->")


def draw(out: Path) -> None:
    """Write the pictures that the staged page ``gallery.md`` has places for below ``out/gallery``, and put them in."""
    from channelbench.store.inspect import draw as sheet

    page = out / "gallery.md"
    (out / "gallery").mkdir()
    with TemporaryDirectory() as folder, chdir(folder):
        for name in MARK.findall(page.read_text()):
            sheet(_imported() if name == "imported" else _drawn(name), out / "gallery" / f"{name}.png")
    page.write_text(MARK.sub(_shown, page.read_text()))


def _drawn(scenario: str) -> Path | str:
    import channelbench as cb

    return cb.generate(cb.make_spec(scenario, assignments=SAMPLES), f"{scenario}.zarr", remember=False)


def _imported() -> str:
    """The example of the page on imports."""
    from channelbench.generators.imported.importing import import_dataset

    page = (DOCS / "importing.md").read_text()
    (code,) = re.findall(r"^```python\n(# measured\.py\n.*?)^```", page, re.M | re.S)
    (settings,) = re.findall(r"^```toml\n(.*?)^```", page, re.M | re.S)
    exec(compile(code, "importing.md", "exec"), {})
    import_dataset("measured.npy", "measured.zarr", assignments=tomllib.loads(settings), remember=False)
    return "measured.zarr"


def _shown(mark: re.Match[str]) -> str:
    name = mark[1]
    words = f"The sheet that inspect draws of a small dataset: {name}"
    return f"[![{words}](gallery/{name}.png){{ .sheet }}](gallery/{name}.png)"
