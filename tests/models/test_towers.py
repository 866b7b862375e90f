"""Towers that are mixed, against a loop over towers in double precision, and the images that they see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks_by_hand import redraw
from torch import nn
from torch.nn import functional

from channelbench.models.networks.cross_stitch import Towers, fold, near_identity, unfold

pytestmark = pytest.mark.usefixtures("seeded")


def reference(towers: Towers, image: torch.Tensor, answered_by: int) -> torch.Tensor:
    """Towers one after the other, mixed by Eq. 1 of Misra et al. in double precision."""
    width, count = towers.width, towers.towers
    own = [slice(t * width, (t + 1) * width) for t in range(count)]

    def convolve(layer: nn.Conv2d, x: torch.Tensor, t: int) -> torch.Tensor:
        return functional.conv2d(x, layer.weight[own[t]].double(), layer.bias[own[t]].double(), padding=1)  # type: ignore[index]

    x = [image.double()] * count
    for stage, (inner, outer) in enumerate(zip(towers.inner, towers.outer, strict=True)):
        x = [functional.silu(h + convolve(outer, functional.silu(convolve(inner, h, t)), t)) for t, h in enumerate(x)]
        if count > 1:
            alpha = towers.mixtures[stage].double()
            x = [sum(alpha[t, s] * x[s] for s in range(count)) for t in range(count)]  # type: ignore[misc]
    return x[answered_by]


@pytest.mark.parametrize("count", [1, 2, 6])
def test_towers_equal_a_loop_over_towers(count: int) -> None:
    towers = Towers(count, 5, stages=3)
    redraw(towers)
    image = torch.randn(4 + 2 * count, 5, 6, 7)
    samples = dict.fromkeys(reversed(range(count)), 2) | {0: 6}
    out = towers(image, samples)
    begin = 0
    for tower, number in samples.items():
        rows = slice(begin, begin + number)
        torch.testing.assert_close(
            out[rows].double(), reference(towers, image[rows], tower), rtol=1e-4, atol=1e-5 * out.abs().max().item()
        )
        begin += number
    assert begin == len(image)


def test_mixing_equals_einsum() -> None:
    """Every tower's activations, against the sum over towers in double precision; channels and pixels stay apart."""
    towers = Towers(6, 4)
    redraw(towers)
    x = torch.randn(3, 24, 5, 2)
    for stage in range(4):
        expected = torch.einsum(
            "ts,bscrk->btcrk", towers.mixtures[stage].double(), x.double().unflatten(1, (6, 4))
        ).flatten(1, 2)
        torch.testing.assert_close(towers.mix(x, stage).double(), expected, rtol=1e-5, atol=1e-5)


def test_identity_mixture_leaves_towers_alone() -> None:
    """Each is then a single tower with its own share of the weights, and no other's weights have a gradient."""
    towers = Towers(3, 4, stages=2)
    redraw(towers)
    for mixture in towers.mixtures:
        nn.init.eye_(mixture)
    image = torch.randn(2, 4, 5, 6)
    for tower in range(3):
        own = slice(4 * tower, 4 * tower + 4)
        single = Towers(1, 4, stages=2)
        for name, parameter in single.named_parameters():
            parameter.data.copy_(dict(towers.named_parameters())[name][own])
        towers.zero_grad()
        out = towers(image, {tower: 2})
        torch.testing.assert_close(out, single(image, {0: 2}))
        out.square().sum().backward()
        for name, parameter in towers.named_parameters():
            if not name.startswith("mixtures"):
                gradient = parameter.grad.unflatten(0, (3, 4)).flatten(1).abs().sum(1)  # type: ignore[union-attr]
                assert (gradient > 0).tolist() == [t == tower for t in range(3)], name


def test_mixtures_carry_gradients_to_all_towers() -> None:
    """One tower's answer trains the others, and every row of the early mixtures, but only its own of the last."""
    towers = Towers(3, 4, stages=2)
    towers(torch.randn(2, 4, 5, 6), {1: 2}).square().sum().backward()
    gradient = towers.inner[0].weight.grad.unflatten(0, (3, 4)).flatten(1).abs().sum(1)  # type: ignore[operator,union-attr]
    assert (gradient > 0).all()
    assert gradient.argmax() == 1
    first, last = (mixture.grad.abs().sum(1) > 0 for mixture in towers.mixtures)  # type: ignore[union-attr]
    assert first.tolist() == [True, True, True]
    assert last.tolist() == [False, True, False]


def test_untrained_mixture_is_near_the_identity() -> None:
    np.testing.assert_allclose(near_identity(2), [[0.9, 0.1], [0.1, 0.9]], rtol=1e-6)
    mixture = near_identity(6)
    np.testing.assert_allclose(mixture.sum(1), np.ones(6), rtol=1e-6)
    np.testing.assert_allclose(mixture.diagonal(), np.full(6, 0.9), rtol=1e-6)
    np.testing.assert_allclose(mixture[~torch.eye(6, dtype=torch.bool)], np.full(30, 0.02), rtol=1e-5)
    for stage in Towers(6, 4).mixtures:
        torch.testing.assert_close(stage.detach(), mixture)


def test_a_single_tower_has_no_mixture() -> None:
    assert near_identity(1).tolist() == [[1.0]]
    assert len(Towers(1, 4).mixtures) == 0


def test_patches_become_channels_and_come_back() -> None:
    x = torch.randn(3, 5, 7, 2)
    image = fold(x, (2, 4))
    assert image.shape == (3, 16, 3, 2)
    assert torch.equal(unfold(image, (2, 4), (5, 7)), x)
    # Pixel (1, 0) of channel (c, tall, wide) is the point (2 + tall, wide).
    assert torch.equal(image[:, :, 1, 0].unflatten(1, (2, 2, 4)), x[:, 2:4, 0:4].permute(0, 3, 1, 2))
    assert image[:, :, :, 1].unflatten(1, (2, 2, 4))[..., 3, :].abs().sum() == 0, "the eighth column is filled up"
