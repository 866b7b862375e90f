"""Tables I and II of the multi-task PHY LLM: one number for each task, averaged over SNRs as the paper does."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from channelbench.benchmarks.exhibits import phy_paper
from channelbench.benchmarks.exhibits.cells import amount, cell, csv_text, places, record
from channelbench.benchmarks.exhibits.charts import Mark, Panel, Strip, strips
from channelbench.benchmarks.exhibits.sweep import Setting, settings
from channelbench.card import Card
from channelbench.exhibit import Exhibit
from channelbench.families import LLM, REFERENCE
from channelbench.leaderboard.estimate import Estimate, average
from channelbench.leaderboard.gain import START
from channelbench.leaderboard.pictures import Picture
from channelbench.leaderboard.sections import Section, SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.spread import of_mean
from channelbench.leaderboard.views import Run, View
from channelbench.results import Result

__all__ = ["Backbones", "Quantisation", "TableRow"]


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A row: our method, and the paper's name of it if it has one. ``always`` rows have dashes until they are run."""

    title: str
    method: str
    variant: str = ""
    always: bool = True
    family: str = LLM


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A number of a task.

    Attributes:
        task, metric: Ours.
        published: The paper's name of the task.
        field: The condition that is averaged over, or, where one value is meant, that has it.
        fixed: The other conditions, and in a column without an average the value of ``field``.
        decibels: Whether the mean is shown in dB.
        better: Which way is.
        printed: Digits that the paper gives.
    """

    task: str
    metric: str
    published: str
    label: str
    unit: str
    field: str
    fixed: Mapping[str, object]
    only: float | None = None
    decibels: bool = False
    better: str = "low"
    printed: int = 4


_COLUMNS = (
    _Column(
        task="cp",
        metric="nmse",
        published="CP",
        label="CP",
        unit="NMSE in dB, mean over SNRs",
        field="snr_db",
        fixed={"snr_reference": "sample", "paper_compat": False},
        decibels=True,
        printed=2,
    ),
    _Column(
        task="det",
        metric="symbol_nmse",
        published="DET",
        label="DET",
        unit="NMSE of x, mean over SNRs",
        field="snr_db",
        fixed={"users": 4, "grouping": "random", "modulation": "16qam"},
    ),
    _Column(
        task="pre_sr",
        metric="sum_rate",
        published="PRE-SR",
        label="PRE-SR",
        unit="sum rate, bit/s/Hz",
        field="power_dbw",
        fixed={"users": 4, "grouping": "random", "csi": "perfect", "band": "centre"},
        only=0.0,
        better="high",
    ),
)


@dataclass(frozen=True, kw_only=True)
class _Cost:
    """A column of what cells say of their cost."""

    label: str
    unit: str
    of: Callable[[Mapping[str, float]], float | None]
    published: str = ""


def _stored(costs: Mapping[str, float]) -> float | None:
    """Bytes of the trunk over those of 16-bit weights."""
    stored, half = costs.get("trunk_stored_bytes"), costs.get("trunk_fp16_bytes")
    return None if stored is None or not half else 100 * stored / half


_PARAMETERS = _Cost(label="Trained", unit="parameters", of=lambda costs: costs.get("trainable_parameters"))
_BYTES = _Cost(label="Trunk", unit="% of its bytes at 16 bits", of=_stored)


_Found = Mapping[str, Mapping[str, tuple[Estimate | None, str]]]
"""The mean of each row and task, and why there is none."""


class _Table(Exhibit):
    """One row a variant, one column a task."""

    table: ClassVar[str]
    title: ClassVar[str]
    text: ClassVar[str]
    costs: ClassVar[tuple[_Cost, ...]]

    def rows(self, run: Run) -> tuple[TableRow, ...]:
        """The table's rows for this run."""
        raise NotImplementedError

    def sections(self, run: Run) -> list[Section]:
        made = {result.method for result in run.board.results}
        rows = [row for row in self.rows(run) if row.always or row.method in made]
        if not any(row.method in made for row in rows if row.family == LLM):
            return []
        found = {row.title: {c.task: _score(run, row.method, c) for c in _COLUMNS} for row in rows}
        return [self._section(run, rows, found)]

    def _section(self, run: Run, rows: list[TableRow], found: _Found) -> Section:
        digits = {c.task: places(found[row.title][c.task][0] for row in rows) for c in _COLUMNS}
        heads = [SectionColumn(label=c.label, unit=c.unit, better=c.better) for c in _COLUMNS]
        return Section(
            name=self.card.name,
            title=self.title,
            text=f"{self.text} {_averaged(run)}",
            columns=(*heads, *(SectionColumn(label=c.label, unit=c.unit) for c in self.costs)),
            groups=(
                SectionGroup(
                    rows=tuple(
                        SectionRow(
                            title=row.title,
                            family=row.family,
                            cells=(
                                *(self._cell(row, c, *found[row.title][c.task], digits[c.task]) for c in _COLUMNS),
                                *(self._cost(run, row, cost) for cost in self.costs),
                            ),
                        )
                        for row in rows
                    )
                ),
            ),
            picture=self._picture(rows, found),
            csv=csv_text(
                [
                    record(found[row.title][c.task][0], self._published(row, c), **_keys(row, c))
                    for row in rows
                    for c in _COLUMNS
                ]
            ),
            first="Variant",
        )

    def _picture(self, rows: list[TableRow], found: _Found) -> Picture | None:
        panels = [Panel(c.label, c.unit, log=False) for c in _COLUMNS]
        marks = {
            row.title: tuple(Mark(found[row.title][c.task][0], self._published(row, c)) for c in _COLUMNS)
            for row in rows
        }
        return strips(panels, [Strip(row.title, marks[row.title], row.family) for row in rows], self.title)

    def _published(self, row: TableRow, column: _Column) -> float | None:
        return phy_paper.number(self.table, row.variant, column.published) if row.variant else None

    def _cell(self, row: TableRow, column: _Column, score: Estimate | None, note: str, digits: int) -> SectionCell:
        return cell(score, digits, self._published(row, column), note, printed_with=column.printed)

    def _cost(self, run: Run, row: TableRow, cost: _Cost) -> SectionCell:
        values = [v for r in _results(run, row.method) if (v := cost.of(r.costs)) is not None]
        theirs = phy_paper.number(self.table, row.variant, "all") if cost is _PARAMETERS and row.variant else None
        printed = "" if theirs is None else f"{theirs:g} M"
        return amount(statistics.median(values) if values else None, printed)


