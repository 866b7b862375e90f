"""Frames that work out nothing: what networks see and answer is the channel, and no more."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch

from channelbench.contracts import FitContext, TaskSplit
from channelbench.models.llm4wm import LLM4WM
from channelbench.models.networks.joint import task_frame
from channelbench.models.networks.llm4wm import LLM4WMNetwork
from channelbench.registry import create, find, tasks_of
from channelbench.store.dataset import ChannelDataset
from channelbench.tasks.link.observations import LinkObservation
from channelbench.testing import small_backbone

pytest.importorskip("transformers", reason="language models need the extra `llm`")


def observed(task: str, dataset: ChannelDataset) -> tuple[LinkObservation, Any, torch.Tensor, torch.Tensor]:
    split = TaskSplit(create("tasks", task), dataset.view("train"))
    observation, target = split.observe(np.arange(6))
    return observation, target, torch.as_tensor(observation.h), torch.as_tensor(observation.noise_var)


@pytest.mark.parametrize("task", ["ce", "cp", "pf"])
def test_reconstruction_sees_pilots_in_their_places_and_answers_the_channel(
    task: str, few_rays: ChannelDataset
) -> None:
    observation, target, h, noise_var = observed(task, few_rays)
    frame: Any = task_frame(observation, aligned=False)
    assert not list(frame.parameters()), "nothing is left to learn about a raw channel"
    start = frame.begin(h, noise_var)
    shape = frame.shape
    rms = np.sqrt((np.abs(observation.h) ** 2).mean((1, 2, 3), keepdims=True))
    seen = frame.grouped(torch.as_tensor(observation.h / rms), None)
    grid = torch.complex(*start.pairs.chunk(2, dim=3))
    if shape.groups == 1:
        torch.testing.assert_close(grid[:, shape.seen_slots][:, :, shape.seen_subcarriers], seen, rtol=1e-5, atol=1e-6)
    hidden = torch.ones(grid.shape[1:3], dtype=torch.bool)
    hidden[shape.seen_slots[:, None], shape.seen_subcarriers] = False
    assert not grid[:, hidden].abs().any()
    # What is answered is what comes out, at the observation's scale; nothing of the start is added.
    nothing = frame.whole(frame.end(start, torch.zeros_like(start.pairs)))
    assert nothing.shape == target.value.shape
    assert not nothing.abs().any()
    assert float(frame.criterion(nothing, torch.as_tensor(target.value))) == pytest.approx(1.0)
    again = frame.whole(frame.end(start, start.pairs))
    here = np.isin(shape.wanted_slots, shape.seen_slots)[:, None] & np.isin(
        shape.wanted_subcarriers, shape.seen_subcarriers
    )
    slots, subcarriers = np.nonzero(here)
    rows = np.searchsorted(shape.seen_slots, shape.wanted_slots[slots])
    columns = np.searchsorted(shape.seen_subcarriers, shape.wanted_subcarriers[subcarriers])
    np.testing.assert_allclose(again.numpy()[:, slots, subcarriers], observation.h[:, rows, columns], rtol=1e-5)


def test_sensing_is_not_turned(few_rays: ChannelDataset) -> None:
    """A turned frame answers the same for a channel and its shifted twin; a raw one sees the difference."""
    observation, _, h, noise_var = observed("bf", few_rays)
    antennas = torch.arange(h.shape[3])
    turned = h * torch.polar(torch.ones(len(antennas)), 0.7 * antennas)
    frame: Any = task_frame(observation, aligned=False)
    first, second = frame.begin(h, noise_var), frame.begin(turned, noise_var)
    torch.testing.assert_close(
        first.response(), h[:, 0] * h.shape[3] ** 0.5 / first.scale[:, None, None], rtol=1e-4, atol=1e-5
    )
    assert not torch.allclose(first.peak.taps, second.peak.taps, rtol=0.1)
    assert not first.direct.any()
    scores = torch.randn(len(h), observation.grid.num_beams)
    assert torch.equal(frame.end(first, scores), scores), "beams by their own numbers"


@pytest.mark.parametrize("task", ["de", "pe"])
def test_scalars_start_from_the_mean(task: str, few_rays: ChannelDataset) -> None:
    observation, target, h, noise_var = observed(task, few_rays)
    frame: Any = task_frame(observation, aligned=False)
    value = torch.as_tensor(target.value)
    frame.calibrate(h, noise_var, value)
    start = frame.begin(h, noise_var)
    predicted = frame.end(start, torch.zeros(len(h)))
    torch.testing.assert_close(predicted, value.mean().expand(len(h)), rtol=1e-4, atol=1e-4)
    assert float(frame.unit) == pytest.approx(float(value.std(correction=0)), rel=1e-3)


def test_variant_is_built_on_raw_frames_and_learns(few_rays: ChannelDataset) -> None:
    method = cast(type[LLM4WM], find("methods", "llm4wm+random+raw"))
    assert method.card.label == "LLM4WM, random trunk, raw input"
    data = {
        task: tuple(TaskSplit(create("tasks", task), few_rays.view(split)) for split in ("train", "val"))
        for task in tasks_of(LLM4WM)
    }
    examples = {task: training.observe([0])[0] for task, (training, _) in data.items()}
    context = FitContext(preset="smoke", backbone=small_backbone())
    raw, aligned = (
        cast(LLM4WMNetwork, kind().build(examples, context)) for kind in (method, find("methods", "llm4wm+random"))
    )
    for task in examples:
        assert type(raw.frame(task)).__name__ == f"Raw{type(aligned.frame(task)).__name__}"
    fitted = method()
    fitted.fit(cast(Any, data), context)
    observation, target = data["ce"][1].observe()
    prediction = fitted.predict("ce", observation)
    assert prediction.shape == target.value.shape
    assert np.abs(prediction).any()
