"""LLM4WM (arXiv:2501.12983): the columns of its tables, its names of methods, and its numbers from ``llm4wm.csv``."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["COLUMNS", "KINDS", "NAMES", "TASKS", "TERMS", "PaperColumn", "average", "loss", "number"]


@dataclass(frozen=True, kw_only=True)
class PaperColumn:
    """One column of the paper's tables: a metric of a task.

    Attributes:
        task: Our name of the task, which in capitals is the paper's.
        metric: Our name of the metric.
        label: What the head calls it.
        published: The paper's name of the metric; empty in a column of ours.
        higher: Whether more is better in the paper. Of our own scores the cells say that.
        term: Whether it is the task's term of Eq. 28, the average loss: the number itself where less is better, what is
            missing to 1 where more is.
        scaled: Our metric that this one is a multiple of, if it is one: what is gained is the same share of both.
    """

    task: str
    metric: str
    label: str
    published: str = ""
    higher: bool = False
    term: bool = False
    scaled: str = ""

    @property
    def loss_label(self) -> str:
        """What its term of Eq. 28 is called."""
        return f"1 − {self.label}" if self.higher else self.label


COLUMNS = (
    PaperColumn(task="ce", metric="nmse", label="NMSE", published="NMSE", term=True),
    PaperColumn(task="ce", metric="se", label="SE, bit/s/Hz", published="SE", higher=True),
    PaperColumn(task="cp", metric="nmse", label="NMSE", published="NMSE", term=True),
    PaperColumn(task="cp", metric="se", label="SE, bit/s/Hz", published="SE", higher=True),
    PaperColumn(task="pf", metric="nmse", label="NMSE", published="NMSE", term=True),
    PaperColumn(task="pf", metric="se", label="SE, bit/s/Hz", published="SE", higher=True),
    PaperColumn(task="bf", metric="top1_accuracy", label="accuracy", published="accuracy", higher=True, term=True),
    PaperColumn(task="bf", metric="within_one_beam", label="within one beam", higher=True),
    PaperColumn(task="bf", metric="beam_se", label="SE, bit/s/Hz", published="SE", higher=True),
    PaperColumn(task="bf", metric="beam_se_ratio", label="SE / best", higher=True),
    PaperColumn(task="de", metric="mae_of_span", label="MAE / span", published="MAE", term=True, scaled="mae_m"),
    PaperColumn(task="pe", metric="nmse_centred", label="NMSE (centred)", published="NMSE", term=True),
    PaperColumn(task="pe", metric="rmse_db", label="RMSE, dB"),
)
"""The columns of Table IV, in its order; the other tables have some of them."""

TERMS: Mapping[str, PaperColumn] = {column.task: column for column in COLUMNS if column.term}
"""The column of each task that Eq. 28 averages."""

TASKS = tuple(TERMS)

KINDS = (("ce", "cp", "pf"), ("de", "pe"))
"""Tasks of one kind: reconstruction of a channel, and sensing."""

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
    """A task's term of Eq. 28: the published error, or what is missing to 1 where more is better."""
    value = number(table, name, task, TERMS[task].published, test)
    return 1 - value if value is not None and TERMS[task].higher else value


def average(names: Sequence[str], table: str = "IV", test: str = "UMa 1.9 GHz") -> float | None:
    """The published mean of Eq. 28 of one method, or of several that share the tasks."""
    return number(table, "+".join(names), "all", "Avg", test)
