"""Table VII: what the methods cost, in parameters, time and memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from channelbench import registry
from channelbench.benchmarks.exhibits import paper
from channelbench.benchmarks.exhibits.charts import Mark, Panel, Strip, strips
from channelbench.benchmarks.exhibits.rows import CONTROLS, LLM_METHODS, TASKS, Run, View
from channelbench.benchmarks.exhibits.words import amount, csv_text
from channelbench.errors import RequestError
from channelbench.families import family_of
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.numbers import quantity
from channelbench.leaderboard.sections import Section, SectionCell, SectionColumn, SectionGroup, SectionRow
from channelbench.results import Result

__all__ = ["Cost", "cost", "section"]

_PAPER = ("mlp", "cnn", "lstm", "wit", "llm4cp", "llm4wm")
_OTHERS = (
    *("transformer", "cross_stitch(s)", "cross_stitch", "llm4wm(s)"),
    *(f"{method}+{control}" for method in LLM_METHODS for control in CONTROLS),
)


@dataclass(frozen=True)
class Cost:
    """What one method costs; ``None`` where it was not measured.

    Attributes:
        trainable, total: Parameters: the sum over the networks of a method that is fitted task by task, the whole
            network of one that is fitted once.
        largest_trainable, largest_total: Those of its largest single network.
        latency_1_ms, latency_512_ms: Per call with a batch of so many, median over seeds, mean over tasks.
        flops: Per sample, mean over tasks.
        memory_mb: The highest peak.
        fit_s: All the fits that one seed needs.
    """

    title: str
    family: str
    joint: bool
    tasks: tuple[str, ...]
    device: str
    hardware: str
    trainable: float | None
    total: float | None
    largest_trainable: float | None
    largest_total: float | None
    latency_1_ms: float | None
    latency_512_ms: float | None
    flops: float | None
    memory_mb: float | None
    fit_s: float | None


def cost(view: View, method: str, *, joint: bool = False) -> Cost | None:
    """The cost of a method over the tasks that it was scored on, or ``None`` where it was on none.

    ``joint`` says that one network does them all: each of its cells then states the whole network and the whole fit.
    """
    results = [result for result in view.results([method]) if result.status == "ok"]
    if not results:
        return None
    tasks = tuple(task for task in TASKS if any(result.task == task for result in results))
    whole: Callable[[Iterable[float]], float] = max if joint else sum

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
        trainable=over("trainable_parameters", whole),
        total=over("total_parameters", whole),
        largest_trainable=over("trainable_parameters", max),
        largest_total=over("total_parameters", max),
        latency_1_ms=over("latency_ms_batch1", _mean),
        latency_512_ms=over("latency_ms_batch512", _mean),
        flops=over("flops_per_sample", _mean),
        memory_mb=over("peak_memory_mb", max),
        fit_s=over("fit_s", whole),
    )


def section(run: Run) -> Section | None:
    """The table, where a learned method has a cell."""
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
            SectionColumn(label="Trainable", unit="parameters"),
            SectionColumn(label="Total", unit="parameters"),
            SectionColumn(label="Latency, 1", unit="ms"),
            SectionColumn(label="Latency, 512", unit="ms"),
            SectionColumn(label="FLOP", unit="per sample"),
            SectionColumn(label="Memory", unit="MB"),
            SectionColumn(label="Fit", unit="s"),
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


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def _published(method: str, metric: str) -> float | None:
    return paper.number("VII", paper.NAMES[method], "all", metric) if method in _PAPER else None


def _row(method: str, found: Cost | None) -> SectionRow:
    trainable, total, time = (
        _published(method, metric)
        for metric in ("trainable parameters M", "total parameters M", "inference ms per batch")
    )
    words = ("" if p is None else f"{p:g} M" for p in (trainable, total))
    theirs, time_words = list(words), "" if time is None else f"{time:g} ms per batch"
    if found is None:
        cells = (
            *(SectionCell(published=text, note="not run") for text in theirs),
            SectionCell(published=time_words, note="not run"),
            *(SectionCell(note="not run") for _ in range(5)),
        )
        return SectionRow(title=paper.NAMES[method], cells=cells)
    cells = (
        _parameters(found, found.trainable, found.largest_trainable, theirs[0]),
        _parameters(found, found.total, found.largest_total, theirs[1]),
        amount(found.latency_1_ms, time_words),
        amount(found.latency_512_ms),
        amount(found.flops),
        amount(found.memory_mb),
        amount(found.fit_s),
        SectionCell(text=found.device or "–", note=found.hardware),
    )
    way = "one network" if found.joint else f"{len(found.tasks)} network{'s' if len(found.tasks) > 1 else ''}"
    detail = f"{way}: {' '.join(task.upper() for task in found.tasks)}"
    return SectionRow(title=found.title, cells=cells, family=found.family, detail=detail)


def _parameters(found: Cost, value: float | None, largest: float | None, published: str) -> SectionCell:
    base = amount(value, published)
    several = not found.joint and len(found.tasks) > 1 and largest is not None
    return SectionCell(
        text=base.text,
        interval=f"largest {quantity(largest)}" if several else "",
        published=published,
        value=base.value,
    )


def _record(method: str, found: Cost | None) -> dict[str, object]:
    fields = [name for name in Cost.__dataclass_fields__ if name not in ("title", "family", "tasks", "joint")]
    return {
        "method": method,
        "joint": None if found is None else found.joint,
        "tasks": "" if found is None else " ".join(found.tasks),
        **{name: None if found is None else getattr(found, name) for name in fields},
        "paper_trainable_m": _published(method, "trainable parameters M"),
        "paper_total_m": _published(method, "total parameters M"),
        "paper_ms_per_batch": _published(method, "inference ms per batch"),
    }


def _picture(shown: dict[str, Cost | None]) -> str:
    def mark(value: float | None, published: float | None) -> Mark:
        return Mark(None if value is None else Estimate(value=value, low=value, high=value), published)

    def millions(method: str, metric: str) -> float | None:
        value = _published(method, metric)
        return None if value is None else 1e6 * value

    rows = [
        Strip(
            found.title if found else paper.NAMES[method],
            (
                mark(found.trainable if found else None, millions(method, "trainable parameters M")),
                mark(found.total if found else None, millions(method, "total parameters M")),
                mark(found.latency_1_ms if found else None, _published(method, "inference ms per batch")),
                mark(found.latency_512_ms if found else None, None),
            ),
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
