"""The script that sets results folders side by side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
from realistic_results import synthesise

from channelbench.leaderboard import report

SCRIPT = Path(__file__).parents[2] / "docs" / "compare_scores.py"


def test_rows_are_the_leaderboards(tmp_path: Path) -> None:
    """Contestants by the first folder's score, references after them, and a dash where the second has none."""
    folders = [synthesise(tmp_path / name) for name in ("here", "there")]
    for folder in folders:
        report(folder)
    there = pd.read_csv(folders[1] / "leaderboard.csv")
    there[there["method"] != "wiener"].to_csv(folders[1] / "leaderboard.csv", index=False)
    command = [sys.executable, str(SCRIPT), "--task", "cp", *map(str, folders)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == "| | here | there |"
    rows = {cells[1].strip(): [cell.strip() for cell in cells[2:4]] for line in lines[2:] if (cells := line.split("|"))}
    assert list(rows)[:4] == ["Wiener", "CNN", "LSTM", "BI"]
    assert set(list(rows)[4:]) == {"Zero", "Training mean", "Hold last slot", "Ceiling", "LMMSE, true covariance"}
    assert rows["Wiener"][1] == "–"
    table = pd.read_csv(folders[0] / "leaderboard.csv")
    cnn = table[(table["method"] == "cnn") & (table["task"] == "cp") & (table["conditions"] == "default")]
    first = cnn[cnn["metric"] == "nmse"].iloc[0]
    assert rows["CNN"][0] == f"{first['value']:.3g} [{first['low']:.3g}, {first['high']:.3g}]"
