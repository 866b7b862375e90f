"""Does pretraining help the multi-task PHY LLM? Against its controls, under every condition of its own tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from channelbench.benchmarks.exhibits.pretraining import Pretraining
from channelbench.card import Card
from channelbench.leaderboard import labels
from channelbench.leaderboard.views import Run, View

__all__ = ["PhyPretraining"]


class PhyPretraining(Pretraining):
    """As for LLM4WM: one correction over all comparisons of the section."""

    card = Card(
        name="phy-pretraining",
        description="Does pretraining help the multi-task PHY LLM? Against its controls, paired over groups.",
        reference="the protocol's own",
        family="exhibit",
    )
    titles: ClassVar[Mapping[str, str]] = {"phy_llm(s)": "PHY LLM, single task", "phy_llm": "Multi-task PHY LLM"}
    tasks = ("pre_sr", "pre_mm", "det", "cp")

    def views(self, run: Run) -> tuple[View, ...]:
        return run.all_views

    def said(self, view: View) -> str:
        return labels.condition_title(view.condition)
