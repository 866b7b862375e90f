"""What a table says, in a sentence or three: who is first, by how much, and how far the limit is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from channelbench.families import BUNDLE
from channelbench.leaderboard import labels
from channelbench.leaderboard.entries import Column, Row, Table
from channelbench.leaderboard.estimate import Estimate, average, difference
from channelbench.leaderboard.numbers import decimals, fixed, interval
from channelbench.leaderboard.spread import of_mean

__all__ = ["Words", "of_table", "of_task", "text"]


class Words(NamedTuple):
    """A stretch of a sentence; ``strong`` where it is what the sentence is about, ``aside`` where it is said beside
    the verdict."""

    text: str
    strong: bool = False
    aside: bool = False


@dataclass(frozen=True)
class _Scored:
    row: Row
    score: Estimate
    ranked: bool


def text(words: Sequence[Words]) -> str:
    """The sentences without emphasis."""
    return "".join(part.text for part in words)


def of_table(table: Table) -> list[Words]:
    """Who is first over all tasks of the overall skill; of a table of one such task, who is first in it.

    Methods and bundles are told apart: a bundle is a choice of methods, not one. Empty where nothing has a score.
    """
    if len(table.overall) == 1:
        return of_task(table, next(column for column in table.columns if column.task == table.overall[0]))
    scored = [
        _Scored(row, row.overall, row.rank is not None)
        for row in table.rows
        if row.is_contestant and row.overall is not None
    ]
    methods = _ordered([s for s in scored if s.row.family != BUNDLE], higher=True)
    bundles = _ordered([s for s in scored if s.row.family == BUNDLE], higher=True)
    named = "both tasks" if len(table.overall) == 2 else f"all {len(table.overall)} tasks"
    if not methods:
        words = _by_task(table, named)
        if bundles and words:
            best = bundles[0]
            words += [Words(" The best bundle, "), Words(best.row.title, True), Words(f", has {_skill(best.score)}.")]
        return words
    first = _first(methods)
    count = f"of {len(methods)} methods that answer {named}" if len(methods) > 1 else f"alone in answering {named}"
    verb = "is first" if first.ranked else "has the best score"
    if first.score.value <= 0:
        words = [
            Words("No method is better than the trivial answers: the nearest, "),
            Words(first.row.title, True),
            Words(f", has {_skill(first.score)} over {named}."),
        ]
    else:
        words = [
            Words(first.row.title, True),
            Words(f" {verb} {count}: " if len(methods) > 1 else f" is {count}: "),
            Words(_skill(first.score), True),
            *_lead(first, methods, higher=True),
            *_limit_of_skill(table, first.row),
            Words("."),
        ]
    words += _without_place(first, methods)
    if bundles:
        best = bundles[0]
        gap = best.score.value - first.score.value
        side = "above" if gap > 0 else "below"
        gap_words = _apart(first.score, best.score)
        words.append(Words(f" The best bundle of methods, {best.row.title}, is {gap_words} {side} it.", aside=True))
    return words


def of_task(table: Table, column: Column) -> list[Words]:
    """Who is first in one task, by how much, and how far away the reachable limit is, or else the ideal."""
    scored = _of_task(table, column)
    if not scored:
        return []
    first = _first(scored)
    metric = column.titles.get(column.metric) or labels.metric_label(column.metric)
    unit = labels.unit(column.unit)
    value = fixed(first.score.value, decimals([first.score]))
    is_first = f"is first of {len(scored)}" if first.ranked else f"scores best of {len(scored)}"
    worse = column.floor is not None and _worse(first.score, column.floor[1], column.higher_is_better)
    words = [
        Words(first.row.title, True),
        Words(f" {is_first if len(scored) > 1 else 'is the only method'} in {labels.task_code(column.task)}: "),
        Words(f"{metric} {value}{' ' + unit if unit else ''}", True),
        *_lead(first, scored, higher=column.higher_is_better),
        Words(", and yet worse than trivial" if worse else ""),
        *_limit_of_task(table, column, first.score),
        Words("."),
    ]
    return words + _without_place(first, scored)


def _of_task(table: Table, column: Column) -> list[_Scored]:
    found = [
        _Scored(row, entry.scores[column.metric], entry.rank is not None)
        for row in table.rows
        if row.is_contestant and row.family != BUNDLE
        for entry in (row.entries[column.task],)
        if entry.state == "ok" and column.metric in entry.scores
    ]
    return _ordered(found, higher=column.higher_is_better)


def _ordered(scored: Sequence[_Scored], *, higher: bool) -> list[_Scored]:
    sign = -1 if higher else 1
    return sorted((s for s in scored if s.score.value == s.score.value), key=lambda s: sign * s.score.value)


def _first(ordered: Sequence[_Scored]) -> _Scored:
    """The best of those that have a place; of none, the best."""
    return next((s for s in ordered if s.ranked), ordered[0])


def _lead(first: _Scored, ordered: Sequence[_Scored], *, higher: bool) -> list[Words]:
    """By how much, over whom, and whether that is shown."""
    place = ordered.index(first)
    behind = [s for s in ordered[place + 1 :] if s.ranked] or list(ordered[place + 1 :])
    if not behind:
        return []
    after = behind[0]
    gap = difference(after.score, first.score)
    words = [
        Words(f", {_apart(first.score, after.score)} {'above' if higher else 'below'} the next, "),
        Words(after.row.title, True),
    ]
    if gap.low <= 0 <= gap.high:
        words.append(Words(", which is no difference shown"))
    return words


def _without_place(first: _Scored, ordered: Sequence[_Scored]) -> list[Words]:
    """Who scores better and has no place, for want of seeds."""
    ahead = [s for s in ordered[: ordered.index(first)] if not s.ranked]
    if not ahead:
        return [] if first.ranked else [Words(" It has one seed, so that nobody knows its place.", aside=True)]
    if len(ahead) == 1:
        said = f" {ahead[0].row.title} has a better score, of one seed: it has no place until more are run."
    else:
        names = f"{ahead[0].row.title} and {len(ahead) - 1} more"
        said = f" {names} have better scores, of one seed each: they have no place until more are run."
    return [Words(said, aside=True)]


def _limit_of_skill(table: Table, row: Row) -> list[Words]:
    """How far the reachable limit is, over the tasks that have one."""
    columns = [column for column in table.columns if column.task in table.overall and column.limit is not None]
    pairs = []
    for column in columns:
        assert column.limit is not None
        ours, limit = row.entries[column.task].skill, _entry_skill(table, column.limit[0], column.task)
        if ours is not None and limit is not None:
            pairs.append((column, ours, limit))
    if not pairs:
        return [Words("; the ideal is 1, and no reachable limit is known")]
    ours, limit = _mean([pair[1] for pair in pairs]), _mean([pair[2] for pair in pairs])
    titles = {r.method: r.title for r in table.rows}
    names = ", ".join(dict.fromkeys(titles[column.limit[0]] for column, _, _ in pairs if column.limit))
    places = decimals([ours, limit], most=3)
    tasks = _listed([labels.task_code(column.task) for column, _, _ in pairs])
    return [
        Words(f"; the reachable limit in {tasks} is {fixed(limit.value, places)} ({names}), "),
        Words(_away(limit, ours, higher=True), True),
    ]


def _mean(skills: Sequence[Estimate]) -> Estimate:
    mean = average(skills)
    return mean.widened(of_mean(mean, skills))


def _entry_skill(table: Table, method: str, task: str) -> Estimate | None:
    return next((row.entries[task].skill for row in table.rows if row.method == method), None)


def _limit_of_task(table: Table, column: Column, score: Estimate) -> list[Words]:
    known = column.limit or column.ceiling
    if known is None:
        return []
    unit = labels.unit(column.unit)
    title = next((row.title for row in table.rows if row.method == known[0]), known[0])
    name = f"; the reachable limit is {{}} ({title})" if column.limit else "; the ideal is {}"
    places = decimals([known[1], score])
    value = fixed(known[1].value, 0 if known[1].value == round(known[1].value) else places)
    return [
        Words(f"{name.format(value + (f' {unit}' if unit else ''))}, "),
        Words(_away(known[1], score, higher=column.higher_is_better), True),
    ]


def _away(limit: Estimate, score: Estimate, *, higher: bool) -> str:
    gap = limit.value - score.value if higher else score.value - limit.value
    return f"{_apart(limit, score)} {'away' if gap >= 0 else 'beyond it'}"


def _apart(a: Estimate, b: Estimate) -> str:
    """How far apart, with the paired interval: ``0.021 (0.011–0.032)``."""
    gap = difference(a, b)
    if gap.value < 0:
        gap = gap.affine(-1, 0)
    places = decimals([gap])
    if 0 < gap.value < 0.5 * 10**-places:
        return f"less than {10**-places:.{places}f}"
    around = interval(gap, places)
    return fixed(gap.value, places) + (f" {around}" if around.startswith("[") else f" ({around})" if around else "")


def _skill(score: Estimate) -> str:
    return f"mean skill {fixed(score.value, decimals([score], most=3))}"


def _worse(score: Estimate, floor: Estimate, higher: bool) -> bool:
    return score.value < floor.value if higher else score.value > floor.value


def _by_task(table: Table, named: str) -> list[Words]:
    """Who is first where, of a table whose methods have no task set in common."""
    first: dict[str, list[str]] = {}
    for column in table.columns:
        if column.task in table.overall and (scored := _of_task(table, column)):
            first.setdefault(_first(scored).row.title, []).append(labels.task_code(column.task))
    if not first:
        return []
    complete = any(
        row.is_contestant and row.family != BUNDLE and all(row.entries[task].state == "ok" for task in table.overall)
        for row in table.rows
    )
    words = [Words(f"No method {'has a skill in' if complete else 'answers'} {named}. First is ")]
    for place, (title, tasks) in enumerate(first.items()):
        joint = "" if not place else " and " if place == len(first) - 1 else ", "
        words += [Words(joint), Words(title, True), Words(f" in {_listed(tasks)}")]
    return [*words, Words(".")]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
