"""Observations made by hand, and splits of arrays, for methods that are checked against formulas."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench.contracts import Grid, Observation, Target, TaskSplit
from channelbench.spec import ScenarioSpec
from channelbench.testing import small_spec

MakeObservation = Callable[..., Observation]
MakeSplit = Callable[[Observation, NDArray[Any]], TaskSplit]


@pytest.fixture(scope="session")
def dualband() -> ScenarioSpec:
    return small_spec()


@pytest.fixture(scope="session")
def make_observation(dualband: ScenarioSpec) -> MakeObservation:
    """``make(h, …)``: an observation on a grid of 1 MHz subcarriers around 2 GHz and 0.5 ms slots."""

    def make(
        h: NDArray[Any],
        noise_var: float | NDArray[Any] = 0.0,
        *,
        subcarriers: NDArray[Any] | None = None,
        target_subcarriers: NDArray[Any] | None = None,
        target_slots: NDArray[Any] | None = None,
        indices: NDArray[Any] | None = None,
        **grid: Any,
    ) -> Observation:
        seen = np.arange(h.shape[2]) if subcarriers is None else subcarriers
        wanted = seen if target_subcarriers is None else target_subcarriers
        slots = np.arange(h.shape[1])
        half_wavelengths = np.arange(h.shape[3]) - (h.shape[3] - 1) / 2
        fields: dict[str, Any] = {
            "carrier_hz": 2e9,
            "subcarrier_hz": 2e9 + 1e6 * seen,
            "slot_s": 0.5e-3 * slots,
            "antenna_position": np.stack([0 * half_wavelengths, half_wavelengths / 2, 0 * half_wavelengths], axis=-1),
            "target_subcarrier_hz": 2e9 + 1e6 * wanted,
            "target_slot_s": 0.5e-3 * (slots if target_slots is None else target_slots),
        }
        return Observation(
            h=h.astype(np.complex64),
            noise_var=np.broadcast_to(np.asarray(noise_var, np.float32), len(h)).copy(),
            grid=Grid(**(fields | grid)),
            spec=dualband,
            seed=0,
            split="test",
            indices=np.arange(len(h)) if indices is None else indices,
        )

    return make


class ArraySplit:
    """As much of a ``TaskSplit`` as methods use, over arrays in memory."""

    def __init__(self, observation: Observation, value: NDArray[Any]) -> None:
        self.whole, self.value = observation, value

    def __len__(self) -> int:
        return len(self.value)

    def observe(self, indices: Any = None, *, epoch: int = 0) -> tuple[Observation, Target]:
        rows = np.arange(len(self)) if indices is None else np.asarray(indices)
        whole = self.whole
        part = Observation(
            h=whole.h[rows],
            noise_var=whole.noise_var[rows],
            grid=whole.grid,
            spec=whole.spec,
            seed=whole.seed,
            split=whole.split,
            indices=whole.indices[rows],
        )
        return part, Target(value=self.value[rows])


@pytest.fixture(scope="session")
def make_split() -> MakeSplit:
    """``make(observation, target values)``: both as a training or validation split."""
    return ArraySplit  # type: ignore[return-value]
