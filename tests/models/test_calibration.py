"""What of a training split a fit takes into memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench.contracts import FitContext, Target, TaskSplit
from channelbench.models.networks.training import budget_of
from channelbench.registry import create, find
from channelbench.store.dataset import ChannelDataset


class Watched(TaskSplit):
    """Knows how many cases it was asked for at a time, at most."""

    __slots__ = ("most",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.most = 0

    def observe(self, cases: NDArray[np.int64] | Sequence[int] | None = None, *, epoch: int = 0) -> tuple[Any, Target]:
        self.most = max(self.most, len(self) if cases is None else len(cases))
        return super().observe(cases, epoch=epoch)


@pytest.mark.parametrize("name", ["start", "gru", "cross_stitch", "llm4wm+scratch"])
def test_a_fit_to_channels_sees_a_batch_at_a_time(few_rays: ChannelDataset, name: str) -> None:
    """Statistics of a whole split are taken by what needs them alone: a split of channels need not fit into memory."""
    data = {
        task: tuple(Watched(create("tasks", task), few_rays.view(split)) for split in ("train", "val"))
        for task in ("cp", "de")
    }
    method = find("methods", name)()
    tasks = [task for task in data if method.covers(create("tasks", task))]
    method.fit({task: data[task] for task in tasks}, FitContext(preset="smoke"))
    batch = budget_of("smoke").batch_size
    assert batch < len(data["cp"][0])
    assert max(split.most for split in data["cp"]) <= batch
    if "de" in tasks:
        assert data["de"][0].most == len(data["de"][0])
