"""Is the mean power of the channels 1, within bounds that do not grow with what is wrong?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from channelbench.spec import ScenarioSpec
from channelbench.store import layout

__all__ = ["LARGEST_POWER", "power_notes", "power_problems"]

LARGEST_POWER = 100.0
"""Of one sample, in the mean over its numbers: a Rayleigh channel of a single number exceeds it with e⁻¹⁰⁰."""

LARGEST_SPREAD = 1.0
"""Standard deviation of samples' powers, at most: that of a Rayleigh channel of one number. Averages over numbers and a
line of sight have less."""

ENOUGH = 100
"""Samples that say themselves what their standard deviation is."""


def power_notes(
    spec: ScenarioSpec, drops: NDArray[np.int64] | None, written: NDArray[np.bool_] | None = None
) -> Iterator[str]:
    """Splits whose mean power could be anything, because the source says so or the samples share few units.

    Args:
        spec: What was asked for.
        drops: The independent unit of each sample. ``[samples]``.
        written: Which samples are there, where not all are: units of others are no units yet. ``[samples]``.
    """
    if np.isinf(spec.source.power_slack):
        yield "means not checked: path gain may be in the channels"
        return
    for split, rows in layout.split_rows(spec).items():
        there = np.ones(rows.stop - rows.start, bool) if written is None else written[rows]
        units = 0 if drops is None else len(np.unique(drops[rows][there]))
        shared = spec.source.power_slack > 0 or units < there.sum()
        if units and shared and _tolerance(spec, LARGEST_SPREAD, units) >= 1:
            yield f"mean of {split} proves nothing: its samples are no independent draws"


def _tolerance(spec: ScenarioSpec, spread: float, units: int) -> float:
    return float(0.02 + spec.source.power_slack + 5 * spread / np.sqrt(units))


def power_problems(
    spec: ScenarioSpec,
    name: str,
    parts: Iterable[tuple[int, NDArray[np.float64]]],
    drops: NDArray[np.int64] | None = None,
) -> Iterator[str]:
    """What is wrong with a band's powers: a sample's is above ``LARGEST_POWER``, or a split's mean is not within five
    standard errors of 1 (and 2 % for what tables of finite precision leave, and what the source may be off).

    Args:
        spec: Of the dataset.
        name: The variable.
        parts: Powers of some samples each, with the row of the first.
        drops: The independent unit of each sample, where several share one, as users of one square share fades; each
            has its own by default. ``[samples]``.
    """
    power = np.full(spec.sizes.total, np.nan)
    there = np.zeros(spec.sizes.total, bool)
    for start, values in parts:
        power[start : start + len(values)], there[start : start + len(values)] = values, True
    for split, rows in layout.split_rows(spec).items():
        found = power[rows][there[rows]]
        if not len(found):
            continue
        if np.isinf(spec.source.power_slack) and np.isfinite(found).all():
            continue
        if large := int((found > LARGEST_POWER).sum()):
            most = f"up to {found.max():.3g} in sample {rows.start + int(np.nanargmax(power[rows]))}"
            yield f"{name}: {large} samples of {split} have a mean power above {LARGEST_POWER:g}, {most}"
        units = len(found) if drops is None else len(np.unique(drops[rows][there[rows]]))
        spread = min(float(found.std()), LARGEST_SPREAD) if units >= ENOUGH else LARGEST_SPREAD
        tolerance = _tolerance(spec, spread, units)
        if not abs(found.mean() - 1) <= tolerance:
            yield f"{name}: mean power of {split} {found.mean():.3g}, expected 1 ± {tolerance:.3f}"
