"""What `report` says on the terminal of cells that are not what they say, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from results_by_hand import put, put_run

Shell = Callable[..., tuple[int, str, str]]


def test_report_ends_with_the_status_of_its_cells(shell: Shell, tmp_path: Path) -> None:
    folder = Path("results")
    folder.mkdir()
    put_run(folder, ["net"])
    put(folder, "net", "ce", 0.25)
    assert shell("report")[0] == 0
    npz = folder / "cells" / "net__ce__default__seed0.npz"
    npz.write_bytes(npz.read_bytes()[:50])
    code, out, err = shell("report")
    assert code == 1
    assert out.splitlines() == ["results/leaderboard.csv", "results/leaderboard.html"]
    (line,) = err.splitlines()
    assert line.startswith("left out: cells/net__ce__default__seed0.json: terms: expected a readable")
    for path in (folder / "cells").glob("*.npz"):
        path.write_bytes(b"")
    for name in ("leaderboard.csv", "leaderboard.html"):
        (folder / name).unlink()
    code, out, err = shell("report")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 6, "five cells and what follows"
    assert err.splitlines()[-1].startswith("error: results: expected a folder with a cell that is what it says")
    assert not list(folder.glob("leaderboard*"))


def test_report_names_cells_of_further_stages(shell: Shell, tmp_path: Path) -> None:
    for folder in (Path("results"), Path("results/far/zero-shot")):
        folder.mkdir(parents=True)
        put_run(folder, ["net"])
        put(folder, "net", "ce", 0.25)
    (Path("results/far/zero-shot/cells") / "net__ce__default__seed0.json").write_text("{")
    code, _, err = shell("report")
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("left out: far/zero-shot/cells/net__ce__default__seed0.json: file: expected a cell")
    assert "Left out: far/zero-shot/cells/net" in Path("results/leaderboard.html").read_text().replace("left", "Left")
