"""The rows of the paper's tables, and the losses and averages that a results folder has for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from channelbench.benchmarks.exhibits import paper
from channelbench.benchmarks.exhibits.paper import TASKS, TERMS, PaperColumn
from channelbench.benchmarks.request import CONTROLS
from channelbench.families import BUNDLE, CLASSICAL, LLM, MULTI_TASK, REFERENCE, SMALL
from channelbench.leaderboard.catalogue import is_third_party
from channelbench.leaderboard.estimate import Estimate, average
from channelbench.leaderboard.gain import START, is_shown, words
from channelbench.leaderboard.spread import of_mean
from channelbench.leaderboard.views import Run, View

__all__ = [
    "CONTROLS",
    "LLM_METHODS",
    "PAPER_ROWS",
    "START_ROW",
    "TABLE_ROWS",
    "Line",
    "PaperView",
    "line",
    "paper_views",
    "table_rows",
]

LLM_METHODS = ("llm4cp", "llm4wm(s)", "llm4wm")

_CONTROL_WORDS = {"random": "random frozen trunk", "none": "no trunk", "scratch": "trained trunk of equal size"}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a table: which method answers which task.

    ``always`` rows are there with dashes as long as nobody has run them; the others wait for their first cell.
    """

    title: str
    family: str
    members: Mapping[str, str]
    published: bool = False
    always: bool = True

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.members.values()))

    @property
    def paper_names(self) -> tuple[str, ...]:
        return tuple(paper.NAMES[method] for method in self.methods) if self.published else ()

    def paper_name(self, task: str) -> str:
        """The paper's name of who answers ``task``; empty in a row that the paper does not have."""
        return paper.NAMES[self.members[task]] if self.published and task in self.members else ""


def line(method: str, title: str, family: str, *, published: bool = False, always: bool = True) -> Line:
    """One method on all six tasks."""
    return Line(title=title, family=family, members=dict.fromkeys(TASKS, method), published=published, always=always)


def _bundle(title: str, family: str, *methods: str, published: bool = True) -> Line:
    return Line(title=title, family=family, members=dict(zip(TASKS, methods, strict=True)), published=published)


def _controls(method: str, title: str, *, always: bool) -> tuple[Line, ...]:
    return tuple(
        line(f"{method}+{control}", f"{title}, {_CONTROL_WORDS[control]}", LLM, always=always) for control in CONTROLS
    )


PAPER_ROWS = (
    _bundle("BI + Codebook + FIFS", CLASSICAL, "bi", "bi", "bi", "codebook", "fifs", "fifs"),
    _bundle("CNN + WiT", SMALL, "cnn", "cnn", "cnn", "cnn", "wit", "wit"),
    _bundle("LSTM + MLP", SMALL, "lstm", "lstm", "lstm", "mlp", "mlp", "mlp"),
    line("cross_stitch(s)", "Cross-stitch(s)", MULTI_TASK, published=True),
    line("cross_stitch", "Cross-stitch", MULTI_TASK, published=True),
    line("llm4cp", "LLM4CP", LLM, published=True),
    line("llm4wm(s)", "LLM4WM(s)", LLM, published=True),
    line("llm4wm", "LLM4WM", LLM, published=True),
)

START_ROW = line(START, "Aligned start, without a network", REFERENCE, always=False)
"""What all networks correct."""

TABLE_ROWS = (
    *PAPER_ROWS,
    START_ROW,
    Line(title="Transformer", family=SMALL, members=dict.fromkeys(("ce", "cp", "pf"), "transformer")),
    _bundle(
        "LMMSE + Wiener + Codebook + FIFS",
        CLASSICAL,
        *("lmmse", "wiener", "lmmse", "codebook", "fifs", "fifs"),
        published=False,
    ),
    *_controls("llm4wm", "LLM4WM", always=True),
    *_controls("llm4wm(s)", "LLM4WM(s)", always=False),
    *_controls("llm4cp", "LLM4CP", always=False),
)
"""The paper's rows first, in its order, then ours."""


def table_rows(views: Iterable[View]) -> tuple[Line, ...]:
    """``TABLE_ROWS``, and a row of each method that is not of this package, of those that are ranked."""
    known = {method for row in TABLE_ROWS for method in row.methods}
    found: dict[str, Line] = {}
    for row in (row for view in views for row in view.table.rows if row.is_contestant and row.family != BUNDLE):
        results = [result for entry in row.entries.values() for result in entry.results]
        tasks = dict.fromkeys((task for task in TASKS if task in row.entries and row.entries[task].results), row.method)
        if row.method not in known and tasks and is_third_party(results[0]):
            found.setdefault(row.method, Line(title=row.title, family=row.family, members=tasks, always=False))
    return (*TABLE_ROWS, *found.values())


class PaperView(View):
    """A results folder under one condition, read in the paper's rows and losses."""

    def has(self, wanted: Line) -> bool:
        """Whether a row has a cell on one of its own tasks."""
        entries = (self.entry(method, task) for task, method in wanted.members.items())
        return any(entry is not None and bool(entry.results) for entry in entries)

    def better(self, column: PaperColumn) -> str:
        """``high`` or ``low``, as the cells say; as the paper does where there are none."""
        found = self.higher_is_better(column.task, column.metric)
        return "high" if (column.higher if found is None else found) else "low"

    def loss(self, method: str, task: str) -> Estimate | None:
        """A task's term of Eq. 28: the score itself where less is better, what is missing to 1 where more is."""
        metric = TERMS[task].metric
        score = self.score(method, task, metric)
        return score.affine(-1, 1) if score is not None and self.higher_is_better(task, metric) else score

    def gain(self, method: str, task: str) -> str:
        """What a method gains over the start on a task's primary metric, in a few words; that its answers are those of
        its own start; nothing where neither is known."""
        entry = self.entry(method, task)
        if entry is None or not entry.results:
            return ""
        if all(result.adds_nothing for result in entry.results):
            return "= its start"
        if entry.gain is None:
            return ""
        short, whole = words(entry.gain)
        return f"gain {whole if whole.startswith(short) else short}" if is_shown(entry.gain) else short

    def average(self, wanted: Line) -> Estimate | None:
        """The mean of Eq. 28; ``None`` unless all six tasks have their score: nothing is averaged away."""
        losses = [self.loss(wanted.members[task], task) if task in wanted.members else None for task in TASKS]
        known = [loss for loss in losses if loss is not None]
        if len(known) < len(TASKS):
            return None
        mean = average(known)
        return mean.widened(of_mean(mean, known))

    def detail(self, wanted: Line) -> str:
        """Seeds and backbone weights of a row."""
        return self.provenance((method, task) for task, method in wanted.members.items())


def paper_views(run: Run) -> tuple[PaperView, ...]:
    """The run with clean targets and with noisy ones, those that it has."""
    return tuple(PaperView(view.folder, view.table) for view in run.views)
