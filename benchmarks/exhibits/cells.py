"""Cells of the exhibits' tables, their CSV and texts that several share: the same form for every number."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from channelbench.benchmarks.exhibits.paper import COLUMNS
from channelbench.families import CEILING
from channelbench.leaderboard.estimate import Estimate
from channelbench.leaderboard.gain import MEANING
from channelbench.leaderboard.numbers import decimals, fixed, interval, quantity
from channelbench.leaderboard.sections import SectionCell
from channelbench.leaderboard.views import View
from channelbench.tasks.link.conditions import LinkConditions

__all__ = ["AVERAGE", "GAINS", "amount", "blank", "cell", "csv_text", "noise_floor", "noise_note", "places", "record"]

AVERAGE = (
    "Avg. is Eq. 28: the mean of the three NMSEs, 1 − accuracy, the distance error over the training span and the "
    "centred NMSE of the path loss. It adds unlike units and is shown because the paper does."
)

GAINS = (
    f"“Gain”: {MEANING[0].lower()}{MEANING[1:]} “= its start”: every test case is answered as the fit’s own start "
    "answers it."
)


def places(estimates: Iterable[Estimate | None], *, least: int = 3, most: int = 4) -> int:
    """Decimals of a column: as many as its intervals bear, but those of the paper at least."""
    return max(decimals([e for e in estimates if e is not None], most=most), least)


def cell(
    score: Estimate | None,
    digits: int,
    published: float | None = None,
    note: str = "",
    *,
    printed_with: int = 3,
    remark: str = "",
) -> SectionCell:
    """A value with its interval and the paper's number, with the decimals that the paper prints."""
    printed = "" if published is None else fixed(published, printed_with)
    if score is None:
        return SectionCell(published=printed, note=note)
    return SectionCell(
        text=fixed(score.value, digits),
        interval=interval(score, digits),
        published=printed,
        note=note,
        remark=remark,
        value=score.value,
    )


def amount(value: float | None, published: str = "", note: str = "") -> SectionCell:
    """A quantity without an interval, such as a count or a time."""
    return SectionCell(text=quantity(value), published=published, note=note, value=math.nan if value is None else value)


def blank(note: str = "") -> SectionCell:
    """A dash, with a note that says why."""
    return SectionCell(note=note)


def record(score: Estimate | None, published: float | None = None, **keys: Any) -> dict[str, Any]:
    """A line of a CSV; what is missing stays empty."""
    numbers: dict[str, float | None] = {"value": None, "low": None, "high": None, "seeds": None}
    if score is not None:
        numbers = {"value": score.value, "low": score.low, "high": score.high, "seeds": max(len(score.by_seed), 1)}
    return {**keys, **numbers, "paper": published}


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Records with the same keys as CSV; ``None`` and NaN are empty."""
    if not records:
        return ""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    for item in records:
        writer.writerow({k: "" if isinstance(v, float) and math.isnan(v) else v for k, v in item.items()})
    return buffer.getvalue()


def noise_floor(view: View) -> str:
    """What noise in the targets does to NMSE: the score of the exact channel."""
    scores = {column.task: view.score(CEILING, column.task, "nmse") for column in COLUMNS if column.metric == "nmse"}
    known = [f"{task.upper()} {fixed(score.value, 4)}" for task, score in scores.items() if score is not None]
    snr_db = float(str(view.table.changes.get("snr_db", LinkConditions().snr_db)))
    floor = 1 / (1 + 10 ** (snr_db / 10))
    measured = f" (measured here: {', '.join(known)})" if known else ""
    return (
        f"Targets carry the pilots’ noise, as in the paper’s public evaluation: at {snr_db:g} dB even "
        f"the exact channel scores an NMSE near 1/(1+SNR) = {floor:.4f}{measured}."
    )


def noise_note(view: View) -> str:
    """What follows the text of a section that shows one view: nothing where its targets are clean."""
    return f" With paper_compat: {noise_floor(view)}" if view.noisy else ""
