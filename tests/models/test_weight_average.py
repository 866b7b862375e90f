"""The dynamic weight average against numbers worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from channelbench.models.networks.joint import DynamicWeightAverage, steps_per_mean
from channelbench.models.networks.llm4wm import LEAST_MEANS, stages
from channelbench.presets import PRESETS


class Scripted(nn.Module):
    """Losses as they were written down."""

    def __init__(self, *values: tuple[float, ...]) -> None:
        super().__init__()
        self.values = iter(values)

    def losses(self, batches: Any) -> dict[str, torch.Tensor]:
        return dict(zip("abc", torch.tensor(next(self.values), requires_grad=True), strict=False))


def averaged(*values: tuple[float, ...], per_epoch: int = 1, temperature: float = 2.0) -> DynamicWeightAverage:
    """The objective after a step for each tuple of losses."""
    objective = DynamicWeightAverage("abc"[: len(values[0])], per_epoch, temperature)
    module = Scripted(*values)
    for _ in values:
        objective(module, {})
    return objective


def test_weights_by_hand() -> None:
    """Ratios 1/2 and 1: e^.25 and e^.5 over their sum of 2.932747, twice."""
    objective = averaged((2.0, 4.0), (1.0, 4.0))
    assert objective.weights() == pytest.approx([0.875647, 1.124353], abs=1e-6)
    assert objective(Scripted((3.0, 5.0)), {}).item() == pytest.approx(3 * 0.875647 + 5 * 1.124353, rel=1e-6)


def test_weights_compare_the_last_two_means_of_epochs() -> None:
    """Means over three steps: (2, 3), then (1, 6), then (1, 3): ratios 1 and 1/2."""
    steps = [(1.0, 2.0), (2.0, 3.0), (3.0, 4.0), (0.0, 6.0), (1.0, 6.0), (2.0, 6.0), (1.0, 1.0), (1.0, 3.0), (1.0, 5.0)]
    objective = averaged(*steps, per_epoch=3)
    assert objective.weights() == pytest.approx([1.124353, 0.875647], abs=1e-6)
    assert averaged(*steps[:8], per_epoch=3).weights() == pytest.approx(averaged(*steps[:6], per_epoch=3).weights())


def test_weights_are_ones_in_the_first_two_epochs_and_of_equal_ratios() -> None:
    assert averaged((9.0, 1.0), per_epoch=1).weights() == [1.0, 1.0]
    assert averaged((9.0, 1.0), (1.0, 9.0), (1.0, 1.0), per_epoch=2).weights() == [1.0, 1.0]
    assert averaged((8.0, 0.2, 40.0), (4.0, 0.1, 20.0)).weights() == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("losses", [((1.0, 5.0, 3.0), (2.0, 1.0, 0.1)), ((1e-9, 1.0, 1.0), (1e4, 0.0, 1e-30))])
def test_weights_sum_to_the_number_of_tasks(losses: tuple[tuple[float, ...], ...]) -> None:
    weights = averaged(*losses).weights()
    assert sum(weights) == pytest.approx(3.0)
    assert all(weight >= 0 for weight in weights)


def test_temperature_levels_and_sharpens() -> None:
    values = ((1.0, 1.0), (1.0, 0.5))
    assert averaged(*values, temperature=1e6).weights() == pytest.approx([1.0, 1.0], abs=1e-5)
    assert averaged(*values, temperature=1e-3).weights() == pytest.approx([2.0, 0.0], abs=1e-5)


def test_weights_are_constants_to_the_gradient() -> None:
    objective = averaged((2.0, 4.0), (1.0, 4.0))
    losses = torch.tensor([3.0, 5.0], requires_grad=True)
    (module := Scripted()).losses = lambda batches: dict(zip("ab", losses, strict=True))  # type: ignore[method-assign]
    objective(module, {}).backward()
    torch.testing.assert_close(losses.grad, torch.tensor([0.875647, 1.124353]))


@pytest.mark.parametrize("done", range(1, 9))
def test_state_is_carried_over_at_any_step(done: int) -> None:
    """Saved as JSON after any step, within an epoch or between two, the sums that follow are the same bits."""
    rows = [tuple(row) for row in np.random.default_rng(0).uniform(0.1, 3.0, (12, 3))]
    whole = DynamicWeightAverage("abc", 3)
    module = Scripted(*rows)
    expected = [whole(module, {}).item() for _ in rows]
    second = DynamicWeightAverage("abc", 3)
    second.load_state_dict(json.loads(json.dumps(averaged(*rows[:done], per_epoch=3).state_dict())))
    module = Scripted(*rows[done:])
    assert [second(module, {}).item() for _ in rows[done:]] == expected[done:]
    assert second.weights() == whole.weights()
    assert len(second.state_dict()["means"]) <= 2


def test_means_are_over_epochs_or_as_many_as_are_asked_for() -> None:
    assert steps_per_mean(2000, 32, 60) == 62
    assert steps_per_mean(2000, 32, 60, least_means=6) == 10
    assert steps_per_mean(15000, 512, 3625, least_means=6) == 29, "an epoch, of which there are enough"
    assert steps_per_mean(10, 32, 3, least_means=6) == 1
    assert steps_per_mean(10, 32, 3) == 1


@pytest.mark.parametrize("preset", ["quick", "standard", "paper"])
def test_weights_leave_one_in_every_stage_of_every_preset(preset: str) -> None:
    """In ``quick`` two tasks, of which one is learned and the other is not, are weighted from a third of a stage on."""
    line = PRESETS[preset]
    steps = line.budget.total_steps(line.sizes[0])
    for stage in stages():
        length = round(stage.share * steps)
        mean_of = steps_per_mean(line.sizes[0], line.budget.batch_size, length, LEAST_MEANS)
        assert length // mean_of >= LEAST_MEANS
        objective = DynamicWeightAverage("ab", mean_of)
        module = Scripted(*((0.99**step, 1.0) for step in range(length)))
        seen = []
        for _ in range(length):
            seen.append(objective.weights())
            objective(module, {})
        assert seen[2 * mean_of - 1] == [1.0, 1.0]
        first, second = seen[2 * mean_of]
        # The ratio of two means that are `mean_of` steps apart, of a loss that falls by a hundredth a step.
        assert first / second == pytest.approx(np.exp((0.99**mean_of - 1) / 2), rel=1e-5)
        assert first < 0.99
        assert (np.array(seen[2 * mean_of :]) != 1).all()
