"""Table VII: what the methods cost, in parameters, time and memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from channelbench import registry
from channelbench.benchmarks.exhibits import paper
from channelbench.benchmarks.exhibits.cells import amount, csv_text
from channelbench.benchmarks.exhibits.charts import Mark, Panel, Strip, strips
from channelbench.benchmarks.exhibits.paper import TASKS
from channelbench.benchmarks.exhibits.rows import CONTROLS, LLM_METHODS
from channelbench.card import Card
from channelbench.costs import COSTS
from channelbench.errors import RequestError
from channelbench.exhibit import Exhibit
from channelbench.families import family_of
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.numbers import quantity
from channelbench.leaderboard.pictures import Picture
from channelbench.leaderboard.sections import Section, SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.leaderboard.views import Run, View
from channelbench.results import Result

__all__ = ["Cost", "CostTable", "cost"]

_PAPER = ("mlp", "cnn", "lstm", "wit", "llm4cp", "llm4wm")
_COLUMNS = {
    "trainable_parameters": "trainable",
    "total_parameters": "total",
    "latency_ms_batch1": "latency_1_ms",
    "latency_ms_batch512": "latency_512_ms",
    "flops_per_sample": "flops",
    "peak_memory_mb": "memory_mb",
    "fit_s": "fit_s",
}
"""The costs that are shown, in this order, and what the CSV calls them."""

_PUBLISHED = {
    "trainable_parameters": ("trainable parameters M", "M", "paper_trainable_m"),
    "total_parameters": ("total parameters M", "M", "paper_total_m"),
    "latency_ms_batch1": ("inference ms per batch", "ms per batch", "paper_ms_per_batch"),
}
"""The paper's column for a cost, its unit, and what the CSV calls it."""

_PARAMETERS = ("trainable_parameters", "total_parameters")
_DRAWN = (*_PARAMETERS, "latency_ms_batch1", "latency_ms_batch512")

_OTHERS = (
    *("transformer", "cross_stitch(s)", "cross_stitch", "llm4wm(s)"),
    *(f"{method}+{control}" for method in LLM_METHODS for control in CONTROLS),
)


@dataclass(frozen=True)
class Cost:
    """What one method costs; ``None`` where it was not measured.

    Attributes:
        whole: ``{key of the cost: value}`` over its tasks, of medians over seeds: of a method that is fitted task by
            task the sum over its networks, of one that is fitted once the whole; the mean latency, the highest peak.
        largest: ``{key: value}`` of its largest single network, for ``_PARAMETERS``.
    """

    title: str
    family: str
    joint: bool
    tasks: tuple[str, ...]
    device: str
    hardware: str
    whole: Mapping[str, float | None]
    largest: Mapping[str, float | None]


def cost(view: View, method: str, *, joint: bool = False) -> Cost | None:
    """The cost of a method over the tasks that it was scored on, or ``None`` where it was on none.

    ``joint`` says that one network does them all: each of its cells then states the whole network and the whole fit.
    """
    results = [result for result in view.results([method]) if result.status == "ok"]
    if not results:
        return None
    tasks = tuple(task for task in TASKS if any(result.task == task for result in results))

    def over(key: str, gather: Callable[[Iterable[float]], float]) -> float | None:
        found = [_median(results, task, key) for task in tasks]
        known = [value for value in found if value is not None]
        # A sum or a mean that leaves out a task would pass for that of all.
        return gather(known) if len(known) == len(tasks) > 0 else None

    return Cost(
        title=results[0].title,
        family=results[0].family,
        joint=joint,
        tasks=tasks,
        device=", ".join(dict.fromkeys(result.device for result in results)),
        hardware=", ".join(dict.fromkeys(result.hardware for result in results if result.hardware)),
        whole={key: over(key, max if joint and COSTS[key].whole else COSTS[key].over_tasks) for key in _COLUMNS},
        largest={key: over(key, max) for key in _PARAMETERS},
    )


class CostTable(Exhibit):
    """The table, where a learned method has a cell."""

    card = Card(
        name="cost",
        description="Table VII: what the methods cost, in parameters, operations, time and memory.",
        reference="LLM4WM, Table VII",
        family="exhibit",
    )

    def sections(self, run: Run) -> list[Section]:
        found = _section(run)
        return [] if found is None else [found]


