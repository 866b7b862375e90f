"""Small multi-task PHY networks, and parts of batches by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, cast

import numpy as np
import torch

from channelbench.contracts import FitContext, TaskSplit
from channelbench.models.networks.data import as_batch
from channelbench.models.networks.groups import DetectionPart, PrecodingPart
from channelbench.models.networks.phy_llm.network import PhyLLMNetwork
from channelbench.models.phy_llm import PhyLLM, PhyLLMSingle
from channelbench.presets import Budget
from channelbench.registry import create, find
from channelbench.testing import conformance_dataset, small_backbone

TASKS = ("pre_mm", "pre_sr", "det", "cp")
TINY = Budget(batch_size=8, steps=3, validations=3, peak_rate=1e-3)


def splits(task: str) -> tuple[TaskSplit, TaskSplit]:
    training, validation = (
        TaskSplit(create("tasks", task), conformance_dataset().view(split)) for split in ("train", "val")
    )
    return training, validation


def all_splits(*tasks: str) -> dict[str, tuple[TaskSplit, TaskSplit]]:
    return {task: splits(task) for task in tasks or TASKS}


def context(**fields: Any) -> FitContext:
    return FitContext(**{"preset": "smoke", "backbone": small_backbone(), **fields})


def variant(name: str) -> type[PhyLLM]:
    return cast(type[PhyLLM], find("methods", f"phy_llm+{name}"))


@cache
def examples() -> dict[str, Any]:
    return {task: splits(task)[0].observe([0])[0] for task in TASKS}


def network(method: type[PhyLLM] = PhyLLM) -> PhyLLMNetwork:
    return method().build(examples(), context())


def precoding_part(users: int, loss: str = "sum_rate", groups: int = 3, antennas: int = 8) -> PrecodingPart:
    h = torch.randn(groups, users, antennas, dtype=torch.complex64)
    power = torch.logspace(-1, 1, groups)
    return PrecodingPart(h=h, power=power, noise_var=torch.full((groups,), 0.1), loss=loss)


def detection_part(users: int, groups: int = 3, antennas: int = 8) -> DetectionPart:
    h = torch.randn(groups, antennas, users, dtype=torch.complex64)
    x = (torch.randint(0, 4, (2, groups, 8, users)) * 2.0 - 3) / 10**0.5
    noise_var = torch.full((groups,), 0.5)
    y = torch.complex(*x) @ h.mT + 0.5 * torch.randn(groups, 8, antennas, dtype=torch.complex64)
    return DetectionPart(h=h, y=y, noise_var=noise_var, modulation="16qam", x=torch.complex(*x))


def channel_batch(count: int = 3) -> Any:
    return as_batch(*splits("cp")[0].observe(np.arange(count)), "cpu")


class OnSmallBackbone:
    """Methods with a trunk that takes no time."""

    def fit(self, data: Any, context: FitContext) -> None:
        super().fit(data, replace(context, backbone=small_backbone()))  # type: ignore[misc]


class SmallPhyLLM(OnSmallBackbone, PhyLLM):
    pass


class SmallPhyLLMSingle(OnSmallBackbone, PhyLLMSingle):
    pass
