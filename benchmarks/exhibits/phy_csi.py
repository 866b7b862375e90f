"""Rates where the base station knows the channels perfectly, by estimation, and by prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from channelbench.benchmarks.exhibits.cells import cell, csv_text, record
from channelbench.benchmarks.exhibits.charts import Mark, Panel, Strip, strips
from channelbench.benchmarks.exhibits.gains import percent_increase
from channelbench.benchmarks.exhibits.sweep import task_views, titles_of
from channelbench.card import Card
from channelbench.exhibit import Exhibit
from channelbench.families import BUNDLE
from channelbench.leaderboard import labels
from channelbench.leaderboard.board import Row
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.numbers import decimals, fixed, interval
from channelbench.leaderboard.pictures import Picture
from channelbench.leaderboard.sections import Section, SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.views import Run, View

__all__ = ["ImperfectCSI"]

STAGE = "precoding"
"""The folder of the stage that precodes for what the run's own predicts; a run without one may have it all."""

_PERFECT = "perfect"
_METRICS = {"pre_sr": "sum_rate", "pre_mm": "min_rate"}
_KNOWN = ("csi", "csi_snr_db", "slot")
"""Conditions that say what is known of the channels."""

_TEXT = (
    "Rates over the true channels of the last slot. Precoders are designed for those channels (perfect), for them with "
    "noise (estimated), or for what a method of channel prediction made of the slots before (predicted). Below each "
    "rate stands by how much it differs from that of perfect channels, in percent, paired over groups."
)

Known = tuple[str, float]
"""What is known, and at which SNR; perfect channels come first, predictions last."""


@dataclass(frozen=True)
class _Group:
    """One task in one setting, with the run under all that is known there."""

    task: str
    title: str
    views: Mapping[Known, View]

    def rows(self) -> list[Row]:
        found = {row.method: row for view in self.views.values() for row in view.table.rows if row.family != BUNDLE}
        return [row for row in found.values() if any(self.score(row.method, known) for known in self.views)]

    def score(self, method: str, known: Known) -> Estimate | None:
        view = self.views.get(known)
        return None if view is None else view.score(method, self.task, _METRICS[self.task])

    def change(self, method: str, known: Known) -> Estimate | None:
        """Against perfect channels, in percent."""
        ours, perfect = self.score(method, known), self.score(method, (_PERFECT, 0.0))
        return None if ours is None or perfect is None or known[0] == _PERFECT else percent_increase(ours, perfect)


class ImperfectCSI(Exhibit):
    """The table, where a precoder was scored on the last slot."""

    card = Card(
        name="phy-csi",
        description="Rates of precoders that know the channels perfectly, by estimation and by prediction.",
        reference="the protocol's own",
        family="exhibit",
    )

    def sections(self, run: Run) -> list[Section]:
        precoding = run.folder / STAGE
        there = Run.read(precoding) if (precoding / "run.json").exists() else run
        groups = [group for task in _METRICS for group in _groups(there, task) if group.rows()]
        if not groups:
            return []
        columns = sorted({known for group in groups for known in group.views}, key=_place)
        return [
            Section(
                name="phy-csi",
                title="Channels that are not known perfectly",
                text=_TEXT,
                columns=tuple(SectionColumn(label=k[0], unit=_unit(k), better="high") for k in columns),
                groups=tuple(SectionGroup(title=group.title, rows=_rows(group, columns)) for group in groups),
                picture=_picture(groups[0], columns),
                csv=csv_text([item for group in groups for item in _records(group, columns)]),
            )
        ]


def _groups(run: Run, task: str) -> list[_Group]:
    found: dict[tuple[tuple[str, Any], ...], dict[Known, View]] = {}
    for view, conditions in task_views(run, task):
        known = _known(conditions)
        if known is not None:
            fixed_ = tuple((name, value) for name, value in conditions.items() if name not in _KNOWN)
            found.setdefault(fixed_, {}).setdefault(known, view)
    titles = titles_of([dict(key) for key in found])
    head = labels.task_code(task)
    return [
        _Group(task, ": ".join(part for part in (head, title) if part), views)
        for title, views in zip(titles, found.values(), strict=True)
    ]


def _known(conditions: Mapping[str, Any]) -> Known | None:
    """What a condition says is known of the last slot; ``None`` where it is not about that slot."""
    csi = str(conditions.get("csi", _PERFECT))
    if csi == _PERFECT:
        return (_PERFECT, 0.0) if conditions.get("slot") == "last" else None
    return csi, float(conditions.get("csi_snr_db", 0.0))


def _place(known: Known) -> tuple[int, str, float]:
    kind = known[0].partition(":")[0]
    return (_PERFECT, "estimated").index(kind) if kind in (_PERFECT, "estimated") else 2, known[0], -known[1]


def _unit(known: Known) -> str:
    at = "" if known[0] == _PERFECT else f", at {known[1]:g} dB"
    return f"rate, bit/s/Hz{at}".replace("-", "−")


def _rows(group: _Group, columns: Sequence[Known]) -> tuple[SectionRow, ...]:
    scores = [s for row in group.rows() for known in columns if (s := group.score(row.method, known)) is not None]
    digits = decimals(scores)
    return tuple(
        SectionRow(
            title=row.title,
            family=row.family,
            cells=tuple(_cell(group, row.method, known, digits) for known in columns),
        )
        for row in group.rows()
    )


def _cell(group: _Group, method: str, known: Known, digits: int) -> SectionCell:
    view, change = group.views.get(known), group.change(method, known)
    note = "not run" if view is None else view.missing(method, group.task)
    remark = ""
    if change is not None:
        sign = "+" if change.value > 0 else ""
        remark = f"{sign}{fixed(change.value, 1)} % ({interval(change, 1) or fixed(change.low, 1)})"
    score = group.score(method, known)
    return cell(score, digits, note="" if score is not None else note, remark=remark)


def _records(group: _Group, columns: Sequence[Known]) -> list[dict[str, object]]:
    found = []
    for row in group.rows():
        for known in columns:
            item = record(
                group.score(row.method, known),
                setting=group.title,
                method=row.method,
                csi=known[0],
                csi_snr_db=known[1],
                task=group.task,
                metric=_METRICS[group.task],
            )
            change = group.change(row.method, known)
            found.append(item | {"percent_of_perfect": None if change is None else 100 + change.value})
    return found


def _picture(group: _Group, columns: Sequence[Known]) -> Picture | None:
    panels = [Panel(known[0], _unit(known), log=False, bars=True) for known in columns]
    rows = [
        Strip(row.title, tuple(Mark(group.score(row.method, known)) for known in columns), row.family)
        for row in group.rows()
    ]
    return strips(panels, rows, f"{group.title}: rates by what is known of the channels")
