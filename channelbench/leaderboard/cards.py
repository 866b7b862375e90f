"""The words at the top of the page: the data, the rules, the state of the run; and who the methods are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from channelbench.bootstrap import RESAMPLES
from channelbench.families import BUNDLE, CEILING, FLOOR, family_of
from channelbench.leaderboard import cite, labels
from channelbench.leaderboard.board import Board, Column, Row, Table
from channelbench.leaderboard.catalogue import observed, sentence, task_entry
from channelbench.leaderboard.estimate import MIN_SEEDS
from channelbench.leaderboard.gain import MEANING, same_as_start
from channelbench.leaderboard.numbers import decimals, fixed, frequency
from channelbench.presets import PRESETS
from channelbench.results import DatasetCard

__all__ = [
    "UNKNOWN_SPREAD",
    "adds_nothing",
    "anchors",
    "conditions",
    "dataset",
    "header",
    "is_noisy",
    "methods",
    "noise_floor",
    "protocol",
    "task",
    "unranked",
    "weights",
]

UNKNOWN_SPREAD = "seed spread unknown"

_STATES = {"los": "line of sight", "nlos": "no line of sight", "random": "line of sight at random"}


def header(board: Board) -> dict[str, Any]:
    """What ran, and how much of it is here."""
    manifest = board.manifest
    failed = sum(result.status == "failed" for result in board.results)
    missing = sum(
        len(row.entries[column.task].missing_seeds)
        for table in board.tables
        for row in table.rows
        for column in table.columns
        if column.varied
    )
    done = len(board.results) - failed
    dates = sorted({result.created[:10] for result in board.results if result.created})
    facts = [
        f"suite {manifest.suite}",
        f"preset {manifest.preset}",
        _scenario(manifest.dataset.spec),
        *(["hidden test"] if manifest.dataset.fitted else []),
        *([dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"] if dates else []),
    ]
    return {
        "facts": facts,
        "done": f"{done} cell{'s' if done != 1 else ''} scored",
        "failed": f"{failed} failed" if failed else "",
        "missing": f"{missing} not run" if missing else "",
        "preset": manifest.preset,
        "caution": PRESETS[manifest.preset].caution if manifest.preset in PRESETS else "",
    }


def _scenario(spec: Mapping[str, Any]) -> str:
    state = str(spec.get("state") or "")
    return f"{labels.scenario(spec)} {_STATES.get(state, state)}".strip()


def dataset(card: DatasetCard) -> dict[str, Any]:
    """The dataset card; fields that the spec lacks are left out."""
    spec = card.spec
    sizes = spec.get("sizes") or {}
    speeds = [3.6 * float(spec[key]) for key in ("speed_min_mps", "speed_max_mps") if spec.get(key) is not None]
    distances = [spec.get(key, 0) for key in ("min_distance_m", "max_distance_m")]
    facts = [
        ("Scenario", _scenario(spec)),
        ("Source", labels.source(spec)),
        ("System", spec.get("system", "?") or ""),
        (
            "Samples",
            " / ".join(f"{sizes[s]:,} {s}".replace(",", "\u202f") for s in ("train", "val", "test") if s in sizes),
        ),
        ("Distance", "" if None in distances else f"{distances[0]:g}–{distances[1]:g} m"),
        ("Speed", "–".join(dict.fromkeys(f"{speed:.3g}" for speed in speeds)) + " km/h" if speeds else _unknown(spec)),
        ("Seed", str(card.seed)),
        ("Test", "hidden: another draw, from a secret; the digest is an HMAC under it" if card.fitted else ""),
        ("Fits", f"on the public dataset {card.fitted[:12]}" if card.fitted else ""),
        ("Digest", card.digest[:12]),
        ("Versions", ", ".join(f"{name} {version}" for name, version in card.versions.items())),
    ]
    return {
        "facts": [(name, value) for name, value in facts if value],
        "digest": card.digest,
        "bands": [_band(band) for band in (spec.get("sub6"), spec.get("mmwave")) if band],
    }


def _unknown(spec: Mapping[str, Any]) -> str:
    """Of a spec that says that speeds are not known nothing is shown; a record without them has a question mark."""
    return "" if "speed_min_mps" in spec else "?"


def _band(band: Mapping[str, Any]) -> tuple[str, ...]:
    array = band.get("array") or {}
    rows, columns = int(array.get("rows", 1)), int(array.get("columns", 1))
    slots, slot_s = int(band.get("num_slots", 1)), float(band.get("slot_s", 0))
    return (
        frequency(float(band.get("carrier_hz", 0))),
        frequency(float(band.get("bandwidth_hz", 0))),
        str(band.get("num_subcarriers", "?")),
        f"{columns} (ULA)" if rows == 1 else f"{columns} × {rows} (UPA)",
        f"{slots} × {1e3 * slot_s:g} ms" if slots > 1 else "1",
    )


def task(board: Board, column: Column) -> str:
    """A task's title, or its description where that says no more than the name; of one that has not the table's
    conditions also which it has."""
    known = task_entry(board.manifest, column.task)
    text = known.description.rstrip(".") if known.title.lower() == column.task.lower() else known.title
    if column.varied:
        return text
    return f"{text} (shown at its own conditions: {labels.condition_title(column.condition).lower()})"


def conditions(board: Board, table: Table) -> str:
    """What was observed and what it was compared with, of the tasks that have the table's conditions."""
    return observed(
        {
            labels.task_code(column.task): sentence(board.manifest, column.task, column.condition, table.changes)
            for column in table.columns
            if column.varied
        }
    )


