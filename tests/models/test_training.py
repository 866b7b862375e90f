"""The training path on a module of a few weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from channelbench.contracts import FitContext
from channelbench.errors import RequestError
from channelbench.models.networks.precision import half_precision, has_bfloat16
from channelbench.models.networks.training import BUDGETS, Outcome, Plan, TrainingDiverged, budget_of, train
from channelbench.presets import Budget
from channelbench.store.dataset import ChannelDataset, data_key

STEPS = 12


class Stop(Exception):
    """An interruption."""


def module() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1))


def batches(step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    while True:
        x = torch.as_tensor(np.random.default_rng(step).standard_normal((16, 3)), dtype=torch.float32)
        yield x, x.sum(1, keepdim=True).sin()
        step += 1


def loss(network: nn.Module, batch: Any) -> torch.Tensor:
    return (network(batch[0]) - batch[1]).square().mean()


def validate(network: nn.Module) -> float:
    return float(loss(network, next(batches(10_000))))


PLAN = Plan(
    steps=STEPS,
    batches=batches,
    loss=loss,
    validate=validate,
    learning_rate=lambda step: 1e-2,
    validate_every=4,
    weight_decay=0.1,
)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def run(
    plan: Plan = PLAN, *, network: nn.Module | None = None, seed: int = 0, **context: Any
) -> tuple[dict[str, torch.Tensor], Outcome]:
    network = network or module()
    outcome = train(network, plan, seed=seed, identity={"method": "toy"}, context=FitContext(**context))
    return weights(network), outcome


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def stop_at(step: int) -> Callable[[int, int, str], None]:
    def progress(done: int, total: int, message: str) -> None:
        if done == step:
            raise Stop

    return progress


def test_same_seed_same_weights_whatever_the_global_generator() -> None:
    first, _ = run()
    torch.manual_seed(99)
    state = torch.get_rng_state()
    second, _ = run()
    assert_same(first, second)
    assert torch.equal(torch.get_rng_state(), state), "training moved the caller's generator"
    third, _ = run(seed=1)
    assert not torch.equal(first["0.weight"], third["0.weight"]), "dropout ignores the seed"


def test_one_step_is_adamw() -> None:
    """Against the formula of Loshchilov and Hutter on one weight: decay, then a step of the learning rate's size."""
    network = nn.Linear(1, 1)
    with torch.no_grad():
        network.weight.fill_(2.0)
        network.bias.fill_(1.0)
    plan = replace(PLAN, steps=1, loss=lambda net, _: 0.5 * (net.weight.sum() + net.bias.sum()), validate=lambda _: 0.0)
    after, _ = run(plan, network=network)
    gradient, rate, decay = 0.5, 1e-2, 0.1
    move = rate * gradient / (gradient + 1e-8)
    assert after["weight"].item() == pytest.approx(2.0 * (1 - rate * decay) - move, abs=1e-6)
    assert after["bias"].item() == pytest.approx(1.0 - move, abs=1e-6), "biases are not decayed"


def test_gradients_are_clipped() -> None:
    """Two equal weights under a huge gradient share the largest norm."""
    network = nn.Linear(2, 1, bias=False)
    seen: list[torch.Tensor] = []

    def watched(_: nn.Module) -> float:
        assert network.weight.grad is not None
        seen.append(network.weight.grad.clone())
        return 0.0

    plan = replace(PLAN, steps=1, loss=lambda net, _: 1e6 * net.weight.sum(), validate=watched, max_grad_norm=1.0)
    run(plan, network=network)
    np.testing.assert_allclose(seen[0], np.full((1, 2), 1 / math.sqrt(2)), rtol=1e-4)


