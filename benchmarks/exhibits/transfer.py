"""Table V: fits made in one scenario and used in another, as they are or after a look at a tenth of its data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from channelbench.benchmarks.exhibits import paper
from channelbench.benchmarks.exhibits.cells import AVERAGE, GAINS, blank, cell, csv_text, noise_floor, places, record
from channelbench.benchmarks.exhibits.charts import Mark, Panel, Strip, strips
from channelbench.benchmarks.exhibits.paper import TASKS, TERMS
from channelbench.benchmarks.exhibits.rows import PAPER_ROWS, Line, PaperView, paper_views, table_rows
from channelbench.card import Card
from channelbench.exhibit import Exhibit
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.pictures import Picture
from channelbench.leaderboard.sections import Section, SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.views import Run

__all__ = ["TransferTable"]

_TARGETS = {"rma-1.9": "RMa 1.9 GHz", "uma-2.4": "UMa 2.4 GHz"}
"""Folders of the targets, and the paper's names of them."""

_SETTINGS = ("zero-shot", "transfer")
_ORDER = ("LLM4WM", "LLM4CP", "CNN + WiT", "LSTM + MLP")
_PAPER = tuple(next(row for row in PAPER_ROWS if row.title == title) for title in _ORDER)


@dataclass(frozen=True)
class _Part:
    """One target under one setting; ``view`` is ``None`` where it has not been run."""

    target: str
    setting: str
    words: str
    view: PaperView | None

    @property
    def published(self) -> str:
        """The paper's name of the target, where its numbers are of this setting: it has none without any new data."""
        return _TARGETS.get(self.target, "") if self.setting == "transfer" else ""

    @property
    def title(self) -> str:
        return f"{_TARGETS.get(self.target, self.target)}, {self.words}"

    @property
    def lines(self) -> list[Line]:
        view = self.view
        others = [row for row in table_rows([view] if view else []) if row not in _PAPER]
        return [*_PAPER, *(row for row in others if view is not None and view.has(row))]


class TransferTable(Exhibit):
    """The table, where a target has a cell; the run is the source, with the targets in folders of it."""

    card = Card(
        name="transfer",
        description="Table V: fits made in one scenario and used in another, as they are and after a look at its data.",
        reference="LLM4WM, Table V",
        family="exhibit",
    )

    def sections(self, run: Run) -> list[Section]:
        found = _section(run)
        return [] if found is None else [found]


def _section(run: Run) -> Section | None:
    parts = [_part(run.folder, target, setting) for target in _targets(run.folder) for setting in _SETTINGS]
    seen = [part.view for part in parts if part.view is not None]
    if not any(view.has(row) for view in seen for row in table_rows(seen)):
        return None
    floors = [noise_floor(view) for view in seen if view.noisy][:1]
    return Section(
        name="transfer",
        title="Table V: from one scenario to another",
        text=" ".join(
            [
                "LLM4WM’s Table V: fits made on UMa at 1.9 GHz, scored on the test split of another scenario, first as "
                "they are (zero-shot) and then after training on with a tenth of its training data (transfer). The "
                "paper’s numbers are of the second; its average of CNN + WiT in RMa, 0.376, is not the mean of its six "
                "numbers, which is 0.342. Distance errors are over the span of the target’s training "
                "distances.",
                AVERAGE,
                *([GAINS] if any(view.table.has_gains for view in seen) else []),
                *floors,
            ]
        ),
        columns=(
            *(SectionColumn(label=t.upper(), unit=TERMS[t].label, better=seen[0].better(TERMS[t])) for t in TASKS),
            SectionColumn(label="Avg.", unit="Eq. 28"),
        ),
        groups=tuple(_group(part) for part in parts),
        picture=_picture(parts),
        csv=csv_text([item for part in parts for row in part.lines for item in _records(part, row)]),
    )


def _targets(folder: Path) -> list[str]:
    """The paper's targets, and others that have been run."""
    others = {path.parent.parent.name for setting in _SETTINGS for path in folder.glob(f"*/{setting}/run.json")}
    return [*_TARGETS, *sorted(others - set(_TARGETS))]


def _part(folder: Path, target: str, setting: str) -> _Part:
    place = folder / target / setting
    if not (place / "run.json").exists():
        return _Part(target, setting, setting, None)
    run = Run.read(place)
    return _Part(target, setting, run.board.manifest.setting or setting, next(iter(paper_views(run)), None))


def _score(part: _Part, row: Line, task: str) -> Estimate | None:
    """A task's metric, or for ``all`` the average loss."""
    if part.view is None or (task != "all" and task not in row.members):
        return None
    return part.view.average(row) if task == "all" else part.view.score(row.members[task], task, TERMS[task].metric)


def _published(part: _Part, row: Line, task: str) -> float | None:
    if not part.published or row not in _PAPER:
        return None
    if task == "all":
        return paper.average(row.paper_names, "V", part.published)
    return paper.number("V", row.paper_name(task), task, TERMS[task].published, part.published)


def _group(part: _Part) -> SectionGroup:
    digits = {task: places(_score(part, row, task) for row in part.lines) for task in (*TASKS, "all")}
    rows = tuple(
        SectionRow(
            title=row.title,
            family=row.family,
            detail=part.view.detail(row) if part.view else "",
            cells=tuple(_cell(part, row, task, digits[task]) for task in (*TASKS, "all")),
        )
        for row in part.lines
    )
    return SectionGroup(title=part.title, rows=rows)


def _cell(part: _Part, row: Line, task: str, digits: int) -> SectionCell:
    if task != "all" and task not in row.members:
        return blank("not a task of this row")
    score = _score(part, row, task)
    note = ""
    if score is None and part.view is None:
        note = "not run"
    elif score is None and part.view is not None:
        note = "not all six tasks have a score" if task == "all" else part.view.missing(row.members[task], task)
    remark = "" if part.view is None or task == "all" else part.view.gain(row.members[task], task)
    return cell(score, digits, _published(part, row, task), note, remark=remark)


def _records(part: _Part, row: Line) -> list[dict[str, object]]:
    return [
        record(
            _score(part, row, task),
            _published(part, row, task),
            target=part.target,
            setting=part.words,
            conditions=part.view.condition if part.view else "",
            row=row.title,
            method="+".join(row.methods) if task == "all" else row.members[task],
            task=task,
            metric="avg_llm4wm" if task == "all" else TERMS[task].metric,
        )
        for task in (*TASKS, "all")
        if task == "all" or task in row.members
    ]


def _picture(parts: list[_Part]) -> Picture | None:
    rows = []
    for part in parts:
        if part.view is None:
            continue
        rows.append(Strip(part.title))
        for row in part.lines:
            marks = tuple(Mark(_score(part, row, task), _published(part, row, task)) for task in (*TASKS, "all"))
            rows.append(Strip(f"\u2003{row.title}", marks, row.family))
    panels = [Panel(task.upper(), TERMS[task].label, log=not TERMS[task].higher) for task in TASKS]
    return strips([*panels, Panel("Avg.", "Eq. 28")], rows, "Table V: scores in the target scenarios")
