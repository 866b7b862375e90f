"""Columns of rows that are truly equal, drawn as often as a simulation needs them, and how many are told apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from channelbench.bootstrap import flipped_errors
from channelbench.leaderboard.estimate import Errors, Estimate
from channelbench.leaderboard.ranking import rank_intervals

__all__ = ["LAWS", "Column", "told_apart"]

Floats = NDArray[np.float64]

LAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Floats]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "gamma": lambda rng, shape: (rng.gamma(0.5, 2.0, shape) - 1) / np.sqrt(2),
    "lognormal": lambda rng, shape: (rng.lognormal(0, 1, shape) - np.exp(0.5)) / np.sqrt(np.e * (np.e - 1)),
    "hits": lambda rng, shape: ((rng.random(shape) < 0.05) - 0.05) / np.sqrt(0.05 * 0.95),
}
"""What the drops add, per row and drop: mean 0, variance 1. The gamma law has a skewness of 2.8, the lognormal one of
6.2, and ``hits`` are the errors of an accuracy of 95 %."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of equal rows.

    Attributes:
        rows: How many.
        drops: How many.
        law: Of what the drops add.
        spread: Deviation between trainings, in standard errors of a score over the drops; one number for all rows or
            one for each.
        seeds: Trainings of each row, over and over; 0 for a formula.
        erring: Deviation of what each training adds to each drop by itself, in that of the law.
    """

    rows: int = 20
    drops: int = 300
    law: str = "gamma"
    spread: float | Sequence[float] = 0.0
    seeds: Sequence[int] = (0,)
    erring: float = 0.0

    def draw(self, rng: np.random.Generator) -> dict[str, Estimate]:
        terms = LAWS[self.law](rng, (self.rows, self.drops))
        spread = np.broadcast_to(self.spread, self.rows) / np.sqrt(self.drops)
        trained = [self.seeds[row % len(self.seeds)] for row in range(self.rows)]
        of_seeds = []
        for row, number in enumerate(trained):
            each = np.repeat(terms[[row]], max(number, 1), axis=0)
            if number:
                each = each + spread[row] * rng.standard_normal((number, 1))
                each += self.erring * rng.standard_normal(each.shape) if self.erring else 0.0
            of_seeds.append(each)
        values = [each.mean(axis=1) for each in of_seeds]
        draws = flipped_errors(np.concatenate([e - v[:, None] for e, v in zip(of_seeds, values, strict=True)]).T)
        ends = np.cumsum([len(each) for each in of_seeds])[:-1]
        return {
            f"row {row}": Estimate(
                value=float(v.mean()),
                low=float(v.mean()) - 1,
                high=float(v.mean()) + 1,
                by_seed=dict(enumerate(v.tolist())),
                errors=Errors(draws=d.mean(axis=1), by_seed=dict(enumerate(d.T)), units=self.drops),
                seeds=trained[row],
            )
            for row, (v, d) in enumerate(zip(values, np.split(draws, ends, axis=1), strict=True))
        }


def told_apart(column: Column, boards: int, seed: int = 0) -> int:
    """In how many of so many columns any two rows are told apart."""
    rng = np.random.default_rng(seed)
    count = 0
    with threadpool_limits(1):  # the matrices are small: threads would only wait for each other
        for _ in range(boards):
            drawn = column.draw(rng)
            ranks = rank_intervals(drawn, dict.fromkeys(drawn, "small"), higher_is_better=False)
            assert len(ranks) == column.rows
            count += any((rank.low, rank.high) != (1, column.rows) for rank in ranks.values())
    return count
