"""An embedding of somebody's own under our linear head."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import channelbench as cb
from channelbench import registry
from channelbench.contracts import FitContext, TaskSplit
from channelbench.results import read_cells
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.observations import BeamObservation, ScalarObservation
from channelbench.testing import MethodTests, make_dataset, small_spec

HERE = "channelbench_test_embed_method"


class DelayProfile(cb.EmbedMethod):
    """Power by delay in dB, of a link's own observation."""

    __module__ = HERE

    def embed(self, observation: Any) -> Any:
        taps = np.fft.ifft(observation.h, axis=2)
        return 10 * np.log10((np.abs(taps) ** 2).mean(axis=(1, 3)) + 1e-12)


class Projected(cb.EmbedMethod):
    """A frozen layer of torch, complex."""

    __module__ = HERE

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.LazyLinear(6, dtype=torch.complex64)

    def embed(self, observation: Any) -> Any:
        return self.layer(torch.as_tensor(observation.h).flatten(1))


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])


@pytest.fixture(scope="module")
def dataset() -> ChannelDataset:
    spec = small_spec(train=200, sub6__num_subcarriers=8, mmwave__num_subcarriers=2, mmwave__num_beams=8)
    return make_dataset("memory://embed/few.zarr", spec)


class Sensed(DelayProfile):
    __module__ = HERE
    observes = (BeamObservation, ScalarObservation)


class TestSensed(MethodTests):
    method = Sensed


def test_the_head_comes_near_least_squares(dataset: ChannelDataset) -> None:
    """On the features of the training split, of which least squares knows the best linear answer."""
    task = registry.create("tasks", "pe")
    splits = tuple(TaskSplit(task, dataset.view(name)) for name in ("train", "val"))
    method = DelayProfile()
    method.fit({"pe": splits}, FitContext())  # type: ignore[dict-item]
    seen, wanted = splits[0].observe()
    features = np.c_[method.embed(seen), np.ones(len(seen))]
    best = features @ np.linalg.lstsq(features, wanted.value, rcond=None)[0]
    ours = method.predict("pe", seen)

    def error(answer: Any) -> float:
        return float(np.sqrt(np.mean((answer - wanted.value) ** 2)))

    assert error(best) * 0.999 <= error(ours) < 1.3 * error(best) < error(wanted.value.mean())


def test_every_task_has_a_head_and_parameters_are_counted(dataset: ChannelDataset, tmp_path: Path) -> None:
    tasks = ["cp", "bf", "de"]
    cb.run(methods=[Projected], tasks=tasks, seeds=1, data=dataset.path, conditions=[{}], out=tmp_path / "results")
    there = {cell.task: cell for cell in read_cells(tmp_path / "results") if cell.method == "projected"}
    assert {cell.status for cell in there.values()} == {"ok"}, [cell.error for cell in there.values()]
    inputs = {
        task: registry.create("tasks", task).observe(dataset.view("test"), np.arange(1), _own(task, dataset))[0]
        for task in tasks
    }
    for task, cell in there.items():
        example = inputs[task]
        wanted = int(np.prod(example.answer_shape, dtype=int)) * (2 if task == "cp" else 1)
        head = wanted * (2 * 6 + 1)
        assert cell.costs["trainable_parameters"] == head
        assert cell.costs["total_parameters"] == head + 6 * (example.h[0].size + 1)


def _own(task: str, dataset: ChannelDataset) -> Any:
    return registry.create("tasks", task).default_conditions(dataset.spec)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda h: h[:2, 0, 0], "embed: expected numbers (200, features), got (2, 8)"),
        (lambda h: np.full((len(h), 2), np.nan), "embed: expected finite numbers"),
        (lambda h: h, "embed: expected numbers (1, features), got (1, "),
        (lambda h: np.zeros((len(h), 0)), "embed: expected numbers (1, features), got (1, 0)"),
    ],
)
def test_what_is_no_embedding_is_one_line(dataset: ChannelDataset, made: Any, says: str) -> None:
    class Wrong(DelayProfile):
        __module__ = HERE

        def embed(self, observation: Any) -> Any:
            return made(observation.h)

    task = registry.create("tasks", "pe")
    splits = tuple(TaskSplit(task, dataset.view(name)) for name in ("train", "val"))
    with pytest.raises(cb.RequestError) as error:
        Wrong().fit({"pe": splits}, FitContext())  # type: ignore[dict-item]
    assert str(error.value).startswith(says)