@pytest.mark.parametrize("step", [1, 4, 5, 8, 11])
def test_interrupted_fit_ends_in_the_same_bits(tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channelbench.models.networks.training.SAVE_EVERY_S", 0.0)
    whole, outcome = run()
    with pytest.raises(Stop):
        run(workdir=tmp_path, progress=stop_at(step))
    resumed, again = run(workdir=tmp_path)
    assert again.trained_steps == STEPS - step
    assert_same(whole, resumed)
    assert again.scores == outcome.scores
    assert again.best_step == outcome.best_step


def test_interruption_between_saves_goes_back_to_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channelbench.models.networks.training.SAVE_EVERY_S", math.inf)
    whole, _ = run()
    with pytest.raises(Stop):
        run(workdir=tmp_path, progress=stop_at(7))
    resumed, outcome = run(workdir=tmp_path)
    assert outcome.trained_steps == STEPS - 4
    assert_same(whole, resumed)


class Weighted:
    """A loss whose weight follows the losses seen so far."""

    def __init__(self) -> None:
        self.weight = 1.0

    def __call__(self, network: nn.Module, batch: Any) -> torch.Tensor:
        value = loss(network, batch)
        scaled = self.weight * value
        self.weight = 0.5 * self.weight + float(value.detach())
        return scaled

    def state_dict(self) -> dict[str, float]:
        return {"weight": self.weight}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.weight = state["weight"]


def test_objective_with_a_state_is_resumed(tmp_path: Path) -> None:
    whole, _ = run(replace(PLAN, loss=Weighted()))
    with pytest.raises(Stop):
        run(replace(PLAN, loss=Weighted()), workdir=tmp_path, progress=stop_at(8))
    resumed, _ = run(replace(PLAN, loss=Weighted()), workdir=tmp_path)
    assert_same(whole, resumed)


def test_finished_fit_is_loaded_and_not_trained(tmp_path: Path) -> None:
    first, outcome = run(workdir=tmp_path)

    def untouchable(network: nn.Module, batch: Any) -> torch.Tensor:
        raise AssertionError("a finished fit trains again")

    network = module()
    second, again = run(replace(PLAN, loss=untouchable), network=network, workdir=tmp_path)
    assert_same(first, second)
    assert not network.training
    assert again.trained_steps == 0
    assert (again.best_step, again.best_score) == (outcome.best_step, outcome.best_score)
    assert [path.name for path in tmp_path.iterdir()] == ["final.safetensors"]


def test_best_validation_weights_are_kept() -> None:
    kept: dict[int, dict[str, torch.Tensor]] = {}
    scores = iter([3.0, 1.0, 2.0])

    def scripted(network: nn.Module) -> float:
        kept[len(kept)] = weights(network)
        return next(scores)

    after, outcome = run(replace(PLAN, validate=scripted))
    assert (outcome.best_step, outcome.best_score) == (8, 1.0)
    assert outcome.scores == {4: 3.0, 8: 1.0, 12: 2.0}
    assert_same(after, kept[1])


def test_frozen_parameters_stay_and_are_not_saved(tmp_path: Path) -> None:
    network = module()
    network[0].requires_grad_(False)
    before = weights(network)
    after, _ = run(network=network, workdir=tmp_path)
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["3.weight"], after["3.weight"])
    saved = safetensors.torch.load_file(tmp_path / "final.safetensors")
    assert set(saved) == {"3.weight", "3.bias"}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_names_the_step(bad: float) -> None:
    def diverging(network: nn.Module, batch: Any) -> torch.Tensor:
        diverging.calls += 1  # type: ignore[attr-defined]
        return loss(network, batch) * (bad if diverging.calls == 6 else 1.0)  # type: ignore[attr-defined]

    diverging.calls = 0  # type: ignore[attr-defined]
    with pytest.raises(TrainingDiverged, match=rf"training loss is {bad} at step 5") as caught:
        run(replace(PLAN, loss=diverging))
    assert caught.value.step == 5


def test_divergence_of_gradient_and_validation() -> None:
    def steep(network: nn.Module, batch: Any) -> torch.Tensor:
        # √x has a finite value and an infinite slope at 0.
        return loss(network, batch) + (0.0 * network[3].bias.sum()).sqrt()

    with pytest.raises(TrainingDiverged, match=r"gradient norm is nan at step 0"):
        run(replace(PLAN, loss=steep))
    with pytest.raises(TrainingDiverged, match=r"validation score is nan at step 4"):
        run(replace(PLAN, validate=lambda network: math.nan))


def test_checkpoint_of_another_fit_is_refused_by_field(tmp_path: Path) -> None:
    run(workdir=tmp_path)
    with pytest.raises(RequestError, match=r"final\.safetensors: seed: expected 5, got 0"):
        run(seed=5, workdir=tmp_path)
    with pytest.raises(RequestError, match=r"steps: expected 13, got 12"):
        run(replace(PLAN, steps=13), workdir=tmp_path)
    with pytest.raises(RequestError, match=r"shapes"):
        run(network=nn.Linear(3, 1), workdir=tmp_path)
    with pytest.raises(RequestError, match=r"method"):
        train(module(), PLAN, seed=0, identity={"method": "other"}, context=FitContext(workdir=tmp_path))


def test_running_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        run(workdir=tmp_path, progress=stop_at(8))
    with pytest.raises(RequestError, match=r"running\.safetensors: seed"):
        run(seed=5, workdir=tmp_path)


FORMER = {"method": "toy", "spec": "digest of a spec", "dataset_seed": 3}
"""What tells a fit apart in checkpoints from before ``FitContext.data``."""


def now(spec: str = "digest of a spec", seed: int = 3) -> dict[str, Any]:
    return {"method": "toy", "data": data_key(spec, seed)}


def test_finished_fit_that_names_its_dataset_by_spec_and_seed_is_loaded(tmp_path: Path) -> None:
    context = FitContext(workdir=tmp_path)
    train(first := module(), PLAN, seed=0, identity=FORMER, context=context)
    outcome = train(second := module(), PLAN, seed=0, identity=now(), context=context)
    assert outcome.trained_steps == 0
    assert_same(weights(first), weights(second))