def _of_overall(board: Board) -> str:
    """Of which tasks the overall skill is the mean, in words."""
    named = [task for task in board.manifest.tasks if task in board.manifest.overall]
    if named:
        return ", ".join(map(labels.task_code, named))
    tasks = len(board.manifest.tasks)
    return f"{'all ' if tasks > 1 else ''}{tasks} task{'s' if tasks != 1 else ''}"


def _observed(board: Board) -> Iterator[str]:
    """What is seen, of the kinds of tasks that there are; of a run that does not say, as links have it."""
    fields = [set(task_entry(board.manifest, task).fields) for task in board.manifest.tasks]
    links = [names for names in fields if "users" not in names]
    if links:
        yield "Pilots are the channel plus complex Gaussian noise at the stated SNR."
    if len(links) < len(fields):
        yield "Groups are of users of one split, disjoint in the test; what is known of them stands above each table."
    yield "All draws are the same for every method. Training draws the SNR uniformly from 5–20 dB."


def protocol(board: Board) -> list[tuple[str, str]]:
    """What every number on the page means."""
    return [
        ("Observation", " ".join(_observed(board))),
        ("Targets", "Clean, unless a table says otherwise. Scores are of the test split; its drops occur in no other."),
        (
            "Skill",
            "(floor − score) / (floor − ceiling) on the primary metric: 0 is the best trivial answer of the task, "
            "1 the ceiling. Below 0 is worse than trivial.",
        ),
        *([("Gain over the start", MEANING)] if any(table.has_gains for table in board.tables) else []),
        (
            "Overall",
            f"Mean skill over {_of_overall(board)}, for rows that have every one. A failed or missing cell is never "
            "averaged away: such a row is listed with its coverage. "
            "A bundle answers each task with its first member that supports it.",
        ),
        (
            "Intervals",
            f"95\u00a0%, bootstrap over drops ({RESAMPLES} resamples), and the t interval of the mean over trainings, "
            "added in squares. Anchors of skill count as exact.",
        ),
        (
            "Ranks",
            "The places that a row may have: 1 + the rows that are shown to be better, to all but those that are shown "
            "to be worse. In a column of equal rows any two are told apart in 5\u00a0% of cases: one critical value "
            "for all pairs, over the same drops and with the spread between trainings. What is worse than trivial "
            "never ranks 1. A bundle’s cell is its member’s; over all tasks a bundle has no place.",
        ),
        (
            "Seeds",
            "Scores are means over seeds. How far trainings lie apart is pooled over the learned rows of the task, of "
            f"the same family first, that have two seeds or more; rows with fewer than {MIN_SEEDS} are marked. Where "
            f"no row can lend, the interval stands in brackets ({UNKNOWN_SPREAD}), and the row has no rank.",
        ),
    ]


def is_noisy(column: Column) -> bool:
    """Whether noise in the targets keeps even the exact answer from the metric's best value."""
    return column.ceiling is not None and not column.higher_is_better and column.ceiling[1].value > 0


