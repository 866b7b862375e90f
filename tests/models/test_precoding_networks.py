"""Precoders that networks parametrise: formulas against the solvers' in float64, and the CNN."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from networks_by_hand import stir

from channelbench.contracts import FitContext, TaskSplit
from channelbench.errors import RequestError
from channelbench.models.cnn_precoder import CNNPrecoder
from channelbench.models.networks.groups import PrecodingPart
from channelbench.models.networks.precoding import beams, labels, max_min_labels, objective, sinr, structure
from channelbench.models.networks.precoding_cnn import PrecodingCNN
from channelbench.registry import create
from channelbench.solvers import precoding as solved
from channelbench.solvers.max_min import max_min
from channelbench.solvers.wmmse import wmmse
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import MethodTests

pytestmark = pytest.mark.usefixtures("seeded")


class TestCNNPrecoder(MethodTests):
    method = CNNPrecoder
    preset = "smoke"


def drawn(groups: int = 6, users: int = 4, antennas: int = 8, seed: int = 0) -> tuple[Any, Any, Any]:
    """Channels of unequal users, powers and noise, in float64."""
    rng = np.random.default_rng(seed)
    h = rng.standard_normal((groups, users, antennas)) + 1j * rng.standard_normal((groups, users, antennas))
    h *= 10 ** rng.uniform(-1, 0.5, (groups, users, 1))
    return h, 10 ** rng.uniform(-1, 2, groups), 10 ** rng.uniform(-1, 0.5, groups)


def part_of(h: Any, power: Any, noise_var: Any, loss: str = "sum_rate") -> PrecodingPart:
    found = [torch.as_tensor(value, dtype=torch.float32) for value in (power, noise_var)]
    return PrecodingPart(h=torch.as_tensor(h).to(torch.complex64), power=found[0], noise_var=found[1], loss=loss)


# --- formulas ---


def test_rates_are_those_of_the_solvers() -> None:
    h, power, noise_var = drawn()
    w = wmmse(h, power, noise_var, 3)
    tensors = [torch.as_tensor(value) for value in (h, w, noise_var)]
    wanted = solved.sinr(h, w, noise_var)
    np.testing.assert_allclose(sinr(*tensors).numpy(), wanted, rtol=1e-12)
    np.testing.assert_allclose(objective(*tensors, "sum_rate"), solved.sum_rate(h, w, noise_var), rtol=1e-12)
    np.testing.assert_allclose(objective(*tensors, "min_rate"), np.log2(1 + wanted).min(axis=1), rtol=1e-12)


@pytest.mark.parametrize(("users", "antennas"), [(4, 8), (8, 8), (5, 3)])
def test_structure_is_the_inverse_over_antennas(users: int, antennas: int) -> None:
    """By the matrix of antennas × antennas that the formula names, and by the solver."""
    h, power, noise_var = drawn(users=users, antennas=antennas)
    rng = np.random.default_rng(1)
    p, lam = (rng.dirichlet(np.ones(users), len(h)) * power[:, None] for _ in range(2))
    found = structure(*(torch.as_tensor(value) for value in (h, p, lam, noise_var))).numpy()
    for group, user in np.ndindex(*p.shape):
        weighted = (lam[group] / noise_var[group])[:, None, None] * h[group][:, :, None] * h[group][:, None].conj()
        beam = np.linalg.solve(np.eye(antennas) + weighted.sum(axis=0), h[group, user])
        beam *= np.sqrt(p[group, user]) / np.linalg.norm(beam)
        np.testing.assert_allclose(found[group, user], beam, atol=1e-9 * np.abs(beam).max())
    np.testing.assert_allclose(found, solved.structure(h, p, lam, noise_var), atol=1e-9 * np.abs(found).max())


def test_gradients_of_the_structure_are_differences() -> None:
    h, power, noise_var = (torch.as_tensor(value) for value in drawn(groups=2, users=3, antennas=4))
    shares = torch.rand(2, 2, 3, dtype=torch.float64, requires_grad=True)

    def rate(p: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
        w = structure(h, p * power[:, None], lam * power[:, None], noise_var)
        return objective(h, w, noise_var, "sum_rate")

    assert torch.autograd.gradcheck(rate, (shares[0], shares[1]))


def test_users_without_a_channel_or_without_power_have_numbers() -> None:
    h, power, noise_var = drawn(groups=2)
    h[0, 1] = 0
    h[1, 2] = h[1, 3]
    shares = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]], requires_grad=True)
    w = beams(part_of(h, power, noise_var), shares, shares)
    rate = objective(torch.as_tensor(h), w, torch.as_tensor(noise_var), "sum_rate")
    rate.sum().backward()
    assert torch.isfinite(rate).all()
    assert torch.isfinite(shares.grad).all()
    assert not w[0, 1].detach().abs().any()


# --- labels ---


def test_labels_of_max_min_reproduce_the_optimum() -> None:
    """All SINRs are the optimum's, and both powers sum to P: the dual uplink needs as much."""
    h, power, noise_var = drawn(users=5)
    p, lam = max_min_labels(h, power, noise_var)
    for shares in (p, lam):
        np.testing.assert_allclose(shares.sum(axis=1), power, rtol=1e-4)
    best = max_min(h, power, noise_var).sinr
    found = solved.sinr(h, solved.structure(h, p, lam, noise_var), noise_var)
    np.testing.assert_allclose(found, np.repeat(best[:, None], 5, axis=1), rtol=1e-3)


