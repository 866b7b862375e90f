"""Scores that lie in ``docs/results``: tables for the pages of methods and tasks, and a page of the folders."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from pages import DOCS

from channelbench.families import FAMILIES

FAMILIES_SHOWN = tuple(family.name for family in FAMILIES.values() if family.declared and not family.anchor)


@dataclass(frozen=True)
class Folder:
    """A results folder of the repository.

    Attributes:
        name: Of the folder.
        run: Its ``run.json``.
        scores: The primary scores of its leaderboard, a row for each method, task and condition, or none where the
            folder has no leaderboard.
        files: What lies in it beside its cells.
    """

    name: str
    run: dict[str, Any]
    scores: pd.DataFrame
    files: tuple[str, ...]

    @property
    def title(self) -> str:
        """What it is of, in words."""
        spec = self.run["dataset"]["spec"]
        system = "" if spec["system"] == "dualband" else f", {spec['system']}"
        where = f"{spec['scenario'].upper()} {spec['state'].upper()}{system}"
        return f"{self.run['suite']} on {where}, {self.run['preset']}"


@cache
def folders() -> tuple[Folder, ...]:
    """All of them, by name."""
    return tuple(_read(path) for path in sorted((DOCS / "results").iterdir()) if path.is_dir())


def _read(folder: Path) -> Folder:
    files = tuple(sorted(path.name for path in folder.iterdir() if path.is_file()))
    scores = pd.DataFrame(columns=["method", "title", "family", "task", "conditions", "skill"])
    if "leaderboard.csv" in files:
        table = pd.read_csv(folder / "leaderboard.csv", low_memory=False)
        good = table[table["primary"] & (table["status"] == "ok")]
        scores = good.groupby(["method", "task", "conditions"], sort=False).first().reset_index()
    return Folder(folder.name, json.loads((folder / "run.json").read_text()), scores, files)


def file_of(method: str) -> str:
    """The page of a method within its folder: options have none of their own, and no parentheses, which end links."""
    return method.partition("+")[0].replace("(", "-").replace(")", "") + ".md"


def of_method(name: str, up: str) -> str:
    """A table of a method's recorded scores with nothing varied; empty where there are none. ``up`` leads to the
    site's root."""
    rows = ""
    for folder in folders():
        mine = folder.scores[(folder.scores["method"] == name) & (folder.scores["conditions"] == "default")]
        for row in mine.itertuples():
            link = f"[`{folder.name}`]({up}recorded.md#{folder.name})"
            rows += f"| {link} | [{row.task}]({up}tasks/{row.task}.md) | {_cells(row)} |\n"
    if not rows:
        return ""
    return f"| run | task | score | skill | place |\n|---|---|---|---|---|\n{rows}"


def of_task(name: str, up: str) -> str:
    """Tables of the recorded scores of a task with nothing varied, a folder each; empty where there are none."""
    text = ""
    for folder in folders():
        scores = folder.scores[(folder.scores["task"] == name) & (folder.scores["conditions"] == "default")]
        scores = scores[scores["family"].isin(FAMILIES_SHOWN)].sort_values("skill", ascending=False)
        if scores.empty:
            continue
        text += f"\n### {folder.name}\n\n[{folder.title}]({up}recorded.md#{folder.name})\n\n"
        text += "| method | score | skill | place |\n|---|---|---|---|\n"
        for row in scores.itertuples():
            text += f"| [{row.title}]({up}methods/{file_of(row.method)}) | {_cells(row)} |\n"
    return text


def page() -> str:
    """The folders, each under a heading of its name."""
    text = "# Recorded results\n\n"
    text += "Results folders that the repository has under `docs/results`, with all their cells: what "
    text += "[reproduction](reproduction.md) and [several users](multiuser.md) quote. "
    text += "[What a folder holds](results.md) says how to read and to check one; `channelbench report FOLDER` makes "
    text += "page and table again of nothing but the cells.\n"
    for folder in folders():
        spec, methods = folder.run["dataset"]["spec"], folder.scores["method"].nunique()
        sizes = "/".join(str(spec["sizes"][split]) for split in ("train", "val", "test"))
        text += f"\n## {folder.name}\n\nSuite `{folder.run['suite']}`, preset `{folder.run['preset']}`, "
        text += f"{spec['scenario'].upper()} {spec['state'].upper()} `{spec['system']}`, {sizes} samples to train, "
        text += f"validate and test, dataset `{folder.run['dataset']['digest'][:12]}…`."
        text += f" {methods} rows on {folder.scores['task'].nunique()} tasks.\n" if methods else "\n"
        if "leaderboard.html" in folder.files:
            text += f"\n[Open the leaderboard](results/{folder.name}/leaderboard.html){{ .md-button }}\n"
        others = [name for name in folder.files if name != "leaderboard.html"]
        text += "\nFiles: " + ", ".join(f"[{name}](results/{folder.name}/{name})" for name in others) + "\n"
    return text


def _cells(row: Any) -> str:
    """Score, skill and places of a row of a leaderboard."""
    return " | ".join((_score(row), _share(row), _place(row)))


def _score(row: Any) -> str:
    unit = "" if pd.isna(row.unit) else f" {row.unit}"
    value = f"{row.mean:.4g}"
    low, high = (_rounded(bound) for bound in (row.mean_low, row.mean_high))
    return f"{value} [{low}, {high}]{unit} `{row.metric}`"


def _rounded(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _share(row: Any) -> str:
    return "–" if pd.isna(row.skill) else _rounded(row.skill)


def _place(row: Any) -> str:
    if pd.isna(row.rank_low):
        return "–"
    low, high = int(row.rank_low), int(row.rank_high)
    return f"{low}" if low == high else f"{low}–{high}"