def _keys(row: TableRow, column: _Column) -> dict[str, str]:
    return {"method": row.method, "row": row.title, "task": column.task, "metric": column.unit}


def _results(run: Run, method: str) -> list[Result]:
    return [result for result in run.board.results if result.method == method]


def _setting(run: Run, column: _Column) -> Setting | None:
    """The cells of a column: those whose other conditions are the table's, as far as these are written."""
    for setting in settings(run, column.task, column.field):
        if all(setting.fixed.get(name, value) == value for name, value in column.fixed.items()):
            return setting
    return None


def _views(run: Run, column: _Column) -> list[View]:
    setting = _setting(run, column)
    if setting is None:
        return []
    return [view for value, view in setting.views.items() if column.only is None or value == column.only]


def _averaged(run: Run) -> str:
    """Which SNRs the means are over."""
    said = []
    for column in _COLUMNS:
        setting = _setting(run, column)
        if column.only is None and setting is not None:
            values = ", ".join(f"{value:g}".replace("-", "−") for value in setting.views)
            said.append(f"{column.label} at {values} dB")
    return f"Means are over {'; '.join(said)}." if said else ""


def _score(run: Run, method: str, column: _Column) -> tuple[Estimate | None, str]:
    """The mean over the column's conditions, and why there is none."""
    views = _views(run, column)
    if not views:
        return None, "its conditions have no cell"
    known = [view.score(method, column.task, column.metric) for view in views]
    missing = [view.missing(method, column.task) for view, score in zip(views, known, strict=True) if score is None]
    scores = [score for score in known if score is not None]
    if missing:
        return None, missing[0]
    mean = average(scores)
    mean = mean.widened(of_mean(mean, scores))
    return (_decibels(mean) if column.decibels else mean), ""


