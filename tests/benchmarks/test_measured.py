"""What a run counts of a method that says nothing of itself."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from channelbench import registry
from channelbench.benchmarks.measured import CountedSplit, budget_of, parameters_of, with_parameters
from channelbench.benchmarks.runner import run
from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.results import read_cells
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.observations import LaterSlotsObservation
from channelbench.testing import make_dataset, small_spec

HERE = "channelbench_test_measured"


class Quiet(Method):
    """Two layers in a dictionary, one of them frozen, and nothing said of either."""

    card = Card(name="quiet", description="Says nothing.", reference="none", family="small")
    observes = (LaterSlotsObservation,)
    learned = True

    def fit(self, data, context):
        import torch

        self.layers = {task: [torch.nn.Linear(10, 5), torch.nn.Linear(3, 2)] for task in data}
        for layers in self.layers.values():
            layers[1].requires_grad_(False)
        self.again = SimpleNamespace(inner=[*self.layers.values()], large=list(range(100_000)))
        for train, val in data.values():
            train.observe()
            train.observe([0, 1])
            val.observe()

    def predict(self, task, observation):
        return np.repeat(observation.h[:, -1:], len(observation.grid.target_slot_s), axis=1)


def test_parameters_and_samples_of_a_third_party_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])
    spec = small_spec(sub6__num_subcarriers=8, mmwave__num_subcarriers=2, mmwave__num_beams=8)
    data = str(make_dataset("memory://measured/few.zarr", spec).path)
    run("full", data=data, out=tmp_path, methods=[f"{HERE}:Quiet", "bi"], tasks=["cp"], conditions=[{}])
    found = {result.method: result for result in read_cells(tmp_path)}
    quiet = found["quiet"]
    assert quiet.status == "ok", quiet.error
    assert (quiet.costs["trainable_parameters"], quiet.costs["total_parameters"]) == (55, 55 + 8)
    assert quiet.training is not None
    assert quiet.training.samples == quiet.costs["samples_seen"] == 60 + 2
    assert quiet.training.budget_samples == 120 * 32 + 60
    assert quiet.costs["samples_of_budget"] == pytest.approx(62 / 3900)
    assert (quiet.training.steps, quiet.training.best_step, quiet.training.validation) == (None, None, {})
    assert quiet.found_at == {"method": f"{HERE}:Quiet", "task": "cp"}
    assert found["bi"].costs["total_parameters"] == 0
    assert "samples_of_budget" not in found["bi"].costs, "a formula has no budget"


def test_every_module_is_counted_once_wherever_it_is() -> None:
    import torch

    layer = torch.nn.Linear(4, 3, bias=False)

    class Slotted:
        __slots__ = ("inner",)

        def __init__(self, inner: object) -> None:
            self.inner = inner

    shared = torch.nn.Sequential(layer, torch.nn.Linear(3, 1))
    loop: dict[str, object] = {"a": (shared, {"b": {layer}})}
    loop["self"] = loop
    assert parameters_of(SimpleNamespace(loop=loop)) == (16, 16)
    assert parameters_of(Slotted([layer])) == (12, 12)
    assert parameters_of(SimpleNamespace(p=torch.nn.Parameter(torch.ones(7)), t=torch.ones(9))) == (7, 7)
    assert parameters_of(SimpleNamespace(f=lambda: layer, kind=torch.nn.Linear, text="x")) == (0, 0)
    assert parameters_of(SimpleNamespace(shared=shared.requires_grad_(False))) == (0, 16)


def test_what_a_method_states_stands() -> None:
    method = Quiet()
    assert with_parameters({"trainable_parameters": 3, "total_parameters": 4, "x": 1}, method) == {
        "trainable_parameters": 3,
        "total_parameters": 4,
        "x": 1,
    }
    assert with_parameters({}, method) == {"trainable_parameters": 0, "total_parameters": 0}


def test_a_split_counts_what_it_hands_out(few_rays: ChannelDataset) -> None:
    split = CountedSplit(registry.create("tasks", "ce"), few_rays.view("train"), limit=50)
    split.observe([3, 3, 4])
    split.observe(np.arange(7), epoch=2)
    split.observe()
    with pytest.raises(IndexError):
        split.observe([50])
    assert split.seen == 60


@pytest.mark.parametrize(
    ("preset", "sizes", "goes_on", "steps", "samples"),
    [
        ("quick", [2000], False, 120, 120 * 32 + 2000),
        ("quick", [2000, 2000], False, 120, 2 * (120 * 32 + 2000)),
        ("quick", [20], False, 120, 120 * 20 + 20),
        ("standard", [4000], True, 200, 200 * 32 + 4000),
        ("paper", [15000], False, 250 * 29, 250 * 29 * 512 + 15000),
    ],
)
def test_budgets_by_hand(preset: str, sizes: list[int], goes_on: bool, steps: int, samples: int) -> None:
    allowed = budget_of(preset, sizes, goes_on=goes_on)
    assert (allowed.budget_steps, allowed.budget_samples) == (steps, samples)
