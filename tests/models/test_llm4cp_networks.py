"""LLM4CP's parts against references, and one antenna against the whole array."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from channelbench.grid import ChannelGrid
from channelbench.models.networks.backbones import load_backbone
from channelbench.models.networks.llm4cp import CSIAttention, LLM4CPBody, ReconstructionLLM4CP, patches
from channelbench.models.networks.reconstruction import ReconstructionShape

pytestmark = pytest.mark.usefixtures("seeded")

WIDTH = 32


def stir(module: nn.Module) -> None:
    """Random weights where untrained ones are zero."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.1)


def shape(antennas: int) -> ReconstructionShape:
    """Time prediction on 24 subcarriers: 8 slots seen, 3 more wanted, 11 in all."""
    return ReconstructionShape.of(
        ChannelGrid(
            carrier_hz=2e9,
            slot_s=0.5e-3 * np.arange(8),
            subcarrier_hz=2e9 + 1e6 * np.arange(24),
            target_slot_s=0.5e-3 * np.arange(8, 11),
            target_subcarrier_hz=2e9 + 1e6 * np.arange(24),
            antenna_position=np.zeros((antennas, 3)),
        )
    )


def reconstruction(antennas: int) -> ReconstructionLLM4CP:
    module = ReconstructionLLM4CP(shape(antennas), load_backbone("none", width=WIDTH), channels=8)
    stir(module)
    return module


def convolved(image: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
    """A 3×3 convolution of ``[channels, height, width]`` written out, zeros around."""
    kernel, bias = (cast(torch.Tensor, p).detach().double().numpy() for p in (layer.weight, layer.bias))
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((len(kernel), height, width)) + bias[:, None, None]
    for row in range(3):
        for column in range(3):
            window = padded[:, row : row + height, column : column + width]
            out += np.einsum("oc,chw->ohw", kernel[:, :, row, column], window)
    return out


def test_csi_attention_against_numpy() -> None:
    block = CSIAttention(8)
    stir(block)
    image = np.random.default_rng(0).standard_normal((2, 8, 5, 6))
    dense = {
        name: [p.detach().double().numpy() for p in getattr(block, name).parameters()] for name in ("squeeze", "excite")
    }
    for given, out in zip(image, block(torch.as_tensor(image, dtype=torch.float32)), strict=True):
        change = convolved(np.maximum(convolved(given, block.first), 0), block.second)
        squeezed = np.maximum(dense["squeeze"][0] @ change.mean((1, 2)) + dense["squeeze"][1], 0)
        weight = 1 / (1 + np.exp(-(dense["excite"][0] @ squeezed + dense["excite"][1])))
        np.testing.assert_allclose(out.detach().numpy(), given + weight[:, None, None] * change, atol=1e-5)


def test_patches_hold_every_real_and_imaginary_part() -> None:
    h = torch.randn(2, 8, 6, dtype=torch.complex64)
    image = patches(h)
    assert image.shape == (2, 8, 2, 6)
    for slot in range(8):
        assert torch.equal(image[:, slot % 4, slot // 4], h[:, slot].real)
        assert torch.equal(image[:, 4 + slot % 4, slot // 4], h[:, slot].imag)


def seen_by_branches(body: LLM4CPBody, h: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What the frequency and the delay branch are given, as complex channels ``[rows, steps, subcarriers]``."""
    seen = []
    for branch in (body.frequency, body.delay):
        branch.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].numpy()))
    with torch.no_grad():
        body(h, torch.zeros(len(h), 1))
    frequency, delay = (
        (image[:, :4] + 1j * image[:, 4:]).swapaxes(1, 2).reshape(len(h), -1, h.shape[2]) for image in seen
    )
    return frequency, delay


def test_delay_branch_sees_the_inverse_fourier_transform() -> None:
    """Parseval, the way back, and one path of delay 5, which is one tap. Ten steps fill up three patches."""
    body = LLM4CPBody(load_backbone("none", width=WIDTH), 10, 16, 1, channels=8)
    h = torch.randn(3, 10, 16, dtype=torch.complex64)
    h[2] = torch.polar(torch.ones(16), -2 * torch.pi * 5 / 16 * torch.arange(16))
    frequency, delay = seen_by_branches(body, h)
    np.testing.assert_array_equal(frequency[:, :10], h.numpy())
    assert not frequency[:, 10:].any()
    assert not delay[:, 10:].any()
    np.testing.assert_allclose((np.abs(delay) ** 2).sum(), (np.abs(h.numpy()) ** 2).sum(), rtol=1e-5)
    np.testing.assert_allclose(np.fft.fft(delay[:, :10]) / 4, h.numpy(), atol=1e-5)
    np.testing.assert_allclose(delay[2, 0], 4.0 * np.eye(16)[5], atol=1e-5)


def test_rows_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network = reconstruction(8)
    h, noise = torch.randn(4, 8, 24, 8, dtype=torch.complex64), torch.full((4,), 0.1)
    whole = network(h, noise)
    monkeypatch.setattr("channelbench.models.networks.llm4cp.MAX_ROWS", 5)
    torch.testing.assert_close(network(h, noise), whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("antennas", [8, 32])
def test_training_takes_one_antenna_of_the_whole_prediction(antennas: int) -> None:
    """Of an array of several groups too; target and prediction are of the same antenna, another one for each sample."""
    network = reconstruction(antennas)
    h, noise = torch.randn(40, 8, 24, antennas, dtype=torch.complex64), torch.linspace(0.05, 0.3, 40)
    whole = network(h, noise)
    start, wanted = network.begin_training(h, noise, whole.detach())
    one = network.end(start, network.answer(start))
    assert one.shape == (40, 3, 24, 1)
    torch.testing.assert_close(one, wanted, atol=2e-4, rtol=1e-3)
    taken = (whole - wanted).abs().amax((1, 2)).argmin(1)
    assert len(taken.unique()) > antennas / 3
    assert network.loss(h, noise, whole.detach()).item() < 1e-5


def test_an_antenna_is_corrected_by_what_it_observes() -> None:
    """The linear start knows all antennas of a group; the correction knows one."""
    network = reconstruction(8)
    start = network.begin(torch.randn(2, 8, 24, 8, dtype=torch.complex64), torch.full((2,), 0.1))
    before = network.answer(start).unflatten(3, (2, 8))
    pairs, context = start.pairs.clone(), start.context.clone()
    pairs[..., [3, 11]] += 1.0
    context[:, [3, 11]] -= 0.5
    after = network.answer(replace(start, pairs=pairs, context=context)).unflatten(3, (2, 8))
    others = [antenna for antenna in range(8) if antenna != 3]
    torch.testing.assert_close(after[..., others], before[..., others])
    assert (after[..., 3] - before[..., 3]).abs().max() > 1e-3
