"""Does pretraining help? Every LLM row against its controls, paired over the same test drops."""

from __future__ import annotations

import math
from dataclasses import dataclass

from channelbench.benchmarks.exhibits.cells import csv_text
from channelbench.benchmarks.exhibits.paper import TASKS
from channelbench.benchmarks.exhibits.rows import CONTROLS, LLM_METHODS
from channelbench.card import Card
from channelbench.exhibit import Exhibit
from channelbench.families import LLM
from channelbench.leaderboard import labels
from channelbench.leaderboard.board import Column
from channelbench.leaderboard.estimate import Estimate, difference_interval
from channelbench.leaderboard.numbers import decimals, fixed, interval
from channelbench.leaderboard.sections import Section, SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.views import Run, View

__all__ = ["Comparison", "Pretraining", "compare"]

_TITLE = "Does pretraining help?"
_TEXT = (
    "Score of the control minus that of the pretrained row on each task’s primary metric (the other way round for the "
    "accuracy), so that a positive number means that pretrained weights help; 95 % interval paired over test drops, "
    "with the spread between seeds from three seeds on. With fewer the word says how many: it then speaks of these "
    "trainings alone. Of twenty comparisons without any difference, one or so shows one by chance."
)
_TITLES = {"llm4cp": "LLM4CP", "llm4wm(s)": "LLM4WM(s)", "llm4wm": "LLM4WM"}
_AGAINST = {
    "random": "against a random frozen trunk",
    "none": "against no trunk",
    "scratch": "against a trained trunk of equal size",
}


@dataclass(frozen=True)
class Comparison:
    """What the primary metric gains by pretraining: positive helps, whichever way the metric points."""

    gain: Estimate
    word: str


def compare(view: View, method: str, control: str, task: str) -> Comparison | None:
    """``method`` against ``method+control`` on one task, or ``None`` where either has no complete score.

    The interval is that of the difference on the same resampled drops, with the spread of both seeds' means from three
    seeds on. A word about fewer seeds says how many: it speaks of these trainings, not of training.
    """
    column = next((c for c in view.table.columns if c.task == task), None)
    if column is None or not column.metric:
        return None
    ours = view.score(method, task, column.metric)
    other = view.score(f"{method}+{control}", task, column.metric)
    if ours is None or other is None:
        return None
    better, worse = (ours, other) if column.higher_is_better else (other, ours)
    low, high = difference_interval(better, worse)
    word = "helps" if low > 0 else "hurts" if high < 0 else "no difference shown"
    few = [n for name in (method, f"{method}+{control}") if (n := view.few_seeds(name, task))]
    if few:
        word += f" ({min(few)} seed{'s' if min(few) > 1 else ''})"
    return Comparison(Estimate(value=better.value - worse.value, low=low, high=high), word)


class Pretraining(Exhibit):
    """The table, where an LLM row or a control has a cell."""

    card = Card(
        name="pretraining",
        description="Does pretraining help? Every language model against its controls, paired over test drops.",
        reference="the protocol's own",
        family="exhibit",
    )

    def sections(self, run: Run) -> list[Section]:
        found = _section(run)
        return [] if found is None else [found]


def _section(run: Run) -> Section | None:
    rows = [(view, method) for view in run.views for method in LLM_METHODS if view.results(_names(method))]
    if not rows:
        return None
    if run.board.manifest.backbone.startswith("random:"):
        text = f"The run’s backbone, {run.board.manifest.backbone}, has random weights itself: nothing can be said."
        return Section(name="pretraining", title=_TITLE, text=text)
    compared = [(view, method) for view, method in rows if view.results(_names(method)[1:])]
    if not compared:
        text = f"{_TEXT} No control has been run in this folder yet: nothing can be said."
        return Section(name="pretraining", title=_TITLE, text=text)
    heads = {c.task: c for c in run.views[0].table.columns if c.metric}
    columns = tuple(
        SectionColumn(label=task.upper(), unit=f"gain in {_unit(heads.get(task))}", better="high") for task in TASKS
    )
    return Section(
        name="pretraining",
        title=_TITLE,
        text=_TEXT,
        columns=columns,
        groups=tuple(_group(view, method, len(run.views) > 1) for view, method in compared),
        csv=csv_text(
            [_record(view, method, control, t) for view, method in compared for control in CONTROLS for t in TASKS]
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


def _group(view: View, method: str, several: bool) -> SectionGroup:
    rows = []
    for control in CONTROLS:
        cells = tuple(_cell(view, method, control, task) for task in TASKS)
        rows.append(SectionRow(title=_AGAINST[control], cells=cells, family=LLM))
    return SectionGroup(title=_TITLES[method], note=view.title if several else "", rows=tuple(rows))


def _cell(view: View, method: str, control: str, task: str) -> SectionCell:
    found = compare(view, method, control, task)
    if found is None:
        lacking = [name for name in (method, f"{method}+{control}") if view.missing(name, task) != "ok"]
        return SectionCell(note="; ".join(f"{name}: {view.missing(name, task)}" for name in lacking))
    digits = max(decimals([found.gain]), 2)
    value = fixed(found.gain.value, digits)
    sign = "+" if found.gain.value > 0 and float(value.replace("−", "-")) != 0 else ""
    return SectionCell(
        text=f"{sign}{value}",
        interval=interval(found.gain, digits),
        remark=found.word,
        value=found.gain.value,
    )


def _record(view: View, method: str, control: str, task: str) -> dict[str, object]:
    found = compare(view, method, control, task)
    gain = found.gain if found else Estimate(value=math.nan, low=math.nan, high=math.nan)
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
        "word": found.word if found else "",
    }
