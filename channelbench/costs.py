"""What a result costs: every figure that cells carry, in one table that measuring, pages, exhibits and docs read."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["COSTS", "LATENCY_BATCHES", "CostColumn", "latency_key"]

LATENCY_BATCHES = (1, 512)
"""Samples in the calls of ``predict`` that are timed."""


@dataclass(frozen=True, kw_only=True)
class CostColumn:
    """One line of the table. Every figure is a number; tables show three digits of it with k, M or G.

    Attributes:
        key: In the costs of a cell, and the column of the leaderboard's CSV.
        title, unit: Of the column on the page.
        description: What it is, for the docs.
        over_tasks: How the figures of several tasks make one: a sum over the networks, a mean, or the largest.
        whole: Whether each cell of a method that is fitted to all its tasks at once states the whole of it, so that
            over tasks it is the largest instead.
        lower_is_better: Which way the column is sorted first.
        shown: Whether it has a column on the page and a fixed one in the CSV; the others come last in the CSV, where
            cells have them.
    """

    key: str
    title: str
    unit: str
    description: str
    over_tasks: Callable[[Iterable[float]], float] = sum
    whole: bool = False
    lower_is_better: bool = True
    shown: bool = True


def latency_key(batch: int) -> str:
    """The key of the latency of a call with so many samples."""
    return f"latency_ms_batch{batch}"


_LINES = (
    CostColumn(
        key="trainable_parameters",
        title="Trainable",
        unit="parameters",
        description="parameters that are trained",
        whole=True,
    ),
    CostColumn(
        key="total_parameters",
        title="Total",
        unit="parameters",
        description="all parameters that a prediction uses, a frozen backbone's included",
        whole=True,
    ),
    CostColumn(
        key="flops_per_sample",
        title="FLOP",
        unit="per sample",
        description="floating-point operations of one prediction, matrix products and convolutions",
        over_tasks=statistics.fmean,
    ),
    CostColumn(
        key="fit_s",
        title="Fit",
        unit="s",
        description="seconds of the fit; absent where only its last part was made here",
        whole=True,
    ),
    CostColumn(
        key="samples_seen",
        title="Seen",
        unit="samples",
        description="training samples that the fit was given, each time counted; absent as the seconds are",
        whole=True,
    ),
    CostColumn(
        key="samples_of_budget",
        title="Of budget",
        unit="×",
        description="samples seen over those of the preset's budget, of learned methods: its steps, and one look",
        over_tasks=statistics.fmean,
    ),
    CostColumn(key="predict_s", title="Predict", unit="s", description="seconds to predict the test split"),
    *(
        CostColumn(
            key=latency_key(batch),
            title=f"Latency, {batch}",
            unit="ms",
            description=f"median milliseconds of a call with a batch of {batch}",
            over_tasks=statistics.fmean,
        )
        for batch in LATENCY_BATCHES
    ),
    CostColumn(
        key="peak_memory_mb",
        title="Memory",
        unit="MB",
        description="peak growth of resident memory while fitting and predicting; on CUDA the allocator's peak",
        over_tasks=max,
    ),
    CostColumn(
        key="unused_parameters",
        title="Unused",
        unit="parameters",
        description="parameters of the backbone that no prediction uses, such as a token table; not in the total",
        whole=True,
        shown=False,
    ),
)

COSTS: Mapping[str, CostColumn] = MappingProxyType({column.key: column for column in _LINES})
"""By key, in the order of the page. A method may report further figures: they are kept, and last in the CSV."""
