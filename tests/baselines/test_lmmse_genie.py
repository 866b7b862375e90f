"""The genie knows each drop's paths, whatever the order of the indices, and is better for it."""

from typing import Any

import numpy as np
import pytest

from channelbench import registry
from channelbench.baselines.lmmse import LMMSE
from channelbench.baselines.lmmse_genie import GenieLMMSE
from channelbench.baselines.wiener import Wiener
from channelbench.contracts import Block, Conditions, Grid, Observation, TaskSplit
from channelbench.solvers.lmmse import path_lmmse
from channelbench.store.dataset import ChannelDataset
from channelbench.store.schema import antenna_positions, subcarrier_hz
from channelbench.testing import FewRays, small_spec


@pytest.mark.parametrize("name", ["ce", "cp", "pf"])
def test_beats_the_ensembles_covariance(few_rays: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    train, val = (TaskSplit(task, few_rays, split, Conditions()) for split in ("train", "val"))
    observation, target = task.observe(few_rays, "test", np.arange(30), Conditions())
    errors = []
    for method in (GenieLMMSE(), Wiener() if name == "cp" else LMMSE()):
        method.fit({name: (train, val)}, 0)
        difference = method.predict(name, observation) - target.value
        errors.append(np.sum(np.abs(difference) ** 2) / np.sum(np.abs(target.value) ** 2))
    assert errors[0] < 0.2 * errors[1]
    assert errors[0] < 0.01


def test_redraws_the_right_rows_of_the_right_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = small_spec(test=450)
    band, indices = spec.sub6, np.array([449, 3, 199, 200, 4])
    grid = Grid(
        carrier_hz=band.carrier_hz,
        subcarrier_hz=subcarrier_hz(band)[::16],
        slot_s=np.linspace(0, 2 * band.slot_s, 3),
        antenna_position=antenna_positions(band),
        target_subcarrier_hz=subcarrier_hz(band)[::8],
        target_slot_s=np.linspace(0, 3 * band.slot_s, 4),
    )
    rng = np.random.default_rng(0)
    h = (rng.standard_normal((5, 3, 4, 8)) + 1j * rng.standard_normal((5, 3, 4, 8))).astype(np.complex64)
    noise_var = np.linspace(0.01, 1, 5, dtype=np.float32)
    observation = Observation(h=h, noise_var=noise_var, grid=grid, spec=spec, seed=7, split="test", indices=indices)
    drawn: list[Block] = []
    original = FewRays.paths

    def counting(self: FewRays, spec: Any, block: Block, seed: int) -> Any:
        drawn.append(block)
        return original(self, spec, block, seed)

    monkeypatch.setattr(FewRays, "paths", counting)
    method = GenieLMMSE()
    result = method.predict("ce", observation)
    assert [block.index for block in drawn] == [0, 1, 2]
    for row, index in enumerate(indices):
        block = Block(split="test", index=index // 200, start=index % 200, stop=index % 200 + 1)
        paths = original(FewRays(), spec, block, 7)["sub6"]
        alone = path_lmmse(h[row : row + 1], noise_var[row : row + 1], paths, grid)
        np.testing.assert_allclose(result[row : row + 1], alone, rtol=1e-5, atol=1e-6)
    drawn.clear()
    method.predict("ce", observation)
    assert [block.index for block in drawn] == [0, 1, 2]  # one block is remembered, no more


def test_small_batches_redraw_a_block_once(few_rays: ChannelDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Block] = []
    original = FewRays.paths

    def counting(self: FewRays, spec: Any, block: Block, seed: int) -> Any:
        calls.append(block)
        return original(self, spec, block, seed)

    monkeypatch.setattr(FewRays, "paths", counting)
    task, method = registry.create("tasks", "cp"), GenieLMMSE()
    for row in range(3):
        method.predict("cp", task.observe(few_rays, "test", np.array([row]), Conditions())[0])
    assert len(calls) == 1
