"""What cards and the shared notes say of trainings, held against what trains."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from channelbench.models.cross_stitch import CrossStitch
from channelbench.models.llm4wm import LLM4WM
from channelbench.models.mlp import MLP
from channelbench.models.networks.adapters import IMAGE_GAIN
from channelbench.models.networks.joint import steps_per_mean
from channelbench.models.networks.llm4wm import LEAST_MEANS
from channelbench.models.networks.training import Plan, train
from channelbench.models.networks.transformer import HEAD_GAIN
from channelbench.models.transformer import Transformer
from channelbench.models.wit import WiT
from channelbench.presets import MAX_GRAD_NORM, PRESETS, training_words
from channelbench.registry import create
from channelbench.tasks.link.observations import ScalarObservation
from channelbench.testing import conformance_dataset


def epoch(preset: str) -> int:
    return PRESETS[preset].sizes[0] // PRESETS[preset].budget.batch_size


def total(preset: str) -> int:
    return PRESETS[preset].budget.total_steps(PRESETS[preset].sizes[0])


def test_weight_averages() -> None:
    steps = [
        steps_per_mean(PRESETS[name].sizes[0], PRESETS[name].budget.batch_size, total(name) // 2, LEAST_MEANS)
        for name in ("quick", "standard", "paper")
    ]
    notes = LLM4WM.card.notes
    assert f"of a stage where that is less ({steps[0]} steps in the quick preset, {steps[1]} in standard)" in notes
    assert steps[2] == epoch("paper")
    assert total("quick") < 2 * epoch("quick") < 3 * epoch("standard") < total("standard")
    assert "the quick preset has less than two: there all weights stay 1" in CrossStitch.card.notes


def test_gains_and_dropout() -> None:
    assert f"its answers are scaled by {IMAGE_GAIN:g}" in LLM4WM.card.notes
    assert f"by answers that are scaled by {HEAD_GAIN:g}" in Transformer.card.notes
    for method in (MLP, WiT):
        share = {}
        for preset in ("quick", "standard"):
            found = {m.p for m in method().build(example(), preset).modules() if isinstance(m, nn.Dropout)}
            (share[preset],) = found
        assert share["quick"] == 0
        assert f"dropout of {share['standard']:g}" in method.card.notes


def example() -> ScalarObservation:
    task = create("tasks", "de")
    return task.observe(conformance_dataset().view("test"), np.arange(1), task.conditions(), epoch=0)[0]


def test_training_words_are_what_the_presets_say() -> None:
    assert training_words("quick").startswith(
        "AdamW with a weight decay of 0.01 (none of vectors), gradients clipped to a norm of 1; 120 steps in batches of"
    )
    assert training_words("paper").startswith("Adam, gradients clipped to a norm of 1; 250 epochs in batches of 512")
    assert "in 20% of them and falls by a cosine that begins anew after 40% of them" in training_words("paper")
    assert "begins anew" not in training_words("standard")
    assert MAX_GRAD_NORM == Plan.max_grad_norm == 1.0


def trained(weight_decay: float, clipped: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights after three steps of the training path, and of Adam written by hand in float64."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 2, bias=False)
    weight = layer.weight.detach().double().clone()
    x = torch.randn(3, 5, 3) * (30.0 if clipped else 0.01)
    plan = Plan(
        steps=3,
        batches=lambda step: iter(x[step:]),
        loss=lambda module, batch: module(batch).square().sum(),
        validate=lambda module: 0.0,
        learning_rate=lambda step: 0.01,
        validate_every=3,
        weight_decay=weight_decay,
    )
    train(layer, plan, seed=0, identity={})
    first, second = torch.zeros_like(weight), torch.zeros_like(weight)
    for step, batch in enumerate(x.double(), start=1):
        gradient = 2 * (weight @ batch.T) @ batch
        norm = gradient.norm()
        assert (norm > 1) == clipped
        gradient = gradient / max(float(norm), 1.0)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        weight = weight * (1 - 0.01 * weight_decay)
        weight = weight - 0.01 * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
    return layer.weight.detach().double(), weight


def test_optimiser_is_adam_with_decoupled_decay_of_clipped_gradients() -> None:
    for weight_decay in (0.0, 0.5):
        for clipped in (False, True):
            torch.testing.assert_close(*trained(weight_decay, clipped), rtol=1e-4, atol=1e-5)
