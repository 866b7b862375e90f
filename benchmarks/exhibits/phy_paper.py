"""The multi-task PHY LLM's Tables I and II, from ``phy_llm.csv``."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

__all__ = ["number"]


@cache
def _numbers() -> dict[tuple[str, str, str], float]:
    text = Path(__file__).with_name("phy_llm.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {(row["table"], row["variant"], row["task"]): float(row["value"]) for row in rows}


def number(table: str, variant: str, task: str) -> float | None:
    """One published number, or ``None`` where the paper has none.

    Args:
        table: ``I`` or ``II``.
        variant: The paper's row.
        task: ``CP`` in dB, ``DET``, ``PRE-SR`` in bit/s/Hz, or ``all`` for the parameters in millions.
    """
    return _numbers().get((table, variant, task))
