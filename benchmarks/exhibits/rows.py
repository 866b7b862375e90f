"""The rows of the paper's tables, and what a results folder holds for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from channelbench.benchmarks.exhibits import paper
from channelbench.benchmarks.request import CONTROLS
from channelbench.conditions import DEFAULT
from channelbench.families import CLASSICAL, LLM, MULTI_TASK, SMALL, family_of
from channelbench.leaderboard.board import Board, Entry, Row, Table, build
from channelbench.leaderboard.catalogue import find_metric
from channelbench.leaderboard.estimate import MIN_SEEDS, Estimate, average, estimate
from channelbench.results import Result, read_terms, read_units

__all__ = ["CONTROLS", "LLM_METHODS", "LOSSES", "PAPER_ROWS", "TABLE_ROWS", "TASKS", "Line", "Run", "View", "line"]

TASKS = ("ce", "cp", "pf", "bf", "de", "pe")

LOSSES: Mapping[str, str] = {
    "ce": "nmse",
    "cp": "nmse",
    "pf": "nmse",
    "bf": "top1_accuracy",
    "de": "mae_of_span",
    "pe": "nmse_centred",
}
"""Our metric of each term of Eq. 28; of the accuracy, what is missing to 1."""

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

TABLE_ROWS = (
    *PAPER_ROWS,
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


@dataclass(frozen=True)
class View:
    """A results folder under one condition."""

    folder: Path
    table: Table

    @property
    def condition(self) -> str:
        """Label of the condition."""
        return self.table.condition

    @property
    def noisy(self) -> bool:
        """Whether targets carry noise."""
        return self.table.noisy

    @property
    def title(self) -> str:
        return "paper_compat: targets carry noise" if self.noisy else "clean targets"

    @cached_property
    def _rows(self) -> dict[str, Row]:
        return {row.method: row for row in self.table.rows}

    @cached_property
    def _scores(self) -> dict[tuple[str, str, str], Estimate | None]:
        return {}

    def entry(self, method: str, task: str) -> Entry | None:
        """All seeds of a method on a task, or ``None`` where the run knows of neither."""
        row = self._rows.get(method)
        return None if row is None else row.entries.get(task)

    def results(self, methods: Iterable[str]) -> list[Result]:
        """Every cell of some methods."""
        rows = [self._rows[method] for method in methods if method in self._rows]
        return [result for row in rows for entry in row.entries.values() for result in entry.results]

    def has(self, wanted: Line) -> bool:
        """Whether a row has a cell on one of its own tasks."""
        entries = (self.entry(method, task) for task, method in wanted.members.items())
        return any(entry is not None and bool(entry.results) for entry in entries)

    def score(self, method: str, task: str, metric: str) -> Estimate | None:
        """A metric over all seeds, with replicates on the resampled drops; ``None`` unless every seed is there."""
        key = (method, task, metric)
        if key not in self._scores:
            self._scores[key] = self._estimate(*key)
        return self._scores[key]

    def _estimate(self, method: str, task: str, metric: str) -> Estimate | None:
        entry = self.entry(method, task)
        if entry is None or entry.state != "ok" or not all(metric in r.scores for r in entry.results):
            return None
        terms = {result.seed: read_terms(self.folder, result) for result in entry.results}
        return estimate(
            {result.seed: result.scores[metric] for result in entry.results},
            {seed: arrays[metric] for seed, arrays in terms.items() if metric in arrays},
            find_metric(metric, entry.results[0].scores[metric]),
            read_units(self.folder, entry.results[0]),
        )

    def missing(self, method: str, task: str) -> str:
        """Why there is no score."""
        entry = self.entry(method, task)
        if entry is None or entry.state == "not run":
            return f"not complete: {entry.detail}" if entry is not None and entry.detail else "not run"
        return f"{entry.state}: {entry.detail}" if entry.detail else entry.state

    def loss(self, method: str, task: str) -> Estimate | None:
        """A task's term of Eq. 28."""
        score = self.score(method, task, LOSSES[task])
        return score.affine(-1, 1) if score is not None and task == "bf" else score

    def average(self, wanted: Line) -> Estimate | None:
        """The mean of Eq. 28; ``None`` unless all six tasks have their score: nothing is averaged away."""
        losses = [self.loss(wanted.members[task], task) if task in wanted.members else None for task in TASKS]
        known = [loss for loss in losses if loss is not None]
        return average(known) if len(known) == len(TASKS) else None

    def detail(self, wanted: Line) -> str:
        """Seeds and backbone weights of a row, as its cells have them; ``1 to 3 seeds`` where its tasks differ."""
        entries = [self.entry(method, task) for task, method in wanted.members.items()]
        groups = [entry.results for entry in entries if entry is not None and entry.results]
        seeds = [len(results) for results in groups if family_of(results[0].family).seeded]
        weights = dict.fromkeys(result.weights for results in groups for result in results if result.weights)
        fewest, most = min(seeds, default=0), max(seeds, default=0)
        count = str(most) if fewest == most else f"{fewest} to {most}"
        words = f"{count} seed{'s' if most > 1 else ''}" if seeds else ""
        return " · ".join(part for part in (words, *weights) if part)

    def few_seeds(self, method: str, task: str) -> int:
        """The number of seeds where they are too few to show the spread between trainings, else 0."""
        entry = self.entry(method, task)
        count = len(entry.results) if entry is not None else 0
        return count if 0 < count < MIN_SEEDS else 0


@dataclass(frozen=True)
class Run:
    """A results folder."""

    folder: Path
    board: Board

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Raises: RequestError: it is none."""
        return cls(folder, build(folder))

    @property
    def suite(self) -> str:
        return self.board.manifest.suite

    @cached_property
    def views(self) -> tuple[View, ...]:
        """The run under the default condition and under plain ``paper_compat``; without either, under its first."""
        shown = [t for t in self.board.tables if t.condition in (DEFAULT, "paper_compat=true")]
        return tuple(View(self.folder, table) for table in shown or self.board.tables[:1])