def _section(run: Run) -> Section | None:
    view = run.views[0] if run.views else None
    if view is None:
        return None
    costs = {method: cost(view, method, joint=_is_joint(run, method)) for method in _methods(view)}
    if not any(costs.values()):
        return None
    shown = {method: found for method, found in costs.items() if found is not None or method in _PAPER}
    groups = [
        SectionGroup(title=title, rows=tuple(_row(m, found) for m, found in shown.items() if (m in _PAPER) == theirs))
        for title, theirs in (("The paper’s rows", True), ("Beside them", False))
    ]
    return Section(
        name="cost",
        title="Table VII: what the methods cost",
        text=(
            "Parameters are those that were built here: of a method that is fitted task by task the sum over its "
            "networks, with the largest of them below; of one that is fitted once the whole. The paper’s numbers are "
            "in millions, its trainable 1.13 M of LLM4WM is one sixth of all adapters and heads without the MoE-LoRA, "
            "and its time is milliseconds per batch on its own GPU, of a batch whose size it does not state: ours are "
            "of the device named, mean over tasks. Below the standard preset networks are narrower than the paper’s."
        ),
        columns=(
            *(SectionColumn(label=COSTS[key].title, unit=COSTS[key].unit) for key in _COLUMNS),
            SectionColumn(label="Device", better="text"),
        ),
        groups=tuple(group for group in groups if group.rows),
        picture=_picture(shown),
        csv=csv_text([_record(method, found) for method, found in shown.items()]),
    )


def _methods(view: View) -> list[str]:
    """The paper's methods, the known others, then any further network that has a cell."""
    further = [r.method for r in view.table.rows if family_of(r.family).seeded and view.results([r.method])]
    return list(dict.fromkeys((*_PAPER, *_OTHERS, *further)))


def _is_joint(run: Run, method: str) -> bool:
    """As the run says; of a method that it does not name and that is not installed here, no."""
    if method in run.board.manifest.joint_tasks:
        return True
    try:
        return bool(registry.find("methods", method).joint)
    except RequestError:
        return False


def _median(results: Sequence[Result], task: str, key: str) -> float | None:
    """Over seeds."""
    values = [result.costs[key] for result in results if result.task == task and key in result.costs]
    return statistics.median(values) if values else None


def _published(method: str, key: str) -> float | None:
    """The paper's number of a cost, in the paper's unit."""
    if method not in _PAPER or key not in _PUBLISHED:
        return None
    return paper.number("VII", paper.NAMES[method], "all", _PUBLISHED[key][0])


def _printed(method: str, key: str) -> str:
    value = _published(method, key)
    return "" if value is None else f"{value:g} {_PUBLISHED[key][1]}"


def _row(method: str, found: Cost | None) -> SectionRow:
    if found is None:
        blanks = (SectionCell(published=_printed(method, key), note="not run") for key in _COLUMNS)
        return SectionRow(title=paper.NAMES[method], cells=(*blanks, SectionCell(note="not run")))
    cells = (
        *(_cell(found, key, _printed(method, key)) for key in _COLUMNS),
        SectionCell(text=found.device or "–", note=found.hardware),
    )
    way = "one network" if found.joint else f"{len(found.tasks)} network{'s' if len(found.tasks) > 1 else ''}"
    detail = f"{way}: {' '.join(task.upper() for task in found.tasks)}"
    return SectionRow(title=found.title, cells=cells, family=found.family, detail=detail)


def _cell(found: Cost, key: str, published: str) -> SectionCell:
    largest = found.largest.get(key)
    several = not found.joint and len(found.tasks) > 1 and largest is not None
    return replace(amount(found.whole[key], published), interval=f"largest {quantity(largest)}" if several else "")


def _record(method: str, found: Cost | None) -> dict[str, object]:
    """A line of the CSV, whose names are older than those of the cells."""
    keys = list(_COLUMNS)
    whole: Mapping[str, float | None] = {} if found is None else found.whole
    largest: Mapping[str, float | None] = {} if found is None else found.largest
    return {
        "method": method,
        "joint": None if found is None else found.joint,
        "tasks": "" if found is None else " ".join(found.tasks),
        "device": None if found is None else found.device,
        "hardware": None if found is None else found.hardware,
        **{_COLUMNS[key]: whole.get(key) for key in keys[:2]},
        **{f"largest_{_COLUMNS[key]}": largest.get(key) for key in _PARAMETERS},
        **{_COLUMNS[key]: whole.get(key) for key in keys[2:]},
        **{name: _published(method, key) for key, (_, _, name) in _PUBLISHED.items()},
    }


def _picture(shown: dict[str, Cost | None]) -> Picture | None:
    def mark(value: float | None, published: float | None) -> Mark:
        return Mark(None if value is None else Estimate(value=value, low=value, high=value), published)

    def theirs(method: str, key: str) -> float | None:
        value = _published(method, key)
        return 1e6 * value if value is not None and key in _PARAMETERS else value

    rows = [
        Strip(
            found.title if found else paper.NAMES[method],
            tuple(mark(found.whole[key] if found else None, theirs(method, key)) for key in _DRAWN),
            found.family if found else "other",
        )
        for method, found in shown.items()
    ]
    panels = [
        Panel("Trainable", "parameters"),
        Panel("Total", "parameters"),
        Panel("Latency, batch 1", "ms; paper: per batch"),
        Panel("Latency, batch 512", "ms"),
    ]
    return strips(panels, rows, "Table VII: parameters and latency", whiskers=False)
