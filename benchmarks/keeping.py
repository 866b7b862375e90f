"""What a cell keeps of its predictions for later stages of an experiment."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.conditions import Conditions
from channelbench.contracts import Task
from channelbench.predictions import KEPT

__all__ = ["Keeper"]


class Keeper:
    """Collects what later stages may want to read of a cell's predictions."""

    def __init__(self, task: Task, conditions: Conditions) -> None:
        self.task, self.snr_db = task, getattr(conditions, "snr_db", math.nan)
        self._parts: dict[str, list[NDArray[Any]]] = {}

    def add(self, prediction: NDArray[Any], error_var: NDArray[Any] | None) -> None:
        """Those of one batch."""
        for name, values in self.task.kept(prediction, error_var).items():
            self._parts.setdefault(name, []).append(values)

    @property
    def artefacts(self) -> dict[str, dict[str, NDArray[Any]]]:
        """What there is of it, as an artefact."""
        whole = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        return {KEPT: {**whole, "snr_db": np.array(self.snr_db)}} if whole else {}
