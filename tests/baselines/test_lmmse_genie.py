"""The genie knows each drop's paths, whatever the order of the indices, and is better for it."""

import numpy as np
import pytest

from channelbench import registry
from channelbench.baselines.lmmse import LMMSE
from channelbench.baselines.lmmse_genie import GenieLMMSE
from channelbench.baselines.wiener import Wiener
from channelbench.contracts import FitContext, Genie, TaskSplit
from channelbench.generator import Block
from channelbench.grid import ChannelGrid
from channelbench.solvers.lmmse import path_lmmse
from channelbench.store.dataset import ChannelDataset
from channelbench.store.schema import antenna_positions, subcarrier_hz
from channelbench.tasks.link.observations import SameSlotsObservation
from channelbench.testing import FewRays, small_spec


@pytest.mark.parametrize("name", ["ce", "cp", "pf"])
def test_beats_the_ensembles_covariance(few_rays: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    train, val = (TaskSplit(task, few_rays.view(split)) for split in ("train", "val"))
    view, cases, conditions = few_rays.view("test"), np.arange(30), task.conditions()
    observation, target = task.observe(view, cases, conditions)
    genie, ensemble = GenieLMMSE(), Wiener() if name == "cp" else LMMSE()
    for method in (genie, ensemble):
        method.fit({name: (train, val)}, FitContext())
    knowing = genie.predict_knowing(name, observation, task.genie(view, cases, conditions))
    errors = []
    for prediction in (knowing, ensemble.predict(name, observation)):
        difference = prediction - target.value
        errors.append(np.sum(np.abs(difference) ** 2) / np.sum(np.abs(target.value) ** 2))
    assert errors[0] < 0.2 * errors[1]
    assert errors[0] < 0.01


def test_redraws_the_right_rows_of_the_right_blocks(drawn: list[Block]) -> None:
    spec = small_spec(test=450)
    band, indices = spec.sub6, np.array([449, 3, 199, 200, 4])
    grid = ChannelGrid(
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
    observation = SameSlotsObservation(h=h, noise_var=noise_var, grid=grid)
    genie = Genie(spec=spec, seed=7, split="test", samples=indices)
    method = GenieLMMSE()
    result = method.predict_knowing("ce", observation, genie)
    assert [block.index for block in drawn] == [0, 1, 2]
    for row, index in enumerate(indices):
        block = Block(split="test", index=index // 200, start=index % 200, stop=index % 200 + 1)
        paths = FewRays().paths(spec, block, 7)["sub6"]
        alone = path_lmmse(h[row : row + 1], noise_var[row : row + 1], paths, grid)
        np.testing.assert_allclose(result[row : row + 1], alone, rtol=1e-5, atol=1e-6)
    drawn.clear()
    method.predict_knowing("ce", observation, genie)
    assert [block.index for block in drawn] == [0, 1, 2]  # one block is remembered, no more


def test_small_batches_redraw_a_block_once(few_rays: ChannelDataset, drawn: list[Block]) -> None:
    task, method = registry.create("tasks", "cp"), GenieLMMSE()
    view, conditions = few_rays.view("test"), task.conditions()
    for row in range(3):
        case = np.array([row])
        observation, _ = task.observe(view, case, conditions)
        method.predict_knowing("cp", observation, task.genie(view, case, conditions))
    assert len(drawn) == 1


def test_predicts_nothing_without_being_told(few_rays: ChannelDataset) -> None:
    task = registry.create("tasks", "ce")
    observation, _ = task.observe(few_rays.view("test"), np.arange(2), task.conditions())
    with pytest.raises(TypeError, match="lmmse_genie predicts with a genie alone"):
        GenieLMMSE().predict("ce", observation)