def noise_floor(table: Table) -> str:
    """One sentence on what noise in the targets does to this table."""
    noisy = [column for column in table.columns if is_noisy(column)]
    values = ", ".join(
        f"{fixed(column.ceiling[1].value, 4)} ({labels.task_code(column.task)})" for column in noisy if column.ceiling
    )
    floor = (
        f" Even the exact channel therefore scores {labels.metric_label(noisy[0].metric)} {values}:"
        " this noise floor is the ceiling row below and the line in the pictures."
        if noisy
        else ""
    )
    return (
        "Targets carry the same noise as the pilots, scaled by the training set’s mean power, as some published "
        f"evaluations do.{floor} Compare no number here with another table."
    )


def unranked(table: Table) -> str:
    """Which learned rows have no rank for want of seeds, and why; nothing where none has."""
    tasks: dict[str, list[str]] = {}
    for column in table.columns:
        for row in table.rows:
            score = row.entries[column.task].scores.get(column.metric)
            if row.family != BUNDLE and row.is_contestant and score is not None and score.spread_unknown:
                tasks.setdefault(labels.task_code(column.task), []).append(row.title)
    rows = dict.fromkeys(title for titles in tasks.values() for title in titles)
    if not rows:
        return ""
    names = f"{len(rows)} learned rows have" if len(rows) > 3 else f"{' and '.join(rows)} {_have(len(rows))}"
    return (
        f"{names} no rank in {', '.join(tasks)}: one seed each, and no learned row with two or more to tell how far "
        f"trainings lie apart ({UNKNOWN_SPREAD}). Their intervals, in brackets, are over drops alone; the other rows "
        "are ranked among themselves. Run more seeds to rank them."
    )


def adds_nothing(table: Table) -> str:
    """Which cells answer as their fits' own starts do, in every case; nothing where none does."""
    found: dict[tuple[str, str], list[str]] = {}
    for column in table.columns:
        for row in table.rows:
            results = row.entries[column.task].results
            if row.family != BUNDLE and results and all(result.adds_nothing for result in results):
                found.setdefault((labels.task_code(column.task), same_as_start(results)), []).append(row.title)
    return "; ".join(f"{task}: {_each(titles)} {sentence}" for (task, sentence), titles in found.items()) + (
        "." if found else ""
    )


def _each(titles: Sequence[str]) -> str:
    """Names before a verb in the singular."""
    return titles[0] if len(titles) == 1 else f"each of {', '.join(titles[:-1])} and {titles[-1]}"


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def anchors(table: Table, column: Column) -> str:
    """Floor and ceiling of one task, and which trivial answer set the floor."""
    titles = {row.method: row.title for row in table.rows}
    parts = []
    for name, anchor in ((FLOOR, column.floor), (CEILING, column.ceiling)):
        if anchor is None:
            parts.append(f"no {name}")
            continue
        score = anchor[1]
        value = fixed(score.value, 0 if score.value == round(score.value) else decimals([score], most=3))
        unit = labels.unit(column.unit)
        source = f" ({titles[anchor[0]]})" if name == FLOOR else ""
        parts.append(f"{name} {value}{' ' + unit if unit else ''}{source}")
    return "; ".join(parts)


def methods(board: Board) -> list[dict[str, Any]]:
    """Every method once, with its source, its code and notes."""
    seen: dict[str, dict[str, Any]] = {}
    known = cite.short_names(board.results)
    for table in board.tables:
        for row in table.rows:
            result = next((r for entry in row.entries.values() for r in entry.results), None)
            if row.family != BUNDLE and result is not None:
                seen.setdefault(
                    row.method,
                    {
                        "name": row.method,
                        "title": row.title,
                        "family": family_of(row.family).title,
                        "family_name": row.family,
                        "description": cite.description(result),
                        "reference": result.reference.rstrip("."),
                        "paper": cite.paper(result.reference, known),
                        "code": cite.code_of_method(result, board.code.get(result.name, "unknown")),
                        "notes": result.notes,
                        "weights": weights(row),
                    },
                )
    return list(seen.values())


def weights(row: Row) -> str:
    """Which backbone weights a row's cells say they used; several where they differ, nothing without a backbone."""
    used = (result.weights for entry in row.entries.values() for result in entry.results)
    return "; ".join(dict.fromkeys(text for text in used if text))
