"""WiT, network and method."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from channelbench.contracts import TaskSplit
from channelbench.models.networks.fitting import count_flops
from channelbench.models.networks.wit import WiT as Network
from channelbench.models.wit import WiT
from channelbench.registry import create
from channelbench.store.dataset import ChannelDataset
from channelbench.testing import MethodTests, make_dataset, small_spec

pytestmark = pytest.mark.usefixtures("seeded")


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def split(dataset: ChannelDataset, task: str) -> TaskSplit:
    return TaskSplit(create("tasks", task), dataset.view("train"))


def channels(batch: int = 4, subcarriers: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    h = (
        torch.randn(batch, 1, subcarriers, 8, dtype=torch.complex64)
        * torch.logspace(-5, -3, batch)[:, None, None, None]
    )
    return h, 0.1 * h.abs().square().mean((1, 2, 3))


def stir(network: nn.Module) -> None:
    """Random weights where untrained ones are zero."""
    for parameter in network.head.parameters():  # type: ignore[union-attr]
        nn.init.normal_(parameter, std=0.3)


class TestWiT(MethodTests):
    method = WiT
    preset = "smoke"


@pytest.mark.parametrize("task", ["de", "pe"])
def test_parameters_are_those_of_the_paper(task: str, few_rays: ChannelDataset) -> None:
    """LLM4WM Table VII: 19.19 M. The published parts give 19,186,177; the features' linear and the norm that pre-norm
    layers end with come on top."""
    network = WiT().build(split(few_rays, task).observe([0])[0], "paper")
    published = parameters(network) - parameters(network.beside) - parameters(network.norm)  # type: ignore[arg-type]
    assert published == 19_186_177
    assert parameters(network) == pytest.approx(19.19e6, rel=0.005)


@pytest.mark.parametrize(("preset", "width"), [("smoke", 64), ("quick", 64), ("standard", 192), ("paper", 512)])
def test_width_by_preset(preset: str, width: int, few_rays: ChannelDataset) -> None:
    network = WiT().build(split(few_rays, "de").observe([0])[0], preset)
    inner = network.layers[0].feed_forward[0]  # type: ignore[index,union-attr]
    assert (inner.in_features, inner.out_features, len(network.layers)) == (width, 4 * width, 6)  # type: ignore[arg-type]


def test_objective_is_the_tasks(few_rays: ChannelDataset) -> None:
    """DE is scored by its absolute error, PE by its squared one."""
    for task, objective in (("de", "absolute"), ("pe", "squared")):
        assert WiT().build(split(few_rays, task).observe([0])[0], "quick").objective == objective


def test_untrained_network_is_the_least_squares_curve() -> None:
    """Against ``numpy.linalg.lstsq`` in float64."""
    network = Network("squared", 64, 8, width=16)
    h, noise = channels(200)
    target = 40 + 5 * torch.randn(200)
    with torch.no_grad():
        network.calibrate(h, noise, target)
        design = network.begin(h, noise).direct.double().numpy()
        curve = np.linalg.lstsq(design, target.double().numpy(), rcond=None)[0]
        np.testing.assert_allclose(network(h, noise).numpy(), design @ curve, atol=0.02)
        stir(network)
        assert np.abs(network(h, noise).numpy() - design @ curve).max() > 0.1


def test_tokens_are_the_channel_up_to_phase_ramps() -> None:
    """One path has the same token, without imaginary part, on every subcarrier, whatever its delay, angle, phase and
    power; a second one shows."""
    steps = ((64, -2 * np.pi * 5 / 64), (8, 2 * np.pi * 11 / 64))
    frequency, space = (torch.polar(torch.ones(n), step * torch.arange(n)) for n, step in steps)
    one = 1e-4 * np.exp(1j) * torch.einsum("k,a->ka", frequency, space)[None, None]
    network = Network("squared", 64, 8, width=16)
    tokens = network.tokens(network.begin(one, torch.zeros(1)))
    expected = torch.cat([torch.ones(1, 64, 8), torch.zeros(1, 64, 8)], dim=2)
    torch.testing.assert_close(tokens, expected, atol=1e-4, rtol=0)
    two = one + 0.3e-4 * torch.polar(torch.ones(64), -0.9 * torch.arange(64))[:, None]
    assert (network.tokens(network.begin(two, torch.zeros(1))) - expected).abs().max() > 0.2


def test_tokens_have_unit_power_per_coefficient() -> None:
    network = Network("squared", 64, 8, width=16)
    tokens = network.tokens(network.begin(*channels()))
    torch.testing.assert_close(2 * tokens.square().mean((1, 2)), torch.ones(4))


def test_order_of_subcarriers_matters() -> None:
    """Positions tell tokens apart, which their mean alone would not."""
    network = Network("squared", 64, 8, width=16)
    tokens = torch.randn(2, 64, 16)
    positioned = [network.layers(network.embedding(x) + network.positions).mean(1) for x in (tokens, tokens.flip(1))]
    assert (positioned[0] - positioned[1]).abs().max() > 1e-3
    bare = [network.layers(network.embedding(x)).mean(1) for x in (tokens, tokens.flip(1))]
    torch.testing.assert_close(*bare, atol=1e-5, rtol=1e-4)


def test_answer_reads_tokens_and_features() -> None:
    """The power moves the answer beyond the curve, and so does the channel's shape at the same features."""
    network = Network("squared", 64, 8, width=16)
    stir(network)
    h, noise = channels()
    start = network.begin(h, noise)
    plain = network.answer(start)
    features = start.features.clone()
    features[:, -2] += 1.0
    assert (network.answer(type(start)(**{**vars(start), "features": features})) - plain).abs().min() > 1e-3
    peak = type(start.peak)(**{**vars(start.peak), "taps": start.peak.taps.roll(3, dims=1)})
    assert (network.answer(type(start)(**{**vars(start), "peak": peak})) - plain).abs().min() > 1e-4


@pytest.mark.parametrize("objective", ["absolute", "squared"])
def test_loss_of_a_fixed_batch_falls(objective: str) -> None:
    """Numbers that have nothing to do with the power: the curve knows none of them."""
    network = Network(objective, 64, 8, width=16)  # type: ignore[arg-type]
    h, noise = channels(16)
    target = torch.randn(16)
    with torch.no_grad():
        network.calibrate(h, noise, target)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = network.loss(h, noise, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_dropout_is_training_only() -> None:
    network = Network("squared", 64, 8, width=16, dropout=0.5)
    stir(network)
    start = network.begin(*channels())
    assert not torch.equal(network.answer(start), network.answer(start))
    network.eval()
    assert torch.equal(network.answer(start), network.answer(start))


def test_flops_are_matrix_products_by_hand() -> None:
    """Attention's among them; the curve is a product of elements."""
    width, tokens = 16, 64
    layers = 6 * (12 * width**2 + 2 * tokens * width)
    expected = 2 * (tokens * (2 * 8 * width + layers) + (64 + 8 + 3) * width + width**2 + width)
    assert count_flops(Network("squared", 64, 8, width=width), (1, 64, 8)) == expected


def test_multiuser_system(tmp_path: object) -> None:
    """128 antennas on 48 subcarriers."""
    dataset = make_dataset(f"{tmp_path}/multiuser.zarr", small_spec(train=16, val=4, test=3, system="multiuser"))  # type: ignore[arg-type]
    observation, _ = split(dataset, "de").observe(np.arange(2))
    network = WiT().build(observation, "quick")
    out = network(torch.as_tensor(observation.h), torch.as_tensor(observation.noise_var))
    assert out.shape == (2,)
    assert torch.isfinite(out).all()