def test_labels_where_nobody_can_be_served_alike_are_equal_shares() -> None:
    h, power, noise_var = drawn(groups=3)
    h[1, 2] = 0
    for shares in max_min_labels(h, power, noise_var):
        np.testing.assert_allclose(shares[1], power[1] / 4)
        assert (np.ptp(shares[[0, 2]], axis=1) > 0).all()


def test_labels_of_the_sum_rate_reproduce_wmmse() -> None:
    """To within what one more iteration changes."""
    h, power, noise_var = drawn(groups=40)
    power = np.full_like(power, 1.0)
    part = part_of(h, power, noise_var)
    found = objective(part.h, beams(part, *labels(part)), part.noise_var, "sum_rate").numpy()
    wanted, more = (solved.sum_rate(h, wmmse(h, power, noise_var, steps), noise_var) for steps in (20, 21))
    assert np.abs(found - wanted).mean() < 0.02 * wanted.mean()
    assert found.mean() > wanted.mean() - 2 * np.abs(more - wanted).mean() - 1e-3


# --- the network ---


def test_untrained_network_is_regularised_zero_forcing() -> None:
    h, power, noise_var = drawn()
    part = part_of(h, power, noise_var)
    network = PrecodingCNN(8, 8, width=16, supervised=0.5).eval()
    wanted = solved.rzf(h, power, noise_var)
    for answer in (network.answer, network.alone):
        np.testing.assert_allclose(answer(part).detach(), wanted, atol=2e-5 * np.abs(wanted).max())


def test_order_and_phases_of_users_do_not_matter() -> None:
    h, power, noise_var = drawn()
    network = PrecodingCNN(8, 8, width=16, supervised=0.5).eval()
    stir(network)
    first = network.answer(part_of(h, power, noise_var)).detach()
    order, turn = [2, 0, 3, 1], np.exp(1j * np.arange(4))[:, None]
    other = network.answer(part_of((turn * h)[:, order], power, noise_var)).detach()
    np.testing.assert_allclose(other, (turn * first.numpy())[:, order], atol=1e-4 * first.abs().max())
    assert not torch.allclose(first, network.alone(part_of(h, power, noise_var)), atol=1e-2)


def test_all_power_is_used_by_those_who_are_there() -> None:
    network = PrecodingCNN(8, 8, width=16, supervised=0.5).eval()
    stir(network)
    for users in (1, 5, 8):
        h, power, noise_var = drawn(users=users)
        w = network.answer(part_of(h, power, noise_var)).detach().numpy()
        np.testing.assert_allclose((np.abs(w) ** 2).sum(axis=(1, 2)), power, rtol=1e-5)


def test_training_is_supervised_first() -> None:
    """The loss at labels: their distance before the switch, the rate after it."""
    part = part_of(*drawn())
    network = PrecodingCNN(8, 8, width=16, supervised=0.5).train()
    p, lam = labels(part)
    wanted = float(((torch.cat([p, lam], dim=1) - 0.25) ** 2).mean())
    with torch.no_grad():
        assert float(network.loss(part, 0.5)) == pytest.approx(float(network.score(part)), rel=1e-3)
        assert float(network.loss(part, 0.49)) == pytest.approx(wanted, rel=1e-4)
        assert float(network.loss(replace(part, loss="min_rate"), 0.49)) != pytest.approx(wanted, rel=1e-2)


def test_more_users_or_other_antennas_are_refused() -> None:
    network = PrecodingCNN(8, 8, width=16, supervised=0.5)
    for users, antennas in ((9, 8), (4, 6)):
        with pytest.raises(RequestError, match="at most 8 users and 8 antennas"):
            network.answer(part_of(*drawn(users=users, antennas=antennas)))


@pytest.mark.parametrize("task", ["pre_sr", "pre_mm"])
def test_training_beats_the_start_on_what_it_has_seen(task: str, few_rays: ChannelDataset) -> None:
    """120 steps; the kept weights are those of the best validation."""
    kind, method = create("tasks", task), CNNPrecoder()
    splits = TaskSplit(kind, few_rays.view("train")), TaskSplit(kind, few_rays.view("val"))
    method.fit({task: splits}, FitContext(preset="quick"))
    view = few_rays.view("train")
    observation, target = kind.observe(view, np.arange(7), kind.default_conditions(view.spec))
    scores = [
        float(kind.primary.accumulate(answer(task, observation), target).mean())
        for answer in (method.predict, method.predict_start)
    ]
    assert scores[0] > scores[1]
    assert method.fit_record(task).best_step > 0
