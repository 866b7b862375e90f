"""Networks as tests want them, and what they are shown."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from channelbench.registry import create
from channelbench.store.dataset import ChannelDataset

__all__ = ["redraw", "seen_in_test", "stir"]


def seen_in_test(task: str, dataset: ChannelDataset, cases: Any, **conditions: Any) -> tuple[Any, Any]:
    """Observation and target of cases of the test split."""
    kind = create("tasks", task)
    return kind.observe(dataset.view("test"), cases, kind.conditions(**conditions))


def stir(module: nn.Module) -> None:
    """Random weights where untrained ones are zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))


def redraw(module: nn.Module) -> None:
    """Random weights where untrained ones are zero or equal."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