def test_interrupted_fit_that_names_its_dataset_by_spec_and_seed_goes_on(tmp_path: Path) -> None:
    train(whole := module(), PLAN, seed=0, identity=FORMER)
    with pytest.raises(Stop):
        train(module(), PLAN, seed=0, identity=FORMER, context=FitContext(workdir=tmp_path, progress=stop_at(8)))
    outcome = train(resumed := module(), PLAN, seed=0, identity=now(), context=FitContext(workdir=tmp_path))
    assert outcome.trained_steps == STEPS - 8
    assert_same(weights(whole), weights(resumed))


@pytest.mark.parametrize("other", [now(seed=4), now(spec="digest of another"), {"method": "toy", "data": ""}])
def test_fit_that_names_another_dataset_by_spec_and_seed_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    train(module(), PLAN, seed=0, identity=FORMER, context=FitContext(workdir=tmp_path))
    with pytest.raises(RequestError, match=r"checkpoint final\.safetensors: data"):
        train(module(), PLAN, seed=0, identity=other, context=FitContext(workdir=tmp_path))


def test_former_checkpoint_of_a_dataset_is_the_one_that_its_key_names(few_rays: ChannelDataset, tmp_path: Path) -> None:
    """As ``benchmarks`` gives ``data``; and what is compared beside it still is."""
    former = {"method": "toy", "spec": few_rays.spec.identity(), "dataset_seed": few_rays.seed}
    context = FitContext(workdir=tmp_path)
    train(module(), PLAN, seed=0, identity=former, context=context)
    outcome = train(module(), PLAN, seed=0, identity={"method": "toy", "data": few_rays.key}, context=context)
    assert outcome.trained_steps == 0
    with pytest.raises(RequestError, match=r"checkpoint final\.safetensors: method"):
        train(module(), PLAN, seed=0, identity={"method": "other", "data": few_rays.key}, context=context)


def test_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    train(module(), PLAN, seed=0, identity=now(), context=FitContext(workdir=tmp_path))
    with pytest.raises(RequestError, match=r"checkpoint final\.safetensors: data"):
        train(module(), PLAN, seed=0, identity=now(seed=4), context=FitContext(workdir=tmp_path))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", safetensors.torch.save({"x": torch.zeros(1)})])
def test_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "final.safetensors").write_bytes(content)
    with pytest.raises(RequestError, match="checkpoint of this program"):
        run(workdir=tmp_path)


def test_progress_counts_to_the_end() -> None:
    calls: list[tuple[int, int, str]] = []
    run(progress=lambda *call: calls.append(call))
    assert [done for done, _, _ in calls] == list(range(1, STEPS + 1))
    assert {total for _, total, _ in calls} == {STEPS}
    assert "loss" in calls[0][2]
    assert "validation" in calls[-1][2]


def test_half_precision_where_the_hardware_has_it() -> None:
    """Matrix products in bfloat16 if asked for and there are instructions for it; else nothing changes."""
    x = torch.randn(2, 3)
    with half_precision("cpu", wanted=True):
        assert (x @ x.T).dtype == (torch.bfloat16 if has_bfloat16("cpu") else torch.float32)
    with half_precision("cpu", wanted=False):
        assert (x @ x.T).dtype == torch.float32


def test_learning_rates() -> None:
    """Warm-up is linear to the peak, the descent is a cosine, and the paper's begins again after its period."""
    budget = Budget(batch_size=1, steps=100, validations=1, peak_rate=1.0, floor_rate=0.0, warmup=0.1)
    rates = [budget.learning_rate(step, 100) for step in range(100)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    np.testing.assert_allclose(rates[10:], [(1 + math.cos(math.pi * k / 90)) / 2 for k in range(90)])
    paper = BUDGETS["paper"]
    at = [paper.learning_rate(epoch, 250) for epoch in (0, 49, 50, 100, 149, 150)]
    expected = [2.98e-5, 1e-3, 1e-3, 5.05e-4, 1e-5, 1e-3]
    np.testing.assert_allclose(at, expected, rtol=0.03)


def test_budgets() -> None:
    assert budget_of("quick").total_steps(2000) == 120
    assert budget_of("standard").total_steps(4000) == 800
    assert [budget_of(preset).batch_size for preset in ("quick", "standard", "paper")] == [32, 32, 512]
    assert budget_of("paper").total_steps(15000) == 250 * 29
    assert budget_of("quick").total_steps(2000, goes_on=True) == 30
    assert Budget(batch_size=4, steps=3, validations=1).total_steps(9, goes_on=True) == 1, "never none"
    with pytest.raises(
        RequestError, match="preset: expected a known preset, got 'huge'; choices: quick, standard, paper"
    ):
        budget_of("huge")
