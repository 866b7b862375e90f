"""Results side by side: what every method scores on each of several datasets, with its interval.

``python docs/compare_scores.py --task cp stochastic munich rural`` reads the leaderboards of these results folders.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from channelbench.families import family_of


def primary(folder: Path, task: str) -> pd.DataFrame:
    """The primary scores of a task under its default condition, a row per method: its first seed's."""
    table = pd.read_csv(folder / "leaderboard.csv", comment="#")
    wanted = (table["task"] == task) & (table["conditions"] == "default") & (table["primary"].astype(str) == "True")
    return table[wanted & (table["status"] == "ok")].drop_duplicates("method").set_index("method")


def written(row: pd.Series) -> str:
    """Value and interval in three digits, with the unit."""
    unit = "" if pd.isna(row["unit"]) or not row["unit"] else f" {row['unit']}"
    return f"{row['value']:.3g}{unit} [{row['low']:.3g}, {row['high']:.3g}]"


def table(folders: list[Path], task: str) -> str:
    """A Markdown table, the best of the first folder first, references after all others."""
    found = [primary(folder, task) for folder in folders]
    better = -1 if str(found[0]["higher_is_better"].iloc[0]) == "True" else 1
    contestant = found[0]["family"].map(lambda family: family_of(family).ranked)
    first = found[0].assign(last=~contestant, by=better * found[0]["value"])
    lines = [f"| | {' | '.join(folder.name for folder in folders)} |", "|---" * (1 + len(folders)) + "|"]
    for method, row in first.sort_values(["last", "by"]).iterrows():
        cells = [written(each.loc[method]) if method in each.index else "–" for each in found]
        lines.append(f"| {row['title']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--task", required=True)
    arguments = parser.parse_args()
    print(table(arguments.folders, arguments.task))


if __name__ == "__main__":
    main()
