"""``~`` is the home folder wherever a path is named, also where no shell has seen it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from channelbench.errors import RequestError
from channelbench.paths import expanded
from channelbench.spec import read_toml
from channelbench.store import open_dataset
from channelbench.stream.reader import Reader

Shell = Callable[..., tuple[int, str, str]]
FEW = ["generate", "--scenario", "channelbench.testing.factories:FewRays", "--samples", "60"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_every_command_knows_it(shell: Shell, home: Path) -> None:
    (home / "spec.toml").write_text("[sub6]\nnum_subcarriers = 4\n")
    code, out, err = shell(*FEW, "--out=~/d.zarr", "--spec=~/spec.toml")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == str(home / "d.zarr")
    assert shell("verify", "~/d.zarr")[0] == 0
    assert shell("inspect", "~/d.zarr", "--picture=~/sheet.png")[0] == 0
    code, _, err = shell("run", "--data=~/d.zarr", "--out=~/results", "--tasks", "cp", "--methods", "hold")
    assert code == 0, err
    assert shell("report", "~/results", "--csv=~/table.csv", "--html=~/page.html")[0] == 0
    made = {path.name for path in home.iterdir() if not path.name.startswith(".")}
    assert made == {"spec.toml", "d.zarr", "sheet.png", "results", "table.csv", "page.html"}
    assert not Path("~").exists()


def test_python_knows_it_too(shell: Shell, home: Path) -> None:
    shell(*FEW, "--out=~/d.zarr")
    assert open_dataset("~/d.zarr").path == str(home / "d.zarr")
    assert open_dataset(Path("~/d.zarr")).digest == Reader("~/d.zarr", batch_size=8).digest
    assert expanded("a/~/b", field="x") == Path("a/~/b"), "only in front"
    with pytest.raises(RequestError, match=r"--spec: expected a path whose ~ is a home folder, got '~nobody-here/x'"):
        read_toml("~nobody-here/x")
    with pytest.raises(RequestError, match="data: expected a path whose ~"):
        open_dataset("~nobody-here/x", field="data")
