"""Published numbers of LLM4WM (arXiv:2501.12983), Tables IV to VII and the gains beside Fig. 5, from ``llm4wm.csv``."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

__all__ = ["LOSS_METRICS", "NAMES", "average", "loss", "number"]

NAMES: Mapping[str, str] = {
    "bi": "BI",
    "codebook": "Codebook",
    "fifs": "FIFS",
    "cnn": "CNN",
    "wit": "WiT",
    "lstm": "LSTM",
    "mlp": "MLP",
    "cross_stitch(s)": "Cross-stitch(s)",
    "cross_stitch": "Cross-stitch",
    "llm4cp": "LLM4CP",
    "llm4wm(s)": "LLM4WM(s)",
    "llm4wm": "LLM4WM",
}
"""What the paper calls the registry's methods."""

LOSS_METRICS: Mapping[str, str] = {
    "ce": "NMSE",
    "cp": "NMSE",
    "pf": "NMSE",
    "bf": "accuracy",
    "de": "MAE",
    "pe": "NMSE",
}
"""The paper's metric of each task."""


@cache
def _numbers() -> dict[tuple[str, str, str, str, str], float]:
    text = Path(__file__).with_name("llm4wm.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {(row["table"], row["test"], row["method"], row["task"], row["metric"]): float(row["value"]) for row in rows}


def number(table: str, name: str, task: str, metric: str, test: str = "UMa 1.9 GHz") -> float | None:
    """One published number, or ``None`` where the paper has none.

    Args:
        table: ``IV`` to ``VII``, or ``Fig. 5``.
        name: The paper's name of the method.
        task: The registry's or the paper's name of the task; ``all`` for what is no single task's.
        metric: The paper's metric.
        test: The scenario of the test split.
    """
    return _numbers().get((table, test, name, task if task == "all" else task.upper(), metric))


def loss(name: str, task: str, table: str = "IV", test: str = "UMa 1.9 GHz") -> float | None:
    """A task's term of Eq. 28: the published error, or 1 − accuracy."""
    value = number(table, name, task, LOSS_METRICS[task], test)
    return value if value is None or task != "bf" else 1 - value


def average(names: Sequence[str], table: str = "IV", test: str = "UMa 1.9 GHz") -> float | None:
    """The published mean of Eq. 28 of one method, or of several that share the tasks."""
    return number(table, "+".join(names), "all", "Avg", test)
