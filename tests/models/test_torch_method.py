"""A module of somebody's own on the common path."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import channelbench as cb
from channelbench import registry
from channelbench.results import Result, read_cells
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.observations import BeamObservation, LaterSlotsObservation, ScalarObservation
from channelbench.tasks.multiuser.observations import DetectionObservation
from channelbench.testing import MethodTests, make_dataset, small_spec

HERE = "channelbench_test_torch_method"


class MyNet(cb.TorchMethod):
    """The last slot, and on it a learned complex combination of all that are observed."""

    __module__ = HERE
    observes = (LaterSlotsObservation,)

    def build(self, example: Any) -> nn.Module:
        return nn.Linear(example.h.shape[1], example.answer_shape[0], dtype=torch.complex64)

    def answer(self, network: nn.Module, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        return h[:, -1:] + network(h.movedim(1, -1)).movedim(-1, 1)


class Robust(MyNet):
    __module__ = HERE
    loss = nn.L1Loss()


class Sensing(cb.TorchMethod):
    __module__ = HERE
    observes = (BeamObservation, ScalarObservation)

    def build(self, example: Any) -> nn.Module:
        size = int(np.prod(example.h.shape[1:]))
        return nn.Sequential(nn.Flatten(), nn.Linear(2 * size, int(np.prod(example.answer_shape, dtype=int))))

    def answer(self, network: nn.Module, h: torch.Tensor, noise_var: torch.Tensor) -> torch.Tensor:
        found = network(torch.view_as_real(h))
        return found if found.shape[1] > 1 else found[:, 0]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registry and workers go by module and name; this file has none in an importlib run."""
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])


@pytest.fixture(scope="module")
def data() -> str:
    """In memory, so that the jobs run in this process."""
    spec = small_spec(train=80, sub6__num_subcarriers=8, mmwave__num_subcarriers=2, mmwave__num_beams=8)
    return str(make_dataset("memory://own/few.zarr", spec).path)


class TestMyNet(MethodTests):
    method = MyNet


class TestSensing(MethodTests):
    method = Sensing


def cells(out: Path) -> dict[tuple[str, str, int], Result]:
    return {(cell.method, cell.task, cell.seed): cell for cell in read_cells(out)}


def test_a_class_is_run_seeded_counted_and_kept(data: str, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"data": data, "conditions": [{}], "out": tmp_path / "results"}
    cb.run(methods=[MyNet, "hold"], tasks=["cp"], seeds=2, **arguments)
    there = cells(tmp_path / "results")
    first, second = there["my_net", "cp", 0], there["my_net", "cp", 1]
    assert first.title == "MyNet"
    assert first.family == "small"
    assert first.found_at["method"] == f"{HERE}:MyNet"
    # 16 observed and 4 wanted slots, weights and biases; torch counts a complex number as one.
    assert first.costs["trainable_parameters"] == first.costs["total_parameters"] == 16 * 4 + 4
    assert first.costs["flops_per_sample"] > 0
    assert first.training is not None
    assert first.training.steps == first.training.budget_steps
    assert first.scores["nmse"].value < there["hold", "cp", 0].scores["nmse"].value
    assert first.scores["nmse"].value != second.scores["nmse"].value
    fits = sorted(path.name for path in (tmp_path / "results" / "checkpoints").glob("my_net*") if path.is_dir())
    assert len(fits) == 2
    again = cb.run(methods=[MyNet, "hold"], tasks=["cp"], seeds=2, **arguments)
    assert not again.written


def test_another_loss_is_another_fit(data: str, tmp_path: Path) -> None:
    cb.run(methods=[MyNet, Robust], tasks=["cp"], seeds=1, data=data, conditions=[{}], out=tmp_path / "results")
    there = cells(tmp_path / "results")
    one, other = there["my_net", "cp", 0], there["robust", "cp", 0]
    assert one.training is not None
    assert other.training is not None
    assert one.training.validation != other.training.validation
    assert other.scores["nmse"].value < 1


@pytest.mark.parametrize(("task", "metric"), [("bf", "top1_accuracy"), ("de", "mae_m"), ("pe", "rmse_db")])
def test_beams_and_numbers_have_the_losses_of_their_tasks(data: str, tmp_path: Path, task: str, metric: str) -> None:
    cb.run(methods=[Sensing], tasks=[task], seeds=1, data=data, conditions=[{}], out=tmp_path / "results")
    cell = cells(tmp_path / "results")["sensing", task, 0]
    assert cell.status == "ok", cell.error
    assert np.isfinite(cell.scores[metric].value)


def test_a_class_of_a_function_and_a_task_class_are_run_in_this_process(
    few_rays: ChannelDataset, tmp_path: Path
) -> None:
    class Local(MyNet):
        __module__ = HERE

    task = registry.find("tasks", "cp")
    cb.run(methods=Local, tasks=[task], seeds=1, data=few_rays.path, conditions=[{}], out=tmp_path / "results")
    cell = cells(tmp_path / "results")["local", "cp", 0]
    assert cell.status == "ok", cell.error
    assert cell.found_at["method"].endswith("<locals>.Local")


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (
            lambda h: h[:, :1],
            r"answer: expected a complex \(\d+, 4, 8, \d+\), got 'torch.complex64 \(\d+, 1, 8, \d+\)'",
        ),
        (lambda h: h[:, :4].abs(), r"answer: expected a complex .*, got 'torch.float32"),
        (lambda h: None, r"answer: expected a complex .*, got 'NoneType'"),
    ],
)
def test_an_answer_that_a_loss_would_broadcast_is_refused(data: str, tmp_path: Path, made: Any, says: str) -> None:
    class Wrong(MyNet):
        __module__ = HERE

        def answer(self, network: nn.Module, h: torch.Tensor, noise_var: torch.Tensor) -> Any:
            return made(h)

    cb.run(methods=[Wrong], tasks=["cp"], seeds=1, data=data, conditions=[{}], out=tmp_path / "results")
    cell = cells(tmp_path / "results")["wrong", "cp", 0]
    assert cell.status == "failed"
    assert re.search(says, cell.error), cell.error


def test_what_is_no_method_of_this_kind_is_one_line() -> None:
    with pytest.raises(cb.RequestError, match="observes: expected types of observations of a link"):
        type("Groups", (MyNet,), {"observes": (DetectionObservation,)})
    with pytest.raises(cb.RequestError, match=r"method: expected a name, or a concrete subclass of Method with a card"):
        cb.run(methods=[nn.Linear])  # type: ignore[list-item]
    with pytest.raises(cb.RequestError, match="TorchMethod, with methods to write"):
        cb.run(methods=[cb.TorchMethod])
    with pytest.raises(cb.RequestError, match="task: expected a name, or"):
        cb.run(tasks=[MyNet])  # type: ignore[list-item]


def test_the_name_of_a_card_is_that_of_the_class() -> None:
    names = ("MyNet", "LLMNet2", "Net4CP", "_Small")
    made = [type(name, (MyNet,), {"__module__": HERE}).card.name for name in names]  # type: ignore[attr-defined]
    assert made == ["my_net", "llm_net2", "net4_cp", "small"]
