"""Does pretraining help? Every LLM row against its controls, paired over the same test drops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from channelbench.benchmarks.exhibits.cells import csv_text
from channelbench.benchmarks.exhibits.paper import TASKS
from channelbench.benchmarks.exhibits.rows import CONTROLS
from channelbench.card import Card
from channelbench.exhibit import Exhibit
from channelbench.families import LLM
from channelbench.leaderboard import labels
from channelbench.leaderboard.board import Column
from channelbench.leaderboard.cards import UNKNOWN_SPREAD
from channelbench.leaderboard.contrast import Contrast, contrast, holm
from channelbench.leaderboard.estimate import LEVEL, Estimate, difference
from channelbench.leaderboard.numbers import decimals, fixed, interval
from channelbench.leaderboard.sections import Section, SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.views import Run, View

__all__ = ["Comparison", "Pretraining", "Verdict", "compare", "judge"]

_TITLE = "Does pretraining help?"
_TEXT = (
    "Score of the control minus that of the pretrained row on each task’s primary metric (the other way round for the "
    "accuracy), so that a positive number means that pretrained weights help. The 95 % interval is each comparison’s "
    "own, paired over test drops and with the spread between seeds in it. The words are corrected over all comparisons "
    "of this section (Holm): without any difference, one of them or more would show one in 5 % of such sections. "
    "Beside each “no difference shown” stands what would have been shown in four of five repeats, had it been there."
)
_TITLES = {"llm4cp": "LLM4CP", "llm4wm(s)": "LLM4WM(s)", "llm4wm": "LLM4WM"}
_AGAINST = {
    "random": "against a random frozen trunk",
    "none": "against no trunk",
    "scratch": "against a trained trunk of equal size",
}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the primary metric gains by pretraining: positive helps, whichever way the metric points.

    Attributes:
        gain: The gain, with its own interval.
        tested: What is tested; ``None`` where the spread between seeds is not known, or terms per drop are missing.
        remark: What there is to say of few seeds, if anything.
    """

    gain: Estimate
    tested: Contrast | None
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a comparison shows among all that are made.

    Attributes:
        comparison: The comparison.
        word: What it shows, in words.
        p_value: Corrected over all tests; NaN where there is none.
        detectable: The gain or loss that would have been shown in four of five repeats; NaN where one is shown.
    """

    comparison: Comparison
    word: str
    p_value: float = math.nan
    detectable: float = math.nan


Key = tuple[str, str, str, str]
"""Condition, method, control, task."""


def compare(view: View, method: str, control: str, task: str) -> Comparison | None:
    """``method`` against ``method+control`` on one task, or ``None`` where either has no complete score.

    The interval is that of the difference on the same resampled drops, with the spread of both seeds' means.
    """
    column = next((c for c in view.table.columns if c.task == task), None)
    if column is None or not column.metric:
        return None
    ours = view.score(method, task, column.metric)
    other = view.score(f"{method}+{control}", task, column.metric)
    if ours is None or other is None:
        return None
    better, worse = (ours, other) if column.higher_is_better else (other, ours)
    few = [n for name in (method, f"{method}+{control}") if (n := view.few_seeds(name, task))]
    return Comparison(
        gain=difference(better, worse),
        tested=contrast(better, worse),
        remark=f"{min(few)} seed{'s' if min(few) > 1 else ''}" if few else "",
    )


def judge(comparisons: Mapping[Key, Comparison]) -> dict[Key, Verdict]:
    """What each of several comparisons shows, corrected over those that are tested."""
    tests = {key: c.tested for key, c in comparisons.items() if c.tested is not None}
    corrected = dict(zip(tests, holm([test.p_value for test in tests.values()]), strict=True))
    level = 1 - LEVEL
    # The next difference to be shown would have had to pass this.
    hurdle = level / max(sum(p > level for p in corrected.values()), 1)
    return {key: _verdict(c, corrected.get(key), level, hurdle) for key, c in comparisons.items()}


def _verdict(comparison: Comparison, p_value: float | None, level: float, hurdle: float) -> Verdict:
    remark = f" ({comparison.remark})" if comparison.remark else ""
    if comparison.tested is None or p_value is None:
        return Verdict(comparison=comparison, word=f"not tested: {_untested(comparison)}{remark}")
    if p_value <= level:
        word = "helps" if comparison.gain.value > 0 else "hurts"
        return Verdict(comparison=comparison, word=word + remark, p_value=p_value)
    return Verdict(
        comparison=comparison,
        word=f"no difference shown{remark}",
        p_value=p_value,
        detectable=comparison.tested.detectable(hurdle),
    )


def _untested(comparison: Comparison) -> str:
    return UNKNOWN_SPREAD if comparison.remark else "no terms per drop"


class Pretraining(Exhibit):
    """The table, where an LLM row or a control has a cell."""

    card = Card(
        name="pretraining",
        description="Does pretraining help? Every language model against its controls, paired over test drops.",
        reference="the protocol's own",
        family="exhibit",
    )

    titles: ClassVar[Mapping[str, str]] = _TITLES
    """The methods that it asks of, and what they are called."""
    tasks: ClassVar[tuple[str, ...]] = TASKS

    def views(self, run: Run) -> tuple[View, ...]:
        """The conditions that it asks under."""
        return run.views

    def said(self, view: View) -> str:
        """One of these, in words."""
        return view.title

    def sections(self, run: Run) -> list[Section]:
        found = _section(run, self)
        return [] if found is None else [found]


def _section(run: Run, asked: Pretraining) -> Section | None:
    views, tasks, name = asked.views(run), asked.tasks, asked.card.name
    rows = [(view, method) for view in views for method in asked.titles if view.results(_names(method))]
    if not rows:
        return None
    if run.board.manifest.backbone.startswith("random:"):
        text = f"The run’s backbone, {run.board.manifest.backbone}, has random weights itself: nothing can be said."
        return Section(name=name, title=_TITLE, text=text)
    compared = [(view, method) for view, method in rows if view.results(_names(method)[1:])]
    if not compared:
        text = f"{_TEXT} No control has been run in this folder yet: nothing can be said."
        return Section(name=name, title=_TITLE, text=text)
    verdicts = judge(
        {
            (view.condition, method, control, task): found
            for view, method in compared
            for control in CONTROLS
            for task in tasks
            if (found := compare(view, method, control, task)) is not None
        }
    )
    heads = {c.task: c for c in views[0].table.columns if c.metric}
    columns = tuple(
        SectionColumn(label=labels.task_code(task), unit=f"gain in {_unit(heads.get(task))}", better="high")
        for task in tasks
    )
    return Section(
        name=name,
        title=_TITLE,
        text=_TEXT,
        columns=columns,
        groups=tuple(_group(view, method, verdicts, len(views) > 1, asked) for view, method in compared),
        csv=csv_text(
            [
                _record(view, method, control, task, verdicts.get((view.condition, method, control, task)))
                for view, method in compared
                for control in CONTROLS
                for task in tasks
            ]
        ),
        first="Control",
    )


def _names(method: str) -> list[str]:
    return [method, *(f"{method}+{control}" for control in CONTROLS)]


def _unit(column: Column | None) -> str:
    if column is None:
        return "the primary metric"
    parts = (labels.metric_label(column.metric), labels.unit(column.unit))
    return ", ".join(part for part in parts if part)


def _group(view: View, method: str, verdicts: Mapping[Key, Verdict], several: bool, asked: Pretraining) -> SectionGroup:
    rows = []
    for control in CONTROLS:
        cells = tuple(
            _cell(view, method, control, task, verdicts.get((view.condition, method, control, task)))
            for task in asked.tasks
        )
        rows.append(SectionRow(title=_AGAINST[control], cells=cells, family=LLM))
    return SectionGroup(title=asked.titles[method], note=asked.said(view) if several else "", rows=tuple(rows))


def _cell(view: View, method: str, control: str, task: str, verdict: Verdict | None) -> SectionCell:
    if verdict is None:
        lacking = [name for name in (method, f"{method}+{control}") if view.missing(name, task) != "ok"]
        return SectionCell(note="; ".join(f"{name}: {view.missing(name, task)}" for name in lacking))
    gain = verdict.comparison.gain
    digits = max(decimals([gain]), 2)
    value = fixed(gain.value, digits)
    sign = "+" if gain.value > 0 and float(value.replace("−", "-")) != 0 else ""
    detectable = "" if math.isnan(verdict.detectable) else f"; detectable: ±{fixed(verdict.detectable, digits)}"
    return SectionCell(
        text=f"{sign}{value}",
        interval=interval(gain, digits),
        remark=verdict.word + detectable,
        value=gain.value,
    )


def _record(view: View, method: str, control: str, task: str, verdict: Verdict | None) -> dict[str, object]:
    gain = verdict.comparison.gain if verdict else Estimate(value=math.nan, low=math.nan, high=math.nan)
    column = next((c for c in view.table.columns if c.task == task), None)
    return {
        "conditions": view.condition,
        "method": method,
        "control": f"{method}+{control}",
        "task": task,
        "metric": column.metric if column else "",
        "gain": gain.value,
        "low": gain.low,
        "high": gain.high,
        "word": verdict.word if verdict else "",
        "p_holm": verdict.p_value if verdict else math.nan,
        "detectable": verdict.detectable if verdict else math.nan,
    }