def _decibels(mean: Estimate) -> Estimate:
    """10·log10 of a mean and of the ends of its interval."""
    value, low, high = (10 * math.log10(v) if v > 0 else -math.inf for v in (mean.value, mean.low, mean.high))
    by_seed = {seed: 10 * math.log10(v) for seed, v in mean.by_seed.items() if v > 0}
    return replace(mean, value=value, low=low, high=high, by_seed=by_seed, replicates=None, errors=None)


_SHARED = (
    "CP’s error is averaged over speeds and SNRs, DET’s over SNRs, as in the paper, which does not say which; PRE-SR "
    "has four users at random, 0 dBW over noise of −10 dBW."
)
_START = TableRow(title="The start, without a network", method=START, always=False, family=REFERENCE)


class Quantisation(_Table):
    """Table I."""

    card = Card(
        name="phy-loftq",
        description="Table I: the multi-task PHY LLM at full precision, with LoftQ and with plain 4-bit weights.",
        reference="Multi-task PHY LLM, Table I",
        family="exhibit",
    )
    table = "I"
    title = "Table I: four bits a weight"
    text = (
        "The multi-task PHY LLM with its trunk at full precision, quantised with adapters that LoftQ starts where they "
        "make up for it, and quantised with adapters that start at nothing. The merged row is ours: the adapters of "
        f"the first row, added to its trunk, which is then quantised for use. {_SHARED} The paper’s is LLaMA-2-7B."
    )
    costs = (_BYTES, _PARAMETERS)

    def rows(self, run: Run) -> tuple[TableRow, ...]:
        return (
            TableRow(title="Full precision", method="phy_llm", variant="full precision"),
            TableRow(title="LoftQ, 4 bits", method="phy_llm+loftq", variant="LoftQ 4-bit"),
            TableRow(title="Plain 4 bits", method="phy_llm+nf4", variant="plain 4-bit"),
            TableRow(title="Merged, then 4 bits", method="phy_llm+merged"),
            _START,
        )


_BACKBONES = {"gpt2": "GPT2", "llama2-7b": "LLAMA2-7B"}
"""What the paper calls backbones."""


class Backbones(_Table):
    """Table II."""

    card = Card(
        name="phy-backbone",
        description="Table II: the multi-task PHY LLM on its backbone and on none, beside our controls.",
        reference="Multi-task PHY LLM, Table II",
        family="exhibit",
    )
    table = "II"
    title = "Table II: which language model"
    text = (
        "The multi-task PHY LLM on the run’s backbone and without any, and our controls: random weights in the same "
        "trunk, and a small trunk that is all trained. A folder has one backbone; the paper’s others have its numbers "
        f"alone. {_SHARED} The paper’s parameters are those of the network without the backbone’s own."
    )
    costs = (_PARAMETERS,)

    def rows(self, run: Run) -> tuple[TableRow, ...]:
        backbone = run.board.manifest.backbone or "the backbone"
        variant = _BACKBONES.get(backbone.lower(), "")
        others = tuple(
            TableRow(title=f"{name} (paper)", method=f"paper:{name}", variant=name)
            for name in reversed(_BACKBONES.values())
            if name != variant
        )
        return (
            TableRow(title=backbone, method="phy_llm", variant=variant),
            *others,
            TableRow(title="no trunk", method="phy_llm+none", variant="none"),
            TableRow(title="random frozen trunk", method="phy_llm+random"),
            TableRow(title="trained trunk of equal size", method="phy_llm+scratch"),
            _START,
        )
