"""Observations made by hand, and splits of arrays, for methods that are checked against formulas."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from channelbench.contracts import Target, TaskSplit
from channelbench.generator import Block
from channelbench.grid import BeamGrid, ChannelGrid, Grid
from channelbench.spec import ScenarioSpec
from channelbench.tasks.link.observations import (
    BeamObservation,
    LaterSlotsObservation,
    LinkObservation,
    SameSlotsObservation,
    ScalarObservation,
)
from channelbench.testing import small_spec
from channelbench.testing.factories import FewRays

MakeObservation = Callable[..., LinkObservation]
MakeSplit = Callable[..., TaskSplit]


@pytest.fixture(scope="session")
def dualband() -> ScenarioSpec:
    return small_spec()


@pytest.fixture(scope="session")
def make_observation(dualband: ScenarioSpec) -> MakeObservation:
    """``make(h, …)``: an observation on a grid of 1 MHz subcarriers around 2 GHz and 0.5 ms slots.

    It is one of a channel task where target subcarriers or slots are given, of a beam task where a number of beams is,
    else of a task of one number.
    """
    assert dualband.mmwave is not None
    beam_band = dualband.mmwave

    def make(
        h: NDArray[Any],
        noise_var: float | NDArray[Any] = 0.0,
        *,
        subcarriers: NDArray[Any] | None = None,
        target_subcarriers: NDArray[Any] | None = None,
        target_slots: NDArray[Any] | None = None,
        **grid: Any,
    ) -> LinkObservation:
        seen = np.arange(h.shape[2]) if subcarriers is None else subcarriers
        wanted = seen if target_subcarriers is None else target_subcarriers
        slots = np.arange(h.shape[1])
        half_wavelengths = np.arange(h.shape[3]) - (h.shape[3] - 1) / 2
        fields: dict[str, Any] = {
            "carrier_hz": 2e9,
            "subcarrier_hz": 2e9 + 1e6 * seen,
            "slot_s": 0.5e-3 * slots,
            "antenna_position": np.stack([0 * half_wavelengths, half_wavelengths / 2, 0 * half_wavelengths], axis=-1),
        }
        coming = slots if target_slots is None else target_slots
        targets = {"target_subcarrier_hz": 2e9 + 1e6 * wanted, "target_slot_s": 0.5e-3 * coming}
        beams = {
            "num_beam_antennas": beam_band.array.num_antennas,
            "beam_spacing_wavelengths": beam_band.array.spacing_wavelengths,
            "beam_carrier_hz": beam_band.carrier_hz,
        }
        seen_parts: dict[str, Any] = {
            "h": h.astype(np.complex64),
            "noise_var": np.broadcast_to(np.asarray(noise_var, np.float32), len(h)).copy(),
        }
        if "num_beams" in grid:
            return BeamObservation(**seen_parts, grid=BeamGrid(**(fields | beams | grid)))
        if target_subcarriers is None and target_slots is None:
            return ScalarObservation(**seen_parts, grid=Grid(**(fields | grid)))
        kind = SameSlotsObservation if np.array_equal(coming, slots) else LaterSlotsObservation
        return kind(**seen_parts, grid=ChannelGrid(**(fields | targets | grid)))

    return make


class ArraySplit:
    """As much of a ``TaskSplit`` as methods use, over arrays in memory."""

    def __init__(self, observation: LinkObservation, value: NDArray[Any], loss: str = "") -> None:
        self.whole, self.value, self.loss = observation, value, loss

    def __len__(self) -> int:
        return len(self.value)

    def observe(self, indices: Any = None, *, epoch: int = 0) -> tuple[LinkObservation, Target]:
        rows = np.arange(len(self)) if indices is None else np.asarray(indices)
        whole = self.whole
        part = replace(whole, h=whole.h[rows], noise_var=whole.noise_var[rows])
        return part, Target(value=self.value[rows])


@pytest.fixture(scope="session")
def make_split() -> MakeSplit:
    """``make(observation, target values, loss)``: both as a training or validation split."""
    return ArraySplit  # type: ignore[return-value]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Block]:
    """The blocks of few rays that are drawn from here on."""
    blocks: list[Block] = []
    original = FewRays.paths

    def counting(self: FewRays, spec: ScenarioSpec, block: Block, seed: int) -> Any:
        blocks.append(block)
        return original(self, spec, block, seed)

    monkeypatch.setattr(FewRays, "paths", counting)
    return blocks
